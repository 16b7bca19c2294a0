//! The media plane over real sockets on loopback: relay, latching, mixing, playing, digits.
//!
//! Nothing here waits for time to pass: every receive has a limit that may fail the test, never one that must elapse.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, TrySendError, sync_channel};
use std::time::Duration;

use switch12345::base::id::{CallId, LegId, TenantName, Ulid};
use switch12345::engine::media::library::ClipLibrary;
use switch12345::engine::media::{MediaConfig, MediaPlane};
use switch12345::rtp::command::{
    Codec, DigitPolicy, Direction, LegKind, LocalMedia, MediaClass, MediaCommand, MediaLeg, MediaReport, Play,
    PlayToken, RefusedWhy, RemoteMedia, Source,
};
use switch12345::rtp::g711::{alaw_to_ulaw, ulaw_to_alaw};
use switch12345::rtp::packet::{self, Header};
use switch12345::rtp::rtcp::{self, Item};
use switch12345::rtp::tone::level_of;

const LIMIT: Duration = Duration::from_secs(3);

struct Rig {
    plane: MediaPlane,
    reports: Receiver<(CallId, MediaReport)>,
    kept: Vec<(CallId, MediaReport)>,
}

impl Rig {
    fn new(pairs: u16, workers: usize) -> Self {
        let ports = free_block(pairs * 2);
        let mut clips = ClipLibrary::default();
        clips.put("", "greeting", &[0x2a; 800]);
        let config = MediaConfig {
            address: "127.0.0.1".parse().unwrap(),
            advertised: "127.0.0.1".parse().unwrap(),
            ports,
            reserved_for_emergency: 4,
            workers,
            realtime: false,
        };
        let (sender, reports) = sync_channel(4096);
        let plane = MediaPlane::start(&config, clips, move |call, report| {
            sender.try_send((call, report)).map_err(|fault| match fault {
                TrySendError::Full((_, report)) | TrySendError::Disconnected((_, report)) => report,
            })
        })
        .unwrap();
        Self { plane, reports, kept: Vec::new() }
    }

    fn tell(&self, call: CallId, command: MediaCommand) {
        self.plane.send(call, command).unwrap();
    }

    /// The first report that `wanted` picks; the others are kept for later questions.
    fn report<T>(&mut self, mut wanted: impl FnMut(CallId, &MediaReport) -> Option<T>) -> T {
        if let Some(at) = self.kept.iter().position(|(call, report)| wanted(*call, report).is_some()) {
            let (call, report) = self.kept.remove(at);
            return wanted(call, &report).unwrap();
        }
        loop {
            let (call, report) = self.reports.recv_timeout(LIMIT).expect("the report comes in time");
            if let Some(found) = wanted(call, &report) {
                return found;
            }
            self.kept.push((call, report));
        }
    }

    fn allocate(&mut self, call: CallId, leg: u16, class: MediaClass) -> Result<LocalMedia, RefusedWhy> {
        let leg = LegId(leg);
        self.tell(call, MediaCommand::Allocate { leg, kind: LegKind::Plain, class });
        self.report(|of, report| match report {
            MediaReport::Allocated { leg: about, local } if of == call && *about == leg => Some(Ok((**local).clone())),
            MediaReport::Refused { leg: about, why } if of == call && *about == leg => Some(Err(*why)),
            _ => None,
        })
    }

    /// Comes back when every command before has been taken: the answer to a repeated allocation.
    fn settle(&mut self, call: CallId, leg: u16) {
        self.allocate(call, leg, MediaClass::Ordinary).unwrap();
    }

    /// A leg with a phone at its other end.
    fn phone(&mut self, call: CallId, leg: u16, codec: Codec) -> Phone {
        let local = self.allocate(call, leg, MediaClass::Ordinary).unwrap();
        let phone = Phone::new(leg, local.rtp, codec);
        self.tell(call, MediaCommand::Remote { leg: LegId(leg), remote: Box::new(phone.description()) });
        phone
    }

    fn hear(&self, call: CallId, leg: u16, source: Source) {
        self.tell(call, MediaCommand::Hear { leg: LegId(leg), source });
    }

    fn bridge(&mut self, call: CallId, one: u16, other: u16) {
        self.hear(call, one, Source::Leg(LegId(other)));
        self.hear(call, other, Source::Leg(LegId(one)));
        self.settle(call, one);
    }

    fn play_done(&mut self) -> (PlayToken, bool) {
        self.report(|_, report| match report {
            MediaReport::PlayDone { token, complete, .. } => Some((*token, *complete)),
            _ => None,
        })
    }
}

