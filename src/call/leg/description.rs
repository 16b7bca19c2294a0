//! A leg's session description: its own side, the exchange with the peer, and what the media worker must know of it.
//!
//! Puts together who owes whom (`sip/offer_answer`) and what it says (`sdp`). Deliberately absent: when to send.
//! RFC 3264, RFC 3261 §13.2.1 and §14, RFC 3262 §5, RFC 3311 §5, RFC 6337.

use std::net::IpAddr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::words::LegEvent;
use crate::rtp::command::{Codec, Direction, LocalMedia, RemoteMedia};
use crate::sdp::negotiate::{NoCommonCodec, SdpSide, Wishes};
use crate::sdp::parse::parse;
use crate::sip::offer_answer::{Answering, Exchange, Heard, NotNow, Owed, Refusal, Slot};

/// Our side, their side, and what is outstanding.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Description {
    side: SdpSide,
    exchange: Exchange,
    local: Option<LocalMedia>,
    prefer: Option<Codec>,
    learn: bool,
    fallback: Option<IpAddr>,
    /// What this dialog's exchange says of the peer.
    theirs: Option<RemoteMedia>,
    /// What the call was told last, of whichever early dialog.
    told: Option<RemoteMedia>,
    held: bool,
    /// Our answer to the offer in their INVITE, kept so that 183 and 200 carry the same body.
    answer: Option<(Bytes, RemoteMedia)>,
}

impl Description {
    pub(super) const fn new(session_id: u64, exchange: Exchange, learn: bool) -> Self {
        Self {
            side: SdpSide::new(session_id),
            exchange,
            local: None,
            prefer: None,
            learn,
            fallback: None,
            theirs: None,
            told: None,
            held: false,
            answer: None,
        }
    }

    /// The description of one more early dialog, or of one more try, of the INVITE that offered `offer`.
    pub(super) fn restarted(&self, slot: Slot, offer: Option<Bytes>) -> Self {
        let mut exchange = Exchange::new();
        // A fresh exchange has nothing that could be pending.
        let _ = exchange.send_request(slot, offer.clone());
        let side = self.side.restarted(offer.unwrap_or_default());
        Self { side, exchange, theirs: None, answer: None, ..self.clone() }
    }

    /// The leg listened to `before` until now: what the call was told is what that one said.
    pub(super) fn follow(&mut self, before: &Self) {
        self.told.clone_from(&before.told);
        self.held = before.held;
    }

    /// The 2xx picked this dialog: the call hears of it what it was last told of another.
    pub(super) fn confirm(&mut self, events: &mut Vec<LegEvent>) {
        if let Some(remote) = self.theirs.clone() {
            self.tell(remote, events);
        }
    }

    pub(super) fn set_local(&mut self, local: LocalMedia) {
        self.local = Some(local);
    }

    pub(super) const fn prefer(&mut self, codec: Codec) {
        self.prefer = Some(codec);
    }

    /// Where to send when the peer names a host: the address its signalling came from.
    pub(super) const fn came_from(&mut self, address: IpAddr) {
        self.fallback = Some(address);
    }

    /// The codec agreed, or the first of theirs that we can speak, before anything is agreed.
    pub(super) fn codec(&self) -> Option<Codec> {
        if let Some(remote) = &self.theirs {
            return Some(remote.codec);
        }
        match self.exchange.owed() {
            Owed::TheirOffer { body, .. } => {
                let offer = parse(body).ok()?;
                let mut probe = SdpSide::new(0);
                let local = self.local.clone()?;
                Some(probe.answer(&offer, &local, &self.wishes()).ok()?.remote.codec)
            }
            Owed::Nothing | Owed::OurOffer { .. } | Owed::TheirFirst(_) | Owed::OurFirst(_) => None,
        }
    }

    /// Whether their offer, if there is one, has something that we speak.
    pub(super) fn can_answer(&self) -> bool {
        !matches!(self.exchange.owed(), Owed::TheirOffer { .. }) || self.codec().is_some()
    }

    pub(super) const fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// Takes the body of a request of theirs.
    pub(super) fn on_request(&mut self, slot: Slot, body: Option<Bytes>) -> Result<Heard, Refusal> {
        let heard = self.exchange.on_request(slot, body)?;
        self.answer = None;
        Ok(heard)
    }

