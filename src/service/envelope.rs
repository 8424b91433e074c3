//! Envelopes: secrets that a caller sealed for us, as upstream's clients do (`reference/upstream.md` 8.3).
//!
//! ```text
//! base64("DEFAULT") base64(block block …)     a block: RSA PKCS#1 v1.5 under the public key, of 245 bytes of the secret at most
//! ```
//! The format is upstream's and cannot be better than it is: nothing binds an envelope to a request or a time, so whoever
//! caught one can send it again, and the padding tells whoever may ask often enough what is in one. So that asking often does
//! not pay, every refusal is one sentence, only the first envelope of a body that does not open is told, whatever is wrong
//! with it, and such answers leave this process one a second. Callers are authenticated before their envelopes are opened.
//!
//! Never here: where secrets stand in a body (`request`), how the private half is kept (the record's).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeySize, Pkcs1PrivateDecryptingKey, PrivateDecryptingKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{Mutex, OnceCell, Semaphore};
use zeroize::Zeroizing;

use super::request::{Envelopes, Fault, SECRETS, SecretSources, code};
use super::submit::Rejection;
use super::{Service, ServiceError, StoreError};
use crate::domain::credential::{Secret, SecretBytes};
use crate::domain::site::Language;

/// Name of the key pair that envelopes are under.
pub const KEY_NAME: &str = "DEFAULT";
/// What every envelope begins with: the name in base64.
const PREFIX: &str = "REVGQVVMVA==";
/// Bytes that the padding of a block takes.
const PADDING: usize = 11;
/// Envelopes in envelopes, as upstream's clients make them now and then.
const LAYERS: usize = 2;
/// Blocks of one envelope: a private key of 64 KiB, and a little for clients that fill no block to its end.
const MOST_BLOCKS: usize = 400;
/// Blocks of one request: ten thousand keys. One takes a core half a millisecond to a millisecond.
const MOST_OF_REQUEST: usize = 100_000;
/// Blocks that are opened in one go: other requests get their turn in between.
const PIECE: usize = 64;
/// Between two answers that say that an envelope does not open.
const PENALTY: Duration = Duration::from_secs(1);

/// What is said of an envelope that does not open, for whatever reason.
pub(super) const REFUSAL: &str = "is an envelope that does not open: seal it with the key of fetch_public_keys";

/// Is this secret in an envelope?
#[must_use]
pub fn is_one(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// A public key, as upstream's endpoint gives it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct PublicKey {
    /// What it is asked for by.
    pub name: &'static str,
    /// For people.
    pub description: &'static str,
    /// PEM.
    pub content: String,
    /// `RSA`.
    pub cipher_type: &'static str,
    /// Bytes of a secret that go into one block.
    pub block_size: usize,
}

/// What the envelopes of a body held.
#[derive(Debug)]
pub struct Opened {
    secrets: HashMap<String, Option<Secret>>,
    /// The first that does not open, in the order of the body.
    refused: Option<String>,
}

/// One envelope of a body.
pub(super) enum Found<'a> {
    /// What it held.
    Secret(&'a Secret),
    /// It does not open.
    Refused,
    /// It does not open either, and the caller is told of another one.
    Untold,
}

impl Opened {
    /// What an envelope held.
    pub(super) fn find(&self, envelope: &str) -> Found<'_> {
        match self.secrets.get(envelope) {
            Some(Some(secret)) => Found::Secret(secret),
            Some(None) if self.refused.as_deref() != Some(envelope) => Found::Untold,
            Some(None) | None => Found::Refused,
        }
    }
}

/// Opens envelopes.
pub(super) struct Opener {
    pair: OnceCell<Arc<Pair>>,
    /// Half of the cores: the other half is for everybody else.
    turns: Semaphore,
    penalty: Mutex<()>,
}

impl Default for Opener {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { pair: OnceCell::new(), turns: Semaphore::new((cores / 2).max(1)), penalty: Mutex::default() }
    }
}

/// The key pair, read once.
struct Pair {
    private: Pkcs1PrivateDecryptingKey,
    public: String,
}

