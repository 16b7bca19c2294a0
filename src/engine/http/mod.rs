//! The HTTP side: health, metrics, and the API (`contract.md` §6).
//!
//! Bearer token of the admin, compared in constant time; every change and every look at a ticket is audited. Numbers
//! of citizens are masked unless the ticket itself is asked for. Deliberately absent: roles other than admin, TLS,
//! the console, events as a stream.
//!
//! | limit | value |
//! |---|---|
//! | request body | 64 KiB |
//! | rows of a listing | 500 |

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde::de::DeserializeOwned;
use subtle::ConstantTimeEq as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::audit::Audit;
use super::call_task::World;
use super::store::Store;
use crate::base::id::{CallId, TenantName};
use crate::base::secret::Secret;

mod agents;
mod calls;
mod health;
mod tickets;
mod trunks;

const BODY_MAX: usize = 64 * 1024;

/// What the handlers reach.
#[derive(Clone)]
pub struct Api {
    world: World,
    store: Arc<Store>,
    audit: Arc<Audit>,
    token: Arc<Secret>,
    metrics: Option<PrometheusHandle>,
}

impl Api {
    /// An API over a running engine.
    #[must_use]
    pub fn new(world: World, store: Arc<Store>, audit: Arc<Audit>, token: Secret) -> Self {
        // A second engine in the same process (tests, the demo) shares the first one's recorder and shows no metrics.
        let metrics = PrometheusBuilder::new().install_recorder().ok();
        Self { world, store, audit, token: Arc::new(token), metrics }
    }

    /// Whether the call's place has that emergency line; of a call that is gone, yes, so that 404 says it.
    fn has_line(&self, call: CallId, line: &str) -> bool {
        let plan = self.world.newest.load();
        let place = self.world.views.one(call).map(|view| TenantName::new(view.tenant));
        place.and_then(|place| plan.tenant(&place)).is_none_or(|tenant| tenant.emergency.contains_key(line))
    }

    fn note(&self, what: &str, subject: &str, detail: &str) {
        self.audit.note(self.world.clock.now().wall, "admin", what, subject, detail);
    }
}

/// Why a request is not carried out.
#[derive(Debug)]
pub(super) struct Refusal(StatusCode, String);

impl Refusal {
    pub(super) fn not_found(what: &str) -> Self {
        Self(StatusCode::NOT_FOUND, format!("there is no such {what}"))
    }

    pub(super) fn bad(why: impl Into<String>) -> Self {
        Self(StatusCode::UNPROCESSABLE_ENTITY, why.into())
    }

    pub(super) fn conflict(why: impl Into<String>) -> Self {
        Self(StatusCode::CONFLICT, why.into())
    }

    pub(super) fn busy(why: impl Into<String>) -> Self {
        Self(StatusCode::SERVICE_UNAVAILABLE, why.into())
    }
}

impl From<JsonRejection> for Refusal {
    fn from(fault: JsonRejection) -> Self {
        Self(fault.status(), fault.body_text())
    }
}

impl From<QueryRejection> for Refusal {
    fn from(fault: QueryRejection) -> Self {
        Self(fault.status(), fault.body_text())
    }
}

/// A JSON body; what is wrong with one is told in JSON too.
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let Json(asked) = Json::from_request(request, state).await?;
        Ok(Self(asked))
    }
}

/// What stands behind the `?` of a path.
pub(super) struct Given<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Given<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Query(given) = Query::from_request_parts(parts, state).await?;
        Ok(Self(given))
    }
}

async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], include_str!("openapi.json"))
}

async fn no_such_path() -> Refusal {
    Refusal::not_found("path")
}

async fn no_such_method() -> Refusal {
    Refusal(StatusCode::METHOD_NOT_ALLOWED, "the path knows other methods only".into())
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(serde_json::json!({ "error": self.1 }))).into_response()
    }
}

/// Serves until the engine stops.
pub async fn serve(listener: TcpListener, api: Api, stop: CancellationToken) {
    let served = axum::serve(listener, router(api)).with_graceful_shutdown(async move { stop.cancelled().await });
    if let Err(fault) = served.await {
        tracing::error!(%fault, "the HTTP listener failed");
    }
}

fn router(api: Api) -> Router {
    let guarded = Router::new()
        .route("/status", get(health::status))
        .route("/calls", get(calls::list))
        .route("/calls/{call}", get(calls::one))
        .route("/calls/{call}/three-way", post(calls::three_way))
        .route("/calls/{call}/emergency", post(calls::emergency))
        .route("/calls/{call}/hang-up", post(calls::hang_up))
        .route("/calls/{call}/classify", post(calls::classify))
        .route("/calls/{call}/malicious", post(calls::malicious))
        .route("/agents", get(agents::list))
        .route("/agents/{agent}/state", post(agents::choose))
        .route("/agents/{agent}/wrap-up", post(agents::wrap_up))
        .route("/queues", get(agents::queues))
        .route("/trunks", get(trunks::list))
        .route("/trunks/{trunk}/busy-out", post(trunks::busy_out))
        .route("/trunks/{trunk}/in-service", post(trunks::in_service))
        .route("/alarms", get(trunks::alarms))
        .route("/tickets", get(tickets::list))
        .route("/tickets/dead", get(tickets::dead))
        .route("/tickets/redrive", post(tickets::redrive))
        .route("/tickets/{ticket}", get(tickets::one))
        .route("/tickets/{ticket}/events", get(tickets::events))
        .route("/endpoints", get(tickets::endpoints))
        .route("/endpoints/{name}/park", post(tickets::park))
        .route("/endpoints/{name}/enable", post(tickets::enable))
        .method_not_allowed_fallback(no_such_method)
        .route_layer(middleware::from_fn_with_state(api.clone(), guard));
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(openapi))
        .nest("/api/v1", guarded)
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(api)
}

async fn guard(State(api): State<Api>, request: Request, next: Next) -> Response {
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "))
        .unwrap_or_default();
    if bool::from(given.ct_eq(api.token.reveal().as_bytes())) {
        return next.run(request).await;
    }
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
    (StatusCode::UNAUTHORIZED, challenge, Json(serde_json::json!({ "error": "a bearer token is needed" })))
        .into_response()
}
