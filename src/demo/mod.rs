//! The story on one machine.
