//! Who owes whom a session description: offer and answer, independent of the messages that carry them.
//!
//! One [`Exchange`] per dialog; a forked early dialog starts from a clone of the exchange the INVITE began. Bodies
//! are opaque bytes. An offer may ride in INVITE, in the first reliable answer to an INVITE without one, in PRACK and
//! in UPDATE; its answer comes where the table says. A rejected or failed offer leaves the agreed session as it was.
//!
//! | owed | by whom, where | becomes settled by |
//! |---|---|---|
//! | `Nothing` | nobody | |
//! | `OurOffer` | they answer: response, PRACK or ACK | that answer, or the failure of the carrier |
//! | `TheirOffer` | we answer: response, PRACK or ACK | our answer, or our refusal |
//! | `TheirFirst` | they offer in a reliable answer to our INVITE | becomes `TheirOffer` |
//! | `OurFirst` | we offer in a reliable answer to their INVITE | becomes `OurOffer` |
//!
//! Deliberately absent: SDP (`sdp` reads the bodies), reliability of provisional answers (the caller says which they
//! are), and waiting: [`glare_wait`] gives the time, the call floor holds the deadline.
//! RFC 3264 §4 and §8; RFC 3261 §13.2.1, §13.3.1, §14.1, §14.2; RFC 3262 §5; RFC 3311 §5; RFC 6337 §2.
//! Limits: one offer at a time; bodies are kept for the agreed and the pending session only.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The transaction an offer or answer rides in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Slot {
    /// Its method.
    pub carrier: Carrier,
    /// Its CSeq number.
    pub cseq: u32,
}

impl Slot {
    /// An INVITE's slot.
    #[must_use]
    pub const fn invite(cseq: u32) -> Self {
        Self { carrier: Carrier::Invite, cseq }
    }

    /// An UPDATE's slot.
    #[must_use]
    pub const fn update(cseq: u32) -> Self {
        Self { carrier: Carrier::Update, cseq }
    }

    /// A PRACK's slot.
    #[must_use]
    pub const fn prack(cseq: u32) -> Self {
        Self { carrier: Carrier::Prack, cseq }
    }
}

/// Methods that can carry an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Carrier {
    /// INVITE and re-INVITE.
    Invite,
    /// RFC 3311.
    Update,
    /// RFC 3262.
    Prack,
}

/// What kind of response a body rides in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Answering {
    /// 1xx that is not acknowledged: its body is a preview.
    Provisional,
    /// 1xx with RSeq.
    ReliableProvisional,
    /// 2xx.
    Success,
    /// 3xx to 6xx, a timeout, or a transport failure.
    Failure,
}

/// Both descriptions of the session in force.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Agreed {
    /// Ours.
    pub local: Bytes,
    /// Theirs.
    pub remote: Bytes,
}

/// Where an answer must ride.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AnswerIn {
    /// A reliable response to the offer's own request.
    Response,
    /// The PRACK of the provisional that offered.
    Prack,
    /// The ACK of the 2xx that offered.
    Ack,
}

/// What is outstanding.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Owed {
    /// Nothing.
    #[default]
    Nothing,
    /// We offered; they answer.
    OurOffer {
        /// The transaction that offered.
        slot: Slot,
        /// Where the answer comes.
        answer: AnswerIn,
        /// Our offer.
        body: Bytes,
        /// A description seen in an unreliable provisional.
        preview: Option<Bytes>,
    },
    /// They offered; we answer.
    TheirOffer {
        /// The transaction that offered.
        slot: Slot,
        /// Where our answer goes.
        answer: AnswerIn,
        /// Their offer.
        body: Bytes,
    },
    /// We sent an INVITE without an offer.
    TheirFirst(Slot),
    /// They sent an INVITE without an offer.
    OurFirst(Slot),
}

/// What a message meant for the session.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Heard {
    /// Nothing new; a repeated or superfluous body is ignored.
    Nothing,
    /// They offer this; an answer is owed ([`Exchange::owed`] says where).
    Offer(Bytes),
    /// They want our offer in a reliable answer to this INVITE.
    OfferWanted,
    /// They answered: the session is [`Exchange::agreed`].
    Answer(Bytes),
    /// What they will probably answer: early media may use it.
    Preview(Bytes),
    /// The attempt failed; the session before it stays in force.
    Kept,
    /// An answer or offer was due here and is missing: the attempt cannot become a session.
    Missing,
}

