//! An SSH server in this process that does what a test tells it, and keeps a book of what was done to it.
//!
//! What it does on a connection stands in [`crate::play`]. Real sockets on loopback; nothing here is a real sshd.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use russh::keys::{Algorithm, Certificate, PrivateKey, PublicKey};
use russh::server;
use russh::{MethodKind, MethodSet, Preferred, cipher, kex, mac};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::files::Files;
use crate::play::Play;

/// What the server is like.
#[derive(Clone)]
pub(crate) struct Ways {
    /// Methods after `none`.
    pub(crate) methods: Vec<MethodKind>,
    /// Needs the account no proof at all?
    pub(crate) open: bool,
    /// The right password.
    pub(crate) password: &'static str,
    /// The keys that may log in.
    pub(crate) authorized: Vec<PublicKey>,
    /// What it wants after each proof that it took: one stage after the other.
    pub(crate) then: Vec<MethodKind>,
    /// The right answer to a question for a code, and the password of every stage but the first.
    pub(crate) second: &'static str,
    /// The authorities whose certificates may log in.
    pub(crate) authorities: Vec<PublicKey>,
    /// Questions of keyboard-interactive, round by round; a wrong answer ends it.
    pub(crate) rounds: Vec<Vec<&'static str>>,
    /// What is told in each of these rounds.
    pub(crate) tells: &'static str,
    /// Does a wrong password, or any key, end the connection without a word?
    pub(crate) hangs_up: bool,
    /// Refused logins, `none` included, after which the server says goodbye.
    pub(crate) tries: usize,
    /// How long a closed channel keeps its place.
    pub(crate) tidies_up: Duration,
    /// Channels at the same time.
    pub(crate) max_sessions: usize,
    /// The host keys.
    pub(crate) host_keys: Vec<PrivateKey>,
    /// Certificates of these keys.
    pub(crate) certificates: Vec<Certificate>,
    /// Does it serve SFTP, and how many writes must wait before they are answered?
    pub(crate) sftp: Option<usize>,
    /// Window for the client's bytes.
    pub(crate) window: u32,
    /// Does it know SHA-1 and CBC only?
    pub(crate) old: bool,
    /// Largest packet of the client's bytes.
    pub(crate) packet: u32,
    /// Said before the version.
    pub(crate) greeting: &'static str,
    /// Said during the login.
    pub(crate) banner: String,
    /// What it does that no good server does.
    pub(crate) lie: Option<Lie>,
}

/// What no good server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// The login succeeds, and that was all.
    LeavesAfterLogin,
    /// No request of a login is answered.
    IgnoresLogins,
    /// The password comes, and no verdict on it goes back.
    IgnoresPasswords,
    /// No request for a channel is answered.
    IgnoresChannels,
    /// From its second connection on it shows another host key.
    ChangesKey,
}

impl Default for Ways {
    fn default() -> Self {
        Self {
            methods: vec![MethodKind::PublicKey, MethodKind::Password, MethodKind::KeyboardInteractive],
            open: false,
            password: "correct horse",
            authorized: Vec::new(),
            authorities: Vec::new(),
            then: Vec::new(),
            second: "246810",
            rounds: vec![vec!["Password: "], vec![]],
            tells: "",
            hangs_up: false,
            tries: 10,
            tidies_up: Duration::ZERO,
            max_sessions: 10,
            host_keys: vec![new_key(Algorithm::Ed25519)],
            certificates: Vec::new(),
            sftp: None,
            window: 2 * 1024 * 1024,
            old: false,
            packet: 32 * 1024,
            greeting: "",
            banner: String::new(),
            lie: None,
        }
    }
}