impl Service {
    /// The public key for envelopes; the pair is made when it is asked for first.
    ///
    /// # Errors
    /// When the record fails.
    pub async fn public_key(&self, language: Language) -> Result<PublicKey, ServiceError> {
        let pair = self.pair().await?;
        Ok(PublicKey {
            name: KEY_NAME,
            description: match language {
                Language::Zh => "默认RSA密钥",
                Language::En => "the default RSA key",
            },
            content: pair.public.clone(),
            cipher_type: "RSA",
            block_size: pair.private.key_size_bytes() - PADDING,
        })
    }

    async fn pair(&self) -> Result<Arc<Pair>, ServiceError> {
        let made = self.opener.pair.get_or_try_init(async || {
            let private = match self.store.key_pair(KEY_NAME).await? {
                Some(private) => private,
                None => {
                    let made = away(|| make_pair().ok_or_else(|| unusable("cannot be made"))).await?;
                    // Somebody else may have been first.
                    self.store.keep_key_pair(KEY_NAME, &made, self.engine.now()).await?
                }
            };
            away(move || Pair::of(&private).map(Arc::new).ok_or_else(|| unusable("is no RSA key"))).await
        });
        made.await.cloned()
    }

    /// Opens every envelope among the secrets of the hosts of a body.
    ///
    /// # Errors
    /// [`Rejection::Faults`] when there are too many; when the record fails. An envelope that does not open is a fault of
    /// its place, later.
    pub(super) async fn with_opened(&self, body: &Value, sources: &SecretSources) -> Result<SecretSources, Rejection> {
        let envelopes = envelopes(body);
        if envelopes.is_empty() {
            return Ok(sources.clone());
        }
        if envelopes.iter().map(|envelope| blocks(envelope)).sum::<usize>() > MOST_OF_REQUEST {
            let message = format!("have envelopes of more than {MOST_OF_REQUEST} blocks: send fewer of them at a time");
            return Err(Rejection::Faults(vec![Fault { path: "hosts".into(), message, code: code::INVALID }]));
        }
        let opened = self.open(envelopes).await?;
        Ok(SecretSources { envelopes: Envelopes::Opened(Arc::new(opened)), ..sources.clone() })
    }

    async fn open(&self, envelopes: Vec<String>) -> Result<Opened, ServiceError> {
        let pair = self.pair().await?;
        let pieces = stream::iter(pieces(envelopes.clone())).map(|piece| {
            let pair = pair.clone();
            async move {
                // Nobody closes it.
                let _turn = self.opener.turns.acquire().await.ok();
                away(move || Ok(piece.into_iter().map(|envelope| (pair.open(&envelope), envelope)).collect::<Vec<_>>())).await
            }
        });
        let opened: Vec<Vec<(Option<Secret>, String)>> = pieces.buffered(self.opener.turns_at_once()).try_collect().await?;
        let secrets: HashMap<String, Option<Secret>> =
            opened.into_iter().flatten().map(|(secret, envelope)| (envelope, secret)).collect();
        let refused = envelopes.into_iter().find(|envelope| matches!(secrets.get(envelope), Some(None)));
        if refused.is_some() {
            tracing::warn!("an envelope did not open");
            let _turn = self.opener.penalty.lock().await;
            tokio::time::sleep(PENALTY).await;
        }
        Ok(Opened { secrets, refused })
    }
}

impl Opener {
    /// Pieces of one request that wait for their turn or have it.
    fn turns_at_once(&self) -> usize {
        self.turns.available_permits().max(1)
    }
}

/// The envelopes of a body, each once, in its order.
fn envelopes(body: &Value) -> Vec<String> {
    let hosts = body.get("hosts").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut seen = HashSet::new();
    let texts = hosts.iter().flat_map(|host| SECRETS.iter().filter_map(|key| host.get(*key)?.as_str()));
    texts.filter(|text| is_one(text) && seen.insert(*text)).map(str::to_owned).collect()
}

/// How many blocks an envelope has, about.
fn blocks(envelope: &str) -> usize {
    (envelope.len() - PREFIX.len()) / 4 * 3 / 256 + 1
}

