//! The transaction machines of RFC 3261 §17.
