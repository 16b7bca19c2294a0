//! Cost of one 20 ms frame of a three-party mix-minus: decode, sum, subtract, encode. Prints the median.
//!
//! Run: `cargo bench --bench mixer`.

#![expect(
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measuring program for people: it prints and may end by panicking"
)]

use std::hint::black_box;

use rustix::time::{ClockId, clock_gettime};
use switch12345::rtp::command::Codec;
use switch12345::rtp::mixer::{FRAME, Mixer};

const PARTIES: usize = 3;
const FRAMES: usize = 20_000;
const REPEATS: usize = 9;

fn main() {
    let spoken: [[u8; FRAME]; PARTIES] =
        std::array::from_fn(|party| std::array::from_fn(|at| ((at * 37 + party * 101) % 251) as u8));
    let mut medians: Vec<f64> = (0..REPEATS)
        .map(|_| {
            let before = thread_nanos();
            for _ in 0..FRAMES {
                black_box(frame(black_box(&spoken)));
            }
            (thread_nanos() - before) / FRAMES as f64
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    println!("mix-minus of {PARTIES}: {:.0} ns CPU per 20 ms frame of all parties", medians[REPEATS / 2]);
}

fn frame(spoken: &[[u8; FRAME]; PARTIES]) -> [[u8; FRAME]; PARTIES] {
    let mut own = [[0; FRAME]; PARTIES];
    let mut mixer = Mixer::default();
    for (codes, samples) in spoken.iter().zip(&mut own) {
        Codec::Pcma.decode(codes, samples);
        mixer.add(samples);
    }
    let mut heard = [[0; FRAME]; PARTIES];
    let mut samples = [0; FRAME];
    for (own, codes) in own.iter().zip(&mut heard) {
        mixer.minus(own, &mut samples);
        Codec::Pcma.encode(&samples, codes);
    }
    heard
}

fn thread_nanos() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
