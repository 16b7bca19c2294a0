//! One leg: a dialog with its transactions and session description, seen by the call as a few words.
//!
//! Messages, actions and deadlines go in; bytes for a flow and [`words::LegEvent`]s come out. A leg outlives its talk
//! by its transactions' waiting times, so that whatever the peer repeats finds the same answer again.
//!
//! | file | what |
//! |---|---|
//! | `incoming` | an INVITE of theirs until its ACK |
//! | `reliable` | provisional answers of ours, PRACK |
//! | `outgoing` | an INVITE of ours until its final answer |
//! | `forks` | its early dialogs |
//! | `proof` | challenges to requests of ours |
//! | `requests` | everything inside the dialog: BYE, re-INVITE, UPDATE, REFER, NOTIFY, INFO, OPTIONS |
//! | `description` | SDP and who owes it |
//! | `asked` | what their REFER and INFO ask for |
//! | `stamp` | the header fields every message of ours carries |
//!
//! A request or response whose tags, Call-ID, CSeq or branch are not the leg's changes nothing: requests draw 481 or 500,
//! the rest silence. On the trunk side so does what comes from an address that is neither the peer's nor of its trunk.
//! Deliberately absent: who is called and who hears whom. RFC 3261 §8.1.3, §12–§15, §18.2; RFC 3262; RFC 3311; RFC 3515;
//! RFC 3891; RFC 4028; RFC 5407.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::description::Description;
use self::incoming::Incoming;
use self::outgoing::Calling;
use self::proof::Standing;
use self::requests::refer::Subscription;
use self::requests::{Asked, Served};
use self::words::{LegAction, LegEvent};
use crate::base::flow::{Flow, FlowId, Side};
use crate::base::id::{CallId, LegId, TrunkName};
use crate::base::now::{Mono, Now, earliest};
use crate::call::words::Arrived;
use crate::event::reason::EndReason;
use crate::plan::trunk::{Reliable, TrunkCredential};
use crate::rtp::command::Codec;
use crate::sip::dialog::Dialog;
use crate::sip::message::{Message, Method, Name};
use crate::sip::offer_answer::Exchange;
use crate::sip::session_timer::{SessionPolicy, SessionTimer, TimerReason};
use crate::sip::token::{Minter, TokenKey};
use crate::sip::transaction::timers::SipTimers;

mod asked;
mod description;
mod forks;
mod incoming;
mod outgoing;
mod proof;
mod reliable;
mod requests;
mod stamp;
pub mod words;

/// What a leg is made with.
#[derive(Clone, Debug)]
pub struct LegNames {
    /// Its call.
    pub call: CallId,
    /// Its name in the call.
    pub leg: LegId,
    /// Signs branches and tags, so that the switch finds the leg by them.
    pub key: TokenKey,
    /// Any number; names the SDP session and supplies what must be random.
    pub seed: u64,
    /// Whether provisional answers of ours on it are made reliable.
    pub reliable: Reliable,
}

/// What is known of a message's sender beyond the message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sender<'a> {
    /// Our account at the leg's trunk, for a challenge; never stored.
    pub credential: Option<&'a TrunkCredential>,
    /// Whether its address belongs to the leg's trunk.
    pub known: bool,
}

/// What all legs follow.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LegRules {
    /// Transaction timers.
    pub timers: SipTimers,
    /// Session timers (RFC 4028).
    pub session: SessionPolicy,
    /// The value of Server and User-Agent.
    pub product: std::sync::Arc<str>,
}

/// Where a leg stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum LegState {
    /// Incoming, not answered.
    Waiting,
    /// Outgoing, nothing sent yet or no provisional yet.
    Calling,
    /// Outgoing, ringing.
    Ringing,
    /// Answered.
    Talking,
    /// Ended; transactions still wait for repetitions.
    Leaving,
    /// Nothing is left.
    Over,
}

