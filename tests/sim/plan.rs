//! The plan the simulated calls are decided with, read by the real loader.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use switch12345::plan::load::{Files, Request, load};
use switch12345::plan::model::Plan;

const CONFIG: &str = r#"
[trunk.carrier]
tenant = "p"
area = "0476"
from = ["127.0.0.1:7000"]
to = ["sip:127.0.0.1:7000"]
trusted = true

[trunk.spare]
tenant = "p"
from = ["127.0.0.9:7000"]
to = ["sip:127.0.0.9:7000"]

[trunk.plain]
tenant = "p"
from = ["127.0.0.1:7001"]
to = ["sip:127.0.0.1:7001"]
answer_before_queue = false
early_media_max = "20s"

[trunk.desk-first]
tenant = "p"
to = ["sip:127.0.0.1:7101"]
emergency = true

[trunk.desk-second]
tenant = "p"
to = ["sip:127.0.0.1:7102"]
emergency = true

[trunk.seats]
tenant = "p"
to = ["sip:127.0.0.1:7103"]
trusted = true
"#;

const AGENTS: &str = r#"
[[agent]]
id = "1001"
tenant = "p"
password = "demo-1001"
class = "city"
queues = ["main", "quiet", "all"]

[[agent]]
id = "1002"
tenant = "p"
password = "demo-1002"
queues = ["main", "quiet", "all"]
class = "city"

[[agent]]
id = "1003"
name = "座席1003"
tenant = "p"
password = "demo-1003"
queues = ["main"]
class = "internal"
"#;

const PLACE: &str = r#"
[tenant]
name = "p"
title = "某市"
line_name = "某市12345政务服务便民热线"
area = "0476"
main_queue = "main"
outside = ["carrier", "spare"]

[prompts]
greeting = ""

[[queue]]
name = "main"

[[queue]]
name = "quiet"
announce_agent = false

[[queue]]
name = "all"
strategy = "longest_idle"
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

[[service_class]]
name = "city"
prefixes = ["0476", "139"]

[[unit]]
name = "税务局"
[[unit.contact]]
trunk = "seats"
number = "0476123"
hours = "always"

[[hotline]]
number = "12345"
[[hotline]]
number = "12369"
name = "环境保护投诉举报电话"
spoken_name = "12369环保举报热线"
unit = "税务局"
mode = "双号并行·座席并入"
topic = "环保"

[[hotline]]
number = "12366"
name = "税务服务热线"
spoken_name = "12366税务服务热线"
unit = "税务局"
mode = "设分中心"
seats_at = { trunk = "seats", number = "12366", ring = "6s" }

[[hotline]]
number = "12301"
name = "旅游"
spoken_name = "12301旅游热线"
unit = "税务局"
mode = "整体并入"
steps = [{ queue = { name = "quiet" } }]

[[hotline]]
number = "12302"
name = "群呼"
spoken_name = "12302"
unit = "税务局"
mode = "整体并入"
steps = [{ queue = { name = "all" } }]
"#;

struct Memory(BTreeMap<&'static str, &'static str>);

impl Files for Memory {
    fn read(&self, path: &str) -> Result<String, String> {
        self.0.get(path).map(|text| (*text).to_owned()).ok_or_else(|| format!("no {path}"))
    }

    fn list(&self, _directory: &str) -> Result<Vec<String>, String> {
        Ok(vec!["dialplans/p.toml".to_owned()])
    }
}

/// The plan all simulated calls use.
pub(crate) fn plan(wall: Timestamp) -> Arc<Plan> {
    let files = Memory(BTreeMap::from([
        ("config/switch.toml", CONFIG),
        ("config/agents.toml", AGENTS),
        ("dialplans/p.toml", PLACE),
    ]));
    let loaded = load(&files, &Request { config: "config/switch.toml", set: &[], overlays: &[], wall });
    let faults = loaded.diagnostics.iter().map(|fault| loaded.sources.render(fault, false)).collect::<String>();
    loaded.plan.unwrap_or_else(|| panic!("{faults}"))
}
