//! Whom a destination reaches and with whose rights: of transfers, third parties, agents' own calls and redirections.
//!
//! A number is what counts of every Refer-To, Contact and Request-URI, never the host beside it; `plan::outward` says
//! where it leads.
//!
//! | who asks | rights |
//! |---|---|
//! | an agent: REFER, second line, star code, a 302 of his phone | his class of service |
//! | an administrator | every number |
//! | a trunk's far end, by 3xx | what the plan of the place names |
//!
//! A 3xx is followed at most [`REDIRECTS_MOST`] times per attempt, never for an emergency (its routes go on) and never
//! for a queue's offer (the agent has refused it). Deliberately absent: ringing (`attempt`).

use std::sync::Arc;
use std::time::Duration;

use crate::acd::words::Wants;
use crate::base::calendar::china;
use crate::base::id::{AgentId, LegId, QueueId};
use crate::call::attempt::{Aim, Attempt, Callee, Wait, Way};
use crate::call::control::{Control, Cx};
use crate::call::words::Destination;
use crate::event::call::{LegRole, TransferKind};
use crate::plan::model::Tenant;
use crate::plan::outward::{Outward, OutwardWay, Refusal, Rights};
use crate::plan::step::{DialTarget, When};

/// How long a third party or a far end is rung where the plan does not say.
const RING: Duration = Duration::from_secs(30);
/// Redirections followed in one attempt.
pub const REDIRECTS_MOST: u8 = 3;

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

    /// Whether somebody outside is called, and with him a ticket is needed.
    fn leads_outside(&self) -> bool {
        self.ways.iter().any(|way| matches!(way, Way::Trunk(_)))
    }
}

impl Control {
    /// How a destination is reached by the plan, with the rights of who asks; `None` asks for an administrator. A
    /// call that has no ticket gets one with the first party from outside.
    pub(super) fn resolve(
        &mut self,
        cx: &mut Cx<'_>,
        to: &Destination,
        by: Option<&AgentId>,
    ) -> Result<Wanted, Refusal> {
        let plan = cx.plans.pinned;
        let tenant = self.tenant(plan).ok_or(Refusal::NoNumber)?;
        let wanted = match to {
            Destination::Agent(agent) => plan.agent(agent).map(|_| agent_way(agent.clone())).ok_or(Refusal::NoNumber),
            Destination::Queue(queue) => {
                let id = QueueId { tenant: tenant.name.clone(), queue: queue.clone() };
                self.queue_way(cx, tenant, &id).ok_or(Refusal::NoNumber)
            }
            Destination::Unit(name) => unit_ways(cx, tenant, name).ok_or(Refusal::NoNumber),
            Destination::Number { trunk: Some(trunk), number } => {
                plan.trunk(trunk).map_or(Err(Refusal::NoTrunk), |_| {
                    let target = DialTarget { trunk: trunk.clone(), number: number.to_string() };
                    Ok(outside(LegRole::Outside, None, vec![target], RING))
                })
            }
            Destination::Number { trunk: None, number } => {
                let rights = by.map_or(Rights::All, |by| plan.rights_of(by));
                let outward = self.outward(cx, rights, number).ok_or(Refusal::NoNumber)?;
                self.wanted(cx, &outward.way)
            }
        }?;
        if wanted.leads_outside() {
            self.need_ticket(cx);
        }
        Ok(wanted)
    }

    /// Where a number leads here; emergency lines are those of the newest plan.
    fn outward(&self, cx: &Cx<'_>, rights: Rights<'_>, number: &str) -> Option<Outward> {
        let over = self.origins.trunk.as_ref();
        let (newest, pinned) = (cx.plans.newest, cx.plans.pinned);
        let emergency = self.tenant(newest).map(|place| newest.outward(place, Rights::Named, number, over, &mut ()));
        emergency
            .filter(|outward| matches!(outward.way, OutwardWay::Emergency(_)))
            .or_else(|| Some(pinned.outward(self.tenant(pinned)?, rights, number, over, &mut ())))
    }

    /// The emergency line a number is, in any spelling.
    pub(super) fn emergency_line(&self, cx: &Cx<'_>, number: &str) -> Option<Arc<str>> {
        match self.outward(cx, Rights::Named, number)?.way {
            OutwardWay::Emergency(line) => Some(Arc::from(line.number.as_str())),
            OutwardWay::Agent(_)
            | OutwardWay::Queue(_)
            | OutwardWay::Seats(_)
            | OutwardWay::Named { .. }
            | OutwardWay::Outside(_)
            | OutwardWay::Refused(_) => None,
        }
    }

