//! The early dialogs of one INVITE of ours: a forking proxy makes one for each branch (several To-tags).
//!
//! The leg listens to one of them at a time, the one that spoke last: its dialog, its offer and answer and the order of
//! its reliable answers are the leg's own; the others are parked whole. Early media follows the latest description; the
//! 2xx picks one, the rest are forgotten, and a 2xx of theirs that still comes is acknowledged and hung up.
//! RFC 3261 §12.1, §13.2.2.4; RFC 3262 §4 (order per dialog); RFC 3264 per dialog; RFC 6228 (199).
//!
//! | a response to our INVITE | what happens |
//! |---|---|
//! | 1xx without To-tag | belongs to the first early dialog still to come |
//! | 1xx with a known To-tag | that dialog is turned to |
//! | 1xx with a new To-tag | the present one is parked, a new one begins from the offer in the INVITE |
//! | 199 | its dialog is dropped |
//! | 2xx | its dialog is turned to, or made, and confirmed; the others are dropped |
//! | 2xx when nobody wants it | ACK and BYE, once for each To-tag; repetitions get the ACK again |
//!
//! Deliberately absent: what is said in them. Limits: [`EARLY_MOST`] early dialogs, a 1xx of one more is ignored (a 2xx
//! of it is not); as many dismissed ones are remembered, the oldest forgotten first.

use serde::{Deserialize, Serialize};

use super::description::Description;
use super::incoming::sdp_of;
use super::{Leg, LegOut, LegRules, stamp};
use crate::base::now::Now;
use crate::sip::dialog::{Dialog, DialogState};
use crate::sip::message::Message;
use crate::sip::prack::Acknowledging;

/// Early dialogs of one INVITE; gateways that ring a whole department do not reach it.
pub(super) const EARLY_MOST: usize = 8;

/// An early dialog the leg does not listen to now.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Parked {
    dialog: Dialog,
    description: Description,
    acknowledging: Acknowledging,
}

/// What an INVITE keeps of its early dialogs beside the one the leg listens to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Forks {
    /// Of the one the leg listens to.
    pub(super) acknowledging: Acknowledging,
    parked: Vec<Parked>,
    dismissed: Vec<Dialog>,
}

impl Forks {
    /// The 2xx has picked one, or the INVITE failed.
    pub(super) fn drop_parked(&mut self) {
        self.parked = Vec::new();
    }

    fn take(&mut self, tag: &[u8]) -> Option<Dialog> {
        let at = self.parked.iter().position(|parked| parked.dialog.id().remote_tag == tag)?;
        Some(self.parked.swap_remove(at).dialog)
    }
}

impl Leg {
    /// Listens to the early dialog a response names, which may be a new one; `false` when it is one too many.
    pub(super) fn turn_to(&mut self, response: &Message) -> bool {
        let Some(tag) = response.to_tag() else { return true };
        if self.turn_to_tag(tag) {
            return true;
        }
        let (Some(flow), Some(calling)) = (self.flow, &mut self.outgoing) else { return false };
        let known = calling.forks.parked.len() + usize::from(self.dialog.is_some());
        if known >= EARLY_MOST && response.status().is_some_and(|status| status < 200) {
            return false;
        }
        let Some(dialog) = Dialog::uac(&calling.request, response, flow, stamp::contact(&flow)) else { return false };
        if let Some(dialog) = self.dialog.replace(dialog) {
            let next = self.description.restarted(calling.slot(), sdp_of(&calling.request));
            let description = std::mem::replace(&mut self.description, next);
            let acknowledging = std::mem::take(&mut calling.forks.acknowledging);
            calling.forks.parked.push(Parked { dialog, description, acknowledging });
        }
        true
    }

    /// Listens to the dialog with this tag of theirs; `false` when there is none.
    pub(super) fn turn_to_tag(&mut self, tag: &[u8]) -> bool {
        let Some(dialog) = &mut self.dialog else { return false };
        if dialog.id().remote_tag == tag {
            return true;
        }
        let Some(calling) = &mut self.outgoing else { return false };
        let forks = &mut calling.forks;
        let Some(parked) = forks.parked.iter_mut().find(|parked| parked.dialog.id().remote_tag == tag) else {
            return false;
        };
        std::mem::swap(dialog, &mut parked.dialog);
        std::mem::swap(&mut self.description, &mut parked.description);
        std::mem::swap(&mut forks.acknowledging, &mut parked.acknowledging);
        self.description.follow(&parked.description);
        true
    }

    /// A 199: the branch behind this early dialog has given up (RFC 6228 §5).
    pub(super) fn end_fork(&mut self, response: &Message) {
        let Some(tag) = response.to_tag() else { return };
        let Some(calling) = &mut self.outgoing else { return };
        if self.dialog.as_ref().is_some_and(|dialog| dialog.id().remote_tag == tag) {
            // The leg goes on with another, or waits for a new one with the offer still open.
            match calling.forks.parked.pop() {
                Some(parked) => {
                    let mut description = parked.description;
                    description.follow(&self.description);
                    self.dialog = Some(parked.dialog);
                    self.description = description;
                    calling.forks.acknowledging = parked.acknowledging;
                }
                None => {
                    self.dialog = None;
                    self.description = self.description.restarted(calling.slot(), sdp_of(&calling.request));
                    calling.forks.acknowledging = Acknowledging::new();
                }
            }
        } else {
            drop(calling.forks.take(tag));
        }
    }

    /// A 2xx nobody wants any more: acknowledged, then hung up; a repetition of it is acknowledged again.
    pub(super) fn dismiss(&mut self, now: Now, rules: &LegRules, response: &Message, out: &mut Vec<LegOut>) {
        let (Some(flow), Some(calling)) = (self.flow, &mut self.outgoing) else { return };
        let tag = response.to_tag().unwrap_or_default();
        let cseq = response.cseq().number;
        if let Some(known) = calling.forks.dismissed.iter().find(|known| known.id().remote_tag == tag) {
            out.extend(known.ack_again(cseq).map(|wire| LegOut::Transmit(flow, wire.into_bytes())));
            return;
        }
        // An early dialog has counted its PRACKs; its BYE must come after them.
        let own =
            self.dialog.take_if(|dialog| dialog.id().remote_tag == tag && dialog.state() != DialogState::Confirmed);
        let early = own.or_else(|| calling.forks.take(tag)).map(|mut dialog| {
            dialog.on_response(response);
            dialog
        });
        let fresh = || Dialog::uac(&calling.request, response, flow, stamp::contact(&flow));
        let Some(mut dialog) = early.or_else(fresh) else { return };
        let (ack, bye) = dialog.dismiss(cseq, &self.minter.branch(), &self.minter.branch());
        if calling.forks.dismissed.len() >= EARLY_MOST {
            calling.forks.dismissed.remove(0);
        }
        calling.forks.dismissed.push(dialog);
        out.push(LegOut::Transmit(flow, ack.into_bytes()));
        self.ask(now, rules, bye, out);
    }
}
