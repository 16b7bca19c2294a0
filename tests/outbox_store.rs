//! The durable store: what is answered is on the disk, in order, through kills, full disks and restarts.
#![expect(clippy::unwrap_used, reason = "a test panics on what is not there")]

mod ticket_support;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use switch12345::base::id::{CallId, LegId, TicketId};
use switch12345::engine::store::{
    Disposition, EVENTS_PER_CALL, EXTRA_ROOMS, Redrive, SCHEMA_VERSION, Settlement, Store, StoreFault, StoreNews,
    StoreSettings, Stored, TicketFilter,
};
use switch12345::event::call::{CallEvent, Happening};
use switch12345::event::reason::EndedBy;
use switch12345::event::ticket::{Progress, TicketFold};
use ticket_support::{Dir, HandClock, Script, start, started, whole_call};

fn settings(dir: &Path) -> StoreSettings {
    StoreSettings { dir: dir.to_owned(), endpoints: vec!["city".into()], calls_max: 64, max_bytes: None }
}

fn open(dir: &Path) -> Store {
    Store::open(settings(dir), HandClock::new().reading(), |_| {}).unwrap()
}

fn open_watched(settings: StoreSettings, clock: &HandClock) -> (Store, Receiver<StoreNews>) {
    let (tell, news) = channel();
    let tell = Mutex::new(tell);
    let store = Store::open(settings, clock.reading(), move |said| {
        let _ = tell.lock().unwrap().send(said);
    });
    (store.unwrap(), news)
}

/// Appends and waits until all is stored.
fn store_all(store: &Store, events: &[CallEvent]) {
    let room = store.reserve_emergency();
    let (tell, stored) = channel();
    for event in events {
        let tell: Sender<Stored> = tell.clone();
        room.append(event.clone(), Some(Box::new(move |said| tell.send(said).unwrap()))).unwrap();
    }
    drop(tell);
    let answers: Vec<u64> = stored.iter().map(|said| said.journal_seq).collect();
    assert_eq!(answers, events.iter().map(|event| event.journal_seq).collect::<Vec<_>>());
}

fn wait<T: Send + 'static>(ask: impl FnOnce(Box<dyn FnOnce(T) + Send>) -> bool) -> T {
    let (tell, answer) = channel();
    assert!(ask(Box::new(move |said| tell.send(said).unwrap_or(()))));
    answer.recv().unwrap()
}

fn due_now(store: &Store, now: Timestamp) -> Vec<switch12345::engine::store::Due> {
    store.due("city", now, 64, &|_| false, 0).unwrap().due
}

fn settle(store: &Store, due: &switch12345::engine::store::Due, disposition: Disposition, at: Timestamp) {
    let said = Settlement {
        endpoint: "city".into(),
        ticket: due.ticket,
        delivery_seq: due.delivery_seq,
        disposition,
        status: Some(200),
        answer: "ok".into(),
        ticket_no: None,
        at,
    };
    wait(|reply| store.settle(said, move || reply(())));
}

#[test]
fn what_is_answered_is_stored_in_order_and_read_back() {
    let dir = Dir::new();
    let store = open(dir.path());
    let events = whole_call(1);
    store_all(&store, &events);
    let (call, ticket) = (events[0].call, events[0].ticket);
    assert_eq!(store.journal(call).unwrap(), events);
    let row = store.ticket(ticket).unwrap().unwrap();
    assert_eq!((row.call_id, row.seq), (call, 18));
    assert_eq!(row.ticket.status, Progress::Closed);
    assert_eq!(row.receiver_no.as_deref(), Some("赤峰-2026-0001"));
    let published = store.events(ticket).unwrap();
    assert_eq!(published.iter().map(|event| event.seq).collect::<Vec<_>>(), (1..=18).collect::<Vec<_>>());
    assert!(published.iter().all(|event| event.deliveries.len() == 1 && event.deliveries[0].state == "pending"));
    let backlog = &store.backlog().unwrap()[0];
    assert_eq!((backlog.lanes, backlog.events, backlog.dead), (1, 18, 0));
}

