//! The shipped plans: every row of both merging tables routes as printed, and what must never be confused is not.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use jiff::Timestamp;
use switch12345::base::hotline::{CallerTrust, MergeMode, SeatPolicy};
use switch12345::base::id::TrunkName;
use switch12345::engine::disk::Disk;
use switch12345::plan::explain::{Target, explain};
use switch12345::plan::load::{Files, Loaded, Request, load};
use switch12345::plan::model::Plan;
use switch12345::plan::prompts::inventory;
use switch12345::plan::route::{Facts, Route, Verdict};
use switch12345::plan::step::{DialPurpose, Outcome, Step};

/// Before the shipped calendar's end comes into sight.
const AT: &str = "2026-10-01T02:00:00Z";

/// The shipped files, with paths as from the top of the project.
struct Shipped;

fn top(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

impl Files for Shipped {
    fn read(&self, path: &str) -> Result<String, String> {
        Disk.read(top(path).to_str().unwrap())
    }

    fn list(&self, directory: &str) -> Result<Vec<String>, String> {
        let found = Disk.list(top(directory).to_str().unwrap())?;
        let base = format!("{}/", env!("CARGO_MANIFEST_DIR"));
        Ok(found.into_iter().map(|path| path.trim_start_matches(&base).to_owned()).collect())
    }
}

fn shipped(overlays: &[&str]) -> Loaded {
    let overlays: Vec<String> = overlays.iter().map(|name| (*name).to_owned()).collect();
    let request = Request { config: "config/switch.toml", set: &[], overlays: &overlays, wall: AT.parse().unwrap() };
    load(&Shipped, &request)
}

fn call(plan: &Plan, trunk: &str, dialled: &str) -> Route {
    let facts = Facts {
        trunk: &TrunkName::new(trunk),
        dialled,
        from: Some("13800001234"),
        asserted: &[],
        private: false,
        diverted: &[],
    };
    plan.route(&facts, AT.parse().unwrap(), &mut ())
}

fn target(plan: &Plan, trunk: &str, dialled: &str) -> String {
    Target::of(&call(plan, trunk, dialled)).to_string()
}

/// The rows of a merging table, where the project's shared folder is at hand.
fn table(name: &str) -> Vec<BTreeMap<String, String>> {
    let folder = env::var("SWITCH12345_SHARED").map_or_else(|_| top("../shared"), PathBuf::from);
    let Ok(text) = fs::read_to_string(folder.join("data").join(name)) else { return Vec::new() };
    let mut lines = text.lines();
    let head = fields(lines.next().unwrap());
    lines.map(|line| head.iter().cloned().zip(fields(line)).collect()).collect()
}

/// One line of CSV; the tables have no line breaks inside quotes.
fn fields(line: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut quoted = false;
    for symbol in line.chars() {
        match symbol {
            '"' => quoted = !quoted,
            ',' if !quoted => found.push(String::new()),
            _ => found.last_mut().unwrap().push(symbol),
        }
    }
    found
}

#[test]
fn the_shipped_plans_have_no_error_and_their_rows_pass() {
    for overlays in [&[][..], &["demo"]] {
        let loaded = shipped(overlays);
        let shown: Vec<_> = loaded.diagnostics.iter().map(|fault| loaded.sources.render(fault, false)).collect();
        assert!(loaded.plan.is_some(), "{}", shown.join("\n"));
        assert_eq!(loaded.tests.failed, 0);
        assert!(loaded.tests.passed > 120, "{:?}", loaded.tests);
    }
}

#[test]
fn the_shipped_plans_only_warn_of_what_the_admin_must_know() {
    let loaded = shipped(&[]);
    let mut codes: Vec<_> = loaded.diagnostics.iter().map(|fault| fault.code).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes, ["N0304", "W0201", "W0204", "W0211"]);
}

#[test]
fn every_row_of_both_tables_routes_as_printed() {
    let plan = shipped(&[]).plan.unwrap();
    for (name, trunk, rows) in [("hotlines-002.csv", "carrier", 36), ("hotlines-000.csv", "carrier-yunnan", 28)] {
        let table = table(name);
        if table.is_empty() {
            continue;
        }
        assert_eq!(table.len(), rows);
        for row in table {
            let route = call(&plan, trunk, &row["number"]);
            let hotline = route.hotline.clone().unwrap_or_else(|| panic!("{} is missing", row["number"]));
            let kept = row["seat_policy"].contains("keep_dept_seats_temporarily");
            let (mode, seats) = match row["merge_mode"].as_str() {
                "整体并入" => (MergeMode::Absorbed, SeatPolicy::Merged),
                "双号并行" if kept => (MergeMode::DualKept, SeatPolicy::Kept),
                "双号并行" => (MergeMode::DualMerged, SeatPolicy::Merged),
                "设分中心" => (MergeMode::SubCentre, SeatPolicy::Kept),
                other => panic!("{other}"),
            };
            assert_eq!((hotline.mode, hotline.seats), (Some(mode), Some(seats)), "{}", row["number"]);
            assert_eq!(hotline.unit.as_deref(), Some(row["responsible_unit"].as_str()), "{}", row["number"]);
            if row["number"] != "8820813" {
                assert_eq!(hotline.name, row["hotline_name"]);
            }
            assert!(hotline.spoken_name.chars().count() <= 16, "{} is long to speak", hotline.spoken_name);
        }
    }
}

