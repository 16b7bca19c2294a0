//! The one task every packet passes: it owns the switch, begins call tasks, and answers their questions.
//!
//! Packets come in batches, questions one by one, each in the order they came; nothing here waits for a call. A packet
//! that makes the machine panic costs itself: the task goes on, or nobody could call any more.
//! Deliberately absent: deciding whose packet it is (`switch`).

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::Serialize;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::acd_task::AcdAsk;
use super::call_task::{self, Pinned, World};
use super::net::{Net, NetEvent, Packets};
use crate::acd::words::LineState;
use crate::base::flow::{Flow, Side, Transport};
use crate::base::id::{AgentId, CallId, LookupId};
use crate::base::secret::Masked;
use crate::call::words::{CallInput, LegExchange, Query};
use crate::plan::model::Plan;
use crate::rtp::command::MediaLeg;
use crate::switch::Switch;
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
    /// A trunk's host name was resolved.
    Resolved(String, Vec<SocketAddr>),
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

/// One trunk as shown.
#[derive(Clone, Debug, Serialize)]
pub struct TrunkView {
    /// Its name.
    pub trunk: String,
    /// Its place.
    pub tenant: String,
    /// Calls that came over it and live.
    pub calls: u32,
    /// Calls it may carry; zero is no cap.
    pub max_calls: u32,
    /// Where calls out go.
    pub to: Vec<String>,
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
}

impl SwitchTask {
    /// Runs until the engine stops.
    pub async fn run(mut self, mut packets: Packets, mut asked: mpsc::Receiver<SwitchAsk>, stop: CancellationToken) {
        let mut out = Vec::new();
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let due = self.switch.deadline().map(|at| self.world.clock.instant(at));
            tokio::select! {
                () = stop.cancelled() => return,
                1.. = packets.recv_many(&mut batch, BATCH) => {}
                Some(ask) = asked.recv() => self.survive(&mut out, |task, out| task.on_ask(ask, out)),
                () = call_task::wait_until(due) => {
                    self.survive(&mut out, |task, out| task.switch.on_deadline(task.world.clock.now(), out));
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
                self.switch.closed(flow, out);
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
            SwitchAsk::Find { call, lookup, query } => self.switch.find(call, lookup, &query, &self.world.net, out),
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
            SwitchAsk::Resolved(host, addresses) => self.switch.resolved(&host, addresses),
            SwitchAsk::Drain => self.switch.drain(),
            SwitchAsk::View(reply) => drop(reply.send(self.view())),
        }
    }

    fn carry_out(&mut self, effect: SwitchEffect) {
        match effect {
            SwitchEffect::Transmit(flow, bytes) => self.world.net.send(&flow, bytes),
            SwitchEffect::Begin(new) => self.begin(*new),
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
        }
    }

    fn begin(&mut self, new: NewCall) {
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
        let settings = &self.switch.plan().settings;
        let trunks = settings.trunks.values().map(|trunk| TrunkView {
            trunk: trunk.name.to_string(),
            tenant: trunk.tenant.to_string(),
            calls: self.switch.admission().live_on(&trunk.name),
            max_calls: trunk.max_calls,
            to: trunk
                .to
                .iter()
                .map(|to| format!("{}:{}:{}", to.transport_or_default().param_name(), to.host, to.port_or_default()))
                .collect(),
        });
        SwitchView {
            trunks: trunks.collect(),
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