#[test]
fn listing_filters_and_pages_newest_first() {
    let dir = Dir::new();
    let store = open(dir.path());
    for nth in 1..=5 {
        store_all(&store, &whole_call(nth)[..nth as usize]);
    }
    let all = store.tickets(&TicketFilter::default(), 2).unwrap();
    let next = TicketFilter { before: Some(all[1].ticket_id), ..TicketFilter::default() };
    let rest = store.tickets(&next, 10).unwrap();
    let seen: Vec<TicketId> = all.iter().chain(&rest).map(|row| row.ticket_id).collect();
    assert_eq!(seen.len(), 5);
    assert!(seen.is_sorted_by(|newer, older| newer > older));
    let closed = TicketFilter { closed: Some(true), ..TicketFilter::default() };
    assert_eq!(store.tickets(&closed, 10).unwrap(), []);
    let dialled = TicketFilter { dialled: Some("12369".into()), ..TicketFilter::default() };
    assert_eq!(store.tickets(&dialled, 10).unwrap().len(), 5);
}

#[test]
fn a_store_dropped_without_closing_holds_everything_it_answered() {
    let dir = Dir::new();
    let answered: Arc<Mutex<BTreeMap<CallId, u64>>> = Arc::default();
    for round in 0..4 {
        let store = open(dir.path());
        for nth in 0..40 {
            let room = store.try_reserve().unwrap();
            for event in whole_call(round * 100 + nth) {
                let answered = Arc::clone(&answered);
                let reply = move |said: Stored| {
                    answered.lock().unwrap().insert(said.call, said.journal_seq);
                };
                room.append(event, Some(Box::new(reply))).unwrap();
            }
        }
        drop(store);
    }
    let store = open(dir.path());
    for (call, last) in answered.lock().unwrap().iter() {
        let journal = store.journal(*call).unwrap();
        assert!(journal.len() as u64 >= *last);
        assert!((1..).zip(&journal).all(|(seq, event)| event.journal_seq == seq));
    }
}

#[test]
fn a_directory_serves_one_process_and_a_newer_file_is_refused() {
    let dir = Dir::new();
    let store = open(dir.path());
    let second = Store::open(settings(dir.path()), HandClock::new().reading(), |_| {});
    assert!(matches!(second.err(), Some(StoreFault::InUse { .. })));
    drop(store);
    let file = rusqlite::Connection::open(dir.path().join("switch12345.db")).unwrap();
    let versions: u32 = file.query_row("SELECT max(version) FROM migration", [], |row| row.get(0)).unwrap();
    assert_eq!(versions, SCHEMA_VERSION);
    file.pragma_update(None, "user_version", SCHEMA_VERSION + 1).unwrap();
    drop(file);
    let newer = Store::open(settings(dir.path()), HandClock::new().reading(), |_| {}).err().unwrap();
    assert!(newer.to_string().contains("written by a newer engine"), "{newer}");
}

#[test]
fn a_full_disk_answers_nothing_holds_the_order_and_recovers() {
    let dir = Dir::new();
    let clock = HandClock::new();
    let (store, news) = open_watched(StoreSettings { max_bytes: Some(400_000), ..settings(dir.path()) }, &clock);
    let (tell, stored) = channel();
    let mut sent = Vec::new();
    let rooms: Vec<_> = (0..40).map(|_| store.try_reserve().unwrap()).collect();
    for (nth, room) in (0..).zip(&rooms) {
        for event in whole_call(nth) {
            sent.push((event.call, event.journal_seq));
            let tell = tell.clone();
            room.append(event, Some(Box::new(move |said| tell.send(said).unwrap()))).unwrap();
        }
    }
    drop(tell);
    let failed = |said: &StoreNews| matches!(said, StoreNews::WriteFailed { full: true, failures: 2 });
    assert!(news.iter().any(|said| failed(&said)));
    let before: Vec<Stored> = stored.try_iter().collect();
    assert!(before.len() < sent.len(), "the file cannot hold all");
    store.set_max_bytes(None);
    assert!(news.iter().any(|said| matches!(said, StoreNews::WriteRecovered { .. })));
    let all: Vec<_> = before.into_iter().chain(stored.iter()).map(|said| (said.call, said.journal_seq)).collect();
    assert_eq!(all, sent);
    for nth in 0..40 {
        let events = whole_call(nth);
        assert_eq!(store.journal(events[0].call).unwrap(), events);
    }
}

