//! One task per call: its mailbox and its deadline in, effects out. The thin loop around [`Call`].
//!
//! There is no await between `handle` and the end of the drain, and nothing here awaits a send: that is the whole
//! deadlock proof.
//!
//! A panic inside a call costs the input that met it and nothing else: the machine is cloned before each input (it has
//! no handle inside), and a panic puts the clone back and forgets what the input had put out. Then
//!
//! | the call | goes on |
//! |---|---|
//! | any other | is hung up with cause `internal`: its own machine says BYE or 500, repeats it, and ends its ticket |
//! | an emergency | as if the input had been lost; after 8 panics without its timers, so that one that always fails cannot spin |
//! | any other, 8 panics on | is dropped: media released, ticket ended by [`Journal::abort`] |
//! | not yet made | 500 to its INVITE; it has no ticket |
//!
//! Deliberately absent: anything telephonic.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;

use super::acd_task::AcdAsk;
use super::alarm::Alarms;
use super::journal::Journal;
use super::mailbox::{Mailbox, Mailboxes};
use super::media::MediaPlane;
use super::net::Net;
use super::switch_task::SwitchAsk;
use super::views::{CallViews, Figures};
use crate::acd::words::AcdInput;
use crate::acd::words::QueueRequest;
use crate::base::id::CallId;
use crate::call::control::Plans;
use crate::call::leg::LegRules;
use crate::call::words::{Arrived, CallEffect, CallInput, OperatorCommand};
use crate::call::{Call, Origin, Terms};
use crate::engine::clock::Clock;
use crate::event::reason::EndReason;
use crate::plan::model::Plan;
use crate::rtp::command::{MediaCommand, MediaReport, RefusedWhy};
use crate::sip::message::{Method, stateless_tag};
use crate::sip::print::Draft;
use crate::sip::token::TokenKey;
use crate::switch::words::{Beginning, NewCall};

/// Inputs handled in one turn before others get the thread.
const TURN: usize = 16;
/// Panics a call may meet before it is dropped, or an emergency call loses its timers.
const PANICS: u32 = 8;

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
    /// What is wrong.
    pub alarms: Arc<Alarms>,
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

/// The machine panicked.
#[derive(Debug, PartialEq, Eq)]
struct Panicked;

/// Runs a call from its INVITE to its end.
pub async fn run(world: World, pinned: Pinned, new: Box<NewCall>, mailbox: Mailbox) {
    let id = new.identity.call;
    let whole = match born(&world, &pinned, new) {
        Ok((call, out)) => contained(Living::new(&world, &pinned, call).live(mailbox, out)).await,
        Err(Panicked) => Err(Panicked),
    };
    if whole.is_err() {
        tracing::error!(call = %id, "a call was dropped for a fault of ours");
        let _ = world.media.send(id, MediaCommand::ReleaseCall);
        world.journal.abort(id, world.clock.now(), EndReason::Internal);
    }
    world.mailboxes.close(id);
    world.views.remove(id);
    let _ = world.acd.send(AcdAsk::Input(AcdInput::CallGone(id))).await;
    let _ = world.switch.send(SwitchAsk::CallOver { call: id }).await;
}

fn born(world: &World, pinned: &Pinned, new: Box<NewCall>) -> Result<(Call, Vec<CallEffect>), Panicked> {
    let NewCall { identity, invite, facts, .. } = *new;
    let (mut out, kept) = (Vec::new(), invite.clone());
    let newest = world.newest.load_full();
    let (now, terms) = (world.clock.now(), world.terms(&pinned.plan, &newest));
    let invite = Box::new(invite);
    let origin = match facts {
        Beginning::Trunk(facts) => Origin::Inbound { invite, facts },
        Beginning::Agent(facts) => Origin::Agent { invite, facts: Box::new(facts) },
    };
    let made = catch_unwind(AssertUnwindSafe(|| Call::new(now, terms, identity, origin, &mut out)));
    made.map(|call| (call, out)).map_err(|_| {
        world.figures.panicked.fetch_add(1, Ordering::Relaxed);
        refuse(world, &kept);
        Panicked
    })
}

fn refuse(world: &World, invite: &Arrived) {
    if invite.message.is(&Method::Invite) {
        let answer = Draft::response(&invite.message, 500, None)
            .via_source(invite.flow.remote)
            .to_tag(stateless_tag(&invite.message).as_bytes());
        world.net.send_for_call(&invite.flow, answer.finish().bytes().clone());
    }
}

/// Lets a machine act. A panic takes back what it did and what it put out.
fn step<M: Clone, E>(machine: &mut M, out: &mut Vec<E>, act: impl FnOnce(&mut M, &mut Vec<E>)) -> Result<(), Panicked> {
    let (before, said) = (machine.clone(), out.len());
    catch_unwind(AssertUnwindSafe(|| act(machine, out))).map_err(|_| {
        *machine = before;
        out.truncate(said);
        Panicked
    })
}

struct Living<'w> {
    world: &'w World,
    pinned: &'w Pinned,
    call: Call,
    panics: u32,
    closed: bool,
}

