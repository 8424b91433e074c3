//! A private key from its text: OpenSSH, PEM (PKCS#1, SEC1), PKCS#8 and PuTTY, open or encrypted, whole or mangled.
//!
//! russh reads the forms; what it does not do is done here. Texts that forms, chats and spreadsheets have mangled are put
//! right: CR LF, `\n` in letters, blanks for line ends, no line ends at all. The old encryption of PEM (`DEK-Info`) is
//! opened for AES and triple DES, PKCS#8 for all of PBES2. And a wrong passphrase is told from a damaged text.
//!
//! Never here: remembering keys ([`super::key`]). No error names key or passphrase.
//!
//! To add a form: its label in [`parse`].

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, KeyIvInit};
use base64::Engine;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{GeneralPurposeConfig, STANDARD};
use md5::{Digest, Md5};
use pkcs8::EncryptedPrivateKeyInfoRef;
use russh::keys::{Algorithm, Certificate, PrivateKey, decode_secret_key};
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use crate::domain::credential::Secret;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// How the algorithm of a certificate ends.
const CERTIFICATE: &str = "-cert-v01@openssh.com";

/// A text that lost its last characters to a form often lost `=` signs: they say nothing that the length does not say.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
);

const DAMAGED: &str = "its text is damaged";
const NO_PASSPHRASE: &str = "it is encrypted and no passphrase was given";
const WRONG_PASSPHRASE: &str = "the passphrase does not open it";
const UNSUPPORTED: &str = "its type is not supported";
const TOKEN: &str = "it is a key of a hardware token (sk-), which wants to be touched at every login";

/// Bytes that are wiped.
type Bytes = Zeroizing<Vec<u8>>;

/// Reads a key.
pub(super) fn parse(text: &str, passphrase: Option<&Secret>) -> Result<PrivateKey, String> {
    read(text, passphrase).map_err(str::to_owned)
}

/// The OpenSSH certificate that stands beside a key in its text: the last one, so that another one may be put behind it.
pub(super) fn certificate(text: &str, key: &PrivateKey) -> Result<Option<Certificate>, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let found = words.windows(2).rfind(|pair| pair.first().is_some_and(|word| word.ends_with(CERTIFICATE)));
    let Some(pair) = found else { return Ok(None) };
    let certificate = Certificate::from_openssh(&pair.join(" ")).map_err(|_| "the text of its certificate is damaged")?;
    if certificate.public_key() != key.public_key().key_data() {
        return Err("its certificate is another key's".to_owned());
    }
    if !certificate.cert_type().is_user() {
        return Err("its certificate is a host's, and no user's".to_owned());
    }
    Ok(Some(certificate))
}

fn read(text: &str, passphrase: Option<&Secret>) -> Result<PrivateKey, &'static str> {
    let text = unescape(text.trim_start_matches('\u{feff}').trim());
    if text.starts_with("PuTTY-User-Key-File-") {
        return putty(&text, passphrase);
    }
    let armor = Armor::find(&text)?;
    let secret = passphrase.ok_or(NO_PASSPHRASE).map(|secret| secret.expose_secret());
    match (armor.label, &armor.seal) {
        ("OPENSSH PRIVATE KEY", None) => openssh(&armor.bytes, secret),
        ("ENCRYPTED PRIVATE KEY", None) => plain("PRIVATE KEY", &pkcs8(&armor.bytes, secret?)?, WRONG_PASSPHRASE),
        ("PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY", None) => plain(armor.label, &armor.bytes, DAMAGED),
        ("RSA PRIVATE KEY" | "EC PRIVATE KEY", Some(seal)) => {
            // A wrong passphrase passes the padding once in 256 times, and gives no key then.
            plain(armor.label, &seal.open(&armor.bytes, secret?)?, WRONG_PASSPHRASE)
        }
        (label, _) if label.ends_with("PRIVATE KEY") => Err(UNSUPPORTED),
        _ => Err("it is not a private key in OpenSSH or PEM form"),
    }
}

