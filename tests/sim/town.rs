//! A place with many agents and several carriers, read by the real loader: the plan of the whole engine's tests.
//!
//! | who | where |
//! |---|---|
//! | `carrier` | 10.1.0.0/16; back out to 10.1.0.1 |
//! | `other` | 10.2.0.0/16 |
//! | `plain` | 10.5.0.0/16: answers only when an agent does |
//! | `seats` | out to 10.3.0.1: 12366's own seats, with the queue behind them |
//! | `alone` | out to 10.4.0.1, then 10.4.0.2: 12333's own seats, with nothing behind them |
//! | `desk-first`, `desk-second` | out to 10.9.0.1 and 10.9.0.2: emergency desks |
//! | agents `1001`… | anywhere on the agents' side |

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use jiff::Timestamp;
use switch12345::plan::load::{Files, Request, load};
use switch12345::plan::model::Plan;

const CONFIG: &str = r#"
[limits]
calls_max = 10000
calls_per_second = 10000

[trunk.carrier]
tenant = "p"
area = "0476"
from = ["10.1.0.0/16"]
to = ["sip:10.1.0.1"]

[trunk.other]
tenant = "p"
area = "0476"
from = ["10.2.0.0/16"]
to = ["sip:10.2.0.1"]

[trunk.plain]
tenant = "p"
area = "0476"
from = ["10.5.0.0/16"]
answer_before_queue = false

[trunk.seats]
tenant = "p"
to = ["sip:10.3.0.1"]

[trunk.alone]
tenant = "p"
to = ["sip:10.4.0.1", "sip:10.4.0.2"]

[trunk.desk-first]
tenant = "p"
to = ["sip:10.9.0.1"]
emergency = true

[trunk.desk-second]
tenant = "p"
to = ["sip:10.9.0.2"]
emergency = true
"#;

const PLACE: &str = r#"
[tenant]
name = "p"
title = "某市"
line_name = "某市12345政务服务便民热线"
area = "0476"
main_queue = "main"

[prompts]
greeting = ""
sub_centre = ""
department_back = ""

[[queue]]
name = "main"
announce_agent = false

[[emergency]]
number = "120"
name = "120急救中心"
ring = "8s"
routes = [{ trunk = "desk-first", number = "120" }, { trunk = "desk-second", number = "0476120" }]
[[emergency]]
number = "110"
name = "110报警中心"
routes = [{ trunk = "desk-second", number = "110" }]
[[emergency]]
number = "119"
name = "119消防"
routes = [{ trunk = "desk-second", number = "119" }]
[[emergency]]
number = "122"
name = "122交警"
routes = [{ trunk = "desk-second", number = "122" }]

[[unit]]
name = "税务局"

[[hotline]]
number = "12345"
[[hotline]]
number = "12369"
name = "环境保护投诉举报电话"
spoken_name = "12369环保举报热线"
unit = "税务局"
mode = "整体并入"
[[hotline]]
number = "12366"
name = "税务服务热线"
spoken_name = "12366税务服务热线"
unit = "税务局"
mode = "设分中心"
seats_at = { trunk = "seats", number = "12366", ring = "6s" }
[[hotline]]
number = "12333"
name = "人社热线"
spoken_name = "12333人社热线"
unit = "税务局"
mode = "设分中心"
seats_at = { trunk = "alone", number = "12333", ring = "40s", fall_back = false }
"#;

struct Memory(BTreeMap<&'static str, String>);

impl Files for Memory {
    fn read(&self, path: &str) -> Result<String, String> {
        self.0.get(path).cloned().ok_or_else(|| format!("no {path}"))
    }

    fn list(&self, _directory: &str) -> Result<Vec<String>, String> {
        Ok(vec!["dialplans/p.toml".to_owned()])
    }
}

/// The id of the n-th agent, from 0.
pub fn agent(nth: usize) -> String {
    format!("{}", 1_001 + nth)
}

/// The plan, with so many agents; the password of agent N is `demo-N`.
pub fn plan(agents: usize, wall: Timestamp) -> Arc<Plan> {
    let mut list = String::new();
    for id in (0..agents).map(agent) {
        let _ = writeln!(
            list,
            "[[agent]]\nid = \"{id}\"\ntenant = \"p\"\npassword = \"demo-{id}\"\nqueues = [\"main\"]\nwrap_up = \"0s\""
        );
    }
    let files = Memory(BTreeMap::from([
        ("config/switch.toml", CONFIG.to_owned()),
        ("config/agents.toml", list),
        ("dialplans/p.toml", PLACE.to_owned()),
    ]));
    let loaded = load(&files, &Request { config: "config/switch.toml", set: &[], overlays: &[], wall });
    let faults = loaded.diagnostics.iter().map(|fault| loaded.sources.render(fault, false)).collect::<String>();
    loaded.plan.unwrap_or_else(|| panic!("{faults}"))
}
