//! The ways into zones: which gateway a host is taken through, and which are left alone for a while because they failed.
//!
//! ```text
//! host ─► leads into its cloud, or its install channel ─► the least loaded gateway that is well
//!                                                           │ fails ─► left for 2 s, 4 s … 60 s; a login that it refuses: 10 min
//!                                                           └────────► the next one, at once
//! ```
//! Many hosts see one failure: it counts once. When its pause is over, one host tries a gateway for all others; until that
//! went well nobody follows. One that only takes no more logins for now (MaxStartups) is asked again after 15 s at the latest.
//!
//! Never here: connections (`transport`), reading logins of gateways (who composes the parts). To add a kind of way: a variant
//! of [`Leads`].

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::bucket::Bucket;
use crate::domain::failure::{Code, Failure};
use crate::domain::host::HostSpec;
use crate::domain::package::Role;
use crate::transport::{ForwardError, Gateway, Process, ReplacedKey, Session, Sftp, Stream, TransportError};

/// First and longest time that a gateway which failed is left alone; doubled with every failure.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// One that is full says when it is not by taking us: asking that seldom is no burden to it.
const LONGEST_BUSY_PAUSE: Duration = Duration::from_secs(15);

/// One that refused our login: another try soon would only count against the account.
const REFUSED_PAUSE: Duration = Duration::from_secs(600);

/// Where a gateway leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Leads {
    /// Into a cloud: a proxy of it.
    Cloud(i64),
    /// To the hosts of an install channel: one of its jump servers.
    Channel(i64),
}

impl Leads {
    /// What a host has to be taken through; `None`: it is reached directly, as proxies are, which are the way themselves.
    #[must_use]
    pub fn of(host: &HostSpec, role: Role) -> Option<Self> {
        match host.install_channel_id {
            Some(id) if id != -1 => Some(Self::Channel(id)),
            _ => (host.bk_cloud_id != 0 && role == Role::Agent).then_some(Self::Cloud(host.bk_cloud_id)),
        }
    }
}

/// A gateway that the site declares.
#[derive(Clone, Debug)]
pub struct KnownGateway {
    /// Where it leads.
    pub leads: Leads,
    /// The gateway, or why it cannot be used: a login that cannot be read.
    pub gateway: Result<Arc<Gateway>, String>,
}

/// All gateways, and how they are.
pub struct Gateways {
    known: Vec<Known>,
    states: Arc<Mutex<HashMap<usize, State>>>,
}

struct Known {
    leads: Leads,
    gateway: Result<Arc<Gateway>, String>,
    /// Its own, and those of the gateways before it.
    bandwidth: Bandwidth,
}

/// Payload budgets on the way to a host; the tightest wins.
pub(super) type Bandwidth = Arc<[Arc<Bucket>]>;

#[derive(Default)]
struct State {
    /// Sessions through it.
    hosts: usize,
    /// Failures since it last worked, each counted once, however many hosts saw it.
    failures: u32,
    /// Left alone until then.
    until: Option<Instant>,
    /// A host finds out whether it works again.
    on_trial: bool,
    /// What happened last.
    cause: String,
    /// What kind of trouble that was.
    trouble: Trouble,
}

/// What is to be expected of a gateway that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Trouble {
    /// It may be repaired any time.
    #[default]
    Broken,
    /// It is full, and will take us again.
    Busy,
    /// It does not let us in, until a person has done something about it.
    Final,
}

impl Trouble {
    fn of(cause: &TransportError) -> Self {
        match root(cause) {
            cause if cause.is_busy() => Self::Busy,
            cause if cause.is_final() => Self::Final,
            _ => Self::Broken,
        }
    }

    /// How long it is left alone after so many failures.
    fn pause(self, failures: u32) -> Duration {
        let doubled = FIRST_PAUSE * 2_u32.saturating_pow(failures.min(10) - 1);
        match self {
            Self::Broken => LONGEST_PAUSE.min(doubled),
            Self::Busy => LONGEST_BUSY_PAUSE.min(doubled),
            Self::Final => REFUSED_PAUSE,
        }
    }
}

