//! Which source is believed, and when it is let go.

use super::*;

const PEER: &str = "127.0.0.1:4000";
const OTHER_PORT: &str = "127.0.0.1:4444";
const STRANGER: &str = "127.0.0.9:4000";

fn at(ms: u64) -> Mono {
    Mono(ms * 1_000_000)
}

fn latch(learn: bool) -> Latch {
    Latch::new(at(0), PEER.parse().unwrap(), learn)
}

fn packets(latch: &mut Latch, ms: u64, from: &str, sequences: impl IntoIterator<Item = u16>) -> Vec<Verdict> {
    let admit =
        |sequence| latch.admit(at(ms), from.parse().unwrap(), &Header { sequence, ssrc: 5, ..Header::default() });
    sequences.into_iter().map(admit).collect()
}

use Verdict::{Accepted, Latched, Refused};

#[test]
fn the_described_address_is_taken_at_its_first_packet_and_shuts_all_others_out() {
    let mut latch = latch(true);
    assert_eq!(latch.destination(), Some(PEER.parse().unwrap()));
    assert_eq!(packets(&mut latch, 0, PEER, [1, 2]), [Latched, Accepted]);
    assert_eq!(packets(&mut latch, 5000, OTHER_PORT, 0..9), [Refused; 9]);
    assert_eq!(latch.firm_peer(at(0)), Some(PEER.parse().unwrap()));
}

#[test]
fn without_learning_nobody_else_is_ever_heard() {
    let mut latch = latch(false);
    assert_eq!(packets(&mut latch, 9000, OTHER_PORT, 0..9), [Refused; 9]);
    assert_eq!(packets(&mut latch, 9000, STRANGER, 0..9), [Refused; 9]);
    assert_eq!(latch.firm_peer(at(9000)), Some(PEER.parse().unwrap()));
    assert!(!latch.reopen(at(9000)));
}

#[test]
fn a_learnt_source_needs_three_in_sequence_of_one_ssrc() {
    let mut latch = latch(true);
    assert_eq!(packets(&mut latch, 1, OTHER_PORT, [1, 2, 4, 5, 9]), [Refused; 5]);
    let other = Header { sequence: 10, ssrc: 6, ..Header::default() };
    assert_eq!(latch.admit(at(1), OTHER_PORT.parse().unwrap(), &other), Refused);
    assert_eq!(packets(&mut latch, 2, OTHER_PORT, [65_535, 0, 1, 2]), [Refused, Refused, Latched, Accepted]);
    assert_eq!(latch.destination(), Some(OTHER_PORT.parse().unwrap()));
    assert!(!latch.is_as_described());
}

#[test]
fn a_stranger_waits_and_loses_to_the_described_address_during_probation() {
    let mut latch = latch(true);
    assert_eq!(packets(&mut latch, 499, STRANGER, 0..9), [Refused; 9]);
    assert_eq!(packets(&mut latch, 500, STRANGER, 9..12), [Refused, Refused, Latched]);
    assert_eq!(latch.firm_peer(at(2499)), None);
    assert_eq!(packets(&mut latch, 2499, OTHER_PORT, 0..3), [Refused, Refused, Latched]);
    assert_eq!(packets(&mut latch, 2499, STRANGER, 12..20), [Refused; 8]);
    assert_eq!(packets(&mut latch, 2499, PEER, [7]), [Latched]);
    assert_eq!(latch.firm_peer(at(2499)), Some(PEER.parse().unwrap()));
}

#[test]
fn probation_ends_and_then_only_a_time_out_reopens() {
    let mut latch = latch(true);
    packets(&mut latch, 600, STRANGER, 0..3);
    assert_eq!(latch.firm_peer(at(2600)), Some(STRANGER.parse().unwrap()));
    assert_eq!(packets(&mut latch, 2700, PEER, 0..5), [Refused; 5]);
    assert!(latch.reopen(at(13_000)) && !latch.reopen(at(13_001)));
    assert_eq!(latch.firm_peer(at(13_001)), None);
    assert_eq!(latch.destination(), Some(STRANGER.parse().unwrap()));
    assert_eq!(packets(&mut latch, 13_002, PEER, [1]), [Latched]);
}

#[test]
fn a_silent_source_that_speaks_again_is_firm_again() {
    let mut latch = latch(true);
    packets(&mut latch, 0, PEER, [0]);
    latch.reopen(at(10_000));
    assert_eq!(packets(&mut latch, 10_001, PEER, [9]), [Accepted]);
    assert_eq!(latch.firm_peer(at(10_001)), Some(PEER.parse().unwrap()));
}

#[test]
fn candidates_are_bounded() {
    let mut latch = latch(true);
    for port in 5000..5100 {
        packets(&mut latch, 1, &format!("127.0.0.1:{port}"), [1]);
    }
    assert_eq!(latch.candidates.len(), CANDIDATES);
}

#[test]
fn nothing_is_sent_to_an_address_that_is_none() {
    let latch = Latch::new(at(0), "0.0.0.0:4000".parse().unwrap(), true);
    assert_eq!(latch.destination(), None);
}
