//! Submission: body → checked request → admitted hosts → one recorded job. Nothing is recorded unless all of it is.
//!
//! Never here: waiting for a host. Which hosts are left out: `admit`.

use serde_json::Value;
use uuid::Uuid;

use super::answer::{Envelope, FilterEntry};
use super::replace::Replaced;
use super::request::{self, Fault, Request, SecretSources, code};
use super::{Service, ServiceError};
use crate::domain::admission::{Exception, Exclusion};
use crate::domain::audit::{Action, Asker, Asking};
use crate::domain::caller::Grant;
use crate::domain::host::Address;
use crate::domain::id::{JobId, TaskId};
use crate::domain::site::Language;
use crate::meters;
use crate::plan::{self, task::Place};
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
    /// REPLACE_PROXY: the old proxy.
    pub(super) replaced: Option<Replaced>,
    /// The proxies that carry connections into their clouds.
    pub(super) carrying: Vec<Address>,
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
        let admitted = self.examine(body, caller).await?;
        let by_hand = |host: &request::RequestedHost| host.spec.is_manual && admitted.request.spec.kind.touches_host();
        if let Some(index) = admitted.request.hosts.iter().position(by_hand) {
            let message = "is carried out by a person: `landfall manual` gives the commands".into();
            let path = format!("hosts[{index}].is_manual");
            return Err(Rejection::Faults(vec![Fault { path, message, code: code::INVALID }]));
        }
        let Recorded { job, filtered } = self.note(admitted, caller).await?;
        let lease = self.store.hold(job).await?;
        Ok(Accepted { job, lease, filtered })
    }

    /// [`Self::submit`] without taking the job for this process.
    ///
    /// # Errors
    /// [`Rejection`]; nothing was recorded then.
    pub async fn record(&self, body: &Value, caller: &Caller) -> Result<Recorded, Rejection> {
        let admitted = self.examine(body, caller).await?;
        self.note(admitted, caller).await
    }

    /// [`Self::record`] for hosts that persons install, and for none else.
    ///
    /// # Errors
    /// [`Rejection`]; nothing was recorded then.
    pub async fn record_by_hand(&self, body: &Value, caller: &Caller) -> Result<Recorded, Rejection> {
        let admitted = self.examine(body, caller).await?;
        if let Some(index) = admitted.request.hosts.iter().position(|host| !host.spec.is_manual) {
            let message = "must be true: `landfall run` installs other hosts".into();
            let path = format!("hosts[{index}].is_manual");
            return Err(Rejection::Faults(vec![Fault { path, message, code: code::INVALID }]));
        }
        self.note(admitted, caller).await
    }

    async fn note(&self, admitted: Admitted, caller: &Caller) -> Result<Recorded, Rejection> {
        let (kind, filtered) = (admitted.request.spec.kind, admitted.filtered.clone());
        let job = self.store.create_job(self.new_job(admitted, caller), self.engine.now()).await?;
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
        let (replaced, mut faults) = match self.replaced(body).await? {
            Ok(replaced) => (replaced, Vec::new()),
            Err(fault) => (None, vec![fault]),
        };
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
        if let Some(replaced) = &replaced {
            let faults = self.replacement_faults(&request, replaced);
            if !faults.is_empty() {
                return Err(Rejection::Faults(faults));
            }
        }
        let mut excluded = self.admit(&mut request, &caller.grant).await?;
        if let Some(replaced) = &replaced {
            self.replaced_is_free(replaced, &caller.grant, &mut excluded).await?;
        }
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
        let carrying = self.carrying().await?;
        Ok(Admitted { request, excluded, filtered, replaced, carrying })
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

    pub(super) fn new_job(&self, admitted: Admitted, caller: &Caller) -> NewJob {
        let Admitted { request, excluded, replaced, carrying, .. } = admitted;
        let place = Place { site: &self.site, kind: request.spec.kind, carrying: &carrying };
        let outline = plan::outline::outline(request.spec.kind, self.site.limits.script_timeout_s);
        let kind = request.spec.kind;
        let touches_host = kind.touches_host();
        let hosts = request.hosts.into_iter().zip(excluded).map(|(host, exclusion)| NewHost {
            id: TaskId(Uuid::now_v7()),
            credential: host.credential.filter(|_| exclusion.is_none() && touches_host),
            spec: plan::task::spec(&place, host.spec, &outline),
            exclusion,
        });
        let retired = replaced.map(|replaced| self.retired(replaced, request.spec.repoint_agents));
        let hosts = hosts.chain(retired);
        let created_by = request.username.unwrap_or_else(|| caller.by.asker.user.clone());
        NewJob { hosts: hosts.collect(), created_by, by: caller.by.clone(), served: caller.served, spec: request.spec }
    }
}
