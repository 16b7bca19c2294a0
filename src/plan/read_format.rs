//! Reads `[trunk.NAME.incoming]` and `[trunk.NAME.outgoing]`: number rules, header rules, what stands where.
//!
//! Deliberately absent: whether a rule would change an emergency number (`check`, which knows the place). Limits:
//! [`RULES_MAX`] header rules each way, values of at most [`VALUE_MAX`] octets.

use super::read_settings::SettingsDraft;
use super::read_trunk::host_text;
use crate::base::id::TrunkName;
use crate::plan::diagnose::{At, Faults};
use crate::plan::source::{Fields, Spot, Table, Value};
use crate::plan::trunk::{CalledFrom, FromCarries, HeaderRule, IncomingFormat, NumberRule, OutgoingFormat};
use crate::plan::words;

/// Most header rules of one direction.
const RULES_MAX: usize = 32;
/// The longest value a rule may add.
const VALUE_MAX: usize = 1_024;
/// Digits from which on `add` applies unless said otherwise: what a local number has; short codes stay as they are.
const LOCAL_LENGTH: u8 = 7;

/// Fields that are the transaction's, the dialog's or the body's: no rule may touch them (RFC 3261 §8.1.1, §12, §20).
const OURS: [&str; 42] = [
    "Accept",
    "Accept-Contact",
    "Allow",
    "Allow-Events",
    "Authentication-Info",
    "Authorization",
    "Call-ID",
    "Contact",
    "CSeq",
    "Event",
    "Expires",
    "Flow-Timer",
    "From",
    "In-Reply-To",
    "Join",
    "Max-Breadth",
    "Max-Forwards",
    "MIME-Version",
    "Min-Expires",
    "Min-SE",
    "Path",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Proxy-Require",
    "RAck",
    "Record-Route",
    "Refer-To",
    "Referred-By",
    "Replaces",
    "Require",
    "Retry-After",
    "Route",
    "RSeq",
    "Service-Route",
    "Session-Expires",
    "Supported",
    "Target-Dialog",
    "To",
    "Unsupported",
    "Via",
    "WWW-Authenticate",
    // The loop guard between platforms.
    "X-Switch-Hops",
];
/// Fields that say who calls, and where: what goes out of them is decided by trust and privacy, never copied.
const IDENTITY: [&str; 7] = [
    "Geolocation",
    "Geolocation-Routing",
    "P-Access-Network-Info",
    "P-Asserted-Identity",
    "P-Preferred-Identity",
    "Privacy",
    "Remote-Party-ID",
];

/// Whether a text can be the host of an address: a name, an IPv4 address, or an IPv6 address in brackets.
pub(super) fn is_host(text: &str) -> bool {
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match inner {
        Some(ip) => ip.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !text.is_empty()
                && text.len() <= 255
                && !text.starts_with(['-', '.'])
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
        }
    }
}

/// Reads how a trunk's messages are read.
pub(super) fn read_incoming(
    draft: &mut SettingsDraft,
    trunk: &TrunkName,
    table: Option<&Table>,
    faults: &mut Faults,
) -> IncomingFormat {
    let Some(table) = table else { return IncomingFormat::default() };
    let mut fields = Fields::new(table, "`incoming`");
    let called = read_rule(&mut fields, "called", faults);
    if let Some(at) = table.get("called").map(|entry| entry.node.at) {
        draft.rule_at.push((trunk.clone(), "incoming", called.clone(), at));
    }
    let caller = read_rule(&mut fields, "caller", faults);
    let called_from = fields
        .text("called_from", faults)
        .and_then(|found| words::word(words::CALLED_FROM, found.value, found.at, "place of the called number", faults))
        .unwrap_or(CalledFrom::RequestUri);
    let headers = read_headers(&mut fields, false, faults);
    fields.finish(faults);
    IncomingFormat { called, caller, called_from, headers }
}