    /// The offer to put into a request of ours; none as long as our ports are not known.
    ///
    /// # Errors
    /// [`NotNow`] while something is outstanding.
    pub(super) fn offer(&mut self, slot: Slot) -> Result<Option<Bytes>, NotNow> {
        let wishes = self.wishes();
        let body = self.local.as_ref().map(|local| self.side.offer(local, &wishes));
        self.exchange.send_request(slot, body.clone())?;
        Ok(body)
    }

    /// A request of ours that offered was refused and goes out again as `now`.
    pub(super) fn offer_again(&mut self, before: Slot, now: Slot, body: Option<Bytes>) {
        let _ = self.exchange.on_response(before, Answering::Failure, None);
        // Free again: it was ours that was open.
        let _ = self.exchange.send_request(now, body);
    }

    /// Whether the peer's side of the talk is not known at all.
    pub(super) const fn is_unsettled(&self) -> bool {
        self.theirs.is_none()
    }

    /// Whether our ports are known, so that an offer can be answered.
    pub(super) const fn is_ready(&self) -> bool {
        self.local.is_some()
    }

    /// Whether their INVITE wants our offer.
    pub(super) const fn owes_first(&self) -> bool {
        matches!(self.exchange.owed(), Owed::OurFirst(_))
    }

    /// Whether a provisional answer of ours would carry a description.
    pub(super) const fn owes(&self) -> bool {
        matches!(self.exchange.owed(), Owed::OurFirst(_) | Owed::TheirOffer { .. }) && self.is_ready()
    }

    /// The body for a response of ours that may carry one: the answer owed, the first offer owed, or none.
    ///
    /// # Errors
    /// [`NoCommonCodec`]: the INVITE must be refused with 488.
    pub(super) fn body_for(&mut self, slot: Slot, answering: Answering) -> Result<Option<Bytes>, NoCommonCodec> {
        let Some(local) = self.local.clone() else { return Ok(None) };
        let body = match self.exchange.owed() {
            Owed::TheirOffer { slot: theirs, body, .. } if *theirs == slot => {
                if let Some((body, _)) = &self.answer {
                    Some(body.clone())
                } else {
                    let offer = parse(body).map_err(|_| NoCommonCodec::NoAudio)?;
                    let answer = self.side.answer(&offer, &local, &self.wishes())?;
                    self.answer = Some((answer.bytes.clone(), answer.remote));
                    Some(answer.bytes)
                }
            }
            Owed::OurFirst(wanted) if *wanted == slot && answering != Answering::Provisional => {
                let wishes = self.wishes();
                Some(self.side.offer(&local, &wishes))
            }
            Owed::Nothing
            | Owed::OurOffer { .. }
            | Owed::TheirOffer { .. }
            | Owed::TheirFirst(_)
            | Owed::OurFirst(_) => None,
        };
        // NotOwed can only mean that nothing was owed: then there is no body either.
        let _ = self.exchange.send_response(slot, answering, body.clone());
        Ok(body)
    }

    /// What the peer may already hear and say by the answer given so far.
    pub(super) fn tell_answered(&mut self, events: &mut Vec<LegEvent>) {
        if let Some((_, remote)) = self.answer.clone() {
            self.tell(remote, events);
        }
    }

    pub(super) fn refuse(&mut self, slot: Slot) {
        let _ = self.exchange.send_response(slot, Answering::Failure, None);
        self.answer = None;
    }

    /// Takes the body of a response of theirs. An offer in a 2xx comes back as the answer to put into the ACK, one in a
    /// reliable 1xx as that for its PRACK.
    pub(super) fn on_response(
        &mut self,
        slot: Slot,
        answering: Answering,
        body: Option<Bytes>,
        events: &mut Vec<LegEvent>,
    ) -> Result<Option<Bytes>, NoCommonCodec> {
        match self.exchange.on_response(slot, answering, body) {
            Heard::Answer(body) => self.accept(&body, events).map(|()| None),
            Heard::Preview(body) => {
                // A preview that cannot be read is no loss: the answer still comes.
                let _ = self.accept(&body, events);
                Ok(None)
            }
            Heard::Offer(body) => {
                let local = self.local.clone().ok_or(NoCommonCodec::NothingOffered)?;
                let offer = parse(&body).map_err(|_| NoCommonCodec::NoAudio)?;
                let answer = self.side.answer(&offer, &local, &self.wishes())?;
                // Owed by the very response that offered, so neither can be out of place.
                let _ = match answering {
                    Answering::ReliableProvisional => {
                        self.exchange.send_request(Slot::prack(slot.cseq), Some(answer.bytes.clone()))
                    }
                    Answering::Provisional | Answering::Success | Answering::Failure => {
                        self.exchange.send_ack(slot.cseq, Some(answer.bytes.clone()))
                    }
                };
                self.tell(answer.remote, events);
                Ok(Some(answer.bytes))
            }
            Heard::Missing => Err(NoCommonCodec::NoAudio),
            Heard::Nothing | Heard::OfferWanted | Heard::Kept => Ok(None),
        }
    }

