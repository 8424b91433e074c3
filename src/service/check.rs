//! What a job would meet on its hosts: log in once, probe, tell. Nothing on them changes and no job is recorded.

use std::net::IpAddr;

use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc;

use super::submit::{Admitted, Caller, Rejection};
use super::{Service, Stop};
use crate::domain::admission::Exclusion;
use crate::domain::finding::{Finding, Verdict};
use crate::domain::job::JobKind;
use crate::engine::check::Visit;
use crate::plan::outline;
use crate::plan::task::{self, Place};
use crate::store::NewHost;

/// A host as it was found, or as it will be looked at.
#[derive(Clone, Debug, Serialize)]
pub struct HostCheck {
    /// Inner address.
    pub ip: Option<IpAddr>,
    /// Its cloud.
    pub bk_cloud_id: i64,
    /// Would a job get through? `null` as long as that is not known.
    pub ready: Option<bool>,
    /// Why a job would leave it out.
    #[serde(flatten)]
    pub exclusion: Option<Exclusion>,
    /// What was found, one entry or more for each subject.
    pub findings: Vec<Finding>,
}

impl HostCheck {
    /// Takes what was found.
    pub fn take(&mut self, findings: Vec<Finding>) {
        self.ready = Some(findings.iter().all(|finding| finding.verdict < Verdict::Failed));
        self.findings = findings;
    }
}

/// A look that was begun.
#[derive(Debug)]
pub struct Checking {
    /// The kind of the job that would be done.
    pub job_type: JobKind,
    /// Its hosts, in the order of the request.
    pub list: Vec<HostCheck>,
    /// Findings as hosts are done, each with the position of its host in `list`.
    pub findings: mpsc::Receiver<(usize, Vec<Finding>)>,
}

impl Service {
    /// Begins to look at the hosts of a job. `stop` lets go of those that are not done.
    ///
    /// # Errors
    /// [`Rejection`], as for [`Service::submit`].
    pub async fn check(&self, body: &Value, caller: &Caller, stop: Stop) -> Result<Checking, Rejection> {
        let Admitted { request, excluded, replaced, carrying, .. } = self.examine(body, caller).await?;
        let place = Place { site: &self.site, kind: request.spec.kind, carrying: &carrying };
        let outline = outline::outline(request.spec.kind, self.site.limits.script_timeout_s);
        let (mut list, mut visits, mut places) = (Vec::new(), Vec::new(), Vec::new());
        let touches_host = request.spec.kind.touches_host();
        for (host, exclusion) in request.hosts.into_iter().zip(excluded) {
            let (ip, bk_cloud_id) = (host.spec.address().map(|address| address.ip), host.spec.bk_cloud_id);
            // Where the job would not go, nobody is called, and no login is offered.
            let is_visited = exclusion.is_none() && touches_host && !host.spec.is_manual;
            if is_visited {
                places.push(list.len());
                visits.push(Visit { task: task::spec(&place, host.spec, &outline), credential: host.credential });
            }
            let ready = (!is_visited).then_some(exclusion.is_none());
            list.push(HostCheck { ip, bk_cloud_id, ready, exclusion, findings: Vec::new() });
        }
        if let Some(replaced) = replaced {
            let (ip, bk_cloud_id) = (Some(replaced.address.ip), replaced.address.cloud);
            let NewHost { spec, credential, .. } = self.retired(replaced, request.spec.repoint_agents);
            places.push(list.len());
            visits.push(Visit { task: spec, credential });
            list.push(HostCheck { ip, bk_cloud_id, ready: None, exclusion: None, findings: Vec::new() });
        }
        let findings = self.engine.check(request.spec.clone(), visits.into_iter().zip(places).collect(), stop);
        Ok(Checking { job_type: request.spec.kind, list, findings })
    }
}
