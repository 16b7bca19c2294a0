//! The fold from events to tickets: golden bodies, types, durations, bounds.
#![expect(clippy::unwrap_used, reason = "a test panics on what is not there")]

mod ticket_support;

use std::sync::Arc;

use proptest::prelude::*;
use switch12345::base::id::LegId;
use switch12345::event::call::{CallEvent, Happening, LegRole};
use switch12345::event::reason::{EndReason, EndedBy};
use switch12345::event::ticket::{LIST_MAX, Published, Ticket, TicketFold, TicketType};
use ticket_support::{Script, answered, leg_ended, leg_started, party, whole_call};

fn fold(events: &[CallEvent]) -> (TicketFold, Vec<Published>) {
    let mut fold = TicketFold::default();
    let published = events.iter().filter_map(|event| fold.apply(event)).collect();
    (fold, published)
}

fn text(published: &Published, delivery_seq: u64) -> String {
    String::from_utf8(published.render().unwrap().body(delivery_seq)).unwrap()
}

fn pretty(published: &Published) -> String {
    let value: serde_json::Value = serde_json::from_str(&text(published, 1)).unwrap();
    serde_json::to_string_pretty(&value).unwrap()
}

#[test]
fn the_first_and_the_last_body_are_as_printed() {
    let (_, published) = fold(&whole_call(1));
    insta::assert_snapshot!("opened", pretty(&published[0]));
    insta::assert_snapshot!("amended", pretty(published.last().unwrap()));
}

#[test]
fn the_keys_of_the_envelope_stand_in_the_order_of_the_contract() {
    let (_, published) = fold(&whole_call(1));
    let body = text(&published[0], 42);
    let value: serde_json::Value = serde_json::from_str(&body).unwrap();
    let keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "schema",
        "type",
        "event_id",
        "ticket_id",
        "call_id",
        "seq",
        "delivery_seq",
        "occurred_at",
        "tenant",
        "change",
        "ticket",
    ];
    assert_eq!(keys, expected);
    assert_eq!(value["schema"], "switch12345.ticket/1");
    assert_eq!(value["delivery_seq"], 42);
    assert_eq!(value["occurred_at"], "2026-11-21T10:00:00.123+08:00");
}

#[test]
fn types_and_numbers_follow_the_contract() {
    let (_, published) = fold(&whole_call(1));
    let seqs: Vec<u64> = published.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, (1..=published.len() as u64).collect::<Vec<_>>(), "no gaps");
    let kinds: Vec<TicketType> = published.iter().map(|event| event.kind).collect();
    let closed = kinds.iter().position(|kind| *kind == TicketType::Closed).unwrap();
    assert_eq!(kinds[0], TicketType::Opened);
    assert!(kinds[1..closed].iter().all(|kind| *kind == TicketType::Updated));
    assert_eq!(&kinds[closed..], [TicketType::Closed, TicketType::Amended]);
    let changes: Vec<String> =
        published.iter().map(|event| serde_json::to_string(&event.change).unwrap().replace('"', "")).collect();
    assert_eq!(
        changes.join(" "),
        "call.started call.queued call.offered call.answered call.classified call.held transfer.started \
         transfer.result call.resumed conference.joined conference.left emergency.started emergency.result call.ended \
         survey recording.ready call.ended ticket_no"
    );
}

#[test]
fn the_parts_of_a_calls_time_add_up() {
    let (fold, _) = fold(&whole_call(1));
    let ticket = fold.document();
    assert_eq!(ticket.wait_ms, Some(8_000));
    assert_eq!(ticket.hold_ms, Some(7_500));
    assert_eq!(ticket.talk_ms, Some(10_000 + 5_000 + 20_000 + 1_000 + 200 + 1_500 + 30_000));
    assert_eq!(ticket.requeue_ms, Some(0));
    assert_eq!(ticket.duration_ms, Some(83_200));
    assert_eq!((ticket.within_15s, ticket.abandoned), (Some(true), false));
}

#[test]
fn time_without_anybody_after_the_first_answer_is_its_own_part() {
    let mut script = Script::new(1);
    let mut events = vec![script.started()];
    events.extend(script.all([
        (0, leg_started(0, LegRole::Caller, party(None, None, None))),
        (16_000, answered(1, "1001", "1001", 16_000)),
        (2_000, leg_ended(1)),
        (3_000, answered(2, "1002", "1001", 21_000)),
        (4_000, Happening::Held { leg: LegId(0) }),
        (500, Happening::Ended { by: EndedBy::Agent, reason: EndReason::Normal, sip_code: None }),
        (9_999, Happening::Closed),
    ]));
    let (fold, _) = fold(&events);
    let ticket = fold.document();
    let parts = [ticket.wait_ms, ticket.talk_ms, ticket.hold_ms, ticket.requeue_ms, ticket.duration_ms];
    assert_eq!(parts, [16_000, 6_000, 500, 3_000, 25_500].map(Some));
    assert_eq!(ticket.within_15s, Some(false));
    assert_eq!(ticket.agent_id.as_ref().map(|agent| agent.as_str()), Some("1002"));
    assert_eq!(ticket.first_agent_id.as_ref().map(|agent| agent.as_str()), Some("1001"), "never changed");
}

