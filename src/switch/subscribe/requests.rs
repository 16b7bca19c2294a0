//! SUBSCRIBE as it comes, and what is answered.
//!
//! | request | answer |
//! |---|---|
//! | Event missing or not `dialog` | 489 with Allow-Events |
//! | Accept without our document | 406 |
//! | no proof | 401 |
//! | nobody there, or nobody the agent may see | 404 |
//! | interval too brief | 423 with Min-Expires |
//! | no Contact | 400 |
//! | no room | 503 with Retry-After |
//! | in no subscription of ours, or another agent's | 481 |
//!
//! An agent sees the agents of his own place and of the places whose queues he serves. RFC 6665 §4.2.1, §8.3.1.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{PACKAGE, Subscription, Wanted, document};
use crate::base::flow::{Flow, Transport};
use crate::base::id::AgentId;
use crate::base::now::Now;
use crate::call::words::Arrived;
use crate::plan::settings::Settings;
use crate::sip::dialog::Dialog;
use crate::sip::header::event::Event;
use crate::sip::message::{Message, Name};
use crate::sip::print::Draft;
use crate::sip::transaction::key::TxKey;
use crate::switch::Switch;
use crate::switch::desk::{Proof, draft, settings_timers};
use crate::switch::words::SwitchEffect;

const LEAST_S: u32 = 60;
const LONGEST_S: u32 = 3_600;

impl Switch {
    /// A SUBSCRIBE outside any dialog.
    pub(in crate::switch) fn on_subscribe(
        &mut self,
        now: Now,
        key: TxKey,
        arrived: &Arrived,
        out: &mut Vec<SwitchEffect>,
    ) {
        if self.desk.repeat(now, &key, arrived, out) || !self.require(arrived, out) || !self.watchable(arrived, out) {
            return;
        }
        let Some(subscriber) = self.prove(now, arrived, out) else { return };
        let response = self.subscribe(now, subscriber, arrived);
        self.conclude(now, key, arrived, response, out);
    }

    /// A SUBSCRIBE whose To-tag is the number of a subscription.
    pub(in crate::switch) fn on_subscribe_again(
        &mut self,
        now: Now,
        number: u64,
        arrived: &Arrived,
        out: &mut Vec<SwitchEffect>,
    ) {
        let Some(key) = TxKey::of(&arrived.message) else { return };
        if self.desk.repeat(now, &key, arrived, out) || !self.watchable(arrived, out) {
            return;
        }
        let Some(subscriber) = self.prove(now, arrived, out) else { return };
        let response = self.resubscribe(now, number, &subscriber, arrived);
        self.conclude(now, key, arrived, response, out);
    }

    /// Sends what is owed to who watches.
    pub(in crate::switch) fn notify(&mut self, now: Now, out: &mut Vec<SwitchEffect>) {
        let timers = settings_timers(&self.plan.settings);
        self.subscriptions.on_deadline(now, &self.calls, &mut self.own, &timers, out);
    }

    fn prove(&mut self, now: Now, arrived: &Arrived, out: &mut Vec<SwitchEffect>) -> Option<AgentId> {
        let plan = Arc::clone(&self.plan);
        match self.desk.prove(now, &plan.settings, &self.product, arrived, out) {
            Proof::Agent(agent) => Some(agent),
            Proof::Answered => None,
        }
    }

    /// Whether the event is ours and its document welcome; answers when not. Nothing is told by it that a password
    /// would be needed for.
    fn watchable(&self, arrived: &Arrived, out: &mut Vec<SwitchEffect>) -> bool {
        let request = &arrived.message;
        let event = request.header(Name::Event).and_then(|value| Event::parse(value).ok());
        if event.is_none_or(|event| event.package != PACKAGE) {
            self.refuse(arrived, 489, None, &[(Name::AllowEvents, PACKAGE)], out);
            return false;
        }
        let mut accepted = request.values(Name::Accept).peekable();
        let welcome = |value: &[u8]| {
            let kind = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
            ["*/*", "application/*", document::CONTENT_TYPE]
                .iter()
                .any(|ours| kind.eq_ignore_ascii_case(ours.as_bytes()))
        };
        if accepted.peek().is_some() && !accepted.any(welcome) {
            self.refuse(arrived, 406, None, &[(Name::Accept, document::CONTENT_TYPE)], out);
            return false;
        }
        true
    }

