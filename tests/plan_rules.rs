//! What the rules of a plan do to a call: dates, cut-offs, hours, overflow, refusals, trunks by source.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

#[path = "plans/memory.rs"]
mod memory;

use std::net::SocketAddr;

use jiff::Timestamp;
use memory::Memory;
use proptest::prelude::*;
use switch12345::base::id::TrunkName;
use switch12345::plan::model::Plan;
use switch12345::plan::route::{Facts, Route, Verdict};
use switch12345::plan::step::{Announcement, Outcome, OverflowReason, Step};

const HEAD: &str = "[tenant]\nname = \"p\"\ntitle = \"某市\"\narea = \"0476\"\n";

fn plan(rest: &str) -> std::sync::Arc<Plan> {
    let loaded = Memory::bundle(&format!("{HEAD}{rest}")).load("2026-10-01T00:00:00Z");
    let shown: Vec<_> = loaded.diagnostics.iter().map(|fault| loaded.sources.render(fault, false)).collect();
    loaded.plan.unwrap_or_else(|| panic!("{}", shown.join("\n")))
}

fn hotline(more: &str) -> String {
    format!(
        "\n[[hotline]]\nnumber = \"96119\"\nname = \"火灾隐患\"\nmode = \"整体并入\"\nunit = \"消防\"\n{more}\n[[unit]]\nname = \"消防\"\n"
    )
}

fn call(plan: &Plan, dialled: &str, at: &str) -> Route {
    let trunk = TrunkName::new("t");
    let facts =
        Facts { trunk: &trunk, dialled, from: Some("13800001234"), asserted: &[], private: false, diverted: &[] };
    plan.route(&facts, wall(at), &mut ())
}

fn wall(at: &str) -> Timestamp {
    at.parse().unwrap()
}

fn greeting(step: &Step) -> &str {
    match step {
        Step::Queue(queue) => queue.greeting.as_ref().map_or("", |prompt| prompt.name.as_str()),
        Step::Announce { prompt, .. } => &prompt.name,
        Step::Dial(dial) => dial.prompt.as_ref().map_or("", |prompt| prompt.name.as_str()),
        Step::Reject { .. } | Step::Release | Step::Finished => "",
    }
}

#[test]
fn the_transition_prompt_plays_between_its_dates_to_the_second() {
    let plan = plan(&hotline("transition = { from = 2026-08-01, until = 2026-08-31, prompt = \"transition_fire\" }"));
    let at = |moment| greeting(&call(&plan, "96119", moment).first).to_owned();
    assert_eq!(at("2026-07-31T23:59:59+08:00"), "greeting");
    assert_eq!(at("2026-08-01T00:00:00+08:00"), "transition_fire");
    assert_eq!(at("2026-08-31T23:59:59+08:00"), "transition_fire");
    assert_eq!(at("2026-09-01T00:00:00+08:00"), "greeting");
}

#[test]
fn a_cut_off_number_still_reaches_somebody_by_default() {
    let plan = plan(&hotline("cutoff = { at = 2026-12-01 }"));
    let before = call(&plan, "96119", "2026-11-30T23:59:59+08:00");
    assert_eq!(greeting(&before.first), "greeting");
    let after = call(&plan, "96119", "2026-12-01T00:00:00+08:00");
    assert_eq!(greeting(&after.first), "cutoff_routed");
    assert!(matches!(after.first, Step::Queue(_)));
}

#[test]
fn announce_release_answers_and_hangs_up_and_reject_refuses_in_early_media() {
    let released = plan(&hotline("cutoff = { at = 2026-12-01, after = \"announce_release\" }"));
    let mut route = call(&released, "96119", "2026-12-02T00:00:00+08:00");
    assert_eq!(route.verdict, Verdict::CutOff);
    assert!(matches!(&route.first, Step::Announce { early: false, prompt } if prompt.name == "cutoff_released"));
    let now = wall("2026-12-02T00:00:10+08:00");
    assert_eq!(released.advance(&mut route.cursor, Outcome::Done, now), Step::Release);
    assert_eq!(released.advance(&mut route.cursor, Outcome::Done, now), Step::Release);

    let rejected = plan(&hotline("cutoff = { at = 2026-12-01, after = \"reject\" }"));
    let mut route = call(&rejected, "96119", "2026-12-02T00:00:00+08:00");
    assert!(matches!(&route.first, Step::Announce { early: true, .. }));
    let last = rejected.advance(&mut route.cursor, Outcome::Done, now);
    assert!(matches!(last, Step::Reject { status: 404, .. }));
}

