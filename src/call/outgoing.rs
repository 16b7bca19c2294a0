//! What an outgoing INVITE shows and carries (`contract.md` §4).
//!
//! Toward an agent: hotline and caller as display name, our ids, the hotline's facts. Toward a trunk: `toward`.
//! Deliberately absent: header syntax beyond single values.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::base::id::{LegId, LookupId};
use crate::call::attempt::Ring;
use crate::call::control::{Control, Cx};
use crate::call::leg::words::Outgoing;
use crate::call::toward::{Dress, authority};
use crate::call::words::{FarEnd, FarNews, Target};
use crate::event::call::LegRole;

/// How long an agent's phone or the last far end of a trunk may be wholly silent: four sendings over UDP at 0, 0.5,
/// 1.5, 3.5 s.
const DEAD_AFTER: Duration = Duration::from_millis(4_000);
/// The same for an emergency route: three sendings.
const EMERGENCY_DEAD_AFTER: Duration = Duration::from_millis(2_000);
/// The same while another far end is left to try: two sendings, and a moment for the answer to the second. So a call
/// that meets three silent ones still reaches the fourth within 4 s.
const NEXT_AFTER: Duration = Duration::from_millis(1_200);

impl Control {
    /// Composes the INVITE toward a target of a ring; `more` says that another could be tried after it.
    pub(super) fn outgoing(&self, cx: &Cx<'_>, ring: &Ring, target: &Target, role: LegRole, more: bool) -> Outgoing {
        let emergency = role == LegRole::Emergency;
        let agent = ring.offer.is_some();
        let dress = if agent { self.toward_agent(cx, target) } else { self.toward_trunk(cx, target, role) };
        Outgoing {
            target: target.clone(),
            display: dress.display,
            from: dress.from,
            headers: dress.headers,
            parts: dress.parts,
            ring: ring.ring,
            dead_after: match (agent, emergency) {
                (false, _) if more => NEXT_AFTER,
                (false, true) => EMERGENCY_DEAD_AFTER,
                (true, _) | (false, false) => DEAD_AFTER,
            },
            max_forwards: self.origins.max_forwards.saturating_sub(1),
        }
    }

    fn toward_agent(&self, cx: &Cx<'_>, target: &Target) -> Dress {
        let number = self.shown_to_agent();
        let user = if number.is_empty() { "anonymous" } else { number };
        Dress {
            display: self.display(cx, number),
            from: Arc::from(format!("sip:{user}@{}", target.flow.local)),
            headers: self.agent_headers(cx, target),
            parts: Vec::new(),
        }
    }

    /// Notes which far end of a trunk a new leg goes to, and tells the switch.
    pub(super) fn note_far(&mut self, cx: &mut Cx<'_>, leg: LegId, target: &Target, asked: Option<LookupId>) {
        let Some(trunk) = target.trunk.clone() else { return };
        let far = FarEnd { trunk, transport: target.flow.transport, remote: target.flow.remote };
        cx.far(leg, &far, FarNews::Begun(asked));
        if let Some(leg) = self.legs.alive_mut(leg) {
            leg.far = Some(far);
        }
    }

    /// Who an agent's phone shows as calling: the citizen; a colleague by his id, or the number he called outside.
    fn shown_to_agent(&self) -> &str {
        match &self.origins.by_agent {
            Some(_) if self.is_ticketed() => &self.origins.number,
            Some(by) => by.agent.as_str(),
            None => &self.origins.caller.number.normal,
        }
    }

    fn display(&self, cx: &Cx<'_>, number: &str) -> Bytes {
        if self.is_of_agent() {
            let shown = self.is_ticketed().then(|| Bytes::copy_from_slice(number.as_bytes()));
            return shown.unwrap_or_else(|| self.origins.display.clone());
        }
        let title = match &self.origins.hotline {
            Some(hotline) => hotline.spoken_name.clone(),
            None => self.tenant(cx.plans.pinned).map(|tenant| tenant.line_name.clone()).unwrap_or_default(),
        };
        let caller = if number.is_empty() { "号码隐藏" } else { number };
        Bytes::copy_from_slice(format!("{title} {caller}").trim().as_bytes())
    }

    fn agent_headers(&self, cx: &Cx<'_>, target: &Target) -> Vec<(Box<str>, Bytes)> {
        let mut headers = Vec::with_capacity(7);
        let mut add = |name: &str, value: String| headers.push((Box::from(name), Bytes::from(value)));
        add("X-Call-Id", self.identity.call.to_string());
        if self.is_of_agent() {
            if self.is_ticketed() {
                add("X-Ticket-Id", self.identity.ticket.to_string());
            }
            return headers;
        }
        add("X-Hotline", self.origins.number.to_string());
        let name = match &self.origins.hotline {
            Some(hotline) => hotline.name.clone(),
            None => self.tenant(cx.plans.pinned).map(|tenant| tenant.line_name.clone()).unwrap_or_default(),
        };
        if !name.is_empty() {
            add("X-Hotline-Name", one_line(&name));
        }
        if let Some(mode) = self.origins.hotline.as_ref().and_then(|hotline| hotline.mode) {
            add("X-Merge-Mode", mode.word().to_owned());
        }
        add("X-Ticket-Id", self.identity.ticket.to_string());
        if let Some(ticket_no) = &self.ticket_no {
            add("X-Ticket-No", one_line(ticket_no));
        }
        add("History-Info", format!("<sip:{}@{}>;index=1", self.origins.number, authority(target)));
        headers
    }
}

/// A value that comes from outside never begins a new header line.
fn one_line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_on_their_line() {
        assert_eq!(one_line("A1\r\nX-Evil: 1"), "A1X-Evil: 1");
    }
}
