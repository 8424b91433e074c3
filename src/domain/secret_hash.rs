//! The secret of an app, as the site file keeps it: an argon2id hash that a secret can be held against, never the secret.
//!
//! A value of [`SecretHash`] is one that can be used: whatever is wrong with its text is told when it is read.
//!
//! Never here: random bytes and the time a comparison takes (tens of milliseconds of a core: the doors' to bound).

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Deserializer};

use super::credential::Secret;

/// Bytes of a salt (RFC 9106, section 3.1).
pub const SALT: usize = 16;
/// The most memory that one comparison may take, KiB: a slip of a digit must not take the machine's.
const MOST_MEMORY: u32 = 256 << 10;
/// The most passes over it.
const MOST_PASSES: u32 = 20;

/// `$argon2id$v=19$m=…,t=…,p=…$SALT$HASH`.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretHash(PasswordHash);

impl SecretHash {
    /// Reads its text.
    ///
    /// # Errors
    /// What is wrong with it, in one phrase that quotes nothing of it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form = || "must be the line that `landfall site hash-secret` prints ($argon2id$v=19$m=…,t=…,p=…$…$…)".to_owned();
        let hash = PasswordHash::new(text).map_err(|_| form())?;
        let params = Params::try_from(&hash).map_err(|_| form())?;
        let is_whole = hash.algorithm == Algorithm::Argon2id.ident() && hash.version == Some(19) && hash.hash.is_some();
        if !is_whole || hash.salt.is_none() {
            return Err(form());
        }
        if params.m_cost() > MOST_MEMORY || params.t_cost() > MOST_PASSES {
            return Err(format!("asks for more than {MOST_MEMORY} KiB (m) or {MOST_PASSES} passes (t)"));
        }
        Ok(Self(hash))
    }

    /// Hashes a secret. The salt must be random.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn of(secret: &Secret, salt: &[u8; SALT]) -> Result<Self, String> {
        let hash = Argon2::default().hash_password_with_salt(secret.expose_secret().as_bytes(), salt);
        hash.map(Self).map_err(|error| error.to_string())
    }

    /// Is it this secret's? Takes as long for a wrong one.
    #[must_use]
    pub fn fits(&self, secret: &Secret) -> bool {
        Argon2::default().verify_password(secret.expose_secret().as_bytes(), &self.0).is_ok()
    }
}

impl std::fmt::Display for SecretHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::fmt::Debug for SecretHash {
    /// Without salt and hash: whoever has them can try secrets at home.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretHash")
    }
}

impl<'de> Deserialize<'de> for SecretHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_fits_its_own_secret_and_no_other_and_shows_neither() {
        let secret = Secret::from("hunter2");
        let hash = SecretHash::of(&secret, &[7; SALT]).unwrap();
        let text = hash.to_string();
        assert!(text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
        let read = SecretHash::parse(&text).unwrap();
        assert!(read == hash && read.fits(&secret) && !read.fits(&Secret::from("hunter3")));
        assert!(!format!("{hash:?}").contains('$'));
        assert_ne!(SecretHash::of(&secret, &[8; SALT]).unwrap(), hash);
    }

    #[test]
    fn what_another_program_hashed_fits_too() {
        // printf password | argon2 somesalt -id -t 2 -m 8 -p 1, a case of the reference implementation's own tests.
        let hash = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        assert!(SecretHash::parse(hash).unwrap().fits(&Secret::from("password")));
    }

    #[test]
    fn what_is_no_hash_of_ours_is_told_without_quoting_it() {
        for text in [
            "",
            "hunter2",
            "$2y$10$abcdefghijklmnopqrstuv",
            "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+sCcFanM2xBT63UP2sghkUoHLIUpWRS8",
            "$argon2id$v=16$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ",
            "$argon2id$v=19$m=256,t=2,p=1",
            "$argon2id$v=19$m=1,t=0,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        ] {
            let fault = SecretHash::parse(text).unwrap_err();
            assert!(text.is_empty() || !fault.contains(text), "{fault}");
        }
    }
}
