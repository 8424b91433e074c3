//! Submission: body → checked request → admitted hosts → one recorded job. Nothing is recorded unless all of it is.
//!
//! Never here: waiting for a host. Which hosts are left out: `admit`.

use serde_json::Value;
use uuid::Uuid;

use super::answer::{Envelope, FilterEntry};
use super::request::{self, Fault, Request, SecretSources, code};
use super::{Service, ServiceError};
use crate::domain::admission::{Exception, Exclusion};
use crate::domain::audit::{Action, Asker, Asking};
use crate::domain::caller::Grant;
use crate::domain::host::HostSpec;
use crate::domain::id::{JobId, TaskId};
use crate::domain::plan::Step;
use crate::domain::site::Language;
use crate::domain::spec::TaskSpec;
use crate::meters;
use crate::plan;
use crate::store::page::Known;
use crate::store::{Lease, NewHost, NewJob, StoreError};

/// Who submits, and how to talk to them.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who, and for what: for the audit.
    pub by: Asking,
    /// What they may do.
    pub grant: Grant,
    /// Language of messages.
    pub language: Language,
    /// Where secrets may come from.
    pub sources: SecretSources,
    /// Does it come in by `serve`, so that any executor may carry it out?
    pub served: bool,
}

impl Caller {
    /// The app it asks through; empty without one. Keys of submissions count for one app.
    pub(super) fn app(&self) -> &str {
        self.by.asker.app.as_deref().unwrap_or_default()
    }

    /// Somebody at a terminal of this machine, who may do everything.
    #[must_use]
    pub fn at_terminal(user: impl Into<String>, language: Language, sources: SecretSources) -> Self {
        let by = Asker::at_terminal(user).asks(Action::Run);
        Self { by, grant: Grant::Everything, language, sources, served: false }
    }
}

/// A recorded job, held by this process.
#[derive(Debug)]
pub struct Accepted {
    /// Its number.
    pub job: JobId,
    /// Keeps it for this process.
    pub lease: Box<dyn Lease>,
    /// Hosts left out.
    pub filtered: Vec<FilterEntry>,
}

/// A recorded job that nobody holds yet.
#[derive(Debug)]
pub struct Recorded {
    /// Its number.
    pub job: JobId,
    /// Hosts left out.
    pub filtered: Vec<FilterEntry>,
}

/// A request that may be carried out, at least for some of its hosts.
pub(super) struct Admitted {
    pub(super) request: Request,
    /// By position in the request.
    pub(super) excluded: Vec<Option<Exclusion>>,
    pub(super) filtered: Vec<FilterEntry>,
}

/// Why nothing was recorded.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// The body is wrong.
    #[error("the job is not valid: {} fault(s)", .0.len())]
    Faults(Vec<Fault>),
    /// Some hosts are in a cloud without proxy: the whole request fails, with these entries only.
    #[error("a cloud has no proxy")]
    NoProxy(Vec<FilterEntry>),
    /// No host was accepted.
    #[error("no host was accepted")]
    AllFiltered(Vec<FilterEntry>),
    /// It could not be decided or recorded.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl From<StoreError> for Rejection {
    fn from(error: StoreError) -> Self {
        Self::Service(error.into())
    }
}

impl Rejection {
    /// The published envelope of this answer.
    #[must_use]
    pub fn envelope(&self, language: Language) -> Envelope {
        match self {
            Self::Faults(faults) => Envelope::faults(faults, language),
            Self::NoProxy(entries) => Envelope::filtered(code::NO_PROXY, entries, language),
            Self::AllFiltered(entries) => Envelope::filtered(code::ALL_FILTERED, entries, language),
            Self::Service(error) => Envelope::internal(&error.to_string()),
        }
    }
}

/// Will a later release take the host?
pub(super) fn is_for_later(exclusion: &Exclusion) -> bool {
    exclusion.exception == Exception::Unsupported
}

impl Service {
    /// Checks a body, admits its hosts and records the job. When this returns, nothing of it can be lost.
    ///
    /// # Errors
    /// [`Rejection`]; nothing was recorded then.
    pub async fn submit(&self, body: &Value, caller: &Caller) -> Result<Accepted, Rejection> {
        let Recorded { job, filtered } = self.record(body, caller).await?;
        let lease = self.store.hold(job).await?;
        Ok(Accepted { job, lease, filtered })
    }

    /// [`Self::submit`] without taking the job for this process.
    ///
    /// # Errors
    /// [`Rejection`]; nothing was recorded then.
    pub async fn record(&self, body: &Value, caller: &Caller) -> Result<Recorded, Rejection> {
        let Admitted { request, excluded, filtered } = self.examine(body, caller).await?;
        let kind = request.spec.kind;
        let job = self.store.create_job(self.new_job(request, excluded, caller), self.engine.now()).await?;
        meters::job_accepted(kind);
        Ok(Recorded { job, filtered })
    }

    /// Everything of a submission but the recording: `check` stops here.
    pub(super) async fn examine(&self, body: &Value, caller: &Caller) -> Result<Admitted, Rejection> {
        let mut admitted = self.consider(body, caller).await?;
        if admitted.excluded.iter().all(Option::is_some) {
            return Err(Rejection::AllFiltered(admitted.filtered));
        }
        self.check_package(&mut admitted.request).await?;
        Ok(admitted)
    }

