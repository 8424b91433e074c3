//! `/metrics`, and the count of what was answered.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, Response, header};
use axum::middleware::Next;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Door;
use crate::meters;

/// The format of the text.
const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// However many ask, the record is looked at no more often.
const LOOK: Duration = Duration::from_secs(1);

/// The figures of this process, and how the record stands.
pub(super) async fn show(State(door): State<Arc<Door>>) -> Response<Body> {
    static LOOKED: Mutex<Option<Instant>> = Mutex::const_new(None);
    {
        // Whoever comes meanwhile waits for the same look.
        let mut looked = LOOKED.lock().await;
        if looked.is_none_or(|at| at.elapsed() >= LOOK) {
            door.service.measure().await;
            *looked = Some(Instant::now());
        }
    }
    let mut response = Response::new(Body::from(meters::text().unwrap_or_default()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(FORMAT));
    response
}

/// Counts a request by the template of its route: paths that somebody makes up are all the same.
pub(super) async fn count(request: Request, next: Next) -> axum::response::Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = word(request.method());
    let begun = Instant::now();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    meters::answered(route, method, response.status().as_u16(), begun.elapsed());
    response
}

/// A method that there is: callers may make up others.
fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}
