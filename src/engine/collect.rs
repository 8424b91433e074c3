//! The log of a run as it is on the host: the whole of it stays there, the record has its head and its tail.
//!
//! A session of its own, beside that of whoever works on the host: log in, become root, read, go. Nothing changes there, and
//! nothing is recorded but a host key that is seen first.
//!
//! Never here: whose log it is (the service's), trying again: a refused login is offered once.

use std::time::Duration;

use super::Engine;
use super::become_root::Become;
use super::check::failure;
use super::steps::connect::Reached;
use super::steps::probe::{self, Asked};
use super::talk::{Raw, Talk};
use super::windows;
use crate::assets;
use crate::domain::credential::Credential;
use crate::domain::failure::{Code, Failure};
use crate::domain::host::HostSpec;
use crate::domain::id::RunId;
use crate::domain::package::Role;
use crate::domain::plan::{Step, StepKind};
use crate::domain::site::HostPaths;

/// Seconds for logging in, like the step of the same name.
const CONNECT_S: u64 = 90;
/// For becoming root.
const PROBE: Duration = Duration::from_secs(60);
/// For the log itself: 16 MiB over 2 Mbit/s.
const READ: Duration = Duration::from_secs(90);

/// A run whose log is wanted.
#[derive(Debug)]
pub struct Wanted {
    /// Its host.
    pub host: HostSpec,
    /// What the job made of it.
    pub role: Role,
    /// The login.
    pub credential: Credential,
    /// Places there.
    pub paths: HostPaths,
    /// State directory there.
    pub state_dir: String,
    /// The same as SFTP calls it, on Windows.
    pub sftp_dir: Option<String>,
    /// The run.
    pub run: RunId,
    /// Bytes at most: the last ones.
    pub most: usize,
}

/// A run's log as it is on the host.
#[derive(Debug, PartialEq, Eq)]
pub struct RunLog {
    /// Bytes it has there.
    pub size: u64,
    /// Its end.
    pub bytes: Vec<u8>,
}

impl Engine {
    /// Fetches the log of a run; `None` when the host has the run no more.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub async fn collect(&self, wanted: Wanted) -> Result<Option<RunLog>, Failure> {
        // Bounds the memory: each holds a log, and the answer made of it.
        let _place = self.collecting.acquire().await;
        let connect = Step { kind: StepKind::Connect, timeout_s: CONNECT_S };
        let Reached { mut session, sudo_password, .. } = self
            .ways(wanted.role)
            .log_in(&wanted.host, wanted.credential.clone(), connect)
            .await
            .map_err(|halt| failure(halt).at(StepKind::Connect))?;
        let late = |what: &str, after: Duration| {
            Failure::new(Code::StepTimeout, format!("{what} did not end within {} s", after.as_secs()))
        };
        if let Some(dir) = &wanted.sftp_dir {
            let reading =
                async { windows::run::tail(&mut *windows::open(&mut *session).await?, dir, &wanted.run, wanted.most).await };
            let fetched = tokio::time::timeout(READ, reading).await;
            session.close().await;
            let found = fetched.map_err(|_| late("reading the log", READ))??;
            return Ok(found.map(|(size, bytes)| RunLog { size, bytes }));
        }
        let fetched = async {
            // The login may be another one than the run was started with.
            let method = probe::method(&self.site, &wanted.host);
            let (posix, windows) = (wanted.paths.clone(), wanted.paths.clone());
            let asked = Asked { posix, windows, stated: wanted.host.os_type, method, sudo_password: sudo_password.clone() };
            let asking = probe::ask(&mut *session, &asked);
            let probed = tokio::time::timeout(PROBE, asking).await;
            let (facts, privilege) = probed.map_err(|_| late("becoming root", PROBE))?.map_err(failure)?;
            let root = Become { privilege, dialect: facts.dialect(), password: sudo_password.as_ref() };
            let most = wanted.most.to_string();
            let reading = async {
                let args = [wanted.state_dir.as_str(), wanted.run.as_str(), &most];
                let talk = Talk::open_as_root(&mut *session, &assets::COLLECT, &args, root).await?;
                read(talk, wanted.most).await
            };
            tokio::time::timeout(READ, reading).await.map_err(|_| late("reading the log", READ))?
        };
        let fetched = fetched.await;
        session.close().await;
        fetched
    }
}

/// The bytes and the word about them, in whatever order they come.
async fn read(mut talk: Talk, most: usize) -> Result<Option<RunLog>, Failure> {
    let (mut bytes, mut size, mut missing) = (Vec::new(), None, false);
    loop {
        match talk.raw().await? {
            Raw::Bytes(more) => {
                bytes.extend_from_slice(&more);
                // A log that grew meanwhile gives a little more than was asked for.
                bytes.drain(..bytes.len().saturating_sub(most));
            }
            Raw::Word(word) => match word.split_once('=') {
                Some(("size", number)) => size = number.parse::<u64>().ok(),
                _ => missing |= word == "missing",
            },
            Raw::Overrun => return Err(Failure::new(Code::ConnectionLost, "the log came faster than it was read")),
            Raw::Exit => break,
        }
    }
    match size {
        _ if missing => Ok(None),
        Some(size) => Ok(Some(RunLog { size, bytes })),
        None => {
            let how = talk.exit().map_or_else(String::new, |exit| format!(" ({exit})"));
            let message = format!("the host did not send the whole log{how}");
            Err(Failure::new(Code::ConnectionLost, message).with_tail(&talk.complaint()))
        }
    }
}
