//! Whole sessions fed with packets and ticks.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::base::id::{TenantName, Ulid};
use crate::rtp::command::{Codec, DigitPolicy, Direction, Play, PlayToken, RemoteMedia, Source};
use crate::rtp::packet::{self, Header};
use crate::rtp::rtcp::{self, Item, ReportBlock, SenderInfo};

/// Everything a session did.
#[derive(Default)]
struct World {
    sent: Vec<(usize, Channel, SocketAddr, Vec<u8>)>,
    restricted: Vec<(usize, Option<SocketAddr>)>,
    opened: Vec<usize>,
    reports: Vec<MediaReport>,
    counts: Vec<Count>,
}

impl Outlet for World {
    fn send(&mut self, socket: SocketKey, channel: Channel, to: SocketAddr, packet: &[u8]) {
        self.sent.push((socket.0, channel, to, packet.to_vec()));
    }

    fn restrict(&mut self, socket: SocketKey, peer: Option<SocketAddr>) {
        self.restricted.push((socket.0, peer));
    }

    fn open_rtcp(&mut self, socket: SocketKey) {
        self.opened.push(socket.0);
    }

    fn report(&mut self, _: CallId, report: MediaReport) {
        self.reports.push(report);
    }

    fn count(&mut self, what: Count) {
        self.counts.push(what);
    }
}

impl World {
    fn take_reports(&mut self) -> Vec<MediaReport> {
        let mut reports = std::mem::take(&mut self.reports);
        reports.retain(|report| !matches!(report, MediaReport::Quality { .. } | MediaReport::Latched { .. }));
        reports
    }

    fn take_rtp(&mut self) -> Vec<(usize, Header, Vec<u8>)> {
        let sent = std::mem::take(&mut self.sent).into_iter();
        let rtp = sent.filter(|(_, _, _, bytes)| classify(bytes) == Kind::Rtp);
        rtp.map(|(socket, _, _, bytes)| {
            let read = packet::parse(&bytes).unwrap();
            (socket, read.header, read.payload(&bytes).to_vec())
        })
        .collect()
    }
}

struct Rig {
    session: Session,
    clips: ClipLibrary,
    world: World,
}

fn ms(at: u64) -> Mono {
    Mono(at * 1_000_000)
}

fn peer(leg: u16) -> SocketAddr {
    SocketAddr::new("192.0.2.1".parse().unwrap(), 4000 + leg * 2)
}

fn description(leg: u16) -> RemoteMedia {
    RemoteMedia {
        rtp: peer(leg),
        rtcp: Some(SocketAddr::new(peer(leg).ip(), peer(leg).port() + 1)),
        codec: Codec::Pcma,
        payload_type: 8,
        dtmf: Some(101),
        comfort_noise: Some(13),
        ptime_ms: 20,
        direction: Direction::SendRecv,
        learn: true,
    }
}

impl Rig {
    fn new(legs: u16) -> Self {
        let call = CallId(Ulid::compose("2026-11-21T00:00:00Z".parse().unwrap(), 1, &TenantName::new("p"), 1));
        let mut clips = ClipLibrary::default();
        clips.put("", "clip", &[0x2a; 320]);
        let mut rig = Self { session: Session::new(call), clips, world: World::default() };
        for leg in 0..legs {
            let port = 20_000 + leg * 2;
            let local = LocalMedia {
                rtp: SocketAddr::new("127.0.0.1".parse().unwrap(), port),
                rtcp: SocketAddr::new("127.0.0.1".parse().unwrap(), port + 1),
                ice: None,
                fingerprint: None,
                crypto: Vec::new(),
            };
            rig.session.add(LegId(leg), SocketKey(usize::from(leg)), local, u64::from(leg) + 1);
            rig.describe(0, leg, description(leg));
        }
        rig
    }

    fn tell(&mut self, at: u64, command: MediaCommand) {
        self.session.apply(ms(at), command, &mut self.world);
    }

    fn describe(&mut self, at: u64, leg: u16, remote: RemoteMedia) {
        self.tell(at, MediaCommand::Remote { leg: LegId(leg), remote: Box::new(remote) });
    }

    fn hear(&mut self, leg: u16, source: Source) {
        self.tell(0, MediaCommand::Hear { leg: LegId(leg), source });
    }

    fn datagram(&mut self, at: u64, leg: u16, channel: Channel, from: SocketAddr, bytes: &[u8]) {
        let arrival = Arrival { leg: LegId(leg), channel, from };
        let world = Surroundings { clips: &self.clips, ntp_at_start: 0 };
        let mut bytes = bytes.to_vec();
        self.session.on_datagram(ms(at), arrival, &mut bytes, world, &mut self.world);
    }

