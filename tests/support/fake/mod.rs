//! A fleet of hosts without a network: they obey the contract of the programs on a target (`scripts/README.md`) in virtual
//! time, and each can be given troubles, one line each:
//!
//! ```text
//! host.fault(Ask::Connect, ..2, Trouble::Refused)       the first two connects
//! host.fault(Ask::Follow, 1.., Trouble::Silence)        every follow but the first
//! ```
//! A host notes what was asked of it and what the contract forbids ([`Host::breaches`]). To add a trouble: a variant of
//! [`Trouble`], its arm where it strikes (`session` for the link, `programs` for what the host does).

#![allow(dead_code, reason = "every test binary uses its own part of this")]

mod machine;
mod programs;
mod session;

use std::net::{IpAddr, Ipv4Addr};
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use landfall::domain::plan::StepKind;
use tokio::time::Instant;

pub use crate::asks::Ask;
use machine::Machine;
pub use machine::{PASSWORD, Transfer};
pub use session::Wire;

/// What goes wrong with one ask.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trouble {
    /// Nothing listens there.
    Refused,
    /// It is full, and says so.
    Busy,
    /// The connection is lost before anything was done.
    Lost,
    /// It was done, and the connection is lost instead of the answer.
    LostAfter,
    /// The connection is lost when so many bytes of a payload arrived.
    LostAt(u64),
    /// The connection is lost after that time.
    LostIn(Duration),
    /// There is never any sign.
    Silence,
    /// After that time there is no further sign, though the connection stands.
    SilentIn(Duration),
    /// A signal ends the program before it says anything.
    Killed,
    /// All is done and said, and the program's exit code is not told.
    NoStatus,
    /// The answer is this word, and nothing is done.
    Says(&'static str),
    /// One byte arrives changed.
    Corrupt,
    /// The end of a run is told before the last bytes of its log come.
    WordFirst,
    /// sshd does not forward.
    NotAllowed,
    /// The transport itself breaks.
    Panic,
}

/// How the account becomes root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sudo {
    /// It is root.
    #[default]
    NotNeeded,
    /// Without a password.
    Free,
    /// With this one.
    Password(&'static str),
    /// Not at all.
    Refused,
}

/// How the agent behaves once it is started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Agent {
    /// Answers with this status, after that time.
    #[default]
    Well,
    /// Answers 200 after that time.
    WellAfter(Duration),
    /// Runs, and listens nowhere.
    Silent,
    /// Accepts, and says nothing.
    Mute,
    /// Answers 500.
    Unwell,
    /// Does not even run.
    Dead,
    /// Ends when it is asked.
    DiesWhenAsked,
    /// Is started again by somebody when it is asked.
    RestartsWhenAsked,
}

/// How a script run goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Script {
    pub takes: Duration,
    pub ends: Ends,
    /// Does a kill end it?
    pub killable: bool,
}

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    Exit(i32),
    /// Its process is gone and there is no exit code.
    Vanishes,
    /// The host goes down, and is back after that time with another boot id.
    Reboots(Duration),
    Never,
}

impl Script {
    pub fn takes(seconds: u64) -> Self {
        Self { takes: Duration::from_secs(seconds), ends: Ends::Exit(0), killable: true }
    }

    pub fn ends(self, ends: Ends) -> Self {
        Self { ends, ..self }
    }

    pub fn unkillable(self) -> Self {
        Self { killable: false, ..self }
    }
}

/// One ask, as the host saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    pub ask: Ask,
    pub at: Instant,
}

/// Says which step the record has as running on a host.
pub type Witness = Box<dyn Fn(IpAddr) -> Option<StepKind> + Send + Sync>;

/// All hosts.
#[derive(Default)]
pub struct Fleet {
    hosts: Vec<Arc<Host>>,
    /// By the cloud they lead into.
    gateways: Mutex<Vec<(i64, Arc<Host>)>>,
    witness: Mutex<Option<Witness>>,
    /// Sessions open.
    pub sessions: Gauge,
    /// Payloads on their way.
    pub uploads: Gauge,
}

/// One host.
pub struct Host {
    pub ip: IpAddr,
    machine: Mutex<Machine>,
}

/// How many are in there, now and at most.
#[derive(Clone, Default)]
pub struct Gauge(Arc<Mutex<(usize, usize)>>);

/// One that is in there.
pub struct Inside(Gauge);

impl Gauge {
    fn enter(&self) -> Inside {
        let mut counts = self.0.lock().unwrap();
        counts.0 += 1;
        counts.1 = counts.1.max(counts.0);
        Inside(self.clone())
    }

    pub fn now(&self) -> usize {
        self.0.lock().unwrap().0
    }

    pub fn most(&self) -> usize {
        self.0.lock().unwrap().1
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).0 -= 1;
    }
}

impl Fleet {
    /// `count` hosts: 10.0.0.1 and following.
    pub fn of(count: usize) -> Self {
        let ip = |index: usize| IpAddr::V4(Ipv4Addr::from(0x0a00_0001 + u32::try_from(index).unwrap()));
        let hosts = (0..count).map(|index| Arc::new(Host { ip: ip(index), machine: Mutex::new(Machine::default()) }));
        Self { hosts: hosts.collect(), ..Self::default() }
    }

    pub fn hosts(&self) -> &[Arc<Host>] {
        &self.hosts
    }

    /// One more gateway into a cloud; its troubles are those of [`Ask::Connect`], asked once for each host.
    pub fn gateway(&self, cloud: i64) -> Arc<Host> {
        let mut gateways = self.gateways.lock().unwrap();
        let ip = IpAddr::V4(Ipv4Addr::new(192, 0, 2, u8::try_from(gateways.len() + 1).unwrap()));
        let gateway = Arc::new(Host { ip, machine: Mutex::new(Machine::default()) });
        gateways.push((cloud, gateway.clone()));
        gateway
    }

