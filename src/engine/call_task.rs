//! One task per call: its mailbox and its deadline in, effects out. The thin loop around [`Call`].
//!
//! There is no await between `handle` and the end of the drain, and nothing here awaits a send: that is the whole
//! deadlock proof. A panic inside a call is told to the switch, which says goodbye to its legs.
//!
//! Deliberately absent: anything telephonic.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;

use super::acd_task::AcdAsk;
use super::journal::Journal;
use super::mailbox::Mailboxes;
use super::media::MediaPlane;
use super::net::Net;
use super::switch_task::SwitchAsk;
use super::views::{CallViews, Figures};
use crate::acd::words::AcdInput;
use crate::acd::words::QueueRequest;
use crate::base::id::CallId;
use crate::call::control::Plans;
use crate::call::leg::LegRules;
use crate::call::words::{CallEffect, CallInput};
use crate::call::{Call, Terms};
use crate::engine::clock::Clock;
use crate::plan::model::Plan;
use crate::rtp::command::{MediaCommand, MediaReport, RefusedWhy};
use crate::sip::token::TokenKey;

/// Inputs handled in one turn before others get the thread.
const TURN: usize = 16;

/// What a call keeps from its first moment on.
#[derive(Clone)]
pub struct Pinned {
    /// The plan in force at its INVITE.
    pub plan: Arc<Plan>,
    /// Whether it may use room kept for emergencies.
    pub emergency: bool,
}

/// Everything a call task can reach.
#[derive(Clone)]
pub struct World {
    /// Time.
    pub clock: Clock,
    /// Sockets.
    pub net: Net,
    /// Media workers.
    pub media: Arc<MediaPlane>,
    /// The queues.
    pub acd: mpsc::Sender<AcdAsk>,
    /// The switch.
    pub switch: mpsc::Sender<SwitchAsk>,
    /// The journal.
    pub journal: Journal,
    /// Everybody's mailboxes.
    pub mailboxes: Arc<Mailboxes>,
    /// What the API shows.
    pub views: Arc<CallViews>,
    /// Counters.
    pub figures: Arc<Figures>,
    /// The newest plan; emergency routes come from it.
    pub newest: Arc<ArcSwap<Plan>>,
    /// What all legs follow.
    pub legs: Arc<LegRules>,
    /// Signs tags and branches.
    pub key: TokenKey,
}

impl World {
    /// What a call is handled under.
    #[must_use]
    pub fn terms<'a>(&'a self, pinned: &'a Plan, newest: &'a Plan) -> Terms<'a> {
        Terms { plans: Plans { pinned, newest }, legs: &self.legs, key: self.key }
    }
}

/// Runs a call to its end.
pub async fn run(world: World, pinned: Pinned, call: Call, mailbox: mpsc::Receiver<CallInput>, born: Vec<CallEffect>) {
    let id = call.control().identity().call;
    let ended = caught(live(&world, &pinned, call, mailbox, born)).await;
    world.mailboxes.close(id);
    world.views.remove(id);
    let whole = ended.is_ok();
    if !whole {
        tracing::error!(call = %id, "a call's task panicked; its legs are ended by the switch");
        world.figures.panicked.fetch_add(1, Ordering::Relaxed);
        let _ = world.media.send(id, MediaCommand::ReleaseCall);
    }
    let _ = world.acd.send(AcdAsk::Input(AcdInput::CallGone(id))).await;
    let _ = world.switch.send(SwitchAsk::CallOver { call: id, whole }).await;
}

async fn live(
    world: &World,
    pinned: &Pinned,
    mut call: Call,
    mut mailbox: mpsc::Receiver<CallInput>,
    mut out: Vec<CallEffect>,
) {
    let id = call.control().identity().call;
    let mut closed = false;
    carry_out(world, pinned, id, &mut out);
    show(world, &call, &mut closed);
    while !call.is_over() {
        let due = call.deadline().map(|(at, _)| world.clock.instant(at));
        let input = tokio::select! {
            biased;
            input = mailbox.recv() => match input {
                Some(input) => input,
                None => return,
            },
            () = wait_until(due) => CallInput::Deadline,
        };
        let newest = world.newest.load_full();
        let terms = world.terms(&pinned.plan, &newest);
        call.handle(world.clock.now(), terms, input, &mut out);
        for _ in 1..TURN {
            let Ok(input) = mailbox.try_recv() else { break };
            call.handle(world.clock.now(), terms, input, &mut out);
        }
        carry_out(world, pinned, id, &mut out);
        show(world, &call, &mut closed);
    }
}

/// Shows the call as it is; a closed one is nobody's business any more and gives its place to the next, though its
/// transactions may live on for 64·T1 (RFC 3261 §17.2.2 timer J).
fn show(world: &World, call: &Call, closed: &mut bool) {
    if !call.control().is_closed() {
        return world.views.show(call);
    }
    if !*closed {
        *closed = true;
        let id = call.control().identity().call;
        world.views.remove(id);
        // When the channel is full the place is given back by `CallOver`.
        let _ = world.switch.try_send(SwitchAsk::CallClosed(id));
    }
}

fn carry_out(world: &World, pinned: &Pinned, call: CallId, out: &mut Vec<CallEffect>) {
    for effect in out.drain(..) {
        match effect {
            CallEffect::Transmit(flow, bytes) => world.net.send(&flow, bytes),
            CallEffect::Media(command) => {
                let allocating = match &command {
                    MediaCommand::Allocate { leg, .. } => Some(*leg),
                    _ => None,
                };
                let sent = if pinned.emergency {
                    world.media.send_emergency(call, command)
                } else {
                    world.media.send(call, command)
                };
                if sent.is_err()
                    && let Some(leg) = allocating
                {
                    let refused = MediaReport::Refused { leg, why: RefusedWhy::Overloaded };
                    world.mailboxes.post(call, CallInput::Media(refused));
                }
            }
            CallEffect::Queue(request) => {
                if let QueueRequest::Line { agent, leg, state, .. } = &request {
                    let line = SwitchAsk::Line { agent: agent.clone(), leg: *leg, state: *state };
                    if world.switch.try_send(line).is_err() {
                        world.figures.switch_full.fetch_add(1, Ordering::Relaxed);
                    }
                }
                if world.acd.try_send(AcdAsk::Input(AcdInput::Call(call, request))).is_err() {
                    world.figures.acd_full.fetch_add(1, Ordering::Relaxed);
                }
            }
            CallEffect::Find(lookup, query) => {
                if world.switch.try_send(SwitchAsk::Find { call, lookup, query }).is_err() {
                    world.mailboxes.post(call, CallInput::Found(lookup, Box::default()));
                }
            }
            CallEffect::Give(exchange) => {
                let _ = world.switch.try_send(SwitchAsk::Exchange { call, exchange });
            }
            CallEffect::Emit(event, barrier) => world.journal.append(*event, barrier),
        }
    }
}

/// Waits for a deadline, or for ever when there is none.
pub(super) async fn wait_until(due: Option<tokio::time::Instant>) {
    match due {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn caught<F: Future<Output = ()>>(future: F) -> Result<(), ()> {
    let mut future = Box::pin(AssertUnwindSafe(future));
    std::future::poll_fn(move |context| {
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        match polled {
            Ok(std::task::Poll::Pending) => std::task::Poll::Pending,
            Ok(std::task::Poll::Ready(())) => std::task::Poll::Ready(Ok(())),
            Err(_) => std::task::Poll::Ready(Err(())),
        }
    })
    .await
}
