//! A ticket platform: takes events over HTTP, checks every signature with code of its own, gives ticket numbers.
//!
//! HMAC is written out here from RFC 2104 over SHA-256, so that an error of the engine's signing cannot hide behind the
//! same library. A repeated event is answered as before and must have the same body. Deliberately absent: TLS, storage.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use crate::demo::peer::{PeerFault, locked};

/// How old a signature may be.
const FRESH: Duration = Duration::from_secs(300);
/// SHA-256 works on blocks of so many bytes.
const BLOCK: usize = 64;

/// One event as it came.
#[derive(Clone, Debug)]
pub struct TicketEvent {
    /// When.
    pub at: Instant,
    /// The engine's ticket.
    pub ticket_id: String,
    /// The citizen.
    pub caller: String,
    /// `ticket.opened`, ….
    pub kind: String,
    /// `call.started`, ….
    pub change: String,
    /// The ticket's numbering.
    pub seq: u64,
    /// This endpoint's numbering.
    pub delivery_seq: u64,
    /// The whole event.
    pub body: Value,
}

/// Who is shown each event as it arrives.
pub type Shown = Arc<dyn Fn(&TicketEvent) + Send + Sync>;

#[derive(Debug, Default)]
struct Ledger {
    events: BTreeMap<String, (Bytes, TicketEvent)>,
    numbers: BTreeMap<String, String>,
    faults: Vec<String>,
    repeats: usize,
}

/// The receiver; ends when dropped.
pub struct Receiver {
    address: SocketAddr,
    secret: String,
    desk: Desk,
    task: AbortHandle,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Receiver({})", self.address)
    }
}

#[derive(Clone)]
struct Desk {
    key: Arc<Vec<u8>>,
    ledger: Arc<Mutex<Ledger>>,
    count: watch::Sender<usize>,
    shown: Shown,
}

impl Receiver {
    /// Opens it on a free port with a key of its own.
    ///
    /// # Errors
    /// [`PeerFault::System`] when no port is free.
    pub async fn open(shown: Shown) -> Result<Self, PeerFault> {
        let listener =
            TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.map_err(PeerFault::system("a ticket port"))?;
        let address = listener.local_addr().map_err(PeerFault::system("a ticket port"))?;
        let mut key = vec![0_u8; 24];
        getrandom::fill(&mut key).map_err(|why| PeerFault::message("the webhook key", why))?;
        let secret = format!("whsec_{}", STANDARD.encode(&key));
        let desk = Desk { key: Arc::new(key), ledger: Arc::default(), count: watch::Sender::new(0), shown };
        let app = Router::new().route("/tickets", post(take)).with_state(desk.clone());
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, app).await;
        })
        .abort_handle();
        Ok(Self { address, secret, desk, task })
    }

    /// Where events are posted.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/tickets", self.address)
    }

    /// The secret to sign with.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// Events of a citizen's calls in the order of their numbers.
    #[must_use]
    pub fn of(&self, caller: &str) -> Vec<TicketEvent> {
        let ledger = locked(&self.desk.ledger);
        let of_caller = ledger.events.values().map(|(_, event)| event).filter(|event| event.caller == caller);
        let mut events: Vec<TicketEvent> = of_caller.cloned().collect();
        events.sort_by(|a, b| (&a.ticket_id, a.seq).cmp(&(&b.ticket_id, b.seq)));
        events
    }

    /// The number given to a ticket.
    #[must_use]
    pub fn number_of(&self, ticket_id: &str) -> Option<String> {
        locked(&self.desk.ledger).numbers.get(ticket_id).cloned()
    }

    /// What was wrong with what came: signatures, bodies that changed.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        locked(&self.desk.ledger).faults.clone()
    }

    /// How many events came again.
    #[must_use]
    pub fn repeats(&self) -> usize {
        locked(&self.desk.ledger).repeats
    }

    /// Waits until a citizen's ticket is closed and every event up to there has come; false when it does not happen.
    pub async fn closed(&self, caller: &str, deadline: Instant) -> bool {
        let mut count = self.desk.count.subscribe();
        loop {
            count.borrow_and_update();
            let events = self.of(caller);
            let last = events.iter().find(|event| event.kind == "ticket.closed").map(|event| event.seq);
            if last.is_some_and(|last| (1..=last).all(|seq| events.iter().any(|event| event.seq == seq))) {
                return true;
            }
            if !matches!(timeout_at(deadline, count.changed()).await, Ok(Ok(()))) {
                return false;
            }
        }
    }
}

async fn take(State(desk): State<Desk>, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    let answer = desk.take(&headers, &body);
    desk.count.send_modify(|count| *count += 1);
    match answer {
        Ok((ticket_no, new)) => {
            if let Some(event) = new {
                (desk.shown)(&event);
            }
            (StatusCode::OK, serde_json::json!({ "ticket_no": ticket_no }).to_string())
        }
        Err(fault) => {
            locked(&desk.ledger).faults.push(fault.clone());
            (StatusCode::BAD_REQUEST, fault)
        }
    }
}

