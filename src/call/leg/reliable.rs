//! Provisional answers of ours to an INVITE of theirs, reliable where that is asked for.
//!
//! RFC 3262 §3 and §5, RFC 6337 §2.
//!
//! | the INVITE says | trunk `off` | `offered` | `required` |
//! |---|---|---|---|
//! | nothing of 100rel | plain | plain | plain |
//! | `Supported: 100rel` | plain | reliable with a description | reliable |
//! | `Require: 100rel` | reliable | reliable | reliable |
//!
//! | while one waits for its PRACK | |
//! |---|---|
//! | the next reliable 1xx | waits; only the newest is kept |
//! | our 200, when the 1xx carried a description | waits |
//! | any other final answer | goes out, nothing is repeated any more |
//! | 64·T1 pass | the INVITE gets 504 and the leg is lost; the caller of an emergency call is kept and answered on |
//!
//! The first reliable 1xx to an INVITE without an offer carries ours, so it waits for our ports; the answer comes in the
//! PRACK. Deliberately absent: what the callee's leg has; each leg makes its own provisional answers reliable or not.

use serde::{Deserialize, Serialize};

use super::incoming::sdp_of;
use super::words::LegEvent;
use super::{Leg, LegOut, LegRules, LegState, stamp};
use crate::base::now::{Mono, Now};
use crate::call::words::Arrived;
use crate::plan::trunk::Reliable as Policy;
use crate::sip::message::Name;
use crate::sip::offer_answer::Answering;
use crate::sip::prack::{OPTION_TAG, Reliable};
use crate::sip::transaction::{TuEvent, TxEffect};

/// The reliable 1xx of one INVITE.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Reliably {
    machine: Reliable,
    /// Whether the unacknowledged one carries a description.
    described: bool,
    /// The status to send next.
    next: Option<u16>,
    /// Whether our 200 waits for the PRACK.
    answer_held: bool,
}

impl Reliably {
    fn new(seed: u64) -> Self {
        Self { machine: Reliable::new(seed), described: false, next: None, answer_held: false }
    }

    pub(super) fn deadline(&self) -> Option<Mono> {
        self.machine.deadline()
    }

    /// Holds our 200 back when it must be (RFC 3262 §3); whether it did.
    pub(super) const fn holds_answer(&mut self) -> bool {
        self.answer_held = self.described && self.machine.is_waiting();
        self.answer_held
    }

    /// Repeats what is due; whether the PRACK was given up.
    pub(super) fn on_deadline(&mut self, now: Now, effects: &mut Vec<TxEffect>) -> bool {
        let mut own = Vec::new();
        self.machine.on_deadline(now, &mut own);
        let missing = own.iter().any(|effect| matches!(effect, TxEffect::Tell(TuEvent::AckMissing)));
        effects.extend(own.into_iter().filter(|effect| matches!(effect, TxEffect::Transmit(_))));
        missing
    }

    pub(super) fn stop(&mut self) {
        self.machine.stop();
        self.next = None;
        self.answer_held = false;
    }
}

/// How a 1xx is to go out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Plain,
    Reliable,
    /// Not before our ports are known, or the one before it is acknowledged.
    Later,
}