/// Why a leg wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum LegTimer {
    /// A transaction repeats or gives up.
    Transaction,
    /// The callee has not responded at all.
    Dead,
    /// The callee has rung long enough.
    Ring,
    /// The session must be refreshed or has run out.
    Session,
}

/// How a dialog is named by others (Replaces, RFC 3891), from our side of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DialogNames {
    /// Call-ID.
    pub call_id: Vec<u8>,
    /// Our tag.
    pub local_tag: Vec<u8>,
    /// Theirs.
    pub remote_tag: Vec<u8>,
}

/// Out of a leg.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LegOut {
    /// Bytes for a flow.
    Transmit(Flow, bytes::Bytes),
    /// Something for the call.
    Event(LegEvent),
}

/// One leg.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Leg {
    minter: Minter,
    /// Supplies what must be random; moved on by each draw.
    seed: u64,
    state: LegState,
    flow: Option<Flow>,
    /// The trunk it was called over.
    trunk: Option<TrunkName>,
    policy: Reliable,
    /// Whether the peer allows UPDATE.
    updates: bool,
    dialog: Option<Dialog>,
    description: Description,
    incoming: Option<Box<Incoming>>,
    outgoing: Option<Box<Calling>>,
    asked: Vec<Asked>,
    served: Vec<Served>,
    session: SessionTimer,
    /// The largest Min-SE heard in a 422.
    least: Option<Duration>,
    standing: Option<Box<Standing>>,
    refer: Option<Subscription>,
    /// A BYE that waits for the ACK of our 2xx (RFC 3261 §15).
    bye_after_ack: Option<EndReason>,
    /// Whether the peer sent the first INVITE, so that the Call-ID is theirs.
    called_us: bool,
    /// Not ended for its peer's silence.
    kept: bool,
    /// Not ended for a re-INVITE that nobody acknowledged.
    forgiving: bool,
    told_over: bool,
}

impl Leg {
    fn bare(names: &LegNames, state: LegState, learn: bool) -> Self {
        Self {
            minter: Minter::new(names.key, names.call, names.leg),
            // Legs of one call must not wait for the same time.
            seed: names.seed.wrapping_add(u64::from(names.leg.0)),
            state,
            flow: None,
            trunk: None,
            policy: names.reliable,
            updates: false,
            dialog: None,
            description: Description::new(names.seed, Exchange::new(), learn),
            incoming: None,
            outgoing: None,
            asked: Vec::new(),
            served: Vec::new(),
            session: SessionTimer::off(),
            least: None,
            standing: None,
            refer: None,
            bye_after_ack: None,
            called_us: state == LegState::Waiting,
            kept: false,
            forgiving: false,
            told_over: false,
        }
    }

    /// A leg for an INVITE that was let in; sends 100 at once.
    pub fn incoming(now: Now, names: &LegNames, rules: &LegRules, invite: &Arrived, out: &mut Vec<LegOut>) -> Self {
        let mut leg = Self::bare(names, LegState::Waiting, true);
        leg.begin_incoming(now, rules, invite, out);
        leg
    }

    /// A leg that will call; nothing is sent before `Local` and `Invite`.
    #[must_use]
    pub fn outgoing(names: &LegNames) -> Self {
        Self::bare(names, LegState::Calling, true)
    }

    /// Does what the call wants; what no longer fits does nothing.
    pub fn act(&mut self, now: Now, rules: &LegRules, action: LegAction, out: &mut Vec<LegOut>) {
        match action {
            LegAction::Local(local) => {
                self.description.set_local(*local);
                self.check_offer(now, rules, out);
                self.provisional_due(now, rules, out);
            }
            LegAction::Prefer(codec) => self.description.prefer(codec),
            LegAction::Invite(wanted) => self.call_out(now, rules, *wanted, out),
            LegAction::Ring => self.answer_provisional(now, rules, 180, out),
            LegAction::Early => self.answer_provisional(now, rules, 183, out),
            LegAction::Answer => self.answer(now, rules, out),
            LegAction::Reject { status, q850, retry_after } => {
                self.reject(now, rules, status, q850, retry_after, out);
            }
            LegAction::HangUp(reason) => self.hang_up(now, rules, reason, out),
            LegAction::ReferProgress { status } => self.report_refer(now, rules, status, out),
            LegAction::Refresh => self.refresh(now, rules, out),
            LegAction::Keep => self.kept = true,
            LegAction::Forgive => self.forgiving = true,
        }
        self.settle(out);
    }

