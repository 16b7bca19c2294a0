//! Ending politely, and never an emergency.

use std::time::Duration;

use super::{Caller, House, bounded};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_ends_calls_politely_refuses_new_ones_and_waits_for_an_emergency() {
    let house = House::open(&[]).await;
    let mut talking = Caller::calls(&house, "12345", "a").await;
    talking.talks().await;
    {
        let drained = house.engine().drain(Duration::ZERO);
        tokio::pin!(drained);
        let outside = async {
            talking.hung_up().await;
            let refused = Caller::calls(&house, "12345", "b").await;
            refused.status(503).await;
            assert_eq!(house.http("GET", "/readyz", "", "").await.0, 503);
            let urgent = Caller::calls(&house, "110", "c").await;
            urgent.status(100).await;
            house
                .look_until("/calls", |calls| {
                    calls.as_array().is_some_and(|calls| calls.iter().any(|call| call["emergency"] == true))
                })
                .await;
            urgent
        };
        tokio::pin!(outside);
        let urgent = tokio::select! {
            biased;
            urgent = &mut outside => urgent,
            () = &mut drained => panic!("drained before the emergency call began"),
        };
        let early = tokio::time::timeout(Duration::from_secs(3), &mut drained).await;
        assert!(early.is_err(), "an emergency is waited for");
        urgent.send("CANCEL", 1, "", "").await;
        bounded(drained).await;
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_says_goodbye_closes_the_ticket_and_leaves_the_directory_free() {
    let mut house = House::open(&[]).await;
    let mut caller = Caller::calls(&house, "12345", "a").await;
    caller.talks().await;
    // Its answer says that the ACK before it has come; there is no goodbye before that (RFC 3261 §15).
    caller.send("OPTIONS", 2, "", "").await;
    caller.status(200).await;
    house.restart().await;
    caller.hung_up().await;
    let tickets = house.look_until("/tickets?closed=true", |rows| rows.as_array().is_some_and(|rows| rows.len() == 1));
    assert!(tickets.await.to_string().contains("\"draining\""), "not left to be found an orphan");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_calls_until_it_is_not() {
    let house = House::open(&[]).await;
    let mut nth = 0;
    let mut until = async |wanted: u16| {
        loop {
            nth += 1;
            let caller = Caller::calls(&house, "12345", &format!("c{nth}")).await;
            loop {
                match caller.receive().await.status() {
                    Some(100..200) => {}
                    Some(status) if status == wanted => return,
                    _ => break,
                }
            }
        }
    };
    house.engine().store.set_max_bytes(Some(1));
    bounded(until(503)).await;
    house.engine().store.set_max_bytes(None);
    bounded(until(200)).await;
    house.close().await;
}
