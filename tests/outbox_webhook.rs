//! The sender against a receiver that fails in every way: what arrives, in which order, and when again.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test panics on what is not there")]

mod ticket_support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use switch12345::base::id::TicketId;
use switch12345::base::secret::Secret;
use switch12345::engine::store::{Store, StoreNews, StoreSettings};
use switch12345::engine::webhook::{EndpointSettings, Wake, Webhooks};
use switch12345::event::call::CallEvent;
use ticket_support::{Dir, HandClock, start, whole_call};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OLD_SECRET: &str = "the secret before";

/// What a receiver saw of one post.
#[derive(Clone, Debug)]
struct Seen {
    id: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Seen {
    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn seq(&self) -> u64 {
        self.json()["delivery_seq"].as_u64().unwrap()
    }

    fn ticket(&self) -> String {
        self.json()["ticket_id"].as_str().unwrap().to_owned()
    }

    /// The signed second and whether the independent implementation makes the same signatures.
    fn is_signed(&self) -> bool {
        let word = |name: &str| self.headers[name].to_str().unwrap();
        let second = word("webhook-timestamp").parse().unwrap();
        let new = standardwebhooks::Webhook::new(SECRET).unwrap();
        let old = standardwebhooks::Webhook::from_bytes(OLD_SECRET.into()).unwrap();
        let both = [new, old].map(|key| key.sign(&self.id, second, &self.body).unwrap());
        word("webhook-signature") == both.join(" ") && self.id == self.json()["event_id"].as_str().unwrap()
    }
}

type Script = Arc<dyn Fn(u64) -> Response + Send + Sync>;

#[derive(Clone)]
struct Desk {
    answer: Script,
    tell: UnboundedSender<Seen>,
    met: Arc<Mutex<BTreeMap<String, u64>>>,
    in_flight: Arc<Mutex<BTreeMap<String, u32>>>,
}

/// Receives; answers the nth post of each event as its script says (a status of 0 is a post never answered).
struct Receiver {
    url: String,
    seen: UnboundedReceiver<Seen>,
}

impl Receiver {
    async fn start(answer: impl Fn(u64) -> Response + Send + Sync + 'static) -> Self {
        #[expect(clippy::disallowed_methods, reason = "a test's own list of what it saw")]
        let (tell, seen) = tokio::sync::mpsc::unbounded_channel();
        let desk = Desk { answer: Arc::new(answer), tell, met: Arc::default(), in_flight: Arc::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/tickets", listener.local_addr().unwrap());
        let app = Router::new().fallback(receive).with_state(desk);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, seen }
    }

    async fn next(&mut self) -> Seen {
        self.seen.recv().await.unwrap()
    }
}

async fn receive(State(desk): State<Desk>, headers: HeaderMap, body: Bytes) -> Response {
    let id = headers["webhook-id"].to_str().unwrap().to_owned();
    let nth = {
        let mut met = desk.met.lock().unwrap();
        let nth = met.entry(id.clone()).or_default();
        *nth += 1;
        *nth
    };
    let seen = Seen { id, headers, body };
    let ticket = seen.ticket();
    let flying = {
        let mut flights = desk.in_flight.lock().unwrap();
        let flying = flights.entry(ticket.clone()).or_default();
        *flying += 1;
        *flying
    };
    assert_eq!(flying, 1, "one post in flight per ticket");
    tokio::task::yield_now().await;
    desk.in_flight.lock().unwrap().remove(&ticket);
    desk.tell.send(seen).unwrap();
    let answer = (desk.answer)(nth);
    if answer.status() == StatusCode::IM_A_TEAPOT {
        std::future::pending::<()>().await;
    }
    answer
}

fn status(code: u16) -> Response {
    StatusCode::from_u16(code).unwrap().into_response()
}

/// Store, sender and clock around one receiver.
struct Bench {
    store: Arc<Store>,
    clock: HandClock,
    wake: Wake,
    news: UnboundedReceiver<StoreNews>,
    webhooks: Webhooks,
}

impl Bench {
    fn start(dir: &Path, clock: &HandClock, settings: EndpointSettings) -> Self {
        #[expect(clippy::disallowed_methods, reason = "a test's own list of what it saw")]
        let (tell, news) = tokio::sync::mpsc::unbounded_channel();
        let wake = Wake::default();
        let waker = wake.clone();
        let watch = move |said: StoreNews| {
            if said == StoreNews::Committed {
                waker.wake();
            }
            let _ = tell.send(said);
        };
        let open = StoreSettings {
            dir: dir.to_owned(),
            endpoints: vec![settings.name.clone()],
            calls_max: 64,
            max_bytes: None,
        };
        let store = Arc::new(Store::open(open, clock.reading(), watch).unwrap());
        let webhooks = Webhooks::start(vec![settings], &store, &clock.reading(), &wake).unwrap();
        Self { store, clock: clock.clone(), wake, news, webhooks }
    }