#[test]
fn one_number_two_services() {
    let plan = shipped(&[]).plan.unwrap();
    assert_eq!(call(&plan, "carrier", "04768820813").hotline.unwrap().services, ["户政", "治安"]);
}

#[test]
fn the_same_number_has_the_mode_of_its_place() {
    let plan = shipped(&[]).plan.unwrap();
    let mode = |trunk, number| call(&plan, trunk, number).hotline.unwrap().mode.unwrap();
    for number in ["12319", "12316", "12350"] {
        assert_eq!(mode("carrier", number), MergeMode::DualMerged, "{number}");
        assert_eq!(mode("carrier-yunnan", number), MergeMode::Absorbed, "{number}");
    }
    assert_eq!(mode("carrier", "12318"), MergeMode::Absorbed);
    assert_eq!(mode("carrier-yunnan", "12318"), MergeMode::DualMerged);
}

#[test]
fn forty_spellings_reach_their_number() {
    let plan = shipped(&[]).plan.unwrap();
    let spellings = [
        ("12345", "12345"),
        ("047612345", "12345"),
        ("47612345", "12345"),
        ("+8647612345", "12345"),
        ("8647612345", "12345"),
        ("008647612345", "12345"),
        ("+8612345", "12345"),
        ("008612345", "12345"),
        ("tel:12345;phone-context=+86476", "12345"),
        ("tel:12345;phone-context=+86-476", "12345"),
        ("tel:+8647612345", "12345"),
        ("tel:+86-476-12345", "12345"),
        ("TEL:+8647612345;npdi", "12345"),
        ("sip:12345@10.0.0.1", "12345"),
        ("sip:12345@10.0.0.1:5060;user=phone", "12345"),
        ("sip:+8647612345@ims.example;user=phone", "12345"),
        ("sip:12345;phone-context=+86476@ims.example;user=phone", "12345"),
        ("sip:+8647612345;npdi;cpc=ordinary@ims.example", "12345"),
        ("sips:047612345@ims.example", "12345"),
        ("<sip:12345@10.0.0.1>", "12345"),
        ("%2B8647612345", "12345"),
        ("1-2345", "12345"),
        ("(0476)12345", "12345"),
        ("0476 12345", "12345"),
        ("12345;cpc=ordinary", "12345"),
        ("12345;phone-context=ims.example", "12345"),
        ("12369", "12369"),
        ("047612369", "12369"),
        ("+8647612369", "12369"),
        ("96119", "96119"),
        ("+8696119", "96119"),
        ("047696119", "96119"),
        ("+8647696119", "96119"),
        ("8337772", "8337772"),
        ("04768337772", "8337772"),
        ("4768337772", "8337772"),
        ("+864768337772", "8337772"),
        ("864768337772", "8337772"),
        ("00864768337772", "8337772"),
        ("tel:+864768337772", "8337772"),
        ("tel:8337772;phone-context=+86476", "8337772"),
        ("sip:+864768337772@ims.example;user=phone", "8337772"),
    ];
    for (dialled, number) in spellings {
        let route = call(&plan, "carrier", dialled);
        assert_eq!(route.hotline.map(|hotline| hotline.number.to_string()).as_deref(), Some(number), "{dialled}");
        assert_eq!(route.dialled_raw, dialled);
    }
}

#[test]
fn a_part_of_a_number_is_no_number() {
    let plan = shipped(&[]).plan.unwrap();
    for dialled in ["1381101234", "13811012345", "1231512345", "12399", "1234", "123456", "012345", "0110", "9110"] {
        assert_eq!(target(&plan, "carrier", dialled), "announce unknown", "{dialled}");
    }
    assert_eq!(target(&plan, "carrier", "96119"), "queue main");
    for dialled in ["075512345", "05318337772", "+12025550100", "", "abc", "sip:@", "tel:"] {
        assert_eq!(target(&plan, "carrier", dialled), "announce unknown", "{dialled}");
    }
    // A place without an area: local numbers of another place are not its own.
    assert_eq!(target(&plan, "carrier-yunnan", "8337772"), "announce unknown");
}

