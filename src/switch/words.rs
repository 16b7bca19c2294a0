//! What the switch asks of the world.
//!
//! Deliberately absent: how it is carried out (`engine/switch_task`).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::acd::words::AcdInput;
use crate::base::flow::{Flow, Side, Transport};
use crate::base::id::{CallId, TrunkName};
use crate::call::agent_call::AgentCall;
use crate::call::setup::Inbound;
use crate::call::words::{Arrived, CallInput, FarEnd, Identity};
use crate::event::alarm::AlarmNote;
use crate::plan::trunk::Trunk;
use crate::switch::admission::Refused;
use crate::switch::damping::Paused;
use crate::switch::locate::Wanted;

/// A call to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCall {
    /// Its names.
    pub identity: Identity,
    /// The INVITE.
    pub invite: Arrived,
    /// What was read and decided.
    pub facts: Beginning,
    /// Whether it may use the room kept for emergencies.
    pub emergency: bool,
}

/// Where a call begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// At a trunk.
    Trunk(Box<Inbound>),
    /// At an agent's phone.
    Agent(AgentCall),
}

/// What is counted, per trunk where one is known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counted {
    /// A packet that could not be read; answered or not.
    Malformed,
    /// A request from an address no trunk owns.
    UnknownSource,
    /// A call refused for a cap or drain.
    Refused(Option<TrunkName>, Refused),
    /// A wrong or missing credential.
    Challenged,
    /// Credentials answered with a challenge unread, because somebody guesses passwords.
    Unchecked,
    /// Somebody guesses passwords: a pause begins.
    Guessing {
        /// From where.
        address: IpAddr,
        /// As whom; not shown whole in logs.
        user: String,
        /// What is paused.
        paused: Paused,
        /// For how long.
        pause: Duration,
    },
    /// A request not answered, because its address asked too often without ever showing a password.
    Throttled,
    /// A message for a dialog or transaction that is not here (any more).
    Stray,
    /// The same request by two ways (482).
    Merged,
    /// A call that came back to us, or passed too many platforms (482, 483).
    Looped(TrunkName),
    /// A call let in.
    Admitted(TrunkName),
    /// Fields and body parts of a call over a trunk that had no room to go on with it.
    LeftOut(TrunkName, u16),
    /// A leg out that a trunk's cap did not let go over it.
    RefusedOut(TrunkName, Refused),
    /// A far end of a trunk that is in use again, or no longer.
    Turned(FarEnd, bool),
}

/// Out of the switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SwitchEffect {
    /// Send bytes over a flow.
    Transmit(Flow, bytes::Bytes),
    /// Begin a call.
    Begin(Box<NewCall>),
    /// Put something into a call's mailbox.
    Deliver(CallId, CallInput),
    /// Tell the queues.
    Acd(AcdInput),
    /// Count something.
    Count(Counted),
    /// Ask the DNS where a name leads; [`Switch::located`](super::Switch::located) takes the answer.
    Locate(Wanted),
    /// Tell people that a condition begins or ends.
    Alarm(AlarmNote),
}

/// A far end, with what a path to it depends on.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'a> {
    /// Where it is.
    pub remote: SocketAddr,
    /// The host by which it was configured, before SRV and address look-ups: its certificate must bear this name.
    pub name: &'a str,
    /// The trunk it belongs to: chooses our listener, the address it sees, and how TLS is checked.
    pub trunk: Option<&'a Trunk>,
}

/// Ways to peers, as the sockets offer them.
pub trait Paths {
    /// The flow that reaches a peer from one of our sides, if that side speaks the transport. Asking opens nothing: a
    /// connection is opened by the first message sent over its flow, and one that fails is told as a closed flow.
    fn flow_to(&self, side: Side, transport: Transport, peer: &Peer<'_>) -> Option<Flow>;
}
