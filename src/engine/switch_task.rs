//! The one task every packet passes: it owns the switch, begins call tasks, and answers their questions.
//!
//! Packets come in batches, questions one by one, each in the order they came; nothing here waits for a call. A packet
//! that makes the machine panic costs itself: the task goes on, or nobody could call any more.
//! Deliberately absent: deciding whose packet it is (`switch`).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::acd_task::AcdAsk;
use super::call_task::{self, Pinned, World};
use super::dns::Dns;
use super::net::{Net, NetEvent, Packets};
use crate::acd::words::LineState;
use crate::base::flow::{Flow, Side, Transport};
use crate::base::id::{AgentId, CallId, LegId, LookupId, TrunkName};
use crate::base::secret::Masked;
use crate::call::words::{CallInput, FarEnd, FarNews, LegExchange, Query};
use crate::plan::model::Plan;
use crate::rtp::command::MediaLeg;
use crate::switch::Switch;
use crate::switch::locate::{Found, Wanted};
use crate::switch::trunks::view::TrunkView;
use crate::switch::words::{Counted, NewCall, Paths, Peer, SwitchEffect};

/// Packets taken from the queue at once; waking the task costs more than handling a packet.
const BATCH: usize = 64;

/// What the switch task is asked.
#[derive(Debug)]
pub enum SwitchAsk {
    /// Where somebody is.
    Find {
        /// Who asks.
        call: CallId,
        /// The question's id.
        lookup: LookupId,
        /// The question.
        query: Query,
    },
    /// What an agent's leg does now.
    Line {
        /// The agent.
        agent: AgentId,
        /// The leg.
        leg: MediaLeg,
        /// What it does.
        state: LineState,
    },
    /// Nothing more is said about a call; its last transactions may still run.
    CallClosed(CallId),
    /// A call is over.
    CallOver {
        /// Which.
        call: CallId,
    },
    /// A leg moves between calls.
    Exchange {
        /// Who says so.
        call: CallId,
        /// What.
        exchange: LegExchange,
    },
    /// A new plan is in force.
    Replan(Arc<Plan>),
    /// Where a trunk's host name leads and how long that holds; none when the DNS gave nothing.
    Located(Wanted, Option<(Found, Duration)>),
    /// How a call's leg over a trunk fares.
    Far {
        /// The call.
        call: CallId,
        /// Its leg.
        leg: LegId,
        /// The far end.
        far: FarEnd,
        /// What happened.
        news: FarNews,
    },
    /// A trunk goes out of use for maintenance, or comes back; whether there is such a trunk.
    BusyOut(TrunkName, bool, oneshot::Sender<bool>),
    /// Our registrations are taken back; answered when none is left.
    LeaveRegistrars(oneshot::Sender<()>),
    /// Only emergency calls from now on.
    Drain,
    /// The trunks and phones as they are.
    View(oneshot::Sender<SwitchView>),
}

/// Trunks and registrations as shown.
#[derive(Clone, Debug, Serialize)]
pub struct SwitchView {
    /// All trunks.
    pub trunks: Vec<TrunkView>,
    /// Agents with a phone registered, and how many.
    pub registered: Vec<(AgentId, usize)>,
    /// Calls whose names the switch holds.
    pub calls: usize,
    /// Names held for them; zero when no call lives.
    pub names: usize,
    /// Whether only emergency calls are let in.
    pub draining: bool,
}

impl Paths for Net {
    fn flow_to(&self, side: Side, transport: Transport, peer: &Peer<'_>) -> Option<Flow> {
        Self::flow_to(self, side, transport, peer)
    }
}

/// The task.
pub struct SwitchTask {
    /// The machine.
    pub switch: Switch,
    /// What calls reach.
    pub world: World,
    /// Call tasks.
    pub calls: TaskTracker,
    /// Look-ups under way.
    pub lookups: TaskTracker,
    /// Who looks names up.
    pub dns: Dns,
    /// Who waits for our registrations to be taken back.
    pub leaving: Option<oneshot::Sender<()>>,
}

