//! Other logins for hosts of a recorded job: read from the words of a job file's hosts, each for the host it names.
//!
//! Never here: what a login is made of (`request::login`), how it is kept (the record's).

use std::collections::HashMap;
use std::net::IpAddr;

use serde_json::Value;

use super::request::{Fault, Fields, GivenLogin, SecretSources, code};
use super::submit::Rejection;
use super::{Service, ServiceError, view};
use crate::domain::host::Address;
use crate::domain::id::{JobId, TaskId};
use crate::domain::job::Status;
use crate::store::{NewLogin, TaskRow};

/// Logins that come in.
#[derive(Clone, Copy, Debug)]
pub struct LoginList<'a> {
    /// An object with `hosts`: each names a host by `instance_id`, by `bk_host_id`, or by `bk_cloud_id` and `inner_ip` or
    /// `inner_ipv6`, and brings any of account, port, auth_type and the secrets.
    pub body: &'a Value,
    /// Where secrets may come from.
    pub sources: &'a SecretSources,
}

/// A host of a job that an entry names.
pub(super) struct Entry<'a> {
    /// Its place among the entries.
    pub(super) index: usize,
    /// The host.
    pub(super) task: &'a TaskRow,
}

impl LoginList<'_> {
    fn entries(&self) -> &[Value] {
        self.body.get("hosts").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }

    /// The hosts that the entries name; entries of hosts that the job does not have are given to `stranger`.
    pub(super) fn named<'a>(
        &self,
        tasks: &'a [TaskRow],
        faults: &mut Vec<Fault>,
        mut stranger: impl FnMut(&mut Fields<'_>),
    ) -> Vec<Entry<'a>> {
        let known = Known::of(tasks);
        let mut first: HashMap<TaskId, usize> = HashMap::new();
        let mut named = Vec::new();
        for (index, entry) in self.entries().iter().enumerate() {
            let path = format!("hosts[{index}]");
            let Some(object) = entry.as_object() else {
                faults.push(Fault { path, message: "must be an object".into(), code: code::INVALID });
                continue;
            };
            let mut fields = Fields::new(object, path, faults);
            let before = fields.faults();
            let Some(name) = Name::read(&mut fields) else {
                if fields.faults() == before {
                    fields.fault("", "needs instance_id, bk_host_id, or bk_cloud_id and inner_ip or inner_ipv6");
                }
                continue;
            };
            match known.find(&name) {
                None => stranger(&mut fields),
                Some(task) => match first.insert(task.id, index) {
                    Some(earlier) => fields.fault("", format!("is the same host as hosts[{earlier}]")),
                    None => named.push(Entry { index, task }),
                },
            }
        }
        named
    }
}

/// How an entry says which host it is about: all that it says.
struct Name {
    instance: Option<String>,
    number: Option<i64>,
    address: Option<Address>,
}

impl Name {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let (instance, number, cloud) = (fields.text("instance_id"), fields.integer("bk_host_id"), fields.integer("bk_cloud_id"));
        let ip = fields.parsed::<IpAddr>("inner_ip", "an IP address").or_else(|| fields.parsed("inner_ipv6", "an IP address"));
        let address = cloud.zip(ip).map(|(cloud, ip)| Address { cloud, ip });
        (instance.is_some() || number.is_some() || address.is_some()).then_some(Self { instance, number, address })
    }
}

/// The hosts of a job by everything they can be named by. Of several, one that can be tried again comes first.
struct Known<'a> {
    instances: HashMap<String, &'a TaskRow>,
    numbers: HashMap<i64, &'a TaskRow>,
    addresses: HashMap<Address, &'a TaskRow>,
}

impl<'a> Known<'a> {
    fn of(tasks: &'a [TaskRow]) -> Self {
        let mut known = Self { instances: HashMap::new(), numbers: HashMap::new(), addresses: HashMap::new() };
        // The last one stays, so those that were left out come first.
        let mut ordered: Vec<&TaskRow> = tasks.iter().collect();
        ordered.sort_by_key(|task| !matches!(task.status, Status::Ignored | Status::Filtered));
        for task in ordered {
            known.instances.insert(view::instance_id(task), task);
            known.addresses.insert(task.address, task);
            if let Some(number) = task.spec.host.bk_host_id {
                known.numbers.insert(number, task);
            }
        }
        known
    }

    fn find(&self, name: &Name) -> Option<&'a TaskRow> {
        let by_instance = name.instance.as_ref().and_then(|instance| self.instances.get(instance));
        let by_number = name.number.and_then(|number| self.numbers.get(&number));
        let by_address = || name.address.and_then(|address| self.addresses.get(&address));
        by_instance.or(by_number).or_else(by_address).copied()
    }
}

impl Service {
    /// What the entries make of the logins of their hosts. Their faults are added to those that are known.
    pub(super) async fn new_logins(
        &self,
        list: LoginList<'_>,
        entries: &[Entry<'_>],
        mut faults: Vec<Fault>,
    ) -> Result<Vec<NewLogin>, Rejection> {
        let sources = self.with_opened(list.body, list.sources).await?;
        let mut logins = Vec::with_capacity(entries.len());
        for Entry { index, task } in entries {
            let Some(object) = list.entries().get(*index).and_then(Value::as_object) else { continue };
            let mut fields = Fields::new(object, format!("hosts[{index}]"), &mut faults);
            let given = GivenLogin::read(&mut fields, &self.site, &sources);
            let mut spec = task.spec.clone();
            let kept = if given.builds_on_kept(&spec.host) {
                self.store.credential(task.id).await.map_err(ServiceError::from)?
            } else {
                None
            };
            let (host, credential) = given.over(spec.host, kept.as_ref(), &mut fields);
            spec.host = host;
            logins.push(NewLogin { task: task.id, spec, credential });
        }
        if faults.is_empty() { Ok(logins) } else { Err(Rejection::Faults(faults)) }
    }

    /// Gives the unfinished hosts of a job that have no login any more the new ones of a list; how many got one. Entries of
    /// other hosts are passed over.
    ///
    /// # Errors
    /// [`ServiceError::NoJob`]; [`Rejection::Faults`]: everything wrong with the entries that are needed.
    pub async fn give_logins(&self, job: JobId, list: LoginList<'_>) -> Result<usize, Rejection> {
        if self.store.job(job).await?.is_none() {
            return Err(ServiceError::NoJob(job).into());
        }
        let tasks = self.store.tasks(job).await?;
        let mut faults = Vec::new();
        let mut lacking = Vec::new();
        for entry in list.named(&tasks, &mut faults, |_| {}) {
            let unfinished = matches!(entry.task.status, Status::Pending | Status::Running);
            if unfinished && self.store.credential(entry.task.id).await?.is_none() {
                lacking.push(entry);
            }
        }
        let logins = self.new_logins(list, &lacking, faults).await?;
        Ok(self.store.give_logins(job, &logins, self.engine.now()).await?.len())
    }
}
