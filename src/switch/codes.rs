//! Star codes an agent dials while he is in no talk: they change what the queues think of him.
//!
//! | dialled | does |
//! |---|---|
//! | `*50` | ready (示闲) |
//! | `*51`, `*511` | not ready: break (小休) |
//! | `*512` `*513` `*514` `*515` | not ready: meal (用餐), meeting (会议), training (培训), other work (其他) |
//! | `*52` | ends wrap-up |
//! | `*53`, `*54` | signs in (签入), signs out (签出) of all his queues |
//! | `*55` | extends wrap-up once |
//!
//! A `#` at the end is a key some phones need to dial at once; it means nothing. None begins like a code keyed in a talk
//! (`call::codes`). Deliberately absent: what a choice does to offers and wrap-up (`acd`).

use std::sync::Arc;

use crate::acd::words::{DeskCommand, DeskState};

/// What a dialled string asks of the desk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Dialled {
    /// It is a number.
    Number,
    /// A code.
    Code(DeskCommand),
    /// It begins like a code and is none.
    UnknownCode,
}

impl Dialled {
    pub(super) fn read(dialled: &str) -> Self {
        let Some(code) = dialled.strip_prefix('*') else { return Self::Number };
        let away = |reason: &str| DeskState::NotReady { reason: Arc::from(reason) };
        let command = match code.strip_suffix('#').unwrap_or(code) {
            "50" | "53" => DeskCommand::Choose(DeskState::Ready),
            "51" | "511" => DeskCommand::Choose(away("break")),
            "512" => DeskCommand::Choose(away("meal")),
            "513" => DeskCommand::Choose(away("meeting")),
            "514" => DeskCommand::Choose(away("training")),
            "515" => DeskCommand::Choose(away("other")),
            "52" => DeskCommand::EndWrapUp,
            "54" => DeskCommand::Choose(DeskState::SignedOut),
            "55" => DeskCommand::ExtendWrapUp,
            _ => return Self::UnknownCode,
        };
        Self::Code(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_codes_are_taken() {
        assert_eq!(Dialled::read("*50"), Dialled::Code(DeskCommand::Choose(DeskState::Ready)));
        assert_eq!(Dialled::read("*50#"), Dialled::read("*50"));
        assert_eq!(Dialled::read("*51"), Dialled::read("*511"));
        assert_eq!(Dialled::read("*52"), Dialled::Code(DeskCommand::EndWrapUp));
        for unknown in ["*", "*5", "*500", "*519", "*20", "**50", "*50##", "*99", "*33"] {
            assert_eq!(Dialled::read(unknown), Dialled::UnknownCode, "{unknown}");
        }
        for number in ["", "50", "50*", "#50", "1002", "13800001234"] {
            assert_eq!(Dialled::read(number), Dialled::Number, "{number}");
        }
    }
}
