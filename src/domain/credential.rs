//! How Landfall proves who it is: passwords and keys that can be used but not printed.
//!
//! Never here: sealing (the store's) and the wire form (the request's). A [`Secret`] has no `Serialize`, prints as
//! redacted and is wiped when dropped; `expose_secret` is the only way in, so a search lists every use.

use secrecy::{SecretSlice, SecretString};

/// Text that must never be shown, logged or written in clear.
pub type Secret = SecretString;

/// The same for what is no text: a private key in its binary form.
pub type SecretBytes = SecretSlice<u8>;

/// What is offered to sshd.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Offered as `password`, or to one keyboard-interactive question: never both with one secret.
    Password(Secret),
    /// A private key in PEM or OpenSSH form. The password of the host is never offered beside it.
    Key {
        /// The key's text; its OpenSSH certificate may stand behind it.
        pem: Secret,
        /// Opens an encrypted key.
        passphrase: Option<Secret>,
    },
    /// A key that ssh-agent holds: its fingerprint, comment or public text; empty for the only one there is.
    Agent(String),
    /// A password that the site's vault gives just before the login (TJJ_PASSWORD).
    Vault,
    /// Two proofs in one login: `first`, and a password that sshd asks for beside it. Each goes out at most once, and the
    /// second one only when sshd has taken the first, or asks for it in its place.
    Both {
        /// Password or key.
        first: Box<Self>,
        /// Offered as `password`, or to a keyboard-interactive question.
        second: Secret,
    },
}

impl Auth {
    /// With another password beside it, where there is one.
    #[must_use]
    pub fn and(self, second: Option<Secret>) -> Self {
        match second {
            Some(second) => Self::Both { first: Box::new(self), second },
            None => self,
        }
    }

    /// What proves the login first, and what beside it.
    #[must_use]
    pub fn parts(&self) -> (&Self, Option<&Secret>) {
        match self {
            Self::Both { first, second } => (first, Some(second)),
            Self::Password(_) | Self::Key { .. } | Self::Agent(_) | Self::Vault => (self, None),
        }
    }

    /// Its word for people.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self.parts() {
            (Self::Key { .. } | Self::Agent(_), None) => "key",
            (Self::Key { .. } | Self::Agent(_), Some(_)) => "key and password",
            (Self::Vault, None) => "a password of the vault",
            (_, None) => "password",
            (_, Some(_)) => "two passwords",
        }
    }
}

/// Everything secret about one host.
#[derive(Clone, Debug)]
pub struct Credential {
    /// For the login.
    pub auth: Auth,
    /// For sudo, when the account is not root.
    pub sudo_password: Option<Secret>,
}

/// How long the sealed credential of a host outlives its host task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Retention(pub i64);

impl Retention {
    /// Seconds after the terminal state at which the credential goes; `None` is long term (any negative number).
    #[must_use]
    pub fn seconds(self) -> Option<i64> {
        (self.0 >= 0).then(|| self.0.saturating_mul(86_400))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_prints_without_its_secrets() {
        let credential = Credential {
            auth: Auth::Key { pem: "PRIVATE".into(), passphrase: Some("opens".into()) },
            sudo_password: Some("hunter2".into()),
        };
        let shown = format!("{credential:?}");
        for secret in ["PRIVATE", "opens", "hunter2"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn any_number_of_days_is_honoured_and_a_negative_one_is_long_term() {
        assert_eq!(Retention(0).seconds(), Some(0));
        assert_eq!(Retention(7).seconds(), Some(604_800));
        assert_eq!(Retention(-1).seconds(), None);
    }
}