    /// The ways behind a decision of the plan.
    pub(super) fn wanted(&self, cx: &Cx<'_>, way: &OutwardWay) -> Result<Wanted, Refusal> {
        Ok(match way {
            OutwardWay::Emergency(line) => {
                let name = Some(Arc::from(line.name.as_str()));
                outside(LegRole::Emergency, name, line.routes.clone(), line.ring)
            }
            // A colleague's call is his own matter; one who takes over a citizen must be free for him.
            OutwardWay::Agent(agent) if self.is_of_agent() => colleague_way(agent.clone()),
            OutwardWay::Agent(agent) => agent_way(agent.clone()),
            OutwardWay::Queue(queue) => {
                let place = cx.plans.pinned.tenant(&queue.tenant).ok_or(Refusal::NoNumber)?;
                self.queue_way(cx, place, queue).ok_or(Refusal::NoNumber)?
            }
            OutwardWay::Seats(hotline) => {
                let route = hotline.seat_route.as_ref().ok_or(Refusal::NoNumber)?;
                outside(LegRole::Department, hotline.unit.clone(), route.targets.clone(), route.ring)
            }
            OutwardWay::Named { unit, target } => {
                outside(LegRole::Department, unit.clone(), vec![target.clone()], RING)
            }
            OutwardWay::Outside(targets) => outside(LegRole::Outside, None, targets.clone(), RING),
            OutwardWay::Refused(refusal) => return Err(*refusal),
        })
    }

    fn queue_way(&self, cx: &Cx<'_>, tenant: &Tenant, id: &QueueId) -> Option<Wanted> {
        let queue = tenant.queues.get(&id.queue)?;
        let wants = Wants {
            queue: queue.id.clone(),
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

    /// A far end answered 3xx: the first of its Contacts that its rights reach is tried next, as a number.
    pub(super) fn redirected(&mut self, cx: &mut Cx<'_>, leg: LegId, status: u16, contacts: &[Box<str>]) {
        let followed = |attempt: &&Attempt| {
            (300..=399).contains(&status)
                && attempt.redirects < REDIRECTS_MOST
                && !matches!(attempt.aim, Aim::Queue | Aim::Emergency)
                && !matches!(attempt.wait, Some(Wait::Queue(..)))
        };
        let Some(id) = self.attempt_of(leg).filter(followed).map(|attempt| attempt.id) else { return };
        let by = self.legs.alive(leg).and_then(|leg| leg.party.agent.clone());
        let plan = cx.plans.pinned;
        let rights = by.as_ref().map_or(Rights::Named, |by| plan.rights_of(by));
        let found = contacts.iter().find_map(|contact| {
            let outward = self.outward(cx, rights, user_of(contact))?;
            let emergency = matches!(outward.way, OutwardWay::Emergency(_));
            self.wanted(cx, &outward.way).ok().filter(|_| !emergency)
        });
        let Some(wanted) = found else { return };
        if wanted.leads_outside() {
            self.need_ticket(cx);
        }
        if let Some(attempt) = self.attempts.iter_mut().find(|attempt| attempt.id == id) {
            attempt.redirects += 1;
            attempt.ways = wanted.ways;
        }
    }
}

fn agent_way(agent: AgentId) -> Wanted {
    Wanted { callee: Callee { role: LegRole::Agent, unit: None }, ways: vec![Way::Agent(agent)], ring: RING }
}

fn colleague_way(agent: AgentId) -> Wanted {
    Wanted { ways: vec![Way::Colleague(agent.clone())], ..agent_way(agent) }
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

/// The user part of a `sip:` URI, the number of a `tel:` URI, or the text itself.
pub(super) fn user_of(uri: &str) -> &str {
    let rest = uri
        .split_once(':')
        .filter(|(scheme, _)| matches!(*scheme, "sip" | "sips" | "tel"))
        .map_or(uri, |(_, rest)| rest);
    let user = rest.split_once('@').map_or(rest, |(user, _)| user);
    user.split(';').next().unwrap_or(user)
}

#[cfg(test)]
mod tests {
    use super::user_of;

    #[test]
    fn the_number_is_found_in_every_kind_of_uri() {
        for uri in ["sip:120@127.0.0.1:5062;transport=tcp", "tel:120;phone-context=+86", "sip:120;npdi@host", "120"] {
            assert_eq!(user_of(uri), "120", "{uri}");
        }
    }
}
