//! Live calls: listed, and acted on.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;

use super::{Api, Asked, Refusal};
use crate::base::id::{AgentId, CallId, LegId, QueueName, TrunkName};
use crate::call::words::{CallInput, Destination, OperatorCommand};
use crate::engine::views::CallView;
use crate::event::call::Classification;
use crate::event::reason::EndReason;

/// Whom to join: exactly one of the keys.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(super) enum Whom {
    Agent(String),
    Queue(String),
    Number(String),
    Unit(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ThreeWay {
    to: Whom,
    trunk: Option<String>,
    by: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Emergency {
    line: String,
    by: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct HangUp {
    leg: Option<u16>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Classify {
    by: Option<String>,
    classification: Classification,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Malicious {
    by: Option<String>,
    reason: String,
}

pub(super) async fn list(State(api): State<Api>) -> Json<Vec<CallView>> {
    Json(api.world.views.all())
}

pub(super) async fn one(State(api): State<Api>, Path(call): Path<String>) -> Result<Json<CallView>, Refusal> {
    let call = read(&call)?;
    api.world.views.one(call).map(Json).ok_or_else(|| Refusal::not_found("live call"))
}

pub(super) async fn three_way(
    State(api): State<Api>,
    Path(call): Path<String>,
    Asked(asked): Asked<ThreeWay>,
) -> Result<StatusCode, Refusal> {
    talks(&api, &call)?;
    let to = match asked.to {
        Whom::Agent(agent) => Destination::Agent(AgentId::new(agent)),
        Whom::Queue(queue) => Destination::Queue(QueueName::new(queue)),
        Whom::Unit(unit) => Destination::Unit(Arc::from(unit)),
        Whom::Number(number) => {
            Destination::Number { trunk: asked.trunk.map(TrunkName::new), number: dialable(&number)? }
        }
    };
    command(&api, &call, "three-way", OperatorCommand::ThreeWay { to, by: asked.by.map(AgentId::new) })
}

pub(super) async fn emergency(
    State(api): State<Api>,
    Path(call): Path<String>,
    Asked(asked): Asked<Emergency>,
) -> Result<StatusCode, Refusal> {
    let line = dialable(&asked.line)?;
    talks(&api, &call)?;
    if !api.has_line(read(&call)?, &line) {
        return Err(Refusal::bad(format!("the place has no emergency line {line}")));
    }
    command(&api, &call, "emergency", OperatorCommand::Emergency { line, by: asked.by.map(AgentId::new) })
}

pub(super) async fn hang_up(
    State(api): State<Api>,
    Path(call): Path<String>,
    asked: Result<Option<Json<HangUp>>, JsonRejection>,
) -> Result<StatusCode, Refusal> {
    let leg = asked?.and_then(|Json(asked)| asked.leg).map(LegId);
    command(&api, &call, "hang-up", OperatorCommand::HangUp { leg, reason: EndReason::Normal })
}

pub(super) async fn classify(
    State(api): State<Api>,
    Path(call): Path<String>,
    Asked(asked): Asked<Classify>,
) -> Result<StatusCode, Refusal> {
    let classification = Box::new(asked.classification);
    command(&api, &call, "classify", OperatorCommand::Classify { by: asked.by.map(AgentId::new), classification })
}

pub(super) async fn malicious(
    State(api): State<Api>,
    Path(call): Path<String>,
    Asked(asked): Asked<Malicious>,
) -> Result<StatusCode, Refusal> {
    let (by, reason) = (asked.by.map(AgentId::new), Arc::from(asked.reason));
    command(&api, &call, "malicious", OperatorCommand::Malicious { by, reason })
}

/// 202: the call has been told; what came of it is on its ticket.
fn command(api: &Api, call: &str, what: &str, command: OperatorCommand) -> Result<StatusCode, Refusal> {
    let id = read(call)?;
    if api.world.views.one(id).is_none() {
        return Err(Refusal::not_found("live call"));
    }
    api.note(what, call, "");
    if api.world.mailboxes.post(id, CallInput::Operator(Box::new(command))) {
        Ok(StatusCode::ACCEPTED)
    } else {
        Err(Refusal::busy("the call's mailbox is full"))
    }
}

/// A third party joins a talk: while the caller still waits there is none.
fn talks(api: &Api, call: &str) -> Result<(), Refusal> {
    let view = api.world.views.one(read(call)?).ok_or_else(|| Refusal::not_found("live call"))?;
    if view.phase == "talking" { Ok(()) } else { Err(Refusal::conflict("nobody talks with the caller yet")) }
}

fn read(call: &str) -> Result<CallId, Refusal> {
    call.parse().map_err(|_| Refusal::not_found("live call"))
}

/// A number that can be dialled: digits, at most 32.
fn dialable(number: &str) -> Result<Arc<str>, Refusal> {
    let plain = number.strip_prefix('+').unwrap_or(number);
    let good = !plain.is_empty() && number.len() <= 32 && plain.bytes().all(|byte| byte.is_ascii_digit());
    if good { Ok(Arc::from(number)) } else { Err(Refusal::bad("a number has digits only")) }
}
