//! What the server says outside of an answer: its host key, why it hangs up, why it opens no channel.
//!
//! russh calls a [`Listener`] from its own task; what it heard is left in [`Notes`] for the caller's task. Errors go that
//! way too, because russh may report the end of the socket in place of the reason. Channels that a server opens towards
//! us are refused: russh would accept them all.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use russh::client::{self, ChannelOpenHandle, DisconnectReason, Handle, Msg, Session};
use russh::keys::{PublicKey, PublicKeyOrCertificate};
use russh::{Channel, ChannelId, ChannelOpenFailure};
use tokio_util::sync::CancellationToken;

use crate::transport::{ReplacedKey, Target, TransportError};

use super::greeting::{Greeting, quote};
use super::hostkey::{self, Expectation, Judgement};

/// A connection of russh with our listener.
pub(super) type Link = Handle<Listener>;

/// How the connection ended.
#[derive(Clone, Debug)]
pub(super) enum Goodbye {
    /// The server said so (SSH_MSG_DISCONNECT).
    Said(String),
    /// The server has no method left for us.
    NoMethod,
    /// It broke.
    Broke(String),
}

impl std::fmt::Display for Goodbye {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Said(words) => write!(f, "the server says: {words}"),
            Self::NoMethod => f.write_str("the server has no login method left"),
            Self::Broke(cause) => f.write_str(cause),
        }
    }
}

/// Words of banners that are kept: the last ones, which are about this login.
const WORDS_CAP: usize = 4096;

/// What was heard on one connection.
pub(super) struct Notes {
    host: IpAddr,
    endpoint: String,
    expectation: Expectation,
    heard: Mutex<Heard>,
    ended: CancellationToken,
}

#[derive(Default)]
struct Heard {
    offered: Option<(PublicKey, Judgement)>,
    verdict: Option<TransportError>,
    goodbye: Option<Goodbye>,
    refusal: Option<String>,
    words: String,
}

impl Notes {
    /// Empty ones.
    pub(super) fn new(target: &Target, expectation: Expectation) -> Self {
        Self {
            host: target.dial,
            endpoint: target.endpoint(),
            expectation,
            heard: Mutex::default(),
            ended: CancellationToken::new(),
        }
    }

    /// Address and port.
    pub(super) fn endpoint(&self) -> String {
        self.endpoint.clone()
    }

    /// What is expected of the host key.
    pub(super) fn expectation(&self) -> &Expectation {
        &self.expectation
    }

    /// Why the host key was refused, if it was; only the first time.
    pub(super) fn verdict(&self) -> Option<TransportError> {
        self.heard().verdict.take()
    }

    /// The key to pin in OpenSSH form, if it is new.
    pub(super) fn to_pin(&self) -> Result<Option<String>, TransportError> {
        let offered = self.heard().offered.clone();
        offered.filter(|(_, judgement)| *judgement != Judgement::Fits).map(|(key, _)| hostkey::openssh(&key)).transpose()
    }

    /// The pinned key whose place the host's took, if that happened.
    pub(super) fn replaced_key(&self) -> Option<ReplacedKey> {
        match &self.heard().offered {
            Some((key, Judgement::Replaces(pinned))) => {
                Some(ReplacedKey { pinned: pinned.clone(), shown: hostkey::fingerprint(key) })
            }
            _ => None,
        }
    }

    /// How the connection ended, if it did.
    pub(super) fn goodbye(&self) -> Option<Goodbye> {
        self.heard().goodbye.clone()
    }

    /// Why the last channel was refused; only the first time.
    pub(super) fn refusal(&self) -> Option<String> {
        self.heard().refusal.take()
    }

