//! The login: `none` to learn the methods, then each proof at most once.
//!
//! A refusal is final in here, because accounts get locked: a method is chosen before a secret goes out, and the same secret
//! is never offered by another. Only a server that took one proof and wants another ("partial success") gets the next.
//! What bars an account is told from the server's words ([`Bar`]). Never here: reading keys ([`super::key`]), questions of
//! keyboard-interactive ([`super::questions`]), trying again.
//!
//! russh answers "failure, no methods" both when the server has none left and when the connection went away; which of the
//! two it was stands in the [`Notes`].

use std::time::Duration;

use russh::client::AuthResult;
use russh::keys::HashAlg;
use russh::{MethodKind, MethodSet};
use secrecy::ExposeSecret;
use tokio::time::timeout;

use crate::domain::barred::Bar;
use crate::transport::TransportError;

use super::greeting::quote;
use super::key::{Password, Proofs};
use super::listener::{Goodbye, Link, Notes};
use super::signer::Signer;

/// How long russh is asked for the server's list of signature algorithms: it is there at once, or never.
const SIGNATURE_LIST: Duration = Duration::from_millis(100);

/// Proofs that a server may want one after the other. Each takes one of ours away but a dialogue that asks nothing.
const STAGES: usize = 4;

/// One login on a fresh connection.
pub(super) struct Exchange<'a> {
    pub(super) link: &'a mut Link,
    notes: &'a Notes,
    pub(super) account: &'a str,
    legacy: bool,
    pub(super) proofs: Proofs,
    /// Went a password out? Then an end without a verdict must not lead to another try.
    pub(super) sent: bool,
    /// What the server said beside its questions.
    pub(super) heard: String,
}

/// What a server wants after a proof: nothing more, or one by these methods.
pub(super) type Verdict = Result<Option<MethodSet>, TransportError>;

/// How a proof is offered.
enum Stage {
    Sign(Box<Signer>),
    Say(Password),
    Reply,
}

impl<'a> Exchange<'a> {
    /// A login that has not begun; `legacy` allows SHA-1 signatures.
    pub(super) fn new(link: &'a mut Link, notes: &'a Notes, account: &'a str, legacy: bool) -> Self {
        Self { link, notes, account, legacy, proofs: Proofs::default(), sent: false, heard: String::new() }
    }

    /// Logs in within `after`.
    pub(super) async fn run(mut self, proofs: Proofs, after: Duration) -> Result<(), TransportError> {
        self.proofs = proofs;
        match timeout(after, self.offer()).await {
            Ok(verdict) => verdict,
            Err(_) if self.sent => Err(self.undecided(&format!("no answer within {} s", after.as_secs()))),
            Err(_) => Err(TransportError::TimedOut { endpoint: self.notes.endpoint(), phase: "login", after }),
        }
    }

    async fn offer(&mut self) -> Result<(), TransportError> {
        let Some(mut methods) = self.learn().await? else { return Ok(()) };
        // What it told everybody before is not about this account.
        let _ = self.notes.words();
        for stage in 0..STAGES {
            let verdict = match self.next(&methods, stage > 0)? {
                Stage::Sign(signer) => self.sign(signer).await?,
                Stage::Say(password) => self.say(&password).await?,
                Stage::Reply => self.reply().await?,
            };
            match verdict {
                None => return Ok(()),
                Some(remaining) => methods = remaining,
            }
        }
        Err(self.wants_more(&methods))
    }

    /// The methods of the server; `None` for an account that has to prove nothing.
    async fn learn(&mut self) -> Verdict {
        let methods = match self.link.authenticate_none(self.account).await {
            Ok(AuthResult::Success) => return Ok(None),
            Ok(AuthResult::Failure { remaining_methods, .. }) => remaining_methods,
            Err(_) => MethodSet::empty(),
        };
        if methods.is_empty() {
            self.notes.ended().await;
            return Err(match self.notes.goodbye() {
                Some(Goodbye::NoMethod) => self.not_offered(self.proofs.method(), "none that Landfall knows".to_owned()),
                other => self.closed(other),
            });
        }
        Ok(Some(methods))
    }

    /// What to offer next; was something `taken` before?
    fn next(&mut self, methods: &MethodSet, taken: bool) -> Result<Stage, TransportError> {
        if let Some(signer) = self.proofs.signer.take_if(|_| methods.contains(&MethodKind::PublicKey)) {
            return Ok(Stage::Sign(signer));
        }
        if methods.contains(&MethodKind::Password) {
            if let Some(password) = self.proofs.passwords.pop_front() {
                return Ok(Stage::Say(password));
            }
        } else if methods.contains(&MethodKind::KeyboardInteractive) && !self.proofs.passwords.is_empty() {
            return Ok(Stage::Reply);
        }
        Err(if taken { self.wants_more(methods) } else { self.not_offered(self.proofs.method(), names(methods)) })
    }

    /// A password by method `password`.
    async fn say(&mut self, password: &Password) -> Verdict {
        self.sent = true;
        let result = self.link.authenticate_password(self.account, password.secret.expose_secret()).await;
        self.judge(password.name, result).await
    }

