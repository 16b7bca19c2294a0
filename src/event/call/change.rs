//! Which happenings are published to ticket receivers, and under which word.
//!
//! Deliberately absent: rendering (`event::ticket`).

use serde::{Deserialize, Serialize};

use super::Happening;

/// The `change` word of a published event (`contract.md` §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Change {
    /// `call.started`
    #[serde(rename = "call.started")]
    CallStarted,
    /// `call.queued`
    #[serde(rename = "call.queued")]
    CallQueued,
    /// `call.offered`
    #[serde(rename = "call.offered")]
    CallOffered,
    /// `call.answered`
    #[serde(rename = "call.answered")]
    CallAnswered,
    /// `call.held`
    #[serde(rename = "call.held")]
    CallHeld,
    /// `call.resumed`
    #[serde(rename = "call.resumed")]
    CallResumed,
    /// `call.classified`
    #[serde(rename = "call.classified")]
    CallClassified,
    /// `call.abandoned`
    #[serde(rename = "call.abandoned")]
    CallAbandoned,
    /// `transfer.started`
    #[serde(rename = "transfer.started")]
    TransferStarted,
    /// `transfer.result`
    #[serde(rename = "transfer.result")]
    TransferResult,
    /// `conference.joined`
    #[serde(rename = "conference.joined")]
    ConferenceJoined,
    /// `conference.left`
    #[serde(rename = "conference.left")]
    ConferenceLeft,
    /// `emergency.started`
    #[serde(rename = "emergency.started")]
    EmergencyStarted,
    /// `emergency.result`
    #[serde(rename = "emergency.result")]
    EmergencyResult,
    /// `contact.attempt`
    #[serde(rename = "contact.attempt")]
    ContactAttempt,
    /// `malicious`
    #[serde(rename = "malicious")]
    Malicious,
    /// `survey`
    #[serde(rename = "survey")]
    Survey,
    /// `callback.result`
    #[serde(rename = "callback.result")]
    CallbackResult,
    /// `recording.ready`
    #[serde(rename = "recording.ready")]
    RecordingReady,
    /// `subcentre.call`
    #[serde(rename = "subcentre.call")]
    SubcentreCall,
    /// `ticket_no`
    #[serde(rename = "ticket_no")]
    TicketNo,
    /// `call.ended`
    #[serde(rename = "call.ended")]
    CallEnded,
}

impl Happening {
    /// The published change, or `None` for what only the journal keeps. [`Self::Closed`] is published as
    /// `ticket.closed` with the change `call.ended`.
    #[must_use]
    pub const fn change(&self) -> Option<Change> {
        Some(match self {
            Self::Started(_) => Change::CallStarted,
            Self::Queued { .. } => Change::CallQueued,
            Self::Offered { .. } => Change::CallOffered,
            Self::Answered { .. } => Change::CallAnswered,
            Self::Held { .. } => Change::CallHeld,
            Self::Resumed { .. } => Change::CallResumed,
            Self::Classified { .. } => Change::CallClassified,
            Self::Abandoned { .. } => Change::CallAbandoned,
            Self::TransferStarted { .. } => Change::TransferStarted,
            Self::TransferResult { .. } => Change::TransferResult,
            Self::ConferenceJoined { .. } => Change::ConferenceJoined,
            Self::ConferenceLeft { .. } => Change::ConferenceLeft,
            Self::EmergencyStarted { .. } => Change::EmergencyStarted,
            Self::EmergencyResult { .. } => Change::EmergencyResult,
            Self::ContactAttempt { .. } => Change::ContactAttempt,
            Self::Malicious { .. } => Change::Malicious,
            Self::Survey { .. } => Change::Survey,
            Self::CallbackResult { .. } => Change::CallbackResult,
            Self::RecordingReady { .. } => Change::RecordingReady,
            Self::SubcentreCall { .. } => Change::SubcentreCall,
            Self::TicketNo { .. } => Change::TicketNo,
            Self::Ended { .. } | Self::Closed => Change::CallEnded,
            Self::LegStarted { .. }
            | Self::LegRinging { .. }
            | Self::LegAnswered { .. }
            | Self::LegEnded { .. }
            | Self::PromptPlayed { .. }
            | Self::Overflowed { .. }
            | Self::OfferEnded { .. }
            | Self::EmergencyAttempt { .. } => return None,
        })
    }
}
