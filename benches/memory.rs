//! Memory of 10,000 calls in the core, media off: ringing, held, and after everybody has hung up. Targets: ringing
//! ≤ 6 KB each; after 64·T1 nothing.
//!
//! The switch, the calls and the queues are the real ones, fed with bytes; counted is what they keep on the heap.
//! What the harness itself keeps (events, what was sent, ports) is thrown away or left out. Run:
//! `cargo bench --bench memory`.

#![expect(unsafe_code, reason = "a counting allocator wraps the system's")]
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench prints, and stops where it is wrong"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use engine::{Engine, Tables, udp};
use switch12345::base::flow::{Flow, Side};
use switch12345::call::Call;
use wire::{Talk, read};

#[path = "../tests/sim/engine.rs"]
#[expect(dead_code, unreachable_pub, reason = "the harness of the flow tests")]
mod engine;
#[path = "../tests/sim/media.rs"]
#[expect(dead_code, reason = "part of the harness")]
mod media;
#[path = "../tests/sim/town.rs"]
#[expect(unreachable_pub, reason = "part of the harness")]
mod town;
#[path = "../tests/sim/wire.rs"]
#[expect(dead_code, unreachable_pub, reason = "part of the harness")]
mod wire;

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE.fetch_add(size, Ordering::Relaxed);
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CALLS: usize = 10_000;
/// 64·T1 (RFC 3261 §17.2.2) and a little.
const ALL_TIMERS: Duration = Duration::from_secs(32 + 5);

/// Everybody who takes part.
struct Town {
    engine: Engine,
    caller: Flow,
    seats: Flow,
    callers: Vec<Talk>,
    callees: Vec<Talk>,
    invites: Vec<String>,
}

impl Town {
    fn new() -> Self {
        let mut engine = Engine::new(4);
        engine.logging = false;
        let (caller, seats) = (udp(Side::Trunk, "10.5.0.9:5060"), udp(Side::Trunk, "10.4.0.1:5060"));
        Self { engine, caller, seats, callers: Vec::new(), callees: Vec::new(), invites: Vec::new() }
    }

    /// Bytes the engine holds; what the harness keeps for itself goes first.
    fn held(&mut self) -> usize {
        for events in self.engine.journal.values_mut() {
            *events = Vec::new();
        }
        LIVE.load(Ordering::Relaxed)
    }

    /// One call up to its ringing.
    fn ring(&mut self, nth: usize) {
        let mut talk = Talk::caller(self.caller, "12333", &format!("m{nth}"));
        let invite = talk.invite();
        self.engine.receive(self.caller, invite);
        let asked = self.engine.sent_to(self.seats.remote).remove(0);
        let callee = Talk::callee(self.seats, &asked, &format!("s{nth}"));
        self.engine.receive(self.seats, callee.answer(&asked, 180, "", ""));
        self.engine.sent_to(self.caller.remote);
        self.callers.push(talk);
        self.callees.push(callee);
        self.invites.push(String::from_utf8_lossy(asked.bytes()).into_owned());
    }

    /// The callee answers and the caller acknowledges.
    fn answer(&mut self, nth: usize) {
        let asked = read(self.invites[nth].clone());
        self.engine.receive(self.seats, self.callees[nth].accept(&asked));
        let answered = self.engine.sent_to(self.caller.remote).pop().expect("200 to the caller");
        self.callers[nth].learn(&answered);
        let ack = self.callers[nth].ack("");
        self.engine.receive(self.caller, ack);
        self.engine.wire.clear();
    }

    fn hang_up(&mut self, nth: usize) {
        let bye = self.callers[nth].request("BYE", "", "");
        self.engine.receive(self.caller, bye);
        let asked = self.engine.sent_to(self.seats.remote).pop().expect("BYE to the seats");
        self.engine.receive(self.seats, self.callees[nth].answer(&asked, 200, "", ""));
        self.engine.wire.clear();
    }
}

fn main() {
    let mut town = Town::new();
    (0..CALLS).for_each(|nth| town.ring(nth));
    // What the bench's own peers keep is known once the engine is thrown away.
    let Town { engine, callers, callees, invites, .. } = town;
    drop(engine);
    let with_peers = LIVE.load(Ordering::Relaxed);
    drop((callers, callees, invites));
    let peers = with_peers - LIVE.load(Ordering::Relaxed);

    let mut town = Town::new();
    let empty = town.held();
    let report = |what: &str, town: &mut Town| {
        let calls = town.held().saturating_sub(empty + peers);
        println!("{what:<24} {:>6.0} bytes a call, {:>6.1} MB in all", calls as f64 / CALLS as f64, calls as f64 / 1e6);
    };
    (0..CALLS).for_each(|nth| town.ring(nth));
    report("ringing", &mut town);
    (0..CALLS).for_each(|nth| town.answer(nth));
    report("answered", &mut town);
    town.engine.run_for(ALL_TIMERS);
    town.engine.wire.clear();
    assert_eq!(town.engine.calls.len(), CALLS, "all calls stand");
    report("held, timers over", &mut town);
    (0..CALLS).for_each(|nth| town.hang_up(nth));
    report("hung up", &mut town);
    town.engine.run_for(ALL_TIMERS);
    assert_eq!(town.engine.tables(), Tables::default(), "nothing is kept");
    report("after 64 T1", &mut town);
    println!("a Call is {} bytes before what it points to", size_of::<Call>());
}