/// Envelopes in pieces of [`PIECE`] blocks.
fn pieces(envelopes: Vec<String>) -> Vec<Vec<String>> {
    let (mut pieces, mut room) = (Vec::new(), 0);
    for envelope in envelopes {
        let blocks = blocks(&envelope);
        if room < blocks || pieces.is_empty() {
            pieces.push(Vec::new());
            room = PIECE;
        }
        room = room.saturating_sub(blocks);
        if let Some(piece) = pieces.last_mut() {
            piece.push(envelope);
        }
    }
    pieces
}

/// Work that computes, away from the tasks that must answer.
async fn away<T, F>(work: F) -> Result<T, ServiceError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, ServiceError> + Send + 'static,
{
    let stopped = |error| StoreError::Unavailable { what: "computation".into(), source: Box::new(error) };
    tokio::task::spawn_blocking(work).await.map_err(stopped)?
}

fn unusable(why: &str) -> ServiceError {
    StoreError::Corrupt { what: format!("the key pair {KEY_NAME} {why}") }.into()
}

/// A new private key, PKCS#8.
fn make_pair() -> Option<SecretBytes> {
    let private = PrivateDecryptingKey::generate(KeySize::Rsa2048).ok()?;
    let der: Pkcs8V1Der<'_> = private.as_der().ok()?;
    Some(der.as_ref().to_vec().into())
}

impl Pair {
    fn of(private: &SecretBytes) -> Option<Self> {
        let private = PrivateDecryptingKey::from_pkcs8(private.expose_secret()).ok()?;
        let public: PublicKeyX509Der<'_> = private.public_key().as_der().ok()?;
        let public = pem(&STANDARD.encode(public.as_ref()));
        Some(Self { private: Pkcs1PrivateDecryptingKey::new(private).ok()?, public })
    }

    /// What an envelope holds; `None` when it does not open, for whatever reason.
    fn open(&self, envelope: &str) -> Option<Secret> {
        let mut text = self.layer(envelope)?;
        for _ in 1..LAYERS {
            if !is_one(text.expose_secret()) {
                break;
            }
            text = self.layer(text.expose_secret())?;
        }
        // Texts that no secret is are refused here: elsewhere they would be told from what does not decrypt.
        let plain = text.expose_secret();
        (!is_one(plain) && !plain.is_empty() && !plain.contains('\0')).then_some(text)
    }

    fn layer(&self, envelope: &str) -> Option<Secret> {
        let sealed = STANDARD.decode(envelope.strip_prefix(PREFIX)?).ok()?;
        let size = self.private.key_size_bytes();
        if sealed.is_empty() || sealed.len() % size != 0 || sealed.len() / size > MOST_BLOCKS {
            return None;
        }
        let mut plain = Zeroizing::new(Vec::with_capacity(sealed.len()));
        let mut block = Zeroizing::new(vec![0; self.private.min_output_size()]);
        let mut whole = true;
        // To the end, also after a block that does not open: how long it took says nothing of which.
        for sealed in sealed.chunks_exact(size) {
            match self.private.decrypt(sealed, &mut block) {
                Ok(bytes) => plain.extend_from_slice(bytes),
                Err(_) => whole = false,
            }
        }
        // A character may be spread over two blocks. A copy of its exact length: boxing it then moves it.
        let text = std::str::from_utf8(&plain).ok().filter(|_| whole)?;
        let mut exact = String::with_capacity(text.len());
        exact.push_str(text);
        Some(exact.into())
    }
}