/// Reads how a trunk's messages are written.
pub(super) fn read_outgoing(
    draft: &mut SettingsDraft,
    trunk: &TrunkName,
    table: Option<&Table>,
    faults: &mut Faults,
) -> OutgoingFormat {
    let default = OutgoingFormat::default();
    let Some(table) = table else { return default };
    let mut fields = Fields::new(table, "`outgoing`");
    let called = read_rule(&mut fields, "called", faults);
    if let Some(at) = table.get("called").map(|entry| entry.node.at) {
        draft.rule_at.push((trunk.clone(), "outgoing", called.clone(), at));
    }
    let from_at = table.get("from").map(|entry| entry.node.at);
    let format = OutgoingFormat {
        called,
        caller: read_rule(&mut fields, "caller", faults),
        user_phone: fields.bool("user_phone", default.user_phone, faults),
        domain: fields.text("domain", faults).and_then(|found| host_text(&found, faults)),
        peer_domain: fields.text("peer_domain", faults).and_then(|found| host_text(&found, faults)),
        present: fields.text("present", faults).and_then(|found| number_text(&found, faults)),
        from: fields
            .text("from", faults)
            .and_then(|found| words::word(words::FROM_CARRIES, found.value, found.at, "content of From", faults))
            .unwrap_or(default.from),
        asserted: fields.bool("asserted", default.asserted, faults),
        diversion: fields.bool("diversion", default.diversion, faults),
        history_info: fields.bool("history_info", default.history_info, faults),
        headers: read_headers(&mut fields, true, faults),
    };
    let given = table.get("present").is_some();
    fields.finish(faults);
    if let (FromCarries::Present, false, Some(at)) = (format.from, given, from_at) {
        faults
            .error("E0102", at, "From is to carry the number presented, but there is no `present`", "this")
            .help("give `present = \"…\"`: the number the carrier wants to see, such as \"047612345\"");
    }
    format
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    digits.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'*' | b'#')) && text.len() <= 32
}

fn number_text(found: &Spot<&str>, faults: &mut Faults) -> Option<String> {
    if is_number(found.value) && !found.value.is_empty() {
        return Some(found.value.to_owned());
    }
    faults
        .error("E0104", found.at, format!("`{}` is no number", found.value.escape_debug()), "cannot be dialled")
        .help("digits, with a `+` in front at most: no spaces, no domain");
    None
}

/// Reads `{ strip = ["+86", "0"], add = "0", add_from_length = 7 }`.
fn read_rule(fields: &mut Fields<'_>, key: &'static str, faults: &mut Faults) -> NumberRule {
    let Some(table) = fields.table(key, faults) else { return NumberRule::default() };
    let mut fields = Fields::new(table, "a number rule");
    let mut strip: Vec<(String, At)> = Vec::new();
    for found in fields.texts("strip", faults).unwrap_or_default() {
        let Some(prefix) = number_text(&found, faults) else { continue };
        if let Some((shorter, first)) = strip.iter().find(|(known, _)| prefix.starts_with(known.as_str())) {
            let message = format!("prefix `{prefix}` is never stripped: `{shorter}` before it fits first");
            faults
                .warning("W0230", found.at, message, "never reached")
                .also(*first, "this one")
                .help("the first prefix that fits goes, and only that one: write longer prefixes first");
        }
        strip.push((prefix, found.at));
    }
    let add = fields.text("add", faults).filter(|found| !found.value.is_empty());
    let add = add.and_then(|found| number_text(&found, faults)).unwrap_or_default();
    let add_from_length = fields.integer("add_from_length", LOCAL_LENGTH, 0..=32, faults);
    let useless = table.get("add_from_length").filter(|_| table.get("add").is_none()).map(|entry| entry.key_at);
    fields.finish(faults);
    if let Some(at) = useless {
        faults
            .warning("W0230", at, "`add_from_length` without `add`", "changes nothing")
            .help("it says from how many digits on `add` applies");
    }
    NumberRule { strip: strip.into_iter().map(|(prefix, _)| prefix).collect(), add, add_from_length }
}