impl Desk {
    /// The ticket's number, and the event when it is new.
    fn take(&self, headers: &HeaderMap, body: &Bytes) -> Result<(String, Option<TicketEvent>), String> {
        let header = |name: &str| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            value.ok_or_else(|| format!("an event came without {name}"))
        };
        let (id, timestamp) = (header("webhook-id")?, header("webhook-timestamp")?);
        verify(&self.key, id, timestamp, body, header("webhook-signature")?)?;
        let event = read_event(body).ok_or_else(|| format!("event {id} lacks a field every event has"))?;
        if event.body.get("event_id").and_then(Value::as_str) != Some(id) {
            return Err(format!("event {id} came under another id than its own"));
        }
        let mut ledger = locked(&self.ledger);
        let next = format!("赤峰-DEMO-{:04}", ledger.numbers.len() + 1);
        let number = ledger.numbers.entry(event.ticket_id.clone()).or_insert(next).clone();
        if let Some((before, _)) = ledger.events.get(id) {
            let same = before == body;
            ledger.repeats += 1;
            return if same { Ok((number, None)) } else { Err(format!("event {id} came again with another body")) };
        }
        ledger.events.insert(id.to_owned(), (body.clone(), event.clone()));
        Ok((number, Some(event)))
    }
}

fn read_event(body: &[u8]) -> Option<TicketEvent> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let text = |value: &Value, key: &str| value.get(key)?.as_str().map(str::to_owned);
    let ticket = body.get("ticket")?;
    Some(TicketEvent {
        at: Instant::now(),
        ticket_id: text(&body, "ticket_id")?,
        caller: text(ticket, "caller")?,
        kind: text(&body, "type")?,
        change: text(&body, "change")?,
        seq: body.get("seq")?.as_u64()?,
        delivery_seq: body.get("delivery_seq")?.as_u64()?,
        body,
    })
}

#[expect(clippy::disallowed_methods, reason = "a receiver is another machine: it looks at its own clock")]
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Checks a Standard Webhooks signature: one of those in the header must be ours, and fresh.
fn verify(key: &[u8], id: &str, timestamp: &str, body: &[u8], signatures: &str) -> Result<(), String> {
    let seconds: u64 = timestamp.parse().map_err(|_| format!("event {id} has no readable timestamp"))?;
    if now().abs_diff(Duration::from_secs(seconds)) > FRESH {
        return Err(format!("event {id} was signed at another time"));
    }
    let mut signed = format!("{id}.{timestamp}.").into_bytes();
    signed.extend_from_slice(body);
    let ours = format!("v1,{}", STANDARD.encode(hmac(key, &signed)));
    if signatures.split(' ').any(|signature| signature == ours) {
        return Ok(());
    }
    Err(format!("event {id} is not signed with our key"))
}

/// HMAC-SHA256 as RFC 2104 §2 writes it.
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0_u8; BLOCK];
    let short: Vec<u8> = if key.len() > BLOCK { Sha256::digest(key).to_vec() } else { key.to_vec() };
    for (place, byte) in block.iter_mut().zip(short) {
        *place = byte;
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn hmac_gives_the_codes_of_rfc_4231() {
        assert_eq!(
            hex(&hmac(&[0x0b; 20], b"Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
        assert_eq!(
            hex(&hmac(b"Jefe", b"what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            hex(&hmac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First")),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    fn desk() -> Desk {
        Desk {
            key: Arc::new(b"key".to_vec()),
            ledger: Arc::default(),
            count: watch::Sender::new(0),
            shown: Arc::new(|_| {}),
        }
    }

    fn signed(key: &[u8], id: &str, body: &str) -> HeaderMap {
        let seconds = now().as_secs();
        let code = STANDARD.encode(hmac(key, format!("{id}.{seconds}.{body}").as_bytes()));
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", id.parse().unwrap());
        headers.insert("webhook-timestamp", seconds.to_string().parse().unwrap());
        headers.insert("webhook-signature", format!("v1,AAAA v1,{code}").parse().unwrap());
        headers
    }

    const BODY: &str = r#"{"event_id":"e1","ticket_id":"t1","type":"ticket.opened","change":"call.started","seq":1,
        "delivery_seq":1,"ticket":{"caller":"13800000001"}}"#;

    #[test]
    fn an_event_is_taken_once_and_its_repeat_gets_the_same_number() {
        let desk = desk();
        let (number, new) = desk.take(&signed(b"key", "e1", BODY), &Bytes::from(BODY)).unwrap();
        assert_eq!(new.unwrap().kind, "ticket.opened");
        let (again, repeat) = desk.take(&signed(b"key", "e1", BODY), &Bytes::from(BODY)).unwrap();
        assert_eq!((again, repeat.is_none(), locked(&desk.ledger).repeats), (number, true, 1));
        let changed = BODY.replace("\"seq\":1", "\"seq\":2");
        assert!(desk.take(&signed(b"key", "e1", &changed), &Bytes::from(changed)).is_err());
    }

    #[test]
    fn a_wrong_key_an_old_time_and_a_foreign_id_are_refused() {
        let desk = desk();
        assert!(desk.take(&signed(b"other", "e1", BODY), &Bytes::from(BODY)).is_err());
        assert!(desk.take(&signed(b"key", "e2", BODY), &Bytes::from(BODY)).is_err());
        assert!(desk.take(&HeaderMap::new(), &Bytes::from(BODY)).is_err());
        let mut old = signed(b"key", "e1", BODY);
        old.insert("webhook-timestamp", "1".parse().unwrap());
        assert!(desk.take(&old, &Bytes::from(BODY)).is_err());
    }
}