    fn append(&self, events: &[CallEvent]) {
        let room = self.store.reserve_emergency();
        for event in events {
            room.append(event.clone(), None).unwrap();
        }
    }

    /// Waits until the store shows what is asked for.
    async fn until(&mut self, mut shows: impl FnMut(&Store) -> bool) {
        while !shows(&self.store) {
            self.news.recv().await.unwrap();
        }
    }

    /// Waits until the head of the only lane was tried so often, and says how long it rests from now.
    async fn rest(&mut self, tries: u32) -> Duration {
        let far = start().wall.checked_add(jiff::Span::new().hours(1000)).unwrap();
        self.until(|store| store.due("city", far, 1, &|_| false, 0).unwrap().due[0].tries == tries).await;
        let now = self.clock.now().wall;
        match self.store.due("city", now, 1, &|_| false, 0).unwrap() {
            picked if picked.due.is_empty() => picked.next_at.unwrap().duration_since(now).try_into().unwrap(),
            _ => Duration::ZERO,
        }
    }

    fn advance(&self, span: Duration) {
        self.clock.advance(span);
        self.wake.wake();
    }

    /// Ends as a kill would: nothing is drained.
    async fn end(self) {
        self.webhooks.stop().await;
    }
}

fn settings(url: &str) -> EndpointSettings {
    let mut settings = EndpointSettings::new("city", url, Secret::new(SECRET));
    settings.previous_secret = Some(Secret::new(OLD_SECRET));
    settings
}

fn is_around(span: Duration, seconds: f64) -> bool {
    (0.8 * seconds - 0.01..=1.2 * seconds + 0.01).contains(&span.as_secs_f64())
}

fn drained(store: &Store) -> bool {
    store.backlog().unwrap()[0].lanes == 0
}

fn ticket() -> TicketId {
    whole_call(1)[0].ticket
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_many_tickets_arrive_signed_once_and_in_order() {
    let dir = Dir::new();
    let mut receiver = Receiver::start(|_| status(204)).await;
    let mut bench = Bench::start(dir.path(), &HandClock::new(), settings(&receiver.url));
    for nth in 0..20 {
        bench.append(&whole_call(nth));
    }
    bench.clock.advance(Duration::from_secs(200));
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for _ in 0..20 * 18 {
        bench.wake.wake();
        let seen = receiver.next().await;
        assert!(seen.is_signed());
        let last = last.entry(seen.ticket()).or_default();
        assert_eq!(seen.seq(), *last + 1);
        *last += 1;
    }
    bench.until(drained).await;
    assert!(receiver.seen.try_recv().is_err(), "nothing twice");
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_are_tried_again_with_the_same_bytes_and_a_fresh_signature() {
    let dir = Dir::new();
    let away = |to: &str| {
        let to = to.to_owned();
        (StatusCode::TEMPORARY_REDIRECT, [("location", to)]).into_response()
    };
    let mut receiver = Receiver::start(move |nth| match nth {
        1 => status(500),
        2 => away("/elsewhere"),
        3 => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "600")]).into_response(),
        4 => (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "Sat, 21 Nov 2026 03:00:00 GMT")]).into_response(),
        _ => status(200),
    })
    .await;
    let mut bench = Bench::start(dir.path(), &HandClock::new(), settings(&receiver.url));
    bench.append(&whole_call(1)[..1]);
    let mut posts = vec![receiver.next().await];
    for (tries, seconds) in [(1, 5.0), (2, 30.0), (3, 600.0), (4, 0.0)] {
        let rest = bench.rest(tries).await;
        if seconds > 0.0 {
            assert!(is_around(rest, seconds), "{tries}: {rest:?}");
        } else {
            let until = bench.clock.now().wall.checked_add(rest).unwrap();
            assert_eq!(until.to_string(), "2026-11-21T03:00:00Z");
        }
        bench.advance(rest);
        posts.push(receiver.next().await);
    }
    bench.until(drained).await;
    assert!(posts.iter().all(|post| post.body == posts[0].body && post.id == posts[0].id && post.is_signed()));
    let seconds: Vec<_> = posts.iter().map(|post| post.headers["webhook-timestamp"].clone()).collect();
    assert!(seconds.is_sorted_by(|a, b| a.to_str().unwrap() < b.to_str().unwrap()), "{seconds:?}");
    let delivery = bench.store.events(ticket()).unwrap()[0].deliveries[0].clone();
    assert_eq!((delivery.state, delivery.tries, delivery.status), ("done", 5, Some(200)));
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_hangs_or_is_not_there_counts_as_a_failure() {
    let dir = Dir::new();
    let clock = HandClock::new();
    let mut hanging = Receiver::start(|_| status(418)).await;
    let mut settings = settings(&hanging.url);
    settings.timeout = Duration::from_millis(100);
    let mut bench = Bench::start(dir.path(), &clock, settings.clone());
    bench.append(&whole_call(1)[..1]);
    let first = hanging.next().await;
    assert!(is_around(bench.rest(1).await, 5.0));
    bench.end().await;
    // Nobody listens on the discard port of loopback.
    settings.url = "http://127.0.0.1:9/".into();
    let mut bench = Bench::start(dir.path(), &clock, settings.clone());
    bench.advance(Duration::from_secs(6));
    assert!(is_around(bench.rest(2).await, 30.0));
    assert_eq!(bench.store.events(ticket()).unwrap()[0].deliveries[0].answer.as_deref(), Some("cannot connect"));
    bench.end().await;
    let mut receiver = Receiver::start(|_| status(200)).await;
    settings.url = receiver.url.clone();
    let mut bench = Bench::start(dir.path(), &clock, settings);
    bench.advance(Duration::from_secs(40));
    let again = receiver.next().await;
    assert_eq!((again.id, again.body), (first.id, first.body), "same id and body after two restarts");
    bench.until(drained).await;
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gone_parks_the_endpoint_and_keeps_its_events() {
    let dir = Dir::new();
    let gone = AtomicBool::new(true);
    let mut receiver =
        Receiver::start(move |_| status(if gone.swap(false, Ordering::Relaxed) { 410 } else { 200 })).await;
    let mut bench = Bench::start(dir.path(), &HandClock::new(), settings(&receiver.url));
    bench.append(&whole_call(1)[..3]);
    let first = receiver.next().await;
    bench.until(|store| store.backlog().unwrap()[0].parked_at.is_some()).await;
    bench.append(&whole_call(2)[..1]);
    bench.until(|store| store.backlog().unwrap()[0].lanes == 2).await;
    bench.advance(Duration::from_secs(100_000));
    bench.store.re_enable("city", || {});
    let mut bodies = Vec::new();
    for _ in 0..2 {
        bodies.push(receiver.next().await.body);
    }
    assert!(bodies.contains(&first.body));
    bench.until(drained).await;
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_receiver_refuses_dies_after_three_and_lets_the_next_pass() {
    let dir = Dir::new();
    let mut receiver = Receiver::start(|_| status(422)).await;
    let mut bench = Bench::start(dir.path(), &HandClock::new(), settings(&receiver.url));
    // Events 1 (started) and 2 (queued).
    bench.append(&whole_call(1)[..4]);
    for tries in 1..=2 {
        assert_eq!(receiver.next().await.seq(), 1);
        let rest = bench.rest(tries).await;
        bench.advance(rest);
    }
    assert_eq!(receiver.next().await.seq(), 1);
    assert_eq!(receiver.next().await.seq(), 2);
    bench.until(|store| store.dead(10).unwrap().len() == 1).await;
    let dead = bench.store.dead(10).unwrap().remove(0);
    assert_eq!((dead.delivery_seq, dead.tries, dead.status), (1, 3, Some(422)));
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_receivers_number_is_told_once_and_kept() {
    let dir = Dir::new();
    let large = format!("{{\"ticket_no\":\"N-1\",\"more\":\"{}\"}}", "x".repeat(200_000));
    let mut receiver = Receiver::start(move |_| large.clone().into_response()).await;
    let mut bench = Bench::start(dir.path(), &HandClock::new(), settings(&receiver.url));
    bench.append(&whole_call(2)[..1]);
    receiver.next().await;
    bench.until(drained).await;
    assert_eq!(bench.store.ticket(whole_call(2)[0].ticket).unwrap().unwrap().receiver_no, None, "too long an answer");
    bench.end().await;

    let dir = Dir::new();
    let mut receiver = Receiver::start(|_| "{\"ticket_no\":\"赤峰-7\"}".into_response()).await;
    let mut bench = Bench::start(dir.path(), &HandClock::new(), settings(&receiver.url));
    bench.clock.advance(Duration::from_secs(100));
    bench.append(&whole_call(1)[..8]);
    for _ in 0..4 {
        receiver.next().await;
    }
    // The news of a commit may come after the commit itself can be read: the number is waited for, not the store.
    let mut numbers = Vec::new();
    while numbers.is_empty() || !drained(&bench.store) {
        if let StoreNews::TicketNo { ticket: of, ticket_no, .. } = bench.news.recv().await.unwrap() {
            numbers.push((of, ticket_no));
        }
    }
    assert_eq!(numbers, [(ticket(), "赤峰-7".to_owned())]);
    assert_eq!(bench.store.ticket(ticket()).unwrap().unwrap().receiver_no.as_deref(), Some("赤峰-7"));
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_written_before_two_kills_arrive_with_their_ids_and_in_order() {
    let dir = Dir::new();
    let clock = HandClock::new();
    let mut ids = Vec::new();
    for part in [0..9, 9..20] {
        // The receiver is down.
        let mut bench = Bench::start(dir.path(), &clock, settings("http://127.0.0.1:9/"));
        bench.append(&whole_call(1)[part.clone()]);
        let last = whole_call(1)[part.end - 1].journal_seq;
        let call = whole_call(1)[0].call;
        bench.until(|store| store.journal(call).unwrap().len() as u64 == last).await;
        ids = bench.store.events(ticket()).unwrap().into_iter().map(|event| event.event_id.to_string()).collect();
        bench.end().await;
    }
    let mut receiver = Receiver::start(|_| status(200)).await;
    let mut bench = Bench::start(dir.path(), &clock, settings(&receiver.url));
    bench.advance(Duration::from_secs(3600));
    let mut arrived = Vec::new();
    for _ in 0..ids.len() {
        bench.wake.wake();
        arrived.push(receiver.next().await.id);
    }
    assert_eq!(arrived, ids);
    bench.until(drained).await;
    bench.end().await;
}
