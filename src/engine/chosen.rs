//! What agents chose (ready, not ready, signed out), kept in a file so that a restart changes nobody's state.
//!
//! A line of JSON per agent; the whole file is written beside the old one and renamed over it, by a task of its own,
//! so that the queues never wait for a disk. Only the latest states count: choices made while a write goes on are
//! written together by the next one. An unreadable line is left out, with a warning. Deliberately absent: everything
//! the queues find out by themselves.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::acd::words::{AcdInput, DeskCommand, DeskState};
use crate::base::id::AgentId;

type States = BTreeMap<AgentId, DeskState>;

/// One line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    agent: AgentId,
    desk: DeskState,
}

/// The latest choice of each agent, and the way to the file.
pub(super) struct Chosen {
    states: States,
    latest: watch::Sender<Arc<States>>,
}

/// Writes what is chosen.
pub(super) struct Keeper {
    path: PathBuf,
    latest: watch::Receiver<Arc<States>>,
}

impl Chosen {
    /// Reads what was chosen before.
    ///
    /// # Errors
    /// The file system's, when the file is there and cannot be read.
    pub(super) fn open(path: PathBuf) -> io::Result<(Self, Keeper)> {
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => String::new(),
            Err(fault) => return Err(fault),
        };
        let states = read(&text);
        let (latest, seen) = watch::channel(Arc::new(states.clone()));
        Ok((Self { states, latest }, Keeper { path, latest: seen }))
    }

    /// What was chosen before, as the queues are told it.
    pub(super) fn inputs(&self) -> impl Iterator<Item = AcdInput> {
        let chose =
            |(agent, state): (&AgentId, &DeskState)| AcdInput::Desk(agent.clone(), DeskCommand::Choose(state.clone()));
        self.states.iter().map(chose)
    }

    /// Notes a choice among what the queues are told.
    pub(super) fn note(&mut self, input: &AcdInput) {
        if let AcdInput::Desk(agent, DeskCommand::Choose(state)) = input
            && self.states.get(agent) != Some(state)
        {
            self.states.insert(agent.clone(), state.clone());
            self.latest.send_replace(Arc::new(self.states.clone()));
        }
    }
}

impl Keeper {
    /// Writes until nothing can be chosen any more.
    pub(super) async fn run(mut self) {
        while self.latest.changed().await.is_ok() {
            let (path, states) = (self.path.clone(), Arc::clone(&self.latest.borrow_and_update()));
            let written = tokio::task::spawn_blocking(move || write(&path, &states)).await;
            if let Ok(Err(fault)) = written {
                tracing::error!(%fault, "what agents chose cannot be written");
            }
        }
    }
}

fn read(text: &str) -> States {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .filter_map(|line| match serde_json::from_str::<Line>(line) {
            Ok(line) => Some((line.agent, line.desk)),
            Err(fault) => {
                tracing::warn!(%fault, "a line of what agents chose cannot be read");
                None
            }
        })
        .collect()
}

fn write(path: &Path, states: &States) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = fs::File::create(&beside)?;
    for (agent, desk) in states {
        let mut line = serde_json::to_vec(&Line { agent: agent.clone(), desk: desk.clone() })?;
        line.push(b'\n');
        file.write_all(&line)?;
    }
    file.sync_all()?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_chosen_is_read_back_and_a_torn_line_costs_itself() {
        let path = std::env::temp_dir().join(format!("switch12345-chosen-{}", std::process::id()));
        let (mut chosen, _keeper) = Chosen::open(path.clone()).unwrap();
        let choose = |agent: &str, state| AcdInput::Desk(AgentId::new(agent), DeskCommand::Choose(state));
        let away = DeskState::NotReady { reason: Arc::from("meal") };
        chosen.note(&choose("1001", away.clone()));
        chosen.note(&choose("1002", DeskState::Ready));
        chosen.note(&choose("1002", DeskState::SignedOut));
        chosen.note(&AcdInput::Desk(AgentId::new("1003"), DeskCommand::EndWrapUp));
        write(&path, &chosen.states).unwrap();
        let torn = fs::read_to_string(&path).unwrap() + "{\"agent\":\"10";
        let (again, _keeper) = Chosen::open(path.clone()).unwrap();
        assert_eq!(again.inputs().collect::<Vec<_>>(), [choose("1001", away), choose("1002", DeskState::SignedOut)]);
        assert_eq!(read(&torn), again.states);
        fs::remove_file(path).unwrap();
    }
}