impl State {
    /// May a host be taken through it?
    fn is_open(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until <= now && !self.on_trial)
    }
}

/// The gateway a host is taken through.
pub(super) struct Chosen {
    index: usize,
    /// What it is.
    pub(super) gateway: Arc<Gateway>,
    /// The payload budgets on this way.
    pub(super) bandwidth: Bandwidth,
    /// Its failures when it was chosen.
    failures: u32,
    load: Load,
}

/// One session through a gateway, as long as it lives.
struct Load {
    index: usize,
    /// Is it the one that finds out whether the gateway works again?
    on_trial: bool,
    states: Arc<Mutex<HashMap<usize, State>>>,
}

impl Drop for Load {
    fn drop(&mut self) {
        if let Some(state) = lock(&self.states).get_mut(&self.index) {
            state.hosts = state.hosts.saturating_sub(1);
            if self.on_trial {
                state.on_trial = false;
            }
        }
    }
}

fn lock(states: &Mutex<HashMap<usize, State>>) -> MutexGuard<'_, HashMap<usize, State>> {
    states.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gateways {
    /// Those gateways; each with a payload budget of `mb_per_s`, 0 for none.
    #[must_use]
    pub fn new(known: Vec<KnownGateway>, mb_per_s: u32) -> Self {
        // One machine has one budget, however many ways lead through it.
        let mut budgets: HashMap<(IpAddr, u16), Arc<Bucket>> = HashMap::new();
        let mut of = |gateway: &Gateway| -> Bandwidth {
            let hops = std::iter::successors(Some(gateway), |hop| hop.target.via.as_deref());
            let budget = |hop: &Gateway| {
                let place = (hop.target.dial, hop.target.port);
                let new = || Bucket::new(mb_per_s).map(Arc::new);
                budgets.get(&place).cloned().or_else(|| new().inspect(|new| drop(budgets.insert(place, new.clone()))))
            };
            hops.filter_map(budget).collect()
        };
        let with_budget = |KnownGateway { leads, gateway }| {
            let bandwidth = gateway.as_deref().map(&mut of).unwrap_or_default();
            Known { leads, gateway, bandwidth }
        };
        Self { known: known.into_iter().map(with_budget).collect(), states: Arc::default() }
    }

    /// The least loaded of those that lead there, are well, and are not among `tried`.
    pub(super) fn choose(&self, leads: Leads, tried: &[usize]) -> Option<Chosen> {
        let now = Instant::now();
        let mut states = lock(&self.states);
        let open = self
            .leading(leads)
            .filter(|(index, _)| !tried.contains(index) && states.get(index).is_none_or(|state| state.is_open(now)));
        let usable = open.filter_map(|(index, known)| Some((index, known.gateway.as_ref().ok()?, known)));
        let load = |index: &usize| states.get(index).map_or(0, |state| state.hosts);
        let (index, gateway, known) = usable.min_by_key(|(index, ..)| load(index))?;
        let state = states.entry(index).or_default();
        state.hosts += 1;
        let on_trial = state.failures > 0;
        state.on_trial |= on_trial;
        let load = Load { index, on_trial, states: self.states.clone() };
        let bandwidth = known.bandwidth.clone();
        Some(Chosen { index, gateway: gateway.clone(), bandwidth, failures: state.failures, load })
    }

    /// Has nothing been heard against it since it was chosen? A host may have waited for its turn meanwhile.
    pub(super) fn is_well(&self, chosen: &Chosen) -> bool {
        lock(&self.states).get(&chosen.index).is_some_and(|state| state.failures <= chosen.failures)
    }

    /// It failed, or refused to forward: it is left alone for a while.
    pub(super) fn failed(&self, chosen: &Chosen, cause: &TransportError) {
        let mut states = lock(&self.states);
        let state = states.entry(chosen.index).or_default();
        if state.failures != chosen.failures {
            return;
        }
        state.failures += 1;
        state.trouble = Trouble::of(cause);
        let pause = state.trouble.pause(state.failures);
        state.until = Some(Instant::now() + pause);
        let (gateway, told) = (chosen.gateway.target.endpoint(), cause.to_string());
        // Most of what can happen says by itself where it did.
        state.cause = if told.contains(&gateway) { told } else { format!("{gateway}: {told}") };
        tracing::warn!(gateway = chosen.gateway.target.endpoint(), %cause, pause_s = pause.as_secs(), "a gateway is left alone");
    }

    /// It works.
    pub(super) fn works(&self, chosen: &mut Chosen) {
        chosen.load.on_trial = false;
        if let Some(state) = lock(&self.states).get_mut(&chosen.index) {
            (state.failures, state.until, state.on_trial) = (0, None, false);
        }
    }

    /// Why a host gets no gateway.
    pub(super) fn none(&self, leads: Leads) -> Failure {
        let what = match leads {
            Leads::Cloud(id) => format!("cloud {id} through any of its proxies"),
            Leads::Channel(id) => format!("the hosts of install channel {id} through any of its jump servers"),
        };
        let states = lock(&self.states);
        let usable: Vec<usize> = self.leading(leads).filter(|(_, known)| known.gateway.is_ok()).map(|(index, _)| index).collect();
        if usable.is_empty() {
            let unreadable = self.leading(leads).filter_map(|(_, known)| known.gateway.as_ref().err());
            let failure = Failure::new(Code::NoGateway, format!("there is no way to reach {what}: none has a login"));
            return unreadable.fold(failure, |failure, why| failure.because(why));
        }
        let told: Vec<&State> =
            usable.iter().filter_map(|index| states.get(index)).filter(|state| !state.cause.is_empty()).collect();
        let is = |trouble: Trouble| move |state: &&State| state.trouble == trouble;
        let code = if told.iter().any(is(Trouble::Busy)) {
            // One that will take us is worth waiting for, and that is no try of the host's.
            Code::ServerBusy
        } else if told.len() == usable.len() && told.iter().all(is(Trouble::Final)) {
            Code::GatewayLoginRefused
        } else {
            Code::GatewaysRefused
        };
        let failure = Failure::new(code, format!("there is no way to reach {what} right now"));
        told.iter().fold(failure, |failure, state| failure.because(&state.cause))
    }

    fn leading(&self, leads: Leads) -> impl Iterator<Item = (usize, &Known)> {
        self.known.iter().enumerate().filter(move |(_, known)| known.leads == leads)
    }
}

