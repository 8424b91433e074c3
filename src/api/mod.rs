//! The HTTP door: a request → a use case → the published envelope.
//!
//! ```text
//! socket ─► server ─► (tls) ─► router ─► Call ─► jobs_*, hosts_* ─► Service ─► Answer {result, code, data, message, errors}
//!                       line: from where?  │ who (callers), how often (rate), body
//!                                          └─ no such path, wrong method, too large, too late, a panic: the same envelope
//! ```
//! What takes a [`call::Call`] is open to those only who may ask; of what takes none, `by_hand` wants a token of one host task, and
//! `health`, `figures` and `openapi` name nothing of the site, its hosts or its jobs.
//!
//! Wire quirks of the contract (`data` is called an array and is an object; `job_id` is an int, but `""` when nothing was
//! accepted; a business error is HTTP 200 with `result: false`) are kept on purpose; those of a request's fields stand in
//! `service::request`.
//!
//! Never here: what a job means (the service's), how it is kept (the record's).
//!
//! To add an endpoint: a handler that takes a `Call`, in the file of its subject, its route in [`router`], its lines in `docs/api.md` and in
//! `openapi`; tests hold the three together.

mod answer;
mod by_hand;
mod call;
mod callers;
mod events;
mod figures;
mod health;
mod hosts_get;
mod jobs_ask;
mod jobs_collect;
mod jobs_get;
mod jobs_submit;
mod keys;
mod line;
mod openapi;
mod params;
mod plain;
mod rate;
pub mod server;
pub mod tls;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;

use crate::domain::id::JobId;
use crate::service::shift::Shift;
use crate::service::{Service, Stop};
use answer::{Answer, Refusal, Why};
pub use callers::Callers;
use line::Line;

/// Longest a request may take, its body included: 64 MiB over a slow line, then recording 10,000 hosts.
const DEADLINE: Duration = Duration::from_secs(300);

/// What every handler has at hand.
pub struct Door {
    /// The use cases.
    pub service: Service,
    /// Works on what is accepted; `None` where that is left to other processes over the record.
    pub shift: Option<Shift>,
    /// Who may ask.
    pub callers: Callers,
    /// Streams end with it.
    pub stop: Stop,
}

impl Door {
    /// A job that was recorded just now.
    fn take_up(&self, job: JobId) {
        if let Some(shift) = &self.shift {
            shift.take_up(job);
        }
    }

    /// A job of which something was asked, whoever began it.
    async fn hand_over(&self, job: JobId) -> Result<(), Refusal> {
        self.service.hand_over(job).await?;
        self.take_up(job);
        Ok(())
    }
}

/// Every path of the door, without trailing slash.
pub fn router(door: Door) -> Router {
    let door = Arc::new(door);
    let jobs = Router::new()
        .route("/api/job/install", post(jobs_submit::install))
        .route("/api/job/operate", post(jobs_submit::operate))
        .route("/api/job/job_list", post(jobs_get::list))
        .route("/api/job/{id}/details", post(jobs_get::details).get(jobs_get::details))
        .route("/api/job/{id}/log", get(jobs_get::log))
        .route("/api/job/{id}/retry", post(jobs_ask::retry))
        .route("/api/job/{id}/retry_node", post(jobs_ask::retry_node))
        .route("/api/job/{id}/revoke", post(jobs_ask::revoke))
        .route("/api/encrypt_rsa/fetch_public_keys", post(keys::fetch))
        .route("/api/encrypt_asymmetric/fetch_public_keys", post(keys::fetch))
        .route("/api/job/{id}/collect_log", post(jobs_collect::collect))
        .route("/api/job/{id}/get_job_commands", get(by_hand::commands))
        .route("/api/host", get(hosts_get::list))
        .layer(middleware::from_fn_with_state(door.clone(), in_time));
    let open = Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(figures::show))
        // The same for every site, and read by tools that know no secret.
        .route("/openapi.json", get(openapi::show))
        .layer(middleware::from_fn_with_state(door.clone(), by_source))
        .layer(middleware::from_fn_with_state(door.clone(), in_time));
    // Who comes here has a token of one host task.
    let scripts = Router::new()
        .route("/backend/script", get(by_hand::script))
        .route("/backend/settle", post(by_hand::settle))
        .route("/backend/fetch", post(by_hand::fetch))
        .route("/backend/report_log", post(by_hand::report_log))
        .layer(middleware::from_fn_with_state(door.clone(), in_time));
    // A stream has no deadline.
    let streams = Router::new().route("/api/job/{id}/events", get(events::stream));
    closed(jobs.merge(streams).merge(scripts).merge(open), door)
}

/// What all paths have in common, and what there is beside them.
fn closed(paths: Router<Arc<Door>>, door: Arc<Door>) -> Router {
    paths
        .fallback(async |State(door): State<Arc<Door>>| Answer::refused(&Refusal::NoPath, door.service.language()))
        .method_not_allowed_fallback(async |State(door): State<Arc<Door>>| {
            Answer::refused(&Refusal::WrongMethod, door.service.language())
        })
        .layer(middleware::from_fn_with_state(door.clone(), from_here))
        .layer(middleware::from_fn_with_state(door.clone(), told))
        .layer(CatchPanicLayer::custom(answer::of_panic))
        .layer(middleware::from_fn(figures::count))
        .with_state(door)
}

/// The paths of a process that only works.
pub fn health_router(door: Door) -> Router {
    let door = Arc::new(door);
    let health = Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(figures::show));
    closed(health.layer(middleware::from_fn_with_state(door.clone(), by_source)), door)
}

/// A page in a browser may come from anywhere: it is known by its `Origin`. Where everybody on this machine may ask, also by
/// a name for this machine that is none of ours; with apps it would have to know a secret.
async fn from_here(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    if line::is_of_another_site(headers) || (!door.callers.has_apps() && !line::is_called_by_our_name(headers)) {
        return Answer::refused(&Refusal::Foreign, door.service.language()).into_response();
    }
    next.run(request).await
}

/// What everybody may ask is counted by where they ask from.
async fn by_source(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let source = door.callers.way(request.extensions().get::<Line>(), request.headers()).source;
    match door.callers.rates.source(source) {
        Ok(()) => next.run(request).await,
        Err(wait) => Answer::refused(&Refusal::TooMany(wait), door.service.language()).into_response(),
    }
}

/// Whoever is turned away is in the log; who is let in, is in the audit with what came of it. Never the query of the path:
/// it may hold a secret.
async fn told(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let source = door.callers.way(request.extensions().get::<Line>(), request.headers()).source;
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    if let Some(Why(why)) = response.extensions().get() {
        tracing::warn!(%source, %method, path, status = response.status().as_u16(), why, "a caller was turned away");
    }
    response
}

async fn in_time(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(DEADLINE, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Answer::refused(&Refusal::TooLate, door.service.language()).into_response(),
    }
}
