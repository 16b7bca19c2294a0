//! A leg's session description: its own side, the exchange with the peer, and what the media worker must know of it.
//!
//! Puts together who owes whom (`sip/offer_answer`) and what it says (`sdp`). Deliberately absent: when to send.
//! RFC 3264, RFC 3261 §13.2.1 and §14.

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
            told: None,
            held: false,
            answer: None,
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
        if let Some(remote) = &self.told {
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

    /// The offer to put into a request of ours.
    ///
    /// # Errors
    /// [`NotNow`] while something is outstanding.
    pub(super) fn offer(&mut self, slot: Slot) -> Result<Option<Bytes>, NotNow> {
        let Some(local) = &self.local else { return Err(NotNow::NotOwed) };
        let wishes = self.wishes();
        let body = self.side.offer(local, &wishes);
        self.exchange.send_request(slot, Some(body.clone()))?;
        Ok(Some(body))
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
            Owed::OurFirst(wanted) if *wanted == slot && answering == Answering::Success => {
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

    /// Takes the body of a response of theirs. An offer in a 2xx comes back as the answer to put into the ACK.
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
                let Some(local) = self.local.clone() else { return Ok(None) };
                let offer = parse(&body).map_err(|_| NoCommonCodec::NoAudio)?;
                let answer = self.side.answer(&offer, &local, &self.wishes())?;
                let _ = self.exchange.send_ack(slot.cseq, Some(answer.bytes.clone()));
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

    fn accept(&mut self, body: &[u8], events: &mut Vec<LegEvent>) -> Result<(), NoCommonCodec> {
        let answer = parse(body).map_err(|_| NoCommonCodec::NoAudio)?;
        let wishes = self.wishes();
        let remote = self.side.accept(&answer, &wishes)?;
        self.tell(remote, events);
        Ok(())
    }

    fn tell(&mut self, remote: RemoteMedia, events: &mut Vec<LegEvent>) {
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
            preferred: self.prefer.or_else(|| self.told.as_ref().map(|remote| remote.codec)),
            learn: self.learn,
            fallback: self.fallback,
            ..Wishes::default()
        }
    }
}
