//! The socket: how many connections there may be, how long a head may take, and how all of it ends.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;
use tower_http::normalize_path::NormalizePath;

use super::line::Line;
use super::rate::network;
use super::tls::Tls;
use crate::service::Stop;

/// Connections at once; the next ones wait in the listener's queue.
const CONNECTIONS: usize = 1024;
/// Of one source, unless it is this machine or stands for others: the others get in still.
const OF_ONE_SOURCE: usize = CONNECTIONS / 4;
/// A head has to be there by then, on an idle connection too.
const HEAD: Duration = Duration::from_secs(60);
/// Pause after an accept that failed: without file descriptors the next one fails as well.
const PAUSE: Duration = Duration::from_millis(100);
/// Requests that are being answered have that long after a stop.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// A socket that callers come to.
pub struct Listener {
    /// The socket.
    pub socket: TcpListener,
    /// What is spoken on it below HTTP; nothing: it is in clear.
    pub tls: Option<Tls>,
    /// Do connections come from a proxy, many callers' from one address?
    pub behind_proxy: bool,
}

/// Answers until the stop. Requests that are being answered then are answered still.
pub async fn serve(listener: Listener, router: Router, stop: Stop) {
    let Listener { socket, tls, behind_proxy } = listener;
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD);
    let service = TowerToHyperService::new(NormalizePath::trim_trailing_slash(router));
    let places = Places::new(behind_proxy);
    let (graceful, tracker) = (GracefulShutdown::new(), TaskTracker::new());
    loop {
        let accepted = tokio::select! {
            () = stop.asked() => break,
            accepted = accept(&socket, &places) => accepted,
        };
        let Some((stream, peer, place)) = accepted else { continue };
        let (service, watcher) = (service.clone(), graceful.watcher());
        let connection = Connection { http: http.clone(), service, line: Line { peer, tls: tls.is_some() }, watcher };
        let tls = tls.clone();
        tracker.spawn(async move {
            match tls {
                None => connection.serve(TokioIo::new(stream)).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => connection.serve(TokioIo::new(stream)).await,
                    Err(error) => tracing::debug!(%error, %peer, "a handshake came to nothing"),
                },
            }
            drop(place);
        });
    }
    drop(socket);
    if tokio::time::timeout(LAST_ANSWERS, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests were not answered before the end");
    }
}

/// One connection, as far as it does not depend on what it is made of.
struct Connection {
    http: http1::Builder,
    service: TowerToHyperService<NormalizePath<Router>>,
    line: Line,
    watcher: Watcher,
}

impl Connection {
    async fn serve(self, stream: impl Read + Write + Unpin + 'static) {
        let Self { http, service, line, watcher } = self;
        let told = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(line);
            service.call(request)
        });
        if let Err(error) = watcher.watch(http.serve_connection(stream, told)).await {
            // A caller that went away.
            tracing::debug!(%error, "a connection broke off");
        }
    }
}

/// The places for connections, and who has how many of them.
struct Places {
    all: Arc<Semaphore>,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
    behind_proxy: bool,
}

/// A place; dropping it gives it back.
struct Place {
    _of_all: OwnedSemaphorePermit,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
    source: Option<IpAddr>,
}

impl Places {
    fn new(behind_proxy: bool) -> Self {
        Self { all: Arc::new(Semaphore::new(CONNECTIONS)), taken: Arc::default(), behind_proxy }
    }

    /// A place for a connection of this peer; `None` when it has its share already.
    fn of(&self, peer: IpAddr, of_all: OwnedSemaphorePermit) -> Option<Place> {
        let source = (!self.behind_proxy && !peer.is_loopback()).then(|| network(peer));
        if let Some(source) = source {
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            let count = taken.entry(source).or_default();
            if *count >= OF_ONE_SOURCE {
                return None;
            }
            *count += 1;
        }
        Some(Place { _of_all: of_all, taken: self.taken.clone(), source })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(source) = self.source else { return };
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&source) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => drop(taken.remove(&source)),
        }
    }
}

async fn accept(socket: &TcpListener, places: &Places) -> Option<(TcpStream, IpAddr, Place)> {
    let of_all = places.all.clone().acquire_owned().await.ok()?;
    match socket.accept().await {
        Ok((stream, peer)) => {
            // Answers are small and wait for nothing.
            let _ = stream.set_nodelay(true);
            let peer = peer.ip().to_canonical();
            let place = places.of(peer, of_all);
            if place.is_none() {
                tracing::debug!(%peer, "has its share of the connections already");
            }
            Some((stream, peer, place?))
        }
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection");
            tokio::time::sleep(PAUSE).await;
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(places: &Places, ip: &str) -> Option<Place> {
        places.of(ip.parse().unwrap(), places.all.clone().try_acquire_owned().unwrap())
    }

    #[test]
    fn one_source_cannot_take_all_connections() {
        let places = Places::new(false);
        let mut mine: Vec<Place> = (0..OF_ONE_SOURCE).map(|_| of(&places, "192.0.2.1").unwrap()).collect();
        assert!(of(&places, "192.0.2.1").is_none() && of(&places, "192.0.2.2").is_some());
        mine.pop();
        assert!(of(&places, "192.0.2.1").is_some());
        drop(mine);
        assert!(places.taken.lock().unwrap().is_empty());
    }

    #[test]
    fn this_machine_may_and_so_may_a_proxy_which_stands_for_many() {
        for (behind_proxy, peer) in [(false, "127.0.0.1"), (false, "::1"), (true, "192.0.2.1")] {
            let places = Places::new(behind_proxy);
            let all: Vec<Option<Place>> = (0..CONNECTIONS).map(|_| of(&places, peer)).collect();
            assert!(all.iter().all(Option::is_some), "{peer}");
        }
    }
}