/// What was done to the server.
#[derive(Default)]
pub(crate) struct Book {
    /// Connections that were accepted.
    pub(crate) connections: AtomicUsize,
    /// Passwords that came, by whatever method.
    pub(crate) passwords: AtomicUsize,
    /// What they were.
    pub(crate) said: Mutex<Vec<String>>,
    /// How the keys signed.
    pub(crate) signatures: Mutex<Vec<Algorithm>>,
    /// Keys that were offered.
    pub(crate) keys: AtomicUsize,
    /// Logins that succeeded.
    pub(crate) logins: AtomicUsize,
    /// Channels that were opened.
    pub(crate) opened: AtomicUsize,
    /// Channels that were refused.
    pub(crate) refused: AtomicUsize,
    /// Channels that the client closed.
    pub(crate) closed: AtomicUsize,
    /// What was written by SFTP.
    pub(crate) files: Files,
    /// Something of the above changed.
    pub(crate) changed: Notify,
}

impl Book {
    pub(crate) fn note(&self, count: &AtomicUsize) {
        count.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    /// Waits until a count is reached.
    pub(crate) async fn reaches(&self, count: impl Fn(&Self) -> &AtomicUsize, wanted: usize) {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                if count(self).load(Ordering::SeqCst) >= wanted {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), wait).await.expect("the server saw it within 5 s");
    }

    pub(crate) fn passwords(&self) -> usize {
        self.passwords.load(Ordering::SeqCst)
    }
}

/// A running server; it stops when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) book: Arc<Book>,
    pub(crate) host_keys: Vec<PublicKey>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A key nobody has seen before.
pub(crate) fn new_key(algorithm: Algorithm) -> PrivateKey {
    PrivateKey::random(&mut russh::keys::key::safe_rng(), algorithm).expect("a random key")
}

/// Starts a server.
pub(crate) async fn serve(ways: Ways) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
    let address = listener.local_addr().expect("its address");
    let book = Arc::<Book>::default();
    let host_keys = ways.host_keys.iter().map(|key| key.public_key().clone()).collect();
    let task = tokio::spawn(accept(listener, ways, Arc::clone(&book)));
    Server { address, book, host_keys, task }
}

fn config(ways: &Ways) -> Arc<server::Config> {
    Arc::new(server::Config {
        methods: MethodSet::from(ways.methods.as_slice()),
        keys: ways.host_keys.clone(),
        certificates: ways.certificates.clone(),
        window_size: ways.window,
        maximum_packet_size: ways.packet,
        auth_rejection_time: Duration::ZERO,
        max_auth_attempts: ways.tries,
        nodelay: true,
        preferred: if ways.old { old() } else { Preferred::DEFAULT },
        ..server::Config::default()
    })
}

/// What sshd spoke before 2013.
fn old() -> Preferred {
    Preferred {
        kex: Cow::Borrowed(&[kex::DH_G14_SHA1]),
        cipher: Cow::Borrowed(&[cipher::AES_128_CBC]),
        mac: Cow::Borrowed(&[mac::HMAC_SHA1]),
        ..Preferred::DEFAULT
    }
}

async fn accept(listener: TcpListener, mut ways: Ways, book: Arc<Book>) {
    let mut config = config(&ways);
    while let Ok((mut socket, _)) = listener.accept().await {
        book.note(&book.connections);
        let (config_now, greeting) = (Arc::clone(&config), ways.greeting);
        let play = Play::new(ways.clone(), Arc::clone(&book));
        tokio::spawn(async move {
            socket.write_all(greeting.as_bytes()).await?;
            server::run_stream(config_now, socket, play).await?.await
        });
        if ways.lie == Some(Lie::ChangesKey) {
            ways.host_keys = vec![new_key(Algorithm::Ed25519)];
            config = self::config(&ways);
        }
    }
}

/// Starts a listener that says one thing, and then nothing, or closes.
pub(crate) async fn says(words: &'static [u8], then_closes: bool) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
    let address = listener.local_addr().expect("its address");
    let task = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut socket, _)) = listener.accept().await {
            if socket.write_all(words).await.is_ok() && !then_closes {
                held.push(socket);
            }
        }
    });
    (address, task)
}