impl<'w> Living<'w> {
    const fn new(world: &'w World, pinned: &'w Pinned, call: Call) -> Self {
        Self { world, pinned, call, panics: 0, closed: false }
    }

    async fn live(mut self, mut mailbox: Mailbox, mut out: Vec<CallEffect>) -> Result<(), Panicked> {
        let (world, id) = (self.world, self.call.control().identity().call);
        carry_out(world, self.pinned, id, &mut out);
        self.show();
        while !self.call.is_over() {
            let due = self.due();
            let input = tokio::select! {
                biased;
                input = mailbox.recv() => match input {
                    Some(input) => input,
                    None => {
                        self.end_at_once(&mut out);
                        return Ok(());
                    }
                },
                () = wait_until(due) => CallInput::Deadline,
            };
            self.take(input, &mut out)?;
            for _ in 1..TURN {
                let Some(input) = mailbox.try_recv() else { break };
                self.take(input, &mut out)?;
            }
            carry_out(world, self.pinned, id, &mut out);
            self.show();
        }
        Ok(())
    }

    /// The engine stops: a goodbye without waiting for its answer.
    fn end_at_once(&mut self, out: &mut Vec<CallEffect>) {
        let (world, id) = (self.world, self.call.control().identity().call);
        let reason = EndReason::Draining;
        let _ = self.handle(CallInput::Operator(Box::new(OperatorCommand::HangUp { leg: None, reason })), out);
        carry_out(world, self.pinned, id, out);
        world.journal.abort(id, world.clock.now(), reason);
    }

    fn due(&self) -> Option<tokio::time::Instant> {
        let timed = self.panics < PANICS;
        self.call.deadline().filter(|_| timed).map(|(at, _)| self.world.clock.instant(at))
    }

    /// Shows the call as it is; a closed one is nobody's business any more and gives its place to the next, though its
    /// transactions may live on for 64·T1 (RFC 3261 §17.2.2 timer J).
    fn show(&mut self) {
        if !self.call.control().is_closed() {
            return self.world.views.show(&self.call);
        }
        if !self.closed {
            self.closed = true;
            let id = self.call.control().identity().call;
            self.world.views.remove(id);
            // When the channel is full the place is given back by `CallOver`.
            let _ = self.world.switch.try_send(SwitchAsk::CallClosed(id));
        }
    }

    /// Whether a party of an emergency is on the line: then we never end the call.
    fn is_emergency(&self) -> bool {
        let control = self.call.control();
        control.is_guarded() || (self.pinned.emergency && control.phase().is_live())
    }

    fn take(&mut self, input: CallInput, out: &mut Vec<CallEffect>) -> Result<(), Panicked> {
        let Err(Panicked) = self.handle(input, out) else { return Ok(()) };
        self.panics += 1;
        self.world.figures.panicked.fetch_add(1, Ordering::Relaxed);
        let emergency = self.is_emergency();
        tracing::error!(call = %self.call.control().identity().call, panics = self.panics, emergency, "a call panicked");
        if emergency {
            return Ok(());
        }
        if self.panics >= PANICS {
            return Err(Panicked);
        }
        let goodbye = OperatorCommand::HangUp { leg: None, reason: EndReason::Internal };
        self.handle(CallInput::Operator(Box::new(goodbye)), out)
    }

    fn handle(&mut self, input: CallInput, out: &mut Vec<CallEffect>) -> Result<(), Panicked> {
        let newest = self.world.newest.load_full();
        let (now, terms) = (self.world.clock.now(), self.world.terms(&self.pinned.plan, &newest));
        step(&mut self.call, out, |call, out| {
            #[cfg(test)]
            super::tests::panics::meet(&input, call, now, terms, out);
            call.handle(now, terms, input, out);
        })
    }
}

fn carry_out(world: &World, pinned: &Pinned, call: CallId, out: &mut Vec<CallEffect>) {
    for effect in out.drain(..) {
        match effect {
            CallEffect::Transmit(flow, bytes) => world.net.send_for_call(&flow, bytes),
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
            CallEffect::Far(leg, far, news) => {
                if world.switch.try_send(SwitchAsk::Far { call, leg, far, news }).is_err() {
                    world.figures.switch_full.fetch_add(1, Ordering::Relaxed);
                }
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

/// A panic outside of the machine is contained too; nothing of the call is to be trusted then. No async function, or
/// the future would lie in its task a second time beside the box.
fn contained<F: Future<Output = Result<(), Panicked>>>(future: F) -> impl Future<Output = Result<(), Panicked>> {
    let mut future = Box::pin(future);
    std::future::poll_fn(move |context| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        polled.unwrap_or(std::task::Poll::Ready(Err(Panicked)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_takes_back_what_was_done_and_said() {
        let (mut machine, mut out) = (vec![1], vec!["before"]);
        let done = step(&mut machine, &mut out, |machine, out| {
            machine.push(2);
            out.push("kept");
        });
        assert_eq!(done, Ok(()));
        let done = step(&mut machine, &mut out, |machine, out| {
            machine.clear();
            out.push("taken back");
            panic!("on purpose");
        });
        assert_eq!(done, Err(Panicked));
        assert_eq!((machine, out), (vec![1, 2], vec!["before", "kept"]));
    }
}