    fn subscribe(&mut self, now: Now, subscriber: AgentId, arrived: &Arrived) -> Draft {
        let refusal = |status| draft(arrived, &self.product, status);
        let request = &arrived.message;
        let Ok(expires) = interval(request) else { return too_brief(refusal(423)) };
        let uri = request.uri().and_then(Result::ok);
        let watched = uri.and_then(|uri| uri.user_text()).map(AgentId::new);
        let Some(watched) = watched.filter(|watched| sees(&self.plan.settings, &subscriber, watched)) else {
            return refusal(404);
        };
        if self.subscriptions.is_full() {
            return refusal(503).header(Name::RetryAfter, "60");
        }
        let number = self.subscriptions.mint();
        let tag = self.subscriptions.key.own_tag(number);
        let Some(mut dialog) = Dialog::uas(request, tag.as_bytes(), arrived.flow, our_contact(&arrived.flow)) else {
            return draft(arrived, &self.product, 400);
        };
        let response = granted(&mut dialog, request, &self.product, expires);
        let event = Bytes::copy_from_slice(request.header(Name::Event).unwrap_or_default());
        let entity = request.to().uri().map(|uri| uri.address_of_record()).unwrap_or_default();
        let entity = String::from_utf8_lossy(&entity).into_owned();
        self.subscriptions.begin(now, number, Wanted { subscriber, watched, event, entity, dialog, expires });
        response
    }

    fn resubscribe(&mut self, now: Now, number: u64, subscriber: &AgentId, arrived: &Arrived) -> Draft {
        let request = &arrived.message;
        let refusal = |status| draft(arrived, &self.product, status);
        let held = self.subscriptions.all.get_mut(&number).filter(|held| held.is_meant(subscriber, request));
        let Some(held) = held else { return refusal(481) };
        let Ok(expires) = interval(request) else { return too_brief(refusal(423)) };
        if let Err(fault) = held.dialog.on_request(request) {
            return refusal(fault.status());
        }
        held.dialog.move_flow(arrived.flow);
        held.dialog.move_contact(our_contact(&arrived.flow));
        let response = granted(&mut held.dialog, request, &self.product, expires);
        self.subscriptions.renew(now, number, expires);
        response
    }

    /// Answers a request that was proven; over datagrams its repetitions get the same answer.
    fn conclude(&mut self, now: Now, key: TxKey, arrived: &Arrived, answer: Draft, out: &mut Vec<SwitchEffect>) {
        let answer = answer.finish();
        let timers = settings_timers(&self.plan.settings);
        self.desk.answer_once(now, &timers, key, arrived, &answer, out);
        self.notify(now, out);
    }
}

impl Subscription {
    fn is_meant(&self, subscriber: &AgentId, request: &Message) -> bool {
        let id = self.dialog.id();
        let same_dialog = id.call_id == request.call_id() && id.remote_tag == request.from_tag().unwrap_or_default();
        let of = |value: &[u8]| Event::parse(value).ok().map(|event| event.id);
        let same_event = request.header(Name::Event).map(of) == Some(of(&self.event));
        same_dialog && same_event && self.subscriber == *subscriber && self.ending.is_none()
    }
}

fn granted(dialog: &mut Dialog, request: &Message, product: &str, expires: Duration) -> Draft {
    dialog
        .respond(request, 200, None)
        .header(Name::Server, product)
        .header(Name::Expires, expires.as_secs().to_string())
        .header(Name::AllowEvents, PACKAGE)
}

fn too_brief(draft: Draft) -> Draft {
    draft.header(Name::MinExpires, LEAST_S.to_string())
}

/// What is granted of what is asked.
fn interval(request: &Message) -> Result<Duration, ()> {
    match request.expires() {
        None => Ok(Duration::from_secs(LONGEST_S.into())),
        Some(asked) if asked > 0 && asked < LEAST_S => Err(()),
        Some(asked) => Ok(Duration::from_secs(asked.min(LONGEST_S).into())),
    }
}

/// Whether an agent may watch another.
fn sees(settings: &Settings, subscriber: &AgentId, watched: &AgentId) -> bool {
    let (Some(who), Some(whom)) = (settings.agents.get(subscriber), settings.agents.get(watched)) else {
        return false;
    };
    who.tenant == whom.tenant || who.queues.iter().any(|queue| queue.tenant == whom.tenant)
}

fn our_contact(flow: &Flow) -> String {
    let transport = match flow.transport {
        Transport::Udp => "",
        Transport::Tcp => ";transport=tcp",
        Transport::Tls => ";transport=tls",
        Transport::Ws | Transport::Wss => ";transport=ws",
    };
    format!("<sip:{}{transport}>", flow.local)
}
