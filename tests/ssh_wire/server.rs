//! An SSH server in this process that does what a test tells it, and keeps a book of what was done to it.
//!
//! Commands are words, not a shell: [`Play`] lists what they do. Real sockets on loopback; nothing here is a real sshd.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use russh::keys::{Algorithm, PrivateKey, PublicKey};
use russh::server::{self, Auth, ChannelOpenHandle, Handle, Msg, PublicKeyOffer, Response, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelOpenFailure, Disconnect, MethodKind, MethodSet, Preferred, Sig, cipher, kex, mac};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

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
    /// Questions of keyboard-interactive, round by round; the right password to the first one decides.
    pub(crate) rounds: Vec<Vec<&'static str>>,
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
    /// Window for the client's bytes.
    pub(crate) window: u32,
    /// Does it know SHA-1 and CBC only?
    pub(crate) old: bool,
    /// Said before the version.
    pub(crate) greeting: &'static str,
}

impl Default for Ways {
    fn default() -> Self {
        Self {
            methods: vec![MethodKind::PublicKey, MethodKind::Password, MethodKind::KeyboardInteractive],
            open: false,
            password: "correct horse",
            authorized: Vec::new(),
            rounds: vec![vec!["Password: "], vec![]],
            hangs_up: false,
            tries: 10,
            tidies_up: Duration::ZERO,
            max_sessions: 10,
            host_keys: vec![new_key(Algorithm::Ed25519)],
            window: 2 * 1024 * 1024,
            old: false,
            greeting: "",
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
    /// Something of the above changed.
    pub(crate) changed: Notify,
}

impl Book {
    fn note(&self, count: &AtomicUsize) {
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
    let config = Arc::new(server::Config {
        methods: MethodSet::from(ways.methods.as_slice()),
        keys: ways.host_keys.clone(),
        window_size: ways.window,
        auth_rejection_time: Duration::ZERO,
        max_auth_attempts: ways.tries,
        nodelay: true,
        preferred: if ways.old { old() } else { Preferred::DEFAULT },
        ..server::Config::default()
    });
    let task = tokio::spawn(accept(listener, config, ways, Arc::clone(&book)));
    Server { address, book, host_keys, task }
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

async fn accept(listener: TcpListener, config: Arc<server::Config>, ways: Ways, book: Arc<Book>) {
    while let Ok((mut socket, _)) = listener.accept().await {
        book.note(&book.connections);
        let play = Play { ways: ways.clone(), book: Arc::clone(&book), round: 0, stdin: Arc::default() };
        let config = Arc::clone(&config);
        tokio::spawn(async move {
            socket.write_all(play.ways.greeting.as_bytes()).await?;
            server::run_stream(config, socket, play).await?.await
        });
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

/// What came on the stdin of each command that has its place.
type Stdins = Arc<Mutex<HashMap<ChannelId, Sha256>>>;

/// Like sshd: a closed channel gives its place back a moment later.
async fn tidy_up(stdin: Stdins, id: ChannelId, pause: Duration) {
    tokio::time::sleep(pause).await;
    stdin.lock().unwrap().remove(&id);
}

/// One connection.
struct Play {
    ways: Ways,
    book: Arc<Book>,
    round: usize,
    stdin: Stdins,
}

impl Play {
    fn password(&self, password: &str) -> Result<Auth, russh::Error> {
        self.book.note(&self.book.passwords);
        if password == self.ways.password {
            return Ok(Auth::Accept);
        }
        if self.ways.hangs_up { Err(russh::Error::Disconnect) } else { Ok(Auth::reject()) }
    }

    /// What a command does; it runs beside the session, so that the order of messages is its own.
    async fn perform(line: String, id: ChannelId, handle: Handle) -> Result<(), ()> {
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let code = |code: u32| handle.exit_status_request(id, code);
        let out = async |text: &str| handle.data(id, text.as_bytes().to_vec()).await.map_err(drop);
        let err = async |text: &str| handle.extended_data(id, 1, text.as_bytes().to_vec()).await.map_err(drop);
        match word {
            "hasty" => {
                out("and after it").await?;
                code(0).await?;
                handle.close(id).await
            }
            "say" => {
                out(rest).await?;
                handle.eof(id).await?;
                code(0).await?;
                handle.close(id).await
            }
            "both" => {
                out("to stdout").await?;
                err("to stderr").await?;
                code(0).await?;
                handle.close(id).await
            }
            "exit" => {
                code(rest.parse().expect("a number")).await?;
                handle.close(id).await
            }
            "killed" => {
                handle.exit_signal_request(id, Sig::from_word(rest), false, String::new(), String::new()).await?;
                handle.close(id).await
            }
            "mute" => handle.close(id).await,
            "late" => {
                handle.eof(id).await?;
                out("after eof, ").await?;
                code(4).await?;
                out("after the status").await?;
                handle.close(id).await
            }
            "linger" => {
                out("done").await?;
                code(0).await
            }
            "soon-over" => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                code(1).await?;
                handle.close(id).await
            }
            "sink" | "hang" => Ok(()),
            odd => Self::perform_oddly(odd, rest, id, handle).await,
        }
    }

    /// Commands that call back, print without end, or take the connection along.
    async fn perform_oddly(word: &str, rest: &str, id: ChannelId, handle: Handle) -> Result<(), ()> {
        let code = |code: u32| handle.exit_status_request(id, code);
        match word {
            "call-back" => {
                let refused = handle.channel_open_session().await.is_err() && handle.channel_open_agent().await.is_err();
                code(u32::from(!refused)).await?;
                handle.close(id).await
            }
            "flood" => {
                let block = vec![b'x'; 32 * 1024];
                for _ in 0..rest.parse().expect("a number of blocks") {
                    handle.data(id, block.clone()).await.map_err(drop)?;
                }
                code(0).await?;
                handle.close(id).await
            }
            "vanish" => {
                handle.data(id, b"so far".to_vec()).await.map_err(drop)?;
                handle.disconnect(Disconnect::ByApplication, "going down".into(), String::new()).await.map_err(drop)
            }
            "cut" => {
                if rest == "after-eof" {
                    handle.eof(id).await?;
                }
                code(0).await?;
                handle.disconnect(Disconnect::ByApplication, "going down".into(), String::new()).await.map_err(drop)
            }
            other => panic!("no such command: {other}"),
        }
    }
}

/// Signals by the word of a test.
trait FromWord {
    fn from_word(word: &str) -> Self;
}

impl FromWord for Sig {
    fn from_word(word: &str) -> Self {
        match word {
            "KILL" => Self::KILL,
            "TERM" => Self::TERM,
            other => Self::Custom(other.to_owned()),
        }
    }
}

impl server::Handler for Play {
    type Error = russh::Error;

    async fn auth_none(&mut self, _: &str) -> Result<Auth, russh::Error> {
        Ok(if self.ways.open { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_password(&mut self, _: &str, password: &str) -> Result<Auth, russh::Error> {
        self.password(password)
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, russh::Error> {
        if let Some(answer) = response.into_iter().flatten().next() {
            match self.password(&String::from_utf8_lossy(&answer))? {
                Auth::Accept => {}
                other => return Ok(other),
            }
        }
        let round = self.round;
        self.round += 1;
        Ok(match self.ways.rounds.get(round) {
            None if round == 0 => Auth::reject(),
            None => Auth::Accept,
            Some(prompts) => Auth::Partial {
                name: Cow::Borrowed(""),
                instructions: Cow::Borrowed(""),
                prompts: Cow::Owned(prompts.iter().map(|prompt| (Cow::Borrowed(*prompt), false)).collect()),
            },
        })
    }

    async fn auth_publickey_offered(&mut self, _: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, russh::Error> {
        self.book.note(&self.book.keys);
        if self.ways.hangs_up {
            return Err(russh::Error::Disconnect);
        }
        let known = self.ways.authorized.iter().any(|key| key.key_data() == offer.public_key.key_data());
        Ok(if known { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(&mut self, _: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, russh::Error> {
        self.book.signatures.lock().unwrap().push(key.algorithm.clone());
        Ok(Auth::Accept)
    }

    async fn auth_succeeded(&mut self, _: &mut Session) -> Result<(), russh::Error> {
        self.book.note(&self.book.logins);
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        if self.stdin.lock().unwrap().len() >= self.ways.max_sessions {
            self.book.note(&self.book.refused);
            reply.reject(ChannelOpenFailure::ConnectFailed).await;
            return Ok(());
        }
        self.book.note(&self.book.opened);
        reply.accept().await;
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        _: &str,
        port: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        match port {
            7 => {
                reply.accept().await;
                tokio::spawn(async move {
                    let (mut read, mut write) = tokio::io::split(channel.into_stream());
                    tokio::io::copy(&mut read, &mut write).await?;
                    write.shutdown().await
                });
            }
            1 => reply.reject(ChannelOpenFailure::ConnectFailed).await,
            _ => reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await,
        }
        Ok(())
    }

    async fn exec_request(&mut self, id: ChannelId, line: &[u8], session: &mut Session) -> Result<(), russh::Error> {
        let line = String::from_utf8_lossy(line).into_owned();
        match line.as_str() {
            "refuse" => return session.channel_failure(id),
            "ignore" => return Ok(()),
            "hasty" => session.data(id, "before the answer, ")?,
            _ => {}
        }
        session.channel_success(id)?;
        self.stdin.lock().unwrap().insert(id, Sha256::new());
        let (handle, stdin, pause) = (session.handle(), Arc::clone(&self.stdin), self.ways.tidies_up);
        tokio::spawn(async move {
            let stays = ["sink", "hang", "linger"].contains(&line.as_str());
            let _ = Self::perform(line, id, handle).await;
            if !stays {
                tidy_up(stdin, id, pause).await;
            }
        });
        Ok(())
    }

    async fn data(&mut self, id: ChannelId, data: &[u8], _: &mut Session) -> Result<(), russh::Error> {
        if let Some(stdin) = self.stdin.lock().unwrap().get_mut(&id) {
            stdin.update(data);
        }
        Ok(())
    }

    async fn channel_eof(&mut self, id: ChannelId, session: &mut Session) -> Result<(), russh::Error> {
        let stdin = self.stdin.lock().unwrap().get(&id).cloned();
        if let Some(stdin) = stdin {
            session.data(id, stdin.finalize().to_vec())?;
            session.exit_status_request(id, 0)?;
            session.close(id)?;
        }
        Ok(())
    }

    async fn channel_close(&mut self, id: ChannelId, _: &mut Session) -> Result<(), russh::Error> {
        tokio::spawn(tidy_up(Arc::clone(&self.stdin), id, self.ways.tidies_up));
        self.book.note(&self.book.closed);
        Ok(())
    }
}
