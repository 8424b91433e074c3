//! What a program is to read, where the server gives commands no stdin: SFTP brings it to a file of the account.
//!
//! ```text
//! ForceCommand ... </dev/null:   SFTP ──► ~/.landfall-inbox/FILE ──► program inbox=FILE ... (as root: reads and removes it)
//! ```
//! The probe finds out that it is so, before anything was lost, and the plan keeps it. Never here: what the bytes are
//! ([`super::steps`]); what a program makes of them (`scripts/unix/stdin.sh`).

use bytes::Bytes;

use super::host_task::HostTask;
use super::talk::Talk;
use crate::domain::failure::Failure;
use crate::transport::{Sftp, TransportError};

/// A file of the inbox.
pub(super) struct Inbox {
    dir: String,
    file: String,
}

impl Inbox {
    /// The file of this name, in the inbox that the plan tells of.
    pub(super) fn new(dir: &str, name: &str) -> Self {
        Self { dir: dir.to_owned(), file: format!("{dir}/{name}") }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &str {
        &self.file
    }

    /// The argument that tells a program of it.
    pub(super) fn argument(&self) -> String {
        format!("inbox={}", self.file)
    }

    /// Opens it for writing from `offset` on.
    pub(super) async fn open(&self, task: &mut HostTask, offset: u64) -> Result<Box<dyn Sftp>, Failure> {
        let mut sftp = task.session()?.sftp().await?;
        sftp.make_dir(&self.dir).await?;
        sftp.open(&self.file, offset).await?;
        Ok(sftp)
    }
}

impl HostTask {
    /// Starts a program that reads `input`. In an inbox that has this `name`, like nothing else that goes to the host.
    pub(super) async fn talk_with(
        &mut self,
        program: &str,
        args: &[&str],
        (name, input): (&str, Bytes),
    ) -> Result<Talk, Failure> {
        let Some(dir) = self.plan()?.inbox else {
            let mut talk = self.talk(program, args).await?;
            let sent = async {
                talk.send(input).await?;
                talk.finish().await
            };
            return match sent.await {
                // A program that has ended says itself why it did not want it.
                Ok(()) | Err(TransportError::Ended) => Ok(talk),
                Err(error) => Err(error.into()),
            };
        };
        // What comes late from an executor that lost the host must not get into it.
        let inbox = Inbox::new(&dir, &format!("{name}.{}", self.claim.epoch.0));
        let mut sftp = inbox.open(self, 0).await?;
        sftp.write(input).await?;
        sftp.finish().await?;
        // Under MaxSessions 1 its channel would stand in the program's way.
        drop(sftp);
        let argument = inbox.argument();
        self.talk(program, &[&[argument.as_str()], args].concat()).await
    }
}
