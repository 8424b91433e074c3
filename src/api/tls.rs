//! TLS at the door: the certificate, and the handshake before the first request.
//!
//! Versions 1.2 and 1.3, by rustls on aws-lc, which speaks SSH here already. A certificate that was renewed is taken over
//! while the door is open ([`Tls::replace`]); connections go on with the one they began with.
//!
//! Never here: reading the files (`config`), who may call (`callers`).

use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::TlsStream;

/// A handshake takes two round trips; who needs longer holds a place in vain.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// A certificate that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file of the certificate has none.
    #[error("there is no certificate in it (PEM: BEGIN CERTIFICATE)")]
    NoCertificate,
    /// The file of the key has none.
    #[error("there is no private key without passphrase in it (PEM: BEGIN PRIVATE KEY)")]
    NoKey,
    /// The key is another certificate's.
    #[error("the key does not fit the certificate")]
    Strangers,
    /// They cannot be used.
    #[error("certificate or key cannot be used")]
    Unusable(#[source] rustls::Error),
}

/// TLS with one certificate at a time.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    certificate: Arc<Current>,
}

/// The certificate of the next handshake.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Tls {
    /// With a certificate chain and its key, both PEM.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn new(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let certificate = Arc::new(Current(RwLock::new(Arc::new(read(chain, key, &provider)?))));
        let versions = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13, &TLS12]);
        let mut config = versions.map_err(TlsError::Unusable)?.with_no_client_auth().with_cert_resolver(certificate.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), certificate })
    }

    /// Goes on with another certificate.
    ///
    /// # Errors
    /// [`TlsError`]; the one so far stays then.
    pub fn replace(&self, chain: &[u8], key: &[u8]) -> Result<(), TlsError> {
        let next = read(chain, key, self.acceptor.config().crypto_provider())?;
        *self.certificate.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        Ok(())
    }

    /// Shakes hands with a caller.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        tokio::time::timeout(HANDSHAKE, self.acceptor.accept(stream)).await?
    }
}

fn read(chain: &[u8], key: &[u8], provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain).collect::<Result<_, _>>().map_err(|_| TlsError::NoCertificate)?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::NoKey)?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => TlsError::Strangers,
        error => TlsError::Unusable(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_or_no_key_is_told_apart() {
        let none = |chain: &str, key: &str| Tls::new(chain.as_bytes(), key.as_bytes()).err().map(|error| error.to_string());
        let block = |name: &str| format!("-----BEGIN {name}-----\nAAAA\n-----END {name}-----\n");
        for (chain, key, told) in [
            (String::new(), block("PRIVATE KEY"), "there is no certificate"),
            (block("PRIVATE KEY"), block("PRIVATE KEY"), "there is no certificate"),
            ("-----BEGIN CERTIFICATE-----\n*\n".into(), block("PRIVATE KEY"), "there is no certificate"),
            (block("CERTIFICATE"), String::new(), "there is no private key"),
            (block("CERTIFICATE"), block("ENCRYPTED PRIVATE KEY"), "there is no private key"),
            (block("CERTIFICATE"), block("PRIVATE KEY"), "cannot be used"),
        ] {
            let fault = none(&chain, &key).unwrap();
            assert!(fault.contains(told), "{fault}");
        }
    }
}
