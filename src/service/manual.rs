//! Hosts that a person installs: one-time commands for them, and the visits of the script that a command fetches.
//!
//! ```text
//! commands ─► one-time token (random, 24 h) ─► a line to paste ─► script: spends it, gets a run token ─► settle, part, report
//!                  └─ kept as a digest only         revoke            └─ good until the host task ends
//! ```
//! A token that does not fit is refused with one word, whatever is wrong with it, after a comparison of digests that takes as
//! long for a wrong one. Every call for commands makes new tokens; those before stay good until they are spent, revoked, or
//! over.
//!
//! Never here: what a report means for the host (`engine::manual`), HTTP.

use std::fmt::Write as _;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use bytes::Bytes;
use serde::Serialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::submit::{Caller, Recorded, Rejection};
use super::{Service, ServiceError, view};
use crate::domain::Timestamp;
use crate::domain::host::Address;
use crate::domain::id::{JobId, TaskId};
use crate::domain::job::{JobKind, Status};
use crate::domain::outcome::Outcome;
use crate::domain::site::Language;
use crate::engine::EngineError;
use crate::engine::manual::{ManualError, Settled, Visit};
use crate::plan::by_hand::{self, Header, Words};
use crate::store::manual::{Offer, Revoke, Spend, TOKEN_LIFE};
use crate::store::{JobRow, StoreError, TaskRow};

// What the door needs of the engine.
pub use crate::engine::manual::{Entry, Part, Piece, Report, Told};

/// Bytes of a token.
const TOKEN: usize = 32;

/// What a person does to hosts of a job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Commands {
    /// `PENDING`, and nothing else, while there is no command to be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// The job whose record fills: another one where an uninstall was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i64>)]
    pub job_id: Option<JobId>,
    /// The command can be used until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// Ways to do it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub solutions: Vec<Solution>,
}

/// One way to do it.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Solution {
    /// `shell`.
    #[serde(rename = "type")]
    pub form: &'static str,
    /// What it does.
    pub description: String,
    /// What to do, in order.
    pub steps: Vec<SolutionStep>,
    /// Hosts that it is passed on to: none.
    pub target_host_solutions: Vec<String>,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct SolutionStep {
    /// `commands`.
    #[serde(rename = "type")]
    pub form: &'static str,
    /// What to do with them.
    pub description: String,
    /// The commands.
    pub contents: Vec<Content>,
}

/// One command.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Content {
    /// What it is called.
    pub name: String,
    /// The line to paste.
    pub text: String,
    /// When it works.
    pub description: String,
    /// Always empty.
    pub child_dir: String,
    /// Is the description to be shown?
    pub show_description: bool,
    /// Always false.
    pub always_download: bool,
}

/// A command for one host.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HostCommand {
    /// The host.
    pub ip: std::net::IpAddr,
    /// Its cloud.
    pub bk_cloud_id: i64,
    /// Its `instance_id`.
    pub instance_id: String,
    /// The line to paste.
    pub command: String,
    /// It can be used until then.
    pub expires_at: Timestamp,
}

/// Which host a command is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// By `bk_host_id`.
    Number(i64),
    /// By `instance_id`.
    Instance(&'a str),
}

/// What a script is answered after its facts.
pub enum Plan {
    /// The plan, as the script on the host reads it.
    Sheet(Bytes),
    /// The host task has ended, so and with these words.
    Ended(Status, String),
}

impl From<ManualError> for ServiceError {
    fn from(error: ManualError) -> Self {
        match error {
            ManualError::Engine(EngineError::Store(error)) => Self::Store(error),
            ManualError::Engine(error) => Self::Engine(error),
            ManualError::Over => Self::BadToken,
            ManualError::OutOfTurn(what) => Self::OutOfTurn(what),
            ManualError::Failed(failure) => Self::Failed(failure),
        }
    }
}

/// Random bytes, in hex.
fn new_token() -> Result<String, StoreError> {
    let mut bytes = [0; TOKEN];
    getrandom::fill(&mut bytes)
        .map_err(|error| StoreError::Unavailable { what: "random bytes".into(), source: error.to_string().into() })?;
    Ok(hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn digest(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes()))
}

fn same(one: &str, other: &str) -> bool {
    verify_slices_are_equal(one.as_bytes(), other.as_bytes()).is_ok()
}

impl Service {
    /// Where hosts find the server, when the site says so.
    #[must_use]
    pub fn public_url(&self) -> Option<&str> {
        self.site.api.url.as_deref()
    }