struct Phone {
    socket: UdpSocket,
    engine: SocketAddr,
    codec: Codec,
    header: Header,
    phase: usize,
}

impl Phone {
    fn new(leg: u16, engine: SocketAddr, codec: Codec) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        let payload_type = if codec == Codec::Pcma { 8 } else { 0 };
        let ssrc = u32::from(leg) + 1;
        // Both numbers wrap within a test.
        let header = Header { marker: false, payload_type, sequence: 65_530, timestamp: u32::MAX - 400, ssrc };
        Self { socket, engine, codec, header, phase: 0 }
    }

    fn description(&self) -> RemoteMedia {
        RemoteMedia {
            rtp: self.socket.local_addr().unwrap(),
            rtcp: None,
            codec: self.codec,
            payload_type: self.header.payload_type,
            dtmf: Some(101),
            comfort_noise: None,
            ptime_ms: 20,
            direction: Direction::SendRecv,
            learn: false,
        }
    }

    fn send_as(&mut self, payload_type: u8, payload: &[u8]) {
        let mut packet = vec![0; 12];
        packet::write(&mut packet, &Header { payload_type, ..self.header });
        packet.extend_from_slice(payload);
        self.socket.send_to(&packet, self.engine).unwrap();
        self.header.sequence = self.header.sequence.wrapping_add(1);
    }

    fn send(&mut self, payload: &[u8]) {
        self.send_as(self.header.payload_type, payload);
        self.header.timestamp = self.header.timestamp.wrapping_add(160);
    }

    fn send_tone(&mut self, hertz: f64) {
        let samples: Vec<i16> = (self.phase..self.phase + 160)
            .map(|at| ((std::f64::consts::TAU * hertz * at as f64 / 8000.0).sin() * 6000.0) as i16)
            .collect();
        self.phase += 160;
        let mut codes = [0; 160];
        self.codec.encode(&samples, &mut codes);
        self.send(&codes);
    }

    /// One key press of 100 ms with its end sent three times.
    fn press(&mut self, event: u8) {
        for (end, duration) in [(false, 160_u16), (false, 320), (true, 800), (true, 800), (true, 800)] {
            let [high, low] = duration.to_be_bytes();
            self.send_as(101, &[event, u8::from(end) << 7, high, low]);
        }
        self.header.timestamp = self.header.timestamp.wrapping_add(1600);
    }

    fn receive(&self) -> (Header, Vec<u8>) {
        loop {
            let mut buffer = [0; 2048];
            let (length, from) = self.socket.recv_from(&mut buffer).expect("a packet comes in time");
            assert_eq!(from, self.engine);
            if packet::classify(&buffer[..length]) == packet::Kind::Rtp {
                let read = packet::parse(&buffer[..length]).unwrap();
                return (read.header, read.payload(&buffer[..length]).to_vec());
            }
        }
    }

    fn has_received_nothing(&self) {
        self.socket.set_nonblocking(true).unwrap();
        let received = self.socket.recv_from(&mut [0; 64]).map_err(|fault| fault.kind());
        assert_eq!(received, Err(std::io::ErrorKind::WouldBlock));
        self.socket.set_nonblocking(false).unwrap();
    }
}

/// A block of ports nobody sits on at this moment, not given to another test of this process.
fn free_block(ports: u16) -> RangeInclusive<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(22_000);
    loop {
        let first = NEXT.fetch_add(ports, Ordering::Relaxed);
        assert!(first < 32_000, "no free block of ports");
        let block = first..=first + ports - 1;
        let bound: Vec<_> = block.clone().map(|port| UdpSocket::bind(("127.0.0.1", port))).collect();
        if bound.iter().all(Result::is_ok) {
            return block;
        }
    }
}

fn call(number: u64) -> CallId {
    CallId(Ulid::compose("2026-11-21T00:00:00Z".parse().unwrap(), 1, &TenantName::new("chifeng"), number))
}

fn greeting(token: u32, clip: &str) -> Play {
    Play {
        token: PlayToken(token),
        tenant: "chifeng".into(),
        clips: vec![clip.into()],
        times: 1,
        pause_ms: 0,
        barge_in: false,
        then: Source::Silence,
    }
}