/// Why a request that would offer is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// Both sides offered at once (RFC 3261 §14.2).
    #[error("an offer or INVITE of ours is still open")]
    Glare,
    /// They sent a second one before the first was answered; needs Retry-After of 0 to 10 s (RFC 3261 §14.2).
    #[error("their earlier offer or INVITE is still open")]
    TooSoon,
}

impl Refusal {
    /// The status that refuses.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Glare => 491,
            Self::TooSoon => 500,
        }
    }
}

/// We may not send this now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotNow {
    /// An offer is outstanding, or an INVITE is open.
    #[error("an offer or INVITE is still open")]
    Pending,
    /// Nothing is owed that this body could be.
    #[error("no offer or answer is owed here")]
    NotOwed,
}

/// The offer/answer state of one dialog.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Exchange {
    owed: Owed,
    agreed: Option<Agreed>,
    /// What was agreed before the open INVITE, to fall back to when it fails (RFC 3261 §14.1).
    before_invite: Option<Agreed>,
    our_invite: Option<u32>,
    their_invite: Option<u32>,
}

impl Exchange {
    /// No session yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Records a request of theirs.
    ///
    /// # Errors
    /// The request must be refused with [`Refusal::status`]; nothing has changed.
    pub fn on_request(&mut self, slot: Slot, body: Option<Bytes>) -> Result<Heard, Refusal> {
        if slot.carrier == Carrier::Prack
            && let Owed::OurOffer { slot: offered, answer: AnswerIn::Prack, .. } = &self.owed
        {
            let offered = *offered;
            return Ok(self.settle_ours(offered, AnswerIn::Prack, body));
        }
        if slot.carrier == Carrier::Invite {
            self.admit_invite()?;
        } else if body.is_some() {
            self.admit_offer()?;
        }
        if slot.carrier == Carrier::Invite {
            self.their_invite = Some(slot.cseq);
            self.before_invite.clone_from(&self.agreed);
        }
        match body {
            Some(body) => {
                self.owed = Owed::TheirOffer { slot, answer: AnswerIn::Response, body: body.clone() };
                Ok(Heard::Offer(body))
            }
            None if slot.carrier == Carrier::Invite => {
                self.owed = Owed::OurFirst(slot);
                Ok(Heard::OfferWanted)
            }
            None => Ok(Heard::Nothing),
        }
    }

    /// Records a response of theirs to our request in `slot`.
    pub fn on_response(&mut self, slot: Slot, answering: Answering, body: Option<Bytes>) -> Heard {
        let heard = match answering {
            Answering::Failure => self.fail(slot, true),
            Answering::Provisional => self.preview(slot, body),
            Answering::ReliableProvisional => self.reliable(slot, AnswerIn::Prack, body, false),
            Answering::Success => self.reliable(slot, AnswerIn::Ack, body, true),
        };
        let over = matches!(answering, Answering::Failure | Answering::Success);
        if over && slot.carrier == Carrier::Invite && self.our_invite == Some(slot.cseq) {
            self.our_invite = None;
        }
        heard
    }

    /// Records their ACK of our 2xx to INVITE number `cseq`.
    pub fn on_ack(&mut self, cseq: u32, body: Option<Bytes>) -> Heard {
        let slot = Slot::invite(cseq);
        match &self.owed {
            Owed::OurOffer { slot: offered, answer: AnswerIn::Ack, .. } if *offered == slot => {
                self.settle_ours(slot, AnswerIn::Ack, body)
            }
            _ => Heard::Nothing,
        }
    }

    /// Records a request of ours.
    ///
    /// # Errors
    /// [`NotNow::Pending`] while an offer or an INVITE is open; nothing has changed.
    pub fn send_request(&mut self, slot: Slot, body: Option<Bytes>) -> Result<(), NotNow> {
        if slot.carrier == Carrier::Prack
            && let Owed::TheirOffer { slot: offered, answer: AnswerIn::Prack, .. } = &self.owed
        {
            let offered = *offered;
            return self.answer(offered, AnswerIn::Prack, body);
        }
        let free = match slot.carrier {
            Carrier::Invite => self.may_invite(),
            Carrier::Update | Carrier::Prack => body.is_none() || self.may_offer(),
        };
        if !free {
            return Err(NotNow::Pending);
        }
        if slot.carrier == Carrier::Invite {
            self.our_invite = Some(slot.cseq);
            self.before_invite.clone_from(&self.agreed);
        }
        match body {
            Some(body) => self.owed = Owed::OurOffer { slot, answer: AnswerIn::Response, body, preview: None },
            None if slot.carrier == Carrier::Invite => self.owed = Owed::TheirFirst(slot),
            None => {}
        }
        Ok(())
    }