impl SwitchTask {
    /// Runs until the engine stops.
    pub async fn run(mut self, mut packets: Packets, mut asked: mpsc::Receiver<SwitchAsk>, stop: CancellationToken) {
        let mut out = Vec::new();
        let mut batch = Vec::with_capacity(BATCH);
        self.survive(&mut out, |task, out| task.switch.tend(task.world.clock.now(), &task.world.net, out));
        loop {
            self.tell_left();
            let due = self.switch.deadline().map(|at| self.world.clock.instant(at));
            tokio::select! {
                () = stop.cancelled() => return,
                1.. = packets.recv_many(&mut batch, BATCH) => {}
                Some(ask) = asked.recv() => self.survive(&mut out, |task, out| task.on_ask(ask, out)),
                () = call_task::wait_until(due) => {
                    self.survive(&mut out, |task, out| {
                        let now = task.world.clock.now();
                        task.switch.on_deadline(now, out);
                        task.switch.tend(now, &task.world.net, out);
                    });
                }
            }
            self.switch.set_journal_full(self.world.journal.is_full());
            for event in batch.drain(..) {
                self.survive(&mut out, |task, out| task.on_packet(event, out));
            }
        }
    }

    /// Lets the machine act and carries out what it wants; a panic in it is told and survived.
    fn survive(&mut self, out: &mut Vec<SwitchEffect>, act: impl FnOnce(&mut Self, &mut Vec<SwitchEffect>)) {
        if catch_unwind(AssertUnwindSafe(|| act(self, out))).is_err() {
            self.world.figures.panicked.fetch_add(1, Ordering::Relaxed);
            tracing::error!("the switch panicked over one input");
        }
        for effect in out.drain(..) {
            self.carry_out(effect);
        }
    }

    fn on_packet(&mut self, event: NetEvent, out: &mut Vec<SwitchEffect>) {
        match event {
            NetEvent::Packet { flow, bytes } => self.switch.receive(self.world.clock.now(), flow, bytes, out),
            NetEvent::Closed { flow, carried_calls } => {
                self.switch.closed(self.world.clock.now(), flow, out);
                // Who opens and closes connections without a call must not cost every call an input.
                if carried_calls {
                    for call in self.world.mailboxes.calls() {
                        out.push(SwitchEffect::Deliver(call, CallInput::TransportDown(flow)));
                    }
                }
            }
        }
    }

    fn on_ask(&mut self, ask: SwitchAsk, out: &mut Vec<SwitchEffect>) {
        match ask {
            SwitchAsk::Find { call, lookup, query } => {
                self.switch.find(self.world.clock.now(), (call, lookup), &query, &self.world.net, out);
            }
            SwitchAsk::Far { call, leg, far, news } => {
                self.switch.on_far(self.world.clock.now(), (call, leg), &far, news, out);
            }
            SwitchAsk::Line { agent, leg, state } => self.switch.note_line(agent, leg, state),
            SwitchAsk::CallClosed(call) => {
                self.switch.call_closed(call);
                self.world.journal.close(call);
            }
            SwitchAsk::CallOver { call } => {
                self.switch.call_over(call);
                self.world.journal.close(call);
            }
            SwitchAsk::Exchange { call, exchange } => {
                tracing::debug!(%call, ?exchange, "legs are not moved between calls by this build");
            }
            SwitchAsk::Replan(plan) => self.switch.replan(plan, out),
            SwitchAsk::Located(name, answer) => self.switch.located(self.world.clock.now(), &name, answer, out),
            SwitchAsk::BusyOut(trunk, busy_out, reply) => drop(reply.send(self.switch.set_busy_out(&trunk, busy_out))),
            SwitchAsk::LeaveRegistrars(reply) => {
                self.switch.leave_registrars(self.world.clock.now(), out);
                self.leaving = Some(reply);
            }
            SwitchAsk::Drain => self.switch.drain(),
            SwitchAsk::View(reply) => drop(reply.send(self.view())),
        }
    }

    fn carry_out(&mut self, effect: SwitchEffect) {
        match effect {
            SwitchEffect::Transmit(flow, bytes) => self.world.net.send(&flow, bytes),
            SwitchEffect::Begin(new) => self.begin(new),
            SwitchEffect::Deliver(call, input) => {
                self.world.mailboxes.post(call, input);
            }
            SwitchEffect::Acd(input) => {
                // Closed: the engine is stopping, and nobody is offered anything any more.
                if let Err(TrySendError::Full(_)) = self.world.acd.try_send(AcdAsk::Input(input)) {
                    tracing::error!("the queues' channel is full");
                }
            }
            SwitchEffect::Count(counted) => count(counted),
            SwitchEffect::Locate(wanted) => self.locate(wanted),
            SwitchEffect::Alarm(note) => self.world.alarms.note(self.world.clock.now().wall, note),
        }
    }

