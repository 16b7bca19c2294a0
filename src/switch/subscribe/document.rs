//! The `application/dialog-info+xml` document: what an agent's line does, and nobody else's name.
//!
//! | line | direction `recipient` | `initiator` |
//! |---|---|---|
//! | ringing or being set up | `early` | `trying` |
//! | talking | `confirmed` | `confirmed` |
//! | held | `confirmed`, not rendered | the same |
//! | gone | `terminated`, once | the same |
//!
//! Deliberately absent: remote parties (who calls is nobody's but the agent's), tags and Call-IDs (a lamp picks up no
//! calls). RFC 4235 §4.1, §4.3. Limit: 16 dialogs in one document, the newest ones left out.

use std::fmt::Write as _;

use crate::acd::words::LineState;
use crate::base::id::LegId;
use crate::call::words::FIRST_CONSULT;
use crate::rtp::command::MediaLeg;

/// Its media type.
pub(super) const CONTENT_TYPE: &str = "application/dialog-info+xml";
const DIALOGS_MAX: usize = 16;

/// Writes a full document.
pub(super) fn write(entity: &str, version: u32, lines: &[(MediaLeg, LineState)], ended: &[MediaLeg]) -> String {
    let entity = escaped(entity);
    let mut text = format!(
        "<?xml version=\"1.0\"?>\r\n<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"{version}\" \
         state=\"full\" entity=\"{entity}\">\r\n"
    );
    let live = lines.iter().map(|(leg, state)| (leg, Some(*state)));
    for (leg, state) in live.chain(ended.iter().map(|leg| (leg, None))).take(DIALOGS_MAX) {
        let initiated = leg.leg == LegId(0) || leg.leg >= FIRST_CONSULT;
        let direction = if initiated { "initiator" } else { "recipient" };
        let word = match state {
            Some(LineState::Ringing) if initiated => "trying",
            Some(LineState::Ringing) => "early",
            Some(LineState::Talking | LineState::Held) => "confirmed",
            Some(LineState::Idle) | None => "terminated",
        };
        let held = if state == Some(LineState::Held) { "<param pname=\"+sip.rendering\" pval=\"no\"/>" } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "<dialog id=\"{}-{}\" direction=\"{direction}\">\r\n<state>{word}</state>\r\n<local><identity>{entity}\
             </identity><target uri=\"{entity}\">{held}</target></local>\r\n</dialog>\r\n",
            leg.call, leg.leg.0
        );
    }
    text.push_str("</dialog-info>\r\n");
    text
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, symbol| {
        match symbol {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            control if control.is_control() => out.push(' '),
            plain => out.push(plain),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::{CallId, Ulid};

    fn leg(n: u16) -> MediaLeg {
        MediaLeg { call: CallId(Ulid::from_bits(1)), leg: LegId(n) }
    }

    #[test]
    fn every_state_has_its_word_by_direction() {
        let consult = FIRST_CONSULT.0;
        for (n, state, direction, word) in [
            (1, LineState::Ringing, "recipient", "early"),
            (1, LineState::Talking, "recipient", "confirmed"),
            (1, LineState::Held, "recipient", "confirmed"),
            (0, LineState::Ringing, "initiator", "trying"),
            (consult, LineState::Ringing, "initiator", "trying"),
            (consult, LineState::Talking, "initiator", "confirmed"),
        ] {
            let text = write("sip:1002@h", 3, &[(leg(n), state)], &[]);
            assert!(text.contains(&format!("direction=\"{direction}\"")), "{text}");
            assert!(text.contains(&format!("<state>{word}</state>")) && text.contains("version=\"3\""), "{text}");
            assert_eq!(text.contains("+sip.rendering"), state == LineState::Held);
        }
        assert!(write("sip:1002@h", 0, &[], &[leg(1)]).contains("<state>terminated</state>"));
        assert!(!write("sip:1002@h", 0, &[], &[]).contains("<dialog "), "an idle line has no dialog");
    }

    #[test]
    fn what_a_phone_wrote_cannot_break_out_and_the_document_is_bounded() {
        let text = write("sip:1\"><x/>&@h\r\n", 0, &[(leg(1), LineState::Talking)], &[]);
        assert!(!text.contains("<x/>") && text.contains("sip:1&quot;&gt;&lt;x/&gt;&amp;@h"), "{text}");
        let many: Vec<_> = (0..100).map(|n| (leg(n), LineState::Talking)).collect();
        assert_eq!(write("sip:1@h", 0, &many, &[]).matches("<dialog ").count(), DIALOGS_MAX);
    }
}
