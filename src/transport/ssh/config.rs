//! What we speak: algorithms in our order, windows, keepalive. Built once, shared by all connections.
//!
//! Why not russh's defaults: they leave aes128-gcm out and put chacha20 first (half the throughput), ask for an 8192-bit
//! group in group exchange (587 ms of CPU on the session's task, ahead of group14), and accept ssh-rsa host keys
//! (`reference/performance.md` 1, 3, 4). zlib never: 31 times the CPU of sending a compressed file.
//!
//! To add an algorithm: its place in the list below; old ones in the legacy list.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use russh::client::{Config, GexParams};
use russh::keys::{Algorithm, EcdsaCurve, HashAlg};
use russh::{Preferred, SshId, cipher, compression, kex, mac};

use super::hostkey::Expectation;

/// What we call ourselves.
const CLIENT_ID: &str = concat!("SSH-2.0-Landfall_", env!("CARGO_PKG_VERSION"));

/// Questions that a silent server is asked, one each [`super::KEEPALIVE`]; it is given up one interval after the last. With
/// two that is 45 s: before the shortest deadline of a step (60 s), so that a dead link is lost and tried again, not late.
const KEEPALIVE_MAX: usize = 2;

/// Messages of up to 32 KiB that wait in russh per channel. Few, because every channel has a reader that never waits.
const CHANNEL_BUFFER: usize = 16;

/// Receive window of a channel: one full pipe at 100 Mbit/s and 160 ms. Only output comes this way, never an upload.
const WINDOW: u32 = 2 * 1024 * 1024;

/// Largest packet we take: what every server sends at most.
const PACKET: u32 = 32 * 1024;

const KEX: &[kex::Name] = &[
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    // Behind curve25519: 0.25 ms more CPU per host.
    kex::MLKEM768X25519_SHA256,
    kex::ECDH_SHA2_NISTP256,
    kex::DH_G14_SHA256,
    kex::DH_GEX_SHA256,
];
const LEGACY_KEX: &[kex::Name] = &[kex::DH_G14_SHA1, kex::DH_GEX_SHA1, kex::DH_G1_SHA1];
/// Not algorithms: they ask for EXT_INFO and strict key exchange (Terrapin).
const KEX_EXTENSIONS: &[kex::Name] = &[kex::EXTENSION_SUPPORT_AS_CLIENT, kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT];

const CIPHERS: &[cipher::Name] = &[
    cipher::AES_128_GCM,
    cipher::AES_256_GCM,
    cipher::CHACHA20_POLY1305,
    cipher::AES_128_CTR,
    cipher::AES_192_CTR,
    cipher::AES_256_CTR,
];
const LEGACY_CIPHERS: &[cipher::Name] = &[cipher::AES_128_CBC, cipher::AES_192_CBC, cipher::AES_256_CBC];

const MACS: &[mac::Name] = &[mac::HMAC_SHA256_ETM, mac::HMAC_SHA512_ETM, mac::HMAC_SHA256, mac::HMAC_SHA512];
const LEGACY_MACS: &[mac::Name] = &[mac::HMAC_SHA1_ETM, mac::HMAC_SHA1];

const HOST_KEYS: &[Algorithm] = &[
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
    Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
];
const LEGACY_HOST_KEYS: &[Algorithm] = &[Algorithm::Rsa { hash: None }];

/// All configurations: with and without the old algorithms, with and without certificates, and for each kind of pinned key
/// one that asks for it first.
pub(super) struct Configs {
    by_wish: HashMap<Wish, Arc<Config>>,
    keepalive: Duration,
}

/// What a configuration is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Wish {
    legacy: bool,
    certificate: bool,
    pinned: Option<Algorithm>,
}

impl Configs {
    /// Builds them; a silent server is asked for a sign of life after `keepalive`.
    pub(super) fn build(keepalive: Duration) -> Self {
        let pinned = HOST_KEYS.iter().map(|key| Some(kind(key)));
        let by_wish = pinned
            .chain([None])
            .flat_map(|pinned| [false, true].map(|legacy| (pinned.clone(), legacy)))
            .flat_map(|(pinned, legacy)| [false, true].map(|certificate| Wish { legacy, certificate, pinned: pinned.clone() }))
            .map(|wish| (wish.clone(), Arc::new(config(&wish, keepalive))))
            .collect();
        Self { by_wish, keepalive }
    }

    /// The one for a target of which this is expected. A server with several keys must show the pinned one, or it would
    /// look changed.
    pub(super) fn pick(&self, legacy: bool, expectation: &Expectation) -> Arc<Config> {
        self.choose(Wish { legacy, certificate: expectation.wants_certificate(), pinned: expectation.algorithm() })
    }

    fn choose(&self, mut wish: Wish) -> Arc<Config> {
        // A kind that is never asked for (a key of old in the record) changes no order.
        wish.pinned = wish.pinned.as_ref().map(kind).filter(|pinned| HOST_KEYS.iter().any(|key| kind(key) == *pinned));
        self.by_wish.get(&wish).cloned().unwrap_or_else(|| Arc::new(config(&wish, self.keepalive)))
    }
}

