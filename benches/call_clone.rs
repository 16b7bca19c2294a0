//! The clone of a talking call, kept before each input: the price of surviving a panic. Target: ≤ 10 µs.

#![expect(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a bench that cannot go on stops")]

use std::hint::black_box;
use std::time::Duration;

use sim::phone::Manner;
use sim::world::World;

#[expect(dead_code, reason = "the simulated world serves tests of many behaviours; this uses the clone of one call")]
#[path = "../tests/sim/mod.rs"]
mod sim;

const CLONES: u32 = 50_000;

#[expect(clippy::disallowed_methods, reason = "a bench measures")]
fn timed<T>(run: impl FnOnce() -> T) -> (Duration, T) {
    let start = std::time::Instant::now();
    let made = run();
    (start.elapsed(), made)
}

fn talking(seed: u64) -> World {
    let mut world = World::new(seed);
    world.phone("1001", 7_201, Manner::answers(500).hanging_up_after(5_000));
    world.dial("12369");
    assert!(world.until(Duration::from_secs(20), |world| world.phase() == Some("talking")), "{}", world.story());
    world
}

#[expect(clippy::print_stdout, reason = "a bench reports")]
fn main() {
    let world = talking(1);
    let call = world.call.as_ref().expect("a call");
    let (cloning, ()) = timed(|| {
        for _ in 0..CLONES {
            drop(black_box(black_box(call).clone()));
        }
    });
    println!("clone and drop of a talking call {} ns", (cloning / CLONES).as_nanos());
}
