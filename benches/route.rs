//! The routing decision over 10,000 entries: median and 99th percentile in nanoseconds. Target: ≤ 20 µs.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a bench that cannot go on stops")]

use std::fmt::Write as _;
use std::time::Duration;

use switch12345::base::id::TrunkName;
use switch12345::plan::load::{Files, Request, load};
use switch12345::plan::route::Facts;

const PLACES: usize = 20;
const NUMBERS: usize = 500;
const ROUNDS: usize = 200_000;

struct Generated(Vec<(String, String)>);

impl Files for Generated {
    fn read(&self, path: &str) -> Result<String, String> {
        self.0.iter().find(|(name, _)| name == path).map(|(_, text)| text.clone()).ok_or_else(|| "none".to_owned())
    }

    fn list(&self, directory: &str) -> Result<Vec<String>, String> {
        Ok(self.0.iter().map(|(name, _)| name.clone()).filter(|name| name.starts_with(directory)).collect())
    }
}

fn generated() -> Generated {
    let mut files = Vec::new();
    let mut config = String::new();
    for place in 0..PLACES {
        let area = 310 + place;
        let _ = writeln!(
            config,
            "[trunk.t{place}]\ntenant = \"p{place}\"\narea = \"0{area}\"\nfrom = [\"10.0.{place}.0/24\"]\nto = [\"sip:10.0.{place}.1\"]"
        );
        let mut text = format!(
            "[tenant]\nname = \"p{place}\"\ntitle = \"某市\"\narea = \"0{area}\"\n[[queue]]\nname = \"main\"\n"
        );
        for number in 0..NUMBERS {
            let mode = ["整体并入", "双号并行·座席并入", "设分中心"][number % 3];
            let _ = writeln!(
                text,
                "[[hotline]]\nnumber = \"{}\"\nname = \"热线{number}\"\nmode = \"{mode}\"\nskill = \"s{}\"",
                8_000_000 + number * 7,
                number % 20
            );
            if number % 3 == 2 {
                let _ = writeln!(text, "seats_at = {{ trunk = \"t{place}\", number = \"1\" }}");
            }
        }
        files.push((format!("dialplans/p{place}.toml"), text));
    }
    files.push(("switch.toml".to_owned(), config));
    Generated(files)
}

#[expect(clippy::disallowed_methods, reason = "a bench measures")]
fn timed<T>(run: impl FnOnce() -> T) -> (Duration, T) {
    let start = std::time::Instant::now();
    let made = run();
    (start.elapsed(), made)
}

#[expect(clippy::print_stdout, reason = "a bench reports")]
fn main() {
    let files = generated();
    let wall = "2026-10-01T00:00:00Z".parse().unwrap();
    let request = Request { config: "switch.toml", set: &[], overlays: &[], wall };
    let (loading, loaded) = timed(|| load(&files, &request));
    let plan = loaded.plan.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics.first()));
    let trunks: Vec<_> = (0..PLACES).map(|place| TrunkName::new(format!("t{place}"))).collect();
    let mut taken = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        let place = round % PLACES;
        let number = 8_000_000 + (round * 131 % NUMBERS) * 7;
        let dialled = match round % 3 {
            0 => format!("+86{}{number}", 310 + place),
            1 => format!("{number}"),
            _ => format!("tel:{number};phone-context=+86{}", 310 + place),
        };
        let trunk = &trunks[place];
        let facts =
            Facts { trunk, dialled: &dialled, from: Some("13800001234"), asserted: &[], private: false, diverted: &[] };
        let (spent, route) = timed(|| plan.route(&facts, wall, &mut ()));
        assert!(route.hotline.is_some(), "{dialled}");
        taken.push(spent);
    }
    taken.sort_unstable();
    println!("entries {}  load {} ms", PLACES * NUMBERS, loading.as_millis());
    println!("route median {} ns  p99 {} ns", taken[ROUNDS / 2].as_nanos(), taken[ROUNDS * 99 / 100].as_nanos());
}
