//! Tickets and their delivery: listed (numbers masked), shown whole (audited), redriven, endpoints parked.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{Api, Asked, Given, Refusal};
use crate::base::id::{TenantName, TicketId};
use crate::base::secret::Masked;
use crate::engine::store::{Redrive, Store, StoreFault, TicketFilter, TicketRow};

/// Rows of a listing when nothing is asked for.
const ROWS: usize = 50;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Page {
    tenant: Option<String>,
    dialled: Option<String>,
    closed: Option<bool>,
    before: Option<String>,
    rows: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WhichDead {
    ticket_id: Option<String>,
    endpoint: Option<String>,
}

pub(super) async fn list(State(api): State<Api>, Given(page): Given<Page>) -> Result<Json<Value>, Refusal> {
    let filter = TicketFilter {
        tenant: page.tenant.map(TenantName::new),
        dialled: page.dialled,
        closed: page.closed,
        before: page.before.map(|before| read(&before)).transpose()?,
    };
    let rows = page.rows.unwrap_or(ROWS).clamp(1, 500);
    let found = from_store(&api, move |store| store.tickets(&filter, rows)).await?;
    Ok(Json(found.iter().map(masked).collect()))
}

pub(super) async fn one(State(api): State<Api>, Path(ticket): Path<String>) -> Result<Json<Value>, Refusal> {
    let id = read(&ticket)?;
    let found = from_store(&api, move |store| store.ticket(id)).await?;
    let row = found.ok_or_else(|| Refusal::not_found("ticket"))?;
    api.note("ticket.look", &ticket, "whole");
    Ok(Json(json!({
        "ticket_id": row.ticket_id, "call_id": row.call_id, "tenant": row.tenant, "seq": row.seq,
        "ticket_no": row.receiver_no, "ticket": row.ticket,
    })))
}

pub(super) async fn events(State(api): State<Api>, Path(ticket): Path<String>) -> Result<Json<Value>, Refusal> {
    let id = read(&ticket)?;
    let found = from_store(&api, move |store| store.events(id)).await?;
    api.note("ticket.look", &ticket, "events");
    let rows = found.into_iter().map(|row| {
        let deliveries: Vec<Value> = row.deliveries.iter().map(delivery).collect();
        json!({ "event_id": row.event_id, "seq": row.seq, "deliveries": deliveries })
    });
    Ok(Json(rows.collect()))
}

pub(super) async fn dead(State(api): State<Api>) -> Result<Json<Value>, Refusal> {
    let found = from_store(&api, |store| store.dead(500)).await?;
    Ok(Json(found.iter().map(delivery).collect()))
}

pub(super) async fn redrive(State(api): State<Api>, Asked(which): Asked<WhichDead>) -> Result<Json<Value>, Refusal> {
    let chosen = match (which.ticket_id, which.endpoint) {
        (Some(ticket), None) => Redrive::Ticket(read(&ticket)?),
        (None, Some(endpoint)) => Redrive::Endpoint(endpoint),
        (Some(_), Some(_)) | (None, None) => return Err(Refusal::bad("give either `ticket_id` or `endpoint`")),
    };
    api.note("tickets.redrive", "dead letters", &format!("{chosen:?}"));
    let (reply, answer) = oneshot::channel();
    let now = api.world.clock.now().wall;
    if !api.store.redrive(chosen, now, move |count| {
        let _ = reply.send(count);
    }) {
        return Err(Refusal::busy("the store is stopping"));
    }
    let count = answer.await.map_err(|_| Refusal::busy("the store is stopping"))?;
    Ok(Json(json!({ "redriven": count })))
}

pub(super) async fn endpoints(State(api): State<Api>) -> Result<Json<Value>, Refusal> {
    let found = from_store(&api, Store::backlog).await?;
    let rows = found.into_iter().map(|row| {
        json!({ "endpoint": row.endpoint, "waiting": row.events, "tickets": row.lanes, "dead": row.dead,
                "parked": row.parked_because })
    });
    Ok(Json(rows.collect()))
}

pub(super) async fn park(State(api): State<Api>, Path(name): Path<String>) -> Result<StatusCode, Refusal> {
    known(&api, &name)?;
    api.note("endpoint.park", &name, "");
    let (reply, answer) = oneshot::channel();
    let now = api.world.clock.now().wall;
    api.store.park(&name, now, "parked by an operator", move || {
        let _ = reply.send(());
    });
    answer.await.map(|()| StatusCode::OK).map_err(|_| Refusal::busy("the store is stopping"))
}

pub(super) async fn enable(State(api): State<Api>, Path(name): Path<String>) -> Result<StatusCode, Refusal> {
    known(&api, &name)?;
    api.note("endpoint.enable", &name, "");
    let (reply, answer) = oneshot::channel();
    api.store.re_enable(&name, move || {
        let _ = reply.send(());
    });
    answer.await.map(|()| StatusCode::OK).map_err(|_| Refusal::busy("the store is stopping"))
}

fn known(api: &Api, name: &str) -> Result<(), Refusal> {
    if api.world.newest.load().settings.ticket.endpoints.contains_key(name) {
        Ok(())
    } else {
        Err(Refusal::not_found("endpoint"))
    }
}

fn delivery(row: &crate::engine::store::DeliveryRow) -> Value {
    json!({ "endpoint": row.endpoint, "ticket_id": row.ticket_id, "event_id": row.event_id,
            "delivery_seq": row.delivery_seq, "state": row.state, "tries": row.tries, "status": row.status,
            "answer": row.answer })
}

/// A ticket's line in a listing: what it is about, with the caller masked.
fn masked(row: &TicketRow) -> Value {
    let mut ticket = serde_json::to_value(&row.ticket).unwrap_or_default();
    mask(&mut ticket);
    json!({ "ticket_id": row.ticket_id, "call_id": row.call_id, "tenant": row.tenant, "seq": row.seq,
            "ticket_no": row.receiver_no, "ticket": ticket })
}

/// Masks every value under a key that holds a citizen's number.
fn mask(value: &mut Value) {
    const NUMBERS: &[&str] = &["caller", "caller_raw", "number", "target_number"];
    match value {
        Value::Object(fields) => {
            for (key, field) in fields.iter_mut() {
                match field {
                    Value::String(text) if NUMBERS.contains(&key.as_str()) => *text = Masked(text).to_string(),
                    other => mask(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        _ => {}
    }
}

fn read(ticket: &str) -> Result<TicketId, Refusal> {
    ticket.parse().map_err(|_| Refusal::not_found("ticket"))
}

/// Reads from the store beside the async threads: SQLite blocks.
async fn from_store<T: Send + 'static>(
    api: &Api,
    read: impl FnOnce(&Store) -> Result<T, StoreFault> + Send + 'static,
) -> Result<T, Refusal> {
    let store = std::sync::Arc::clone(&api.store);
    match tokio::task::spawn_blocking(move || read(&store)).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(fault)) => {
            tracing::error!(%fault, "the store cannot be read");
            Err(Refusal::busy("the store cannot be read"))
        }
        Err(_) => Err(Refusal::busy("the store cannot be read")),
    }
}
