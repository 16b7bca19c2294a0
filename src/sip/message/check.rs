//! What is well-formed and still wrong in a request, checked before any state exists.
//!
//! Deliberately absent: what depends on who we are (403, 404), on the dialog (481), on the body (415, 488), on which
//! methods are served (405, 501) and on hops left (483).
//!
//! RFC 3261 §8.2.2, §8.2.2.3, §16.3; RFC 4475 §3.1.2, §3.3.

use super::super::header::address::Contacts;
use super::super::header::via::Via;
use super::super::uri::Scheme;
use super::{Message, Method, Name};
use crate::base::number::sos_lines;

/// A request to be refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status} {phrase}")]
pub struct Refusal {
    /// The status to answer with.
    pub status: u16,
    /// The reason phrase.
    pub phrase: String,
}

impl Refusal {
    fn new(status: u16, phrase: impl Into<String>) -> Self {
        Self { status, phrase: phrase.into() }
    }

    fn bad(fault: impl std::fmt::Display) -> Self {
        Self::new(400, format!("Bad Request ({fault})"))
    }
}

impl Message {
    /// Checks a request that is to be served: methods agree, every Via, From, To and Contact can be read, the
    /// request-URI is one we can serve. A response passes.
    ///
    /// # Errors
    /// The refusal to send, unless the request is an ACK, which is then dropped.
    pub fn check_request(&self) -> Result<(), Refusal> {
        let Some(method) = self.method() else { return Ok(()) };
        if self.cseq().method != *method {
            return Err(Refusal::bad("CSeq method differs"));
        }
        self.check_request_uri()?;
        for value in self.headers(Name::Via).flat_map(|value| super::text::pieces(value, b',')) {
            Via::parse(value).map_err(|fault| Refusal::bad(format_args!("Via: {fault}")))?;
        }
        for (name, address) in [("From", self.from()), ("To", self.to())] {
            let uri = address.uri().map_err(|fault| Refusal::bad(format_args!("{name}: {fault}")))?;
            if *method == Method::Register && uri.scheme() == Scheme::Other {
                return Err(Refusal::bad(format_args!("{name}: scheme cannot be registered")));
            }
        }
        match self.contacts() {
            Ok(Contacts::All) if *method != Method::Register => Err(Refusal::bad("Contact: * outside REGISTER")),
            Ok(Contacts::All) => Ok(()),
            Ok(Contacts::List(list)) => list
                .iter()
                .try_for_each(|contact| contact.uri().map(drop))
                .map_err(|fault| Refusal::bad(format_args!("Contact: {fault}"))),
            Err(fault) => Err(Refusal::bad(format_args!("Contact: {fault}"))),
        }
    }

    /// Checks that every extension a request requires is one we have (RFC 3261 §8.2.2.3); `Require` of an ACK or
    /// CANCEL is not looked at. `Proxy-Require` counts too, since a B2BUA stands where a proxy would.
    ///
    /// # Errors
    /// 420 with, in order, the option tags to list in `Unsupported`.
    pub fn check_extensions(&self, supported: &[&str]) -> Result<(), (Refusal, Vec<String>)> {
        if matches!(self.method(), None | Some(Method::Ack | Method::Cancel)) {
            return Ok(());
        }
        let unknown: Vec<String> = [Name::Require, Name::ProxyRequire]
            .into_iter()
            .flat_map(|name| self.values(name))
            .filter(|tag| !supported.iter().any(|known| tag.eq_ignore_ascii_case(known.as_bytes())))
            .map(|tag| super::text::decode(tag).into_owned())
            .collect();
        if unknown.is_empty() { Ok(()) } else { Err((Refusal::new(420, "Bad Extension"), unknown)) }
    }

    fn check_request_uri(&self) -> Result<(), Refusal> {
        let uri = match self.uri() {
            Some(Ok(uri)) => uri,
            Some(Err(fault)) => return Err(Refusal::bad(format_args!("request-URI: {fault}"))),
            None => return Ok(()),
        };
        // A service URN of an emergency is served like the number it stands for (RFC 5031 §4.2).
        let urgent = || str::from_utf8(uri.as_bytes()).is_ok_and(|uri| sos_lines(uri).is_some());
        if uri.scheme() == Scheme::Other && !urgent() {
            return Err(Refusal::new(416, "Unsupported URI Scheme"));
        }
        if uri.headers().next().is_some() {
            return Err(Refusal::bad("request-URI: headers in it"));
        }
        Ok(())
    }
}
