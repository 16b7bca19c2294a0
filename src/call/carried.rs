//! What of a caller's INVITE goes on to far parties, octets as they came: where he is, and fields a trunk copies.
//!
//! Location (RFC 6442 §4: Geolocation, Geolocation-Routing, and the body parts their `cid:` references name) goes to
//! every emergency desk, and to a trusted trunk unless the caller wants to be hidden; other fields go where a trunk's
//! `copy` rule takes them. Parts are passed on with their own header fields, so a `cid:` still finds its part; our own
//! session description stands in place of theirs. ISUP never goes on: it describes the caller's circuit, not ours.
//! Deliberately absent: reading any of it.
//!
//! | limit | value | beyond it |
//! |---|---|---|
//! | fields together | 8 KiB | left out, location last of all |
//! | parts | 16, 64 KiB together | left out |

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::sip::message::{Message, Name};
use crate::sip::multipart::{self, PARTS_MAX, Part};
use crate::sip::text;

/// Octets of fields kept, names and values together.
pub const FIELDS_MAX: usize = 8 << 10;
/// Octets of body parts kept, their header fields included.
pub const BODY_MAX: usize = 64 << 10;
/// Fields of location, kept before all others.
const LOCATION: [Name; 2] = [Name::Geolocation, Name::GeolocationRouting];
/// Kinds of parts that end with the call they came in.
const OURS: [&str; 2] = ["application/sdp", "application/isup"];

/// Fields and parts of one INVITE.
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Carried {
    location: Vec<(Box<str>, Bytes)>,
    fields: Vec<(Box<str>, Bytes)>,
    parts: Vec<CarriedPart>,
    left_out: u16,
}

/// A body part: its header fields and octets as they came.
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CarriedPart {
    /// Header fields without the empty line.
    pub head: Bytes,
    /// The octets.
    pub body: Bytes,
}

impl Carried {
    /// Takes what goes on from an INVITE: location, and the fields of which `copied` names any.
    #[must_use]
    pub fn of<'n>(invite: &Message, copied: impl Iterator<Item = &'n str>) -> Self {
        let mut carried = Self::default();
        let mut room = FIELDS_MAX;
        for name in LOCATION {
            for value in invite.headers(name) {
                let field = keep(name.as_str(), value, &mut room, &mut carried.left_out);
                carried.location.extend(field);
            }
        }
        let is_location = |name: &str| LOCATION.iter().any(|known| name.eq_ignore_ascii_case(known.as_str()));
        for name in copied.filter(|name| !is_location(name)) {
            if carried.fields.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
                continue;
            }
            for value in invite.headers_named(name.as_bytes()) {
                let field = keep(name, value, &mut room, &mut carried.left_out);
                carried.fields.extend(field);
            }
        }
        carried.take_parts(invite);
        carried
    }

    fn take_parts(&mut self, invite: &Message) {
        let mut room = BODY_MAX;
        for part in body_parts(invite) {
            if OURS.iter().any(|kind| is_kind(&part.head, kind)) {
                continue;
            }
            let size = part.head.len() + part.body.len();
            match room.checked_sub(size).filter(|_| self.parts.len() < PARTS_MAX) {
                Some(left) => {
                    room = left;
                    self.parts.push(part);
                }
                None => self.left_out = self.left_out.saturating_add(1),
            }
        }
    }

    /// Fields of location.
    pub fn location(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.location.iter().map(|(name, value)| (&**name, value))
    }

    /// Fields of a name, location too.
    pub fn fields<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Bytes> {
        let all = self.location.iter().chain(&self.fields);
        all.filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Body parts, in order.
    #[must_use]
    pub fn parts(&self) -> &[CarriedPart] {
        &self.parts
    }

    /// Fields and parts that had no room.
    #[must_use]
    pub const fn left_out(&self) -> u16 {
        self.left_out
    }
}

/// Keeps a field in bytes of its own, so that it does not keep the whole message alive.
fn keep(name: &str, value: &[u8], room: &mut usize, left_out: &mut u16) -> Option<(Box<str>, Bytes)> {
    match room.checked_sub(name.len() + value.len()) {
        Some(left) => {
            *room = left;
            Some((Box::from(name), Bytes::copy_from_slice(value)))
        }
        None => {
            *left_out = left_out.saturating_add(1);
            None
        }
    }
}

/// The parts of a body, or the whole of one that is neither multipart nor a session description.
fn body_parts(invite: &Message) -> Vec<CarriedPart> {
    if invite.body().is_empty() {
        return Vec::new();
    }
    let own = |part: &Part| CarriedPart {
        head: Bytes::copy_from_slice(part.head()),
        body: Bytes::copy_from_slice(part.body()),
    };
    let parts = multipart::parts(invite);
    let whole = parts.is_empty() && !invite.is_content("application/sdp") && !is_multipart(invite);
    if !whole {
        return parts.iter().map(own).collect();
    }
    let mut head = Vec::new();
    let named = [Name::ContentType, Name::ContentDisposition, Name::ContentEncoding];
    let known = named.into_iter().map(Name::as_str).chain(["Content-ID"]);
    for name in known {
        for value in invite.headers_named(name.as_bytes()) {
            head.extend(name.as_bytes());
            head.extend(b": ");
            head.extend(value);
            head.extend(b"\r\n");
        }
    }
    vec![CarriedPart { head: Bytes::from(head), body: Bytes::copy_from_slice(invite.body()) }]
}

