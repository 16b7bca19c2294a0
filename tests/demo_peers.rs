//! The demonstration's peers against each other: the carrier calls a phone, no engine between them.

#![expect(clippy::unwrap_used, reason = "a test panics on what is not there")]

use std::sync::Arc;
use std::time::Duration;

use switch12345::demo::carrier::{ANYWHERE, Carrier, DeadEnd};
use switch12345::demo::exchange::Exchange;
use switch12345::demo::peer::dialog::End;
use switch12345::demo::peer::ua::{Incoming, Phone};
use switch12345::demo::peer::{Nobody, PeerFault};
use tokio::sync::mpsc;

const WITHIN: Duration = Duration::from_secs(10);
const CITIZEN: &str = "13800000001";

async fn phone() -> (Phone, mpsc::Receiver<Incoming>) {
    Phone::open(ANYWHERE, "phone", "1001", Arc::new(Nobody)).await.unwrap()
}

async fn carrier() -> Carrier {
    Carrier::open("carrier", &Exchange::default(), Arc::new(Nobody)).await.unwrap()
}

#[tokio::test]
async fn carrier_and_phone_hear_each_other_and_either_hangs_up() {
    let (carrier, (phone, mut rung)) = (carrier().await, phone().await);
    for caller_first in [true, false] {
        let dialling = carrier.call(phone.endpoint().local(), "12345", CITIZEN, 400.0).await.unwrap();
        let incoming = rung.recv().await.unwrap();
        assert_eq!((incoming.number(), incoming.caller().as_str()), ("12345", CITIZEN));
        assert_eq!(incoming.header("p-asserted-identity"), Some("<sip:+8613800000001@127.0.0.1;user=phone>"));
        incoming.ring().await;
        let (theirs, ours) = tokio::join!(incoming.answer(800.0), dialling.answered(WITHIN));
        let (theirs, ours) = (theirs.unwrap(), ours.unwrap());
        let (far, near) = tokio::join!(
            theirs.stream().hear(&[400.0], &[800.0], WITHIN),
            ours.stream().hear(&[800.0], &[400.0], WITHIN)
        );
        assert_eq!((far, near), (Ok(()), Ok(())));
        let (first, second) = if caller_first { (&ours, &theirs) } else { (&theirs, &ours) };
        first.hang_up().await.unwrap();
        assert_eq!(second.ended(WITHIN).await, Ok(End::There));
        assert_eq!(first.ended(WITHIN).await, Ok(End::Here));
    }
}

#[tokio::test]
async fn a_refusal_and_a_cancel_reach_the_other_side() {
    let (carrier, (phone, mut rung)) = (carrier().await, phone().await);
    let dialling = carrier.call(phone.endpoint().local(), "12345", CITIZEN, 400.0).await.unwrap();
    rung.recv().await.unwrap().refuse(486).await;
    assert_eq!(dialling.answered(WITHIN).await.err(), Some(PeerFault::Refused { what: "INVITE", status: 486 }));

    let dialling = carrier.call(phone.endpoint().local(), "12345", CITIZEN, 400.0).await.unwrap();
    let mut incoming = rung.recv().await.unwrap();
    incoming.ring().await;
    let (status, taken_back) = tokio::join!(dialling.cancel(WITHIN), incoming.taken_back(WITHIN));
    assert_eq!((status, taken_back), (Ok(487), Ok(())));
    assert_eq!(incoming.answer(800.0).await.err(), Some(PeerFault::Cancelled));
}

#[tokio::test]
async fn nobody_at_a_dead_end_answers() {
    let (carrier, dead) = (carrier().await, DeadEnd::open("dead", Arc::new(Nobody)).await.unwrap());
    let dialling = carrier.call(dead.address(), "120", CITIZEN, 400.0).await.unwrap();
    let answered = dialling.answered(Duration::from_millis(700)).await;
    assert!(matches!(answered, Err(PeerFault::Late { .. })), "{answered:?}");
}

#[tokio::test]
async fn a_call_nobody_waits_for_is_refused() {
    let carrier = carrier().await;
    let (exchange, other) = (Exchange::default(), Exchange::default());
    let far = Carrier::open("far", &exchange, Arc::new(Nobody)).await.unwrap();
    let _elsewhere = other.expect(CITIZEN);
    let dialling = carrier.call(far.address(), "12366", CITIZEN, 400.0).await.unwrap();
    assert_eq!(dialling.answered(WITHIN).await.err(), Some(PeerFault::Refused { what: "INVITE", status: 480 }));
}

#[test]
fn the_peers_share_only_the_g711_tables_with_the_engine() {
    let demo = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/demo");
    let peers = std::fs::read_dir(demo.join("peer")).unwrap().map(|entry| entry.unwrap().path());
    let parties = ["agent.rs", "carrier.rs", "exchange.rs", "receiver.rs"].map(|name| demo.join(name));
    let mut read = 0;
    for path in peers.chain(parties) {
        let text = std::fs::read_to_string(&path).unwrap();
        for (at, rest) in text.match_indices("crate::").map(|(at, found)| (at, &text[at + found.len()..])) {
            let allowed = ["demo::", "base::", "rtp::g711::"].iter().any(|module| rest.starts_with(module));
            let line = text[..at].lines().count();
            assert!(allowed, "{}:{line}: crate::{}", path.display(), rest.lines().next().unwrap_or_default());
        }
        read += 1;
    }
    assert!(read >= 12, "only {read} files were looked at");
}
