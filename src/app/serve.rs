//! `serve`: the HTTP door and the executor over one record, in one process or each in its own.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::MissedTickBehavior;

use super::App;
use crate::api::server::{self, Listener};
use crate::api::tls::{Tls, TlsError};
use crate::api::{self, Callers, Door};
use crate::config::{self, ConfigError, TlsFiles};
use crate::domain::site::Site;
use crate::meters;
use crate::service::shift::Shift;
use crate::service::{Service, Stop};

/// How often the files of the certificate are looked at: a renewed one is there long before the old one ends.
const LOOK: Duration = Duration::from_secs(60);

/// The door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Passwords would cross the network in clear, or anybody could send jobs.
    #[error(
        "{address} can be reached from other machines, and the site file declares {lacks}: as it is the server listens on \
         loopback only (127.0.0.1 or [::1])"
    )]
    BeyondLoopback {
        /// The address.
        address: SocketAddr,
        /// What the site file does not declare.
        lacks: &'static str,
    },
    /// A file of the certificate cannot be read.
    #[error(transparent)]
    Read(#[from] ConfigError),
    /// The certificate cannot be used.
    #[error("{cert} and {key} cannot be used")]
    Certificate {
        /// File of the certificate.
        cert: String,
        /// File of its key.
        key: String,
        /// Why.
        #[source]
        source: TlsError,
    },
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

/// The open socket, with the certificate that is shown on it.
pub struct Listening {
    listener: Listener,
    files: Option<TlsFiles>,
}

impl Listening {
    /// Where callers find it: `https://127.0.0.1:8420`.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn url(&self) -> io::Result<String> {
        let scheme = if self.files.is_some() { "https" } else { "http" };
        Ok(format!("{scheme}://{}", self.listener.socket.local_addr()?))
    }
}

/// Between two times that what was measured is put in order.
const TIDY: Duration = Duration::from_secs(5);

/// Between two looks for hosts that a person should have installed: one statement each.
const PERSONS: Duration = Duration::from_secs(15);

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
pub async fn listen(address: SocketAddr, site: &Site) -> Result<Listening, ListenError> {
    if let Some(lacks) = lacks(site).filter(|_| !address.ip().to_canonical().is_loopback()) {
        return Err(ListenError::BeyondLoopback { address, lacks });
    }
    let certificate = certificate(site)?;
    let socket = TcpListener::bind(address).await.map_err(|source| ListenError::Refused { address, source })?;
    let (files, tls) = certificate.unzip();
    Ok(Listening { listener: Listener { socket, tls, behind_proxy: site.api.behind_tls_proxy }, files })
}

/// What the site file has to declare before other machines may reach the door.
fn lacks(site: &Site) -> Option<&'static str> {
    let is_secure = site.api.tls().is_some() || site.api.behind_tls_proxy;
    match (site.app.is_empty(), is_secure) {
        (true, false) => Some("neither apps nor TLS"),
        (true, true) => Some("no apps ([[app]])"),
        (false, false) => Some("no TLS (tls_cert and tls_key in [api], or behind_tls_proxy)"),
        (false, true) => None,
    }
}

/// The certificate that the site declares, with the files it is in.
///
/// # Errors
/// When it cannot be read or used.
pub fn certificate(site: &Site) -> Result<Option<(TlsFiles, Tls)>, ListenError> {
    let Some((cert, key)) = site.api.tls() else { return Ok(None) };
    let files = config::tls_files(cert.as_ref(), key.as_ref())?;
    let unusable = |source| ListenError::Certificate { cert: cert.into(), key: key.into(), source };
    let tls = Tls::new(&files.chain, &files.key).map_err(unusable)?;
    Ok(Some((files, tls)))
}

impl App {
    /// Does its part until the stop; then nothing new is taken, running steps finish within their grace, and the rest is left
    /// in the record for other executors, or the next start. Without a socket nobody is answered.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub async fn serve(&self, part: Part, listening: Option<Listening>, stop: Stop) -> io::Result<()> {
        meters::start();
        let shift = (part != Part::Api).then(|| Shift::new(self.service.clone(), stop.clone()));
        let callers = Callers::new(&self.site)?;
        let door = Door { service: self.service.clone(), shift: shift.clone(), callers, stop: stop.clone() };
        let answering = async {
            if let Some(Listening { listener, files }) = listening {
                let router = if part == Part::Executor { api::health_router(door) } else { api::router(door) };
                let shown = files.zip(listener.tls.clone());
                tokio::join!(server::serve(listener, router, stop.clone()), renew(shown, &stop));
            }
        };
        let working = async {
            if let Some(shift) = shift {
                shift.run().await;
            }
        };
        tokio::select! {
            _ = async { tokio::join!(answering, working) } => {}
            () = tidy() => {}
            () = wait_for_persons(&self.service) => {}
        }
        Ok(())
    }
}

/// Shows the certificate that is in the files now.
async fn renew(shown: Option<(TlsFiles, Tls)>, stop: &Stop) {
    let Some((mut seen, tls)) = shown else { return };
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.asked() => return,
            _ = look.tick() => {}
        }
        // While somebody writes them they may be gone, or one of them old: the next look finds them whole.
        match config::tls_files(&seen.cert_file, &seen.key_file) {
            Ok(now) if now == seen => {}
            Ok(now) => {
                match tls.replace(&now.chain, &now.key) {
                    Ok(()) => tracing::info!("the door shows another certificate from now on"),
                    Err(error) => tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a new certificate cannot be used: the old one is shown still"
                    ),
                }
                seen = now;
            }
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "the certificate cannot be looked at"),
        }
    }
}

/// Ends hosts that a person should have installed and that are waited for no longer. Never ends by itself.
async fn wait_for_persons(service: &Service) {
    let mut due = tokio::time::interval(PERSONS);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        if let Err(error) = service.sweep_manual().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot look for hosts that nobody came for");
        }
    }
}

/// Never ends.
async fn tidy() {
    let mut due = tokio::time::interval(TIDY);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        meters::tidy();
    }
}
