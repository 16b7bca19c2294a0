//! A fault of ours inside a call: what it costs, and what it must not.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::{Caller, House, bounded};
use crate::base::id::CallId;
use crate::base::now::Now;
use crate::call::words::{CallEffect, CallInput, OperatorCommand};
use crate::call::{Call, Terms};
use crate::event::reason::EndReason;

static POISONED: Mutex<BTreeSet<CallId>> = Mutex::new(BTreeSet::new());

/// Panics over `poison` after tearing the machine, and over everything that follows `poison for good`.
pub(in crate::engine) fn meet(
    input: &CallInput,
    call: &mut Call,
    now: Now,
    terms: Terms<'_>,
    out: &mut Vec<CallEffect>,
) {
    let id = call.control().identity().call;
    let mut poisoned = POISONED.lock().unwrap_or_else(PoisonError::into_inner);
    let mut torn = poisoned.contains(&id);
    if let CallInput::Operator(command) = input
        && let OperatorCommand::Malicious { reason, .. } = &**command
        && reason.starts_with("poison")
    {
        torn = true;
        if reason.ends_with("for good") {
            poisoned.insert(id);
        }
    }
    drop(poisoned);
    if torn {
        let end = OperatorCommand::HangUp { leg: None, reason: EndReason::Normal };
        call.handle(now, terms, CallInput::Operator(Box::new(end)), out);
        panic!("on purpose");
    }
}

async fn poison(house: &House, how: &str) -> String {
    let calls = house.look_until("/calls", |calls| calls.as_array().is_some_and(|calls| calls.len() == 1)).await;
    let call = calls[0]["call_id"].as_str().unwrap().to_owned();
    let (status, _) =
        house.api("POST", &format!("/calls/{call}/malicious"), &format!("{{\"reason\":\"{how}\"}}")).await;
    assert_eq!(status, 202);
    call
}

async fn ticket(house: &House) -> serde_json::Value {
    let closed = |tickets: &serde_json::Value| tickets.as_array().is_some_and(|rows| rows.len() == 1);
    let tickets = house.look_until("/tickets?closed=true", closed).await;
    let id = tickets[0]["ticket_id"].as_str().unwrap().to_owned();
    house.look(&format!("/tickets/{id}")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_hangs_the_call_up_and_closes_its_ticket_without_a_gap() {
    let house = House::open(&[]).await;
    let mut caller = Caller::calls(&house, "12345", "a").await;
    caller.talks().await;
    poison(&house, "poison").await;
    caller.hung_up().await;
    let ticket = ticket(&house).await;
    assert!(ticket.to_string().contains("\"internal\""), "{ticket}");
    let id = ticket["ticket_id"].as_str().unwrap();
    let events = house.look(&format!("/tickets/{id}/events")).await;
    let numbers: Vec<u64> = events.as_array().unwrap().iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_cannot_even_say_goodbye_is_dropped_and_its_ticket_closed() {
    let house = House::open(&[]).await;
    let mut caller = Caller::calls(&house, "12345", "a").await;
    caller.talks().await;
    poison(&house, "poison for good").await;
    let ticket = ticket(&house).await;
    assert!(ticket.to_string().contains("\"internal\""), "{ticket}");
    house.look_until("/status", |status| status["calls"] == 0 && status["names_held"] == 0).await;
    let mut next = Caller::calls(&house, "12345", "b").await;
    next.talks().await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emergency_call_goes_on_after_a_panic() {
    let house = House::open(&[]).await;
    let caller = Caller::calls(&house, "120", "a").await;
    caller.status(100).await;
    poison(&house, "poison").await;
    house.look_until("/status", |status| status["panics"] == 1).await;
    let calls = house.look("/calls").await;
    assert_eq!((calls[0]["emergency"].as_bool(), calls[0]["phase"].as_str()), (Some(true), Some("dialling")));
    let mut invite = [0; 6];
    bounded(house.desk.recv_from(&mut invite)).await.unwrap();
    assert_eq!(&invite, b"INVITE");
    caller.send("CANCEL", 1, "", "").await;
    caller.status(200).await;
    house.look_until("/tickets?closed=true", |rows| rows.as_array().is_some_and(|rows| rows.len() == 1)).await;
    house.close().await;
}