/// The kind of key behind a signature algorithm: an RSA key signs with any hash.
fn kind(algorithm: &Algorithm) -> Algorithm {
    match algorithm {
        Algorithm::Rsa { .. } => Algorithm::Rsa { hash: None },
        other => other.clone(),
    }
}

/// `modern`, followed by `old` where that is allowed.
fn join<T: Clone>(modern: &[T], legacy: bool, old: &[T]) -> Vec<T> {
    let old = if legacy { old } else { &[] };
    [modern, old].concat()
}

/// One configuration.
fn config(wish: &Wish, keepalive: Duration) -> Config {
    let Wish { legacy, certificate, pinned } = wish;
    let legacy = *legacy;
    let mut key = join(HOST_KEYS, legacy, LEGACY_HOST_KEYS);
    if let Some(pinned) = pinned {
        // Stable: the order inside a kind stays.
        key.sort_by_key(|algorithm| kind(algorithm) != *pinned);
    }
    let kex = [join(KEX, legacy, LEGACY_KEX).as_slice(), KEX_EXTENSIONS].concat();
    let preferred = Preferred {
        kex: Cow::Owned(kex),
        key: Cow::Owned(key),
        host_key_certificates: Cow::Borrowed(if *certificate { HOST_KEYS } else { &[] }),
        cipher: Cow::Owned(join(CIPHERS, legacy, LEGACY_CIPHERS)),
        mac: Cow::Owned(join(MACS, legacy, LEGACY_MACS)),
        compression: Cow::Borrowed(&[compression::NONE]),
    };
    Config {
        client_id: SshId::Standard(Cow::Borrowed(CLIENT_ID)),
        window_size: WINDOW,
        maximum_packet_size: PACKET,
        channel_buffer_size: CHANNEL_BUFFER,
        preferred,
        inactivity_timeout: None,
        keepalive_interval: Some(keepalive),
        keepalive_max: KEEPALIVE_MAX,
        // 2048 is valid by construction; russh's own default (8192 bits) must never come back unnoticed: tested.
        gex: GexParams::new(2048, 2048, 8192).unwrap_or_default(),
        nodelay: true,
        ..Config::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::ssh::KEEPALIVE;

    #[test]
    fn group_exchange_never_asks_for_a_big_group() {
        for legacy in [false, true] {
            let gex = &config(&Wish { legacy, ..Wish::default() }, KEEPALIVE).gex;
            assert_eq!((gex.min_group_size(), gex.preferred_group_size(), gex.max_group_size()), (2048, 2048, 8192));
        }
    }

    #[test]
    fn old_algorithms_are_offered_only_where_allowed_and_last() {
        let configs = Configs::build(KEEPALIVE);
        let pick = |legacy, pinned| configs.choose(Wish { legacy, pinned, ..Wish::default() });
        let modern = pick(false, None);
        assert!(!modern.preferred.kex.contains(&kex::DH_G1_SHA1));
        assert!(!modern.preferred.key.contains(&Algorithm::Rsa { hash: None }));
        assert!(!modern.preferred.mac.contains(&mac::HMAC_SHA1));
        let old = pick(true, None);
        assert_eq!(old.preferred.kex.first(), Some(&kex::CURVE25519));
        assert_eq!(old.preferred.key.last(), Some(&Algorithm::Rsa { hash: None }));
        assert_eq!(old.preferred.cipher.last(), Some(&cipher::AES_256_CBC));
    }

    #[test]
    fn nothing_is_ever_compressed() {
        for legacy in [false, true] {
            assert_eq!(
                config(&Wish { legacy, ..Wish::default() }, KEEPALIVE).preferred.compression.as_ref(),
                [compression::NONE]
            );
        }
    }

    #[test]
    fn the_kind_of_the_pinned_key_is_asked_for_first() {
        let configs = Configs::build(KEEPALIVE);
        let pick = |legacy, pinned| configs.choose(Wish { legacy, pinned, ..Wish::default() });
        let rsa = pick(true, Some(Algorithm::Rsa { hash: Some(HashAlg::Sha256) }));
        assert_eq!(
            rsa.preferred.key.get(..3),
            Some([Some(HashAlg::Sha512), Some(HashAlg::Sha256), None].map(|hash| Algorithm::Rsa { hash }).as_slice())
        );
        let p384 = Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 };
        assert_eq!(pick(false, Some(p384.clone())).preferred.key.first(), Some(&p384));
        assert_eq!(pick(false, Some(p384)).preferred.key.len(), HOST_KEYS.len());
    }

    #[test]
    fn a_configuration_is_shared_not_built_again() {
        let configs = Configs::build(KEEPALIVE);
        let pick = |legacy, pinned| configs.choose(Wish { legacy, pinned, ..Wish::default() });
        assert!(Arc::ptr_eq(&pick(false, None), &pick(false, None)));
    }
}
