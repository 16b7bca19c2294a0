//! Whether the engine lives, is ready, and how it is.

use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{Api, Refusal};
use crate::engine::switch_task::{SwitchAsk, SwitchView};

pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// Ready while calls are taken: the switch answers and does not drain.
pub(super) async fn ready(State(api): State<Api>) -> (StatusCode, &'static str) {
    match switch_view(&api).await {
        Ok(view) if !view.draining => (StatusCode::OK, "ready\n"),
        Ok(_) => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
    }
}

pub(super) async fn metrics(State(api): State<Api>) -> impl IntoResponse {
    let world = &api.world;
    gauge("switch12345_calls", world.views.len());
    world.alarms.describe();
    if let Ok(switch) = switch_view(&api).await {
        for trunk in switch.trunks {
            let used =
                trunk.targets.iter().flat_map(|target| &target.addresses).filter(|far| far.state != "down").count();
            metrics::gauge!("switch12345_trunk_calls", "trunk" => trunk.trunk.clone()).set(trunk.calls as f64);
            metrics::gauge!("switch12345_trunk_far_ends", "trunk" => trunk.trunk).set(used as f64);
        }
    }
    gauge("switch12345_connections", world.net.connections());
    gauge("switch12345_store_waiting", api.store.waiting());
    let counters = world.net.counters();
    let total = |name: &'static str, value: u64| metrics::counter!(name).absolute(value);
    total("switch12345_packets_dropped_in_total", counters.dropped_in.load(Ordering::Relaxed));
    total("switch12345_packets_dropped_out_total", counters.dropped_out.load(Ordering::Relaxed));
    total("switch12345_mailbox_dropped_total", world.mailboxes.dropped());
    total("switch12345_events_unjournaled_total", world.figures.unjournaled.load(Ordering::Relaxed));
    total("switch12345_connections_turned_away_total", counters.turned_away.load(Ordering::Relaxed));
    total("switch12345_handshakes_failed_total", counters.handshakes_failed.load(Ordering::Relaxed));
    total("switch12345_framing_faults_total", counters.framing_faults.load(Ordering::Relaxed));
    total("switch12345_panics_total", world.figures.panicked.load(Ordering::Relaxed));
    for (worker, status) in world.media.status().into_iter().enumerate() {
        let worker = worker.to_string();
        metrics::gauge!("switch12345_media_legs", "worker" => worker.clone()).set(status.legs as f64);
        metrics::gauge!("switch12345_media_ports_free", "worker" => worker.clone()).set(status.ports_free as f64);
        metrics::counter!("switch12345_media_relayed_total", "worker" => worker.clone()).absolute(status.relayed);
        metrics::counter!("switch12345_media_refused_total", "worker" => worker).absolute(status.refused);
    }
    let text = api.metrics.as_ref().map(|metrics| metrics.render()).unwrap_or_default();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}

pub(super) async fn status(State(api): State<Api>) -> Result<Json<Value>, Refusal> {
    let switch = switch_view(&api).await?;
    let workers = api.world.media.status();
    let store = std::sync::Arc::clone(&api.store);
    let backlog = tokio::task::spawn_blocking(move || store.backlog()).await.ok().and_then(Result::ok);
    let delivery = backlog.unwrap_or_default().into_iter().map(|endpoint| {
        json!({ "endpoint": endpoint.endpoint, "waiting": endpoint.events, "dead": endpoint.dead,
                "parked": endpoint.parked_because })
    });
    Ok(Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "calls": api.world.views.len(),
        "draining": switch.draining,
        "registered": switch.registered.len(),
        "connections": api.world.net.connections(),
        "store_waiting": api.store.waiting(),
        "media": workers.iter().map(|worker| json!({
            "priority": format!("{:?}", worker.priority), "legs": worker.legs, "ports_free": worker.ports_free,
        })).collect::<Vec<_>>(),
        "tickets": delivery.collect::<Vec<_>>(),
        "names_held": switch.names,
        "alarms": api.world.alarms.list().into_iter().filter(|alarm| alarm.cleared_at.is_none()).collect::<Vec<_>>(),
        "panics": api.world.figures.panicked.load(Ordering::Relaxed),
    })))
}

pub(super) async fn switch_view(api: &Api) -> Result<SwitchView, Refusal> {
    let (reply, answer) = oneshot::channel();
    api.world.switch.send(SwitchAsk::View(reply)).await.map_err(|_| Refusal::busy("the switch is stopping"))?;
    answer.await.map_err(|_| Refusal::busy("the switch is stopping"))
}

fn gauge(name: &'static str, value: usize) {
    metrics::gauge!(name).set(value as f64);
}
