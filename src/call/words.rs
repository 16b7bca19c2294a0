//! What reaches a call and what it asks of the world.
//!
//! A call holds no handle: every effect names its addressee by value (a flow, a wait, a media leg, a lookup), every
//! input that answers an effect carries the same id, and an answer with an old id is dropped. Deliberately absent:
//! how effects are carried out (`engine`), and whose packet it is (`switch`).

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::acd::words::{AcdVerdict, QueueRequest};
use crate::base::flow::{Flow, FlowId, Transport};
use crate::base::id::{AgentId, LegId, LookupId, QueueName, TicketId, TrunkName};
use crate::call::leg::words::Replaces;
use crate::event::call::{Barrier, CallEvent, Classification};
use crate::event::reason::EndReason;
use crate::plan::trunk::Reliable;
use crate::rtp::command::{MediaCommand, MediaReport};
use crate::sip::message::Message;

/// The first name of a leg that the switch gives; a call mints its own below.
pub const FIRST_CONSULT: LegId = LegId(0x8000);

/// A message as it came in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Arrived {
    /// The message.
    pub message: Message,
    /// What it came over; answers and in-dialog requests go over the same.
    pub flow: Flow,
}

/// What a call asks the switch to find.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Query {
    /// Where an agent's phones are registered.
    Agent(AgentId),
    /// How a number is reached over a trunk.
    Trunk {
        /// The trunk.
        trunk: TrunkName,
        /// The number to call, as the plan wrote it.
        number: Arc<str>,
        /// Exempt from the trunk's caps.
        emergency: bool,
    },
}

/// One way to reach somebody.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Target {
    /// Where to send the INVITE.
    pub flow: Flow,
    /// Its Request-URI, complete.
    pub uri: Arc<str>,
    /// Its To URI.
    pub to: Arc<str>,
    /// Route header values to preload (Path of a registration).
    pub route: Vec<Arc<str>>,
    /// The trunk it belongs to, if any.
    pub trunk: Option<TrunkName>,
    /// Whether the citizen's number may be asserted there.
    pub trusted: bool,
    /// A stream to the same peer for a request too large for a datagram (RFC 3261 §18.1.1); opened when first used.
    pub stream: Option<Flow>,
    /// Whether its provisional answers are asked to be reliable.
    pub reliable: Reliable,
    /// The platforms the call has passed, ours last, where it goes to another platform.
    pub hops: Option<Arc<str>>,
}

/// A far end of a trunk as a leg over it knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FarEnd {
    /// The trunk.
    pub trunk: TrunkName,
    /// How it is reached.
    pub transport: Transport,
    /// Where.
    pub remote: SocketAddr,
}

/// What a call tells the switch of its legs over trunks, which counts them and judges the far ends by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FarNews {
    /// A leg over it begins; the question it answers, when it is the first leg of that.
    Begun(Option<LookupId>),
    /// It answered the INVITE, rang, or refused it with something other than 503 and 408.
    Alive,
    /// It did not respond at all, or with 503 or 408.
    Lost,
    /// The leg is over.
    Over,
}

/// The ordered answer to a [`Query`]; empty when there is no way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Targets(pub Vec<Target>);

/// What people ask of a live call by API, console or phone code.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OperatorCommand {
    /// Join a third party to the talk of caller and agent (attended three-way).
    ThreeWay {
        /// Whom.
        to: Destination,
        /// Who asks.
        by: Option<AgentId>,
    },
    /// One-key emergency hand-over.
    Emergency {
        /// 110, 119, 120, 122, ….
        line: Arc<str>,
        /// Who asks.
        by: Option<AgentId>,
    },
    /// Hang up one leg, or the whole call when `None`.
    HangUp {
        /// Which leg.
        leg: Option<LegId>,
        /// Why.
        reason: EndReason,
    },
    /// Set what the matter is.
    Classify {
        /// Who says so.
        by: Option<AgentId>,
        /// What.
        classification: Box<Classification>,
    },
    /// Mark as malicious.
    Malicious {
        /// Who says so.
        by: Option<AgentId>,
        /// Why.
        reason: Arc<str>,
    },
    /// The engine drains: end politely by the deadline, never an emergency call.
    Drain,
}

