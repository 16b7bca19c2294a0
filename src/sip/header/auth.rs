//! Challenges and credentials: a scheme with comma-separated parameters.
//!
//! Values are bytes (a user name may be in any charset) and none is ever shown. Deliberately absent: computing or
//! checking a digest. RFC 3261 §20.7, §20.44, §22.4; RFC 8760 §2.
//!
//! Limit: [`PARAMS_MAX`] parameters.

use std::fmt;

use super::super::text::{self, BadSyntax};

/// Most parameters read; a digest has about a dozen.
pub const PARAMS_MAX: usize = 32;

/// A challenge or credentials.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Auth {
    scheme: String,
    params: Vec<AuthParam>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct AuthParam {
    name: String,
    /// Without quotes and escapes.
    value: Vec<u8>,
    quoted: bool,
}

impl Auth {
    /// Begins a value of a scheme: `Digest`.
    #[must_use]
    pub fn new(scheme: &str) -> Self {
        Self { scheme: scheme.to_owned(), params: Vec::new() }
    }

    /// Reads the value of one line (RFC 3261 §20.7: such lines are never joined).
    ///
    /// # Errors
    /// Says what the value breaks.
    pub fn parse(value: &[u8]) -> Result<Self, BadSyntax> {
        let value = text::trim(value);
        let (scheme, rest) = text::split_once(value, b' ').unwrap_or((value, b""));
        if !text::is_token(scheme) {
            return Err(BadSyntax("bad scheme"));
        }
        let mut auth = Self::new(&text::decode(scheme));
        for piece in text::pieces(rest, b',').filter(|piece| !piece.is_empty()) {
            let (name, value) = text::split_once(piece, b'=').ok_or(BadSyntax("parameter without value"))?;
            let (name, value) = (text::trim_end(name), text::trim_start(value));
            if !text::is_token(name) {
                return Err(BadSyntax("bad parameter name"));
            }
            if auth.params.len() >= PARAMS_MAX {
                return Err(BadSyntax("too many parameters"));
            }
            let quoted = value.first() == Some(&b'"');
            if quoted && (value.len() < 2 || value.last() != Some(&b'"')) {
                return Err(BadSyntax("open quote"));
            }
            let name = text::decode(name).to_ascii_lowercase();
            if auth.get(&name).is_some() {
                return Err(BadSyntax("parameter given twice"));
            }
            auth.params.push(AuthParam { name, value: text::unquote(value).into_owned(), quoted });
        }
        Ok(auth)
    }

    /// Adds a parameter written in quotes (realm, nonce, opaque, username, uri, response, cnonce).
    #[must_use]
    pub fn quoted(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.with(name, value.as_ref(), true)
    }

    /// Adds a parameter written as a token (algorithm, nc, stale, and qop in credentials); one that is no token is
    /// quoted after all.
    #[must_use]
    pub fn token(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let quoted = !text::is_token(value.as_ref());
        self.with(name, value.as_ref(), quoted)
    }

    fn with(mut self, name: &str, value: &[u8], quoted: bool) -> Self {
        self.params.push(AuthParam { name: name.to_ascii_lowercase(), value: value.to_vec(), quoted });
        self
    }

    /// The scheme as written.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Whether the scheme is Digest.
    #[must_use]
    pub fn is_digest(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("Digest")
    }

    /// A parameter without quotes and escapes.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.params.iter().find(|param| param.name.eq_ignore_ascii_case(name)).map(|param| &param.value[..])
    }

    /// A parameter that is text.
    #[must_use]
    pub fn get_str(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Whether a comma list such as `qop` holds a word.
    #[must_use]
    pub fn offers(&self, name: &str, word: &str) -> bool {
        self.get(name).is_some_and(|value| {
            value.split(|byte| *byte == b',').any(|piece| text::trim(piece).eq_ignore_ascii_case(word.as_bytes()))
        })
    }

    /// The value to write.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.scheme.clone().into_bytes();
        for (nth, param) in self.params.iter().enumerate() {
            out.extend(if nth == 0 { &b" "[..] } else { b", " });
            out.extend(param.name.bytes());
            out.push(b'=');
            if param.quoted {
                text::quote_into(&mut out, &param.value);
            } else {
                out.extend(&param.value);
            }
        }
        out
    }
}

/// The scheme and the names of the parameters only.
impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple(&self.scheme).field(&self.params.iter().map(|param| &param.name).collect::<Vec<_>>()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: &str = "Digest username=\"1001\", realm=\"chifeng, \\\"12345\\\"\", nonce=\"a=b\", uri=\"sip:h\", \
                               response=\"0123\", algorithm=SHA-256, cnonce=\"x\", qop=auth, nc=00000001";

    #[test]
    fn what_is_written_reads_back() {
        let auth = Auth::parse(CREDENTIALS.as_bytes()).unwrap();
        assert!(auth.is_digest());
        assert_eq!(auth.get("REALM"), Some(&b"chifeng, \"12345\""[..]));
        assert_eq!((auth.get_str("nc"), auth.get("opaque")), (Some("00000001"), None));
        assert_eq!(String::from_utf8(auth.to_bytes()).unwrap(), CREDENTIALS);
        assert_eq!(Auth::parse(&auth.to_bytes()).unwrap(), auth);
    }

    #[test]
    fn a_challenge_is_composed() {
        let auth =
            Auth::new("Digest").quoted("realm", "r\"\r\nX: y").quoted("qop", "auth, auth-int").token("stale", "true");
        assert_eq!(auth.to_bytes(), b"Digest realm=\"r\\\"  X: y\", qop=\"auth, auth-int\", stale=true");
        assert!(auth.offers("qop", "AUTH") && auth.offers("qop", "auth-int") && !auth.offers("qop", "au"));
    }

    #[test]
    fn unknown_schemes_are_read() {
        assert!(!Auth::parse(b"NoOneKnowsThisScheme opaque-data=here").unwrap().is_digest());
        assert_eq!(Auth::parse(b"Basic").unwrap().scheme(), "Basic");
    }

    #[test]
    fn faults_are_named() {
        let many = format!("Digest {}", (0..40).map(|nth| format!("p{nth}=1,")).collect::<String>());
        for text in ["", "Dig\"est a=b", "Digest a", "Digest a=\"b", "Digest a=1, A=2", "Digest a=\"", many.as_str()] {
            assert!(Auth::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn debug_shows_no_value() {
        let shown = format!("{:?}", Auth::parse(CREDENTIALS.as_bytes()).unwrap());
        assert!(shown.contains("username") && !shown.contains("1001") && !shown.contains("0123"), "{shown}");
    }
}
