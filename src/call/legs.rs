//! The legs of a call as call control sees them: who, how far, and what each hears.
//!
//! Every leg has one desired [`Source`]; `CallLeg::tune` tells the media worker when it differs from the last one
//! told, so that no path through a call can forget a leg in silence. Actions that must wait (for the store barrier,
//! for media ports) stand in `waiting` in order. Deliberately absent: dialogs and SDP (`leg`).

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::acd::words::LineCause;
use crate::base::id::LegId;
use crate::base::now::Mono;
use crate::call::codes::CodeReader;
use crate::call::leg::words::LegAction;
use crate::call::words::{FarEnd, FarNews};
use crate::event::call::{LegRole, Party};
use crate::event::reason::EndReason;
use crate::plan::step::Announcement;
use crate::rtp::command::{Codec, MediaCommand, Play, PlayToken, Source};

/// The citizen's leg of an inbound call.
pub const CALLER: LegId = LegId(0);

/// After this long without a report a playing counts as played (the worker is gone or the clip endless).
const PLAY_GUARD: Duration = Duration::from_secs(60);

/// How far a leg is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Stage {
    /// Incoming and unanswered, or outgoing without a sign of ringing.
    Setup,
    /// Rings: 180 or 183 was sent or came.
    Ringing,
    /// Answered.
    Talking,
    /// Ended for the call; its last messages are on their way.
    Gone,
}

/// A talk: all its members hear each other. A consult's is numbered as its transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Room(pub u16);

impl Room {
    /// The citizen's talk.
    pub const MAIN: Self = Self(0);
}

/// Why something is played to a leg; says what follows its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PlayFor {
    /// The plan's announce step.
    Step,
    /// A greeting while agents are rung.
    Greeting,
    /// Anything that needs no consequence: position, agent number, whisper, a notice.
    Note,
    /// The caller waits for an emergency desk.
    Emergency,
}

/// A playing on a leg.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Playing {
    /// What was told to the worker, without its `then`.
    pub play: Play,
    /// Why.
    pub why: PlayFor,
    /// When it counts as played, report or not.
    pub until: Mono,
}

/// One leg.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CallLeg {
    /// Its name.
    pub id: LegId,
    /// What it is to the call.
    pub role: LegRole,
    /// Who stands behind it.
    pub party: Party,
    /// The far end of the trunk it was called over, until it is over.
    pub far: Option<FarEnd>,
    /// Whether the peer called us.
    pub incoming: bool,
    /// How far it is.
    pub stage: Stage,
    /// Whether its ports are bound.
    pub local: bool,
    /// Whether the peer's description is known, so that it can hear.
    pub connected: bool,
    /// The codec agreed with the peer.
    pub codec: Option<Codec>,
    /// Actions that wait for ports or the barrier.
    pub waiting: Vec<LegAction>,
    /// The talk it takes part in.
    pub room: Option<Room>,
    /// What it hears outside a talk, or alone in one.
    pub idle: Source,
    /// What is played to it, over everything else.
    pub play: Option<Playing>,
    /// What the worker was last told.
    pub told: Option<Source>,
    /// Whether its party holds us.
    pub on_hold: bool,
    /// When a holding agent's phone is asked whether it still lives.
    pub probe_at: Option<Mono>,
    /// Since when nothing has come from it.
    pub silent_since: Option<Mono>,
    /// Whether its line state counts as queue work.
    pub cause: LineCause,
    /// Reads star codes, on agents' legs.
    pub codes: CodeReader,
    /// Since when an unanswered caller hears early media from us.
    pub early_since: Option<Mono>,
    /// When 183 is repeated.
    pub early_again: Option<Mono>,
}

impl CallLeg {
    /// What its end says of the far end, before it is booked: nothing where it had rung, or was never called.
    pub(super) fn sign_of_life(&self, reason: EndReason, sip_code: Option<u16>) -> Option<FarNews> {
        if self.stage != Stage::Setup || !self.waiting.is_empty() {
            return (self.stage == Stage::Ringing).then_some(FarNews::Alive);
        }
        match sip_code {
            Some(408 | 503) => Some(FarNews::Lost),
            Some(_) => Some(FarNews::Alive),
            None => (reason == EndReason::Unreachable).then_some(FarNews::Lost),
        }
    }

