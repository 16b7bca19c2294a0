//! What a ticket platform can rely on, checked over everything it was sent (`contract.md` §5).

use std::collections::BTreeMap;

use serde_json::Value;
use standardwebhooks::Webhook;

use crate::rig::{Peer, SECRET};

/// The events of each ticket, in the order they came; repeats were checked to be the same and left out.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    pub(crate) events: BTreeMap<String, Vec<Value>>,
    bodies: BTreeMap<String, String>,
    pub(crate) repeats: usize,
}

impl Tickets {
    /// Takes posts until `count` tickets are closed.
    pub(crate) fn await_closed(&mut self, receiver: &mut Peer, count: usize) {
        while self.closed() < count {
            let post = receiver.next(&format!("{count} closed tickets, {} so far", self.closed()));
            self.take(&post);
        }
    }

    fn closed(&self) -> usize {
        self.events.values().filter(|events| events.iter().any(|event| event["type"] == "ticket.closed")).count()
    }

    pub(crate) fn take(&mut self, post: &Value) {
        let word = |key: &str| post[key].as_str().unwrap_or_default();
        assert_eq!(post["signed"], true, "Python's hmac: {post}");
        let second = word("timestamp").parse().expect("seconds");
        let made = Webhook::new(SECRET).expect("a secret").sign(word("id"), second, word("body").as_bytes());
        assert_eq!(made.expect("a signature"), word("signature"), "the standardwebhooks crate");
        if let Some(first) = self.bodies.get(word("id")) {
            assert_eq!(first, word("body"), "a repeat has the same body");
            self.repeats += 1;
            return;
        }
        self.bodies.insert(word("id").to_owned(), word("body").to_owned());
        let event: Value = serde_json::from_str(word("body")).expect("JSON");
        assert_eq!(event["event_id"], post["id"]);
        assert_eq!(event["schema"], "switch12345.ticket/1");
        let events = self.events.entry(event["ticket_id"].as_str().expect("a ticket").to_owned()).or_default();
        let nth = events.len() + 1;
        assert_eq!(
            (&event["seq"], &event["delivery_seq"]),
            (&nth.into(), &nth.into()),
            "no gap, in order: {events:#?}"
        );
        assert_eq!(event["type"] == "ticket.opened", nth == 1, "{event}");
        let after = events.iter().any(|event| event["type"] == "ticket.closed");
        assert_eq!(event["type"] == "ticket.amended", after, "only amendments follow the closing: {event}");
        events.push(event);
    }

    /// The changes of a ticket, in order.
    pub(crate) fn changes(&self, ticket: &str) -> Vec<&str> {
        self.events[ticket].iter().filter_map(|event| event["change"].as_str()).collect()
    }
}
