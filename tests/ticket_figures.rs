//! The call record and the figures: two more folds over the same events.
#![expect(clippy::unwrap_used, reason = "a test panics on what is not there")]

mod ticket_support;

use std::sync::Arc;

use switch12345::base::id::{JoinId, LegId};
use switch12345::event::call::{CallEvent, Happening, LegRole};
use switch12345::event::cdr::{CallRecord, CallRecordFold, SEGMENTS_MAX};
use switch12345::event::reason::{EndReason, EndedBy};
use switch12345::event::stats::{KEYS_MAX, LIVE_MAX, Stats};
use ticket_support::{Script, answered, leg_started, party, started, whole_call};

fn record(events: &[CallEvent]) -> CallRecord {
    let mut fold = CallRecordFold::default();
    for event in events {
        fold.apply(event);
        fold = serde_json::from_str(&serde_json::to_string(&fold).unwrap()).unwrap();
    }
    fold.record().unwrap().clone()
}

fn ended(reason: EndReason) -> Happening {
    Happening::Ended { by: EndedBy::Caller, reason, sip_code: None }
}

#[test]
fn a_record_has_a_segment_per_leg_and_its_times_add_up() {
    let record = record(&whole_call(1));
    let parts = record.wait_ms + record.talk_ms + record.hold_ms + record.requeue_ms;
    assert_eq!((parts, record.duration_ms), (83_200, 83_200));
    assert_eq!((record.queued, record.offers, record.offers_lost, record.transfers), (1, 1, 0, 1));
    assert_eq!((record.cause.as_deref(), record.q850), (Some("normal"), Some(16)));
    assert_eq!(&*record.config_hash, "123456789abcdef0");
    let segments: Vec<_> = record
        .segments
        .iter()
        .map(|leg| (leg.leg.0, leg.role, leg.ring_ms, leg.talk_ms, leg.hold_ms, leg.cause.as_deref()))
        .collect();
    assert_eq!(
        segments,
        [
            (0, LegRole::Caller, 83_200, 0, 0, Some("normal")),
            (1, LegRole::Agent, 3_900, 67_700, 7_500, Some("normal")),
            (2, LegRole::Department, 27_500, 0, 0, Some("normal")),
        ]
    );
}

#[test]
fn segments_have_a_bound() {
    let mut script = Script::new(1);
    let mut events = vec![script.started()];
    let legs = u16::try_from(SEGMENTS_MAX).unwrap() + 2;
    events.extend((0..legs).map(|leg| script.after(1, leg_started(leg, LegRole::Consult, party(None, None, None)))));
    let mut fold = CallRecordFold::default();
    events.iter().for_each(|event| fold.apply(event));
    let record = fold.record().unwrap();
    assert_eq!((record.segments.len(), record.segments_left_out), (SEGMENTS_MAX, 2));
}

#[test]
fn figures_follow_their_formulas() {
    let mut stats = Stats::default();
    // 10 s, 15 s, 15.001 s, never, refused.
    for (nth, wait) in [(1, Some(10_000)), (2, Some(15_000)), (3, Some(15_001)), (4, None), (5, Some(0))] {
        let mut script = Script::new(nth);
        stats.apply(&script.started());
        let join = JoinId { call: script.call, nth: 0 };
        let (skills, queue) = (Vec::new(), "main".into());
        stats.apply(
            &script.after(0, Happening::Queued { join, queue, skills, priority: 0, position: 0, rejoined: false }),
        );
        assert_eq!(stats.total().waiting, 1);
        match (nth, wait) {
            (5, _) => stats.apply(&script.after(1, ended(EndReason::Overload))),
            (_, Some(wait)) => {
                stats.apply(&script.after(wait, answered(1, "1001", "1001", wait)));
                stats.apply(&script.after(1, answered(2, "1002", "1001", wait + 1)));
                assert_eq!((stats.total().waiting, stats.total().talking), (0, 1));
                stats.apply(&script.after(1, ended(EndReason::Normal)));
            }
            _ => {
                stats.apply(&script.after(60_000, Happening::Abandoned { wait_ms: 60_000 }));
                stats.apply(&script.after(0, ended(EndReason::Abandoned)));
            }
        }
        stats.apply(&script.after(1, Happening::Closed));
    }
    let total = stats.total();
    assert_eq!((total.offered, total.answered, total.answered_15s, total.abandoned, total.failed), (5, 3, 2, 1, 1));
    assert_eq!((total.waiting, total.talking), (0, 0));
    assert_eq!(total.service_level(), Some(0.5));
    assert_eq!(total.answer_rate(), Some(0.6));
    assert_eq!(total.mean_wait_ms(), Some(40_001.0 / 3.0));
    let hotlines: Vec<_> = stats.hotlines().map(|(key, counters)| (&*key.hotline, counters)).collect();
    assert_eq!(hotlines, [("12369", total)]);
    assert_eq!(
        stats.queues().map(|(_, queue, counters)| (queue.as_str(), counters)).collect::<Vec<_>>(),
        [("main", total)]
    );
}

#[test]
fn test_calls_are_counted_apart() {
    let mut stats = Stats::default();
    let mut script = Script::new(1);
    let mut facts = started();
    facts.test_call = true;
    stats.apply(&script.after(0, Happening::Started(Box::new(facts))));
    stats.apply(&script.after(9, answered(1, "1001", "1001", 9)));
    stats.apply(&script.after(9, ended(EndReason::Normal)));
    let total = stats.total();
    assert_eq!((total.test_calls, total.offered, total.answered, total.talking), (1, 0, 0, 0));
    assert_eq!(total.service_level(), None);
}

#[test]
fn live_calls_and_keys_have_bounds() {
    let mut stats = Stats::default();
    for nth in 0..LIVE_MAX as u64 + 2 {
        let mut facts = started();
        let mut script = Script::new(nth);
        if let Some(hotline) = &mut facts.hotline {
            hotline.number = Arc::from((nth % (KEYS_MAX as u64 + 5)).to_string());
        }
        stats.apply(&script.after(0, Happening::Started(Box::new(facts))));
        stats.apply(&script.after(1, Happening::LegRinging { leg: LegId(0) }));
    }
    assert_eq!((stats.total().offered, stats.unfollowed()), (LIVE_MAX as u64, 2));
    assert_eq!(stats.hotlines().count(), KEYS_MAX);
}
