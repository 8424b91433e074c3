//! Connections to gateways, shared by all hosts behind them: few connections, and on each of them a channel per host.
//!
//! ```text
//! host ─► Tunnel (a channel that is always drained) ─┐
//! host ─► Tunnel ────────────────────────────────────┴─► Shared: one of 1 to 4 connections to the gateway
//! ```
//! No more than eight hosts are logged in to at once through one gateway; one that does not answer at once leaves its turn to
//! others, so that hosts which are gone hold up nobody.
//! What a host's session has not read yet is bounded by its own windows, far below what a channel keeps. A connection is made
//! by whoever needs it first; all who wait meanwhile get what came of it, an error too: a dead gateway is dialled once, not
//! once per host. One that nobody uses any more stays for a moment, for the next host.
//!
//! Never here: which gateway is taken, and whether another one is tried (the engine's).

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use russh::ChannelOpenFailure;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use crate::transport::{Gateway, Target, TransportError};

use super::channel::{self, Fate, NotOpen, Opened, Order};
use super::dial::{self, Dialled, Hangup};
use super::listener::{Link, Notes};
use super::tunnel::Tunnel;
use super::{LoggedIn, SshTransport};

/// How long an unused connection stays.
const LINGER: Duration = Duration::from_secs(15);

/// How long a gateway may take to answer when a host behind it has fallen silent.
const ANSWER: Duration = Duration::from_secs(5);

/// Whose host has not answered by then leaves its turn to others: a host that is gone is waited for much longer.
const PROMPT: Duration = Duration::from_secs(1);

/// Connections for so many hosts: one connection is one core of ours and one of the gateway's, and one window.
fn wanted(hosts: usize) -> usize {
    match hosts {
        0..=3 => 1,
        4..=31 => 2,
        _ => 4,
    }
}

/// All gateways this process has connections to.
pub(super) struct Gateways {
    pools: Mutex<HashMap<String, Arc<Pool>>>,
    /// Logins of hosts at once through one of them.
    handshakes: usize,
}

/// The connections to one gateway.
struct Pool {
    /// Whoever makes a connection has it.
    turn: tokio::sync::Mutex<()>,
    /// Whoever logs in to a host has one.
    handshakes: Arc<Semaphore>,
    lines: Mutex<Vec<Weak<Shared>>>,
    /// How many tries failed so far, and with what the last one did.
    failed: Mutex<(u64, Option<Arc<TransportError>>)>,
}

/// A connection to a gateway.
struct Shared {
    link: Arc<Link>,
    notes: Arc<Notes>,
    hosts: AtomicUsize,
    /// It broke, or did not answer once: nobody else gets on it, and whoever is on it may wait whether it comes back.
    silent: AtomicBool,
    /// Ends it when the last user is gone.
    _hangup: Hangup,
}

impl Shared {
    /// Does the gateway answer?
    async fn answers(&self) -> bool {
        let answered = timeout(ANSWER, self.link.send_ping()).await.is_ok_and(|sent| sent.is_ok());
        let answers = answered && !self.link.is_closed() && !self.notes.is_over();
        self.silent.fetch_or(!answers, Ordering::Relaxed);
        answers
    }

    /// May another host get on it?
    fn is_well(&self) -> bool {
        !self.silent.load(Ordering::Relaxed) && !self.notes.is_over()
    }

    /// What is wrong with one that does not answer.
    fn trouble(&self) -> TransportError {
        if self.notes.is_over() || self.link.is_closed() {
            return self.notes.lost();
        }
        TransportError::TimedOut { endpoint: self.notes.endpoint(), phase: "forwarding", after: ANSWER }
    }
}

/// What a line through a gateway depends on.
pub(super) struct Way {
    shared: Arc<Shared>,
    fate: Fate,
    /// Held until the login is over.
    _turn: Option<OwnedSemaphorePermit>,
}

