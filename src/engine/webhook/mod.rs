//! Sends what the outbox owes: signed POSTs, at least once, in order per ticket and endpoint.
//!
//! One task per endpoint picks due lane heads, posts at most `connections` at a time and notes each result through
//! the store; what is to become of an attempt is decided in [`retry`] without clock or socket. A ticket has one post
//! in flight per endpoint; the next one follows only once the result of the last is on the disk. The lanes are looked
//! at once per commit, which is what new events and results arrive with, not once per post. Sources: Standard
//! Webhooks 1.0 for headers and signature, RFC 9110 §10.2.3 for Retry-After. No redirect is followed, no proxy used.
//!
//! Limits: results of `UNSTORED` times as many posts as may be in flight may wait for the disk, beyond that nothing is
//! posted; an answer is read up to [`ANSWER_MAX`] bytes; a receiver's number up to [`answer::TICKET_NO_MAX`]
//! characters. Deliberately absent: filters, masks and templates per endpoint, mTLS.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::base::id::TicketId;
use crate::base::now::Now;
use crate::engine::store::{Due, Picked, Settlement, Store, StoreFault};

pub mod answer;
pub mod endpoint;
pub mod retry;
pub mod sign;

pub use endpoint::{EndpointFault, EndpointSettings};

use answer::Answer;
use endpoint::Endpoint;
use retry::{Attempt, Outcome};

/// The most of an answer that is read, bytes.
pub const ANSWER_MAX: usize = 64 * 1024;
/// How many times `connections` tickets may be in flight or wait for their result to be stored.
const UNSTORED: usize = 4;
/// The longest sleep between two looks at an endpoint's lanes.
const LOOK_AT_LEAST: Duration = Duration::from_secs(30);
/// How long to leave the store alone after it could not be read.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// Wakes the senders: something may be due. Cheap to clone and to call from any thread.
#[derive(Clone, Debug, Default)]
pub struct Wake(Arc<Notified>);

#[derive(Debug, Default)]
struct Notified {
    endpoints: Mutex<Vec<Arc<Notify>>>,
}

impl Wake {
    /// Wakes every sender. Hand it the store's `Committed` news.
    pub fn wake(&self) {
        for endpoint in self.endpoints().iter() {
            endpoint.notify_one();
        }
    }

    fn add(&self) -> Arc<Notify> {
        let endpoint = Arc::new(Notify::new());
        self.endpoints().push(Arc::clone(&endpoint));
        endpoint
    }

