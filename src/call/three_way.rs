//! What people ask of a live call: a third party, a hand-over, marks, hanging up; by API or by star code.
//!
//! A third party is rung while the others talk on; its answer makes the talk a mix, and whoever leaves leaves the
//! others talking (`bridge`). Deliberately absent: who may ask (`engine/http`, `switch`).

use std::sync::Arc;
use std::time::Duration;

use crate::acd::words::Wants;
use crate::base::calendar::china;
use crate::base::id::{AgentId, LegId, QueueId, QueueName};
use crate::call::attempt::{Aim, Attempt, Callee, Failure, Way};
use crate::call::codes::{CodeReader, FixedCode, Keyed};
use crate::call::control::{Control, Cx, Gone};
use crate::call::leg::words::LegAction;
use crate::call::legs::{CALLER, Room};
use crate::call::phase::Phase;
use crate::call::words::{Destination, OperatorCommand};
use crate::event::call::{AttemptResult, Happening, LegRole, TransferKind};
use crate::event::reason::{EndReason, EndedBy};
use crate::plan::model::Tenant;
use crate::plan::step::{DialTarget, When};
use crate::plan::trunk::Trunk;
use crate::rtp::command::{DigitPolicy, MediaCommand};

/// How long a third party is rung.
const RING: Duration = Duration::from_secs(30);

/// A destination found in the plan.
pub(super) struct Wanted {
    pub(super) callee: Callee,
    pub(super) ways: Vec<Way>,
    pub(super) ring: Duration,
}

impl Wanted {
    /// The kind of move, by who is aimed at.
    pub(super) fn kind(&self, plain: TransferKind) -> TransferKind {
        match self.callee.role {
            LegRole::Emergency => TransferKind::Emergency,
            LegRole::SubCentre => TransferKind::Subcentre,
            LegRole::Utility => TransferKind::Utility,
            LegRole::Supervisor => TransferKind::Supervisor,
            LegRole::Platform => TransferKind::Platform,
            LegRole::Caller | LegRole::Agent | LegRole::Consult | LegRole::Department | LegRole::Outside => plain,
        }
    }
}

impl Control {
    pub(super) fn on_operator(&mut self, cx: &mut Cx<'_>, command: OperatorCommand) {
        if !self.phase.is_live() {
            return;
        }
        match command {
            OperatorCommand::ThreeWay { to, by } => self.three_way(cx, &to, by),
            OperatorCommand::Emergency { line, by } => self.hand_over(cx, &line, by),
            OperatorCommand::HangUp { leg: None, reason } => self.end_unless_guarded(cx, EndedBy::Operator, reason),
            OperatorCommand::HangUp { leg: Some(CALLER), reason } => {
                self.end_unless_guarded(cx, EndedBy::Operator, reason);
            }
            OperatorCommand::HangUp { leg: Some(leg), reason } => self.drop_leg(cx, leg, reason),
            OperatorCommand::Classify { by, classification } => {
                self.emit(cx, Happening::Classified { agent: by, classification });
            }
            OperatorCommand::Malicious { by, reason } => {
                self.emit(cx, Happening::Malicious { agent: by, reason, notice_played: false });
            }
            OperatorCommand::Drain => self.end_unless_guarded(cx, EndedBy::Engine, EndReason::Draining),
        }
    }

    fn drop_leg(&mut self, cx: &mut Cx<'_>, leg: LegId, reason: EndReason) {
        if self.legs.alive(leg).is_some() {
            cx.act(leg, LegAction::HangUp(reason));
            self.leg_gone(cx, leg, Gone::HungUp(EndReason::Normal));
        }
    }

    fn three_way(&mut self, cx: &mut Cx<'_>, to: &Destination, by: Option<AgentId>) {
        let talking = matches!(self.phase, Phase::Talking(_)) && self.legs.members(Room::MAIN).len() >= 2;
        if !talking {
            return;
        }
        if let Destination::Number { number, .. } = to
            && self.tenant(cx.plans.newest).is_some_and(|tenant| tenant.emergency.contains_key(number.as_ref()))
        {
            self.hand_over(cx, number, by);
            return;
        }
        let transfer = self.mint_transfer();
        let wanted = self.resolve(cx, to);
        self.emit(
            cx,
            Happening::TransferStarted {
                transfer,
                transfer_kind: TransferKind::ThreeWay,
                leg: None,
                by,
                target_unit: wanted.as_ref().and_then(|wanted| wanted.callee.unit.clone()),
                target_number: match to {
                    Destination::Number { number, .. } => Some(Arc::clone(number)),
                    Destination::Agent(_) | Destination::Queue(_) | Destination::Unit(_) => None,
                },
            },
        );
        match wanted {
            Some(wanted) => {
                self.begin(cx, Aim::ThreeWay { transfer }, wanted.callee, wanted.ways, wanted.ring);
            }
            None => self.fetch_failed(cx, transfer, Failure { status: 404, responded: true, rang: false }),
        }
    }