    /// A signature.
    async fn sign(&mut self, mut signer: Box<Signer>) -> Verdict {
        // An ed25519 or ecdsa key has one algorithm, and nothing to ask the server for.
        let rsa = signer.is_rsa();
        let hash = if rsa { self.rsa_hash().await? } else { None };
        let mut result = signer.offer(self.link, self.account, hash).await?;
        // Some servers name SHA-2 among their algorithms and take SHA-1 only.
        if rsa && self.legacy && hash.is_some() && takes_another_key(&result) {
            result = signer.offer(self.link, self.account, None).await?;
        }
        self.judge("key", result).await
    }

    /// The hash an RSA key signs with: the best of those the server names (dropbear names SHA-256 only), else SHA-512.
    /// `None` is SHA-1.
    async fn rsa_hash(&self) -> Result<Option<HashAlg>, TransportError> {
        // The list comes before the answer to `none`. russh would wait a second for one that does not come.
        match timeout(SIGNATURE_LIST, self.link.best_supported_rsa_hash()).await {
            Ok(Ok(Some(None))) if self.legacy => Ok(None),
            Ok(Ok(Some(None))) => Err(TransportError::NoCommonAlgorithm {
                endpoint: self.notes.endpoint(),
                what: "signature algorithm for RSA keys (it takes ssh-rsa)".to_owned(),
            }),
            Ok(Ok(Some(best))) => Ok(best),
            Ok(Ok(None) | Err(_)) | Err(_) => Ok(Some(HashAlg::Sha512)),
        }
    }

    /// What the server's answer to a proof means.
    pub(super) async fn judge(&mut self, proof: &'static str, result: Result<AuthResult, russh::Error>) -> Verdict {
        match result {
            Ok(AuthResult::Success) => return Ok(None),
            Ok(AuthResult::Failure { partial_success: true, remaining_methods }) if remaining_methods.is_empty() => {
                return Err(self.wants_more(&remaining_methods));
            }
            Ok(AuthResult::Failure { partial_success: true, remaining_methods }) => return Ok(Some(remaining_methods)),
            Ok(AuthResult::Failure { remaining_methods, .. }) if !remaining_methods.is_empty() => {
                return Err(self.refusal(proof));
            }
            Ok(AuthResult::Failure { .. }) | Err(_) => {}
        }
        self.notes.ended().await;
        let goodbye = self.notes.goodbye();
        let words = match &goodbye {
            Some(Goodbye::Said(words)) => words.clone(),
            _ => String::new(),
        };
        if let Some(bar) = Bar::read(&words) {
            return Err(self.barred(bar, &words));
        }
        Err(match goodbye {
            Some(Goodbye::NoMethod | Goodbye::Said(_)) => self.refusal(proof),
            // PAM took the proof and not the account: sshd tells why and goes.
            other => match self.bar_heard() {
                Some(barred) => barred,
                None if self.sent => self.undecided(&format!("{}{}", cause(other), said(&self.heard))),
                None => self.closed(other),
            },
        })
    }

    /// The proof was refused; perhaps the server said that no other would do either.
    pub(super) fn refusal(&mut self, proof: &'static str) -> TransportError {
        self.bar_heard().unwrap_or_else(|| TransportError::Refusal {
            endpoint: self.notes.endpoint(),
            method: proof,
            account: self.account.to_owned(),
        })
    }

    /// What bars the account, if the server said so since the login began.
    fn bar_heard(&mut self) -> Option<TransportError> {
        let words = self.notes.words();
        self.hear(&words);
        Bar::read(&self.heard).map(|bar| self.barred(bar, &self.heard))
    }

    /// Another proof is wanted, and there is none.
    fn wants_more(&self, methods: &MethodSet) -> TransportError {
        let methods = if methods.is_empty() { "a method that Landfall does not know".to_owned() } else { names(methods) };
        self.bars(Bar::SecondFactor, format!(" (offered: {methods})"))
    }

    /// The server's words say what bars the account.
    pub(super) fn barred(&self, bar: Bar, words: &str) -> TransportError {
        self.bars(bar, said(words))
    }

    fn bars(&self, bar: Bar, said: String) -> TransportError {
        TransportError::Barred { endpoint: self.notes.endpoint(), account: self.account.to_owned(), bar, said }
    }

    pub(super) fn not_offered(&self, method: &'static str, offered: String) -> TransportError {
        TransportError::MethodNotOffered { endpoint: self.notes.endpoint(), method, account: self.account.to_owned(), offered }
    }

    fn closed(&self, goodbye: Option<Goodbye>) -> TransportError {
        TransportError::Closed { endpoint: self.notes.endpoint(), phase: "login", cause: cause(goodbye) }
    }

    fn undecided(&self, cause: &str) -> TransportError {
        TransportError::Undecided { endpoint: self.notes.endpoint(), account: self.account.to_owned(), cause: cause.to_owned() }
    }
}

fn cause(goodbye: Option<Goodbye>) -> String {
    goodbye.map_or_else(|| "without a word".to_owned(), |goodbye| goodbye.to_string())
}

/// The server's words behind a sentence.
fn said(words: &str) -> String {
    let words = words.trim();
    if words.is_empty() { String::new() } else { format!(" (the server says: {})", quote(words)) }
}

/// Was the key refused by a server that goes on talking?
fn takes_another_key(result: &Result<AuthResult, russh::Error>) -> bool {
    matches!(result, Ok(AuthResult::Failure { partial_success: false, remaining_methods })
        if remaining_methods.contains(&MethodKind::PublicKey))
}

/// Methods as the protocol names them.
fn names(methods: &MethodSet) -> String {
    methods.iter().map(<&'static str>::from).collect::<Vec<_>>().join(", ")
}