    /// Takes a message the switch matched to this leg. Inside a dialog both tags, ours with its check value, and the
    /// Call-ID are the proof; a phone's address is none, because phones behind NAT change it, and a carrier's may be
    /// any of its trunk.
    pub fn on_sip(&mut self, now: Now, rules: &LegRules, sender: Sender<'_>, arrived: &Arrived, out: &mut Vec<LegOut>) {
        let message = &arrived.message;
        if !self.may_come_from(&arrived.flow, sender) {
            let silent = message.method().is_none_or(|method| *method == Method::Ack);
            if !silent {
                Self::refuse(rules, arrived, 481, out);
            }
            return;
        }
        match message.method() {
            None => self.on_response(now, rules, sender.credential, message, out),
            Some(_) if self.is_repeated(message) => self.on_repeated(now, arrived, out),
            Some(Method::Cancel) if self.is_of_incoming(message) => self.on_incoming(now, rules, message, out),
            Some(Method::Ack) => self.on_ack(now, rules, message, out),
            Some(Method::Cancel) => Self::refuse(rules, arrived, 481, out),
            Some(_) => self.on_dialog_request(now, rules, arrived, out),
        }
        self.settle(out);
    }

    /// A leg lives on one side of us: what carriers send never reaches an agent's leg, whatever it names.
    fn may_come_from(&self, flow: &Flow, sender: Sender<'_>) -> bool {
        self.flow.is_none_or(|own| {
            let same_host = own.remote.ip().to_canonical() == flow.remote.ip().to_canonical();
            own.side == flow.side && (own.side == Side::Agent || same_host || sender.known)
        })
    }

    /// A connection is gone: transactions over it fail, the dialog stays.
    pub fn on_transport_down(&mut self, now: Now, rules: &LegRules, flow: FlowId, out: &mut Vec<LegOut>) {
        if self.flow.is_some_and(|own| own.id == flow) {
            self.fail_transport(now, rules, out);
        }
        self.settle(out);
    }

    /// Acts on whatever is due.
    pub fn on_deadline(&mut self, now: Now, rules: &LegRules, out: &mut Vec<LegOut>) {
        self.incoming_deadline(now, rules, out);
        self.outgoing_deadline(now, rules, out);
        self.requests_deadline(now, rules, out);
        match self.session.on_deadline(now) {
            Some(TimerReason::Refresh) => self.refresh(now, rules, out),
            Some(TimerReason::Expired) if !self.kept => self.lose(now, rules, out),
            Some(TimerReason::Expired) | None => {}
        }
        self.settle(out);
    }

    /// When to wake, and why.
    #[must_use]
    pub fn deadline(&self) -> Option<(Mono, LegTimer)> {
        let transactions = [
            self.incoming.as_ref().and_then(|incoming| incoming.deadline()),
            self.outgoing.as_ref().and_then(|calling| calling.transaction_deadline()),
            self.asked.iter().filter_map(Asked::deadline).min(),
            self.served.iter().filter_map(Served::deadline).min(),
        ];
        let calling = self.outgoing.as_ref().filter(|_| self.state < LegState::Talking);
        earliest(transactions.into_iter().map(|at| at.map(|at| (at, LegTimer::Transaction))).chain([
            calling.and_then(|calling| calling.dead_at()).map(|at| (at, LegTimer::Dead)),
            calling.and_then(|calling| calling.ring_until()).map(|at| (at, LegTimer::Ring)),
            self.session.deadline().filter(|_| self.state == LegState::Talking).map(|(at, _)| (at, LegTimer::Session)),
        ]))
    }