    pub(super) fn third_answered(&mut self, cx: &mut Cx<'_>, transfer: u16, leg: LegId) {
        let somebody = matches!(self.phase, Phase::Talking(_)) && !self.legs.members(Room::MAIN).is_empty();
        if !somebody {
            self.hang_up(cx, leg, EndReason::AnsweredElsewhere);
            self.withdrawn(cx, transfer);
            return;
        }
        self.enter_room(leg, Room::MAIN);
        self.emit(
            cx,
            Happening::TransferResult { transfer, result: AttemptResult::Answered, sip_code: None, fallback: None },
        );
        self.emit_answered(cx, leg);
        if self.legs.members(Room::MAIN).len() > 2 {
            self.emit(cx, Happening::ConferenceJoined { leg });
        }
        if let Some(prompt) = self.three_way_prompt(cx.plans.pinned) {
            self.play(cx, leg, crate::call::legs::PlayFor::Note, &prompt);
        }
    }

    pub(super) fn third_failed(&mut self, cx: &mut Cx<'_>, transfer: u16, attempt: &Attempt) {
        self.fetch_failed(cx, transfer, attempt.failed.unwrap_or(Failure::NOWHERE));
    }

    /// How a destination is reached by the plan.
    pub(super) fn resolve(&self, cx: &Cx<'_>, to: &Destination) -> Option<Wanted> {
        let plan = cx.plans.pinned;
        let tenant = self.tenant(plan)?;
        match to {
            Destination::Agent(agent) => plan.agent(agent).map(|_| agent_way(agent.clone())),
            Destination::Queue(queue) => self.queue_way(cx, tenant, queue),
            Destination::Unit(name) => unit_ways(cx, tenant, name),
            Destination::Number { trunk: Some(trunk), number } => {
                plan.trunk(trunk)?;
                let target = DialTarget { trunk: trunk.clone(), number: number.to_string() };
                Some(outside(LegRole::Outside, None, vec![target], RING))
            }
            Destination::Number { trunk: None, number } => self.number_ways(cx, tenant, number),
        }
    }

    fn queue_way(&self, cx: &Cx<'_>, tenant: &Tenant, queue: &QueueName) -> Option<Wanted> {
        let queue = tenant.queues.get(queue)?;
        let wants = Wants {
            queue: QueueId { tenant: tenant.name.clone(), queue: queue.id.queue.clone() },
            needs: Vec::new(),
            priority: 0,
            joined_at: cx.now.mono,
            head: false,
            avoid: self.legs.iter().filter_map(|leg| leg.party.agent.clone()).collect(),
            hotline: Arc::clone(&self.origins.number),
        };
        let callee = Callee { role: LegRole::Agent, unit: None };
        Some(Wanted { callee, ways: vec![Way::Queue(Box::new(wants))], ring: queue.ring })
    }