    fn packet(&mut self, at: u64, leg: u16, sequence: u16, payload_type: u8, payload: &[u8]) {
        let timestamp = u32::from(sequence) * 160;
        let mut bytes = vec![0; 12];
        packet::write(
            &mut bytes,
            &Header { marker: false, payload_type, sequence, timestamp, ssrc: u32::from(leg) + 7 },
        );
        bytes.extend_from_slice(payload);
        self.datagram(at, leg, Channel::Rtp, peer(leg), &bytes);
    }

    fn frames(&mut self, at: u64, due: u64) -> Grid {
        let grid = Grid::at(ms(at), ms(due));
        let world = Surroundings { clips: &self.clips, ntp_at_start: 0 };
        self.session.on_frames(ms(at), grid, world, &mut self.world);
        grid
    }

    fn upkeep(&mut self, at: u64) {
        let world = Surroundings { clips: &self.clips, ntp_at_start: 0 };
        self.session.on_upkeep(ms(at), world, &mut self.world);
    }
}

fn play(token: u32) -> Play {
    Play {
        token: PlayToken(token),
        tenant: "p".into(),
        clips: vec![Arc::from("clip")],
        times: 1,
        pause_ms: 0,
        barge_in: true,
        then: Source::Silence,
    }
}

#[test]
fn the_grid_catches_up_with_two_frames_and_skips_the_rest() {
    let grid = |now, due| Grid::at(ms(now), ms(due));
    assert_eq!(grid(100, 100), Grid { first_due: ms(100), frames: 1, skipped: 0 });
    assert_eq!(grid(119, 100).next_due(), ms(120));
    assert_eq!(grid(145, 100), Grid { first_due: ms(100), frames: 3, skipped: 0 });
    assert_eq!(grid(1000, 100), Grid { first_due: ms(960), frames: 3, skipped: 43 });
    assert_eq!(grid(1000, 100).next_due(), ms(1020));
    assert_eq!(grid(50, 100), Grid { first_due: ms(100), frames: 1, skipped: 0 });
}

#[test]
fn a_stall_leaves_timestamps_that_tell_the_truth() {
    let mut rig = Rig::new(1);
    rig.hear(0, Source::Silence);
    rig.frames(20, 20);
    rig.frames(160, 40);
    let sent = rig.world.take_rtp();
    let steps: Vec<u32> =
        sent.windows(2).map(|pair| (pair[1].1.timestamp.wrapping_sub(pair[0].1.timestamp)) / 160).collect();
    assert_eq!(steps, [5, 1, 1]);
    assert!(sent.windows(2).all(|pair| pair[1].1.sequence == pair[0].1.sequence.wrapping_add(1)));
}

#[test]
fn a_repeated_command_changes_nothing() {
    let mut rig = Rig::new(1);
    rig.hear(0, Source::Play(Box::new(play(1))));
    rig.frames(20, 20);
    rig.hear(0, Source::Play(Box::new(play(1))));
    rig.hear(0, Source::Play(Box::new(Play { times: 9, ..play(1) })));
    rig.describe(30, 0, description(0));
    rig.frames(40, 40);
    let done = MediaReport::PlayDone { leg: LegId(0), token: PlayToken(1), complete: true };
    assert_eq!(rig.world.take_reports(), [done]);
    rig.hear(0, Source::Play(Box::new(play(1))));
    rig.frames(60, 60);
    let silence = rig.world.take_rtp().pop().unwrap();
    assert_eq!((silence.2, rig.world.take_reports()), (vec![0xd5; 160], vec![]));
}

#[test]
fn packets_of_every_length_are_collected_from_frames() {
    for (ptime_ms, expected) in [(10, 12), (20, 6), (30, 4), (40, 3), (60, 2)] {
        let mut rig = Rig::new(1);
        rig.describe(0, 0, RemoteMedia { ptime_ms, ..description(0) });
        rig.hear(0, Source::RingBack);
        for at in 1..=6 {
            rig.frames(at * 20, at * 20);
        }
        let sent = rig.world.take_rtp();
        assert_eq!(sent.len(), expected);
        assert!(sent.iter().all(|(_, _, payload)| payload.len() == usize::from(ptime_ms) * 8));
        let step = u32::from(ptime_ms) * 8;
        assert!(sent.windows(2).all(|pair| pair[1].1.timestamp.wrapping_sub(pair[0].1.timestamp) == step));
    }
}

