//! Who is presented to a far end over a trunk, and what else its INVITE carries, in that trunk's form.
//!
//! | field | what it carries |
//! |---|---|
//! | From | the caller, or the number the carrier demands (`present`); `anonymous@anonymous.invalid` for a hidden caller |
//! | P-Asserted-Identity | the caller, where the trunk is trusted and he does not want to be hidden |
//! | Privacy | `id`, where his number is known and withheld |
//! | Diversion, History-Info | the number dialled, and in the history where the call goes now |
//! | User-to-User | our ticket, as hexadecimal digits |
//! | X-Switch-Hops | the platforms the call has passed, toward another platform |
//! | Geolocation, body parts | the caller's, as they came |
//!
//! A call an agent began presents `present`, else the place's 12345, to every trunk; nothing of the agent goes out, and
//! neither Diversion nor History-Info, because nothing was diverted.
//!
//! An emergency desk gets number, name and location over any wish for privacy and any lack of trust (RFC 6442 §4.4,
//! `features.md` D6). The trunk's header rules come last. RFC 3323 §4.1, RFC 3325 §9, RFC 5806 §4, RFC 7044 §5,
//! RFC 7433 §4. Deliberately absent: the form toward agents (`outgoing`).

use std::sync::Arc;

use bytes::Bytes;

use crate::call::carried::CarriedPart;
use crate::call::control::{Control, Cx};
use crate::call::words::Target;
use crate::event::call::LegRole;
use crate::plan::trunk::{FromCarries, HeaderRule, OutgoingFormat, Trunk};
use crate::sip::header::user_to_user::UserToUser;

/// The address of somebody who wants to be hidden (RFC 3323 §4.1.1.3).
const NOBODY: &str = "sip:anonymous@anonymous.invalid";

/// What an INVITE shows and carries beside what the leg owns.
pub(super) struct Dress {
    pub(super) display: Bytes,
    pub(super) from: Arc<str>,
    pub(super) headers: Vec<(Box<str>, Bytes)>,
    pub(super) parts: Vec<CarriedPart>,
}

impl Control {
    pub(super) fn toward_trunk(&self, cx: &Cx<'_>, target: &Target, role: LegRole) -> Dress {
        let (emergency, ours) = (role == LegRole::Emergency, self.is_of_agent());
        let plan = cx.plans.newest;
        let trunk = target.trunk.as_ref().and_then(|name| plan.trunk(name)).map(AsRef::as_ref);
        let default = OutgoingFormat::default();
        let format = trunk.map_or(&default, |trunk| &trunk.outgoing);
        let own = |number: &str| format.own_address(number, &authority(target));
        let written = |number: &str| trunk.map_or_else(|| number.to_owned(), |trunk| plan.caller_out(trunk, number));
        let caller = &self.origins.caller;
        let open = emergency || ours || (target.trusted && !caller.private);
        let number = match &format.present {
            Some(presented) if ours => presented.clone(),
            Some(_) | None => written(&caller.number.normal),
        };
        let shown = open && !number.is_empty();
        let presented = format.present.as_deref().filter(|_| format.from == FromCarries::Present);
        let mut dress =
            Dress { display: Bytes::new(), from: Arc::from(NOBODY), headers: Vec::new(), parts: Vec::new() };
        match presented {
            Some(presented) => dress.from = Arc::from(own(presented)),
            None if shown => {
                dress.from = Arc::from(own(&number));
                dress.display = if ours { Bytes::new() } else { self.origins.display.clone() };
            }
            None => dress.display = Bytes::from_static(b"Anonymous"),
        }
        let mut add = |name: &str, value: String| dress.headers.push((Box::from(name), Bytes::from(value)));
        if shown && (format.asserted || emergency) {
            add("P-Asserted-Identity", format!("<{}>", own(&number)));
        }
        if !open && presented.is_none() && !number.is_empty() {
            add("Privacy", "id".to_owned());
        }
        if !self.origins.number.is_empty() && !ours {
            let dialled = own(&written(&self.origins.number));
            if format.diversion {
                add("Diversion", format!("<{dialled}>;reason=unconditional"));
            }
            if format.history_info {
                let now = &target.to;
                add("History-Info", format!("<{dialled}>;index=1, <{now};cause=302>;index=1.1;mp=1"));
            }
        }
        // The public network has no use for our ticket.
        if !(ours && role == LegRole::Outside)
            && let Ok(ticket) = UserToUser::hex(self.identity.ticket.to_string().as_bytes(), None)
        {
            dress.headers.push((Box::from("User-to-User"), Bytes::from(ticket.to_bytes())));
        }
        if let Some(hops) = &target.hops {
            dress.headers.push((Box::from("X-Switch-Hops"), Bytes::from(hops.to_string())));
        }
        if open {
            let location = self.origins.carried.location();
            dress.headers.extend(location.map(|(name, value)| (Box::from(name), value.clone())));
            dress.parts = self.origins.carried.parts().to_vec();
        }
        self.by_rules(trunk, &mut dress.headers);
        dress
    }

    /// The trunk's own header rules, in order.
    fn by_rules(&self, trunk: Option<&Trunk>, headers: &mut Vec<(Box<str>, Bytes)>) {
        for rule in trunk.map(|trunk| trunk.outgoing.headers.as_slice()).unwrap_or_default() {
            match rule {
                HeaderRule::Add(name, value) => {
                    headers.push((Box::from(name.as_str()), Bytes::copy_from_slice(value.as_bytes())));
                }
                HeaderRule::Remove(name) => headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name)),
                HeaderRule::Copy(name) => {
                    let copies = self.origins.carried.fields(name);
                    headers.extend(copies.map(|value| (Box::from(name.as_str()), value.clone())));
                }
            }
        }
    }
}

/// The host we are known by on the target's flow.
pub(super) fn authority(target: &Target) -> String {
    match target.flow.local.ip() {
        std::net::IpAddr::V4(ip) => ip.to_string(),
        std::net::IpAddr::V6(ip) => format!("[{ip}]"),
    }
}
