//! Trunks and alarms: listed, and trunks taken out of use for maintenance.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use tokio::sync::oneshot;

use super::health::switch_view;
use super::{Api, Refusal};
use crate::base::id::TrunkName;
use crate::engine::alarm::Alarm;
use crate::engine::switch_task::SwitchAsk;
use crate::switch::trunks::view::TrunkView;

pub(super) async fn list(State(api): State<Api>) -> Result<Json<Vec<TrunkView>>, Refusal> {
    switch_view(&api).await.map(|view| Json(view.trunks))
}

pub(super) async fn alarms(State(api): State<Api>) -> Json<Vec<Alarm>> {
    Json(api.world.alarms.list())
}

pub(super) async fn busy_out(State(api): State<Api>, Path(name): Path<String>) -> Result<StatusCode, Refusal> {
    set_busy_out(&api, &name, true).await
}

pub(super) async fn in_service(State(api): State<Api>, Path(name): Path<String>) -> Result<StatusCode, Refusal> {
    set_busy_out(&api, &name, false).await
}

async fn set_busy_out(api: &Api, name: &str, busy_out: bool) -> Result<StatusCode, Refusal> {
    let (reply, answer) = oneshot::channel();
    let ask = SwitchAsk::BusyOut(TrunkName::new(name), busy_out, reply);
    api.world.switch.send(ask).await.map_err(|_| Refusal::busy("the switch is stopping"))?;
    let known = answer.await.map_err(|_| Refusal::busy("the switch is stopping"))?;
    if !known {
        return Err(Refusal::not_found("trunk"));
    }
    api.note(if busy_out { "trunk.busy-out" } else { "trunk.in-service" }, name, "");
    Ok(StatusCode::OK)
}