#[test]
fn rooms_and_the_queue_are_bounded_and_an_emergency_always_has_room() {
    let dir = Dir::new();
    let clock = HandClock::new();
    let (store, news) =
        open_watched(StoreSettings { calls_max: 2, max_bytes: Some(1), ..settings(dir.path()) }, &clock);
    let first = store.try_reserve().unwrap();
    let second = store.try_reserve().unwrap();
    assert!(store.try_reserve().is_none());
    let emergency = store.reserve_emergency();
    drop(second);
    assert!(store.try_reserve().is_none(), "the emergency call fills the place");
    // The writer stands still from here on: this event alone needs more pages than there may be.
    let mut large = started();
    large.dialled_raw = "1".repeat(100_000).into();
    first.append(Script::new(0).after(0, Happening::Started(Box::new(large))), None).unwrap();
    assert!(news.iter().any(|said| matches!(said, StoreNews::WriteFailed { full: true, .. })));
    let mut script = Script::new(1);
    let capacity = EVENTS_PER_CALL * (2 + EXTRA_ROOMS);
    let refused = (0..capacity).find_map(|taken| {
        let event = script.after(1, Happening::LegRinging { leg: LegId(0) });
        emergency.append(event, None).err().map(|fault| (taken, fault.0.journal_seq))
    });
    assert_eq!(refused, Some((capacity / 2, capacity as u64 / 2 + 1)), "a call alone may take half the queue");
    first.append(Script::new(2).started(), None).unwrap();
    assert_eq!(store.waiting(), capacity / 2 + 1);
}

#[test]
fn calls_left_open_by_a_dead_process_are_ended_once() {
    let dir = Dir::new();
    let clock = HandClock::new();
    let (store, _news) = open_watched(settings(dir.path()), &clock);
    clock.advance(Duration::from_secs(20));
    store_all(&store, &whole_call(1)[..8]);
    store_all(&store, &whole_call(2));
    let live = whole_call(1)[0].ticket;
    drop(store);
    clock.advance(Duration::from_secs(3600));
    let (store, _news) = open_watched(settings(dir.path()), &clock);
    assert_eq!(store.orphans().unwrap(), [(whole_call(1)[0].call, live)]);
    assert_eq!(wait(|reply| store.close_orphans(reply)), 1);
    let ticket = store.ticket(live).unwrap().unwrap().ticket;
    assert_eq!((ticket.ended_by, ticket.cause.as_deref()), (Some(EndedBy::Engine), Some("internal")));
    assert_eq!((ticket.status, ticket.duration_ms), (Progress::Closed, Some(20_000 - 1)));
    assert_eq!(store.orphans().unwrap(), []);
    assert_eq!(wait(|reply| store.close_orphans(reply)), 0);
}

