//! Agents and queues: listed, and agents' states chosen.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{Api, Asked, Refusal};
use crate::acd::view::{AgentView, QueueView};
use crate::acd::words::{AcdInput, DeskCommand, DeskState};
use crate::base::id::AgentId;
use crate::engine::acd_task::AcdAsk;

/// A state a person may choose.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Chosen {
    Ready,
    NotReady,
    SignedOut,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Choose {
    state: Chosen,
    reason: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Act {
    End,
    Extend,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrapUp {
    act: Act,
}

pub(super) async fn list(State(api): State<Api>) -> Result<Json<Value>, Refusal> {
    let agents: Vec<AgentView> = ask(&api, AcdAsk::Agents).await?;
    let rows: Vec<Value> = agents
        .into_iter()
        .filter_map(|view| {
            let mut row = serde_json::to_value(&view).ok()?;
            let call = api.world.views.of_agent(&view.agent).map(|call| call.to_string());
            row.as_object_mut()?.insert("call_id".into(), json!(call));
            Some(row)
        })
        .collect();
    Ok(Json(Value::Array(rows)))
}

pub(super) async fn queues(State(api): State<Api>) -> Result<Json<Vec<QueueView>>, Refusal> {
    ask(&api, AcdAsk::Queues).await.map(Json)
}

pub(super) async fn choose(
    State(api): State<Api>,
    Path(agent): Path<String>,
    Asked(asked): Asked<Choose>,
) -> Result<StatusCode, Refusal> {
    let state = match asked.state {
        Chosen::Ready => DeskState::Ready,
        Chosen::SignedOut => DeskState::SignedOut,
        Chosen::NotReady => {
            DeskState::NotReady { reason: Arc::from(asked.reason.unwrap_or_else(|| "unspecified".into())) }
        }
    };
    let detail = format!("{state:?}");
    tell(&api, &agent, DeskCommand::Choose(state), "agent.state", &detail)
}

pub(super) async fn wrap_up(
    State(api): State<Api>,
    Path(agent): Path<String>,
    Asked(asked): Asked<WrapUp>,
) -> Result<StatusCode, Refusal> {
    let command = match asked.act {
        Act::End => DeskCommand::EndWrapUp,
        Act::Extend => DeskCommand::ExtendWrapUp,
    };
    let detail = format!("{command:?}");
    tell(&api, &agent, command, "agent.wrap_up", &detail)
}

fn tell(api: &Api, agent: &str, command: DeskCommand, what: &str, detail: &str) -> Result<StatusCode, Refusal> {
    let id = AgentId::new(agent);
    if !api.world.newest.load().settings.agents.contains_key(&id) {
        return Err(Refusal::not_found("agent"));
    }
    api.note(what, agent, detail);
    let told = api.world.acd.try_send(AcdAsk::Input(AcdInput::Desk(id, command)));
    told.map(|()| StatusCode::ACCEPTED).map_err(|_| Refusal::busy("the queues are busy"))
}

async fn ask<T>(api: &Api, question: impl FnOnce(oneshot::Sender<T>) -> AcdAsk) -> Result<T, Refusal> {
    let (reply, answer) = oneshot::channel();
    api.world.acd.send(question(reply)).await.map_err(|_| Refusal::busy("the queues are stopping"))?;
    answer.await.map_err(|_| Refusal::busy("the queues are stopping"))
}
