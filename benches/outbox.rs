//! Durable rows per second, and the time to pick 64 due lanes out of 200,000. Prints figures; judges nothing.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a bench prints, stops, times"
)]
#![expect(clippy::indexing_slicing, reason = "a bench stops where it is wrong")]

#[path = "../tests/ticket_support/mod.rs"]
mod ticket_support;

use std::sync::mpsc::channel;
use std::time::Instant;

use switch12345::engine::store::{Store, StoreSettings};
use switch12345::event::call::CallEvent;
use ticket_support::{Dir, HandClock, start, whole_call};

fn main() {
    let dir = Dir::new();
    let settings =
        StoreSettings { dir: dir.path().to_owned(), endpoints: vec!["city".into()], calls_max: 2_000, max_bytes: None };
    let store = Store::open(settings, HandClock::new().reading(), |_| {}).unwrap();
    whole_calls(&store, dir.path());
    one_by_one(&store);
    pick(&store);
}

fn whole_calls(store: &Store, dir: &std::path::Path) {
    let calls: Vec<Vec<CallEvent>> = (0..2_000).map(whole_call).collect();
    let events: usize = calls.iter().map(Vec::len).sum();
    let began = Instant::now();
    write(store, &calls);
    let took = began.elapsed().as_secs_f64();
    let published = 2_000 * 18;
    let rows = events + published * 3 + 2_000;
    let bytes: u64 = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    println!("journal events  {:>8.0}/s", events as f64 / took);
    println!("published       {:>8.0}/s", published as f64 / took);
    println!("durable rows    {:>8.0}/s", rows as f64 / took);
    println!("bytes per published event {:.0}", bytes as f64 / published as f64);
}

fn one_by_one(store: &Store) {
    let mut waits: Vec<f64> = (10_000..10_500)
        .map(|nth| {
            let began = Instant::now();
            write(store, &[vec![whole_call(nth)[0].clone()]]);
            began.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    waits.sort_by(f64::total_cmp);
    println!("one event stored: median {:.2} ms, p99 {:.2} ms", waits[250], waits[495]);
}

fn pick(store: &Store) {
    let opened: Vec<Vec<CallEvent>> = (20_000..217_500).map(|nth| vec![whole_call(nth)[0].clone()]).collect();
    write(store, &opened);
    drop(opened);
    let later = start().wall.checked_add(jiff::Span::new().hours(1)).unwrap();
    let lanes = store.backlog().unwrap()[0].lanes;
    let mut times: Vec<f64> = (0..50)
        .map(|_| {
            let began = Instant::now();
            let picked = store.due("city", later, 64, &|_| false, 0).unwrap();
            assert_eq!(picked.due.len(), 64);
            began.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("pick 64 of {lanes} due lanes: median {:.2} ms, worst {:.2} ms", times[25], times[49]);
}

/// Appends as fast as the queue takes and waits for the last answer.
fn write(store: &Store, calls: &[Vec<CallEvent>]) {
    let (tell, stored) = channel();
    let mut waiting = 0;
    for events in calls {
        let room = store.reserve_emergency();
        for event in events {
            let tell = tell.clone();
            room.append(event.clone(), Some(Box::new(move |said| tell.send(said).unwrap()))).unwrap();
            waiting += 1;
        }
        while waiting > 20_000 {
            stored.recv().unwrap();
            waiting -= 1;
        }
    }
    for _ in 0..waiting {
        stored.recv().unwrap();
    }
}
