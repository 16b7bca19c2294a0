//! Digest challenges and credentials (RFC 8760).
