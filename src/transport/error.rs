//! What can go wrong on the way to a host, and its one translation into a [`Failure`].

use std::sync::Arc;
use std::time::Duration;

use crate::domain::barred::Bar;
use crate::domain::failure::{Code, Failure};

/// Trouble on the way to a host. Texts carry no secret.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// Nothing listens there.
    #[error("{endpoint} refused the connection")]
    Refused {
        /// Address and port.
        endpoint: String,
    },
    /// No answer in time.
    #[error("{endpoint} did not answer within {} s ({phase})", after.as_secs())]
    TimedOut {
        /// Address and port.
        endpoint: String,
        /// `connect`, `handshake`, `login`, or `forwarding` of a gateway.
        phase: &'static str,
        /// The deadline.
        after: Duration,
    },
    /// The network says that there is no way.
    #[error("no route to {endpoint}: {cause}")]
    NoRoute {
        /// Address and port.
        endpoint: String,
        /// What the system says.
        cause: String,
    },
    /// The server closed before the login was decided.
    #[error("{endpoint} closed the connection during the {phase}: {cause}")]
    Closed {
        /// Address and port.
        endpoint: String,
        /// `handshake` or `login`.
        phase: &'static str,
        /// What was seen.
        cause: String,
    },
    /// The server closed before it said a word: that is how some say that they take no more connections for now.
    #[error("{endpoint} closed the connection before it said anything")]
    Dropped {
        /// Address and port.
        endpoint: String,
    },
    /// The server takes no more connections for now, and says so.
    #[error("{endpoint} takes no connection for now: {cause}")]
    Busy {
        /// Address and port.
        endpoint: String,
        /// Its words.
        cause: String,
    },
    /// The gateway before the host failed or does not forward; of the host nothing is known.
    #[error("no way through gateway {gateway}: {cause}")]
    Gateway {
        /// Its address and port.
        gateway: String,
        /// What happened there; shared by all who waited for it.
        cause: Arc<TransportError>,
    },
    /// The gateway forwards nothing.
    #[error("{endpoint} does not forward connections: {cause}")]
    NoForwarding {
        /// Address and port.
        endpoint: String,
        /// Its words.
        cause: String,
    },
    /// No algorithm in common.
    #[error("{endpoint} and Landfall share no {what}")]
    NoCommonAlgorithm {
        /// Address and port.
        endpoint: String,
        /// Which kind of algorithm, and what the server offers where known.
        what: String,
    },
    /// It is not an SSH server.
    #[error("{endpoint} does not speak SSH 2: {cause}")]
    NotSsh {
        /// Address and port.
        endpoint: String,
        /// What was seen.
        cause: String,
    },
    /// It speaks SSH, and what came of its handshake cannot be read, or is not what the host signed.
    #[error("the handshake with {endpoint} cannot be understood: {cause}")]
    Garbled {
        /// Address and port.
        endpoint: String,
        /// What was seen.
        cause: String,
    },
    /// Another host key than the pinned one.
    #[error("host key of {endpoint} changed: pinned {pinned}, now {offered}")]
    HostKeyChanged {
        /// Address and port.
        endpoint: String,
        /// SHA-256 fingerprint.
        pinned: String,
        /// SHA-256 fingerprint.
        offered: String,
    },
    /// A host key that a known_hosts file revokes.
    #[error("host key of {endpoint} is revoked: {offered}")]
    HostKeyRevoked {
        /// Address and port.
        endpoint: String,
        /// SHA-256 fingerprint.
        offered: String,
    },
    /// A certificate of a trusted authority that does not do.
    #[error("host certificate of {endpoint} cannot be taken: {flaw}")]
    HostCertificate {
        /// Address and port.
        endpoint: String,
        /// What is wrong with it.
        flaw: &'static str,
    },
    /// A host key nobody knows, where only known ones are accepted.
    #[error("host key of {endpoint} is not known: {offered}")]
    HostKeyUnknown {
        /// Address and port.
        endpoint: String,
        /// SHA-256 fingerprint.
        offered: String,
    },
    /// The server refused the login: final.
    #[error("{endpoint} refused the {method} of account {account}")]
    Refusal {
        /// Address and port.
        endpoint: String,
        /// `password` or `key`.
        method: &'static str,
        /// The account.
        account: String,
    },
    /// The password went out and no verdict came back: final too, because every try may count against the account.
    #[error("{endpoint} gave no verdict on the password of account {account}: {cause}")]
    Undecided {
        /// Address and port.
        endpoint: String,
        /// The account.
        account: String,
        /// What was seen.
        cause: String,
    },
    /// The server does not offer the method.
    #[error("{endpoint} offers account {account} no {method} login (offered: {offered})")]
    MethodNotOffered {
        /// Address and port.
        endpoint: String,
        /// `password` or `key`.
        method: &'static str,
        /// The account.
        account: String,
        /// Methods of the server.
        offered: String,
    },
    /// The server knows the account, and something else than the proof bars it: final.
    #[error("{endpoint} does not let account {account} in: {}{said}", bar.words())]
    Barred {
        /// Address and port.
        endpoint: String,
        /// The account.
        account: String,
        /// What it is.
        bar: Bar,
        /// What the server said or offers, in brackets, or nothing.
        said: String,
    },
    /// The private key cannot be read.
    #[error("the private key cannot be used: {cause}")]
    KeyUnusable {
        /// Why; never the key's text.
        cause: String,
    },
    /// The server opened no channel for a command: its places are taken (MaxSessions), or it cannot start another process.
    #[error("{endpoint} opened no channel: {cause}")]
    NoChannel {
        /// Address and port.
        endpoint: String,
        /// What it said.
        cause: String,
    },
    /// The server refused to run a command.
    #[error("{endpoint} refused to run a command: {cause}")]
    NoExec {
        /// Address and port.
        endpoint: String,
        /// What it said.
        cause: String,
    },
    /// The server gives the account no terminal.
    #[error("{endpoint} gives the account no terminal")]
    NoTerminal {
        /// Address and port.
        endpoint: String,
    },
    /// The server has no file service.
    #[error("{endpoint} offers no SFTP: {cause}")]
    NoSftp {
        /// Address and port.
        endpoint: String,
        /// What it said.
        cause: String,
    },
    /// The file service did not do what it was asked for.
    #[error("{path} cannot be written by SFTP: {cause}")]
    File {
        /// The file or directory.
        path: String,
        /// What the server says.
        cause: String,
    },
    /// An established connection went away.
    #[error("the connection to {endpoint} was lost: {cause}")]
    Lost {
        /// Address and port.
        endpoint: String,
        /// What was seen.
        cause: String,
    },
    /// The server ended the connection between two commands: some do so after each. Nothing of the next one was begun, and on
    /// another connection it can be.
    #[error("{endpoint} ended the connection after a command: {cause}")]
    Spent {
        /// Address and port.
        endpoint: String,
        /// What was seen.
        cause: String,
    },
    /// The command ended before all input was written.
    #[error("the command ended before it had read its input")]
    Ended,
    /// No byte moved for too long.
    #[error("no byte moved for {} s", .0.as_secs())]
    Stalled(Duration),
    /// The reader of a process was too slow.
    #[error("output came faster than it could be read")]
    Overrun,
    /// The record of pinned keys did not answer.
    #[error("the record of host keys failed: {cause}")]
    HostKeyRecord {
        /// What it said.
        cause: String,
    },
}

