//! What each merge mode does with a call, as a list of steps that take over from one another.
//!
//! | mode | steps |
//! |---|---|
//! | 12345 | queue under the greeting |
//! | 整体并入 | queue with the number's skill; under the transition prompt only between its dates |
//! | … after a cut-off | announce and queue, or announce and release, or announce early and 404 |
//! | 双号并行·座席并入 | queue with the number's skill, under its own greeting: the same pool |
//! | 双号并行·保留座席 | the department's seats for a while, then queue |
//! | 设分中心 | the sub-centre, then queue |
//! | not opened | announce early, 404 |
//!
//! Deliberately absent: carrying any of it out.

use std::sync::Arc;

use jiff::Timestamp;

use crate::base::hotline::{MergeMode, SeatPolicy};
use crate::base::id::{QueueId, QueueName, SkillName};
use crate::plan::model::{AfterCutoff, Hotline, HotlineKey, HotlineStatus, SeatRoute, StepRule, Tenant};
use crate::plan::prompts::Spoken;
use crate::plan::route::{Trace, Verdict};
use crate::plan::step::{Announcement, DialPurpose, DialStep, PlannedStep, QueueStep, SkillNeed, Step, When};

const NOT_FOUND: Step = Step::Reject { status: 404, q850: Some(1) };

/// Builds the steps of one call to one hotline.
pub(super) struct Flow<'p> {
    pub(super) place: &'p Tenant,
    pub(super) hotline: &'p Hotline,
    pub(super) wall: Timestamp,
    /// The department itself forwarded the call to us: ringing it again would loop.
    pub(super) forwarded: bool,
    pub(super) extra_priority: u8,
}

/// What a number nobody knows gets.
pub(super) fn unknown_flow(place: Option<&Tenant>) -> Vec<PlannedStep> {
    let prompt =
        place.filter(|place| place.unknown_prompt).and_then(|place| place.announcement("unknown", &Spoken::default()));
    refusal(prompt)
}

fn refusal(prompt: Option<Announcement>) -> Vec<PlannedStep> {
    let announce = prompt.map(|prompt| always(Step::Announce { prompt, early: true }));
    announce.into_iter().chain([always(NOT_FOUND)]).collect()
}

const fn always(step: Step) -> PlannedStep {
    PlannedStep { step, when: When::Always }
}

impl<'p> Flow<'p> {
    pub(super) fn build(&self, why: &mut impl Trace) -> (Verdict, Vec<PlannedStep>) {
        let hotline = self.hotline;
        let declared = Some(&hotline.declared);
        if self.forwarded {
            why.rule("forwarded_to_us", declared, true, &|| "its own seats are not rung again".to_owned());
            return (Verdict::Hotline, self.queue_steps(self.greeting()));
        }
        if hotline.status == HotlineStatus::NotOpened {
            why.rule("not_opened", declared, true, &|| "not opened here: prompt, then 404".to_owned());
            return (Verdict::NotOpened, refusal(self.say("not_opened")));
        }
        if let Some(cutoff) = &hotline.cutoff {
            let past = self.wall >= cutoff.at;
            why.rule("cutoff", declared, past, &|| format!("the number ends at {}", cutoff.at));
            if past {
                return self.after_cutoff(cutoff.after);
            }
        }
        if !hotline.steps.is_empty() {
            why.rule("steps", declared, true, &|| "its steps are written out".to_owned());
            return (Verdict::Hotline, hotline.steps.iter().flat_map(|rule| self.written(rule)).collect());
        }
        if let (Some(SeatPolicy::Kept), Some(route)) = (hotline.seats, &hotline.seat_route) {
            why.rule("seats_at", declared, true, &|| "the seats that were kept are rung first".to_owned());
            return (Verdict::Hotline, self.kept(route));
        }
        why.rule("mode", declared, true, &|| {
            let mode = hotline.mode.map_or("12345", MergeMode::name_zh);
            format!("{mode}: queue `{}`", self.target().queue)
        });
        (Verdict::Hotline, self.queue_steps(self.greeting()))
    }

    fn after_cutoff(&self, after: AfterCutoff) -> (Verdict, Vec<PlannedStep>) {
        match after {
            AfterCutoff::AnnounceRoute => (Verdict::Hotline, self.queue_steps(self.say("cutoff_routed"))),
            AfterCutoff::AnnounceRelease => {
                let announce = self.say("cutoff_released");
                let announce = announce.map(|prompt| always(Step::Announce { prompt, early: false }));
                (Verdict::CutOff, announce.into_iter().chain([always(Step::Release)]).collect())
            }
            AfterCutoff::Reject => (Verdict::CutOff, refusal(self.say("cutoff_released"))),
        }
    }