    /// Looks a name up beside everything else.
    fn locate(&self, wanted: Wanted) {
        let (dns, switch) = (self.dns.clone(), self.world.switch.clone());
        self.lookups.spawn(async move {
            let answer = dns.locate(wanted.clone()).await;
            if let Err(fault) = &answer {
                tracing::warn!(fault, "a trunk's host name cannot be looked up");
            }
            // A full channel loses it; the switch asks again.
            let _ = switch.try_send(SwitchAsk::Located(wanted, answer.ok()));
        });
    }

    /// Tells who waits for the end of our registrations.
    fn tell_left(&mut self) {
        if self.switch.has_left_registrars()
            && let Some(reply) = self.leaving.take()
        {
            let _ = reply.send(());
        }
    }

    fn begin(&mut self, new: Box<NewCall>) {
        let call = new.identity.call;
        // The store has room for as many calls as admission lets in, so this refuses only while the disk stands still.
        if !self.world.journal.open(call, new.emergency) && !self.world.journal.open(call, true) {
            self.switch.call_over(call);
            return;
        }
        let mailbox = self.world.mailboxes.open(call);
        let pinned = Pinned { plan: Arc::clone(self.switch.plan()), emergency: new.emergency };
        self.calls.spawn(call_task::run(self.world.clone(), pinned, new, mailbox));
    }

    fn view(&self) -> SwitchView {
        SwitchView {
            trunks: self.switch.trunk_views(self.world.clock.now()),
            registered: self.switch.desk().registered().map(|(agent, phones)| (agent.clone(), phones)).collect(),
            calls: self.switch.calls().len(),
            names: self.switch.calls().names(),
            draining: self.switch.admission().is_draining(),
        }
    }
}

fn count(counted: Counted) {
    match counted {
        Counted::Malformed => metrics::counter!("switch12345_sip_malformed_total").increment(1),
        Counted::UnknownSource => metrics::counter!("switch12345_sip_unknown_source_total").increment(1),
        Counted::Challenged => metrics::counter!("switch12345_sip_challenged_total").increment(1),
        Counted::Unchecked => metrics::counter!("switch12345_sip_unchecked_total").increment(1),
        Counted::Guessing { address, user, paused, pause } => {
            tracing::warn!(%address, user = %Masked(&user), paused = paused.word(), pause_s = pause.as_secs(), "somebody guesses passwords");
            metrics::counter!("switch12345_sip_guessing_total", "paused" => paused.word()).increment(1);
        }
        Counted::Throttled => metrics::counter!("switch12345_sip_throttled_total").increment(1),
        Counted::Stray => metrics::counter!("switch12345_sip_stray_total").increment(1),
        Counted::RefusedOut(trunk, why) => {
            let labels = [("trunk", trunk.to_string()), ("cause", why.word().to_owned())];
            metrics::counter!("switch12345_legs_refused_total", &labels).increment(1);
        }
        Counted::Turned(far, up) => {
            let (trunk, state) = (far.trunk.to_string(), if up { "up" } else { "down" });
            tracing::warn!(trunk, state, far_end = %far.remote, "a far end of a trunk");
            metrics::counter!("switch12345_far_end_turns_total", "trunk" => trunk, "state" => state).increment(1);
        }
        Counted::Looped(trunk) => {
            metrics::counter!("switch12345_calls_looped_total", "trunk" => trunk.to_string()).increment(1);
        }
        Counted::Merged => metrics::counter!("switch12345_sip_merged_total").increment(1),
        Counted::Admitted(trunk) => {
            metrics::counter!("switch12345_calls_admitted_total", "trunk" => trunk.to_string()).increment(1);
        }
        Counted::LeftOut(trunk, count) => {
            let trunk = trunk.to_string();
            metrics::counter!("switch12345_sip_not_carried_total", "trunk" => trunk).increment(count.into());
        }
        Counted::Refused(trunk, why) => {
            let trunk = trunk.map_or_else(|| "none".to_owned(), |trunk| trunk.to_string());
            metrics::counter!("switch12345_calls_refused_total", "trunk" => trunk, "cause" => why.word()).increment(1);
        }
    }
}