#[test]
fn nothing_is_sent_where_the_direction_forbids_and_playing_still_ends() {
    let mut rig = Rig::new(2);
    rig.describe(0, 0, RemoteMedia { direction: Direction::RecvOnly, ..description(0) });
    rig.hear(0, Source::Play(Box::new(play(1))));
    rig.frames(20, 20);
    rig.frames(40, 40);
    assert!(rig.world.take_rtp().is_empty());
    assert_eq!(rig.world.take_reports().len(), 1);
    rig.hear(1, Source::Leg(LegId(0)));
    rig.packet(50, 0, 1, 8, &[1; 160]);
    assert_eq!(rig.world.take_rtp().len(), 1);
    rig.describe(60, 0, RemoteMedia { direction: Direction::SendOnly, ..description(0) });
    rig.packet(70, 0, 2, 8, &[1; 160]);
    assert!(rig.world.take_rtp().is_empty());
}

#[test]
fn silence_is_told_each_five_seconds_and_its_end_once() {
    let mut rig = Rig::new(1);
    rig.packet(0, 0, 1, 8, &[1; 160]);
    for at in (500..16_000).step_by(500) {
        rig.upkeep(at);
    }
    rig.packet(16_000, 0, 2, 8, &[1; 160]);
    rig.packet(16_020, 0, 3, 8, &[1; 160]);
    let leg = LegId(0);
    let stalled = |seconds| MediaReport::Stalled { leg, silent: Duration::from_secs(seconds) };
    assert_eq!(rig.world.take_reports(), [stalled(5), stalled(10), stalled(15), MediaReport::Resumed { leg }]);
    rig.describe(16_030, 0, RemoteMedia { direction: Direction::SendOnly, ..description(0) });
    rig.upkeep(60_000);
    assert_eq!(rig.world.take_reports(), []);
}

#[test]
fn the_socket_is_connected_to_the_peer_and_opened_again_after_ten_silent_seconds() {
    let mut rig = Rig::new(1);
    rig.packet(0, 0, 1, 8, &[1; 160]);
    assert_eq!(rig.world.restricted, [(0, Some(peer(0)))]);
    rig.upkeep(10_000);
    assert_eq!(rig.world.restricted[1..], [(0, None)]);
    rig.packet(10_100, 0, 2, 8, &[1; 160]);
    rig.upkeep(10_500);
    assert_eq!(rig.world.restricted[2..], [(0, Some(peer(0)))]);
    let moved = RemoteMedia { rtp: "192.0.2.9:5000".parse().unwrap(), learn: false, ..description(0) };
    rig.describe(11_000, 0, moved);
    assert_eq!(rig.world.restricted[3..], [(0, Some("192.0.2.9:5000".parse().unwrap()))]);
}

#[test]
fn reports_go_to_the_described_port_and_give_round_trip_and_loss() {
    let mut rig = Rig::new(1);
    assert_eq!(rig.world.opened, [0]);
    rig.packet(0, 0, 1, 8, &[1; 160]);
    rig.packet(40, 0, 3, 8, &[1; 160]);
    rig.hear(0, Source::Silence);
    rig.frames(60, 60);
    let ours = rig.world.take_rtp()[0].1.ssrc;
    let mut theirs = Vec::new();
    let info = SenderInfo { ntp: 0x0001_0000_0000, ..SenderInfo::default() };
    // Our report of second 1 came back after 2 s at the peer and 0.25 s on the way.
    let block = ReportBlock { ssrc: ours, last_sr: 0x0001_0000, delay: 0x0002_0000, ..ReportBlock::default() };
    rtcp::write(&mut theirs, 7, Some(&info), Some(&block), "c", false);
    rig.datagram(3250, 0, Channel::Rtcp, "192.0.2.1:4001".parse().unwrap(), &theirs);
    rig.datagram(3250, 0, Channel::Rtcp, "192.0.2.66:4001".parse().unwrap(), &theirs);
    rig.upkeep(5250);
    let (_, channel, to, bytes) = rig.world.sent.pop().unwrap();
    assert_eq!((channel, to), (Channel::Rtcp, "192.0.2.1:4001".parse().unwrap()));
    let mut items = Vec::new();
    assert!(rtcp::read(&bytes, |item| items.push(item)));
    let Item::Sender { ssrc, info } = items[0] else { panic!("{items:?}") };
    assert_eq!((ssrc, info.packets, info.octets), (ours, 1, 160));
    let Item::Block { block, .. } = items[1] else { panic!("{items:?}") };
    assert_eq!((block.ssrc, block.lost, block.last_sr, block.delay), (7, 1, 0x0001_0000, 0x0002_0000));
    let MediaReport::Quality { quality, .. } = rig.world.reports.pop().unwrap() else { panic!() };
    assert_eq!((quality.received, quality.lost, quality.refused, quality.rtt_us), (2, 1, 1, Some(250_000)));
}

