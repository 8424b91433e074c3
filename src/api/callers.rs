//! Who asks: the app of a request, by its code and secret.
//!
//! ```text
//! header ─┐
//! body   ─┼─► Offer ─► verified lately? ─yes─────────────────────► source ─► rate ─► Grant
//! query  ─┘               └─no─► may this source try? ─► argon2 ──┘  403      429
//!                                        429              401
//! ```
//! One answer for an unknown code and for a wrong secret, after the same work. A secret that was verified is known for five
//! minutes by a keyed digest; the secrets themselves are kept nowhere. Where no apps are declared everybody may do
//! everything, what is offered is passed over, and the door is open to this machine only.
//!
//! Never here: what an app may do ([`crate::domain::caller`]).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::Query;
use axum::http::{HeaderMap, Uri};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::answer::Refusal;
use super::line::{Line, Way};
use super::rate::Rates;
use crate::domain::caller::{App, Grant};
use crate::domain::credential::Secret;
use crate::domain::site::Site;

/// The header that BlueKing's gateway and its clients send: a JSON object.
pub(super) const HEADER: &str = "x-bkapi-authorization";
/// How long a secret is known that was verified (DESIGN 11: argon2 on every poll costs a core).
const KNOWN: Duration = Duration::from_secs(300);
/// Secrets that are verified at once: each takes a core for tens of milliseconds, and hosts are waiting for the others.
const AT_ONCE: usize = 2;
/// Longest wait for the turn to be verified.
const TURN: Duration = Duration::from_secs(10);
/// Longest code or secret, bytes.
const LONGEST: usize = 1024;
/// Bodies of callers nobody knows yet that are larger than [`LARGE`] and in memory at once.
const STRANGERS: usize = 8;
/// A body of that many bytes is large.
const LARGE: usize = 1 << 20;

/// What a caller says it is.
pub(super) struct Offer {
    code: String,
    secret: Secret,
}

/// The words of an offer; any may be missing.
#[derive(Default, Deserialize)]
struct Words {
    bk_app_code: Option<String>,
    bk_app_secret: Option<String>,
    bk_username: Option<String>,
}

/// The same where the person is read later, with everything else.
#[derive(Deserialize)]
struct Pair {
    bk_app_code: String,
    bk_app_secret: String,
}

impl From<Pair> for Offer {
    fn from(pair: Pair) -> Self {
        Self { code: pair.bk_app_code, secret: pair.bk_app_secret.into() }
    }
}

impl Offer {
    /// In the header, and the person it names.
    pub(super) fn in_header(headers: &HeaderMap) -> (Option<Self>, Option<String>) {
        let header = headers.get(HEADER);
        let words: Words = header.and_then(|header| serde_json::from_slice(header.as_bytes()).ok()).unwrap_or_default();
        let offer = words.bk_app_code.zip(words.bk_app_secret).map(|(code, secret)| Self { code, secret: secret.into() });
        (offer, words.bk_username)
    }

    /// In a body. Nothing else of it is kept, so that a caller whom nobody knows costs no memory but the body's.
    pub(super) fn in_body(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok().map(Pair::into)
    }

    /// In the query of a path.
    pub(super) fn in_query(uri: &Uri) -> Option<Self> {
        Query::try_from_uri(uri).ok().map(|Query(pair): Query<Pair>| pair.into())
    }
}

/// A secret that was verified.
struct Verified {
    digest: [u8; 32],
    until: Instant,
}

/// How well a secret is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    /// It was verified lately.
    Well,
    /// It was verified once: it is no guess.
    Once,
    /// It never was.
    Not,
}

/// Everybody who may call, and how often.
pub struct Callers {
    apps: HashMap<String, Arc<App>>,
    /// Whose hash stands in where the code is unknown, so that this takes as long.
    stand_in: Option<Arc<App>>,
    behind_tls_proxy: bool,
    verified: Mutex<HashMap<String, Verified>>,
    /// Of the digests; of this process alone.
    key: [u8; 32],
    work: Arc<Semaphore>,
    strangers: Semaphore,
    /// How often.
    pub(super) rates: Rates,
}