impl Chosen {
    /// Its place among `tried`.
    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// A session that counts as one of this gateway's as long as it lives.
    pub(super) fn carry(self, session: Box<dyn Session>) -> Box<dyn Session> {
        Box::new(Carried { session, _load: self.load })
    }
}

/// Is it the gateway that failed, and how?
pub(super) fn blames_gateway(error: &TransportError) -> Option<&TransportError> {
    match error {
        TransportError::Gateway { cause, .. } => Some(cause),
        _ => None,
    }
}

/// What went wrong at the first gateway of a chain that failed.
fn root(error: &TransportError) -> &TransportError {
    std::iter::successors(Some(error), |error| blames_gateway(error)).last().unwrap_or(error)
}

/// A session through a gateway.
struct Carried {
    session: Box<dyn Session>,
    _load: Load,
}

#[async_trait]
impl Session for Carried {
    async fn exec(&mut self, line: Vec<u8>) -> Result<Box<dyn Process>, TransportError> {
        self.session.exec(line).await
    }

    async fn exec_on_terminal(&mut self, line: Vec<u8>) -> Result<Box<dyn Process>, TransportError> {
        self.session.exec_on_terminal(line).await
    }

    async fn sftp(&mut self) -> Result<Box<dyn Sftp>, TransportError> {
        self.session.sftp().await
    }

    async fn forward(&mut self, host: &str, port: u16) -> Result<Box<dyn Stream>, ForwardError> {
        self.session.forward(host, port).await
    }