#[test]
fn a_fact_after_the_end_amends_a_closed_ticket_only() {
    let dir = Dir::new();
    let store = open(dir.path());
    store_all(&store, &whole_call(1));
    store_all(&store, &whole_call(2)[..5]);
    let fact = || Happening::TicketNo { ticket_no: "N-2".into() };
    let at = start().wall;
    assert!(wait(|reply| store.amend(whole_call(1)[0].ticket, at, fact(), reply)));
    assert!(!wait(|reply| store.amend(whole_call(2)[0].ticket, at, fact(), reply)), "the call speaks for itself");
    assert!(!wait(|reply| store.amend(whole_call(3)[0].ticket, at, fact(), reply)), "no such ticket");
    let events = store.events(whole_call(1)[0].ticket).unwrap();
    let body: serde_json::Value = serde_json::from_slice(&events.last().unwrap().body.body(1)).unwrap();
    assert_eq!((&body["type"], &body["change"]), (&"ticket.amended".into(), &"ticket_no".into()));
    assert_eq!(body["ticket"]["ticket_no"], "N-2");
}

#[test]
fn only_the_head_of_a_lane_is_due_and_dead_letters_do_not_block() {
    let dir = Dir::new();
    let store = open(dir.path());
    store_all(&store, &whole_call(1));
    let now = start().wall.checked_add(jiff::Span::new().hours(1)).unwrap();
    let first = due_now(&store, now);
    assert_eq!(first.iter().map(|due| due.delivery_seq).collect::<Vec<_>>(), [1]);
    let later = now.checked_add(jiff::Span::new().seconds(5)).unwrap();
    settle(&store, &first[0], Disposition::Retry { at: later }, now);
    assert_eq!(due_now(&store, now), []);
    let again = due_now(&store, later);
    assert_eq!((again[0].tries, &again[0].body), (1, &first[0].body));
    settle(&store, &again[0], Disposition::Dead, later);
    let next = due_now(&store, later);
    assert_eq!((next[0].delivery_seq, next[0].tries), (2, 0));
    assert_eq!(store.dead(10).unwrap().len(), 1);
    settle(&store, &next[0], Disposition::Done, later);
    assert_eq!(wait(|reply| store.redrive(Redrive::Endpoint("city".into()), later, reply)), 1);
    let redriven = due_now(&store, later);
    assert_eq!((redriven[0].event_id, &redriven[0].body), (first[0].event_id, &first[0].body));
    settle(&store, &redriven[0], Disposition::Done, later);
    assert_eq!(due_now(&store, later)[0].delivery_seq, 3);
    assert_eq!(store.dead(10).unwrap(), []);
}

#[test]
fn a_parked_endpoint_has_nothing_due_until_it_is_re_enabled() {
    let dir = Dir::new();
    let clock = HandClock::new();
    let (store, news) = open_watched(settings(dir.path()), &clock);
    store_all(&store, &whole_call(1));
    let now = start().wall.checked_add(jiff::Span::new().hours(1)).unwrap();
    let head = due_now(&store, now).remove(0);
    settle(&store, &head, Disposition::Park, now);
    assert!(news.iter().any(|said| said == StoreNews::Parked { endpoint: "city".into() }));
    assert_eq!(due_now(&store, now), []);
    assert_eq!(store.backlog().unwrap()[0].parked_because.as_deref(), Some("ok"));
    drop(store);
    let store = open(dir.path());
    assert_eq!(due_now(&store, now), [], "parked is parked across a restart");
    wait(|reply| store.re_enable("city", move || reply(())));
    assert_eq!(due_now(&store, now)[0].body, head.body);
}

#[test]
fn a_new_endpoint_gets_what_comes_from_then_on_with_numbers_of_its_own() {
    let dir = Dir::new();
    let store = open(dir.path());
    let events = whole_call(1);
    store_all(&store, &events[..10]);
    store.close();
    drop(store);
    let both = StoreSettings { endpoints: vec!["city".into(), "county".into()], ..settings(dir.path()) };
    let store = Store::open(both, HandClock::new().reading(), |_| {}).unwrap();
    store_all(&store, &events[10..]);
    let now = start().wall.checked_add(jiff::Span::new().hours(1)).unwrap();
    let county = store.due("county", now, 64, &|_| false, 0).unwrap().due.remove(0);
    let body: serde_json::Value = serde_json::from_slice(&county.body).unwrap();
    assert_eq!((&body["delivery_seq"], &body["seq"]), (&1.into(), &7.into()));
}