impl Leg {
    pub(super) fn answer_provisional(&mut self, now: Now, rules: &LegRules, status: u16, out: &mut Vec<LegOut>) {
        if self.state != LegState::Waiting {
            return;
        }
        let manner = self.manner_of(status);
        let (Some(incoming), Some(flow)) = (&mut self.incoming, self.flow) else { return };
        let seed = self.seed;
        let mut reliably = || Box::new(Reliably::new(seed));
        if manner == Manner::Later {
            incoming.provisional.get_or_insert_with(reliably).next = Some(status);
            return;
        }
        let answering =
            if manner == Manner::Reliable { Answering::ReliableProvisional } else { Answering::Provisional };
        let mut draft = stamp::introduce(incoming.response(rules, status)).header(Name::Contact, stamp::contact(&flow));
        let mut described = false;
        if status == 183 || (manner == Manner::Reliable && self.description.owes_first()) {
            match self.description.body_for(incoming.slot(), answering) {
                Ok(Some(body)) => {
                    draft = draft.body("application/sdp", body);
                    described = true;
                }
                Ok(None) => {}
                Err(_) => return self.refuse_offer(now, rules, out),
            }
        }
        let message = if manner == Manner::Reliable {
            let cseq = incoming.request().cseq().number;
            let provisional = incoming.provisional.get_or_insert_with(&mut reliably);
            provisional.described = described;
            let Some(message) = provisional.machine.send(now, draft, cseq, &rules.timers) else { return };
            message
        } else {
            draft.finish()
        };
        let mut effects = Vec::new();
        incoming.respond(now, &message, &mut effects);
        self.transmit(effects, out);
        self.tell_answered(out);
    }

    fn manner_of(&self, status: u16) -> Manner {
        let Some(incoming) = &self.incoming else { return Manner::Plain };
        let invite = incoming.request();
        let required = invite.has_token(Name::Require, OPTION_TAG);
        let supported = invite.has_token(Name::Supported, OPTION_TAG);
        let reliable = match self.policy {
            _ if required => true,
            Policy::Off => false,
            Policy::Offered => supported && status == 183 && self.description.owes(),
            Policy::Required => supported,
        };
        let waits = incoming.provisional.as_ref().is_some_and(|provisional| provisional.machine.is_waiting());
        match reliable {
            false => Manner::Plain,
            true if waits || (self.description.owes_first() && !self.description.is_ready()) => Manner::Later,
            true => Manner::Reliable,
        }
    }

    /// What had to wait goes out: our ports are known, or a PRACK came.
    pub(super) fn provisional_due(&mut self, now: Now, rules: &LegRules, out: &mut Vec<LegOut>) {
        let Some(provisional) = self.incoming.as_mut().and_then(|incoming| incoming.provisional.as_mut()) else {
            return;
        };
        if provisional.machine.is_waiting() {
            return;
        }
        let next = provisional.next.take();
        if std::mem::take(&mut provisional.answer_held) {
            self.answer(now, rules, out);
        } else if let Some(status) = next {
            self.answer_provisional(now, rules, status, out);
        }
    }

    pub(super) fn on_prack(&mut self, now: Now, rules: &LegRules, arrived: &Arrived, out: &mut Vec<LegOut>) {
        let request = &arrived.message;
        let provisional = self.incoming.as_mut().and_then(|incoming| incoming.provisional.as_mut());
        if !provisional.is_some_and(|provisional| provisional.machine.on_prack(request)) {
            return self.respond_plain(now, rules, arrived, 481, out);
        }
        let mut events = Vec::new();
        let answered = self.description.on_prack(request.cseq().number, sdp_of(request), &mut events);
        match &answered {
            Ok(body) => self.respond_with(now, rules, arrived, 200, |draft| stamp::described(draft, body.clone()), out),
            Err(status) => self.respond_plain(now, rules, arrived, *status, out),
        }
        out.extend(events.into_iter().map(LegOut::Event));
        if answered.is_err() && self.description.is_unsettled() && !self.kept {
            // Our offer got no answer that can be spoken: no 200 could make a talk of it.
            return self.refuse_offer(now, rules, out);
        }
        self.provisional_due(now, rules, out);
    }

    /// No PRACK came in 64·T1 (RFC 3262 §3).
    pub(super) fn provisional_lost(&mut self, now: Now, rules: &LegRules, out: &mut Vec<LegOut>) {
        if self.state != LegState::Waiting {
            return;
        }
        if self.kept {
            return self.provisional_due(now, rules, out);
        }
        out.push(LegOut::Event(LegEvent::Lost));
        self.reject(now, rules, 504, None, None, out);
    }
}