/// A public key as text.
fn pem(base64: &str) -> String {
    let mut text = String::from("-----BEGIN PUBLIC KEY-----\n");
    for (index, character) in base64.chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push_str("\n-----END PUBLIC KEY-----\n");
    text
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rsa::Pkcs1PublicEncryptingKey;

    use super::*;

    struct Client {
        pair: Pair,
        public: Pkcs1PublicEncryptingKey,
    }

    impl Client {
        fn new() -> Self {
            let private = make_pair().unwrap();
            let public = PrivateDecryptingKey::from_pkcs8(private.expose_secret()).unwrap().public_key();
            Self { pair: Pair::of(&private).unwrap(), public: Pkcs1PublicEncryptingKey::new(public).unwrap() }
        }

        /// Seals pieces of bytes, a block each.
        fn seal<'a>(&self, pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
            let mut sealed = Vec::new();
            for piece in pieces {
                let mut block = [0; 256];
                self.public.encrypt(piece, &mut block).unwrap();
                sealed.extend(block);
            }
            format!("{PREFIX}{}", STANDARD.encode(sealed))
        }

        fn opens(&self, envelope: &str) -> Option<String> {
            self.pair.open(envelope).map(|secret| secret.expose_secret().to_owned())
        }
    }

    #[test]
    fn an_envelope_begins_with_the_name_of_its_key() {
        assert_eq!(PREFIX, STANDARD.encode(KEY_NAME));
        assert!(is_one("REVGQVVMVA==x") && !is_one("REVGQVVMVA=") && !is_one("hunter2"));
    }

    #[test]
    fn a_secret_of_any_length_and_alphabet_comes_out_as_it_went_in() {
        let client = Client::new();
        for secret in ["x", "测试密码1", &"k".repeat(245), &"测".repeat(1000), &"k".repeat(65_536)] {
            // A client that cuts bytes, and one that leaves room in a block.
            for size in [245, 200] {
                let opened = client.opens(&client.seal(secret.as_bytes().chunks(size)));
                assert!(opened.as_deref() == Some(secret), "{} bytes in blocks of {size}", secret.len());
            }
        }
    }

    #[test]
    fn an_envelope_in_an_envelope_is_opened_and_a_third_is_not() {
        let client = Client::new();
        let once = client.seal([b"secret".as_slice()]);
        let twice = client.seal(once.as_bytes().chunks(245));
        assert_eq!(client.opens(&twice).as_deref(), Some("secret"));
        assert_eq!(client.opens(&client.seal(twice.as_bytes().chunks(245))), None);
    }

    #[test]
    fn whatever_is_wrong_it_does_not_open() {
        let (client, other) = (Client::new(), Client::new());
        let good = client.seal([b"secret".as_slice()]);
        let cut = format!("{PREFIX}{}", STANDARD.encode(&STANDARD.decode(&good[PREFIX.len()..]).unwrap()[..255]));
        for (what, envelope) in [
            ("nothing", PREFIX.to_owned()),
            ("no base64", format!("{PREFIX}???")),
            ("another key", other.seal([b"secret".as_slice()])),
            ("a cut block", cut),
            ("no UTF-8", client.seal([b"\xff\xfe".as_slice()])),
            ("a NUL byte", client.seal([b"a\0b".as_slice()])),
            ("no text", client.seal([b"".as_slice()])),
            ("one block of two", {
                let two = client.seal([b"a".as_slice(), b"b"]);
                let mut sealed = STANDARD.decode(&two[PREFIX.len()..]).unwrap();
                sealed[300] ^= 1;
                format!("{PREFIX}{}", STANDARD.encode(sealed))
            }),
            ("too many blocks", client.seal(std::iter::repeat_n(b"x".as_slice(), MOST_BLOCKS + 1))),
        ] {
            assert_eq!(client.opens(&envelope), None, "{what}");
        }
        assert_eq!(client.opens(&good).as_deref(), Some("secret"));
    }

    #[test]
    fn many_envelopes_are_opened_in_pieces() {
        let one = "x".repeat(PREFIX.len() + 344);
        let large = "y".repeat(PREFIX.len() + 344 * 100);
        let pieces = pieces([vec![one.clone(); 40], vec![large], vec![one; 40]].concat());
        let sizes: Vec<usize> = pieces.iter().map(Vec::len).collect();
        assert_eq!(sizes, [32, 8, 1, 32, 8]);
    }

    #[test]
    fn a_public_key_is_text_of_short_lines() {
        let text = pem(&"A".repeat(130));
        assert!(text.starts_with("-----BEGIN PUBLIC KEY-----\n") && text.ends_with("AA\n-----END PUBLIC KEY-----\n"), "{text}");
        assert!(text.lines().all(|line| line.len() <= 64));
    }
}