impl TransportError {
    /// Did nobody answer at that address? Then another one of the same host is worth a try.
    #[must_use]
    pub fn is_nobody_there(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::NoRoute { .. } | Self::TimedOut { phase: "connect", .. })
    }

    /// Does the server take no connection for now? It will again: waiting is all there is to do.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Dropped { .. })
    }

    /// Will the same login or the same host key be refused again, until a person has done something about it?
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Refusal { .. }
                | Self::Undecided { .. }
                | Self::MethodNotOffered { .. }
                | Self::Barred { .. }
                | Self::KeyUnusable { .. }
                | Self::HostKeyChanged { .. }
                | Self::HostKeyRevoked { .. }
                | Self::HostCertificate { .. }
                | Self::HostKeyUnknown { .. }
                | Self::NoCommonAlgorithm { .. }
                | Self::NotSsh { .. }
        )
    }
}

impl From<TransportError> for Failure {
    fn from(error: TransportError) -> Self {
        let code = match &error {
            TransportError::Refused { .. } => Code::ConnectionRefused,
            TransportError::TimedOut { .. } => Code::ConnectTimeout,
            TransportError::NoRoute { .. } => Code::NoRoute,
            TransportError::Closed { .. } | TransportError::Dropped { .. } => Code::ConnectionClosed,
            TransportError::Busy { .. } => Code::ServerBusy,
            TransportError::Gateway { .. } | TransportError::NoForwarding { .. } => Code::GatewaysRefused,
            TransportError::NoCommonAlgorithm { .. } => Code::NoCommonAlgorithm,
            TransportError::NotSsh { .. } => Code::NotSsh,
            TransportError::Garbled { .. } => Code::HandshakeGarbled,
            TransportError::HostKeyChanged { .. } => Code::HostKeyChanged,
            TransportError::HostKeyRevoked { .. } => Code::HostKeyRevoked,
            TransportError::HostCertificate { .. } => Code::HostCertificate,
            TransportError::HostKeyUnknown { .. } => Code::HostKeyUnknown,
            TransportError::Refusal { method: "key", .. } => Code::KeyRefused,
            TransportError::Refusal { .. } => Code::PasswordRefused,
            TransportError::Undecided { .. } => Code::LoginUndecided,
            TransportError::MethodNotOffered { .. } => Code::MethodNotOffered,
            TransportError::Barred { bar, .. } => bar.code(),
            TransportError::KeyUnusable { .. } => Code::KeyUnusable,
            TransportError::NoChannel { .. } => Code::NoChannel,
            TransportError::NoExec { .. } => Code::NoShell,
            TransportError::NoTerminal { .. } => Code::NoTerminal,
            TransportError::NoSftp { .. } => Code::NoStdin,
            TransportError::File { .. } => Code::WriteFailed,
            TransportError::Lost { .. } | TransportError::Spent { .. } | TransportError::Ended | TransportError::Overrun => {
                Code::ConnectionLost
            }
            TransportError::Stalled(_) => Code::TransferStalled,
            TransportError::HostKeyRecord { .. } => Code::Store,
        };
        Self::new(code, error.to_string())
    }
}

/// Why the host could not open a connection for us.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// The host tried, and nobody listens there (yet).
    #[error("nobody answers there")]
    NotYet,
    /// sshd does not forward.
    #[error("sshd does not forward: {0}")]
    NotAllowed(String),
    /// The session is gone.
    #[error(transparent)]
    Transport(#[from] TransportError),
}
