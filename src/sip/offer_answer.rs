//! Who owes an offer or an answer (RFC 3264, RFC 6337).
