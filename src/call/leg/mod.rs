//! One leg: a dialog with its transactions and session description, seen by the call as a few words.

pub mod words;
