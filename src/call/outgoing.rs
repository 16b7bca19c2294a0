//! What an outgoing INVITE shows and carries (`contract.md` §4).
//!
//! Toward an agent: hotline and caller as display name, our ids, the hotline's facts. Toward a trunk: the citizen's
//! number and name (octets as they came) where the trunk is trusted, the number dialled, the ticket. An emergency desk
//! gets the number always, over any wish for privacy (RFC 6442 tradition; `features.md` D6). Deliberately absent: header
//! syntax beyond single values.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::call::attempt::Ring;
use crate::call::control::{Control, Cx};
use crate::call::leg::words::Outgoing;
use crate::call::words::Target;
use crate::event::call::LegRole;

/// How long an agent's phone or an ordinary trunk may be wholly silent: four sendings over UDP at 0, 0.5, 1.5, 3.5 s.
const DEAD_AFTER: Duration = Duration::from_millis(4_000);
/// The same for an emergency route: three sendings.
const EMERGENCY_DEAD_AFTER: Duration = Duration::from_millis(2_000);

impl Control {
    /// Composes the INVITE toward a target of a ring.
    pub(super) fn outgoing(&self, cx: &Cx<'_>, ring: &Ring, target: &Target, role: LegRole) -> Outgoing {
        let caller = &self.origins.caller;
        let number = caller.number.normal.as_str();
        let emergency = role == LegRole::Emergency;
        let agent = ring.offer.is_some();
        let shown = !number.is_empty() && (agent || emergency || (target.trusted && !caller.private));
        let from_user = if shown { number } else { "anonymous" };
        let headers =
            if agent { self.agent_headers(cx, target) } else { self.trunk_headers(target, shown.then_some(number)) };
        Outgoing {
            target: target.clone(),
            display: match (agent, shown) {
                (true, _) => self.display(cx, number),
                (false, true) => self.origins.display.clone(),
                (false, false) => Bytes::new(),
            },
            from_user: Arc::from(from_user),
            headers,
            ring: ring.ring,
            dead_after: if emergency { EMERGENCY_DEAD_AFTER } else { DEAD_AFTER },
            max_forwards: self.origins.max_forwards.saturating_sub(1),
        }
    }

    fn display(&self, cx: &Cx<'_>, number: &str) -> Bytes {
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
        add("History-Info", format!("<sip:{}@{}>;index=1", self.origins.number, host_of(target)));
        headers
    }

    fn trunk_headers(&self, target: &Target, caller: Option<&str>) -> Vec<(Box<str>, Bytes)> {
        let mut headers = Vec::with_capacity(5);
        let mut add = |name: &str, value: String| headers.push((Box::from(name), Bytes::from(value)));
        let host = host_of(target);
        match caller {
            Some(number) => add("P-Asserted-Identity", format!("<sip:{number}@{host}>")),
            None => add("Privacy", "id".to_owned()),
        }
        let dialled = &self.origins.number;
        if !dialled.is_empty() {
            add("Diversion", format!("<sip:{dialled}@{host}>;reason=unconditional"));
            add("History-Info", format!("<sip:{dialled}@{host}>;index=1"));
        }
        add("User-to-User", format!("{};encoding=hex", hex(&self.identity.ticket.to_string())));
        headers
    }
}

/// The host we are known by on that flow.
fn host_of(target: &Target) -> String {
    match target.flow.local.ip() {
        std::net::IpAddr::V4(ip) => ip.to_string(),
        std::net::IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// A value that comes from outside never begins a new header line.
fn one_line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

fn hex(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len() * 2), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_on_their_line_and_user_data_is_hexadecimal() {
        assert_eq!(one_line("A1\r\nX-Evil: 1"), "A1X-Evil: 1");
        assert_eq!(hex("01J"), "30314a");
    }
}
