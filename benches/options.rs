//! CPU of an OPTIONS from a trunk: received from a UDP socket, answered by the switch, sent. Target: ≤ 8 µs.
//!
//! Both system calls count, sending and draining by the peer do not. Printed is the least of many batches, because
//! other work on the machine only ever adds. Run: `cargo bench --bench options`.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench prints, and stops where it is wrong"
)]

use std::net::UdpSocket;

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use switch12345::base::flow::Side;
use switch12345::switch::words::SwitchEffect;

#[path = "../tests/sim/engine.rs"]
#[expect(dead_code, unreachable_pub, reason = "the harness of the flow tests; this uses its switch")]
mod engine;
#[path = "../tests/sim/media.rs"]
#[expect(dead_code, reason = "part of the harness")]
mod media;
#[path = "../tests/sim/town.rs"]
#[expect(unreachable_pub, reason = "part of the harness")]
mod town;

const BATCHES: usize = 400;
const PER_BATCH: usize = 64;

fn options(nth: usize) -> String {
    format!(
        "OPTIONS sip:10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.1.0.1:5060;branch=z9hG4bKo{nth};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:probe@10.1.0.1>;tag=o{nth}\r\nTo: <sip:10.0.0.1>\r\nCall-ID: o{nth}@10.1.0.1\r\nCSeq: {nth} OPTIONS\r\n\
         Contact: <sip:probe@10.1.0.1>\r\nAccept: application/sdp\r\nUser-Agent: probe\r\nContent-Length: 0\r\n\r\n"
    )
}

fn thread_nanos() -> u128 {
    let at = clock_gettime(ClockId::ThreadCPUTime);
    u128::from(at.tv_sec.unsigned_abs()) * 1_000_000_000 + u128::from(at.tv_nsec.unsigned_abs())
}

fn main() {
    let mut engine = engine::Engine::new(4);
    let bound = || UdpSocket::bind("127.0.0.1:0").expect("loopback");
    let (ours, peer) = (bound(), bound());
    let to = ours.local_addr().expect("bound");
    // As the switch sees it the packet came from the carrier's network.
    let flow = engine::udp(Side::Trunk, "10.1.0.1:5060");
    let (mut buffer, mut effects, mut spent) = ([0; 2048], Vec::new(), Vec::with_capacity(BATCHES));
    for batch in 0..BATCHES {
        for nth in 0..PER_BATCH {
            peer.send_to(options(batch * PER_BATCH + nth + 1).as_bytes(), to).expect("loopback");
        }
        let before = thread_nanos();
        for _ in 0..PER_BATCH {
            let (length, from) = ours.recv_from(&mut buffer).expect("loopback");
            engine.switch.receive(engine.now, flow, Bytes::copy_from_slice(&buffer[..length]), &mut effects);
            for effect in effects.drain(..) {
                if let SwitchEffect::Transmit(_, bytes) = effect {
                    ours.send_to(&bytes, from).expect("loopback");
                }
            }
        }
        spent.push((thread_nanos() - before) / PER_BATCH as u128);
        for _ in 0..PER_BATCH {
            let length = peer.recv(&mut buffer).expect("an answer to each");
            assert!(buffer[..length].starts_with(b"SIP/2.0 200 "), "an OPTIONS was not answered 200");
        }
    }
    spent.sort_unstable();
    println!("OPTIONS with both system calls: least {} ns, median {} ns CPU", spent[0], spent[BATCHES / 2]);
    assert_eq!(engine.tables(), engine::Tables::default(), "nothing is kept of an OPTIONS");
}
