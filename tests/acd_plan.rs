//! The shipped plans, mapped to the ACD: every agent and queue arrives, with the defaults of the contract, and a
//! call's skill finds the agents who have it.

use std::sync::Arc;
use std::time::Duration;

use switch12345::acd::directory::{AcdDirectory, NoAgentPolicy, Strategy};
use switch12345::acd::words::{AcdInput, AcdVerdict, QueueRequest, SkillNeed, Wants};
use switch12345::acd::{Acd, AcdEffect};
use switch12345::base::id::{AgentId, CallId, JoinId, QueueId, SkillName, TenantName, Ulid};
use switch12345::base::now::{Mono, Now};
use switch12345::engine::disk::Disk;
use switch12345::plan::load::{Request, load};
use switch12345::plan::model::Plan;

/// `None` when the shipped plan has faults; `check` and the plan's own tests say which.
fn shipped() -> Option<Arc<Plan>> {
    let wall = "2026-11-21T10:00:00+08:00".parse().ok()?;
    load(&Disk, &Request { config: "config/switch.toml", set: &[], overlays: &[], wall }).plan
}

#[test]
fn every_agent_and_queue_of_the_shipped_plan_arrives_with_the_defaults_of_the_contract() {
    let plan = shipped().unwrap();
    let directory = AcdDirectory::from_plan(&plan);
    assert_eq!(directory.agents.len(), plan.settings.agents.len());
    assert!(directory.agents.contains_key(&AgentId::new("1020")));
    let main = QueueId { tenant: TenantName::new("chifeng"), queue: "main".into() };
    let rule = &directory.queues[&main];
    assert_eq!((rule.ring, rule.wrap_up), (Duration::from_secs(20), Duration::from_secs(10)));
    assert_eq!((rule.ring_no_answer, rule.size, rule.max_wait), (1, 1_000, None));
    assert_eq!((rule.no_agent, rule.strategy), (NoAgentPolicy::Join, Strategy::LongestIdle));
    let served = directory.agents.values().flat_map(|agent| &agent.queues);
    served.for_each(|queue| assert!(directory.queues.contains_key(queue), "{queue:?} is served but not there"));
}

#[test]
fn a_required_skill_is_offered_to_an_agent_who_has_it() {
    let mut acd = Acd::new(AcdDirectory::from_plan(&shipped().unwrap()));
    let now = Now { mono: Mono(1_000_000_000), wall: "2026-11-21T10:00:00+08:00".parse().unwrap() };
    let mut out = Vec::new();
    for agent in ["1001", "1002", "1003"] {
        acd.handle(now, AcdInput::Reachable(AgentId::new(agent), true), &mut out);
    }
    let chifeng = TenantName::new("chifeng");
    let join = JoinId { call: CallId(Ulid::compose(now.wall, 0, &chifeng, 1)), nth: 0 };
    let wants = Wants {
        queue: QueueId { tenant: chifeng, queue: "main".into() },
        needs: vec![SkillNeed { skill: SkillName::new("残联"), level: 1, required: true }],
        priority: 0,
        joined_at: now.mono,
        head: false,
        avoid: Vec::new(),
        hotline: Arc::from("12385"),
    };
    acd.handle(now, AcdInput::Call(join.call, QueueRequest::Join(join, Box::new(wants))), &mut out);
    let offered = out.iter().find_map(|effect| match effect {
        AcdEffect::Verdict(_, AcdVerdict::Offer { agent, .. }) => Some(agent.as_str()),
        _ => None,
    });
    assert_eq!(offered, Some("1003"));
}