    /// The hotline whose queue and skill serve this one: itself, or what it was merged into.
    fn target(&self) -> &'p Hotline {
        let into = self.hotline.merged_into.as_ref().and_then(|number| {
            let key = |area| HotlineKey { area, number: Arc::clone(number) };
            self.place.hotlines.get(&key(self.hotline.area)).or_else(|| self.place.hotlines.get(&key(None)))
        });
        into.map_or(self.hotline, AsRef::as_ref)
    }

    /// What a caller hears while agents are rung.
    fn greeting(&self) -> Option<Announcement> {
        let hotline = self.hotline;
        if let Some(transition) = &hotline.transition {
            let begun = transition.from.is_none_or(|from| from <= self.wall);
            let over = transition.until.is_some_and(|until| until <= self.wall);
            if begun && !over {
                return self.say(&transition.prompt);
            }
        }
        match (&hotline.greeting, hotline.mode) {
            (Some(name), _) => self.say(name),
            (None, None | Some(MergeMode::Absorbed)) => self.say("greeting"),
            (None, Some(MergeMode::DualMerged | MergeMode::DualKept | MergeMode::SubCentre)) => self.say("dual_merged"),
        }
    }

    fn say(&self, prompt: &str) -> Option<Announcement> {
        self.place.announcement(prompt, &Spoken { hotline: Some(self.hotline), ..Spoken::default() })
    }

    /// The queue, and the one it overflows into.
    fn queue_steps(&self, greeting: Option<Announcement>) -> Vec<PlannedStep> {
        let target = self.target();
        let first = self.queue(&target.queue, target.skill.as_ref(), greeting, None);
        let mut steps = vec![always(first)];
        let mut seen = vec![&target.queue];
        let mut next = self.place.queues.get(&target.queue).and_then(|queue| queue.overflow.as_ref());
        // Each queue once: a ring of overflows ends.
        while let Some(name) = next.filter(|name| !seen.contains(name)) {
            seen.push(name);
            steps.push(always(self.queue(name, None, self.say("overflow"), None)));
            next = self.place.queues.get(name).and_then(|queue| queue.overflow.as_ref());
        }
        steps
    }

    fn queue(
        &self,
        name: &QueueName,
        skill: Option<&SkillName>,
        greeting: Option<Announcement>,
        max_wait: Option<std::time::Duration>,
    ) -> Step {
        let relax_after = self.place.queues.get(name).and_then(|queue| queue.skill_relax);
        let level = self.hotline.skill_level;
        let whisper = if self.hotline.topic.is_empty() { None } else { self.say("whisper") };
        Step::Queue(QueueStep {
            queue: QueueId { tenant: self.place.name.clone(), queue: name.clone() },
            skills: skill.map(|skill| SkillNeed { skill: skill.clone(), level, relax_after }).into_iter().collect(),
            priority: self.hotline.priority.saturating_add(self.extra_priority),
            greeting,
            max_wait,
            whisper,
        })
    }

    /// Seats that were kept, then 12345's queue.
    fn kept(&self, route: &SeatRoute) -> Vec<PlannedStep> {
        let sub_centre = self.hotline.mode == Some(MergeMode::SubCentre);
        let (purpose, prompt) =
            if sub_centre { (DialPurpose::SubCentre, "sub_centre") } else { (DialPurpose::KeptSeats, "dual_kept") };
        let mut prompt = self.say(prompt);
        let mut steps = Vec::with_capacity(4);
        if let Some(queue) = &route.queue {
            let step = self.queue(queue, self.hotline.skill.as_ref(), prompt.take(), Some(route.ring));
            steps.push(PlannedStep { step, when: route.hours });
        }
        if !route.targets.is_empty() {
            let dial = DialStep {
                targets: route.targets.clone(),
                ring: route.ring,
                purpose,
                callee: self.hotline.unit.as_deref().unwrap_or(&self.hotline.spoken_name).to_owned(),
                prompt,
            };
            steps.push(PlannedStep { step: Step::Dial(dial), when: route.hours });
        }
        if !route.fall_back {
            return steps;
        }
        let back = self.queue_steps(self.say("department_back"));
        let closed = match route.hours {
            When::Always => None,
            When::WorkHours => Some(When::OffHours),
            When::OffHours => Some(When::WorkHours),
        };
        let Some(closed) = closed else {
            steps.extend(back);
            return steps;
        };
        let open = route.hours;
        steps.extend(back.into_iter().map(|planned| PlannedStep { when: open, ..planned }));
        let outside = self.queue_steps(self.say("after_hours"));
        steps.extend(outside.into_iter().map(|planned| PlannedStep { when: closed, ..planned }));
        steps
    }

    /// A step as the file writes it.
    fn written(&self, rule: &StepRule) -> Option<PlannedStep> {
        Some(match rule {
            StepRule::Announce { prompt, early } => always(Step::Announce { prompt: self.say(prompt)?, early: *early }),
            StepRule::Queue { name, skill, max_wait, greeting } => {
                let greeting = match greeting {
                    Some(name) => self.say(name),
                    None => self.greeting(),
                };
                always(self.queue(name, skill.as_ref().or(self.hotline.skill.as_ref()), greeting, *max_wait))
            }
            StepRule::Dial { targets, ring, hours, prompt } => {
                let sub_centre = self.hotline.mode == Some(MergeMode::SubCentre);
                let dial = DialStep {
                    targets: targets.clone(),
                    ring: *ring,
                    purpose: if sub_centre { DialPurpose::SubCentre } else { DialPurpose::Department },
                    callee: self.hotline.unit.as_deref().unwrap_or(&self.hotline.spoken_name).to_owned(),
                    prompt: prompt.as_deref().and_then(|name| self.say(name)),
                };
                PlannedStep { step: Step::Dial(dial), when: *hours }
            }
            StepRule::Reject { status } => always(Step::Reject { status: *status, q850: None }),
            StepRule::Release => always(Step::Release),
        })
    }
}
