//! What an INVITE over a trunk says: the number called, who calls, where the call has been, whose matter it is.
//!
//! Raw forms throughout: the plan reads them, the ticket keeps them. The trunk's header rules are applied before
//! anything is read. Deliberately absent: judging (`plan`), and believing: whether a trunk may assert is the plan's.
//! RFC 3261 §8.2.2, RFC 3325 §9.1, RFC 3323 §4.2, RFC 5806 §4, RFC 7044 §5, RFC 7315 §4.2, RFC 7433 §4.
//!
//! Limit: [`NUMBERS_MAX`] identities and diversions each.

use std::sync::Arc;

use crate::base::id::{TicketId, TrunkName};
use crate::base::number::{plain, sos_lines};
use crate::plan::model::Plan;
use crate::plan::route::Facts;
use crate::plan::trunk::{CallSource, CalledFrom, HeaderRule, Trunk};
use crate::sip::header::address::NameAddr;
use crate::sip::header::diverted::{Diversion, HistoryEntry};
use crate::sip::header::identity::Privacy;
use crate::sip::header::user_to_user::UserToUser;
use crate::sip::message::{Message, Name};
use crate::sip::print::Draft;
use crate::sip::text;
use crate::sip::uri::{Scheme, Uri};

/// Most identities, and most diversions, that are read.
pub(super) const NUMBERS_MAX: usize = 16;

/// What an INVITE says of its numbers.
pub(super) struct Numbers {
    pub(super) dialled: String,
    from: Option<String>,
    asserted: Vec<String>,
    private: bool,
    /// The latest first.
    pub(super) diverted: Vec<String>,
}

impl Numbers {
    /// `by_contact` says that the request-URI is our Contact at a registrar and so no number.
    pub(super) fn read(invite: &Message, trunk: &Trunk, plan: &Plan, by_contact: bool) -> Self {
        let dialled = called(invite, trunk, plan, by_contact);
        let diverted = diverted(invite, &dialled);
        Self {
            from: invite.from().uri().ok().and_then(|uri| number_text(&uri)),
            asserted: invite
                .addresses(Name::PAssertedIdentity)
                .filter_map(|address| number_text(&address.ok()?.uri().ok()?))
                .take(NUMBERS_MAX)
                .collect(),
            private: invite.headers(Name::Privacy).filter_map(|value| Privacy::parse(value).ok()).any(hides),
            dialled,
            diverted,
        }
    }

    /// Hands what was read to `decide`.
    pub(super) fn with_facts<T>(&self, trunk: &TrunkName, decide: impl FnOnce(&Facts<'_>) -> T) -> T {
        let asserted: Vec<&str> = self.asserted.iter().map(String::as_str).collect();
        let diverted: Vec<&str> = self.diverted.iter().map(String::as_str).collect();
        decide(&Facts {
            trunk,
            dialled: &self.dialled,
            from: self.from.as_deref(),
            asserted: &asserted,
            private: self.private,
            diverted: &diverted,
        })
    }
}

fn hides(privacy: Privacy) -> bool {
    privacy.hides_caller()
}

/// The number of an address as written, escapes undone, with the `phone-context` that gives it its meaning.
fn number_text(uri: &Uri) -> Option<String> {
    let user = uri.user_text().filter(|user| !user.is_empty())?;
    match uri.phone_context() {
        Some(context) if !user.contains("phone-context") => {
            Some(format!("{user};phone-context={}", text::decode(context)))
        }
        Some(_) | None => Some(user),
    }
}

/// The number called, from where the trunk writes it. An emergency in the Request-URI is one wherever else it says
/// another thing: no setting may hide it.
fn called(invite: &Message, trunk: &Trunk, plan: &Plan, by_contact: bool) -> String {
    let request = String::from_utf8_lossy(invite.request_uri().unwrap_or_default()).into_owned();
    let to = || invite.to().uri().ok();
    let party = || invite.header_named(b"P-Called-Party-ID").and_then(|value| NameAddr::parse(value).ok()?.uri().ok());
    let elsewhere = match trunk.incoming.called_from {
        CalledFrom::RequestUri if by_contact => party().or_else(to),
        CalledFrom::RequestUri => None,
        CalledFrom::To => to(),
        CalledFrom::CalledParty => party(),
    };
    let Some(elsewhere) = elsewhere else { return request };
    let urgent = sos_lines(&request).is_some()
        || plan.tenants.get(&trunk.tenant).is_some_and(|place| place.is_emergency(&request, trunk.area));
    let is_number = matches!(elsewhere.scheme(), Scheme::Sip | Scheme::Sips | Scheme::Tel);
    if urgent || !is_number || elsewhere.user_text().is_none() {
        return request;
    }
    String::from_utf8_lossy(elsewhere.as_bytes()).into_owned()
}

/// Where the call has been, the latest first: Diversion, then History-Info (RFC 7544 §3: whoever writes both writes the
/// same). The last entry of a history is where the call goes now, unless there is only one and it names another number.
fn diverted(invite: &Message, dialled: &str) -> Vec<String> {
    let diversions = Diversion::of(invite).filter_map(|diversion| number_text(&diversion.0.uri().ok()?));
    let mut found: Vec<String> = diversions.take(NUMBERS_MAX).collect();
    let mut history: Vec<String> =
        HistoryEntry::of(invite).take(NUMBERS_MAX).filter_map(|entry| number_text(&entry.target().ok()?)).collect();
    let same = |number: &String| plain(number) == plain(dialled);
    if history.len() > 1 || history.last().is_some_and(same) {
        history.pop();
    }
    for number in history.into_iter().rev() {
        if !found.iter().any(|known| plain(known) == plain(&number)) {
            found.push(number);
        }
    }
    found
}

/// The reference that User-to-User carries: one of our own tickets that comes back, or the other platform's own
/// number of the matter. From citizens' networks only ours counts.
pub(super) fn reference(invite: &Message, trunk: &Trunk) -> Option<Arc<str>> {
    let ours = |text: &str| text.parse::<TicketId>().is_ok_and(|ticket| ticket.0.tenant_tag() == trunk.tenant.tag());
    let platform = trunk.platform || trunk.source != CallSource::Public;
    let readable = |text: &str| (1..=64).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    invite.headers(Name::UserToUser).take(NUMBERS_MAX).find_map(|value| {
        let data = UserToUser::parse(value).ok()?.data;
        // ISDN puts a protocol discriminator in front (RFC 7434 §7): 04 says characters.
        let data = data.strip_prefix(&[4]).unwrap_or(&data);
        let text = std::str::from_utf8(data).ok()?.trim();
        (ours(text) || platform && readable(text)).then(|| Arc::from(text))
    })
}

/// The INVITE as the trunk's header rules want it read; `None` when they change nothing.
pub(super) fn under_rules(invite: &Message, rules: &[HeaderRule]) -> Option<Message> {
    let touches = |rule: &HeaderRule| match rule {
        HeaderRule::Add(..) => true,
        HeaderRule::Remove(name) => invite.header_named(name.as_bytes()).is_some(),
        // Nothing to copy from: refused when the configuration is read.
        HeaderRule::Copy(_) => false,
    };
    if !rules.iter().any(touches) {
        return None;
    }
    let changed = rules.iter().fold(Draft::from_message(invite), |draft, rule| match rule {
        HeaderRule::Add(name, value) => draft.header_raw(name.as_bytes(), value.as_bytes()),
        HeaderRule::Remove(name) => draft.without_raw(name.as_bytes()),
        HeaderRule::Copy(_) => draft,
    });
    Some(changed.finish())
}
