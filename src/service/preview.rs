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
use crate::domain::host::{HostSpec, Os, System};
use crate::domain::job::{JobKind, Status};
use crate::domain::package::{PackageEntry, Question, Role};
use crate::domain::plan::{Effect, StepKind};
use crate::domain::site::AccessPoint;
use crate::domain::spec::{JobSpec, TaskSpec};
use crate::engine::gateways::Leads;
use crate::packages::archive;
use crate::plan::describe::{Subject, describe};
use crate::plan::render::{self, Templates, Values};
use crate::plan::task::{self, Place};
use crate::plan::{choose, outline, settle};
use crate::store::NewHost;

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
    /// The plugins it may get, in steps of their own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub plugins: Vec<PackagePreview>,
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
    /// The plugin it is about, where there may be several steps of a kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
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
        let gets_one = |host: &HostPreview| host.steps.iter().any(|step| step.step == StepKind::UploadPackage);
        let clean = |host: &HostPreview| {
            host.exclusion.is_none()
                && host.plugins.iter().all(|plugin| plugin.fault.is_none())
                && (host.packages.is_empty() || host.packages.iter().any(|package| package.fault.is_none()))
                && (!gets_one(host) || !host.packages.is_empty())
        };
        self.list.iter().all(clean)
    }
}

/// Packages of a job with their templates, read once.
#[derive(Default)]
struct Shelf {
    packages: Vec<(PackageEntry, Templates)>,
    plugins: Vec<(PackageEntry, Templates)>,
}

impl Service {
    /// What a job would do.
    ///
    /// # Errors
    /// [`Rejection`], as for [`Service::submit`].
    pub async fn preview(&self, body: &Value, caller: &Caller) -> Result<Preview, Rejection> {
        let Admitted { request, excluded, replaced, carrying, .. } = self.examine_plan(body, caller).await?;
        let place = Place { site: &self.site, kind: request.spec.kind, carrying: &carrying };
        let outline = outline::outline(request.spec.kind, self.site.limits.script_timeout_s);
        let shelf = self.shelf(&request.spec).await?;
        let mut list = Vec::with_capacity(request.hosts.len());
        for (host, exclusion) in request.hosts.into_iter().zip(excluded) {
            let login = login(&host.spec, request.spec.kind.role(), host.credential.as_ref());
            let points = self.site.access_points_of(&host.spec);
            let task = task::spec(&place, host.spec, &outline);
            list.push(host_preview(&request.spec, (&task, &points), (exclusion, login), &shelf));
        }
        if let Some(replaced) = replaced {
            let NewHost { spec, credential, .. } = self.retired(replaced, request.spec.repoint_agents);
            let login = login(&spec.host, Role::Proxy, credential.as_ref());
            list.push(host_preview(&request.spec, (&spec, &[]), (None, login), &Shelf::default()));
        }
        Ok(Preview { job_type: request.spec.kind, list })
    }

    /// The newest fitting package of each system and CPU that the job may install, and the plugins that come with it.
    async fn shelf(&self, job: &JobSpec) -> Result<Shelf, ServiceError> {
        if !job.kind.installs() {
            return Ok(Shelf::default());
        }
        let index = self.packages.list().await?;
        let packages = self.opened(choose::newest_of_each(&index, job.kind.role(), &job.package)).await?;
        let brings_plugins = job.install_latest_plugins && !job.kind.upgrades();
        let plugins = if brings_plugins { choose::plugins_of_each(&index) } else { Vec::new() };
        Ok(Shelf { packages, plugins: self.opened(plugins).await? })
    }

    /// Packages with their templates.
    async fn opened(&self, entries: Vec<&PackageEntry>) -> Result<Vec<(PackageEntry, Templates)>, ServiceError> {
        let mut opened = Vec::with_capacity(entries.len());
        for entry in entries {
            let names: Vec<&str> = entry.manifest.config.iter().map(|config| config.template.as_str()).collect();
            let templates = if names.is_empty() {
                Templates::new()
            } else {
                archive::read_files(&self.packages.fetch(entry).await?, &names)?
            };
            opened.push((entry.clone(), templates));
        }
        Ok(opened)
    }
}