impl Callers {
    /// Those that the site declares.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn new(site: &Site) -> std::io::Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        let apps: HashMap<String, Arc<App>> = site.app.iter().map(|app| (app.code.clone(), Arc::new(app.clone()))).collect();
        Ok(Self {
            stand_in: site.app.first().and_then(|app| apps.get(&app.code)).cloned(),
            behind_tls_proxy: site.api.behind_tls_proxy,
            verified: Mutex::default(),
            key,
            work: Arc::new(Semaphore::new(AT_ONCE)),
            strangers: Semaphore::new(STRANGERS),
            rates: Rates::new(site.api.rate(!apps.is_empty())),
            apps,
        })
    }

    /// Are apps declared, so that everybody has to say who they are?
    pub(super) fn has_apps(&self) -> bool {
        !self.apps.is_empty()
    }

    /// How a request came.
    pub(super) fn way(&self, line: Option<&Line>, headers: &HeaderMap) -> Way {
        Way::of(line, headers, self.behind_tls_proxy)
    }

    /// Room for the body of a caller whom nobody knows yet, who says how large it is or does not.
    pub(super) async fn room(&self, told: Option<usize>) -> Result<Option<SemaphorePermit<'_>>, Refusal> {
        if told.is_some_and(|length| length < LARGE) {
            return Ok(None);
        }
        match tokio::time::timeout(TURN, self.strangers.acquire()).await {
            Ok(Ok(room)) => Ok(Some(room)),
            Ok(Err(_)) | Err(_) => Err(Refusal::TooLate),
        }
    }

    /// What the caller may do who makes this offer, or none.
    pub(super) async fn identify(&self, offer: Option<Offer>, source: IpAddr) -> Result<Grant, Refusal> {
        let offer = offer.filter(|offer| offer.code.len() <= LONGEST && offer.secret.expose_secret().len() <= LONGEST);
        let Some(offer) = offer else {
            self.rates.attempt(source)?;
            return Err(Refusal::Unauthenticated { offered: false });
        };
        let digest = self.digest(&offer);
        let known = self.known(&offer.code, &digest);
        if known == Known::Not {
            self.rates.attempt(source)?;
        }
        let app = self.apps.get(&offer.code);
        let is_right = known == Known::Well || self.verify(&offer, &digest).await?;
        let Some(app) = app.filter(|_| is_right) else {
            return Err(Refusal::Unauthenticated { offered: true });
        };
        let grant = Grant::App(app.clone());
        grant.may_call_from(source)?;
        self.rates.app(&app.code)?;
        Ok(grant)
    }

    fn digest(&self, offer: &Offer) -> [u8; 32] {
        let code = offer.code.as_bytes();
        let mut hash = Sha256::new();
        hash.update(self.key);
        hash.update((code.len() as u64).to_be_bytes());
        hash.update(code);
        hash.update(offer.secret.expose_secret().as_bytes());
        hash.finalize().into()
    }

    fn known(&self, code: &str, digest: &[u8; 32]) -> Known {
        match self.verified.lock().unwrap_or_else(PoisonError::into_inner).get(code) {
            Some(verified) if verified.digest == *digest => {
                if Instant::now() < verified.until {
                    Known::Well
                } else {
                    Known::Once
                }
            }
            Some(_) | None => Known::Not,
        }
    }

    /// Holds a secret against its hash, away from the tasks that must answer.
    async fn verify(&self, offer: &Offer, digest: &[u8; 32]) -> Result<bool, Refusal> {
        let turn = tokio::time::timeout(TURN, self.work.clone().acquire_owned()).await;
        let turn = turn.map_err(|_| Refusal::TooLate)?.map_err(|_| Refusal::Closing)?;
        // Whoever was before may have asked the same.
        if self.known(&offer.code, digest) == Known::Well {
            return Ok(true);
        }
        let app = self.apps.get(&offer.code);
        let Some(held_against) = app.or(self.stand_in.as_ref()).cloned() else { return Ok(false) };
        let fits = fits(held_against, offer.secret.clone(), turn).await && app.is_some();
        if fits {
            let verified = Verified { digest: *digest, until: Instant::now() + KNOWN };
            self.verified.lock().unwrap_or_else(PoisonError::into_inner).insert(offer.code.clone(), verified);
        }
        Ok(fits)
    }
}

/// The turn is over when the work is, whether or not the caller still waits.
async fn fits(app: Arc<App>, secret: Secret, turn: OwnedSemaphorePermit) -> bool {
    let work = move || {
        let fits = app.secret_hash.fits(&secret);
        drop(turn);
        fits
    };
    tokio::task::spawn_blocking(work).await.unwrap_or(false)
}
