//! One call and all its legs: a pure machine fed with packets, media reports and verdicts.
//!
//! [`Call`] is call control ([`control`]: who is fetched, who hears whom) coupled with the protocol of its legs
//! ([`leg`]): a message goes to its leg, what the leg reports goes to control, what control wants done goes to the
//! legs and the world. It holds no handle, clock or plan, so it can be cloned, compared, hashed, stored and explored;
//! the task that owns it keeps the pinned plan beside it and hands it in as [`Terms`].
//!
//! | file | work |
//! |---|---|
//! | `setup` | the beginning, and the walk along the plan |
//! | `agent_call` | calls that begin at an agent's phone |
//! | `queueing` | waiting for an agent |
//! | `attempt`, `outgoing`, `toward` | fetching somebody |
//! | `carried` | what of the caller's INVITE goes on |
//! | `bridge` | talks; who leaves and what then |
//! | `transfer`, `three_way`, `codes` | what agents ask for |
//! | `destination` | whom a number reaches, with whose rights |
//! | `emergency` | lines that are never given up |
//! | `ending` | the only way out |
//! | `legs`, `phase`, `mints`, `journal`, `due`, `announce` | state, names, events, deadlines, texts |
//!
//! Deliberately absent: whose packet it is (`switch`), ranking (`acd`), packets of sound (`engine/media`).

#![warn(clippy::wildcard_enum_match_arm)]

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::id::LegId;
use crate::base::now::{Mono, Now, earliest};
use crate::call::agent_call::AgentCall;
use crate::call::control::{Control, ControlInput, Doing, Plans};
use crate::call::due::CallTimer;
use crate::call::leg::words::{LegEvent, Replaces};
use crate::call::leg::{Leg, LegNames, LegOut, LegRules, Sender};
use crate::call::legs::CALLER;
use crate::call::setup::Inbound;
use crate::call::words::{Arrived, CallEffect, CallInput, Identity};
use crate::plan::trunk::Reliable;
use crate::sip::token::TokenKey;

pub mod agent_call;
mod announce;
pub mod attempt;
mod bridge;
pub mod carried;
pub mod codes;
pub mod control;
pub mod destination;
pub mod due;
pub mod emergency;
mod ending;
pub mod failure;
pub mod journal;
pub mod leg;
pub mod legs;
mod mints;
mod outgoing;
pub mod phase;
mod queueing;
pub mod setup;
mod three_way;
mod toward;
mod transfer;
pub mod words;

/// What a call is handled under; the same for all its life but for [`Plans::newest`].
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The plans.
    pub plans: Plans<'a>,
    /// What its legs follow.
    pub legs: &'a LegRules,
    /// Signs its branches and tags.
    pub key: TokenKey,
}

/// How a call comes to be.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Origin {
    /// An INVITE that passed admission.
    Inbound {
        /// The INVITE.
        invite: Box<Arrived>,
        /// What the switch read and the plan decided.
        facts: Box<Inbound>,
    },
    /// An INVITE of an agent in no talk, authenticated and admitted.
    Agent {
        /// The INVITE.
        invite: Box<Arrived>,
        /// What the switch read and the plan decided.
        facts: Box<AgentCall>,
    },
    /// A call as it was stored before a restart.
    Restored(Box<Call>),
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Call {
    control: Control,
    /// Shared with the clone kept before an input: only the leg that acts is copied.
    legs: Vec<(LegId, Arc<Leg>)>,
}

/// What one leg reported, or what control is to be told next.
type Told = std::collections::VecDeque<ControlInput>;

impl Call {
    /// Begins a call, or goes on with a stored one.
    #[must_use]
    pub fn new(now: Now, terms: Terms<'_>, identity: Identity, origin: Origin, out: &mut Vec<CallEffect>) -> Self {
        match origin {
            Origin::Inbound { invite, facts } => {
                let reliable = terms.plans.pinned.trunk(&facts.trunk).map(|trunk| trunk.reliable);
                let names = LegNames { reliable: reliable.unwrap_or_default(), ..names(&identity, terms, CALLER) };
                let control = |doing: &mut Vec<Doing>| Control::inbound(now, terms.plans, identity, &facts, doing);
                Self::begin(now, terms, &names, &invite, out, control)
            }
            Origin::Agent { invite, facts } => {
                let names = names(&identity, terms, CALLER);
                let control = |doing: &mut Vec<Doing>| Control::of_agent(now, terms.plans, identity, &facts, doing);
                Self::begin(now, terms, &names, &invite, out, control)
            }
            Origin::Restored(call) => *call,
        }
    }

