//! What a job would do on each of its hosts, told without connecting to any and without recording anything.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;
use serde_json::Value;

use super::submit::{Admitted, Caller, Rejection, is_for_later};
use super::{Service, ServiceError};
use crate::domain::admission::Exclusion;
use crate::domain::credential::Credential;
use crate::domain::failure::Failure;
use crate::domain::host::{HostSpec, Os};
use crate::domain::job::{JobKind, Status};
use crate::domain::package::{PackageEntry, Question, Role};
use crate::domain::plan::{Effect, StepKind};
use crate::domain::spec::{JobSpec, TaskSpec};
use crate::engine::gateways::Leads;
use crate::packages::archive;
use crate::plan::describe::{Subject, describe};
use crate::plan::render::{self, Templates, Values};
use crate::plan::{choose, outline, settle};

/// A job that was not begun.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Preview {
    /// Its kind.
    pub job_type: JobKind,
    /// Its hosts, in the order of the request.
    pub list: Vec<HostPreview>,
}

/// What would be done on one host.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct HostPreview {
    /// Inner address.
    #[schema(value_type = Option<String>)]
    pub ip: Option<IpAddr>,
    /// Its cloud.
    pub bk_cloud_id: i64,
    /// PENDING, or how it would be left out.
    pub status: Status,
    /// Why it would be left out.
    #[serde(flatten)]
    pub exclusion: Option<Exclusion>,
    /// `root at 10.0.0.5:22 by password`; empty where nobody logs in.
    pub login: String,
    /// The packages it may get: one for each CPU, as long as that is not known.
    pub packages: Vec<PackagePreview>,
    /// Its steps, in order; also of a host that a later release will take (`unsupported`).
    pub steps: Vec<StepPreview>,
}

/// A package a host may get.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct PackagePreview {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its system.
    pub os: String,
    /// Its CPU.
    pub cpu: String,
    /// Bytes of the archive.
    pub size: u64,
    /// Digest of the archive.
    pub sha256: String,
    /// The command that would be started, filled in.
    pub start: Option<String>,
    /// The health check, filled in.
    pub health: Option<String>,
    /// What is wrong with its templates for this host: the job would fail with it.
    pub fault: Option<String>,
}

/// A step that would be done.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, utoipa::ToSchema)]
pub struct StepPreview {
    /// Which.
    pub step: StepKind,
    /// What recovery may do with it.
    pub effect: Effect,
    /// Deadline of one attempt, seconds; 0 where progress is the deadline.
    pub timeout_s: u64,
    /// What it does, in one phrase.
    pub detail: String,
}

impl Preview {
    /// Would every host be worked on, as far as that can be said?
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let clean = |host: &HostPreview| {
            host.exclusion.is_none()
                && (host.packages.is_empty() || host.packages.iter().any(|package| package.fault.is_none()))
                && (!self.job_type.installs() || !host.packages.is_empty())
        };
        self.list.iter().all(clean)
    }
}

/// Packages of a job with their templates, read once.
type Shelf = Vec<(PackageEntry, Templates)>;

impl Service {
    /// What a job would do.
    ///
    /// # Errors
    /// [`Rejection`], as for [`Service::submit`].
    pub async fn preview(&self, body: &Value, caller: &Caller) -> Result<Preview, Rejection> {
        let Admitted { request, excluded, .. } = self.examine_plan(body, caller).await?;
        let outline = outline::outline(request.spec.kind, self.site.limits.script_timeout_s);
        let shelf = self.shelf(&request.spec).await?;
        let mut list = Vec::with_capacity(request.hosts.len());
        for (host, exclusion) in request.hosts.into_iter().zip(excluded) {
            let login = login(&host.spec, request.spec.kind.role(), host.credential.as_ref());
            let task = self.task_spec(host.spec, &outline);
            list.push(host_preview(&request.spec, &task, (exclusion, login), &shelf));
        }
        Ok(Preview { job_type: request.spec.kind, list })
    }

    /// The newest fitting package of each system and CPU that the job may install.
    async fn shelf(&self, job: &JobSpec) -> Result<Shelf, ServiceError> {
        if !job.kind.installs() {
            return Ok(Vec::new());
        }
        let index = self.packages.list().await?;
        let mut shelf = Vec::new();
        for entry in choose::newest_of_each(&index, job.kind.role(), &job.package) {
            let names: Vec<&str> = entry.manifest.config.iter().map(|config| config.template.as_str()).collect();
            let templates = if names.is_empty() {
                Templates::new()
            } else {
                archive::read_files(&self.packages.fetch(entry).await?, &names)?
            };
            shelf.push((entry.clone(), templates));
        }
        Ok(shelf)
    }
}

