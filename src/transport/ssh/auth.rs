//! The login: `none` to learn the methods, then one proof, once.
//!
//! A refusal is final in here, because accounts get locked: one method is chosen before the secret goes out, and the same
//! secret is never offered by another. Never here: reading keys ([`super::key`]), trying again.
//!
//! russh answers "failure, no methods" both when the server has none left and when the connection went away; which of the
//! two it was stands in the [`Notes`].

use std::sync::Arc;
use std::time::Duration;

use russh::client::{AuthResult, KeyboardInteractiveAuthResponse as Answer, Prompt};
use russh::keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg};
use russh::{MethodKind, MethodSet};
use secrecy::ExposeSecret;
use tokio::time::timeout;

use crate::domain::credential::Secret;
use crate::transport::TransportError;

use super::key::Proof;
use super::listener::{Goodbye, Link, Notes};

/// How long russh is asked for the server's list of signature algorithms: it is there at once, or never.
const SIGNATURE_LIST: Duration = Duration::from_millis(100);

/// One login on a fresh connection.
pub(super) struct Exchange<'a> {
    link: &'a mut Link,
    notes: &'a Notes,
    account: &'a str,
    legacy: bool,
    /// Went the password out? Then an end without a verdict must not lead to another try.
    sent: bool,
}

impl<'a> Exchange<'a> {
    /// A login that has not begun; `legacy` allows SHA-1 signatures.
    pub(super) fn new(link: &'a mut Link, notes: &'a Notes, account: &'a str, legacy: bool) -> Self {
        Self { link, notes, account, legacy, sent: false }
    }

    /// Logs in within `after`.
    pub(super) async fn run(mut self, proof: &Proof, after: Duration) -> Result<(), TransportError> {
        match timeout(after, self.offer(proof)).await {
            Ok(verdict) => verdict,
            Err(_) if self.sent => Err(self.undecided(&format!("no answer within {} s", after.as_secs()))),
            Err(_) => Err(TransportError::TimedOut { endpoint: self.notes.endpoint(), phase: "login", after }),
        }
    }

    async fn offer(&mut self, proof: &Proof) -> Result<(), TransportError> {
        let methods = match self.link.authenticate_none(self.account).await {
            // An account without a password: nothing has to be proved.
            Ok(AuthResult::Success) => return Ok(()),
            Ok(AuthResult::Failure { remaining_methods, .. }) => remaining_methods,
            Err(_) => MethodSet::empty(),
        };
        if methods.is_empty() {
            self.notes.ended().await;
            return Err(match self.notes.goodbye() {
                Some(Goodbye::NoMethod) => self.not_offered(proof.method(), "none that Landfall knows".to_owned()),
                other => self.closed(other),
            });
        }
        match proof {
            Proof::Password(password) if methods.contains(&MethodKind::Password) => self.say(password).await,
            Proof::Password(password) if methods.contains(&MethodKind::KeyboardInteractive) => self.reply(password).await,
            Proof::Key(key) if methods.contains(&MethodKind::PublicKey) => self.sign(key).await,
            Proof::Password(_) | Proof::Key(_) => Err(self.not_offered(proof.method(), names(&methods))),
        }
    }

    /// The password by method `password`.
    async fn say(&mut self, password: &Secret) -> Result<(), TransportError> {
        self.sent = true;
        let result = self.link.authenticate_password(self.account, password.expose_secret()).await;
        self.judge("password", result).await
    }

    /// The password as the answer to the one question of keyboard-interactive. PAM may add rounds that ask nothing.
    async fn reply(&mut self, password: &Secret) -> Result<(), TransportError> {
        let mut answer = self.link.authenticate_keyboard_interactive_start(self.account, None).await;
        loop {
            let prompts = match answer {
                Ok(Answer::InfoRequest { prompts, .. }) => prompts,
                Ok(Answer::Success) => return Ok(()),
                Ok(Answer::Failure { partial_success: false, remaining_methods })
                    if !self.sent && !remaining_methods.is_empty() =>
                {
                    return Err(self.not_offered("password", "keyboard-interactive that asks nothing".to_owned()));
                }
                Ok(Answer::Failure { remaining_methods, partial_success }) => {
                    let failure = AuthResult::Failure { remaining_methods, partial_success };
                    return self.judge("password", Ok(failure)).await;
                }
                Err(error) => return self.judge("password", Err(error)).await,
            };
            let answers = self.answers(&prompts, password)?;
            answer = self.link.authenticate_keyboard_interactive_respond(answers).await;
        }
    }

    fn answers(&mut self, prompts: &[Prompt], password: &Secret) -> Result<Vec<String>, TransportError> {
        match prompts.len() {
            0 => Ok(Vec::new()),
            // The same question again, or one for a second factor: the password did not do.
            _ if self.sent => Err(self.refusal("password")),
            1 => {
                self.sent = true;
                Ok(vec![password.expose_secret().to_owned()])
            }
            count => Err(self.not_offered("password", format!("keyboard-interactive that asks {count} questions"))),
        }
    }

    /// A signature.
    async fn sign(&mut self, key: &Arc<PrivateKey>) -> Result<(), TransportError> {
        // An ed25519 or ecdsa key has one algorithm, and nothing to ask the server for.
        let rsa = key.algorithm().is_rsa();
        let hash = if rsa { self.rsa_hash().await? } else { None };
        let mut result = self.offer_key(key, hash).await;
        // Some servers name SHA-2 among their algorithms and take SHA-1 only.
        if rsa && self.legacy && hash.is_some() && takes_another_key(&result) {
            result = self.offer_key(key, None).await;
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

    async fn offer_key(&mut self, key: &Arc<PrivateKey>, hash: Option<HashAlg>) -> Result<AuthResult, russh::Error> {
        let key = PrivateKeyWithHashAlg::new(Arc::clone(key), hash);
        self.link.authenticate_publickey(self.account, key).await
    }

    /// What the server's answer to a proof means.
    async fn judge(&self, method: &'static str, result: Result<AuthResult, russh::Error>) -> Result<(), TransportError> {
        match result {
            Ok(AuthResult::Success) => return Ok(()),
            Ok(AuthResult::Failure { partial_success: true, remaining_methods }) => {
                return Err(self.not_offered(method, format!("{}, after it took the {method}", names(&remaining_methods))));
            }
            Ok(AuthResult::Failure { remaining_methods, .. }) if !remaining_methods.is_empty() => {
                return Err(self.refusal(method));
            }
            Ok(AuthResult::Failure { .. }) | Err(_) => {}
        }
        self.notes.ended().await;
        Err(match self.notes.goodbye() {
            // MaxAuthTries: sshd says goodbye in words in place of the failure.
            Some(Goodbye::NoMethod | Goodbye::Said(_)) => self.refusal(method),
            other if self.sent => self.undecided(&cause(other)),
            other => self.closed(other),
        })
    }

    fn refusal(&self, method: &'static str) -> TransportError {
        TransportError::Refusal { endpoint: self.notes.endpoint(), method, account: self.account.to_owned() }
    }

    fn not_offered(&self, method: &'static str, offered: String) -> TransportError {
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

/// Was the key refused by a server that goes on talking?
fn takes_another_key(result: &Result<AuthResult, russh::Error>) -> bool {
    matches!(result, Ok(AuthResult::Failure { partial_success: false, remaining_methods })
        if remaining_methods.contains(&MethodKind::PublicKey))
}

/// Methods as the protocol names them.
fn names(methods: &MethodSet) -> String {
    methods.iter().map(<&'static str>::from).collect::<Vec<_>>().join(", ")
}
