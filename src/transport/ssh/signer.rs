//! Who signs: a private key that was read here, or ssh-agent; with an OpenSSH certificate or without.
//!
//! An agent's keys stay with it: it is asked for the one that was named, or for the only one there is, because every key
//! that is offered in vain counts as a failed login. Never here: reading keys ([`super::pem`]).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use russh::AgentAuthError;
use russh::client::AuthResult;
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::signature::Signer as _;
use russh::keys::ssh_encoding::Encode;
use russh::keys::ssh_key::private::KeypairData;
use russh::keys::{Algorithm, Certificate, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::transport::TransportError;

use super::listener::Link;

/// An agent answers at once, or asks a person, who is not there.
const AGENT: Duration = Duration::from_secs(10);

/// What signs the login.
pub(super) enum Signer {
    /// A key of ours.
    Own {
        /// The key.
        key: Arc<PrivateKey>,
        /// What an authority says of it.
        certificate: Option<Certificate>,
    },
    /// A key of an agent.
    Agent {
        /// The way to it.
        client: AgentClient<UnixStream>,
        /// The key, or its certificate.
        identity: AgentIdentity,
    },
}

impl Signer {
    /// Finds the key that `wanted` names in the agent at `socket`: by SHA-256 fingerprint, by its comment, or by its public
    /// text; without a name the only one there is.
    pub(super) async fn of_agent(socket: Option<&Path>, wanted: &str) -> Result<Self, TransportError> {
        let unusable = |cause: String| TransportError::KeyUnusable { cause };
        let socket = socket.ok_or_else(|| unusable("there is no ssh-agent: SSH_AUTH_SOCK is not set".to_owned()))?;
        let asking = async {
            let mut client = AgentClient::connect_uds(socket).await?;
            let identities = client.request_identities().await?;
            Ok::<_, russh::keys::Error>((client, identities))
        };
        let (client, identities) = match timeout(AGENT, asking).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return Err(unusable(format!("ssh-agent does not answer: {error}"))),
            Err(_) => return Err(unusable(format!("ssh-agent does not answer within {} s", AGENT.as_secs()))),
        };
        let count = identities.len();
        let mut fitting: Vec<AgentIdentity> =
            identities.into_iter().filter(|identity| wanted.is_empty() || names(wanted, identity)).collect();
        // A key with a certificate is there twice, and the certificate is worth more.
        fitting.sort_by_key(|identity| matches!(identity, AgentIdentity::PublicKey { .. }));
        let mut others = fitting.into_iter();
        match others.next() {
            None if count == 0 => Err(unusable("ssh-agent holds no key".to_owned())),
            None => Err(unusable(format!("ssh-agent holds none of that name among its {count} keys"))),
            Some(identity) if others.all(|other| public(&other).key_data() == public(&identity).key_data()) => {
                Ok(Self::Agent { client, identity })
            }
            Some(_) => Err(unusable(format!("ssh-agent holds {count} keys: name one as `key`, by fingerprint or comment"))),
        }
    }

    /// Has a hash to be chosen?
    pub(super) fn is_rsa(&self) -> bool {
        let algorithm = match self {
            Self::Own { key, .. } => key.algorithm(),
            Self::Agent { identity, .. } => public(identity).algorithm(),
        };
        matches!(algorithm, Algorithm::Rsa { .. })
    }

    /// Offers the key, and signs when the server takes it. The outer error: nothing was signed.
    pub(super) async fn offer(
        &mut self,
        link: &mut Link,
        account: &str,
        hash: Option<HashAlg>,
    ) -> Result<Result<AuthResult, russh::Error>, TransportError> {
        match self {
            Self::Own { key, certificate: None } => {
                let key = PrivateKeyWithHashAlg::new(Arc::clone(key), hash);
                Ok(link.authenticate_publickey(account, key).await)
            }
            Self::Own { key, certificate: Some(certificate) } => {
                let mut pen = Pen(Arc::clone(key));
                told(link.authenticate_certificate_with(account, certificate.clone(), hash, &mut pen).await)
            }
            Self::Agent { client, identity: AgentIdentity::PublicKey { key, .. } } => {
                told(link.authenticate_publickey_with(account, key.clone(), hash, client).await)
            }
            Self::Agent { client, identity: AgentIdentity::Certificate { certificate, .. } } => {
                told(link.authenticate_certificate_with(account, certificate.clone(), hash, client).await)
            }
        }
    }
}

fn public(identity: &AgentIdentity) -> PublicKey {
    match identity {
        AgentIdentity::PublicKey { key, .. } => key.clone(),
        AgentIdentity::Certificate { certificate, .. } => PublicKey::new(certificate.public_key().clone(), ""),
    }
}

/// Is it this key that was meant?
fn names(wanted: &str, identity: &AgentIdentity) -> bool {
    let (AgentIdentity::PublicKey { comment, .. } | AgentIdentity::Certificate { comment, .. }) = identity;
    let key = public(identity);
    let is_key = PublicKey::from_openssh(wanted).is_ok_and(|named| named.key_data() == key.key_data());
    wanted == comment || wanted == key.fingerprint(HashAlg::Sha256).to_string() || is_key
}

/// A login by somebody else's signature: what the signer says is no answer of the server.
fn told(result: Result<AuthResult, AgentAuthError>) -> Result<Result<AuthResult, russh::Error>, TransportError> {
    match result {
        Ok(answer) => Ok(Ok(answer)),
        Err(AgentAuthError::Send(_)) => Ok(Err(russh::Error::SendError)),
        Err(AgentAuthError::Key(error)) => Err(TransportError::KeyUnusable { cause: format!("it did not sign: {error}") }),
    }
}

/// Signs for a certificate as russh signs for a key, with the hash that was asked for: by itself it would use SHA-1 for RSA.
struct Pen(Arc<PrivateKey>);

impl Pen {
    fn sign(&self, hash: Option<HashAlg>, mut text: Vec<u8>) -> Result<Vec<u8>, russh::keys::Error> {
        let signature = match self.0.key_data() {
            KeypairData::Rsa(pair) => (pair, hash).try_sign(&text),
            _ => self.0.try_sign(&text),
        };
        let mut form = Vec::new();
        signature.map_err(|_| russh::keys::Error::InvalidSignature)?.encode(&mut form)?;
        form.encode(&mut text)?;
        Ok(text)
    }
}

impl russh::Signer for Pen {
    type Error = AgentAuthError;

    async fn auth_sign(&mut self, _: &AgentIdentity, hash: Option<HashAlg>, text: Vec<u8>) -> Result<Vec<u8>, AgentAuthError> {
        self.sign(hash, text).map_err(AgentAuthError::Key)
    }
}