fn host_preview(job: &JobSpec, task: &TaskSpec, (exclusion, login): (Option<Exclusion>, String), shelf: &Shelf) -> HostPreview {
    let status = exclusion.as_ref().map_or(Status::Pending, |exclusion| exclusion.exception.status());
    let paths = settle::paths(job, task);
    let os = task.host.os_type.unwrap_or(Os::Linux);
    let fitting = || shelf.iter().filter(|(entry, _)| entry.fits(os, &entry.manifest.cpu));
    let packages: Vec<PackagePreview> = match exclusion {
        None => fitting().map(|(entry, templates)| package_preview(job, task, entry, templates)).collect(),
        Some(_) => Vec::new(),
    };
    let only = match (fitting().next(), packages.as_slice()) {
        (Some((entry, _)), [only]) => Some((entry, only)),
        _ => None,
    };
    let subject = Subject {
        job,
        task,
        paths: &paths,
        login: &login,
        package: only.map(|(entry, _)| entry),
        health: only.and_then(|(_, preview)| preview.health.as_deref()),
    };
    let step = |step: &crate::domain::plan::Step| StepPreview {
        step: step.kind,
        effect: step.kind.effect(),
        timeout_s: step.timeout_s,
        detail: describe(step, &subject),
    };
    let is_planned = exclusion.as_ref().is_none_or(is_for_later);
    let steps = if is_planned { task.outline.iter().map(step).collect() } else { Vec::new() };
    let (ip, bk_cloud_id) = (task.host.address().map(|address| address.ip), task.host.bk_cloud_id);
    let login = if job.kind.touches_host() { login } else { String::new() };
    HostPreview { ip, bk_cloud_id, status, exclusion, login, packages, steps }
}

fn package_preview(job: &JobSpec, task: &TaskSpec, entry: &PackageEntry, templates: &Templates) -> PackagePreview {
    let manifest = &entry.manifest;
    let filled = fill(job, task, entry, templates);
    let (start, health, fault) = match filled {
        Ok((start, health)) => (Some(start), health, None),
        Err(failure) => (None, None, Some(failure.to_string())),
    };
    PackagePreview {
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        os: manifest.os.clone(),
        cpu: manifest.cpu.clone(),
        size: entry.size,
        sha256: entry.sha256.clone(),
        start,
        health,
        fault,
    }
}

/// Fills every template as the job would; gives the start command and the health check.
fn fill(
    job: &JobSpec,
    task: &TaskSpec,
    entry: &PackageEntry,
    templates: &Templates,
) -> Result<(String, Option<String>), Failure> {
    let paths = settle::paths(job, task);
    let vars = render::vars(&entry.manifest.vars, job, task);
    let values = Values::of(task, entry, &paths, &vars);
    let installed = render::installed(entry, &paths, &values)?;
    render::stage(&entry.manifest, &installed, &values, templates)?;
    let seconds = installed.health.timeout_s;
    let health = installed.health.question().map(|question| match question {
        Question::Http(url) => format!("{url}, within {seconds} s"),
        Question::Tcp(endpoint) => format!("tcp {endpoint}, within {seconds} s"),
        Question::Command(command) => format!("`{command}`, within {seconds} s"),
    });
    Ok((installed.start, health))
}

/// How a host is logged in to.
fn login(host: &HostSpec, role: Role, credential: Option<&Credential>) -> String {
    let method = credential.map_or("a login that is not here yet", |credential| credential.auth.word());
    let dial = host.dial(role).map_or_else(|| "nowhere".to_owned(), |ip| SocketAddr::new(ip, host.port).to_string());
    let via = match Leads::of(host, role) {
        None => String::new(),
        Some(Leads::Cloud(id)) => format!(" via a proxy of cloud {id}"),
        Some(Leads::Channel(id)) => format!(" via a jump server of install channel {id}"),
    };
    format!("{} at {dial}{via} by {method}", host.account)
}

/// Hosts whose steps read the same, with those steps: ten thousand alike are told once.
#[must_use]
pub fn alike(preview: &Preview) -> Vec<(Vec<&HostPreview>, &[StepPreview])> {
    let mut groups: Vec<(Vec<&HostPreview>, &[StepPreview])> = Vec::new();
    let mut known: HashMap<(Vec<&StepPreview>, Vec<&str>), usize> = HashMap::new();
    for host in preview.list.iter().filter(|host| host.exclusion.is_none() || !host.steps.is_empty()) {
        // Every login reads differently.
        let steps: Vec<&StepPreview> = host.steps.iter().filter(|step| step.step != StepKind::Connect).collect();
        let packages: Vec<&str> =
            host.packages.iter().map(|package| package.fault.as_deref().unwrap_or(&package.sha256)).collect();
        let place = *known.entry((steps, packages)).or_insert_with(|| {
            groups.push((Vec::new(), &host.steps));
            groups.len() - 1
        });
        if let Some((hosts, _)) = groups.get_mut(place) {
            hosts.push(host);
        }
    }
    groups
}
