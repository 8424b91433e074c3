//! What the server does on one connection: logins, channels, and commands, which are words.
//!
//! To add a command: its arm in `perform` or `perform_oddly`. To add a lie: a variant of [`Lie`], and where it is told.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use russh::keys::{Certificate, PublicKey};
use russh::server::{self, Auth, ChannelOpenHandle, Handle, Msg, PublicKeyOffer, Response, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelOpenFailure, Disconnect, MethodSet, Sig};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::files::Clerk;
use crate::server::{Book, Lie, Ways};

/// What came on the stdin of each command that has its place.
type Stdins = Arc<Mutex<HashMap<ChannelId, Sha256>>>;

/// Like sshd: a closed channel gives its place back a moment later.
async fn tidy_up(stdin: Stdins, id: ChannelId, pause: Duration) {
    tokio::time::sleep(pause).await;
    stdin.lock().unwrap().remove(&id);
}

/// One connection.
pub(crate) struct Play {
    ways: Ways,
    book: Arc<Book>,
    round: usize,
    /// Proofs that were taken.
    stage: usize,
    stdin: Stdins,
    clerks: HashMap<ChannelId, Clerk>,
    /// Requests for channels that are never answered: a dropped one would be a refusal.
    ignored: Vec<ChannelOpenHandle>,
}

impl Play {
    /// A connection to a server of these ways.
    pub(crate) fn new(ways: Ways, book: Arc<Book>) -> Self {
        Self { ways, book, round: 0, stage: 0, stdin: Arc::default(), clerks: HashMap::new(), ignored: Vec::new() }
    }

    /// Stays silent for ever when that is the server's lie.
    async fn perhaps_silent(&self, lie: Lie) {
        if self.ways.lie == Some(lie) {
            std::future::pending().await
        }
    }

    async fn password(&self, password: &str, wanted: &str) -> Result<Auth, russh::Error> {
        self.book.said.lock().unwrap().push(password.to_owned());
        self.book.note(&self.book.passwords);
        self.perhaps_silent(Lie::IgnoresPasswords).await;
        if password == wanted {
            return Ok(Auth::Accept);
        }
        if self.ways.hangs_up { Err(russh::Error::Disconnect) } else { Ok(Auth::reject()) }
    }

    fn knows(&self, key: &PublicKey) -> bool {
        self.ways.authorized.iter().any(|known| known.key_data() == key.key_data())
    }

    /// The password of this stage.
    fn wanted(&self) -> &'static str {
        if self.stage == 0 { self.ways.password } else { self.ways.second }
    }

    /// A proof was taken: in, or on to the next one.
    fn took(&mut self) -> Auth {
        let next = self.ways.then.get(self.stage).copied();
        self.stage += 1;
        match next {
            None => Auth::Accept,
            Some(next) => {
                let proceed_with_methods = Some(MethodSet::from([next].as_slice()));
                Auth::Reject { proceed_with_methods, partial_success: true }
            }
        }
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
            "twice" => {
                code(3).await?;
                code(0).await?;
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

    async fn authentication_banner(&mut self) -> Result<Option<String>, russh::Error> {
        Ok(Some(self.ways.banner.clone()).filter(|banner| !banner.is_empty()))
    }

    async fn auth_none(&mut self, _: &str) -> Result<Auth, russh::Error> {
        self.perhaps_silent(Lie::IgnoresLogins).await;
        Ok(if self.ways.open { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_password(&mut self, _: &str, password: &str) -> Result<Auth, russh::Error> {
        let judged = self.password(password, self.wanted()).await?;
        Ok(if matches!(judged, Auth::Accept) { self.took() } else { judged })
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, russh::Error> {
        let asked = self.round.checked_sub(1).and_then(|round| self.ways.rounds.get(round)).cloned().unwrap_or_default();
        for (answer, prompt) in response.into_iter().flatten().zip(asked) {
            let wanted = if prompt.contains("code") { self.ways.second } else { self.wanted() };
            match self.password(&String::from_utf8_lossy(&answer), wanted).await? {
                Auth::Accept => {}
                other => return Ok(other),
            }
        }
        let round = self.round;
        self.round += 1;
        Ok(match self.ways.rounds.get(round) {
            None if round == 0 => Auth::reject(),
            None => self.took(),
            Some(prompts) => Auth::Partial {
                name: Cow::Borrowed(""),
                instructions: Cow::Borrowed(self.ways.tells),
                prompts: Cow::Owned(prompts.iter().map(|prompt| (Cow::Borrowed(*prompt), false)).collect()),
            },
        })
    }

    async fn auth_publickey_offered(&mut self, _: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, russh::Error> {
        self.book.note(&self.book.keys);
        if self.ways.hangs_up {
            return Err(russh::Error::Disconnect);
        }
        // Whether a certificate comes with it is not told here.
        let perhaps = !self.ways.authorities.is_empty();
        Ok(if perhaps || self.knows(offer.public_key) { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(&mut self, _: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, russh::Error> {
        self.book.signatures.lock().unwrap().push(key.algorithm.clone());
        Ok(if self.knows(key.public_key) { self.took() } else { Auth::reject() })
    }

    async fn auth_openssh_certificate(&mut self, user: &str, certificate: &Certificate) -> Result<Auth, russh::Error> {
        let known = self.ways.authorities.iter().any(|authority| authority.key_data() == certificate.signature_key());
        let named = certificate.valid_principals().iter().any(|principal| principal == user);
        Ok(if known && named { self.took() } else { Auth::reject() })
    }

    async fn auth_succeeded(&mut self, session: &mut Session) -> Result<(), russh::Error> {
        self.book.note(&self.book.logins);
        if self.ways.lie == Some(Lie::LeavesAfterLogin) {
            session.disconnect(Disconnect::ByApplication, "no room", "")?;
        }
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        if self.ways.lie == Some(Lie::IgnoresChannels) {
            self.ignored.push(reply);
            return Ok(());
        }
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
            // Packets to it vanish.
            3 => self.ignored.push(reply),
            1024.. => match TcpStream::connect(("127.0.0.1", u16::try_from(port).expect("a port"))).await {
                Ok(mut socket) => {
                    reply.accept().await;
                    tokio::spawn(async move { tokio::io::copy_bidirectional(&mut channel.into_stream(), &mut socket).await });
                }
                Err(_) => reply.reject(ChannelOpenFailure::ConnectFailed).await,
            },
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

    async fn subsystem_request(&mut self, id: ChannelId, name: &str, session: &mut Session) -> Result<(), russh::Error> {
        match self.ways.sftp {
            Some(pile) if name == "sftp" => {
                self.clerks.insert(id, Clerk::new(Arc::clone(&self.book.files), pile));
                session.channel_success(id)
            }
            _ => session.channel_failure(id),
        }
    }

    async fn data(&mut self, id: ChannelId, data: &[u8], session: &mut Session) -> Result<(), russh::Error> {
        if let Some(clerk) = self.clerks.get_mut(&id) {
            let said = clerk.hear(data);
            if !said.is_empty() {
                session.data(id, said)?;
            }
        }
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
