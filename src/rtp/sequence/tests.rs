//! Sequence numbers across loss, wrap and new sources.

use super::*;

const MS: u64 = 1_000_000;

fn header(ssrc: u32, sequence: u16, timestamp: u32) -> Header {
    Header { marker: false, payload_type: 8, sequence, timestamp, ssrc }
}

#[test]
fn loss_is_what_the_numbers_lack_across_the_wrap() {
    let mut reception = Reception::default();
    for (at, sequence) in [65_533_u16, 65_534, 0, 1, 3].into_iter().enumerate() {
        reception.on_packet(Mono(at as u64 * 20 * MS), &header(9, sequence, at as u32 * 160));
    }
    assert_eq!((reception.received(), reception.lost()), (5, 2));
    let block = reception.report().unwrap();
    assert_eq!((block.highest, block.lost, block.fraction_lost), (65_539, 2, 73));
    assert_eq!(reception.report().unwrap().fraction_lost, 0);
}

#[test]
fn reordering_is_no_loss_and_a_new_source_keeps_the_totals() {
    let mut reception = Reception::default();
    for sequence in [10, 12, 11, 13, 15] {
        reception.on_packet(Mono(0), &header(1, sequence, 0));
    }
    assert_eq!(reception.lost(), 1);
    reception.on_packet(Mono(0), &header(2, 40_000, 0));
    reception.on_packet(Mono(0), &header(2, 40_002, 0));
    assert_eq!((reception.received(), reception.lost(), reception.ssrc()), (7, 2, Some(2)));
    reception.on_packet(Mono(0), &header(2, 100, 0));
    assert_eq!(reception.lost(), 2);
}

#[test]
fn even_pacing_has_no_jitter_and_uneven_pacing_tends_to_its_mean() {
    let mut even = Reception::default();
    let mut uneven = Reception::default();
    for at in 0..2000_u32 {
        let due = u64::from(at) * 20 * MS;
        even.on_packet(Mono(due), &header(1, at as u16, at * 160));
        uneven.on_packet(Mono(due + u64::from(at % 2) * 10 * MS), &header(1, at as u16, at * 160));
    }
    assert_eq!(even.jitter_us(), 0);
    assert!((9000..=10_100).contains(&uneven.jitter_us()), "{}", uneven.jitter_us());
}

#[test]
fn a_change_of_source_goes_on_where_the_last_one_stopped() {
    let mut outgoing = Outgoing::new(1);
    let mut last: Option<Header> = None;
    let mut now = Mono(0);
    for round in 0..10_u32 {
        for at in 0..5_u32 {
            now = now + Duration::from_millis(20);
            let source = header(round % 2 + 50, (round * 7777 + at) as u16, round * 1_000_000 + at * 160);
            let sent = outgoing.relay(now, round % 2, &source, 160).unwrap();
            if let Some(last) = last {
                assert_eq!(sent.sequence, last.sequence.wrapping_add(1));
                assert_eq!(sent.timestamp, last.timestamp.wrapping_add(160));
                assert_eq!((sent.ssrc, sent.marker), (last.ssrc, at == 0));
            }
            last = Some(sent);
        }
    }
    assert_eq!((outgoing.packets(), outgoing.octets()), (50, 8000));
}

#[test]
fn gaps_and_order_within_a_source_are_kept_but_nothing_goes_back_before_its_beginning() {
    let mut outgoing = Outgoing::new(1);
    let mut relay = |sequence: u16| outgoing.relay(Mono(0), 0, &header(1, sequence, u32::from(sequence) * 160), 1);
    let first = relay(100).unwrap();
    assert_eq!(relay(103).unwrap().sequence, first.sequence.wrapping_add(3));
    assert_eq!(relay(101).unwrap().sequence, first.sequence.wrapping_add(1));
    assert_eq!(relay(99), None);
    assert_eq!(relay(104).unwrap().timestamp, first.timestamp.wrapping_add(640));
}

#[test]
fn swallowed_packets_leave_no_gap_and_inserted_ones_make_none() {
    let mut outgoing = Outgoing::new(1);
    let source = |sequence: u16| header(1, sequence, u32::from(sequence) * 160);
    let first = outgoing.relay(Mono(0), 0, &source(10), 160).unwrap();
    outgoing.skip(0, &source(11));
    outgoing.skip(0, &source(12));
    let second = outgoing.relay(Mono(0), 0, &source(13), 160).unwrap();
    assert_eq!(second.sequence, first.sequence.wrapping_add(1));
    assert_eq!(second.timestamp, first.timestamp.wrapping_add(480));
    let event = outgoing.event(Mono(0), outgoing.event_begins(Mono(0)), true, 4);
    assert_eq!(event.sequence, second.sequence.wrapping_add(1));
    let third = outgoing.relay(Mono(0), 0, &source(14), 160).unwrap();
    assert_eq!(third.sequence, event.sequence.wrapping_add(1));
    assert_eq!(outgoing.relay(Mono(0), 0, &source(12), 160), None);
}

#[test]
fn generated_frames_step_by_their_length_and_take_a_pause_into_account() {
    let mut outgoing = Outgoing::new(1);
    let first = outgoing.generate(Mono(0), 160, 160);
    let second = outgoing.generate(Mono(21 * MS), 160, 160);
    assert_eq!(second.timestamp, first.timestamp.wrapping_add(160));
    assert_eq!((first.marker, second.marker), (true, false));
    outgoing.pass(320);
    assert_eq!(outgoing.generate(Mono(90 * MS), 160, 160).timestamp, second.timestamp.wrapping_add(480));
    let later = outgoing.generate(Mono(1090 * MS), 160, 160);
    assert_eq!((later.timestamp, later.marker), (second.timestamp.wrapping_add(480 + 8000), true));
}

#[test]
fn a_restarted_source_is_anchored_anew() {
    let mut outgoing = Outgoing::new(1);
    let first = outgoing.relay(Mono(0), 0, &header(1, 100, 1000), 160).unwrap();
    let jumped = outgoing.relay(Mono(20 * MS), 0, &header(1, 50_000, 1160), 160).unwrap();
    assert_eq!(jumped.sequence, first.sequence.wrapping_add(1));
    let clock = outgoing.relay(Mono(40 * MS), 0, &header(1, 50_001, 900_000_000), 160).unwrap();
    assert_eq!(clock.timestamp, first.timestamp.wrapping_add(320));
}