#[test]
fn emergencies_go_straight_through_in_every_form() {
    let plan = shipped(&[]).plan.unwrap();
    for dialled in ["110", "0476110", "+86476110", "tel:110;phone-context=+86476", "sip:110@10.0.0.1;user=phone"] {
        let route = call(&plan, "carrier", dialled);
        let (Verdict::Emergency(line), Step::Dial(dial)) = (&route.verdict, &route.first) else { panic!("{dialled}") };
        assert_eq!((line.number.as_str(), dial.purpose), ("110", DialPurpose::Emergency));
        assert_eq!(dial.prompt, None);
        let numbers: Vec<_> = dial.targets.iter().map(|target| target.number.as_str()).collect();
        assert_eq!(numbers, ["110", "0476110"]);
    }
}

#[test]
fn the_sub_centre_of_the_demo_falls_back_to_the_queue() {
    let plan = shipped(&["demo"]).plan.unwrap();
    let mut route = call(&plan, "carrier", "12366");
    let Step::Dial(dial) = &route.first else { panic!("{:?}", route.first) };
    assert_eq!(dial.purpose, DialPurpose::SubCentre);
    assert_eq!(dial.prompt.as_ref().unwrap().text, "正在为您转接12366税务服务热线,请不要挂机。");
    let wall: Timestamp = AT.parse().unwrap();
    let Step::Queue(queue) = plan.advance(&mut route.cursor, Outcome::Failed { status: 503 }, wall) else { panic!() };
    assert_eq!(queue.greeting.unwrap().name, "department_back");
    assert_eq!(plan.advance(&mut route.cursor, Outcome::Done, wall), Step::Finished);
}

#[test]
fn a_forwarded_number_is_recognised_and_its_seats_are_not_rung_again() {
    let plan = shipped(&["demo"]).plan.unwrap();
    let trunk = TrunkName::new("carrier");
    for dialled in ["12345", "04768800099"] {
        let diverted = ["sip:110@10.0.0.1", "tel:+8647612366"];
        let facts = Facts {
            trunk: &trunk,
            dialled,
            from: None,
            asserted: &["tel:+8613800001234"],
            private: true,
            diverted: &diverted,
        };
        let route = plan.route(&facts, AT.parse().unwrap(), &mut ());
        assert_eq!(&*route.hotline.as_ref().unwrap().number, "12366");
        assert_eq!(route.diverted_from.as_deref(), Some("tel:+8647612366"));
        assert!(matches!(route.first, Step::Queue(_)));
        assert_eq!((route.caller.trust, route.caller.private), (CallerTrust::Asserted, true));
        assert_eq!(route.caller.number.normal, "13800001234");
    }
}

#[test]
fn the_explanation_is_the_decision_with_its_agents() {
    let plan = shipped(&[]).plan.unwrap();
    let trunk = TrunkName::new("carrier");
    let facts = Facts { trunk: &trunk, dialled: "12369", from: None, asserted: &[], private: false, diverted: &[] };
    let told = explain(&plan, &facts, AT.parse().unwrap()).json();
    assert_eq!(told["hotline"]["merge_mode"], "dual_merged");
    assert_eq!(told["target"]["kind"], "queue");
    assert_eq!(told["target"]["skills"][0], "环保");
    assert_eq!(told["agents"].as_array().unwrap().len(), 20);
    let taken = told["why"].as_array().unwrap().iter().find(|row| row["took"] == true).unwrap();
    assert_eq!(taken["file"], "dialplans/chifeng.toml");
    assert!(taken["line"].as_u64().unwrap() > 0);
}

#[test]
fn every_clip_a_call_may_play_is_in_the_inventory() {
    let plan = shipped(&["demo"]).plan.unwrap();
    let clips = inventory(&plan);
    for tenant in plan.tenants.values() {
        let trunk = if tenant.name.as_str() == "chifeng" { "carrier" } else { "carrier-yunnan" };
        for key in tenant.hotlines.keys() {
            let route = call(&plan, trunk, &key.number);
            let steps = std::iter::once(&route.first).chain(route.cursor.then());
            let announcements = steps.flat_map(|step| match step {
                Step::Queue(queue) => vec![queue.greeting.clone(), queue.whisper.clone()],
                Step::Dial(dial) => vec![dial.prompt.clone()],
                Step::Announce { prompt, .. } => vec![Some(prompt.clone())],
                Step::Reject { .. } | Step::Release | Step::Finished => vec![],
            });
            for announcement in announcements.flatten() {
                assert!(!announcement.clips.is_empty(), "{announcement:?}");
                for clip in &announcement.clips {
                    let own = format!("{}/{clip}", tenant.name);
                    assert!(clips.contains_key(&own) || clips.contains_key(&**clip), "{clip}");
                }
            }
        }
    }
    assert!(clips.values().all(|text| !text.is_empty()));
}

#[test]
fn every_agent_has_a_skill_and_every_skill_an_agent_of_its_queue() {
    let plan = shipped(&[]).plan.unwrap();
    assert_eq!(plan.settings.agents.len(), 20);
    assert!(plan.settings.agents.values().all(|agent| !agent.skills.is_empty()));
}
