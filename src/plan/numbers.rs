//! Numbers in the form a trunk writes and wants them: its rules, and what they never touch.
//!
//! Incoming rules change what the plan looks up; the raw number stays on the ticket. An emergency number is looked up
//! as it came, before any rule, and goes out as it is. Deliberately absent: reading rules (`read_format`), and rules
//! that would change an emergency number (`check` refuses them).

use std::borrow::Cow;

use crate::base::number::{AreaCode, dialled, plain};
use crate::plan::model::{Plan, Tenant};
use crate::plan::trunk::{NumberRule, OutgoingFormat, Trunk};

impl NumberRule {
    /// A number as it came (a bare one, `tel:` or `sip:`) after the rule; as it came when the rule says nothing to it.
    #[must_use]
    pub fn read<'n>(&self, raw: &'n str) -> Cow<'n, str> {
        if self.is_empty() {
            return Cow::Borrowed(raw);
        }
        let Some(number) = plain(raw) else { return Cow::Borrowed(raw) };
        let changed = self.apply(&number);
        if changed == number { Cow::Borrowed(raw) } else { Cow::Owned(changed) }
    }
}

impl Tenant {
    /// Whether a number is an emergency line of the place, in a form with one reading.
    #[must_use]
    pub fn is_emergency(&self, number: &str, local: Option<AreaCode>) -> bool {
        dialled(number, local).iter().any(|reading| reading.sure && self.emergency_line(reading).is_some())
    }
}

impl Plan {
    /// A called number as a trunk wants it; emergency numbers as they are.
    #[must_use]
    pub fn called_out(&self, trunk: &Trunk, number: &str) -> String {
        self.out(trunk, &trunk.outgoing.called, number)
    }

    /// A caller's number, or one of ours, as a trunk wants it.
    #[must_use]
    pub fn caller_out(&self, trunk: &Trunk, number: &str) -> String {
        self.out(trunk, &trunk.outgoing.caller, number)
    }

    fn out(&self, trunk: &Trunk, rule: &NumberRule, number: &str) -> String {
        let place = self.tenants.get(&trunk.tenant);
        let local = trunk.area.or_else(|| place.and_then(|place| place.area));
        if rule.is_empty() || place.is_some_and(|place| place.is_emergency(number, local)) {
            return number.to_owned();
        }
        rule.read(number).into_owned()
    }
}

impl OutgoingFormat {
    /// The address of a number, complete: `sip:+864768337772@ims.example;user=phone`. `authority` is used where the
    /// format names no host of its own.
    #[must_use]
    pub fn address(&self, number: &str, host: Option<&str>, authority: &str) -> String {
        let host = host.unwrap_or(authority);
        let phone = if self.user_phone && plain(number).is_some() { ";user=phone" } else { "" };
        format!("sip:{number}@{host}{phone}")
    }

    /// The Request-URI and To of a call to a number whose far end is `authority`.
    #[must_use]
    pub fn to_address(&self, number: &str, authority: &str) -> String {
        self.address(number, self.peer_domain.as_deref(), authority)
    }

    /// The address of one of our numbers or a caller's, where we are `authority`.
    #[must_use]
    pub fn own_address(&self, number: &str, authority: &str) -> String {
        self.address(number, self.domain.as_deref(), authority)
    }
}
