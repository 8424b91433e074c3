//! `serve`: the HTTP door and the executor over one record, in one process or each in its own.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::App;
use crate::api::{self, Door};
use crate::service::Stop;
use crate::service::shift::Shift;

/// The door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Passwords would cross the network in clear, and anybody could send jobs.
    #[error(
        "{0} can be reached from other machines: this release knows neither apps nor TLS, so it listens on loopback only \
         (127.0.0.1 or [::1])"
    )]
    BeyondLoopback(SocketAddr),
    /// The system refused the address.
    #[error("cannot listen on {address}")]
    Refused {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// What a process does of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// It answers and works.
    Whole,
    /// It answers; others work.
    Api,
    /// It works; others answer.
    Executor,
}

impl Part {
    /// By the flags; at most one of them is given.
    #[must_use]
    pub fn of(executor_only: bool, api_only: bool) -> Self {
        match (executor_only, api_only) {
            (true, _) => Self::Executor,
            (false, true) => Self::Api,
            (false, false) => Self::Whole,
        }
    }
}

/// Opens the socket; from now on callers wait in its queue.
///
/// # Errors
/// [`ListenError`].
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    if !address.ip().to_canonical().is_loopback() {
        return Err(ListenError::BeyondLoopback(address));
    }
    TcpListener::bind(address).await.map_err(|source| ListenError::Refused { address, source })
}

impl App {
    /// Does its part until the stop; then nothing new is taken, running steps finish within their grace, and the rest is left
    /// in the record for other executors, or the next start. Without a listener nobody is answered.
    pub async fn serve(&self, part: Part, listener: Option<TcpListener>, stop: Stop) {
        let shift = (part != Part::Api).then(|| Shift::new(self.service.clone(), stop.clone()));
        let door = Door { service: self.service.clone(), shift: shift.clone(), stop: stop.clone() };
        let answering = async {
            if let Some(listener) = listener {
                let router = if part == Part::Executor { api::health_router(door) } else { api::router(door) };
                api::server::serve(listener, router, stop).await;
            }
        };
        let working = async {
            if let Some(shift) = shift {
                shift.run().await;
            }
        };
        tokio::join!(answering, working);
    }
}