    fn replaced_key(&self) -> Option<ReplacedKey> {
        self.session.replaced_key()
    }

    async fn close(self: Box<Self>) {
        self.session.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::credential::Auth;
    use crate::domain::host::Address;
    use crate::transport::{Login, Target};

    const ZONE: Leads = Leads::Cloud(2);

    fn gateway(last: u8) -> KnownGateway {
        let dial = [192, 0, 2, last].into();
        let target =
            Target { address: Address { cloud: 2, ip: dial }, dial, port: 22, legacy: false, accepts_new_key: false, via: None };
        let login = Login { account: "root".into(), auth: Auth::Password("x".into()) };
        KnownGateway { leads: ZONE, gateway: Ok(Arc::new(Gateway { target, login })) }
    }

    fn last(chosen: &Chosen) -> String {
        chosen.gateway.target.endpoint()
    }

    fn lost() -> TransportError {
        TransportError::Lost { endpoint: "g".into(), cause: "it was closed".into() }
    }

    #[tokio::test(start_paused = true)]
    async fn hosts_are_spread_and_a_session_that_ends_gives_its_place_back() {
        let gateways = Gateways::new(vec![gateway(1), gateway(2)], 0);
        let held: Vec<Chosen> = (0..4).filter_map(|_| gateways.choose(ZONE, &[])).collect();
        let told: Vec<String> = held.iter().map(last).collect();
        assert_eq!(told, ["192.0.2.1:22", "192.0.2.2:22", "192.0.2.1:22", "192.0.2.2:22"]);
        drop(held);
        assert_eq!(gateways.choose(ZONE, &[]).as_ref().map(last).as_deref(), Some("192.0.2.1:22"));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_failed_is_left_for_another_and_comes_back() {
        let gateways = Gateways::new(vec![gateway(1), gateway(2)], 0);
        let first = gateways.choose(ZONE, &[]).unwrap();
        gateways.failed(&first, &lost());
        for _ in 0..3 {
            assert_eq!(gateways.choose(ZONE, &[]).as_ref().map(last).as_deref(), Some("192.0.2.2:22"));
        }
        assert!(gateways.choose(ZONE, &[1]).is_none(), "the only other one was tried already");
        tokio::time::advance(FIRST_PAUSE).await;
        assert!(gateways.choose(ZONE, &[1]).is_some());
        let again = gateways.choose(ZONE, &[1]).unwrap();
        gateways.failed(&again, &lost());
        tokio::time::advance(FIRST_PAUSE).await;
        assert!(gateways.choose(ZONE, &[1]).is_none(), "the pause has doubled");
    }

    #[tokio::test(start_paused = true)]
    async fn what_many_hosts_see_is_one_failure() {
        let gateways = Gateways::new(vec![gateway(1)], 0);
        let hosts: Vec<Chosen> = (0..20).filter_map(|_| gateways.choose(ZONE, &[])).collect();
        for (host, well) in hosts.iter().zip([true].into_iter().chain(std::iter::repeat(false))) {
            assert_eq!(gateways.is_well(host), well, "those who still wait for their turn need not try it");
            gateways.failed(host, &lost());
        }
        tokio::time::advance(FIRST_PAUSE).await;
        assert!(gateways.choose(ZONE, &[]).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn one_host_finds_out_for_all_whether_a_gateway_works_again() {
        let gateways = Gateways::new(vec![gateway(1), gateway(2)], 0);
        gateways.failed(&gateways.choose(ZONE, &[]).unwrap(), &lost());
        tokio::time::advance(FIRST_PAUSE).await;
        let scout = gateways.choose(ZONE, &[]).unwrap();
        let follower = gateways.choose(ZONE, &[]).unwrap();
        assert_eq!([&scout, &follower].map(last), ["192.0.2.1:22", "192.0.2.2:22"]);
        drop(scout);
        let mut scout = gateways.choose(ZONE, &[]).unwrap();
        assert_eq!(last(&scout), "192.0.2.1:22", "one that gave up leaves the question to another");
        gateways.works(&mut scout);
        assert_eq!(gateways.choose(ZONE, &[1]).as_ref().map(last).as_deref(), Some("192.0.2.1:22"));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_full_is_waited_for() {
        let gateways = Gateways::new(vec![gateway(1)], 0);
        for _ in 0..6 {
            let chosen = gateways.choose(ZONE, &[]).unwrap();
            gateways.failed(&chosen, &TransportError::Busy { endpoint: "g".into(), cause: "it says so".into() });
            let failure = gateways.none(ZONE);
            assert_eq!(failure.code, "server_busy");
            assert!(failure.to_string().contains("192.0.2.1:22: g takes no connection for now"), "{failure}");
            tokio::time::advance(LONGEST_BUSY_PAUSE).await;
        }
    }

    #[test]
    fn a_budget_belongs_to_a_machine_whichever_way_leads_through_it() {
        let jump = |last: u8, via: &KnownGateway| {
            let mut jump = Gateway::clone(gateway(last).gateway.as_ref().unwrap());
            jump.target.via = via.gateway.clone().ok();
            KnownGateway { leads: Leads::Channel(5), gateway: Ok(Arc::new(jump)) }
        };
        let proxy = gateway(1);
        let gateways = Gateways::new(vec![proxy.clone(), gateway(2), jump(3, &proxy), jump(4, &proxy)], 10);
        let budgets: Vec<&[Arc<Bucket>]> = gateways.known.iter().map(|known| &*known.bandwidth).collect();
        let [first, second, third, fourth] = budgets[..] else { panic!("four gateways") };
        assert_eq!([first, second, third, fourth].map(<[_]>::len), [1, 1, 2, 2]);
        assert!(Arc::ptr_eq(&first[0], &third[1]) && Arc::ptr_eq(&third[1], &fourth[1]));
        assert!(!Arc::ptr_eq(&third[0], &fourth[0]) && !Arc::ptr_eq(&first[0], &second[0]));
        assert!(Gateways::new(vec![proxy], 0).known[0].bandwidth.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_login_is_not_repeated_soon_whoever_of_a_chain_refused_it() {
        let refusal = || TransportError::Refusal { endpoint: "g".into(), method: "password", account: "root".into() };
        for refusal in [refusal(), TransportError::Gateway { gateway: "first".into(), cause: Arc::new(refusal()) }] {
            let gateways = Gateways::new(vec![gateway(1)], 0);
            let chosen = gateways.choose(ZONE, &[]).unwrap();
            gateways.failed(&chosen, &refusal);
            tokio::time::advance(LONGEST_PAUSE * 2).await;
            assert!(gateways.choose(ZONE, &[]).is_none());
            let failure = gateways.none(ZONE);
            assert_eq!(failure.code, "gateway_login_refused", "nothing to wait for");
            let told = failure.to_string();
            assert!(told.contains("192.0.2.1:22: ") && told.contains("g refused the password"), "{failure}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn as_long_as_one_gateway_may_come_back_it_is_waited_for() {
        let gateways = Gateways::new(vec![gateway(1), gateway(2)], 0);
        let refusal = TransportError::Refusal { endpoint: "192.0.2.1:22".into(), method: "key", account: "root".into() };
        gateways.failed(&gateways.choose(ZONE, &[]).unwrap(), &refusal);
        gateways.failed(&gateways.choose(ZONE, &[]).unwrap(), &lost());
        let failure = gateways.none(ZONE);
        assert_eq!(failure.code, "gateways_refused");
        assert_eq!(failure.causes[0], refusal.to_string(), "the gateway is named once");
    }

    #[test]
    fn without_a_usable_gateway_the_reason_is_told() {
        let unreadable = KnownGateway { leads: ZONE, gateway: Err("proxy[0].key: no such file".into()) };
        for (known, reason) in [(vec![], ""), (vec![unreadable], "no such file")] {
            let failure = Gateways::new(known, 0).none(ZONE);
            assert_eq!(failure.code, "no_gateway");
            assert!(failure.to_string().contains(reason), "{failure}");
        }
    }
}