    /// All gateways, with the cloud each leads into.
    pub fn gateways(&self) -> Vec<(i64, Arc<Host>)> {
        self.gateways.lock().unwrap().clone()
    }

    /// From now on every ask must be one of the step that the record has as running.
    pub fn witnessed(&self, witness: Witness) {
        *self.witness.lock().unwrap() = Some(witness);
    }

    fn at(&self, ip: IpAddr) -> Option<Arc<Host>> {
        self.hosts.iter().find(|host| host.ip == ip).cloned()
    }

    /// Notes an ask, and gives its trouble.
    fn asked(&self, host: &Host, ask: Ask) -> Option<Trouble> {
        let recorded = self.witness.lock().unwrap().as_ref().map(|witness| witness(host.ip));
        let mut machine = host.lock();
        if let Some(step) = recorded
            && !step.is_some_and(|step| ask.belongs_to(step))
        {
            machine.breaches.push(format!("{ask:?} while the record has {step:?} as running"));
        }
        machine.meets(ask)
    }
}

impl Host {
    fn lock(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives trouble to the asks of these numbers, counted from 0 over the host's whole life.
    pub fn fault(&self, ask: Ask, which: impl RangeBounds<u64>, trouble: Trouble) -> &Self {
        let from = match which.start_bound() {
            Bound::Included(from) => *from,
            Bound::Excluded(from) => from + 1,
            Bound::Unbounded => 0,
        };
        let to = match which.end_bound() {
            Bound::Included(to) => to + 1,
            Bound::Excluded(to) => *to,
            Bound::Unbounded => u64::MAX,
        };
        self.lock().troubles.push((ask, from, to, trouble));
        self
    }

    /// Takes all troubles away.
    pub fn heal(&self) -> &Self {
        self.lock().troubles.clear();
        self
    }

    /// Each run goes as its number says; the last one stands for all that follow.
    pub fn runs(&self, scripts: impl Into<Vec<Script>>) -> &Self {
        self.lock().scripts = scripts.into();
        self
    }

    pub fn agent(&self, agent: Agent) -> &Self {
        self.lock().behaviour = agent;
        self
    }

    /// How a plugin behaves, by the name it has in run ids.
    pub fn plugin(&self, slug: &str, behaviour: Agent) -> &Self {
        self.lock().odd_plugins.insert(slug.into(), behaviour);
        self
    }

    pub fn well_again(&self, slug: &str) -> &Self {
        self.lock().odd_plugins.remove(slug);
        self
    }

    /// Plugins that are installed, and those of them that run.
    pub fn plugins(&self) -> (Vec<String>, Vec<String>) {
        let mut machine = self.lock();
        machine.settle();
        let running = machine.plugins.iter().filter(|(_, plugin)| plugin.pid.is_some()).map(|(slug, _)| slug.clone());
        (machine.plugins.keys().cloned().collect(), running.collect())
    }

    /// How a release behaves that an upgrade brought.
    pub fn upgraded(&self, agent: Agent) -> &Self {
        self.lock().upgraded = agent;
        self
    }

    /// Text of the `landfall.toml` that lies there.
    pub fn installed(&self) -> String {
        let mut machine = self.lock();
        machine.settle();
        machine.installed.as_deref().map(|text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default()
    }

    pub fn sudo(&self, sudo: Sudo) -> &Self {
        self.lock().sudo = sudo;
        self
    }

    /// Every program takes so long before it says its last word.
    pub fn latency(&self, latency: Duration) -> &Self {
        self.lock().latency = latency;
        self
    }

    /// Its password, when it is another one than the job's.
    pub fn password(&self, password: &str) -> &Self {
        self.lock().password = password.into();
        self
    }

    /// It reaches a server, so far away.
    pub fn reaches(&self, server: &str, milliseconds: u64) -> &Self {
        self.lock().servers.insert(server.into(), Duration::from_millis(milliseconds));
        self
    }

    pub fn reaches_no_more(&self, server: &str) -> &Self {
        self.lock().servers.remove(server);
        self
    }

    /// How often that was asked.
    pub fn count(&self, ask: Ask) -> usize {
        self.lock().calls.iter().filter(|call| call.ask == ask).count()
    }

    /// When that was asked.
    pub fn times(&self, ask: Ask) -> Vec<Instant> {
        self.lock().calls.iter().filter(|call| call.ask == ask).map(|call| call.at).collect()
    }

    /// `history.log`: one line per start of a run.
    pub fn history(&self) -> Vec<String> {
        self.lock().history.clone()
    }

    /// Payloads as they came, one entry per put that took bytes.
    pub fn transfers(&self) -> Vec<Transfer> {
        self.lock().transfers.clone()
    }

    /// What was asked of it against the contract.
    pub fn breaches(&self) -> Vec<String> {
        self.lock().breaches.clone()
    }

    /// The whole log of a run, as it is now.
    pub fn log(&self, run_id: &str) -> Vec<u8> {
        let machine = self.lock();
        machine.runs.iter().find(|run| run.id == run_id).map(|run| run.log(Instant::now())).unwrap_or_default()
    }

    /// Is the agent installed, and does its process run?
    pub fn has_agent(&self) -> (bool, bool) {
        let mut machine = self.lock();
        machine.settle();
        (machine.installed.is_some(), machine.pid.is_some())
    }

    /// Names of what lies in the state directory: blobs, stages.
    pub fn leftovers(&self) -> Vec<String> {
        let machine = self.lock();
        machine.blobs.keys().chain(machine.stages.keys()).cloned().collect()
    }
}
