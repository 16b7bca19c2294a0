//! Texts a call speaks of its own, from the plan's prompts; what the plan's steps speak comes with them.
//!
//! A place may switch any of them off except those of an emergency: without a text the worker plays its fault tone,
//! which is still better than silence. Deliberately absent: composing texts (`plan::prompts`), audio.

use std::sync::Arc;
use std::time::Duration;

use crate::acd::words::Position;
use crate::base::id::AgentId;
use crate::call::control::{Control, Cx};
use crate::call::legs::{CALLER, PlayFor};
use crate::event::call::LegRole;
use crate::plan::model::{EmergencyLine, Plan};
use crate::plan::prompts::Spoken;
use crate::plan::step::Announcement;

impl Control {
    fn prompt(&self, plan: &Plan, name: &str, words: &Spoken<'_>) -> Option<Announcement> {
        let words = Spoken { hotline: words.hotline.or(self.origins.hotline.as_deref()), ..*words };
        self.tenant(plan)?.announcement(name, &words)
    }

    /// 工号…为您服务, heard by both.
    pub(super) fn agent_prompt(&self, plan: &Plan, agent: &AgentId) -> Option<Announcement> {
        self.prompt(plan, "agent_number", &Spoken { agent: Some(agent.as_str()), ..Spoken::default() })
    }

    /// The place in the queue, with the estimate where there is one.
    pub(super) fn position_prompt(&self, plan: &Plan, position: Position) -> Option<Announcement> {
        if position.ahead == 0 {
            return self.prompt(plan, "front", &Spoken::default());
        }
        let minutes = position.ewt.map(minutes_up);
        let name = if minutes.is_some() { "position" } else { "position_only" };
        self.prompt(plan, name, &Spoken { count: Some(position.ahead), minutes, ..Spoken::default() })
    }

    fn emergency_prompt(&self, plan: &Plan, name: &str) -> Announcement {
        let line = self.handover.as_ref().map(|handover| Arc::clone(&handover.line));
        let desk = line.and_then(|line| self.tenant(plan)?.emergency.get(line.as_ref()));
        let number = desk.map(|desk: &Arc<EmergencyLine>| desk.number.as_str());
        self.prompt(plan, name, &Spoken { desk: desk.map(Arc::as_ref), number, ..Spoken::default() }).unwrap_or_else(
            || Announcement { name: name.to_owned(), text: String::new(), clips: vec![Arc::from(name)] },
        )
    }

    /// 正在为您接通
    pub(super) fn connecting_prompt(&self, plan: &Plan) -> Announcement {
        self.emergency_prompt(plan, "emergency_connecting")
    }

    /// 暂未接通,我们仍在为您转接
    pub(super) fn trying_prompt(&self, plan: &Plan) -> Announcement {
        self.emergency_prompt(plan, "emergency_trying")
    }

    /// What the emergency desk hears first.
    pub(super) fn desk_prompt(&self, plan: &Plan) -> Option<Announcement> {
        self.prompt(plan, "emergency_desk", &Spoken::default())
    }

    /// What a third party hears first.
    pub(super) fn three_way_prompt(&self, plan: &Plan) -> Option<Announcement> {
        self.prompt(plan, "three_way_unit", &Spoken::default())
    }

    /// Tells a caller who stays with a far party that the agent is gone.
    pub(super) fn say_agent_left(&mut self, cx: &mut Cx<'_>, who: LegRole) {
        let room = crate::call::legs::Room::MAIN;
        let other = self.legs.members(room).into_iter().find(|leg| *leg != CALLER);
        let other = other.and_then(|leg| self.legs.alive(leg)).filter(|leg| leg.party.agent.is_none());
        let Some(unit) = other.filter(|other| who == LegRole::Agent && other.role != LegRole::Emergency) else {
            return;
        };
        let unit = unit.party.unit.clone();
        let words = Spoken { unit: unit.as_deref(), ..Spoken::default() };
        if let Some(prompt) = self.prompt(cx.plans.pinned, "three_way_left", &words) {
            self.play(cx, CALLER, PlayFor::Note, &prompt);
        }
    }
}

/// Whole minutes, rounded up, at least one (`wording.md`: never seconds).
fn minutes_up(span: Duration) -> u32 {
    u32::try_from(span.as_secs().div_ceil(60).max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_are_rounded_up_to_minutes() {
        for (seconds, minutes) in [(0, 1), (60, 1), (61, 2), (179, 3)] {
            assert_eq!(minutes_up(Duration::from_secs(seconds)), minutes);
        }
    }
}