fn host_preview(
    job: &JobSpec,
    (task, points): (&TaskSpec, &[AccessPoint]),
    (exclusion, login): (Option<Exclusion>, String),
    shelf: &Shelf,
) -> HostPreview {
    // As long as the nearest is not known, it may be any of them.
    let is_open = task.outline.iter().any(|step| step.kind == StepKind::ChooseAccessPoint);
    let points = if is_open { points } else { &[] };
    let status = exclusion.as_ref().map_or(Status::Pending, |exclusion| exclusion.exception.status());
    let os = task.host.os_type.unwrap_or(Os::Linux);
    let paths = settle::paths(job, task, os);
    // One whose system is not said may be any that has the same paths.
    let systems: &[Os] = match task.host.os_type {
        Some(_) => &[os],
        None if job.kind.role() == Role::Proxy => &[Os::Linux],
        None => &[Os::Linux, Os::Aix, Os::Solaris],
    };
    let fits = |(entry, _): &&(PackageEntry, Templates)| systems.iter().any(|os| entry.fits(*os, &entry.manifest.cpu));
    let fitting = || shelf.packages.iter().filter(fits);
    let previews = |of: &[(PackageEntry, Templates)]| -> Vec<PackagePreview> {
        let preview = |(entry, templates): &(PackageEntry, Templates)| package_preview(job, (task, points), entry, templates);
        if exclusion.is_none() { of.iter().filter(fits).map(preview).collect() } else { Vec::new() }
    };
    let (packages, plugins) = (previews(&shelf.packages), previews(&shelf.plugins));
    let only = match (fitting().next(), packages.as_slice()) {
        (Some((entry, _)), [only]) => Some((entry, only)),
        _ => None,
    };
    let subject = Subject {
        job,
        task,
        paths: &paths,
        login: &login,
        access_points: &points.iter().map(|point| point.id.to_string()).collect::<Vec<_>>().join(", "),
        package: only.map(|(entry, _)| entry),
        plugins: &shelf.plugins.iter().filter(fits).map(|(entry, _)| entry).collect::<Vec<_>>(),
        health: only.and_then(|(_, preview)| preview.health.as_deref()),
    };
    let step = |step: &crate::domain::plan::Step| StepPreview {
        step: step.kind,
        subject: step.kind.plugin().map(ToString::to_string),
        effect: step.kind.effect(),
        timeout_s: step.timeout_s,
        detail: describe(step, &subject),
    };
    let is_planned = exclusion.as_ref().is_none_or(is_for_later);
    let outline = outline::with_plugins(&task.outline, subject.plugins);
    let steps = if is_planned { outline.iter().map(step).collect() } else { Vec::new() };
    let (ip, bk_cloud_id) = (task.host.address().map(|address| address.ip), task.host.bk_cloud_id);
    let login = if job.kind.touches_host() { login } else { String::new() };
    HostPreview { ip, bk_cloud_id, status, exclusion, login, packages, plugins, steps }
}

fn package_preview(
    job: &JobSpec,
    (task, points): (&TaskSpec, &[AccessPoint]),
    entry: &PackageEntry,
    templates: &Templates,
) -> PackagePreview {
    let manifest = &entry.manifest;
    let with = |point: &AccessPoint| {
        let mut task = task.clone();
        task.take_access_point(point.clone());
        fill(job, &task, entry, templates).err().map(|failure| format!("with access point {}: {failure}", point.id))
    };
    let (start, health, fault) = match (points.iter().find_map(with), fill(job, task, entry, templates)) {
        (Some(fault), _) => (None, None, Some(fault)),
        (None, Ok((start, health))) => (Some(start), health, None),
        (None, Err(failure)) => (None, None, Some(failure.to_string())),
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
    let os = Os::of_package(&entry.manifest.os).or(task.host.os_type).unwrap_or(Os::Linux);
    let paths = settle::paths(job, task, os);
    // The host's own is not known yet; this one has every character.
    let system = System { os, codepage: (os == Os::Windows).then_some(65001) };
    let vars = match entry.manifest.role {
        Role::Plugin => render::plugin_vars(&entry.manifest, job, task),
        Role::Agent | Role::Proxy => render::vars(&entry.manifest.vars, job, task),
    };
    let values = Values::of(task, entry, &paths, &vars, &task.upstream);
    let installed = render::installed(entry, &paths, &values)?;
    render::stage(&entry.manifest, &installed, &values, templates, system)?;
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
        let packages: Vec<&str> = host
            .packages
            .iter()
            .chain(&host.plugins)
            .map(|package| package.fault.as_deref().unwrap_or(&package.sha256))
            .collect();
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