    /// Records a response of ours to their request in `slot`.
    ///
    /// # Errors
    /// [`NotNow::NotOwed`] when a reliable answer lacks the body owed, or carries one that nobody asked for.
    pub fn send_response(&mut self, slot: Slot, answering: Answering, body: Option<Bytes>) -> Result<(), NotNow> {
        let sent = match answering {
            Answering::Failure => {
                self.fail(slot, false);
                Ok(())
            }
            Answering::Provisional => Ok(()),
            Answering::ReliableProvisional if body.is_none() => Ok(()),
            Answering::ReliableProvisional => self.reply(slot, AnswerIn::Prack, body),
            Answering::Success => self.reply(slot, AnswerIn::Ack, body),
        };
        let over = matches!(answering, Answering::Failure | Answering::Success);
        if sent.is_ok() && over && slot.carrier == Carrier::Invite && self.their_invite == Some(slot.cseq) {
            self.their_invite = None;
        }
        sent
    }

    /// Records our ACK of their 2xx to INVITE number `cseq`.
    ///
    /// # Errors
    /// [`NotNow::NotOwed`] when an answer is owed in it and `body` is none, or the other way round.
    pub fn send_ack(&mut self, cseq: u32, body: Option<Bytes>) -> Result<(), NotNow> {
        match &self.owed {
            Owed::TheirOffer { slot, answer: AnswerIn::Ack, .. } if *slot == Slot::invite(cseq) => {
                self.answer(Slot::invite(cseq), AnswerIn::Ack, body)
            }
            _ if body.is_some() => Err(NotNow::NotOwed),
            _ => Ok(()),
        }
    }

    /// What is outstanding.
    #[must_use]
    pub const fn owed(&self) -> &Owed {
        &self.owed
    }

    /// The session in force.
    #[must_use]
    pub const fn agreed(&self) -> Option<&Agreed> {
        self.agreed.as_ref()
    }

    /// Whether we may send an INVITE now (RFC 3261 §14.1).
    #[must_use]
    pub const fn may_invite(&self) -> bool {
        self.may_offer() && self.our_invite.is_none() && self.their_invite.is_none()
    }

    /// Whether we may offer in UPDATE or PRACK now (RFC 3311 §5.1).
    #[must_use]
    pub const fn may_offer(&self) -> bool {
        matches!(self.owed, Owed::Nothing)
    }

    const fn admit_invite(&self) -> Result<(), Refusal> {
        if self.their_invite.is_some() {
            return Err(Refusal::TooSoon);
        }
        if self.our_invite.is_some() {
            return Err(Refusal::Glare);
        }
        self.admit_offer()
    }

    const fn admit_offer(&self) -> Result<(), Refusal> {
        match self.owed {
            Owed::Nothing => Ok(()),
            Owed::TheirOffer { .. } | Owed::OurFirst(_) => Err(Refusal::TooSoon),
            Owed::OurOffer { .. } | Owed::TheirFirst(_) => Err(Refusal::Glare),
        }
    }

    fn preview(&mut self, at: Slot, body: Option<Bytes>) -> Heard {
        let Some(body) = body else {
            return Heard::Nothing;
        };
        match &mut self.owed {
            Owed::OurOffer { slot, answer: AnswerIn::Response, preview, .. } if *slot == at => {
                if preview.as_ref() == Some(&body) {
                    return Heard::Nothing;
                }
                *preview = Some(body.clone());
                Heard::Preview(body)
            }
            _ => Heard::Nothing,
        }
    }

