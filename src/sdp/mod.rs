//! Session descriptions (RFC 8866) and offer/answer (RFC 3264) for one G.711 audio stream.
//!
//! A body is bytes on the way in and out; [`parse`] reads whatever carriers really send, [`negotiate`] decides and
//! writes. Deliberately absent: who owes an offer or an answer and when (`sip::offer_answer`), sockets, name
//! resolution (a host name in `c=` counts as no address), SRTP and ICE attributes.

pub mod negotiate;
pub mod parse;
