//! The whole log of a host's newest run, fetched from the host: the record keeps its head and its tail only.
//!
//! Never here: how a host is reached (the engine's).

use std::net::IpAddr;

use serde::Serialize;

use super::view::{self, instance_id};
use super::{Service, ServiceError};
use crate::domain::credential::Credential;
use crate::domain::failure::{Code, Failure, FailureClass};
use crate::domain::host::HostSpec;
use crate::domain::id::{JobId, RunId};
use crate::domain::job::Status;
use crate::domain::plan::StepKind;
use crate::domain::text;
use crate::engine::collect::Wanted;
use crate::store::TaskRow;
use crate::store::page::{Page, TaskFilter};

/// Bytes of a log that are fetched at most: the last ones.
pub const MOST: usize = 16 << 20;

/// The log of a run.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Collected {
    /// The host's instance id.
    pub instance_id: String,
    /// The run: directory below `runs` in the state directory of the host.
    #[schema(value_type = String)]
    pub run_id: RunId,
    /// Bytes that the log has on the host.
    pub size: u64,
    /// Is the beginning of it left out?
    pub truncated: bool,
    /// The text.
    pub log: String,
}

/// Which host of a job.
#[derive(Clone, Copy, Debug)]
pub enum Whose<'a> {
    /// By its `instance_id`.
    Instance(&'a str),
    /// By its inner address.
    At(IpAddr),
}

impl Service {
    /// Fetches the log of a host's newest run: of its agent's, or of the plugin's that it failed with.
    ///
    /// # Errors
    /// [`ServiceError::NoJob`], [`ServiceError::NoInstance`], [`ServiceError::NoHost`]; [`ServiceError::NoRun`] when there is
    /// nothing to fetch; [`ServiceError::Unreached`] when the host does not give it.
    pub async fn collect_log(&self, job: JobId, whose: Whose<'_>) -> Result<Collected, ServiceError> {
        let task = match whose {
            Whose::Instance(text) => self.instance_of(job, text).await?,
            Whose::At(ip) => self.host_of(job, ip).await?,
        };
        let record = view::fold(&self.store.host_events(job, &[task.index]).await?)?.remove(&task.index).unwrap_or_default();
        // Of a host that failed with a plugin it is that one's.
        let failed = record.outcome().and_then(|outcome| outcome.failure()).and_then(|failure| failure.step);
        let step = failed.filter(|step| step.plugin().is_some()).unwrap_or(StepKind::RunScript);
        let run = record.step(step).and_then(|step| step.run_id.clone());
        let (Some(run), Some(plan)) = (run, record.plan) else {
            return Err(ServiceError::NoRun { job, host: task.address, gone: None });
        };
        let unreached = |failure| ServiceError::Unreached { host: task.address, failure: Box::new(failure) };
        let expired = || unreached(Failure::new(Code::CredentialExpired, "no login of the host is kept any more"));
        let (host, credential) = self.login_of(&task).await?.ok_or_else(expired)?;
        let spec = self.store.job(job).await?.ok_or(ServiceError::NoJob(job))?.spec;
        let page = plan.codepage;
        let sftp_dir = plan.inbox.clone().filter(|_| plan.is_windows());
        let (role, paths, state_dir) = (spec.kind.role(), plan.paths, plan.state_dir);
        let wanted = Wanted { host, role, credential, paths, state_dir, sftp_dir, run: run.clone(), most: MOST };
        let found = self.engine.collect(wanted).await.map_err(unreached)?;
        let gone = || ServiceError::NoRun { job, host: task.address, gone: Some(run.clone()) };
        let found = found.ok_or_else(gone)?;
        let truncated = found.size > found.bytes.len() as u64;
        let log = text::decoded_from(if truncated { whole(&found.bytes) } else { &found.bytes }, page);
        Ok(Collected { instance_id: instance_id(&task), run_id: run, size: found.size, truncated, log })
    }

    /// The host task at an address. Of a host that stands twice in the request the one that is worked on.
    async fn host_of(&self, job: JobId, ip: IpAddr) -> Result<TaskRow, ServiceError> {
        if self.store.job(job).await?.is_none() {
            return Err(ServiceError::NoJob(job));
        }
        let filter = TaskFilter { ips: Some(vec![ip]), ..TaskFilter::default() };
        let (_, tasks) = self.store.task_page(job, &filter, Page { offset: 0, limit: None }).await?;
        let left_out = |task: &TaskRow| matches!(task.status, Status::Ignored | Status::Filtered);
        tasks.into_iter().min_by_key(left_out).ok_or(ServiceError::NoHost { job, host: ip })
    }

    /// How to log in: by the login of the job, else by the newest that is kept.
    async fn login_of(&self, task: &TaskRow) -> Result<Option<(HostSpec, Credential)>, ServiceError> {
        if let Some(credential) = self.store.credential(task.id).await? {
            return Ok(Some((task.spec.host.clone(), credential)));
        }
        Ok(self.store.kept_logins(&[task.address]).await?.pop().map(|(_, host, credential)| (host, credential)))
    }
}

/// From the first whole line on.
fn whole(bytes: &[u8]) -> &[u8] {
    let begin = bytes.iter().position(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    bytes.get(begin..).filter(|rest| !rest.is_empty()).unwrap_or(bytes)
}

/// The published code of a failure on the way to a host (`reference/upstream.md` 2.6).
#[must_use]
pub fn code(failure: &Failure) -> i64 {
    match (failure.class, failure.code.as_ref()) {
        (_, "credential_expired") => 3_800_019,
        (FailureClass::Unprivileged, _) => 3_803_003,
        (_, "no_shell") => 3_803_010,
        (FailureClass::Incompatible | FailureClass::HostKey, _) => 3_803_004,
        (FailureClass::Unauthenticated, _) => 3_803_005,
        (FailureClass::Lost, _) => 3_803_006,
        (FailureClass::TimedOut, _) | (_, "connect_timeout") => 3_803_008,
        (FailureClass::Unreachable, _) => 3_803_007,
        (FailureClass::Transfer, _) => 3_803_011,
        (FailureClass::NotAdmitted | FailureClass::ScriptFailed | FailureClass::Unconfirmed | FailureClass::Internal, _) => {
            3_800_500
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_begins_with_a_whole_line() {
        assert_eq!(whole(b"f of it\nnext\nlast"), b"next\nlast");
        assert_eq!(whole(b"one endless line"), b"one endless line");
        assert_eq!(whole(b"only its end\n"), b"only its end\n");
    }

    #[test]
    fn failures_on_the_way_have_published_codes() {
        for (failure, published) in [
            (Code::CredentialExpired, 3_800_019),
            (Code::SudoRefused, 3_803_003),
            (Code::HostKeyChanged, 3_803_004),
            (Code::NoCommonAlgorithm, 3_803_004),
            (Code::PasswordRefused, 3_803_005),
            (Code::ConnectionLost, 3_803_006),
            (Code::ConnectionRefused, 3_803_007),
            (Code::NoRoute, 3_803_007),
            (Code::ConnectTimeout, 3_803_008),
            (Code::StepTimeout, 3_803_008),
            (Code::NoShell, 3_803_010),
            (Code::Internal, 3_800_500),
        ] {
            assert_eq!(code(&Failure::new(failure, "x")), published, "{failure:?}");
        }
    }
}