    /// A number keyed or referred to: an agent, a queue, an emergency line, a hotline's seats or queue, or a trunk.
    fn number_ways(&self, cx: &Cx<'_>, tenant: &Tenant, number: &str) -> Option<Wanted> {
        let plan = cx.plans.pinned;
        let agent = AgentId::new(number);
        if plan.agent(&agent).is_some_and(|agent| agent.tenant == tenant.name) {
            return Some(agent_way(agent));
        }
        if let Some(wanted) = self.queue_way(cx, tenant, &QueueName::new(number)) {
            return Some(wanted);
        }
        if let Some(line) = self.tenant(cx.plans.newest).and_then(|tenant| tenant.emergency.get(number)) {
            let name = Some(Arc::from(line.name.as_str()));
            return Some(outside(LegRole::Emergency, name, line.routes.clone(), line.ring));
        }
        let hotline = tenant.hotlines.values().find(|hotline| hotline.number.as_ref() == number);
        if let Some(hotline) = hotline {
            let seats = hotline.seat_route.as_ref();
            if let Some(route) = seats.filter(|route| !route.targets.is_empty()) {
                return Some(outside(LegRole::Department, hotline.unit.clone(), route.targets.clone(), route.ring));
            }
            let own = seats.and_then(|route| route.queue.as_ref()).unwrap_or(&hotline.queue);
            return self.queue_way(cx, tenant, own);
        }
        // The trunk the citizen came over reaches the public network; any other of the place may lead to one desk only.
        let outward = |trunk: &&Arc<Trunk>| !trunk.emergency && !trunk.to.is_empty();
        let came_over = plan.trunk(&self.origins.trunk).filter(outward);
        let any = || plan.settings.trunks.values().filter(outward).find(|trunk| trunk.tenant == tenant.name);
        let trunk = came_over.or_else(any)?;
        let dialable = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit() || c == '+');
        let target = DialTarget { trunk: trunk.name.clone(), number: number.to_owned() };
        dialable.then(|| outside(LegRole::Outside, None, vec![target], RING))
    }

    pub(super) fn on_digit(&mut self, cx: &mut Cx<'_>, id: LegId, digit: char) {
        let now = cx.now.mono;
        let Some(leg) = self.legs.alive_mut(id).filter(|leg| leg.party.agent.is_some() && leg.talks()) else { return };
        let keyed = leg.codes.key(now, digit);
        self.on_keyed(cx, id, keyed);
    }

    /// A digit by INFO: no worker passes it on by itself, so what belongs to no code is sent on here.
    pub(super) fn on_info_digit(&mut self, cx: &mut Cx<'_>, id: LegId, digit: char) {
        let outside = |call: &Self| call.legs.alive(id).is_some_and(|leg| leg.codes == CodeReader::Outside);
        let before = outside(self);
        self.on_digit(cx, id, digit);
        if before && outside(self) {
            self.pass_on(cx, id, digit.encode_utf8(&mut [0; 4]));
        }
    }

    /// Codes and numbers that took too long.
    pub(super) fn codes_due(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        for id in self.legs.names(|leg| leg.codes.deadline().is_some_and(|until| until <= now)) {
            if let Some(keyed) = self.legs.named_mut(id).map(|leg| leg.codes.expire(now)) {
                self.on_keyed(cx, id, keyed);
            }
        }
    }

    fn on_keyed(&mut self, cx: &mut Cx<'_>, id: LegId, keyed: Keyed) {
        let agent = self.legs.alive(id).and_then(|leg| leg.party.agent.clone());
        match keyed {
            Keyed::Nothing => {}
            Keyed::Code(code) => self.on_code(cx, id, code, agent),
            Keyed::NumberBegins => cx.media(MediaCommand::Digits { leg: id, digits: DigitPolicy::Swallow }),
            Keyed::NumberGivenUp => cx.media(MediaCommand::Digits { leg: id, digits: DigitPolicy::Codes }),
            Keyed::Number(number) => {
                cx.media(MediaCommand::Digits { leg: id, digits: DigitPolicy::Codes });
                let to = Destination::Number { trunk: None, number: Arc::from(&*number) };
                self.three_way(cx, &to, agent);
            }
            Keyed::PassOn(digits) => self.pass_on(cx, id, &digits),
        }
    }

    fn pass_on(&self, cx: &mut Cx<'_>, id: LegId, digits: &str) {
        let Some(room) = self.legs.alive(id).and_then(|leg| leg.room) else { return };
        for leg in self.legs.members(room).into_iter().filter(|leg| *leg != id) {
            cx.media(MediaCommand::SendDigits { leg, digits: digits.into() });
        }
    }

    fn on_code(&mut self, cx: &mut Cx<'_>, id: LegId, code: [char; 2], agent: Option<AgentId>) {
        let ending = code.iter().collect::<String>();
        let line = self
            .tenant(cx.plans.newest)
            .and_then(|tenant| tenant.emergency.values().find(|line| line.number.ends_with(&ending)))
            .map(|line| line.number.clone());
        if let Some(line) = line {
            self.hand_over(cx, &line, agent);
            return;
        }
        match FixedCode::of(code) {
            Some(FixedCode::OwnUnit) => {
                let unit = self.origins.hotline.as_ref().and_then(|hotline| hotline.unit.clone());
                if let Some(unit) = unit {
                    self.three_way(cx, &Destination::Unit(unit), agent);
                }
            }
            Some(FixedCode::DropLast) => {
                let third = self.legs.members(Room::MAIN).into_iter().rev().find(|leg| {
                    *leg != id
                        && *leg != CALLER
                        && self.legs.alive(*leg).is_some_and(|leg| leg.role != LegRole::Emergency)
                });
                if let Some(third) = third {
                    self.drop_leg(cx, third, EndReason::Normal);
                }
            }
            Some(FixedCode::Malicious) => {
                let reason = Arc::from("code");
                self.emit(cx, Happening::Malicious { agent, reason, notice_played: false });
            }
            None => self.pass_on(cx, id, &format!("*{ending}")),
        }
    }
}

fn agent_way(agent: AgentId) -> Wanted {
    Wanted { callee: Callee { role: LegRole::Agent, unit: None }, ways: vec![Way::Agent(agent)], ring: RING }
}

fn outside(role: LegRole, unit: Option<Arc<str>>, targets: Vec<DialTarget>, ring: Duration) -> Wanted {
    Wanted { callee: Callee { role, unit }, ways: targets.into_iter().map(Way::Trunk).collect(), ring }
}

fn unit_ways(cx: &Cx<'_>, tenant: &Tenant, name: &str) -> Option<Wanted> {
    let unit = tenant.units.get(name)?;
    let open = tenant.work_hours.open_at(&tenant.calendar, china(cx.now.wall));
    let targets = unit
        .contacts
        .iter()
        .filter(|contact| match contact.hours {
            When::Always => true,
            When::WorkHours => open,
            When::OffHours => !open,
        })
        .map(|contact| contact.target.clone())
        .collect::<Vec<_>>();
    (!targets.is_empty()).then(|| outside(LegRole::Department, Some(Arc::from(name)), targets, RING))
}