/// An OpenSSH key says what it is without its passphrase.
fn openssh(bytes: &[u8], secret: Result<&str, &'static str>) -> Result<PrivateKey, &'static str> {
    use russh::keys::ssh_key::Error;
    let key = PrivateKey::from_bytes(bytes).map_err(|error| match error {
        Error::AlgorithmUnknown | Error::AlgorithmUnsupported { .. } => UNSUPPORTED,
        _ => DAMAGED,
    })?;
    if matches!(key.algorithm(), Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256) {
        return Err(TOKEN);
    }
    if key.is_encrypted() { key.decrypt(secret?).map_err(|_| WRONG_PASSPHRASE) } else { Ok(key) }
}

/// The DER of an encrypted PKCS#8 key.
fn pkcs8(bytes: &[u8], secret: &str) -> Result<Bytes, &'static str> {
    use pkcs8::pkcs5::Error;
    let sealed = EncryptedPrivateKeyInfoRef::try_from(bytes).map_err(|_| DAMAGED)?;
    let opened = sealed.encryption_algorithm.decrypt(secret, sealed.encrypted_data.as_bytes());
    opened.map(Zeroizing::new).map_err(|error| match error {
        Error::DecryptFailed => WRONG_PASSPHRASE,
        _ => "its encryption is not supported: rewrite it with `ssh-keygen -p`",
    })
}

/// DER without encryption; `why` it may be none.
fn plain(label: &str, der: &[u8], why: &'static str) -> Result<PrivateKey, &'static str> {
    use russh::keys::Error;
    let body = Zeroizing::new(STANDARD.encode(der));
    let text = Zeroizing::new(format!("{BEGIN}{label}{DASHES}\n{}\n{END}{label}{DASHES}\n", *body));
    decode_secret_key(&text, None).map_err(|error| match error {
        Error::UnsupportedKeyType { .. } | Error::UnknownAlgorithm(_) => UNSUPPORTED,
        _ => why,
    })
}

fn putty(text: &str, passphrase: Option<&Secret>) -> Result<PrivateKey, &'static str> {
    let lines: Vec<&str> = text.split(['\r', '\n']).map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let is_open = lines.contains(&"Encryption: none");
    let text = Zeroizing::new(lines.join("\n") + "\n");
    let passphrase = passphrase.filter(|_| !is_open).map(|secret| secret.expose_secret());
    decode_secret_key(&text, passphrase).map_err(|_| match (is_open, passphrase) {
        (true, _) => DAMAGED,
        (false, None) => NO_PASSPHRASE,
        (false, Some(_)) => "the passphrase does not open it, or its text is damaged",
    })
}

/// Line ends that were written as letters.
fn unescape(text: &str) -> Zeroizing<String> {
    Zeroizing::new(if text.contains('\n') { text.to_owned() } else { text.replace("\\r", "").replace("\\n", "\n") })
}

/// What stands between BEGIN and END.
struct Armor<'a> {
    label: &'a str,
    seal: Option<Seal>,
    bytes: Bytes,
}

impl<'a> Armor<'a> {
    /// The first private key of a text; what stands around it (parameters of a curve, remarks) is passed over.
    fn find(text: &'a str) -> Result<Self, &'static str> {
        let mut rest = text;
        while let Some((_, after)) = rest.split_once(BEGIN) {
            let (label, after) = after.split_once(DASHES).ok_or(DAMAGED)?;
            let (body, after) = after.split_once(END).ok_or(DAMAGED)?;
            if label.ends_with("PRIVATE KEY") {
                let (seal, body) = Seal::read(body)?;
                let body: Zeroizing<String> = Zeroizing::new(body.split_whitespace().collect());
                let bytes = BASE64.decode(body.as_str()).map_err(|_| DAMAGED)?;
                return Ok(Self { label, seal, bytes: Zeroizing::new(bytes) });
            }
            rest = after;
        }
        Err("it is not a private key in OpenSSH or PEM form")
    }
}

/// The old encryption of PEM: the key is one MD5 chain of passphrase and vector.
struct Seal {
    cipher: Cipher,
    vector: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Cipher {
    Aes128,
    Aes192,
    Aes256,
    TripleDes,
}

impl Cipher {
    const NAMES: [(&str, Self); 4] = [
        ("AES-128-CBC", Self::Aes128),
        ("AES-192-CBC", Self::Aes192),
        ("AES-256-CBC", Self::Aes256),
        ("DES-EDE3-CBC", Self::TripleDes),
    ];

