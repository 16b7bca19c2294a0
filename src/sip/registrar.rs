//! Bindings of addresses of record (RFC 3261 §10).