    pub(super) fn new(id: LegId, role: LegRole, party: Party, incoming: bool, cause: LineCause) -> Self {
        Self {
            id,
            role,
            party,
            far: None,
            incoming,
            stage: Stage::Setup,
            local: false,
            connected: false,
            codec: None,
            waiting: Vec::new(),
            room: None,
            idle: Source::Silence,
            play: None,
            told: None,
            on_hold: false,
            probe_at: None,
            silent_since: None,
            cause,
            codes: CodeReader::default(),
            early_since: None,
            early_again: None,
        }
    }

    /// Whether the leg still counts for the call.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.stage != Stage::Gone
    }

    /// Whether the leg is answered.
    #[must_use]
    pub fn talks(&self) -> bool {
        self.stage == Stage::Talking
    }

    /// Begins to play over whatever the leg hears.
    pub(super) fn play(&mut self, now: Mono, token: PlayToken, why: PlayFor, tenant: &Arc<str>, what: &Announcement) {
        let endless = why == PlayFor::Emergency;
        self.play = Some(Playing {
            play: Play {
                token,
                tenant: Arc::clone(tenant),
                clips: what.clips.clone(),
                times: 1,
                pause_ms: 0,
                barge_in: false,
                then: Source::Nothing,
            },
            why,
            until: now + if endless { PLAY_GUARD / 2 } else { PLAY_GUARD },
        });
    }

    /// Tells the worker what the leg hears, when that changed and the leg can hear.
    pub(super) fn tune(&mut self, base: Source) -> Option<MediaCommand> {
        if !self.connected || !self.is_alive() {
            return None;
        }
        let source = match &self.play {
            Some(playing) => Source::Play(Box::new(Play { then: base, ..playing.play.clone() })),
            None => base,
        };
        if self.told.as_ref() == Some(&source) {
            return None;
        }
        self.told = Some(source.clone());
        Some(MediaCommand::Hear { leg: self.id, source })
    }
}

/// All legs of a call, in the order they came to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Legs(Vec<CallLeg>);

impl Legs {
    pub(super) fn add(&mut self, leg: CallLeg) {
        self.0.push(leg);
    }

    /// A leg by name.
    #[must_use]
    pub fn named(&self, id: LegId) -> Option<&CallLeg> {
        self.0.iter().find(|leg| leg.id == id)
    }

    pub(super) fn named_mut(&mut self, id: LegId) -> Option<&mut CallLeg> {
        self.0.iter_mut().find(|leg| leg.id == id)
    }

    /// A leg by name, unless it is gone for the call.
    #[must_use]
    pub fn alive(&self, id: LegId) -> Option<&CallLeg> {
        self.named(id).filter(|leg| leg.is_alive())
    }

    pub(super) fn alive_mut(&mut self, id: LegId) -> Option<&mut CallLeg> {
        self.named_mut(id).filter(|leg| leg.is_alive())
    }

    /// All legs.
    pub fn iter(&self) -> impl Iterator<Item = &CallLeg> {
        self.0.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut CallLeg> {
        self.0.iter_mut()
    }

    /// Names of the legs that satisfy a condition.
    pub(super) fn names(&self, wanted: impl Fn(&CallLeg) -> bool) -> Vec<LegId> {
        self.0.iter().filter(|leg| wanted(leg)).map(|leg| leg.id).collect()
    }

    /// Names of the living members of a talk.
    #[must_use]
    pub fn members(&self, room: Room) -> Vec<LegId> {
        self.names(|leg| leg.is_alive() && leg.room == Some(room))
    }

    pub(super) fn drop(&mut self, id: LegId) {
        self.0.retain(|leg| leg.id != id);
    }

    /// Whether no leg is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a leg should hear by its talk: nobody, one other, or a mix of all others.
    #[must_use]
    pub fn base_of(&self, leg: &CallLeg) -> Source {
        let Some(room) = leg.room else { return leg.idle.clone() };
        let mut others =
            self.0.iter().filter(|other| other.is_alive() && other.id != leg.id && other.room == Some(room));
        match (others.next(), others.next()) {
            (None, _) => leg.idle.clone(),
            (Some(other), None) if other.on_hold => Source::Music,
            (Some(other), None) => Source::Leg(other.id),
            (Some(_), Some(_)) => Source::Mix,
        }
    }
}