#[test]
fn a_learnt_peer_gets_reports_only_where_its_own_came_from() {
    let mut rig = Rig::new(1);
    let behind_nat: SocketAddr = "192.0.2.1:9999".parse().unwrap();
    for sequence in 0..3 {
        let mut bytes = vec![0; 172];
        packet::write(&mut bytes, &Header { payload_type: 8, sequence, ssrc: 7, ..Header::default() });
        rig.datagram(1, 0, Channel::Rtp, behind_nat, &bytes);
    }
    rig.upkeep(5000);
    assert!(rig.world.sent.is_empty());
    rig.datagram(5001, 0, Channel::Rtcp, "192.0.2.1:9998".parse().unwrap(), &[0x80, 201, 0, 1, 0, 0, 0, 7]);
    rig.upkeep(10_000);
    assert_eq!(rig.world.sent.pop().map(|(_, _, to, _)| to), Some("192.0.2.1:9998".parse().unwrap()));
}

#[test]
fn a_muted_mixer_party_is_silent_and_codes_are_kept_back() {
    let mut rig = Rig::new(3);
    for leg in 0..3 {
        rig.hear(leg, Source::Mix);
    }
    rig.tell(0, MediaCommand::Mute { leg: LegId(1), muted: true });
    for sequence in 0..4 {
        for leg in 0..2 {
            rig.packet(u64::from(sequence) * 20, leg, sequence, 8, &[0x2a; 160]);
        }
    }
    rig.frames(100, 100);
    let heard: Vec<u8> = rig.world.take_rtp().iter().map(|(_, _, payload)| payload[80]).collect();
    assert_eq!(heard, [0xd5, 0x2a, 0x2a]);
    rig.hear(1, Source::Leg(LegId(0)));
    rig.tell(0, MediaCommand::Digits { leg: LegId(0), digits: DigitPolicy::Codes });
    for (sequence, event) in [(10, 10_u8), (20, 1), (30, 2), (40, 3)] {
        rig.packet(200, 0, sequence, 101, &[event, 0x80, 3, 32]);
    }
    let passed: Vec<u8> = rig.world.take_rtp().iter().map(|(_, _, payload)| payload[0]).collect();
    assert_eq!(passed, [3]);
    assert_eq!(rig.world.take_reports().len(), 4);
}

#[test]
fn a_leg_that_leaves_says_goodbye_and_ends_its_playing() {
    let mut rig = Rig::new(1);
    rig.hear(0, Source::Play(Box::new(play(3))));
    let world = Surroundings { clips: &rig.clips, ntp_at_start: 0 };
    assert_eq!(rig.session.remove(ms(10), LegId(0), world, &mut rig.world), Some(SocketKey(0)));
    assert_eq!(rig.session.remove(ms(10), LegId(0), world, &mut rig.world), None);
    assert!(rig.session.is_empty());
    let mut bye = false;
    rtcp::read(&rig.world.sent[0].3, |item| bye |= matches!(item, Item::Bye { .. }));
    assert!(bye);
    let done = MediaReport::PlayDone { leg: LegId(0), token: PlayToken(3), complete: false };
    assert_eq!(rig.world.take_reports(), [done]);
}

#[test]
fn digits_without_an_agreed_type_or_beyond_the_queue_are_counted() {
    let mut rig = Rig::new(1);
    rig.tell(0, MediaCommand::SendDigits { leg: LegId(0), digits: "1".repeat(70).into() });
    assert_eq!(rig.world.counts, [Count::LostDigit; 6]);
    rig.describe(0, 0, RemoteMedia { dtmf: None, ..description(0) });
    rig.tell(0, MediaCommand::SendDigits { leg: LegId(0), digits: "12".into() });
    assert_eq!(rig.world.counts.len(), 8);
}

proptest::proptest! {
    #[test]
    fn no_datagram_panics(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200), channel in proptest::bool::ANY) {
        let mut rig = Rig::new(2);
        rig.hear(0, Source::Mix);
        rig.hear(1, Source::Leg(LegId(0)));
        let channel = if channel { Channel::Rtp } else { Channel::Rtcp };
        let rtp = [&[0x80, 8][..], &bytes].concat();
        rig.datagram(1, 0, channel, peer(0), &bytes);
        rig.datagram(1, 0, channel, peer(0), &rtp);
        rig.frames(20, 20);
    }
}