    /// Is russh's task over?
    pub(super) fn is_over(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// What the server has said to the user since this was last asked: sshd speaks for PAM that way.
    pub(super) fn words(&self) -> String {
        std::mem::take(&mut self.heard().words)
    }

    /// Waits until russh's task is over; what it heard last is noted by then.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// The connection is gone.
    pub(super) fn lost(&self) -> TransportError {
        let cause = self.goodbye().map_or_else(|| "it was closed".to_owned(), |goodbye| goodbye.to_string());
        TransportError::Lost { endpoint: self.endpoint(), cause }
    }

    /// Translates what ended a handshake.
    pub(super) fn handshake_failure(&self, error: &russh::Error, greeting: &Greeting) -> TransportError {
        let endpoint = self.endpoint();
        if let russh::Error::NoCommonAlgo { kind, theirs, .. } = error {
            return TransportError::NoCommonAlgorithm { endpoint, what: no_common(kind, theirs) };
        }
        if let Some(stranger) = greeting.stranger(&endpoint) {
            return stranger;
        }
        match error {
            russh::Error::Disconnect | russh::Error::HUP | russh::Error::IO(_) | russh::Error::SendError => {
                let cause = match self.goodbye() {
                    Some(Goodbye::Said(words)) => Goodbye::Said(words).to_string(),
                    _ if greeting.is_silence() => return TransportError::Dropped { endpoint },
                    _ => broke(error),
                };
                TransportError::Closed { endpoint, phase: "handshake", cause }
            }
            russh::Error::Version => TransportError::NotSsh { endpoint, cause: quote(&error.to_string()) },
            // It said that it speaks SSH: this time something came between.
            other => TransportError::Garbled { endpoint, cause: quote(&other.to_string()) },
        }
    }

    /// Translates a handshake that did not end within `after`.
    pub(super) fn handshake_silence(&self, greeting: &Greeting, after: Duration) -> TransportError {
        let endpoint = self.endpoint();
        greeting.stranger(&endpoint).unwrap_or(TransportError::TimedOut { endpoint, phase: "handshake", after })
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What both sides lack, and what the server has.
fn no_common(kind: &russh::AlgorithmKind, theirs: &[String]) -> String {
    let kind = match kind {
        russh::AlgorithmKind::Kex => "key exchange",
        russh::AlgorithmKind::Key => "host key algorithm",
        russh::AlgorithmKind::Cipher => "cipher",
        russh::AlgorithmKind::Compression => "compression",
        russh::AlgorithmKind::Mac => "MAC",
    };
    // These stand among the algorithms and are none.
    let is_algorithm = |name: &&String| !name.starts_with("kex-strict-") && !name.starts_with("ext-info-");
    let theirs: Vec<&str> = theirs.iter().filter(is_algorithm).map(String::as_str).collect();
    format!("{kind} (it offers {})", quote(&theirs.join(", ")))
}

/// The error of a broken connection in words.
fn broke(error: &russh::Error) -> String {
    match error {
        russh::Error::IO(error) if error.kind() == io::ErrorKind::UnexpectedEof => "it was closed".to_owned(),
        russh::Error::HUP | russh::Error::Disconnect => "it was closed".to_owned(),
        russh::Error::KeepaliveTimeout => "no answer to keepalives".to_owned(),
        other => quote(&other.to_string()),
    }
}

/// Hears the server in russh's task.
pub(super) struct Listener(Arc<Notes>);

impl Listener {
    /// One that leaves what it hears in `notes`.
    pub(super) fn new(notes: Arc<Notes>) -> Self {
        Self(notes)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.ended.cancel();
    }
}

/// Refuses a channel that the server opens: a dropped reply is a refusal.
macro_rules! refuse {
    ($($name:ident($($kind:ty),*);)*) => {
        $(async fn $name(
            &mut self,
            _: Channel<Msg>,
            $(_: $kind,)*
            _: ChannelOpenHandle,
            _: &mut Session,
        ) -> Result<(), russh::Error> {
            Ok(())
        })*
    };
}

impl client::Handler for Listener {
    type Error = russh::Error;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        let judgement = self.0.expectation.judge(self.0.host, &self.0.endpoint, key);
        let mut heard = self.0.heard();
        let accepted = judgement.is_ok();
        match judgement {
            Ok(judgement) => heard.offered = Some((key.public_key(), judgement)),
            Err(refusal) => heard.verdict = Some(refusal),
        }
        Ok(accepted)
    }

    async fn auth_banner(&mut self, banner: &str, _: &mut Session) -> Result<(), russh::Error> {
        let words = &mut self.0.heard().words;
        words.push_str(banner);
        let mut from = words.len().saturating_sub(WORDS_CAP);
        while !words.is_char_boundary(from) {
            from += 1;
        }
        words.drain(..from);
        Ok(())
    }

    async fn channel_open_failure(
        &mut self,
        _: ChannelId,
        _: ChannelOpenFailure,
        description: &str,
        _: &str,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.0.heard().refusal = Some(quote(description));
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<russh::Error>) -> Result<(), russh::Error> {
        let goodbye = match reason {
            DisconnectReason::ReceivedDisconnect(info) => Goodbye::Said(quote(&info.message)),
            DisconnectReason::Error(russh::Error::NoAuthMethod) => Goodbye::NoMethod,
            DisconnectReason::Error(error) => Goodbye::Broke(broke(&error)),
        };
        self.0.heard().goodbye = Some(goodbye);
        Ok(())
    }

    refuse! {
        server_channel_open_forwarded_tcpip(&str, u32, &str, u32);
        server_channel_open_forwarded_streamlocal(&str);
        server_channel_open_agent_forward();
        server_channel_open_session();
        server_channel_open_direct_tcpip(&str, u32, &str, u32);
        server_channel_open_direct_streamlocal(&str);
        server_channel_open_x11(&str, u32);
    }
}