    /// Takes the body of their ACK.
    ///
    /// # Errors
    /// [`NoCommonCodec`]: our offer got no answer that can be spoken.
    pub(super) fn on_ack(
        &mut self,
        cseq: u32,
        body: Option<Bytes>,
        events: &mut Vec<LegEvent>,
    ) -> Result<(), NoCommonCodec> {
        match self.exchange.on_ack(cseq, body) {
            Heard::Answer(body) => self.accept(&body, events),
            Heard::Missing => Err(NoCommonCodec::NoAudio),
            Heard::Nothing | Heard::Offer(_) | Heard::OfferWanted | Heard::Preview(_) | Heard::Kept => Ok(()),
        }
    }

    /// Takes the body of their PRACK: the answer to our offer in the 1xx, or a new offer, whose answer comes back.
    ///
    /// # Errors
    /// The status that refuses the PRACK.
    pub(super) fn on_prack(
        &mut self,
        cseq: u32,
        body: Option<Bytes>,
        events: &mut Vec<LegEvent>,
    ) -> Result<Option<Bytes>, u16> {
        match self.on_request(Slot::prack(cseq), body).map_err(Refusal::status)? {
            Heard::Answer(body) => self.accept(&body, events).map(|()| None).map_err(|_| 488),
            Heard::Offer(_) => self.answer_at_once(Slot::prack(cseq), events),
            Heard::Missing => Err(488),
            Heard::Nothing | Heard::OfferWanted | Heard::Preview(_) | Heard::Kept => Ok(None),
        }
    }

    /// Takes the body of their UPDATE; the answer to an offer in it comes back.
    ///
    /// # Errors
    /// The status that refuses the UPDATE.
    pub(super) fn on_update(
        &mut self,
        cseq: u32,
        body: Option<Bytes>,
        events: &mut Vec<LegEvent>,
    ) -> Result<Option<Bytes>, u16> {
        match self.on_request(Slot::update(cseq), body).map_err(Refusal::status)? {
            Heard::Offer(_) => self.answer_at_once(Slot::update(cseq), events),
            Heard::Nothing
            | Heard::Answer(_)
            | Heard::OfferWanted
            | Heard::Preview(_)
            | Heard::Kept
            | Heard::Missing => Ok(None),
        }
    }

    fn answer_at_once(&mut self, slot: Slot, events: &mut Vec<LegEvent>) -> Result<Option<Bytes>, u16> {
        // Without ports there is no answer yet; asked again a little later there will be.
        let answer = if self.is_ready() { self.body_for(slot, Answering::Success).map_err(|_| 488) } else { Err(500) };
        match answer {
            Ok(_) => self.tell_answered(events),
            Err(_) => self.refuse(slot),
        }
        answer
    }

    fn accept(&mut self, body: &[u8], events: &mut Vec<LegEvent>) -> Result<(), NoCommonCodec> {
        let answer = parse(body).map_err(|_| NoCommonCodec::NoAudio)?;
        let wishes = self.wishes();
        let remote = self.side.accept(&answer, &wishes)?;
        self.tell(remote, events);
        Ok(())
    }

    fn tell(&mut self, remote: RemoteMedia, events: &mut Vec<LegEvent>) {
        self.theirs = Some(remote.clone());
        let holds = matches!(remote.direction, Direction::RecvOnly | Direction::Inactive);
        if self.told.as_ref() != Some(&remote) {
            self.told = Some(remote.clone());
            events.push(LegEvent::Remote(Box::new(remote)));
        }
        if holds != self.held {
            self.held = holds;
            events.push(if holds { LegEvent::Held } else { LegEvent::Resumed });
        }
    }

    fn wishes(&self) -> Wishes {
        Wishes {
            preferred: self.prefer.or_else(|| self.theirs.as_ref().map(|remote| remote.codec)),
            learn: self.learn,
            fallback: self.fallback,
            ..Wishes::default()
        }
    }
}
