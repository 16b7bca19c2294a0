//! `Reason`: why a request was sent, as another protocol would say it.
//!
//! Deliberately absent: the table between causes and statuses. RFC 3326 §2; RFC 6432 (in responses).

use super::super::text::{self, BadSyntax};
use super::param;

/// One reason.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reason {
    /// `SIP`, `Q.850` or another.
    pub protocol: String,
    /// A status or a cause.
    pub cause: Option<u16>,
    /// Text for people, in whatever charset.
    pub text: Option<Vec<u8>>,
}

impl Reason {
    /// A reason with a SIP status.
    #[must_use]
    pub fn sip(status: u16, text: &str) -> Self {
        Self { protocol: "SIP".to_owned(), cause: Some(status), text: Some(text.as_bytes().to_vec()) }
    }

    /// A reason with a cause of Q.850.
    #[must_use]
    pub fn q850(cause: u16) -> Self {
        Self { protocol: "Q.850".to_owned(), cause: Some(cause), text: None }
    }

    /// Reads one value (no list).
    ///
    /// # Errors
    /// When the protocol is no token.
    pub fn parse(value: &[u8]) -> Result<Self, BadSyntax> {
        let (protocol, section) = text::split_once(value, b';').unwrap_or((value, b""));
        let protocol = text::trim(protocol);
        if !text::is_token(protocol) {
            return Err(BadSyntax("bad protocol"));
        }
        let cause = param::param(section, "cause").flatten().map(text::unquote);
        let cause = cause.and_then(|cause| text::number(&cause)).and_then(|cause| u16::try_from(cause).ok());
        let words = param::param(section, "text").flatten().map(|words| text::unquote(words).into_owned());
        Ok(Self { protocol: text::decode(protocol).into_owned(), cause, text: words })
    }

    /// Whether the protocol is that one.
    #[must_use]
    pub fn is(&self, protocol: &str) -> bool {
        self.protocol.eq_ignore_ascii_case(protocol)
    }

    /// The value to write.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.protocol.clone().into_bytes();
        if let Some(cause) = self.cause {
            param::push_param(&mut out, "cause", Some(cause.to_string().as_bytes()));
        }
        if let Some(words) = &self.text {
            out.extend(b";text=");
            text::quote_into(&mut out, words);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for text in ["SIP;cause=200;text=\"Call completed elsewhere\"", "Q.850;cause=16", "preemption"] {
            assert_eq!(Reason::parse(text.as_bytes()).unwrap().to_bytes(), text.as_bytes());
        }
        assert_eq!(Reason::sip(487, "a\r\nb").to_bytes(), b"SIP;cause=487;text=\"a  b\"");
        assert_eq!(Reason::parse(&Reason::q850(31).to_bytes()).unwrap(), Reason::q850(31));
    }

    #[test]
    fn carriers_spellings_are_read() {
        let reason = Reason::parse(b"q.850 ; cause = 17 ; text=\"\xd3\xc3\xbb\xa7\xc3\xa6\"").unwrap();
        assert!(reason.is("Q.850"));
        assert_eq!((reason.cause, text::decode(reason.text.as_deref().unwrap())), (Some(17), "用户忙".into()));
        assert_eq!(Reason::parse(b"Q.850;cause=99999999").unwrap().cause, None);
        assert!(Reason::parse(b";cause=1").is_err());
    }
}
