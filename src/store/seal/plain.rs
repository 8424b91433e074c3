//! The plain text of a sealed credential. It stands in buffers that are wiped only; the secrets in it are hexadecimal, so that
//! the JSON reader hands out slices of the wiped buffer instead of unescaped copies of its own.
//!
//! To add a kind of credential: a field in `Plain`, absent by default, and its arms in `Plain::of` and `Plain::credential`.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::TAG_BYTES;
use crate::domain::credential::{Auth, Credential};
use crate::store::StoreError;

/// JSON of `Plain` around its secrets, at most.
const FRAME_BYTES: usize = 160;

/// The sealed form of a [`Credential`]; every value is hexadecimal.
#[derive(Serialize, Deserialize)]
pub(super) struct Plain<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pem: Option<&'a str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    passphrase: Option<&'a str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agent: Option<&'a str>,
    /// Is the password a vault's?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    vault: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    second: Option<&'a str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sudo_password: Option<&'a str>,
}

impl Plain<'_> {
    /// The plain text of a credential, with room for the tag.
    pub(super) fn of(credential: &Credential) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let (first, second) = credential.auth.parts();
        let (mut password, mut pem, mut passphrase, mut agent) = (None, None, None, None);
        match first {
            Auth::Password(secret) => password = Some(hex(secret)),
            Auth::Key { pem: text, passphrase: opens } => (pem, passphrase) = (Some(hex(text)), opens.as_ref().map(hex)),
            Auth::Agent(wanted) => agent = Some(hex(&wanted.clone().into())),
            Auth::Vault => {}
            Auth::Both { .. } => return Err(StoreError::Key("a login has two proofs at most".into())),
        }
        let (second, sudo_password) = (second.map(hex), credential.sudo_password.as_ref().map(hex));
        let values = [&password, &pem, &passphrase, &agent, &second, &sudo_password];
        let length: usize = values.iter().filter_map(|value| value.as_ref().map(|text| text.len())).sum();
        let plain = Plain {
            password: text(&password),
            pem: text(&pem),
            passphrase: text(&passphrase),
            agent: text(&agent),
            vault: matches!(first, Auth::Vault),
            second: text(&second),
            sudo_password: text(&sudo_password),
        };
        let mut buffer = Zeroizing::new(Vec::with_capacity(length + FRAME_BYTES + TAG_BYTES));
        serde_json::to_writer(&mut *buffer, &plain).map_err(|_| StoreError::Key("the credential cannot be sealed".into()))?;
        Ok(buffer)
    }

    /// The credential; `None` when this is not the plain text of one.
    pub(super) fn credential(&self) -> Option<Credential> {
        let auth = match (self.password, self.pem, self.agent, self.vault) {
            (None, None, None, true) => Auth::Vault,
            (None, None, Some(wanted), false) => Auth::Agent(of_hex(wanted)?.expose_secret().to_owned()),
            (Some(password), None, None, false) => Auth::Password(of_hex(password)?),
            (None, Some(pem), None, false) => Auth::Key { pem: of_hex(pem)?, passphrase: optional(self.passphrase)? },
            _ => return None,
        };
        Some(Credential { auth: auth.and(optional(self.second)?), sudo_password: optional(self.sudo_password)? })
    }
}

fn text(value: &Option<Zeroizing<String>>) -> Option<&str> {
    value.as_ref().map(|text| text.as_str())
}

fn optional(value: Option<&str>) -> Option<Option<SecretString>> {
    value.map_or(Some(None), |text| of_hex(text).map(Some))
}

fn hex(secret: &SecretString) -> Zeroizing<String> {
    let secret = secret.expose_secret();
    let mut text = Zeroizing::new(String::with_capacity(secret.len() * 2));
    for byte in secret.bytes() {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
        }
    }
    text
}

fn of_hex(text: &str) -> Option<SecretString> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    // Exactly as long as it will be: turning it into a secret then moves the buffer instead of copying it.
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() / 2));
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    for [high, low] in pairs {
        bytes.push(digit(*high)? << 4 | digit(*low)?);
    }
    if !rest.is_empty() {
        return None;
    }
    String::from_utf8(std::mem::take(&mut *bytes)).ok().map(SecretString::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plain_text_fits_the_buffer_that_was_reserved_for_it() {
        let pem = "-----BEGIN KEY-----\n\"quoted\\\" 中\n".into();
        let keyed =
            Credential { auth: Auth::Key { pem, passphrase: Some("opens it".into()) }, sudo_password: Some("sudo\u{0}!".into()) };
        let buffer = Plain::of(&keyed).unwrap();
        assert!(buffer.len() + TAG_BYTES <= buffer.capacity());
        let auth = Auth::Key { pem: "".into(), passphrase: Some("".into()) }.and(Some("".into()));
        let empty = Credential { auth, sudo_password: Some("".into()) };
        assert!(Plain::of(&empty).unwrap().len() <= FRAME_BYTES);
    }

    #[test]
    fn a_second_proof_is_kept_beside_the_first() {
        let auth = Auth::Key { pem: "PEM".into(), passphrase: None }.and(Some("beside it".into()));
        let buffer = Plain::of(&Credential { auth, sudo_password: None }).unwrap();
        let read = serde_json::from_slice::<Plain<'_>>(&buffer).unwrap().credential().unwrap();
        let (first, second) = read.auth.parts();
        assert!(matches!(first, Auth::Key { passphrase: None, .. }));
        assert_eq!(second.map(ExposeSecret::expose_secret), Some("beside it"));
    }
}
