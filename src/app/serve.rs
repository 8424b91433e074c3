//! `serve`: the HTTP door and the executor in one process over one record.

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
    /// Answers and works until the stop; then nothing new is taken, running steps finish within their grace, and the rest is
    /// left in the record for the next start.
    pub async fn serve(&self, listener: TcpListener, stop: Stop) {
        let shift = Shift::new(self.service.clone(), stop.clone());
        let door = Door { service: self.service.clone(), shift: shift.clone(), stop: stop.clone() };
        tokio::join!(api::server::serve(listener, api::router(door), stop), shift.run());
    }
}