#[test]
fn a_complaint_is_due_for_dispatch_at_once() {
    let events = whole_call(1);
    let (_, published) = fold(&events);
    let due = |nth: usize| published[nth].document.dispatch_due_at.unwrap().to_string();
    assert_eq!(due(3), "2026-11-21T18:00:00.000+08:00");
    assert_eq!(due(4), "2026-11-21T10:00:18.123+08:00");
}

#[test]
fn an_abandoned_call_has_a_whole_ticket() {
    let mut script = Script::new(1);
    let mut events = vec![script.started()];
    events.extend(script.all([
        (12_000, Happening::Abandoned { wait_ms: 12_000 }),
        (0, Happening::Ended { by: EndedBy::Caller, reason: EndReason::Abandoned, sip_code: Some(487) }),
        (0, Happening::Closed),
    ]));
    let (fold, published) = fold(&events);
    let ticket = fold.document();
    assert_eq!(published.len(), 4);
    assert_eq!((ticket.abandoned, ticket.wait_ms, ticket.talk_ms), (true, Some(12_000), Some(0)));
    assert_eq!((ticket.cause.as_deref(), ticket.sip_code, ticket.q850), (Some("abandoned"), Some(487), Some(16)));
}

#[test]
fn an_event_seen_twice_changes_nothing_and_a_ticket_closes_once() {
    let events = whole_call(1);
    let twice: Vec<CallEvent> = events.iter().flat_map(|event| [event.clone(), event.clone()]).collect();
    assert_eq!(fold(&events), fold(&twice));
    let (mut fold, _) = fold(&events);
    let mut again = events.last().unwrap().clone();
    again.journal_seq += 1;
    again.what = Happening::Closed;
    assert_eq!(fold.apply(&again), None);
}

#[test]
fn every_list_has_a_bound_and_says_what_was_left_out() {
    let mut script = Script::new(1);
    let mut events = vec![script.started()];
    let prompt: Arc<str> = "music".into();
    let more = LIST_MAX + 3;
    events.extend(
        (0..more).map(|_| script.after(1, Happening::PromptPlayed { leg: LegId(0), prompt: Arc::clone(&prompt) })),
    );
    let ticket = fold(&events).0.document().clone();
    assert_eq!((ticket.prompts_played.len(), ticket.left_out), (LIST_MAX, 3));
}

#[test]
fn a_call_nobody_holds_any_more_is_ended_as_our_fault() {
    let events = &whole_call(1)[..9];
    let (mut fold, before) = fold(events);
    let at = events.last().unwrap().at.checked_add(jiff::Span::new().seconds(4)).unwrap();
    let facts = fold.give_up(at);
    let published: Vec<Published> = facts.iter().filter_map(|event| fold.apply(event)).collect();
    let kinds: Vec<(u64, TicketType)> = published.iter().map(|event| (event.seq, event.kind)).collect();
    let next = before.len() as u64 + 1;
    assert_eq!(kinds, [(next, TicketType::Updated), (next + 1, TicketType::Closed)]);
    let ticket = fold.document();
    assert_eq!((ticket.ended_by, ticket.cause.as_deref()), (Some(EndedBy::Engine), Some("internal")));
    assert!(ticket.legs.iter().all(|leg| leg.reason.as_deref() == Some("internal")));
    assert_eq!(ticket.duration_ms, Some(8_000 + 10_000 + 4_000));
    assert_eq!(fold.give_up(at), []);
}

proptest! {
    #[test]
    fn a_fold_written_down_and_read_back_goes_on_as_if_never_stopped(cuts in proptest::collection::vec(any::<bool>(), 64)) {
        let events = whole_call(9);
        let straight = fold(&events).1;
        let mut fold = TicketFold::default();
        let mut published = Vec::new();
        for (event, cut) in events.iter().zip(cuts) {
            published.extend(fold.apply(event));
            if cut {
                fold = serde_json::from_str(&serde_json::to_string(&fold).unwrap()).unwrap();
            }
        }
        let bytes = |all: &[Published]| all.iter().map(|one| text(one, 1)).collect::<Vec<_>>();
        prop_assert_eq!(bytes(&published), bytes(&straight));
    }
}

#[test]
fn a_document_reads_back_from_its_own_json() {
    let (fold, _) = fold(&whole_call(1));
    let json = serde_json::to_string(fold.document()).unwrap();
    assert_eq!(&serde_json::from_str::<Ticket>(&json).unwrap(), fold.document());
}