    fn begin(
        now: Now,
        terms: Terms<'_>,
        names: &LegNames,
        invite: &Arrived,
        out: &mut Vec<CallEffect>,
        control: impl FnOnce(&mut Vec<Doing>) -> Control,
    ) -> Self {
        let mut reported = Vec::new();
        let caller = Leg::incoming(now, names, terms.legs, invite, &mut reported);
        let mut doing = Vec::new();
        let control = control(&mut doing);
        let mut call = Self { control, legs: vec![(CALLER, Arc::new(caller))] };
        let mut told = Told::new();
        call.sort(CALLER, reported, &mut told, out);
        call.carry_out(now, terms, doing, &mut told, out);
        call.run(now, terms, told, out);
        call
    }

    /// Takes one input.
    pub fn handle(&mut self, now: Now, terms: Terms<'_>, input: CallInput, out: &mut Vec<CallEffect>) {
        let mut told = Told::new();
        match input {
            CallInput::Sip(leg, arrived) => {
                let sender = self.sender(terms, leg, &arrived);
                self.with_leg(leg, &mut told, out, |leg, reported| {
                    leg.on_sip(now, terms.legs, sender, &arrived, reported);
                });
            }
            CallInput::Consult { leg, agent, dialled, invite } => {
                let mut reported = Vec::new();
                let names = names(&self.control.identity, terms, leg);
                let line = Leg::incoming(now, &names, terms.legs, &invite, &mut reported);
                self.legs.push((leg, Arc::new(line)));
                told.push_back(ControlInput::Consult { leg, agent, dialled });
                self.sort(leg, reported, &mut told, out);
            }
            CallInput::Replace { leg, agent, replaces, invite } => {
                let mut reported = Vec::new();
                let names = names(&self.control.identity, terms, leg);
                let named = self.leg_named(&replaces).filter(|_| !replaces.early_only);
                let line = Leg::incoming(now, &names, terms.legs, &invite, &mut reported);
                self.legs.push((leg, Arc::new(line)));
                told.push_back(ControlInput::Replace { leg, agent, named });
                self.sort(leg, reported, &mut told, out);
            }
            CallInput::Media(report) => told.push_back(ControlInput::Media(report)),
            CallInput::Acd(verdict) => told.push_back(ControlInput::Acd(verdict)),
            CallInput::Found(lookup, targets) => told.push_back(ControlInput::Found(lookup, *targets)),
            CallInput::Operator(command) => told.push_back(ControlInput::Operator(command)),
            CallInput::Stored(seq) => told.push_back(ControlInput::Stored(seq)),
            CallInput::TicketNo(number) => told.push_back(ControlInput::TicketNo(number)),
            CallInput::Exchange(_) => {}
            CallInput::TransportDown(flow) => {
                for leg in self.leg_ids() {
                    self.with_leg(leg, &mut told, out, |leg, reported| {
                        leg.on_transport_down(now, terms.legs, flow, reported);
                    });
                }
            }
            CallInput::Deadline => self.on_deadline(now, terms, &mut told, out),
        }
        self.run(now, terms, told, out);
    }

    fn on_deadline(&mut self, now: Now, terms: Terms<'_>, told: &mut Told, out: &mut Vec<CallEffect>) {
        let due = |leg: &Leg| leg.deadline().is_some_and(|(at, _)| at <= now.mono);
        for id in self.legs.iter().filter(|(_, leg)| due(leg)).map(|(id, _)| *id).collect::<Vec<_>>() {
            self.with_leg(id, told, out, |leg, reported| leg.on_deadline(now, terms.legs, reported));
        }
        if self.control.deadline().is_some_and(|(at, _)| at <= now.mono) {
            told.push_back(ControlInput::Deadline);
        }
    }

    /// Tells control everything there is to tell, and carries out what it wants, until both are quiet.
    fn run(&mut self, now: Now, terms: Terms<'_>, mut told: Told, out: &mut Vec<CallEffect>) {
        while let Some(input) = told.pop_front() {
            let mut doing = Vec::new();
            self.control.handle(now, terms.plans, input, &mut doing);
            self.carry_out(now, terms, doing, &mut told, out);
        }
    }