    /// Where it stands.
    #[must_use]
    pub const fn state(&self) -> LegState {
        self.state
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.state == LegState::Over
    }

    /// Whether the talk (or the attempt) has ended, though transactions may still wait.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.state >= LegState::Leaving
    }

    /// The dialog's names, once it has both tags.
    #[must_use]
    pub fn dialog_names(&self) -> Option<DialogNames> {
        self.dialog.as_ref().map(|dialog| DialogNames {
            call_id: dialog.id().call_id.to_vec(),
            local_tag: dialog.id().local_tag.to_vec(),
            remote_tag: dialog.id().remote_tag.to_vec(),
        })
    }

    /// The flow it talks over.
    #[must_use]
    pub const fn flow(&self) -> Option<Flow> {
        self.flow
    }

    /// The trunk it was called over; none for agents' legs and those that called us.
    #[must_use]
    pub const fn trunk(&self) -> Option<&TrunkName> {
        self.trunk.as_ref()
    }

    /// The codec agreed with the peer, or the one that its offer would give.
    #[must_use]
    pub fn codec(&self) -> Option<Codec> {
        self.description.codec()
    }

    /// The first INVITE of an incoming leg, until its transaction is over.
    #[must_use]
    pub fn invite(&self) -> Option<&Message> {
        self.incoming.as_ref().map(|incoming| incoming.request())
    }

    /// Notes what a message of the peer says it can do.
    fn learn(&mut self, message: &Message) {
        if message.header(Name::Allow).is_some() {
            self.updates = message.has_token(Name::Allow, "UPDATE");
        }
    }

    /// The next random number (SplitMix64): it needs to differ, not to be secret.
    const fn draw(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Ends the talk: from here on only repetitions are served.
    fn leave(&mut self) {
        if self.state < LegState::Leaving {
            self.state = LegState::Leaving;
            self.session = SessionTimer::off();
        }
    }

    /// The dialog is dead: says so once, and says goodbye in case the peer still lives.
    fn lose(&mut self, now: Now, rules: &LegRules, out: &mut Vec<LegOut>) {
        if self.state >= LegState::Leaving {
            return;
        }
        out.push(LegOut::Event(LegEvent::Lost));
        self.hang_up(now, rules, EndReason::LegLost, out);
        self.leave();
    }

    fn hang_up(&mut self, now: Now, rules: &LegRules, reason: EndReason, out: &mut Vec<LegOut>) {
        match self.state {
            LegState::Waiting => self.reject(now, rules, reason.status(), Some(reason.q850()), None, out),
            LegState::Calling | LegState::Ringing => self.give_up(now, rules, reason, out),
            LegState::Talking if self.awaits_ack() => {
                self.bye_after_ack = Some(reason);
                self.leave();
            }
            LegState::Talking => {
                self.leave();
                self.send_bye(now, rules, reason, out);
            }
            LegState::Leaving | LegState::Over => {}
        }
    }

    fn settle(&mut self, out: &mut Vec<LegOut>) {
        self.asked.retain(|asked| !asked.is_over());
        self.served.retain(|served| !served.is_over());
        // A talk outlives its INVITE by hours: what only its set-up and repetitions needed is not kept.
        if self.state == LegState::Talking {
            self.incoming = self.incoming.take().filter(|incoming| !incoming.is_over());
            self.outgoing = self.outgoing.take().filter(|calling| !calling.is_over());
        }
        let quiet = self.asked.is_empty()
            && self.served.is_empty()
            && self.incoming.as_ref().is_none_or(|incoming| incoming.is_over())
            && self.outgoing.as_ref().is_none_or(|calling| calling.is_over());
        if quiet && self.state == LegState::Leaving && self.bye_after_ack.is_none() {
            self.state = LegState::Over;
        }
        if self.state == LegState::Over && !self.told_over {
            self.told_over = true;
            out.push(LegOut::Event(LegEvent::Over));
        }
    }
}

#[cfg(test)]
mod tests;