fn is_multipart(invite: &Message) -> bool {
    let kind = invite.content_type().unwrap_or_default();
    kind.get(..10).is_some_and(|start| start.eq_ignore_ascii_case(b"multipart/"))
}

fn is_kind(head: &[u8], kind: &str) -> bool {
    head.split(|byte| *byte == b'\n').any(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some((name, value)) = text::split_once(line, b':') else { return false };
        let value = text::trim(value.split(|byte| *byte == b';').next().unwrap_or_default());
        text::trim(name).eq_ignore_ascii_case(b"Content-Type")
            && text::trim_end(value).eq_ignore_ascii_case(kind.as_bytes())
    })
}

/// Counts only: where somebody is stays out of every log.
impl fmt::Debug for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = self.location.len() + self.fields.len();
        write!(f, "Carried({fields} fields, {} parts, {} left out)", self.parts.len(), self.left_out)
    }
}

impl fmt::Debug for CarriedPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CarriedPart({} octets)", self.body.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::Method;
    use crate::sip::print::Draft;

    fn invite(fields: &[(&str, &[u8])], kind: &str, body: &[u8]) -> Message {
        let draft = fields.iter().fold(Draft::request(&Method::Invite, b"sip:110@h"), |draft, (name, value)| {
            draft.header_raw(name.as_bytes(), value)
        });
        if kind.is_empty() { draft.finish() } else { draft.body(kind, Bytes::copy_from_slice(body)).finish() }
    }

    const PLACES: &[u8] = b"--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\r\n--b\r\nContent-Type: \
        application/pidf+xml\r\nContent-ID: <place@carrier.example>\r\n\r\n<p>\xb3\xe0\xb7\xe5</p>\n\r\n--b\r\n\
        content-type: Application/ISUP;version=cn\r\n\r\n\x01\x00\r\n--b--";

    #[test]
    fn rfc6442_s4_1_location_goes_on_with_its_parts_as_they_came() {
        let fields: &[(&str, &[u8])] = &[
            ("Geolocation", b"<cid:place@carrier.example>"),
            ("Geolocation", b"<https://lis.example/a?b=c>,<https://lis.example/d>"),
            ("geolocation-routing", b"yes"),
            ("X-Bar", b"\xb3\xe0  \xb7\xe5;a=\"1\""),
            ("X-Other", b"stays"),
        ];
        let carried = Carried::of(&invite(fields, "multipart/mixed;boundary=b", PLACES), ["x-bar"].into_iter());
        let location: Vec<_> = carried.location().map(|(name, value)| (name, &value[..])).collect();
        assert_eq!(location[0], ("Geolocation", &b"<cid:place@carrier.example>"[..]));
        assert_eq!(location[1].1, b"<https://lis.example/a?b=c>,<https://lis.example/d>");
        assert_eq!(location[2], ("Geolocation-Routing", &b"yes"[..]));
        assert_eq!(
            carried.fields("X-BAR").map(|value| &value[..]).collect::<Vec<_>>(),
            [b"\xb3\xe0  \xb7\xe5;a=\"1\""]
        );
        assert_eq!(carried.fields("X-Other").count(), 0);
        let [part] = carried.parts() else { panic!("{carried:?}") };
        assert_eq!(&part.body[..], b"<p>\xb3\xe0\xb7\xe5</p>\n");
        assert_eq!(&part.head[..], b"Content-Type: application/pidf+xml\r\nContent-ID: <place@carrier.example>\r\n");
        assert_eq!(carried.left_out(), 0);
    }

    #[test]
    fn a_body_that_is_one_location_goes_on_as_a_part() {
        let fields: &[(&str, &[u8])] = &[("Content-ID", b"<p@h>")];
        let carried = Carried::of(&invite(fields, "application/pidf+xml", b"<p/>"), [].into_iter());
        let [part] = carried.parts() else { panic!("{carried:?}") };
        assert_eq!(&part.head[..], b"Content-Type: application/pidf+xml\r\nContent-ID: <p@h>\r\n");
        assert_eq!(Carried::of(&invite(&[], "application/sdp", b"v=0\r\n"), [].into_iter()), Carried::default());
        assert_eq!(Carried::of(&invite(&[], "multipart/mixed", b"x"), [].into_iter()), Carried::default());
    }

    #[test]
    fn what_has_no_room_is_left_out_and_counted() {
        let long = vec![b'x'; FIELDS_MAX];
        let fields: &[(&str, &[u8])] = &[("X-Long", &long), ("X-Short", b"1"), ("Geolocation", b"<cid:a@b>")];
        let carried = Carried::of(&invite(fields, "", b""), ["X-Long", "X-Short", "x-short"].into_iter());
        assert_eq!((carried.fields("X-Long").count(), carried.fields("X-Short").count()), (0, 1));
        assert_eq!((carried.location().count(), carried.left_out()), (1, 1));
        let mut body = b"--b\r\n\r\n".to_vec();
        body.extend(vec![b'x'; BODY_MAX]);
        body.extend(b"x\r\n--b\r\n\r\nshort\r\n--b--");
        let carried = Carried::of(&invite(&[], "multipart/mixed;boundary=b", &body), [].into_iter());
        assert_eq!((carried.parts().len(), carried.left_out()), (1, 1));
        assert_eq!(format!("{carried:?}"), "Carried(0 fields, 1 parts, 1 left out)");
    }
}