    fn carry_out(&mut self, now: Now, terms: Terms<'_>, doing: Vec<Doing>, told: &mut Told, out: &mut Vec<CallEffect>) {
        for wanted in doing {
            match wanted {
                Doing::Make(id) => {
                    let names = names(&self.control.identity, terms, id);
                    self.legs.push((id, Arc::new(Leg::outgoing(&names))));
                }
                Doing::Act(id, action) => {
                    self.with_leg(id, told, out, |leg, reported| leg.act(now, terms.legs, action, reported));
                }
                Doing::Drop(id) => self.legs.retain(|(own, _)| *own != id),
                Doing::Effect(effect) => out.push(effect),
            }
        }
    }

    fn with_leg(
        &mut self,
        id: LegId,
        told: &mut Told,
        out: &mut Vec<CallEffect>,
        act: impl FnOnce(&mut Leg, &mut Vec<LegOut>),
    ) {
        let mut reported = Vec::new();
        if let Some((_, leg)) = self.legs.iter_mut().find(|(own, _)| *own == id) {
            act(Arc::make_mut(leg), &mut reported);
        }
        self.sort(id, reported, told, out);
    }

    /// Sorts what a leg puts out into packets for the world and reports for control.
    fn sort(&self, id: LegId, reported: Vec<LegOut>, told: &mut Told, out: &mut Vec<CallEffect>) {
        for one in reported {
            match one {
                LegOut::Transmit(flow, bytes) => out.push(CallEffect::Transmit(flow, bytes)),
                LegOut::Event(LegEvent::Refer { to, replaces, .. }) => {
                    let replaces = replaces.map(|named| self.leg_named(&named));
                    told.push_back(ControlInput::Refer { leg: id, to, replaces });
                }
                LegOut::Event(event) => told.push_back(ControlInput::Leg(id, event)),
            }
        }
    }

    /// The leg whose dialog a Replaces names (RFC 3891 §3: to-tag is ours, from-tag the peer's).
    fn leg_named(&self, named: &Replaces) -> Option<LegId> {
        self.legs.iter().find_map(|(id, leg)| {
            let names = leg.dialog_names()?;
            let same = names.call_id == named.call_id.as_bytes()
                && names.local_tag == named.to_tag.as_bytes()
                && names.remote_tag == named.from_tag.as_bytes();
            same.then_some(*id)
        })
    }

    /// What the newest plan knows of a message's sender: an account is changed by a reload, an address too.
    fn sender<'p>(&self, terms: Terms<'p>, id: LegId, arrived: &Arrived) -> Sender<'p> {
        let plan = terms.plans.newest;
        let came_over = || self.control.origins().trunk.as_ref().filter(|_| id == CALLER);
        let Some(own) = self.leg(id).and_then(Leg::trunk).or_else(came_over) else { return Sender::default() };
        let trunk = plan.trunk(own).or_else(|| terms.plans.pinned.trunk(own));
        let known = plan.settings.trunk_for(arrived.flow.remote).is_some_and(|trunk| trunk.name == *own);
        Sender { credential: trunk.and_then(|trunk| trunk.credential.as_deref()), known }
    }

    fn leg_ids(&self) -> Vec<LegId> {
        self.legs.iter().map(|(id, _)| *id).collect()
    }

    /// When the call wants to be woken, and why.
    #[must_use]
    pub fn deadline(&self) -> Option<(Mono, CallTimer)> {
        if self.is_over() {
            return None;
        }
        let legs = self.legs.iter().map(|(_, leg)| leg.deadline().map(|(at, why)| (at, CallTimer::Leg(why))));
        earliest(legs.chain([self.control.deadline()]))
    }

    /// Whether nothing is left: every leg over, the end said.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.control.is_over()
    }

    /// Call control, to look at.
    #[must_use]
    pub const fn control(&self) -> &Control {
        &self.control
    }

    /// The protocol of a leg, to look at (dialog names for Replaces, flows for a dying connection).
    #[must_use]
    pub fn leg(&self, id: LegId) -> Option<&Leg> {
        self.legs.iter().find(|(own, _)| *own == id).map(|(_, leg)| leg.as_ref())
    }

    /// All legs that still have a transaction, with their protocol.
    pub fn legs(&self) -> impl Iterator<Item = (LegId, &Leg)> {
        self.legs.iter().map(|(id, leg)| (*id, leg.as_ref()))
    }
}

fn names(identity: &Identity, terms: Terms<'_>, leg: LegId) -> LegNames {
    LegNames { call: identity.call, leg, key: terms.key, seed: identity.seed, reliable: Reliable::default() }
}
