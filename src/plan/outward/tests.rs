//! Every kind of number an agent dials, in every spelling that matters, and what his class makes of it.

use std::collections::BTreeMap;

use super::*;
use crate::plan::load::{Files, Request, load};

const CONFIG: &str = r#"
[trunk.carrier]
tenant = "p"
area = "0476"
from = ["127.0.0.1/32"]
to = ["sip:127.0.0.1:7000"]

[trunk.second]
tenant = "p"
from = ["127.0.0.2/32"]
to = ["sip:127.0.0.2:7000"]

[trunk.in-only]
tenant = "p"
from = ["127.0.0.3/32"]

[trunk.seats]
tenant = "p"
to = ["sip:127.0.0.1:7103"]

[trunk.police]
tenant = "p"
from = ["127.0.0.4/32"]
to = ["sip:127.0.0.4:7000"]
source = "110"

[trunk.desk]
tenant = "p"
to = ["sip:127.0.0.1:7101"]
emergency = true
"#;

const AGENTS: &str = r#"
[[agent]]
id = "1001"
tenant = "p"
password = "x"
class = "city"
[[agent]]
id = "1002"
tenant = "p"
password = "x"
[[agent]]
id = "1003"
tenant = "p"
password = "x"
class = "internal"
[[agent]]
id = "2001"
tenant = "q"
password = "x"
"#;

const PLACE: &str = r#"
[tenant]
name = "p"
title = "某市"
area = "0476"

[[queue]]
name = "main"

[[emergency]]
number = "120"
name = "120"
routes = [{ trunk = "desk", number = "120" }]

[[unit]]
name = "税务局"
[[unit.contact]]
trunk = "seats"
number = "01088888888"

[[utility]]
name = "供水"
number = "0476-5555555"
way = "transfer"
trunk = "seats"

[[hotline]]
number = "12366"
name = "税务"
unit = "税务局"
mode = "设分中心"
seats_at = { trunk = "seats", number = "12366" }
[[hotline]]
number = "12369"
name = "环保"
unit = "税务局"
mode = "整体并入"

[[service_class]]
name = "city"
prefixes = ["0476", "13", "+852"]
deny = ["0476961"]
"#;

const OTHER: &str = "[tenant]\nname = \"q\"\ntitle = \"乙市\"\narea = \"0531\"\n[[queue]]\nname = \"main\"\n";

struct Memory(String);

impl Files for Memory {
    fn read(&self, path: &str) -> Result<String, String> {
        let files = BTreeMap::from([
            ("switch.toml", CONFIG),
            ("agents.toml", AGENTS),
            ("dialplans/p.toml", self.0.as_str()),
            ("dialplans/q.toml", OTHER),
        ]);
        files.get(path).map(|text| (*text).to_owned()).ok_or_else(|| format!("no {path}"))
    }

    fn list(&self, _directory: &str) -> Result<Vec<String>, String> {
        Ok(vec!["dialplans/p.toml".to_owned(), "dialplans/q.toml".to_owned()])
    }
}

fn plan_of(place: &str) -> Arc<Plan> {
    let wall = "2026-11-20T02:00:00Z".parse().unwrap();
    let loaded = load(&Memory(place.to_owned()), &Request { config: "switch.toml", set: &[], overlays: &[], wall });
    let faults = loaded.diagnostics.iter().map(|fault| loaded.sources.render(fault, false)).collect::<String>();
    loaded.plan.unwrap_or_else(|| panic!("{faults}"))
}

fn dials(plan: &Plan, agent: &str, raw: &str) -> Outward {
    plan.agent_dials(&AgentId::new(agent), raw, &mut ()).unwrap()
}