#[test]
fn packets_pass_both_ways_and_are_converted_between_the_laws() {
    let mut rig = Rig::new(50, 2);
    let mut citizen = rig.phone(call(1), 0, Codec::Pcma);
    let mut agent = rig.phone(call(1), 1, Codec::Pcmu);
    rig.bridge(call(1), 0, 1);
    for at in 0..5_u8 {
        citizen.send(&[0xd5 ^ at; 160]);
        let (header, payload) = agent.receive();
        assert_eq!((header.payload_type, payload), (0, vec![alaw_to_ulaw(0xd5 ^ at); 160]));
        agent.send(&[0xff ^ at; 80]);
        let (header, payload) = citizen.receive();
        assert_eq!((header.payload_type, payload), (8, vec![ulaw_to_alaw(0xff ^ at); 80]));
    }
    rig.tell(call(1), MediaCommand::Mute { leg: LegId(0), muted: true });
    let again = rig.allocate(call(1), 0, MediaClass::Ordinary).unwrap();
    assert_eq!(again.rtp, citizen.engine);
    citizen.send(&[0x2a; 160]);
    assert_eq!(agent.receive().1, [0xff; 160]);
}

#[test]
fn a_leg_bridged_anew_ten_times_keeps_one_unbroken_stream() {
    let mut rig = Rig::new(50, 1);
    let listener = rig.phone(call(1), 0, Codec::Pcma);
    let mut speakers: Vec<Phone> = (1..=2).map(|leg| rig.phone(call(1), leg, Codec::Pcma)).collect();
    let mut last: Option<Header> = None;
    for round in 0..10_u16 {
        let leg = round % 2 + 1;
        rig.hear(call(1), 0, Source::Leg(LegId(leg)));
        rig.settle(call(1), 0);
        for at in 0..5 {
            speakers[usize::from(leg) - 1].send(&[0xd5; 160]);
            let (header, _) = listener.receive();
            if let Some(last) = last {
                assert_eq!(header.ssrc, last.ssrc);
                assert_eq!(header.sequence, last.sequence.wrapping_add(1), "round {round} packet {at}");
                let ahead = header.timestamp.wrapping_sub(last.timestamp);
                assert!((1..80_000).contains(&ahead), "round {round} packet {at}: {ahead}");
            }
            last = Some(header);
        }
    }
}

#[test]
fn a_stranger_gets_and_injects_nothing_before_and_after_latching() {
    let mut rig = Rig::new(50, 1);
    let mut citizen = rig.phone(call(1), 0, Codec::Pcma);
    let mut agent = rig.phone(call(1), 1, Codec::Pcma);
    // With learning on, the worst case.
    let description = RemoteMedia { learn: true, ..citizen.description() };
    rig.tell(call(1), MediaCommand::Remote { leg: LegId(0), remote: Box::new(description) });
    rig.bridge(call(1), 0, 1);
    let socket = UdpSocket::bind("127.0.0.9:0").unwrap();
    let mut stranger = Phone { socket, engine: citizen.engine, codec: Codec::Pcma, header: citizen.header, phase: 0 };
    for round in 0..2 {
        for _ in 0..5 {
            stranger.send(&[0x11; 160]);
        }
        stranger.socket.send_to(&[0x80, 203, 0, 1, 0, 0, 0, 1], citizen.engine).unwrap();
        agent.send(&[0x22; 160]);
        assert_eq!(citizen.receive().1, [0x22; 160], "round {round}");
        citizen.send(&[0x33; 160]);
        // What the agent hears next is the citizen: nothing of the stranger came through before.
        assert_eq!(agent.receive().1, [0x33; 160], "round {round}");
        stranger.has_received_nothing();
    }
    let source = rig.report(|_, report| match report {
        MediaReport::Latched { leg: LegId(0), source } => Some(*source),
        _ => None,
    });
    assert_eq!(source, citizen.socket.local_addr().unwrap());
    assert!(rig.plane.status()[0].refused >= 5);
}

