//! Offers and answers in every place RFC 6337 lists, and their failures.

use super::*;

const OURS: Bytes = Bytes::from_static(b"ours");
const THEIRS: Bytes = Bytes::from_static(b"theirs");
const NEWER: Bytes = Bytes::from_static(b"newer");

fn agreed(exchange: &Exchange) -> Option<(&[u8], &[u8])> {
    exchange.agreed().map(|agreed| (&agreed.local[..], &agreed.remote[..]))
}

fn established() -> Exchange {
    let mut exchange = Exchange::new();
    exchange.send_request(Slot::invite(1), Some(OURS)).unwrap();
    assert_eq!(exchange.on_response(Slot::invite(1), Answering::Success, Some(THEIRS)), Heard::Answer(THEIRS));
    exchange
}

#[test]
fn rfc3261_s13_2_1_offer_in_invite_answer_in_2xx() {
    let exchange = established();
    assert_eq!(agreed(&exchange), Some((&b"ours"[..], &b"theirs"[..])));
    assert!(exchange.may_invite());
}

#[test]
fn rfc3261_s13_2_1_offerless_invite_is_answered_in_ack() {
    let mut ours = Exchange::new();
    ours.send_request(Slot::invite(1), None).unwrap();
    assert_eq!(ours.on_response(Slot::invite(1), Answering::Success, Some(THEIRS)), Heard::Offer(THEIRS));
    assert_eq!(ours.send_ack(1, None), Err(NotNow::NotOwed));
    ours.send_ack(1, Some(OURS)).unwrap();
    assert_eq!(agreed(&ours), Some((&b"ours"[..], &b"theirs"[..])));

    let mut theirs = Exchange::new();
    assert_eq!(theirs.on_request(Slot::invite(1), None), Ok(Heard::OfferWanted));
    assert_eq!(theirs.send_response(Slot::invite(1), Answering::Success, None), Err(NotNow::NotOwed));
    theirs.send_response(Slot::invite(1), Answering::Success, Some(OURS)).unwrap();
    assert_eq!(theirs.on_ack(1, Some(THEIRS)), Heard::Answer(THEIRS));
    assert_eq!(agreed(&theirs), Some((&b"ours"[..], &b"theirs"[..])));
}

#[test]
fn an_ack_without_the_answer_owed_is_told() {
    let mut exchange = Exchange::new();
    exchange.on_request(Slot::invite(1), None).unwrap();
    exchange.send_response(Slot::invite(1), Answering::Success, Some(OURS)).unwrap();
    assert_eq!(exchange.on_ack(1, None), Heard::Missing);
    assert_eq!(exchange.agreed(), None);
}

#[test]
fn a_preview_of_183_stands_in_when_the_200_lacks_a_body() {
    let mut exchange = Exchange::new();
    exchange.send_request(Slot::invite(1), Some(OURS)).unwrap();
    let slot = Slot::invite(1);
    assert_eq!(exchange.on_response(slot, Answering::Provisional, Some(THEIRS)), Heard::Preview(THEIRS));
    assert_eq!(exchange.on_response(slot, Answering::Provisional, Some(THEIRS)), Heard::Nothing);
    assert_eq!(exchange.agreed(), None);
    assert_eq!(exchange.on_response(slot, Answering::Success, None), Heard::Answer(THEIRS));
}

#[test]
fn rfc3261_s13_2_2_4_2xx_without_any_answer_is_told() {
    let mut exchange = Exchange::new();
    exchange.send_request(Slot::invite(1), Some(OURS)).unwrap();
    assert_eq!(exchange.on_response(Slot::invite(1), Answering::Success, None), Heard::Missing);
}

#[test]
fn rfc3262_s5_offer_in_reliable_provisional_is_answered_in_prack() {
    let mut ours = Exchange::new();
    ours.send_request(Slot::invite(1), None).unwrap();
    let heard = ours.on_response(Slot::invite(1), Answering::ReliableProvisional, Some(THEIRS));
    assert_eq!(heard, Heard::Offer(THEIRS));
    ours.send_request(Slot::prack(2), Some(OURS)).unwrap();
    assert!(ours.agreed().is_some() && ours.may_offer() && !ours.may_invite());
    assert_eq!(ours.on_response(Slot::invite(1), Answering::Success, None), Heard::Nothing);
    assert!(ours.may_invite());

    let mut theirs = Exchange::new();
    theirs.on_request(Slot::invite(1), None).unwrap();
    theirs.send_response(Slot::invite(1), Answering::ReliableProvisional, Some(OURS)).unwrap();
    assert_eq!(theirs.on_request(Slot::prack(2), Some(THEIRS)), Ok(Heard::Answer(THEIRS)));
}

#[test]
fn rfc3262_s5_prack_may_offer_anew() {
    let mut exchange = Exchange::new();
    exchange.send_request(Slot::invite(1), Some(OURS)).unwrap();
    exchange.on_response(Slot::invite(1), Answering::ReliableProvisional, Some(THEIRS));
    exchange.send_request(Slot::prack(2), Some(NEWER)).unwrap();
    assert_eq!(exchange.on_response(Slot::prack(2), Answering::Success, Some(THEIRS)), Heard::Answer(THEIRS));
    assert_eq!(agreed(&exchange), Some((&b"newer"[..], &b"theirs"[..])));
}