/// Whom to call.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Destination {
    /// An agent's phone.
    Agent(AgentId),
    /// A queue of the place (expert seats, supervisors).
    Queue(QueueName),
    /// A number over a trunk.
    Number {
        /// The trunk; `None` lets the plan choose.
        trunk: Option<TrunkName>,
        /// The number.
        number: Arc<str>,
    },
    /// A unit's contact, by the unit's name in the plan.
    Unit(Arc<str>),
}

/// What exchanging a leg between two calls says (joining another citizen's call): `Wanted → Given | Refused → Taken`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LegExchange {
    /// Another call wants this leg.
    Wanted {
        /// The leg.
        leg: LegId,
    },
    /// The leg is given; the giver keeps forwarding until `Taken`.
    Given {
        /// The leg.
        leg: LegId,
    },
    /// The leg is not given.
    Refused {
        /// The leg.
        leg: LegId,
    },
    /// The leg has arrived.
    Taken {
        /// The leg.
        leg: LegId,
    },
}

/// Into a call.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CallInput {
    /// A message for a leg (or, for a new INVITE of an agent who is in this call, for a leg to be made).
    Sip(LegId, Box<Arrived>),
    /// An INVITE of an agent who has a live leg in this call: a consult leg (`design`: attended transfer in one task).
    Consult {
        /// The leg to be made; the switch names legs that begin outside the call from [`FIRST_CONSULT`] on, so that
        /// repetitions and CANCEL of the INVITE find it.
        leg: LegId,
        /// The agent.
        agent: AgentId,
        /// The number dialled: the Request-URI's user part.
        dialled: Arc<str>,
        /// The INVITE, authenticated.
        invite: Box<Arrived>,
    },
    /// An INVITE of an agent with Replaces (RFC 3891): his other phone takes over a talk of his in this call.
    Replace {
        /// The leg to be made, named as that of a consult.
        leg: LegId,
        /// The agent.
        agent: AgentId,
        /// The dialog it names.
        replaces: Box<Replaces>,
        /// The INVITE, authenticated.
        invite: Box<Arrived>,
    },
    /// From the media worker.
    Media(MediaReport),
    /// From the ACD.
    Acd(AcdVerdict),
    /// From the switch.
    Found(LookupId, Box<Targets>),
    /// From people.
    Operator(Box<OperatorCommand>),
    /// The journal has stored everything up to this `journal_seq`.
    Stored(u64),
    /// The receiver numbered the ticket.
    TicketNo(Arc<str>),
    /// A leg moves between calls.
    Exchange(LegExchange),
    /// A connection is gone; ends no leg by itself.
    TransportDown(FlowId),
    /// A deadline came.
    Deadline,
}

/// Out of a call.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CallEffect {
    /// Send bytes over a flow.
    Transmit(Flow, Bytes),
    /// Tell the media worker.
    Media(MediaCommand),
    /// Tell the ACD.
    Queue(QueueRequest),
    /// Ask the switch.
    Find(LookupId, Query),
    /// Give or take a leg.
    Give(LegExchange),
    /// How a leg over a trunk fares.
    Far(LegId, FarEnd, FarNews),
    /// Something happened; journal it.
    Emit(Box<CallEvent>, Barrier),
}

/// What a call is told at its birth besides its origin.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// The call.
    pub call: crate::base::id::CallId,
    /// Its ticket.
    pub ticket: TicketId,
    /// Seeds every tag, branch and SDP id of the call.
    pub seed: u64,
    /// Where our own signalling is reached, for Contact, per flow; by default the flow's `local`.
    pub advertised: Option<SocketAddr>,
}