#[test]
fn lanes_are_picked_by_index_and_without_sorting() {
    let dir = Dir::new();
    drop(open(dir.path()));
    let file = rusqlite::Connection::open(dir.path().join("switch12345.db")).unwrap();
    let mut plan = file.prepare(&format!("EXPLAIN QUERY PLAN {}", switch12345::engine::store::DUE_LANES)).unwrap();
    let steps: Vec<String> = plan.query_map((1, 65), |row| row.get(3)).unwrap().collect::<Result<_, _>>().unwrap();
    assert!(steps.iter().any(|step| step.contains("lane_due")), "{steps:?}");
    assert!(!steps.iter().any(|step| step.contains("TEMP B-TREE")), "{steps:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn a_replay_of_the_journal_rebuilds_the_same_tickets_byte_for_byte(order in proptest::collection::vec(0_usize..6, 400), restarts in proptest::collection::vec(0_usize..400, 3)) {
        let dir = Dir::new();
        let mut store = open(dir.path());
        let mut calls: Vec<_> = (0..6).map(|nth| whole_call(nth).into_iter()).collect();
        for (turn, nth) in order.iter().enumerate() {
            if restarts.contains(&turn) {
                store.close();
                drop(store);
                store = open(dir.path());
            }
            if let Some(event) = calls[*nth].next() {
                store.reserve_emergency().append(event, None).unwrap();
            }
        }
        store.close();
        for row in store.tickets(&TicketFilter::default(), 100).unwrap() {
            let mut fold = TicketFold::default();
            let published: Vec<_> = store.journal(row.call_id).unwrap().iter().filter_map(|event| fold.apply(event)).collect();
            prop_assert_eq!(serde_json::to_string(fold.document()).unwrap(), serde_json::to_string(&row.ticket).unwrap());
            let stored = store.events(row.ticket_id).unwrap();
            prop_assert_eq!(published.len(), stored.len());
            for (rebuilt, stored) in published.iter().zip(stored) {
                prop_assert_eq!(rebuilt.event_id, stored.event_id);
                prop_assert_eq!(rebuilt.render().unwrap(), stored.body);
            }
        }
    }
}

const CHILD_DIR: &str = "SWITCH12345_TEST_STORE";

#[test]
#[ignore = "the process that a_killed_process_loses_nothing_it_answered kills"]
fn child_that_writes_until_killed() {
    let Ok(dir) = std::env::var(CHILD_DIR) else { return };
    let store = open(Path::new(&dir));
    let room = store.reserve_emergency();
    for nth in 0.. {
        let (tell, stored) = channel();
        for event in whole_call(nth) {
            let tell = tell.clone();
            let reply = move |said: Stored| tell.send(said).unwrap_or(());
            room.append(event, Some(Box::new(reply))).unwrap();
        }
        drop(tell);
        for said in stored {
            println!("stored {nth} {}", said.journal_seq);
        }
    }
}

#[test]
fn a_killed_process_loses_nothing_it_answered() {
    let dir = Dir::new();
    for round in [40_usize, 173, 412] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture", "child_that_writes_until_killed"])
            .env(CHILD_DIR, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let answered: Vec<(u64, u64)> = lines
            .map_while(Result::ok)
            .filter_map(|line| {
                let mut words = line.split("stored ").nth(1)?.split(' ');
                Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
            })
            .take(round)
            .collect();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(answered.len(), round);
        let store = open(dir.path());
        for (nth, journal_seq) in answered {
            let events = whole_call(nth);
            let journal = store.journal(events[0].call).unwrap();
            assert!(journal.len() as u64 >= journal_seq, "call {nth}");
            assert!(journal.iter().eq(events.iter().take(journal.len())), "call {nth}");
        }
    }
}