fn trunks(outward: &Outward) -> Vec<(&str, &str)> {
    match &outward.way {
        OutwardWay::Outside(targets) => {
            targets.iter().map(|target| (target.trunk.as_str(), target.number.as_str())).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_emergency_line_is_reached_by_every_class_and_only_whole() {
    let plan = plan_of(PLACE);
    for agent in ["1001", "1002", "1003"] {
        for raw in ["120", "0476120", "+86476120", "sip:120@evil.example", "120;phone-context=+86476"] {
            let way = dials(&plan, agent, raw).way;
            assert!(matches!(&way, OutwardWay::Emergency(line) if line.number == "120"), "{agent} {raw} {way:?}");
        }
    }
    for raw in ["1201", "0531120", "91200", "0120", "1381101234"] {
        let way = dials(&plan, "1003", raw).way;
        assert_eq!(way, OutwardWay::Refused(Refusal::NotAllowed), "{raw}");
    }
}

#[test]
fn what_the_plan_names_needs_no_class() {
    let plan = plan_of(PLACE);
    let way = |raw| dials(&plan, "1003", raw).way;
    assert_eq!(way("1002"), OutwardWay::Agent(AgentId::new("1002")));
    assert!(matches!(way("main"), OutwardWay::Queue(queue) if queue.queue.as_str() == "main"));
    assert!(matches!(way("12366"), OutwardWay::Seats(hotline) if &*hotline.number == "12366"));
    assert!(matches!(way("047612366"), OutwardWay::Seats(_)));
    assert!(matches!(way("12369"), OutwardWay::Queue(_)) && matches!(way("12345"), OutwardWay::Queue(_)));
    for raw in ["01088888888", "+861088888888", "5555555", "04765555555"] {
        assert!(matches!(way(raw), OutwardWay::Named { target, .. } if target.trunk.as_str() == "seats"), "{raw}");
    }
    assert_eq!(way("2001"), OutwardWay::Refused(Refusal::NotAllowed), "a colleague of another place");
}

#[test]
fn a_class_decides_in_normal_form_by_the_longest_prefix() {
    let plan = plan_of(PLACE);
    for raw in ["8337772", "04768337772", "+864768337772", "13800001234", "013800001234", "0085212345678"] {
        assert_eq!(trunks(&dials(&plan, "1001", raw)).first().map(|first| first.0), Some("carrier"), "{raw}");
    }
    assert_eq!(trunks(&dials(&plan, "1001", "8337772")).first().map(|first| first.1), Some("04768337772"));
    for raw in ["04769611234", "9611234", "01012345678", "15800001234", "95598", "+12125550100", "0012125550100"] {
        assert_eq!(dials(&plan, "1001", raw).way, OutwardWay::Refused(Refusal::NotAllowed), "{raw}");
    }
    for raw in ["", "anonymous", "evil", "*50", "12a45", "#", "1;drop"] {
        let way = dials(&plan, "1001", raw).way;
        assert!(matches!(way, OutwardWay::Refused(_)), "{raw} {way:?}");
    }
}

#[test]
fn without_a_class_only_the_own_area_and_service_numbers_are_dialled() {
    let plan = plan_of(PLACE);
    assert_eq!(plan.class_of(&AgentId::new("1002")).map(|class| &*class.name), Some("local"));
    for raw in ["8337772", "95598", "4001234567"] {
        assert!(matches!(dials(&plan, "1002", raw).way, OutwardWay::Outside(_)), "{raw}");
    }
    for raw in ["13800001234", "01012345678", "+85212345678"] {
        assert_eq!(dials(&plan, "1002", raw).way, OutwardWay::Refused(Refusal::NotAllowed), "{raw}");
    }
    let placed = plan_of(&PLACE.replace("area = \"0476\"\n", "area = \"0476\"\nservice_class = \"national\"\n"));
    assert!(matches!(dials(&placed, "1002", "13800001234").way, OutwardWay::Outside(_)), "the place's own default");
}

#[test]
fn trunks_to_the_public_network_are_those_named_else_those_citizens_use() {
    let plan = plan_of(PLACE);
    let names = |outward: &Outward| trunks(outward).iter().map(|target| target.0.to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&dials(&plan, "1001", "8337772")), ["carrier", "second"]);
    let place = plan.tenant(&"p".into()).unwrap();
    let over = |trunk: &str| {
        let class = plan.rights_of(&AgentId::new("1001"));
        names(&plan.outward(place, class, "8337772", Some(&TrunkName::new(trunk)), &mut ()))
    };
    assert_eq!(over("second"), ["second", "carrier"], "the one the call came over first");
    assert_eq!(over("desk"), ["carrier", "second"], "never a desk's own line");
    let named = plan_of(&PLACE.replace("area = \"0476\"\n", "area = \"0476\"\noutside = [\"second\"]\n"));
    assert_eq!(names(&dials(&named, "1001", "8337772")), ["second"]);
}

#[test]
fn somebody_outside_reaches_only_what_the_plan_names() {
    let plan = plan_of(PLACE);
    let place = plan.tenant(&"p".into()).unwrap();
    let way = |raw| plan.outward(place, Rights::Named, raw, None, &mut ()).way;
    assert!(matches!(way("12366"), OutwardWay::Seats(_)) && matches!(way("01088888888"), OutwardWay::Named { .. }));
    for raw in ["8337772", "95598", "13800001234"] {
        assert_eq!(way(raw), OutwardWay::Refused(Refusal::NotAllowed), "{raw}");
    }
}