#[test]
fn what_is_no_rtp_does_nothing_but_count() {
    let mut rig = Rig::new(50, 1);
    let mut citizen = rig.phone(call(1), 0, Codec::Pcma);
    let agent = rig.phone(call(1), 1, Codec::Pcma);
    rig.bridge(call(1), 0, 1);
    let junk: [&[u8]; 8] = [
        &[],
        &[0x80],
        &[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42],
        &[22, 254, 255, 0, 0],
        &[0x80, 200, 0xff, 0xff, 1, 2],
        &[0xbf, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255],
        &[0x80, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        &[0x80; 1900],
    ];
    for datagram in junk {
        citizen.socket.send_to(datagram, citizen.engine).unwrap();
    }
    citizen.send(&[0x33; 160]);
    assert_eq!(agent.receive().1, [0x33; 160]);
    agent.has_received_nothing();
    assert_eq!(rig.plane.status()[0].refused, junk.len() as u64);
}

#[test]
fn three_parties_hear_the_other_two_and_never_themselves() {
    let mut rig = Rig::new(50, 2);
    let tones = [400.0, 700.0, 1100.0];
    let mut parties: Vec<Phone> = (0..3).map(|leg| rig.phone(call(1), leg, Codec::Pcma)).collect();
    for leg in 0..3 {
        rig.hear(call(1), leg, Source::Mix);
    }
    let mut heard = vec![Vec::new(); 3];
    // The engine's own frames pace the senders: one packet sent for one heard.
    for _ in 0..25 {
        for (party, hertz) in parties.iter_mut().zip(tones) {
            party.send_tone(hertz);
        }
        for (party, heard) in parties.iter().zip(&mut heard) {
            let (_, payload) = party.receive();
            let mut samples = [0; 160];
            party.codec.decode(&payload, &mut samples);
            heard.extend(samples);
        }
    }
    for (own, heard) in heard.iter().enumerate() {
        let tail = &heard[heard.len() - 1600..];
        for (other, hertz) in tones.iter().enumerate() {
            let level = level_of(tail, *hertz);
            if own == other {
                assert!(level < 300.0, "{own} hears itself: {level}");
            } else {
                assert!(level > 4000.0, "{own} hears {other}: {level}");
            }
        }
    }
}

#[test]
fn clips_are_played_reported_and_followed_by_what_was_asked() {
    let mut rig = Rig::new(50, 1);
    let citizen = rig.phone(call(1), 0, Codec::Pcmu);
    rig.hear(call(1), 0, Source::Play(Box::new(greeting(7, "greeting"))));
    let packets: Vec<(Header, Vec<u8>)> = (0..7).map(|_| citizen.receive()).collect();
    let loud = alaw_to_ulaw(0x2a);
    let silent = alaw_to_ulaw(0xd5);
    let firsts: Vec<u8> = packets.iter().map(|(_, payload)| payload[0]).collect();
    assert_eq!(firsts[..5], [loud; 5]);
    assert!(firsts[5..].iter().all(|code| *code == 0xff || *code == silent), "{firsts:?}");
    for pair in packets.windows(2) {
        assert_eq!(pair[1].0.sequence, pair[0].0.sequence.wrapping_add(1));
        assert!(pair[1].0.timestamp.wrapping_sub(pair[0].0.timestamp) >= 160);
    }
    assert_eq!(rig.play_done(), (PlayToken(7), true));
    rig.hear(call(1), 0, Source::Play(Box::new(greeting(8, "missing"))));
    rig.hear(call(1), 0, Source::RingBack);
    assert_eq!(rig.play_done(), (PlayToken(8), false));
}

#[test]
fn digits_are_reported_once_swallowed_when_asked_and_end_a_playing() {
    let mut rig = Rig::new(50, 1);
    let mut citizen = rig.phone(call(1), 0, Codec::Pcma);
    let mut agent = rig.phone(call(1), 1, Codec::Pcma);
    rig.bridge(call(1), 0, 1);
    let digit = |rig: &mut Rig| {
        rig.report(|_, report| match report {
            MediaReport::Digit { leg, digit, held_ms } => Some((leg.0, *digit, *held_ms)),
            _ => None,
        })
    };
    agent.send(&[0xd5; 160]);
    let (before, _) = citizen.receive();
    agent.press(5);
    assert_eq!(digit(&mut rig), (1, '5', 100));
    let events: Vec<(Header, Vec<u8>)> = (0..5).map(|_| citizen.receive()).collect();
    assert!(events.iter().all(|(header, payload)| header.payload_type == 101 && payload[0] == 5));
    rig.tell(call(1), MediaCommand::Digits { leg: LegId(1), digits: DigitPolicy::Swallow });
    rig.settle(call(1), 0);
    agent.press(10);
    assert_eq!(digit(&mut rig), (1, '*', 100));
    agent.send(&[0x44; 160]);
    let (after, payload) = citizen.receive();
    assert_eq!((after.payload_type, payload), (8, vec![0x44; 160]));
    assert_eq!(after.sequence, before.sequence.wrapping_add(6), "swallowed packets leave no gap");
    rig.tell(call(1), MediaCommand::SendDigits { leg: LegId(0), digits: "1".into() });
    let spoken: Vec<(Header, Vec<u8>)> = (0..7).map(|_| citizen.receive()).collect();
    assert!(spoken.iter().all(|(header, payload)| header.payload_type == 101 && payload[0] == 1));
    let play = Play { times: 100, barge_in: true, then: Source::Nothing, ..greeting(1, "greeting") };
    rig.hear(call(1), 0, Source::Play(Box::new(play)));
    citizen.receive();
    citizen.press(1);
    assert_eq!(rig.play_done(), (PlayToken(1), false));
}

#[test]
fn ports_are_even_kept_for_emergency_and_rest_after_use() {
    // Eight pairs, four of them kept.
    let mut rig = Rig::new(8, 1);
    let ordinary: Vec<_> = (0..5).map(|leg| rig.allocate(call(1), leg, MediaClass::Ordinary)).collect();
    for local in ordinary[..4].iter().flatten() {
        assert_eq!((local.rtp.port() % 2, local.rtcp.port()), (0, local.rtp.port() + 1));
    }
    assert_eq!(ordinary[4], Err(RefusedWhy::NoPorts));
    let kept: Vec<_> = (10..15).map(|leg| rig.allocate(call(2), leg, MediaClass::Emergency)).collect();
    assert_eq!((kept.iter().flatten().count(), kept[4].clone()), (4, Err(RefusedWhy::NoPorts)));
    rig.tell(call(1), MediaCommand::ReleaseCall);
    assert_eq!(rig.allocate(call(3), 0, MediaClass::Ordinary), Err(RefusedWhy::NoPorts));
    assert!(rig.allocate(call(3), 0, MediaClass::Emergency).is_ok());
    rig.tell(call(3), MediaCommand::Allocate { leg: LegId(9), kind: LegKind::Ice, class: MediaClass::Emergency });
    let why = rig.report(|_, report| match report {
        MediaReport::Refused { leg: LegId(9), why } => Some(*why),
        _ => None,
    });
    assert_eq!(why, RefusedWhy::UnsupportedKind);
    rig.report(|of, report| match report {
        MediaReport::Quality { leg: LegId(0), .. } if of == call(1) => Some(()),
        _ => None,
    });
    assert_eq!(rig.plane.status()[0].legs, 5);
}

#[test]
fn a_leg_moves_to_another_calls_worker_with_its_ports_and_numbers() {
    let mut rig = Rig::new(50, 4);
    // Sixteen pairs of calls meet every pair of workers sooner or later.
    for number in 0..16 {
        let (from, to) = (call(100 + number), call(200 + number));
        let mut citizen = rig.phone(from, 0, Codec::Pcma);
        let agent = rig.phone(to, 1, Codec::Pcma);
        rig.hear(from, 0, Source::Silence);
        let (before, _) = citizen.receive();
        rig.hear(to, 1, Source::Leg(LegId(5)));
        let moved = MediaLeg { call: to, leg: LegId(5) };
        rig.tell(from, MediaCommand::Move { leg: LegId(0), to: moved });
        let port = rig.report(|of, report| match report {
            MediaReport::Allocated { leg: LegId(5), local } if of == to => Some(local.rtp),
            _ => None,
        });
        assert_eq!(port, citizen.engine);
        citizen.send(&[0x55; 160]);
        assert_eq!(agent.receive().1, [0x55; 160]);
        rig.hear(to, 5, Source::Silence);
        assert_eq!(citizen.receive().0.ssrc, before.ssrc);
        rig.tell(to, MediaCommand::ReleaseCall);
        rig.tell(from, MediaCommand::ReleaseCall);
    }
}

#[test]
fn rtcp_bye_goes_both_ways() {
    let mut rig = Rig::new(50, 1);
    let mut citizen = rig.phone(call(1), 0, Codec::Pcma);
    rig.settle(call(1), 0);
    citizen.send(&[0xd5; 160]);
    rig.report(|_, report| matches!(report, MediaReport::Latched { .. }).then_some(()));
    let mut bye = Vec::new();
    rtcp::write(&mut bye, citizen.header.ssrc, None, None, "c", true);
    citizen.socket.send_to(&bye, citizen.engine).unwrap();
    rig.report(|_, report| matches!(report, MediaReport::RtcpBye { .. }).then_some(()));
    rig.tell(call(1), MediaCommand::ReleaseCall);
    let mut buffer = [0; 512];
    let (length, _) = citizen.socket.recv_from(&mut buffer).unwrap();
    let mut items = BTreeMap::new();
    let sound = rtcp::read(&buffer[..length], |item| {
        let name = match item {
            Item::Bye { .. } => "bye",
            Item::Block { .. } => "block",
            Item::Sender { .. } => "sender",
        };
        *items.entry(name).or_insert(0) += 1;
    });
    assert_eq!((sound, items), (true, BTreeMap::from([("block", 1), ("bye", 1)])));
}