#[test]
fn a_number_not_opened_here_says_so_and_is_refused() {
    let plan = plan("\n[[hotline]]\nnumber = \"12366\"\nname = \"税务\"\nstatus = \"not_opened\"\n");
    let mut route = call(&plan, "12366", "2026-10-01T00:00:00Z");
    assert_eq!(route.verdict, Verdict::NotOpened);
    assert!(matches!(&route.first, Step::Announce { early: true, prompt } if prompt.name == "not_opened"));
    let next = plan.advance(&mut route.cursor, Outcome::Done, wall("2026-10-01T00:00:05Z"));
    assert!(matches!(next, Step::Reject { status: 404, .. }));
}

#[test]
fn an_unknown_number_is_refused_silently_where_the_place_says_so() {
    let plan = plan("unknown_prompt = false\n");
    assert!(matches!(call(&plan, "12399", "2026-10-01T00:00:00Z").first, Step::Reject { status: 404, .. }));
}

const KEPT: &str = "
[work_hours]
openings = [\"09:00-12:00\", \"14:00-17:30\"]

[[unit]]
name = \"人社局\"

[[hotline]]
number = \"12333\"
name = \"人社\"
unit = \"人社局\"
mode = \"双号并行\"
seats = \"保留坐席\"
seats_at = { trunk = \"t\", number = \"12333\", ring = \"15s\", hours = \"work\" }
";

#[test]
fn kept_seats_ring_in_their_hours_and_hand_back_on_failure() {
    let plan = plan(KEPT);
    let mut route = call(&plan, "12333", "2026-11-20T10:00:00+08:00");
    assert_eq!(greeting(&route.first), "dual_kept");
    let Step::Dial(dial) = &route.first else { panic!() };
    assert_eq!(dial.prompt.as_ref().unwrap().text, "您好,欢迎拨打人社,正在为您转接人社局座席,请稍候。");
    let next = plan.advance(&mut route.cursor, Outcome::NoAnswer, wall("2026-11-20T10:00:15+08:00"));
    assert_eq!(greeting(&next), "department_back");
    let last =
        plan.advance(&mut route.cursor, Outcome::Overflow(OverflowReason::MaxWait), wall("2026-11-20T10:05:00+08:00"));
    assert!(matches!(last, Step::Reject { status: 480, .. }));
}

#[test]
fn kept_seats_rest_off_hours_as_of_the_moment_the_step_is_reached() {
    let plan = plan(KEPT);
    let night = call(&plan, "12333", "2026-11-20T22:00:00+08:00");
    assert_eq!(greeting(&night.first), "after_hours");
    assert!(matches!(night.first, Step::Queue(_)));
    let mut late = call(&plan, "12333", "2026-11-20T17:29:50+08:00");
    assert!(matches!(late.first, Step::Dial(_)));
    let next = plan.advance(&mut late.cursor, Outcome::Busy, wall("2026-11-20T17:30:05+08:00"));
    assert_eq!(greeting(&next), "after_hours");
}

#[test]
fn without_a_fall_back_the_answer_comes_back_as_received() {
    let plan = plan(
        "\n[[hotline]]\nnumber = \"12366\"\nname = \"税务\"\nmode = \"设分中心\"\nseats_at = { trunk = \"t\", number = \"12366\", fall_back = false }\n",
    );
    let now = wall("2026-10-01T00:00:00Z");
    for (outcome, status) in [(Outcome::Busy, 486), (Outcome::NoAnswer, 480), (Outcome::Failed { status: 603 }, 603)] {
        let mut route = call(&plan, "12366", "2026-10-01T00:00:00Z");
        let Step::Reject { status: found, .. } = plan.advance(&mut route.cursor, outcome, now) else { panic!() };
        assert_eq!(found, status);
    }
}

#[test]
fn a_full_queue_overflows_once_through_each_queue() {
    let plan = plan("\n[[queue]]\nname = \"main\"\nsize = 1\noverflow = \"city\"\n\n[[queue]]\nname = \"city\"\n");
    let mut route = call(&plan, "12345", "2026-10-01T00:00:00Z");
    let now = wall("2026-10-01T00:00:00Z");
    let next = plan.advance(&mut route.cursor, Outcome::Overflow(OverflowReason::Full), now);
    assert!(matches!(&next, Step::Queue(queue) if queue.queue.queue.as_str() == "city"));
    assert_eq!(greeting(&next), "overflow");
    let last = plan.advance(&mut route.cursor, Outcome::Overflow(OverflowReason::Full), now);
    assert!(matches!(last, Step::Reject { status: 480, q850: Some(42) }));
}

#[test]
fn written_steps_replace_those_of_the_mode() {
    let plan = plan(
        "\n[[queue]]\nname = \"main\"\n\n[[hotline]]\nnumber = \"12320\"\nname = \"卫生\"\nmode = \"dual_merged\"\nsteps = [{ announce = { prompt = \"busy\" } }, { dial = { trunk = \"t\", number = \"12320\" } }, { queue = { name = \"main\", max_wait = \"3m\" } }, { reject = { status = 486 } }]\n",
    );
    let mut route = call(&plan, "12320", "2026-10-01T00:00:00Z");
    let now = wall("2026-10-01T00:00:00Z");
    assert_eq!(greeting(&route.first), "busy");
    assert!(matches!(plan.advance(&mut route.cursor, Outcome::Done, now), Step::Dial(_)));
    let Step::Queue(queue) = plan.advance(&mut route.cursor, Outcome::Busy, now) else { panic!() };
    assert_eq!(queue.max_wait.unwrap().as_secs(), 180);
    let last = plan.advance(&mut route.cursor, Outcome::Overflow(OverflowReason::MaxWait), now);
    assert_eq!(last, Step::Reject { status: 486, q850: None });
}

#[test]
fn a_number_merged_into_another_has_its_queue_and_skill() {
    let plan = plan(
        "\n[[queue]]\nname = \"main\"\n\n[[queue]]\nname = \"market\"\n\n[[hotline]]\nnumber = \"12315\"\nname = \"市场监管\"\nmode = \"dual_merged\"\nqueue = \"market\"\nskill = \"市场监管\"\n\n[[hotline]]\nnumber = \"12358\"\nname = \"价格\"\nmode = \"absorbed\"\nmerged_into = \"12315\"\n",
    );
    let route = call(&plan, "12358", "2026-10-01T00:00:00Z");
    assert_eq!(&*route.hotline.as_ref().unwrap().number, "12358");
    let Step::Queue(queue) = &route.first else { panic!() };
    assert_eq!((queue.queue.queue.as_str(), queue.skills[0].skill.as_str()), ("market", "市场监管"));
}

#[test]
fn an_emergency_line_can_be_added_and_the_four_cannot_be_taken_away() {
    let plan = plan(
        "\n[[emergency]]\nnumber = \"12395\"\nname = \"12395水上救援\"\nroutes = [{ trunk = \"t\", number = \"12395\" }]\n",
    );
    for number in ["110", "119", "120", "122", "12395", "047612395"] {
        let route = call(&plan, number, "2026-10-01T00:00:00Z");
        assert!(matches!(route.verdict, Verdict::Emergency(_)), "{number}");
    }
}

#[test]
fn a_place_may_reword_a_prompt_or_switch_it_off() {
    let plan = plan(
        "\n[prompts]\ngreeting = \"您好。\"\nunknown = \"\"\nbusy = { text = \"请稍候。\", file = \"busy-recorded\" }\n",
    );
    let Step::Queue(queue) = call(&plan, "12345", "2026-10-01T00:00:00Z").first else { panic!() };
    assert_eq!(queue.greeting.unwrap().text, "您好。");
    assert!(matches!(call(&plan, "12399", "2026-10-01T00:00:00Z").first, Step::Reject { status: 404, .. }));
    let place = plan.tenants.values().next().unwrap();
    let busy: Announcement = place.announcement("busy", &switch12345::plan::prompts::Spoken::default()).unwrap();
    assert_eq!(busy.clips, [std::sync::Arc::from("busy-recorded")]);
}

#[test]
fn the_longest_prefix_names_the_trunk_and_a_port_beats_it() {
    let text = format!(
        "{HEAD}#=== switch.toml\n[trunk.t]\ntenant = \"p\"\nfrom = [\"127.0.0.0/8\", \"::1\"]\nto = [\"sip:127.0.0.1\"]\n[trunk.u]\ntenant = \"p\"\nfrom = [\"127.0.0.2/32\"]\n[trunk.v]\ntenant = \"p\"\nfrom = [\"127.0.0.2:5070\"]\n"
    );
    let plan = Memory::bundle(&text).load("2026-10-01T00:00:00Z").plan.unwrap();
    let trunk = |source: &str| {
        let source: SocketAddr = source.parse().unwrap();
        plan.settings.trunk_for(source).map(|trunk| trunk.name.to_string())
    };
    assert_eq!(trunk("127.0.0.1:9").as_deref(), Some("t"));
    assert_eq!(trunk("127.0.0.2:9").as_deref(), Some("u"));
    assert_eq!(trunk("127.0.0.2:5070").as_deref(), Some("v"));
    assert_eq!(trunk("[::ffff:127.0.0.2]:9").as_deref(), Some("u"));
    assert_eq!(trunk("[::1]:9").as_deref(), Some("t"));
    assert_eq!(trunk("10.0.0.1:5060"), None);
}

#[test]
fn the_same_texts_have_the_same_hash_and_other_texts_another() {
    let (one, two, other) = (plan(""), plan(""), plan(&hotline("")));
    assert_eq!(one.hash, two.hash);
    assert_ne!(one.hash, other.hash);
}

#[test]
fn a_secret_beside_a_fault_is_not_shown() {
    let text = format!(
        "{HEAD}#=== agents.toml\n[[agent]]\nid = \"1001\"\ntenant = \"p\"\npassword = \"geheim\"\nha1 = \"abcdef\"\n"
    );
    let loaded = Memory::bundle(&text).load("2026-10-01T00:00:00Z");
    assert!(loaded.plan.is_none());
    for fault in &loaded.diagnostics {
        let shown = loaded.sources.render(fault, false) + &loaded.sources.json(fault).to_string();
        assert!(!shown.contains("geheim") && !shown.contains("abcdef"), "{shown}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_text_makes_loading_panic(text in "[\\[\\]a-z =\"0-9\n.{},#整体并入]{0,200}") {
        let _ = Memory::bundle(&text).load("2026-10-01T00:00:00Z");
        let _ = Memory::bundle(&format!("{HEAD}{text}")).load("2026-10-01T00:00:00Z");
        let _ = Memory::bundle(&format!("{HEAD}#=== switch.toml\n{text}")).load("2026-10-01T00:00:00Z");
    }

    #[test]
    fn every_dialled_text_has_an_answer(dialled in ".{0,40}", from in ".{0,20}", divert in "[0-9+]{0,14}") {
        let plan = plan_once();
        let trunk = TrunkName::new("t");
        let diverted = [divert.as_str()];
        let asserted = [from.as_str()];
        let facts = Facts { trunk: &trunk, dialled: &dialled, from: Some(&from), asserted: &asserted, private: false, diverted: &diverted };
        let mut route = plan.route(&facts, wall("2026-10-01T00:00:00Z"), &mut ());
        let again = plan.route(&facts, wall("2026-10-01T00:00:00Z"), &mut ());
        prop_assert_eq!(&route, &again);
        // However its steps end, a call comes to an end.
        let mut step = route.first.clone();
        for _ in 0..8 {
            if matches!(step, Step::Reject { .. } | Step::Release | Step::Finished) {
                break;
            }
            step = plan.advance(&mut route.cursor, Outcome::NoAnswer, wall("2026-10-01T00:01:00Z"));
        }
        let over = matches!(step, Step::Reject { .. } | Step::Release | Step::Finished);
        prop_assert!(over);
    }
}

fn plan_once() -> &'static Plan {
    static PLAN: std::sync::OnceLock<std::sync::Arc<Plan>> = std::sync::OnceLock::new();
    PLAN.get_or_init(|| plan(KEPT))
}
