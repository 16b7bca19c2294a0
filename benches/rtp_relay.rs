//! CPU of the media worker per relayed packet, and its ratio to a bare receive and send in the same run.
//!
//! One packet waits on each of 400 sockets, as in a 50-packets-a-second flow; sending and draining is done by the
//! main thread and not counted. Prints medians. Run: `cargo bench --bench rtp_relay`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measuring program for people: it prints and may end by panicking"
)]

use std::fs;
use std::net::UdpSocket;
use std::sync::mpsc::sync_channel;

use rustix::time::{ClockId, clock_gettime};
use switch12345::base::id::{CallId, LegId, TenantName, Ulid};
use switch12345::engine::media::library::ClipLibrary;
use switch12345::engine::media::{MediaConfig, MediaPlane};
use switch12345::rtp::command::{
    Codec, Direction, LegKind, MediaClass, MediaCommand, MediaReport, RemoteMedia, Source,
};
use switch12345::rtp::packet::{self, Header};

const CALLS: usize = 200;
const ROUNDS: u16 = 100;
const REPEATS: usize = 7;

struct Peer {
    socket: UdpSocket,
    engine: std::net::SocketAddr,
}

fn main() {
    let (sender, reports) = sync_channel(65_536);
    let config = MediaConfig {
        address: "127.0.0.1".parse().unwrap(),
        advertised: "127.0.0.1".parse().unwrap(),
        ports: 22_000..=31_999,
        reserved_for_emergency: 0,
        workers: 1,
        realtime: false,
    };
    let plane = MediaPlane::start(&config, ClipLibrary::default(), move |call, report| {
        let _ = sender.try_send((call, report));
        Ok(())
    })
    .unwrap();
    let mut peers = Vec::new();
    for number in 0..CALLS {
        let wall = "2026-11-21T00:00:00Z".parse().unwrap();
        let call = CallId(Ulid::compose(wall, 1, &TenantName::new("bench"), number as u64));
        for leg in [LegId(0), LegId(1)] {
            plane
                .send(call, MediaCommand::Allocate { leg, kind: LegKind::Plain, class: MediaClass::Ordinary })
                .unwrap();
            let local = loop {
                if let (_, MediaReport::Allocated { local, .. }) = reports.recv().unwrap() {
                    break local;
                }
            };
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let remote = description(&socket);
            plane.send(call, MediaCommand::Remote { leg, remote: Box::new(remote) }).unwrap();
            plane.send(call, MediaCommand::Hear { leg, source: Source::Leg(LegId(1 - leg.0)) }).unwrap();
            peers.push(Peer { socket, engine: local.rtp });
        }
    }
    let packets = (peers.len() * usize::from(ROUNDS)) as f64;
    let mut sequence = 0;
    // Latching happens here and is not counted.
    relay(&peers, &mut sequence, 3);
    let mut measured: Vec<(f64, f64)> = (0..REPEATS)
        .map(|_| {
            let before = worker_nanos();
            relay(&peers, &mut sequence, ROUNDS);
            let relayed = (worker_nanos() - before) / packets;
            (relayed, bare(peers.len(), ROUNDS) / packets)
        })
        .collect();
    measured.sort_by(|one, other| one.0.total_cmp(&other.0));
    let relayed = measured[REPEATS / 2].0;
    let mut ratios: Vec<f64> = measured.iter().map(|(relayed, bare)| relayed / bare).collect();
    ratios.sort_by(f64::total_cmp);
    let mut bares: Vec<f64> = measured.iter().map(|(_, bare)| *bare).collect();
    bares.sort_by(f64::total_cmp);
    println!("relay: {relayed:.0} ns CPU per packet, {:.0} packets per CPU second", 1e9 / relayed);
    println!("bare receive + send: {:.0} ns CPU per packet", bares[REPEATS / 2]);
    println!("ratio: {:.2} (goal: at most 3)", ratios[REPEATS / 2]);
}

fn description(socket: &UdpSocket) -> RemoteMedia {
    RemoteMedia {
        rtp: socket.local_addr().unwrap(),
        rtcp: None,
        codec: Codec::Pcma,
        payload_type: 8,
        dtmf: Some(101),
        comfort_noise: None,
        ptime_ms: 20,
        direction: Direction::SendRecv,
        learn: false,
    }
}

fn relay(peers: &[Peer], sequence: &mut u16, rounds: u16) {
    let mut bytes = [0; 172];
    for _ in 0..rounds {
        *sequence = sequence.wrapping_add(1);
        for (ssrc, peer) in (1..).zip(peers) {
            let timestamp = u32::from(*sequence) * 160;
            let header = Header { payload_type: 8, sequence: *sequence, timestamp, ssrc, marker: false };
            packet::write(&mut bytes, &header);
            peer.socket.send_to(&bytes, peer.engine).unwrap();
        }
        for peer in peers {
            peer.socket.recv(&mut bytes).unwrap();
        }
    }
}

/// CPU of receiving one packet on each of as many sockets and sending it on, nothing else, in nanoseconds.
fn bare(sockets: usize, rounds: u16) -> f64 {
    let bound = |_| UdpSocket::bind("127.0.0.1:0").unwrap();
    let middle: Vec<UdpSocket> = (0..sockets).map(bound).collect();
    let ends: Vec<UdpSocket> = (0..sockets).map(bound).collect();
    let addresses: Vec<_> = middle.iter().map(|socket| socket.local_addr().unwrap()).collect();
    let targets: Vec<_> = ends.iter().map(|socket| socket.local_addr().unwrap()).collect();
    let mut bytes = [0; 172];
    let mut spent = 0.0;
    for _ in 0..rounds {
        for (end, to) in ends.iter().zip(&addresses) {
            end.send_to(&bytes, to).unwrap();
        }
        let before = thread_nanos();
        for (socket, to) in middle.iter().zip(&targets) {
            let (length, _) = socket.recv_from(&mut bytes).unwrap();
            socket.send_to(&bytes[..length], to).unwrap();
        }
        spent += thread_nanos() - before;
        for end in &ends {
            end.recv(&mut bytes).unwrap();
        }
    }
    spent
}

fn thread_nanos() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// CPU time of the worker thread, from the kernel's own account.
fn worker_nanos() -> f64 {
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let path = task.unwrap().path();
        if fs::read_to_string(path.join("comm")).unwrap().trim() == "media-0" {
            let account = fs::read_to_string(path.join("schedstat")).unwrap();
            return account.split_whitespace().next().unwrap().parse().unwrap();
        }
    }
    0.0
}