    fn endpoints(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Notify>>> {
        self.0.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The senders of all endpoints.
pub struct Webhooks {
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Webhooks {
    /// Starts a sender per endpoint.
    ///
    /// # Errors
    /// When an endpoint's URL, allow-list or secret cannot be used; nothing is started then.
    pub fn start(
        endpoints: Vec<EndpointSettings>,
        store: &Arc<Store>,
        clock: &Arc<dyn Fn() -> Now + Send + Sync>,
        wake: &Wake,
    ) -> Result<Self, EndpointFault> {
        let endpoints = endpoints.into_iter().map(Endpoint::new).collect::<Result<Vec<_>, _>>()?;
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        for endpoint in endpoints {
            let sender = Sender {
                endpoint: Arc::new(endpoint),
                store: Arc::clone(store),
                clock: Arc::clone(clock),
                wake: wake.add(),
                stop: stop.clone(),
                busy: Arc::default(),
                settled: Settled::default(),
                lost: 0,
            };
            tasks.spawn(sender.run());
        }
        Ok(Self { tasks, stop })
    }

    /// Starts no further post, waits for those in flight, and ends. What was not delivered stays in the outbox.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

struct Sender {
    endpoint: Arc<Endpoint>,
    store: Arc<Store>,
    clock: Arc<dyn Fn() -> Now + Send + Sync>,
    wake: Arc<Notify>,
    stop: CancellationToken,
    /// Tickets with a post in flight or a result not yet stored.
    busy: Arc<BTreeSet<TicketId>>,
    settled: Settled,
    /// Posts that panicked: their tickets stay busy until the next start, better silent than out of order.
    lost: usize,
}

/// Tickets whose results were stored since the last look; filled on the store's thread.
#[derive(Clone, Debug, Default)]
struct Settled(Arc<Mutex<Vec<TicketId>>>);

impl Settled {
    fn note(&self, ticket: TicketId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(ticket);
    }

    fn take(&self) -> Vec<TicketId> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Sender {
    async fn run(mut self) {
        let mut posts: JoinSet<()> = JoinSet::new();
        loop {
            while let Some(done) = posts.try_join_next() {
                self.finished(done);
            }
            for ticket in self.settled.take() {
                Arc::make_mut(&mut self.busy).remove(&ticket);
            }
            let stopping = self.stop.is_cancelled();
            if stopping && posts.is_empty() && self.busy.len() <= self.lost {
                return;
            }
            let room = self.room(posts.len());
            let wait = if room > 0 && !stopping { self.look(room, &mut posts).await } else { LOOK_AT_LEAST };
            let look_again = tokio::time::Instant::now() + wait;
            tokio::select! {
                // New events and stored results alike come with a commit.
                () = self.wake.notified() => {}
                Some(done) = posts.join_next(), if stopping => self.finished(done),
                () = self.stop.cancelled(), if !stopping => {}
                () = tokio::time::sleep_until(look_again) => {}
            }
        }
    }

    /// How many more posts may begin.
    fn room(&self, flying: usize) -> usize {
        let most = self.endpoint.connections;
        most.saturating_sub(flying).min(most.saturating_mul(UNSTORED).saturating_sub(self.busy.len()))
    }

    /// Posts what is due and says how long to sleep if nothing happens.
    async fn look(&mut self, room: usize, posts: &mut JoinSet<()>) -> Duration {
        let picked = match self.pick(room).await {
            Ok(picked) => picked,
            Err(fault) => {
                tracing::error!(endpoint = self.endpoint.name, %fault, "the outbox cannot be read");
                return READ_AGAIN;
            }
        };
        let sleep = self.until(&picked);
        for due in picked.due {
            Arc::make_mut(&mut self.busy).insert(due.ticket);
            posts.spawn(deliver(
                Arc::clone(&self.endpoint),
                Arc::clone(&self.store),
                Arc::clone(&self.clock),
                self.settled.clone(),
                due,
            ));
        }
        sleep
    }

    fn finished(&mut self, done: Result<(), tokio::task::JoinError>) {
        if let Err(fault) = done {
            self.lost += 1;
            tracing::error!(endpoint = self.endpoint.name, %fault, "a post panicked");
        }
    }

    async fn pick(&self, room: usize) -> Result<Picked, StoreFault> {
        let (store, busy, name) = (Arc::clone(&self.store), Arc::clone(&self.busy), self.endpoint.name.clone());
        let now = (self.clock)().wall;
        let look = move || store.due(&name, now, room, &|ticket| busy.contains(&ticket), busy.len());
        tokio::task::spawn_blocking(look).await.unwrap_or_else(|_| Ok(Picked::default()))
    }

    fn until(&self, picked: &Picked) -> Duration {
        let Some(next) = picked.next_at else { return LOOK_AT_LEAST };
        let span = next.duration_since((self.clock)().wall);
        Duration::try_from(span).unwrap_or_default().clamp(Duration::from_millis(1), LOOK_AT_LEAST)
    }
}

/// Posts one body and hands its result to the store.
async fn deliver(
    endpoint: Arc<Endpoint>,
    store: Arc<Store>,
    clock: Arc<dyn Fn() -> Now + Send + Sync>,
    settled: Settled,
    mut due: Due,
) {
    let body = std::mem::take(&mut due.body);
    let answer = endpoint.post(&due, body, clock().wall).await;
    let now = clock().wall;
    let attempt = Attempt {
        tries: due.tries,
        first_at: due.first_at,
        now,
        jitter: retry::jitter(endpoint.seed, due.event_id, due.tries),
        conflict_is_done: endpoint.conflict_is_done,
    };
    let disposition = retry::next_attempt(&answer.outcome, &attempt);
    tracing::debug!(endpoint = endpoint.name, event = %due.event_id, ?disposition, "attempt");
    let said = Settlement {
        endpoint: endpoint.name.clone(),
        ticket: due.ticket,
        delivery_seq: due.delivery_seq,
        disposition,
        status: answer.outcome.status(),
        answer: answer.shown,
        ticket_no: answer.ticket_no,
        at: now,
    };
    let (ticket, stored) = (due.ticket, settled.clone());
    // A store that closes or has no room takes nothing: the event is sent again, as "at least once" allows.
    if !store.settle(said, move || stored.note(ticket)) {
        settled.note(ticket);
    }
}

impl Endpoint {
    async fn post(&self, due: &Due, body: Vec<u8>, now: jiff::Timestamp) -> Answer {
        let id = due.event_id.to_string();
        let second = now.as_second();
        let request = self
            .client
            .post(self.url.clone())
            .header("content-type", "application/json")
            .header("webhook-id", &id)
            .header("webhook-timestamp", second)
            .header("webhook-signature", sign::signatures(&self.keys, &id, second, &body))
            .body(body);
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(fault) => return Answer::unreachable(&fault),
        };
        let status = response.status().as_u16();
        let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|text| retry::retry_after(text, now));
        let mut body = Vec::new();
        // A status decides by itself; an answer cut off or too long only costs the number in it.
        while let Ok(Some(chunk)) = response.chunk().await {
            let room = ANSWER_MAX - body.len();
            body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
            if body.len() >= ANSWER_MAX {
                break;
            }
        }
        Answer::new(Outcome::Status { status, retry_after }, &body)
    }
}