fn read_headers(fields: &mut Fields<'_>, copies: bool, faults: &mut Faults) -> Vec<HeaderRule> {
    let tables = fields.tables("headers", faults);
    if let Some(extra) = tables.get(RULES_MAX) {
        let message = format!("{} header rules, at most {RULES_MAX} are kept", tables.len());
        faults.error("E0127", extra.at, message, "the first too many");
    }
    tables.into_iter().take(RULES_MAX).filter_map(|table| read_header(table, copies, faults)).collect()
}

fn read_header(table: &Table, copies: bool, faults: &mut Faults) -> Option<HeaderRule> {
    let mut fields = Fields::new(table, "a header rule");
    let remove = fields.text("remove", faults).and_then(|found| header_name(&found, faults));
    let copy = fields.text("copy", faults).and_then(|found| copied_name(&found, copies, faults));
    let add = fields.table("add", faults).map(|table| added(table, faults));
    fields.finish(faults);
    let verbs = ["remove", "copy", "add"].iter().filter(|verb| table.get(verb).is_some()).count();
    if verbs != 1 {
        faults.error("E0102", table.at, format!("a header rule with {verbs} verbs"), "needs exactly one").help(
            "write { remove = \"X-Foo\" }, { add = { name = \"X-Foo\", value = \"…\" } } or { copy = \"X-Foo\" }",
        );
        return None;
    }
    remove
        .map(HeaderRule::Remove)
        .or_else(|| copy.map(HeaderRule::Copy))
        .or_else(|| add.flatten().map(|(name, value)| HeaderRule::Add(name, value)))
}

fn added(table: &Table, faults: &mut Faults) -> Option<(String, String)> {
    let mut fields = Fields::new(table, "`add`");
    let name = fields.need("name", faults).and_then(|found| header_name(&found, faults));
    let value = match fields.node("value").map(|node| &node.value) {
        Some(Value::Text(_)) | None => fields.need("value", faults).and_then(|found| header_value(&found, faults)),
        Some(_) => fields.text("value", faults).map(|found| found.value.to_owned()),
    };
    fields.finish(faults);
    Some((name?, value?))
}

fn header_value(found: &Spot<&str>, faults: &mut Faults) -> Option<String> {
    if found.value.chars().any(char::is_control) {
        faults
            .error("E0140", found.at, "a header's value with a line end or another control character", "ends the line")
            .help("one rule adds one line; write a rule for each header");
        return None;
    }
    if found.value.len() > VALUE_MAX {
        let message = format!("a header's value of {} octets, at most {VALUE_MAX} are sent", found.value.len());
        faults.error("E0127", found.at, message, "too long");
        return None;
    }
    Some(found.value.to_owned())
}

fn header_name(found: &Spot<&str>, faults: &mut Faults) -> Option<String> {
    let name = found.value;
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) || name.len() > 64 {
        faults
            .error("E0104", found.at, format!("`{}` is no header name", name.escape_debug()), "cannot be written")
            .help("letters, digits and hyphens, without the colon");
        return None;
    }
    if name.len() == 1 {
        faults.error("E0104", found.at, format!("`{name}` is the short form of a header"), "write its long name");
        return None;
    }
    let content = name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("Content-"));
    if content || OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours)) {
        faults.error("E0140", found.at, format!("no rule may touch `{name}`"), "the call's own").help(
            "it belongs to the transaction, the dialog or the body; keys such as `domain`, `from`, `called` form it",
        );
        return None;
    }
    Some(name.to_owned())
}

fn copied_name(found: &Spot<&str>, copies: bool, faults: &mut Faults) -> Option<String> {
    let name = header_name(found, faults)?;
    if !copies {
        faults
            .error("E0140", found.at, "`copy` among the rules of incoming messages", "there is nothing to copy from")
            .help("write it under [trunk.<name>.outgoing]: it copies from the caller's INVITE");
        return None;
    }
    if IDENTITY.iter().any(|identity| name.eq_ignore_ascii_case(identity)) {
        faults
            .error(
                "E0140",
                found.at,
                format!("`{name}` is not copied: it says who calls, or where"),
                "decided by trust",
            )
            .help("`trusted`, `asserted` and the caller's own wish decide who is shown the number");
        return None;
    }
    Some(name)
}
