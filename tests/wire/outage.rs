//! The receiver is away and the engine is killed twice: when it is back every event arrives, the same on repeats.

use serde_json::json;

use crate::rig::{Engine, Peer, folder, free_port, has, until};
use crate::tickets::Tickets;

#[test]
fn every_event_arrives_after_an_outage_and_two_kills() {
    if !has(&["python3"]) {
        return;
    }
    let dir = folder("outage");
    let tickets_at = free_port();
    let set = [format!("ticket.endpoint.local.url=\"http://127.0.0.1:{tickets_at}/\"")];
    let mut opened = Vec::new();

    // A whole call while nobody listens, and one in the middle of its talk when the engine is killed.
    let mut engine = Engine::small(&dir, &set);
    opened.push(talk(&dir, &engine, "1001", "13804760021", true));
    opened.push(talk(&dir, &engine, "1002", "13804760022", false));
    engine.process.kill();
    drop(engine);

    // The receiver takes what is posted and never answers: these events will come again.
    let mut mute = Peer::receiver(tickets_at, &["mute"]);
    let mut engine = Engine::small(&dir, &set);
    let mut tickets = Tickets::default();
    let first = mute.next("the first post");
    tickets.take(&first);
    let tell = mute.next("a post of the other ticket");
    tickets.take(&tell);
    opened.push(talk(&dir, &engine, "1003", "13804760023", true));
    engine.process.kill();
    drop(engine);
    for post in mute.drain().into_iter().skip(3) {
        tickets.take(&post);
    }
    mute.process.kill();

    let mut receiver = Peer::receiver(tickets_at, &[]);
    let engine = Engine::small(&dir, &set);
    tickets.await_closed(&mut receiver, opened.len());
    assert!(tickets.repeats >= 2, "what was not acknowledged came again: {}", tickets.repeats);
    let mut found: Vec<_> = tickets.events.keys().cloned().collect();
    found.sort();
    opened.sort();
    assert_eq!(found, opened, "every ticket, and no other");
    // What the store holds is what came, amendments after the closing included.
    for ticket in &opened {
        until("the store's events of the ticket have come", || {
            receiver.fresh().iter().for_each(|post| tickets.take(post));
            let held = engine.get(&format!("/api/v1/tickets/{ticket}/events"));
            let ids = held.as_array()?.iter().map(|event| &event["event_id"]);
            ids.eq(tickets.events[ticket].iter().map(|event| &event["event_id"])).then_some(())
        });
    }
    until("nothing waits for delivery", || (engine.get("/api/v1/endpoints")[0]["waiting"] == 0).then_some(()));
}

/// A call to 12345, to its end or into its talk; gives its ticket.
fn talk(dir: &std::path::Path, engine: &Engine, agent: &str, citizen: &str, to_its_end: bool) -> String {
    let mut phone = Peer::agent(dir, engine, agent, &[]);
    let mut caller = Peer::phone(dir, citizen, engine.trunk["udp"], &[]);
    caller.say(&json!({ "do": "call", "to": format!("sip:12345@{}", engine.trunk["udp"]) }));
    let ticket = phone.expect("ringing")["headers"]["x-ticket-id"].as_str().expect("a ticket").to_owned();
    caller.expect("up");
    phone.expect("up");
    if to_its_end {
        caller.say(&json!({ "do": "bye", "call": format!("{citizen}-1") }));
        phone.expect("down");
        // The next one must not be rung for the next call.
        phone.say(&json!({ "do": "unregister" }));
        phone.expect("unregistered");
        let closed = format!("/api/v1/tickets/{ticket}");
        until("the ticket is closed", || (engine.get(&closed)["ticket"]["status"] == "closed").then_some(()));
    } else {
        until("the answer is stored", || {
            let held = engine.get(&format!("/api/v1/tickets/{ticket}"));
            (!held["ticket"]["answered_at"].is_null()).then_some(())
        });
    }
    ticket
}
