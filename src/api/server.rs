//! The socket: how many connections there may be, how long a head may take, and how all of it ends.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tower_http::normalize_path::NormalizePath;

use crate::service::Stop;

/// Connections at once; the next ones wait in the listener's queue.
const CONNECTIONS: usize = 1024;
/// A head has to be there by then, on an idle connection too.
const HEAD: Duration = Duration::from_secs(60);
/// Pause after an accept that failed: without file descriptors the next one fails as well.
const PAUSE: Duration = Duration::from_millis(100);
/// Requests that are being answered have that long after a stop.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// Answers until the stop. Requests that are being answered then are answered still.
pub async fn serve(listener: TcpListener, router: Router, stop: Stop) {
    let service = TowerToHyperService::new(NormalizePath::trim_trailing_slash(router));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD);
    let (graceful, connections, tracker) = (GracefulShutdown::new(), Arc::new(Semaphore::new(CONNECTIONS)), TaskTracker::new());
    loop {
        let stream = tokio::select! {
            () = stop.asked() => break,
            accepted = accept(&listener, &connections) => accepted,
        };
        let Some((stream, place)) = stream else { continue };
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service.clone()));
        tracker.spawn(async move {
            if let Err(error) = connection.await {
                // A caller that went away.
                tracing::debug!(%error, "a connection broke off");
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(LAST_ANSWERS, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests were not answered before the end");
    }
}

type Accepted = (tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit);

async fn accept(listener: &TcpListener, connections: &Arc<Semaphore>) -> Option<Accepted> {
    let place = connections.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            // Answers are small and wait for nothing.
            let _ = stream.set_nodelay(true);
            Some((stream, place))
        }
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection");
            tokio::time::sleep(PAUSE).await;
            None
        }
    }
}