#[test]
fn rfc3311_s5_update_before_and_after_the_invite_is_answered() {
    let mut exchange = established();
    assert_eq!(exchange.on_request(Slot::update(7), Some(NEWER)), Ok(Heard::Offer(NEWER)));
    exchange.send_response(Slot::update(7), Answering::Success, Some(OURS)).unwrap();
    assert_eq!(agreed(&exchange), Some((&b"ours"[..], &b"newer"[..])));
    assert_eq!(exchange.on_request(Slot::update(8), None), Ok(Heard::Nothing), "a refresh without a body");
}

#[test]
fn rfc3261_s14_2_glare_is_491_and_changes_nothing() {
    let mut exchange = established();
    exchange.send_request(Slot::invite(2), Some(NEWER)).unwrap();
    let before = exchange.clone();
    let refused = exchange.on_request(Slot::invite(9), Some(THEIRS)).unwrap_err();
    assert_eq!((refused, refused.status()), (Refusal::Glare, 491));
    assert_eq!(exchange.on_request(Slot::update(9), Some(THEIRS)), Err(Refusal::Glare));
    assert_eq!(exchange, before);
    exchange.send_response(Slot::invite(9), Answering::Failure, None).unwrap();
    exchange.send_response(Slot::invite(2), Answering::Failure, None).unwrap();
    assert_eq!(exchange, before, "a 491 to their number 2 is not about our number 2");
}

#[test]
fn rfc3261_s14_2_second_invite_before_the_first_is_answered_is_500() {
    let mut exchange = Exchange::new();
    exchange.on_request(Slot::invite(1), Some(THEIRS)).unwrap();
    assert_eq!(exchange.on_request(Slot::invite(2), Some(THEIRS)).unwrap_err().status(), 500);
    assert_eq!(exchange.on_request(Slot::update(3), Some(THEIRS)), Err(Refusal::TooSoon));
}

#[test]
fn rfc3261_s14_1_a_refused_reinvite_leaves_the_old_session() {
    let mut exchange = established();
    exchange.send_request(Slot::invite(2), Some(NEWER)).unwrap();
    assert_eq!(exchange.on_response(Slot::invite(2), Answering::Failure, None), Heard::Kept);
    assert_eq!(agreed(&exchange), Some((&b"ours"[..], &b"theirs"[..])));
    assert!(exchange.may_invite());

    exchange.on_request(Slot::invite(5), Some(NEWER)).unwrap();
    exchange.send_response(Slot::invite(5), Answering::Failure, None).unwrap();
    assert_eq!(agreed(&exchange), Some((&b"ours"[..], &b"theirs"[..])));
}

#[test]
fn rfc3261_s14_1_failure_after_an_early_answer_falls_back_too() {
    let mut exchange = established();
    exchange.send_request(Slot::invite(2), Some(NEWER)).unwrap();
    exchange.on_response(Slot::invite(2), Answering::ReliableProvisional, Some(NEWER));
    assert_eq!(agreed(&exchange), Some((&b"newer"[..], &b"newer"[..])));
    exchange.on_response(Slot::invite(2), Answering::Failure, None);
    assert_eq!(agreed(&exchange), Some((&b"ours"[..], &b"theirs"[..])));
}

#[test]
fn we_never_offer_while_one_is_open() {
    let mut exchange = established();
    exchange.send_request(Slot::update(2), Some(NEWER)).unwrap();
    assert_eq!(exchange.send_request(Slot::invite(3), Some(OURS)), Err(NotNow::Pending));
    assert_eq!(exchange.send_request(Slot::update(3), Some(OURS)), Err(NotNow::Pending));
    exchange.send_request(Slot::update(3), None).unwrap();
}

#[test]
fn an_answer_to_another_transaction_settles_nothing() {
    let mut exchange = established();
    exchange.send_request(Slot::invite(4), Some(NEWER)).unwrap();
    assert_eq!(exchange.on_response(Slot::invite(3), Answering::Success, Some(NEWER)), Heard::Nothing);
    assert_eq!(exchange.on_ack(1, Some(NEWER)), Heard::Nothing);
    assert!(matches!(exchange.owed(), Owed::OurOffer { .. }));
}

#[test]
fn a_2xx_that_repeats_the_settled_description_is_allowed() {
    let mut exchange = Exchange::new();
    exchange.on_request(Slot::invite(1), Some(THEIRS)).unwrap();
    exchange.send_response(Slot::invite(1), Answering::ReliableProvisional, Some(OURS)).unwrap();
    exchange.send_response(Slot::invite(1), Answering::Success, Some(OURS)).unwrap();
    assert!(exchange.may_invite());
}

#[test]
fn rfc3261_s14_1_waits_after_491() {
    for seed in 0..1000 {
        let owner = glare_wait(true, seed);
        assert!(
            (Duration::from_millis(2100)..=Duration::from_secs(4)).contains(&owner)
                && owner.subsec_millis().is_multiple_of(10)
        );
        assert!(glare_wait(false, seed) <= Duration::from_secs(2));
    }
}