    /// New commands for hosts of a job; for all that wait for one without `hosts`. `base` is where hosts find the server.
    ///
    /// # Errors
    /// [`ServiceError::NoJob`], [`ServiceError::NoHost`], [`ServiceError::NotManual`]; when the record fails.
    pub async fn host_commands(
        &self,
        job: JobId,
        hosts: &[std::net::IpAddr],
        base: &str,
    ) -> Result<Vec<HostCommand>, ServiceError> {
        let row = self.store.job(job).await?.ok_or(ServiceError::NoJob(job))?;
        let tasks = self.store.tasks(job).await?;
        if let Some(host) = hosts.iter().find(|host| !tasks.iter().any(|task| task.address.ip == **host)) {
            return Err(ServiceError::NoHost { job, host: *host });
        }
        let chosen: Vec<&TaskRow> = tasks
            .iter()
            .filter(|task| hosts.is_empty() || hosts.contains(&task.address.ip))
            .filter(|task| matches!(task.status, Status::Pending | Status::Running))
            .collect();
        if let Some(task) = chosen.iter().find(|task| !is_manual(&row, task)) {
            return Err(ServiceError::NotManual { job, host: task.address });
        }
        self.offer(&chosen, base).await
    }

    /// Makes tokens for host tasks; those that can have none are left out.
    async fn offer(&self, tasks: &[&TaskRow], base: &str) -> Result<Vec<HostCommand>, ServiceError> {
        let now = self.engine.now();
        let until = now + TOKEN_LIFE;
        let tokens = tasks.iter().map(|_| new_token()).collect::<Result<Vec<_>, _>>()?;
        let offers: Vec<Offer> =
            tasks.iter().zip(&tokens).map(|(task, token)| Offer { task: task.id, token: digest(token), until }).collect();
        let kept = self.store.offer(&offers, now).await?;
        let mut commands = Vec::with_capacity(kept.len());
        for (task, token) in tasks.iter().zip(&tokens).filter(|(task, _)| kept.contains(&task.id)) {
            let url = format!("{}/backend/script/?task_id={}&token={token}", base.trim_end_matches('/'), task.id);
            commands.push(HostCommand {
                ip: task.address.ip,
                bk_cloud_id: task.address.cloud,
                instance_id: view::instance_id(task),
                command: by_hand::command(by_hand::system(&task.spec.host), &name_of(task), &url)
                    .map_err(ServiceError::Failed)?,
                expires_at: until,
            });
        }
        Ok(commands)
    }