    fn reliable(&mut self, at: Slot, next: AnswerIn, body: Option<Bytes>, last: bool) -> Heard {
        match (&self.owed, body) {
            (Owed::OurOffer { slot, answer: AnswerIn::Response, .. }, None) if *slot == at && !last => Heard::Nothing,
            (Owed::OurOffer { slot, answer: AnswerIn::Response, .. }, body) if *slot == at => {
                self.settle_ours(at, AnswerIn::Response, body)
            }
            (Owed::TheirFirst(slot), Some(body)) if *slot == at => {
                self.owed = Owed::TheirOffer { slot: at, answer: next, body: body.clone() };
                Heard::Offer(body)
            }
            (Owed::TheirFirst(slot), None) if *slot == at && last => {
                self.owed = Owed::Nothing;
                Heard::Missing
            }
            _ => Heard::Nothing,
        }
    }

    /// Takes their answer. Carriers that sent their description in an unreliable 183 often leave it out of the 200,
    /// so the preview stands in for it.
    fn settle_ours(&mut self, at: Slot, place: AnswerIn, body: Option<Bytes>) -> Heard {
        let Owed::OurOffer { slot, answer, body: local, preview } = &self.owed else {
            return Heard::Nothing;
        };
        if *slot != at || *answer != place {
            return Heard::Nothing;
        }
        let remote = body.or_else(|| preview.clone());
        let local = local.clone();
        self.owed = Owed::Nothing;
        match remote {
            Some(remote) => {
                self.agreed = Some(Agreed { local, remote: remote.clone() });
                Heard::Answer(remote)
            }
            None => Heard::Missing,
        }
    }

    fn reply(&mut self, at: Slot, next: AnswerIn, body: Option<Bytes>) -> Result<(), NotNow> {
        match (&self.owed, body) {
            (Owed::TheirOffer { slot, answer: AnswerIn::Response, .. }, body) if *slot == at => {
                self.answer(at, AnswerIn::Response, body)
            }
            (Owed::OurFirst(slot), Some(body)) if *slot == at => {
                self.owed = Owed::OurOffer { slot: at, answer: next, body, preview: None };
                Ok(())
            }
            (Owed::OurFirst(slot), None) if *slot == at => Err(NotNow::NotOwed),
            // A 2xx may repeat what a reliable provisional already settled (RFC 6337 §2.2).
            (_, Some(body)) => match &self.agreed {
                Some(agreed) if agreed.local == body => Ok(()),
                _ => Err(NotNow::NotOwed),
            },
            (_, None) => Ok(()),
        }
    }

    fn answer(&mut self, at: Slot, place: AnswerIn, body: Option<Bytes>) -> Result<(), NotNow> {
        let Owed::TheirOffer { slot, answer, body: remote } = &self.owed else {
            return Err(NotNow::NotOwed);
        };
        let Some(local) = body else {
            return Err(NotNow::NotOwed);
        };
        if *slot != at || *answer != place {
            return Err(NotNow::NotOwed);
        }
        self.agreed = Some(Agreed { local, remote: remote.clone() });
        self.owed = Owed::Nothing;
        Ok(())
    }

    /// `ours` says whose request failed: both sides number theirs on their own, so slots alone may coincide.
    fn fail(&mut self, at: Slot, ours: bool) -> Heard {
        let pending = match &self.owed {
            Owed::OurOffer { slot, answer, .. } => Some((*slot, *answer == AnswerIn::Response)),
            Owed::TheirOffer { slot, answer, .. } => Some((*slot, *answer != AnswerIn::Response)),
            Owed::TheirFirst(slot) => Some((*slot, true)),
            Owed::OurFirst(slot) => Some((*slot, false)),
            Owed::Nothing => None,
        };
        let withdrawn = pending == Some((at, ours));
        if withdrawn {
            self.owed = Owed::Nothing;
        }
        let open = if ours { self.our_invite } else { self.their_invite };
        if at.carrier == Carrier::Invite && open == Some(at.cseq) {
            self.agreed = self.before_invite.take();
            return Heard::Kept;
        }
        if withdrawn { Heard::Kept } else { Heard::Nothing }
    }
}

/// How long to wait after a 491 before offering again (RFC 3261 §14.1): 2.1 to 4 s for the side that owns the
/// Call-ID, 0 to 2 s for the other, in steps of 10 ms. `seed` is any number.
#[must_use]
pub fn glare_wait(owns_call_id: bool, seed: u64) -> Duration {
    if owns_call_id { Duration::from_millis(2100 + seed % 191 * 10) } else { Duration::from_millis(seed % 201 * 10) }
}

#[cfg(test)]
mod tests;