    fn key_bytes(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::Aes192 | Self::TripleDes => 24,
            Self::Aes256 => 32,
        }
    }

    fn vector_bytes(self) -> usize {
        if self == Self::TripleDes { 8 } else { 16 }
    }
}

impl Seal {
    /// Its header, if there is one, and what follows it. The lines may have run into one.
    fn read(body: &str) -> Result<(Option<Self>, &str), &'static str> {
        let Some((_, info)) = body.split_once("DEK-Info:") else {
            return if body.contains("Proc-Type:") { Err(DAMAGED) } else { Ok((None, body)) };
        };
        let (name, rest) = info.trim_start().split_once(',').ok_or(DAMAGED)?;
        let known = Cipher::NAMES.iter().find(|(known, _)| *known == name);
        let (_, cipher) = *known.ok_or("its encryption is not supported: rewrite it with `ssh-keygen -p`")?;
        let (hex, rest) = rest.split_at_checked(2 * cipher.vector_bytes()).ok_or(DAMAGED)?;
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).ok_or(DAMAGED);
        let (pairs, _) = hex.as_bytes().as_chunks::<2>();
        let byte = |[high, low]: &[u8; 2]| Ok::<u8, &'static str>(digit(*high)? << 4 | digit(*low)?);
        let vector = pairs.iter().map(byte).collect::<Result<_, _>>()?;
        Ok((Some(Self { cipher, vector }), rest))
    }

    fn open(&self, sealed: &[u8], passphrase: &str) -> Result<Bytes, &'static str> {
        let salt = self.vector.get(..8).ok_or(DAMAGED)?;
        let mut key: Bytes = Zeroizing::new(Vec::with_capacity(48));
        let mut block: Bytes = Bytes::default();
        while key.len() < self.cipher.key_bytes() {
            let mut hash = Md5::new();
            hash.update(&*block);
            hash.update(passphrase);
            hash.update(salt);
            block = Zeroizing::new(hash.finalize().to_vec());
            key.extend_from_slice(&block);
        }
        key.truncate(self.cipher.key_bytes());
        match self.cipher {
            Cipher::Aes128 => self.decrypt::<cbc::Decryptor<aes::Aes128>>(&key, sealed),
            Cipher::Aes192 => self.decrypt::<cbc::Decryptor<aes::Aes192>>(&key, sealed),
            Cipher::Aes256 => self.decrypt::<cbc::Decryptor<aes::Aes256>>(&key, sealed),
            Cipher::TripleDes => self.decrypt::<cbc::Decryptor<des::TdesEde3>>(&key, sealed),
        }
    }

    fn decrypt<C: KeyIvInit + BlockModeDecrypt>(&self, key: &[u8], sealed: &[u8]) -> Result<Bytes, &'static str> {
        let cipher = C::new_from_slices(key, &self.vector).map_err(|_| DAMAGED)?;
        let mut buffer = Zeroizing::new(sealed.to_vec());
        let length = cipher.decrypt_padded::<Pkcs7>(&mut buffer).map_err(|_| WRONG_PASSPHRASE)?.len();
        buffer.truncate(length);
        Ok(buffer)
    }
}

#[cfg(test)]
#[path = "pem_tests.rs"]
mod tests;