    /// The commands for one host, as the published API gives them. With `is_uninstall` those that take the agent away: where
    /// the job does something else, of a job of their own, which is made when there is none yet.
    ///
    /// # Errors
    /// [`ServiceError::NoJob`], [`ServiceError::NoInstance`], [`ServiceError::NotManual`], [`ServiceError::Ended`];
    /// [`Rejection`] of the job that would uninstall; when the record fails.
    pub async fn job_commands(
        &self,
        (job, which): (JobId, Which<'_>),
        is_uninstall: bool,
        (base, caller): (&str, &Caller),
    ) -> Result<Commands, Rejection> {
        let mut row = self.store.job(job).await?.ok_or(ServiceError::NoJob(job))?;
        let mut task = self.meant(job, which).await?;
        if !is_manual(&row, &task) {
            return Err(ServiceError::NotManual { job, host: task.address }.into());
        }
        if is_uninstall && row.spec.kind != JobKind::UninstallAgent {
            (row, task) = self.uninstalling(task.address, caller).await?;
        }
        if !matches!(task.status, Status::Pending | Status::Running) {
            return Err(ServiceError::Ended { job: row.id, host: task.address, status: task.status }.into());
        }
        let Some(command) = self.offer(&[&task], base).await?.pop() else {
            return Ok(Commands { status: Some(Status::Pending), ..Commands::default() });
        };
        Ok(shown(&row, &task, command, caller.language)?)
    }

    async fn meant(&self, job: JobId, which: Which<'_>) -> Result<TaskRow, ServiceError> {
        match which {
            Which::Instance(name) => self.instance_of(job, name).await,
            Which::Number(number) => {
                let rows = self.store.host_ids(crate::store::page::Known::Numbered(&[number])).await?;
                let at = rows.first().map(|(host, _)| *host);
                let tasks = self.store.tasks(job).await?;
                let is_meant = |task: &TaskRow| task.spec.host.bk_host_id == Some(number) || Some(task.address) == at;
                let nobody = || ServiceError::NoInstance { job, instance: number.to_string() };
                tasks.into_iter().find(is_meant).ok_or_else(nobody)
            }
        }
    }

    /// The unfinished job that takes the agent of a host away by hand; a new one where there is none.
    async fn uninstalling(&self, host: Address, caller: &Caller) -> Result<(JobRow, TaskRow), Rejection> {
        if let Some((_, id)) = self.store.busy(&[host]).await?.first() {
            let row = self.store.job(*id).await?.ok_or(ServiceError::NoJob(*id))?;
            let task = self.task_at(row.id, host).await?;
            if row.spec.kind == JobKind::UninstallAgent && is_manual(&row, &task) {
                return Ok((row, task));
            }
            return Err(ServiceError::Busy(format!("host {host} is held by unfinished job {id}")).into());
        }
        let key = if host.ip.is_ipv4() { "inner_ip" } else { "inner_ipv6" };
        let asked = json!({"bk_cloud_id": host.cloud, key: host.ip.to_string(), "is_manual": true});
        let body = json!({"job_type": JobKind::UninstallAgent.wire_name(), "hosts": [asked]});
        let Recorded { job, .. } = self.record(&self.expand(&body, &caller.grant).await?, caller).await?;
        let row = self.store.job(job).await?.ok_or(ServiceError::NoJob(job))?;
        let task = self.task_at(job, host).await?;
        Ok((row, task))
    }

    async fn task_at(&self, job: JobId, host: Address) -> Result<TaskRow, ServiceError> {
        let tasks = self.store.tasks(job).await?;
        tasks.into_iter().find(|task| task.address == host).ok_or(ServiceError::NoHost { job, host: host.ip })
    }

    /// Takes back the commands of a job that nobody used yet, of these hosts only where some are named; how many.
    ///
    /// # Errors
    /// [`ServiceError::NoJob`], [`ServiceError::NoHost`]; when the record fails.
    pub async fn revoke_commands(&self, job: JobId, hosts: &[std::net::IpAddr]) -> Result<u64, ServiceError> {
        if self.store.job(job).await?.is_none() {
            return Err(ServiceError::NoJob(job));
        }
        let tasks = self.store.tasks(job).await?;
        let mut ids: Vec<TaskId> = Vec::new();
        for host in hosts {
            let of_host = tasks.iter().find(|task| task.address.ip == *host);
            ids.push(of_host.ok_or(ServiceError::NoHost { job, host: *host })?.id);
        }
        let tasks = (!hosts.is_empty()).then_some(ids.as_slice());
        Ok(self.store.revoke_offers(Revoke { job, tasks, at: self.engine.now() }).await?)
    }

    /// Spends a one-time token and gives the script.
    ///
    /// # Errors
    /// [`ServiceError::BadToken`]; when the record fails.
    pub async fn manual_script(&self, task: &str, token: &str, base: &str) -> Result<String, ServiceError> {
        let task = task.parse().map(TaskId).map_err(|_| ServiceError::BadToken)?;
        let now = self.engine.now();
        let token = digest(token);
        let offered = self.store.offered(task, now).await?;
        // Every one is looked at: where the right one stands is told by no time.
        let fits = offered.iter().fold(false, |fits, known| fits | same(known, &token));
        if !fits {
            return Err(ServiceError::BadToken);
        }
        let run = new_token()?;
        let spent = self.store.spend(Spend { task, token: &token, run: &digest(&run), at: now }).await?;
        let mut visit = self.engine.visit(spent.ok_or(ServiceError::BadToken)?).await?;
        self.engine.begin_manual(&mut visit).await?;
        let (setup, temp) = visit.places();
        let header = Header { base, task: &task.to_string(), token: &run, places: (&setup, &temp) };
        by_hand::script(visit.os(), &header).map_err(ServiceError::Failed)
    }

    /// A script comes with its run token: its host task and the digest of the token.
    async fn known(&self, task: &str, token: &str) -> Result<(TaskRow, String), ServiceError> {
        let task = task.parse().map(TaskId).map_err(|_| ServiceError::BadToken)?;
        let token = digest(token);
        let host = self.store.manual_host(task).await?;
        let run = host.as_ref().and_then(|host| host.run.as_ref());
        let nobody = digest("");
        let fits = same(run.map_or(nobody.as_str(), |run| &run.token), &token);
        match host {
            Some(host) if fits => Ok((host.row, token)),
            _ => Err(ServiceError::BadToken),
        }
    }

    /// It is its turn.
    async fn turn(&self, task: &str, token: &str) -> Result<Visit, ServiceError> {
        let (row, token) = self.known(task, token).await?;
        let row = self.store.turn(row.id, &token, self.engine.now()).await?.ok_or(ServiceError::BadToken)?;
        Ok(self.engine.visit(row).await?)
    }

    /// What came of a turn. One that was overtaken by another request of the same script is no stranger's.
    async fn after<T>(&self, (task, token): (&str, &str), result: Result<T, ManualError>) -> Result<T, ServiceError> {
        match result {
            Err(ManualError::Over) => {
                self.known(task, token).await?;
                Err(ServiceError::OutOfTurn("another request of this script came meanwhile".into()))
            }
            result => Ok(result?),
        }
    }

    /// The host still fetches.
    ///
    /// # Errors
    /// [`ServiceError::BadToken`]; when the record fails.
    pub async fn manual_fetches(&self, (task, token): (&str, &str)) -> Result<(), ServiceError> {
        let (row, token) = self.known(task, token).await?;
        Ok(self.store.heard(row.id, &token, self.engine.now()).await?)
    }

    /// The plan that follows from what the probe answered on the host.
    ///
    /// # Errors
    /// [`ServiceError::BadToken`]; when the record or the packages fail.
    pub async fn manual_plan(&self, (task, token): (&str, &str), answers: &str) -> Result<Plan, ServiceError> {
        let mut visit = self.turn(task, token).await?;
        let settled = self.engine.settle_manual(&mut visit, answers).await;
        Ok(match self.after((task, token), settled).await? {
            Settled::Sheet(sheet) => Plan::Sheet(sheet),
            Settled::Ended(outcome) => Plan::Ended(Status::of_outcome(&outcome), reason(&outcome)),
        })
    }

    /// Bytes that the host needs.
    ///
    /// # Errors
    /// [`ServiceError::BadToken`], [`ServiceError::OutOfTurn`]; when the record or the packages fail.
    pub async fn manual_part(&self, (task, token): (&str, &str), wanted: Piece) -> Result<Bytes, ServiceError> {
        let (row, token) = self.known(task, token).await?;
        self.store.heard(row.id, &token, self.engine.now()).await?;
        let visit = self.engine.visit(row).await?;
        Ok(self.engine.part(&visit, wanted).await?)
    }

    /// Takes in what a script reports.
    ///
    /// # Errors
    /// [`ServiceError::BadToken`], [`ServiceError::OutOfTurn`]; when the record fails.
    pub async fn manual_report(&self, (task, token): (&str, &str), report: &Report) -> Result<Told, ServiceError> {
        let mut visit = self.turn(task, token).await?;
        let told = self.engine.report_manual(&mut visit, report).await;
        self.after((task, token), told).await
    }

    /// Ends hosts that are waited for no longer; how many.
    ///
    /// # Errors
    /// When the record fails.
    pub async fn sweep_manual(&self) -> Result<u64, ServiceError> {
        Ok(self.engine.sweep_manual().await?)
    }

    /// Is it a job that a person carries out?
    ///
    /// # Errors
    /// [`ServiceError::NoJob`]; when the record fails.
    pub async fn is_by_hand(&self, job: JobId) -> Result<bool, ServiceError> {
        let row = self.store.job(job).await?.ok_or(ServiceError::NoJob(job))?;
        Ok(self.store.tasks(job).await?.iter().any(|task| is_manual(&row, task)))
    }
}

fn is_manual(job: &JobRow, task: &TaskRow) -> bool {
    job.spec.kind.touches_host() && task.spec.host.is_manual
}

/// Names the directory of the script on the host.
fn name_of(task: &TaskRow) -> String {
    format!("{}-{}", task.job, task.index)
}

fn reason(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Failed { failure } | Outcome::Unknown { failure } => format!("{failure}"),
        Outcome::Skipped { why } | Outcome::Interrupted { why } | Outcome::Terminated { why } => why.clone(),
        Outcome::Succeeded | Outcome::Removed => String::new(),
    }
}

/// A command in upstream's shape (`reference/upstream.md` 3.7).
fn shown(job: &JobRow, task: &TaskRow, command: HostCommand, language: Language) -> Result<Commands, ServiceError> {
    let words = Words::of(language).map_err(ServiceError::Failed)?;
    let os = by_hand::system(&task.spec.host);
    let until = format!("{:.0}", command.expires_at);
    let content = Content {
        name: "run".into(),
        text: command.command,
        description: words.command(os, &name_of(task), &until),
        child_dir: String::new(),
        show_description: true,
        always_download: false,
    };
    let step = SolutionStep { form: "commands", description: words.step(os).to_owned(), contents: vec![content] };
    let description = words.solution(job.spec.kind).to_owned();
    let solution = Solution { form: "shell", description, steps: vec![step], target_host_solutions: Vec::new() };
    Ok(Commands { status: None, job_id: Some(job.id), expires_at: Some(command.expires_at), solutions: vec![solution] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_random_and_its_digest_is_what_is_compared() {
        let (one, other) = (new_token().unwrap(), new_token().unwrap());
        assert!(one.len() == 2 * TOKEN && one != other);
        assert!(same(&digest(&one), &digest(&one)) && !same(&digest(&one), &digest(&other)));
        assert_eq!(digest("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
