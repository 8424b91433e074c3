//! The limit to compare with: russh in a loop, and nothing round it. Same algorithms as Landfall.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use russh::client::{Config, Handle, Handler};
use russh::keys::{PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{ChannelMsg, Preferred, cipher, kex};

/// Takes any host key.
pub struct Any;

impl Handler for Any {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

/// A loop's client.
pub struct Bare {
    config: Arc<Config>,
    key: Arc<PrivateKey>,
}

impl Bare {
    pub fn new(key: &Path) -> Self {
        let preferred = Preferred {
            kex: Cow::Borrowed(&[kex::CURVE25519]),
            cipher: Cow::Borrowed(&[cipher::AES_128_GCM]),
            ..Preferred::DEFAULT
        };
        let config = Config { preferred, nodelay: true, ..Config::default() };
        Self { config: Arc::new(config), key: Arc::new(russh::keys::load_secret_key(key, None).unwrap()) }
    }

    pub async fn connect(&self, to: SocketAddr) -> Handle<Any> {
        let mut handle = russh::client::connect(self.config.clone(), to, Any).await.unwrap();
        let key = PrivateKeyWithHashAlg::new(self.key.clone(), None);
        assert!(handle.authenticate_publickey("root", key).await.unwrap().success());
        handle
    }

    /// Connects, runs a command with that input to its end, and goes.
    pub async fn exec(&self, to: SocketAddr, line: &str, input: Option<Bytes>) {
        let handle = self.connect(to).await;
        let channel = handle.channel_open_session().await.unwrap();
        channel.exec(true, line).await.unwrap();
        let (mut read, write) = channel.split();
        if let Some(input) = input {
            write.data_bytes(input).await.unwrap();
            write.eof().await.unwrap();
        }
        let mut exit = None;
        while let Some(message) = read.wait().await {
            if let ChannelMsg::ExitStatus { exit_status } = message {
                exit = Some(exit_status);
            }
        }
        assert_eq!(exit, Some(0), "{line}");
        let _ = handle.disconnect(russh::Disconnect::ByApplication, "", "").await;
    }
}
