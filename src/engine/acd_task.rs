//! The one task that owns all queues and agents: requests and deadlines in, verdicts to the calls' mailboxes out.
//!
//! An input that makes the machine panic costs itself: the task goes on, or every caller would wait for ever.
//! Deliberately absent: choosing (`acd`).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::{broadcast, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::chosen::Chosen;
use super::clock::Clock;
use super::mailbox::Mailboxes;
use crate::acd::directory::AcdDirectory;
use crate::acd::view::{AgentView, QueueView};
use crate::acd::words::AcdInput;
use crate::acd::{Acd, AcdEffect};
use crate::call::words::CallInput;
use crate::event::agent::AgentEvent;

/// What the ACD task is asked.
#[derive(Debug)]
pub enum AcdAsk {
    /// Something for the machine.
    Input(AcdInput),
    /// The plan changed.
    Reconfigure(Box<AcdDirectory>),
    /// All queues as they are.
    Queues(oneshot::Sender<Vec<QueueView>>),
    /// All agents as they are.
    Agents(oneshot::Sender<Vec<AgentView>>),
}

/// Runs until the engine stops.
pub(super) async fn run(
    clock: Clock,
    mut acd: Acd,
    mut chosen: Chosen,
    mut asked: mpsc::Receiver<AcdAsk>,
    mailboxes: Arc<Mailboxes>,
    agents: broadcast::Sender<AgentEvent>,
    stop: CancellationToken,
) {
    let mut out = Vec::new();
    loop {
        let due = acd.deadline().map(|(at, _)| clock.instant(at));
        let ask = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            ask = asked.recv() => match ask {
                Some(ask) => ask,
                None => return,
            },
            () = super::call_task::wait_until(due) => AcdAsk::Input(AcdInput::Deadline),
        };
        let acted = catch_unwind(AssertUnwindSafe(|| match ask {
            AcdAsk::Input(input) => {
                chosen.note(&input);
                acd.handle(clock.now(), input, &mut out);
            }
            AcdAsk::Reconfigure(directory) => acd.reconfigure(clock.now(), *directory, &mut out),
            AcdAsk::Queues(reply) => drop(reply.send(acd.queues_view(clock.now()))),
            AcdAsk::Agents(reply) => drop(reply.send(acd.agents_view())),
        }));
        if acted.is_err() {
            tracing::error!("the queues panicked over one input");
        }
        for effect in out.drain(..) {
            match effect {
                AcdEffect::Verdict(call, verdict) => {
                    mailboxes.post(call, CallInput::Acd(verdict));
                }
                // Nobody listening is fine: the console is not open.
                AcdEffect::Emit(event) => drop(agents.send(event)),
                AcdEffect::Alarm(alarm, state) => tracing::warn!(?alarm, ?state, "queue alarm"),
            }
        }
    }
}