impl Way {
    /// The host's error, or the gateway's where it is the gateway that broke or fell silent. Then nobody knows what the host
    /// would have said, to a password that was on its way either: it is asked once more, through another gateway.
    pub(super) async fn blamed(self, error: TransportError) -> TransportError {
        let is_open = matches!(
            error,
            TransportError::Closed { .. }
                | TransportError::Dropped { .. }
                | TransportError::Lost { .. }
                | TransportError::TimedOut { .. }
                | TransportError::Undecided { .. }
        );
        if !is_open || (!self.fate.is_lost() && self.shared.answers().await) {
            return error;
        }
        self.shared.silent.store(true, Ordering::Relaxed);
        TransportError::Gateway { gateway: self.shared.notes.endpoint(), cause: Arc::new(self.shared.trouble()) }
    }
}

/// The use of a gateway's connection by one host.
pub(super) struct Lease(Arc<Shared>);

impl Lease {
    fn of(shared: Arc<Shared>) -> Self {
        shared.hosts.fetch_add(1, Ordering::Relaxed);
        Self(shared)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.0.hosts.fetch_sub(1, Ordering::Relaxed) == 1
            && let Ok(runtime) = Handle::try_current()
        {
            let shared = Arc::clone(&self.0);
            // Not joined: it only holds the connection, and not for long.
            runtime.spawn(async move {
                tokio::select! {
                    () = tokio::time::sleep(LINGER) => {}
                    () = shared.notes.ended() => {}
                }
                drop(shared);
            });
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gateways {
    /// None yet; through each of them so many hosts are logged in to at once.
    pub(super) fn new(handshakes: usize) -> Self {
        Self { pools: Mutex::default(), handshakes: handshakes.max(1) }
    }

    /// A line to `target` through its `gateway`, within `after` once that is connected.
    pub(super) async fn line(
        &self,
        transport: &SshTransport,
        (target, gateway): (&Target, &Gateway),
        after: Duration,
    ) -> Result<(Dialled, Way), TransportError> {
        let failed = |cause| TransportError::Gateway { gateway: gateway.target.endpoint(), cause };
        let order = || Order::Connect { host: target.dial.to_string(), port: target.port };
        let endpoint = target.endpoint();
        let pool = self.pool(gateway);
        let mut lease = pool.lease(transport, gateway).await.map_err(failed)?;
        let mut opened = pool.open(&lease, order(), after).await;
        if let Ok(Err(NotOpen::Lost | NotOpen::Gone)) = opened {
            // It had gone away while nobody looked, which says nothing of the gateway.
            lease.0.silent.store(true, Ordering::Relaxed);
            lease = pool.lease(transport, gateway).await.map_err(failed)?;
            opened = pool.open(&lease, order(), after).await;
        }
        let words = || lease.0.notes.refusal().filter(|words| !words.is_empty());
        match opened {
            Ok(Ok((opened, turn))) => {
                let tunnel = Tunnel::new(opened);
                let way = Way { shared: Arc::clone(&lease.0), fate: tunnel.fate(), _turn: turn };
                Ok((dial::through(tunnel, lease), way))
            }
            Ok(Err(NotOpen::Channel(ChannelOpenFailure::ConnectFailed))) => {
                Err(not_reached(endpoint, words().unwrap_or_else(|| "the gateway cannot connect to it".to_owned()), after))
            }
            Ok(Err(NotOpen::Channel(why))) => {
                let cause = words().unwrap_or_else(|| why.description().to_owned());
                Err(failed(Arc::new(TransportError::NoForwarding { endpoint: gateway.target.endpoint(), cause })))
            }
            Ok(Err(NotOpen::Command | NotOpen::Terminal | NotOpen::Lost | NotOpen::Gone)) => {
                Err(failed(Arc::new(lease.0.notes.lost())))
            }
            // The gateway is still trying, which takes minutes where packets are dropped; or it is gone itself.
            Err(_) if lease.0.answers().await => Err(TransportError::TimedOut { endpoint, phase: "connect", after }),
            Err(_) => Err(failed(Arc::new(lease.0.trouble()))),
        }
    }

    fn pool(&self, gateway: &Gateway) -> Arc<Pool> {
        let key = format!("{}@{}", gateway.login.account, gateway.target.endpoint());
        lock(&self.pools).entry(key).or_insert_with(|| Arc::new(Pool::new(self.handshakes))).clone()
    }
}

/// What a gateway says of a host that it cannot connect to.
fn not_reached(endpoint: String, words: String, after: Duration) -> TransportError {
    let said = words.to_lowercase();
    if said.contains("refused") {
        TransportError::Refused { endpoint }
    } else if said.contains("timed out") || said.contains("timeout") {
        TransportError::TimedOut { endpoint, phase: "connect", after }
    } else {
        TransportError::NoRoute { endpoint, cause: words }
    }
}

impl Pool {
    fn new(handshakes: usize) -> Self {
        let handshakes = Arc::new(Semaphore::new(handshakes));
        Self { turn: tokio::sync::Mutex::default(), handshakes, lines: Mutex::default(), failed: Mutex::default() }
    }

    /// Opens a channel to a host within `after`, and gives the turn to log in there.
    async fn open(
        &self,
        lease: &Lease,
        order: Order,
        after: Duration,
    ) -> Result<Result<(Opened, Option<OwnedSemaphorePermit>), NotOpen>, Elapsed> {
        // It is never closed.
        let turn = || async { Arc::clone(&self.handshakes).acquire_owned().await.ok() };
        let own = turn().await;
        let mut opening = pin!(channel::open(Arc::clone(&lease.0.link), order));
        if let Ok(opened) = timeout(PROMPT.min(after), &mut opening).await {
            return Ok(opened.map(|opened| (opened, own)));
        }
        drop(own);
        match timeout(after.saturating_sub(PROMPT), opening).await? {
            Ok(opened) => Ok(Ok((opened, turn().await))),
            Err(why) => Ok(Err(why)),
        }
    }

    /// A place on a connection: on the least loaded one, or on a new one when there are too few for so many hosts.
    async fn lease(&self, transport: &SshTransport, gateway: &Gateway) -> Result<Lease, Arc<TransportError>> {
        if let Some(lease) = self.free(true) {
            return Ok(lease);
        }
        let before = lock(&self.failed).0;
        let _turn = self.turn.lock().await;
        if let Some(lease) = self.free(true) {
            return Ok(lease);
        }
        let failed = lock(&self.failed).clone();
        if let (count, Some(cause)) = failed
            && count > before
        {
            return self.free(false).ok_or(cause);
        }
        match transport.log_in_before(gateway).await {
            Ok(LoggedIn { link, hangup, notes }) => {
                let (link, hosts, silent) = (Arc::new(link), AtomicUsize::new(0), AtomicBool::new(false));
                let shared = Arc::new(Shared { link, notes, hosts, silent, _hangup: hangup });
                lock(&self.lines).push(Arc::downgrade(&shared));
                Ok(Lease::of(shared))
            }
            Err(error) => {
                let cause = Arc::new(error);
                let mut failed = lock(&self.failed);
                *failed = (failed.0 + 1, Some(Arc::clone(&cause)));
                drop(failed);
                // Fewer connections than wanted are better than none.
                self.free(false).ok_or(cause)
            }
        }
    }

    /// The least loaded connection; with `enough` only when there are as many as are wanted.
    fn free(&self, enough: bool) -> Option<Lease> {
        let mut lines = lock(&self.lines);
        lines.retain(|line| line.upgrade().is_some_and(|shared| shared.is_well()));
        let alive: Vec<Arc<Shared>> = lines.iter().filter_map(Weak::upgrade).collect();
        let hosts: usize = alive.iter().map(|shared| shared.hosts.load(Ordering::Relaxed)).sum();
        if enough && alive.len() < wanted(hosts + 1) {
            return None;
        }
        alive.into_iter().min_by_key(|shared| shared.hosts.load(Ordering::Relaxed)).map(Lease::of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_connections_serve_many_hosts() {
        assert_eq!([1, 3, 4, 31, 32, 1000].map(wanted), [1, 1, 2, 2, 4, 4]);
    }

    #[test]
    fn what_a_gateway_says_of_a_host_has_the_code_it_would_have_without_one() {
        let say = |words: &str| not_reached("h".into(), words.into(), Duration::from_secs(1));
        assert!(matches!(say("Connection refused"), TransportError::Refused { .. }));
        assert!(matches!(say("Connection timed out"), TransportError::TimedOut { .. }));
        assert!(matches!(say("No route to host"), TransportError::NoRoute { .. }));
    }
}