    /// The same, also for hosts that nothing stands against but that this release does not carry it out: `plan` stops here.
    pub(super) async fn examine_plan(&self, body: &Value, caller: &Caller) -> Result<Admitted, Rejection> {
        let mut admitted = self.consider(body, caller).await?;
        if !admitted.excluded.iter().any(|exclusion| exclusion.as_ref().is_none_or(is_for_later)) {
            return Err(Rejection::AllFiltered(admitted.filtered));
        }
        if admitted.excluded.iter().any(Option::is_none) {
            self.check_package(&mut admitted.request).await?;
        }
        Ok(admitted)
    }

    /// Checks a body and admits its hosts.
    async fn consider(&self, body: &Value, caller: &Caller) -> Result<Admitted, Rejection> {
        let mut faults: Vec<Fault> = self.replaced_fault(body).await?.into_iter().collect();
        let sources = self.with_opened(body, &caller.sources).await?;
        let request = request::parse(body, &self.site, &sources);
        let mut request = match request {
            Ok(request) if faults.is_empty() => request,
            Ok(_) => return Err(Rejection::Faults(faults)),
            Err(more) => {
                faults.splice(..0, more);
                return Err(Rejection::Faults(faults));
            }
        };
        let excluded = self.admit(&mut request, &caller.grant).await?;
        let entry = |index: usize, exclusion: &Exclusion| {
            request.hosts.get(index).map(|host| FilterEntry::new(&host.spec, &self.site, exclusion, caller.language))
        };
        let entries = |only: Option<Exception>| -> Vec<FilterEntry> {
            let chosen = excluded.iter().enumerate().filter_map(|(index, exclusion)| {
                exclusion
                    .as_ref()
                    .filter(|exclusion| only.is_none_or(|only| only == exclusion.exception))
                    .and_then(|exclusion| entry(index, exclusion))
            });
            chosen.collect()
        };
        let no_proxy = entries(Some(Exception::NoProxy));
        if !no_proxy.is_empty() && !self.site.partial_no_proxy {
            return Err(Rejection::NoProxy(no_proxy));
        }
        let filtered = entries(None);
        Ok(Admitted { request, excluded, filtered })
    }

    /// A proxy that is replaced has to be known as one.
    async fn replaced_fault(&self, body: &Value) -> Result<Option<Fault>, ServiceError> {
        let Some(id) = request::replaces(body) else { return Ok(None) };
        if self.site.proxy_numbered(id).is_some() {
            return Ok(None);
        }
        let message = match self.store.known_hosts(Known::Numbered(&[id])).await?.first() {
            Some(row) => format!("host {id} ({}) is an agent, no proxy", row.address),
            None => format!("there is no host {id} in the inventory"),
        };
        Ok(Some(Fault { path: "replace_host_id".into(), message, code: code::NO_HOST }))
    }

    /// Settles which package the job is about, as far as that can be known before the hosts are.
    async fn check_package(&self, request: &mut Request) -> Result<(), Rejection> {
        let spec = &mut request.spec;
        if !spec.kind.installs() {
            return Ok(());
        }
        let index = self.packages.list().await.map_err(ServiceError::from)?;
        let default = self.site.default_package.get(spec.kind.role().word()).map(String::as_str);
        spec.package = plan::choose::settle(&index, spec.kind.role(), &spec.package, default)
            .map_err(|message| Rejection::Faults(vec![Fault { path: "package".into(), message, code: code::INVALID }]))?;
        Ok(())
    }

    pub(super) fn new_job(&self, request: Request, excluded: Vec<Option<Exclusion>>, caller: &Caller) -> NewJob {
        let outline = plan::outline::outline(request.spec.kind, self.site.limits.script_timeout_s);
        let touches_host = request.spec.kind.touches_host();
        let hosts = request.hosts.into_iter().zip(excluded).map(|(host, exclusion)| NewHost {
            id: TaskId(Uuid::now_v7()),
            credential: host.credential.filter(|_| exclusion.is_none() && touches_host),
            spec: self.task_spec(host.spec, &outline),
            exclusion,
        });
        let created_by = request.username.unwrap_or_else(|| caller.by.asker.user.clone());
        NewJob { hosts: hosts.collect(), created_by, by: caller.by.clone(), served: caller.served, spec: request.spec }
    }

    /// A host with what the site says of it.
    pub(super) fn task_spec(&self, host: HostSpec, outline: &[Step]) -> TaskSpec {
        let points = self.site.access_points();
        let mut access_point = points.iter().find(|point| point.id == host.ap_id).cloned().unwrap_or_default();
        if let Some(channel) = host.install_channel_id.and_then(|id| self.site.channel(id)) {
            channel.stands_in_for(&mut access_point);
        }
        TaskSpec {
            access_point,
            cloud_name: self.site.cloud(host.bk_cloud_id).map(|cloud| cloud.name.clone()).unwrap_or_default(),
            outline: outline.to_vec(),
            host,
        }
    }
}
