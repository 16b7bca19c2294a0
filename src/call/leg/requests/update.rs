//! Their UPDATE: a new description, a new address or a refresh, in an early dialog too.
//!
//! RFC 3311 §5.2, §5.4; RFC 4028 §9. An offer that meets an unanswered one of ours gets 491, one that meets an
//! unanswered one of theirs 500 with Retry-After; what cannot be spoken gets 488 and the talk stays as it was. Session
//! timers are agreed in confirmed dialogs only. Deliberately absent: who hears what meanwhile.

use super::super::incoming::sdp_of;
use super::super::{Leg, LegOut, LegRules, LegState, stamp};
use crate::base::now::Now;
use crate::call::words::Arrived;
use crate::sip::message::Name;
use crate::sip::print::Draft;
use crate::sip::session_timer::{Asked as AskedTimer, Granted};

impl Leg {
    pub(super) fn on_update(&mut self, now: Now, rules: &LegRules, arrived: &Arrived, out: &mut Vec<LegOut>) {
        let request = &arrived.message;
        if self.state >= LegState::Leaving {
            return self.respond_plain(now, rules, arrived, 481, out);
        }
        let talking = self.state == LegState::Talking;
        let granted = match rules.session.grant(&AskedTimer::of(request)) {
            Ok(granted) => Some(granted).filter(|_| talking),
            Err(fault) => {
                let min_se = fault.min_se.as_secs().to_string();
                return self.respond_with(now, rules, arrived, 422, |draft| draft.header(Name::MinSe, min_se), out);
            }
        };
        let mut events = Vec::new();
        match self.description.on_update(request.cseq().number, sdp_of(request), &mut events) {
            Ok(body) => {
                self.learn(request);
                let change = |draft| stamp::described(agree(stamp::introduce(draft), granted), body);
                self.respond_with(now, rules, arrived, 200, change, out);
                if let Some(granted) = granted {
                    self.session.set(now, Some(granted.expires), false);
                }
                out.extend(events.into_iter().map(LegOut::Event));
            }
            Err(status) => self.respond_plain(now, rules, arrived, status, out),
        }
    }
}

/// What a 2xx says of the session timer.
pub(super) fn agree(draft: Draft, granted: Option<Granted>) -> Draft {
    let Some(granted) = granted else { return draft };
    let draft = draft.header(Name::SessionExpires, granted.expires.to_string());
    if granted.require { draft.header(Name::Require, "timer") } else { draft }
}
