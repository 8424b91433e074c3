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
//! Which there are, the roster knows: it is looked at anew while hosts are taken into zones, so that a proxy that a job
//! installed or replaced counts for every executor.
//!
//! Never here: connections (`transport`), reading logins of gateways (who composes the parts). To add a kind of way: a variant
//! of [`Leads`].

mod carried;
pub mod roster;
mod trouble;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::time::Instant;

use self::carried::Carried;
use self::roster::{MakeGateways, Roster, Seen};
use self::trouble::Trouble;
use super::bucket::Bucket;
use crate::domain::failure::{Code, Failure};
use crate::domain::host::HostSpec;
use crate::domain::id::TaskId;
use crate::domain::package::Role;
use crate::transport::{Gateway, Session, TransportError};

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

/// A gateway that the site declares, or that a job installed.
#[derive(Clone, Debug)]
pub struct KnownGateway {
    /// Whose login it is; another one, and how it was so far says nothing. None: the site file's.
    pub version: Option<TaskId>,
    /// 0 for what is taken first: another address of the same machine comes only when nothing before it is well.
    pub rank: usize,
    /// Where it leads.
    pub leads: Leads,
    /// The gateway, or why it cannot be used: a login that cannot be read.
    pub gateway: Result<Arc<Gateway>, String>,
}

/// All gateways, and how they are.
pub struct Gateways {
    make: MakeGateways,
    known: RwLock<Arc<[Arc<Known>]>>,
    /// One machine has one budget, however many ways lead through it.
    budgets: Mutex<HashMap<(IpAddr, u16), Arc<Bucket>>>,
    mb_per_s: u32,
    seen: tokio::sync::Mutex<Seen>,
    /// Who chooses sees what those before him chose.
    turn: Mutex<()>,
}

/// A gateway, and how it is.
pub(super) struct Known {
    leads: Leads,
    version: Option<TaskId>,
    rank: usize,
    gateway: Result<Arc<Gateway>, String>,
    /// Its own, and those of the gateways before it.
    bandwidth: Bandwidth,
    state: Mutex<State>,
}

impl Known {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Is that the same way with the same login?
    fn is(&self, other: &KnownGateway) -> bool {
        let endpoint = |gateway: &Result<Arc<Gateway>, String>| match gateway {
            Ok(gateway) => gateway.target.endpoint(),
            Err(why) => why.clone(),
        };
        (self.leads, self.version) == (other.leads, other.version) && endpoint(&self.gateway) == endpoint(&other.gateway)
    }
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

impl State {
    /// May a host be taken through it?
    fn is_open(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until <= now && !self.on_trial)
    }
}

/// The gateway a host is taken through.
pub(super) struct Chosen {
    known: Arc<Known>,
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
    known: Arc<Known>,
    /// Is it the one that finds out whether the gateway works again?
    on_trial: bool,
}

impl Drop for Load {
    fn drop(&mut self) {
        let mut state = self.known.state();
        state.hosts = state.hosts.saturating_sub(1);
        if self.on_trial {
            state.on_trial = false;
        }
    }
}

impl Gateways {
    /// Those that `make` makes; each with a payload budget of `mb_per_s`, 0 for none.
    #[must_use]
    pub fn new(make: MakeGateways, mb_per_s: u32) -> Self {
        let gateways = Self {
            make,
            known: RwLock::new(Arc::new([])),
            budgets: Mutex::default(),
            mb_per_s,
            seen: tokio::sync::Mutex::default(),
            turn: Mutex::default(),
        };
        gateways.are(&Roster::default());
        gateways
    }

    /// There are these from now on. One that was there before stays as it is.
    fn are(&self, roster: &Roster) {
        let before = self.known();
        let now = (self.make)(roster).into_iter().map(|declared| {
            let same = before.iter().find(|known| known.is(&declared));
            same.cloned().unwrap_or_else(|| {
                let bandwidth = declared.gateway.as_deref().map(|gateway| self.bandwidth(gateway)).unwrap_or_default();
                let KnownGateway { version, rank, leads, gateway } = declared;
                Arc::new(Known { leads, version, rank, gateway, bandwidth, state: Mutex::default() })
            })
        });
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = now.collect();
    }

    fn known(&self) -> Arc<[Arc<Known>]> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn bandwidth(&self, gateway: &Gateway) -> Bandwidth {
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        let hops = std::iter::successors(Some(gateway), |hop| hop.target.via.as_deref());
        let budget = |hop: &Gateway| {
            let place = (hop.target.dial, hop.target.port);
            let new = || Bucket::new(self.mb_per_s).map(Arc::new);
            budgets.get(&place).cloned().or_else(|| new().inspect(|new| drop(budgets.insert(place, new.clone()))))
        };
        hops.filter_map(budget).collect()
    }

    /// The least loaded of those that lead there, are well, and are not among `tried`.
    pub(super) fn choose(&self, leads: Leads, tried: &[Arc<Known>]) -> Option<Chosen> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let known = self.known();
        let fresh = |known: &&Arc<Known>| known.leads == leads && !tried.iter().any(|tried| Arc::ptr_eq(tried, known));
        let open = known.iter().filter(fresh).filter(|known| known.state().is_open(now));
        let usable = open.filter_map(|known| Some((known, known.gateway.as_ref().ok()?)));
        let (known, gateway) = usable.min_by_key(|(known, _)| (known.rank, known.state().hosts))?;
        let mut state = known.state();
        state.hosts += 1;
        let (failures, on_trial) = (state.failures, state.failures > 0);
        state.on_trial |= on_trial;
        drop(state);
        let (load, bandwidth) = (Load { known: known.clone(), on_trial }, known.bandwidth.clone());
        Some(Chosen { known: known.clone(), gateway: gateway.clone(), bandwidth, failures, load })
    }

    /// Has nothing been heard against it since it was chosen? A host may have waited for its turn meanwhile.
    pub(super) fn is_well(&self, chosen: &Chosen) -> bool {
        chosen.known.state().failures <= chosen.failures && self.known().iter().any(|known| Arc::ptr_eq(known, &chosen.known))
    }

    /// It failed, or refused to forward: it is left alone for a while.
    pub(super) fn failed(&self, chosen: &Chosen, cause: &TransportError) {
        let mut state = chosen.known.state();
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
        let mut state = chosen.known.state();
        (state.failures, state.until, state.on_trial) = (0, None, false);
    }

    /// Why a host gets no gateway.
    pub(super) fn none(&self, leads: Leads) -> Failure {
        let what = match leads {
            Leads::Cloud(id) => format!("cloud {id} through any of its proxies"),
            Leads::Channel(id) => format!("the hosts of install channel {id} through any of its jump servers"),
        };
        let known = self.known();
        let leading = || known.iter().filter(|known| known.leads == leads);
        if leading().next().is_none() {
            return Failure::new(Code::NoGateway, format!("there is no way to reach {what}: there is none"));
        }
        let usable: Vec<&Arc<Known>> = leading().filter(|known| known.gateway.is_ok()).collect();
        if usable.is_empty() {
            let unreadable = leading().filter_map(|known| known.gateway.as_ref().err());
            let failure = Failure::new(Code::NoGateway, format!("there is no way to reach {what}: none has a login"));
            return unreadable.fold(failure, |failure, why| failure.because(why));
        }
        let told: Vec<(Trouble, String)> = (usable.iter().map(|known| known.state()))
            .filter(|state| !state.cause.is_empty())
            .map(|state| (state.trouble, state.cause.clone()))
            .collect();
        let is = |trouble: Trouble| move |(kind, _): &(Trouble, String)| *kind == trouble;
        let code = if told.iter().any(is(Trouble::Busy)) {
            // One that will take us is worth waiting for, and that is no try of the host's.
            Code::ServerBusy
        } else if told.len() == usable.len() && told.iter().all(is(Trouble::Final)) {
            Code::GatewayLoginRefused
        } else {
            Code::GatewaysRefused
        };
        let failure = Failure::new(code, format!("there is no way to reach {what} right now"));
        told.iter().fold(failure, |failure, (_, cause)| failure.because(cause))
    }
}

impl Chosen {
    /// For `tried`.
    pub(super) fn known(&self) -> Arc<Known> {
        self.known.clone()
    }

    /// A session that counts as one of this gateway's as long as it lives.
    pub(super) fn carry(self, session: Box<dyn Session>) -> Box<dyn Session> {
        Box::new(Carried::new(session, self.load))
    }
}

/// Is it the gateway that failed, and how?
pub(super) fn blames_gateway(error: &TransportError) -> Option<&TransportError> {
    match error {
        TransportError::Gateway { cause, .. } => Some(cause),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::trouble::{FIRST_PAUSE, LONGEST_BUSY_PAUSE, LONGEST_PAUSE};
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
        KnownGateway { version: None, rank: 0, leads: ZONE, gateway: Ok(Arc::new(Gateway { target, login })) }
    }

    fn gateways(known: Vec<KnownGateway>, mb_per_s: u32) -> Gateways {
        Gateways::new(Box::new(move |_| known.clone()), mb_per_s)
    }

    fn last(chosen: &Chosen) -> String {
        chosen.gateway.target.endpoint()
    }

    fn lost() -> TransportError {
        TransportError::Lost { endpoint: "g".into(), cause: "it was closed".into() }
    }

    #[tokio::test(start_paused = true)]
    async fn hosts_are_spread_and_a_session_that_ends_gives_its_place_back() {
        let all = gateways(vec![gateway(1), gateway(2)], 0);
        let held: Vec<Chosen> = (0..4).filter_map(|_| all.choose(ZONE, &[])).collect();
        let told: Vec<String> = held.iter().map(last).collect();
        assert_eq!(told, ["192.0.2.1:22", "192.0.2.2:22", "192.0.2.1:22", "192.0.2.2:22"]);
        drop(held);
        assert_eq!(all.choose(ZONE, &[]).as_ref().map(last).as_deref(), Some("192.0.2.1:22"));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_failed_is_left_for_another_and_comes_back() {
        let all = gateways(vec![gateway(1), gateway(2)], 0);
        let second = all.known()[1].clone();
        let first = all.choose(ZONE, &[]).unwrap();
        all.failed(&first, &lost());
        for _ in 0..3 {
            assert_eq!(all.choose(ZONE, &[]).as_ref().map(last).as_deref(), Some("192.0.2.2:22"));
        }
        assert!(all.choose(ZONE, std::slice::from_ref(&second)).is_none(), "the only other one was tried already");
        tokio::time::advance(FIRST_PAUSE).await;
        assert!(all.choose(ZONE, std::slice::from_ref(&second)).is_some());
        let again = all.choose(ZONE, std::slice::from_ref(&second)).unwrap();
        all.failed(&again, &lost());
        tokio::time::advance(FIRST_PAUSE).await;
        assert!(all.choose(ZONE, std::slice::from_ref(&second)).is_none(), "the pause has doubled");
    }

    #[tokio::test(start_paused = true)]
    async fn another_address_of_a_proxy_is_dialled_only_when_the_first_one_fails() {
        let all = gateways(vec![gateway(1), KnownGateway { rank: 1, ..gateway(9) }], 0);
        let held: Vec<Chosen> = (0..3).filter_map(|_| all.choose(ZONE, &[])).collect();
        assert!(held.iter().all(|chosen| last(chosen) == "192.0.2.1:22"));
        all.failed(&held[0], &lost());
        assert_eq!(all.choose(ZONE, &[]).as_ref().map(last).as_deref(), Some("192.0.2.9:22"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_many_hosts_see_is_one_failure() {
        let all = gateways(vec![gateway(1)], 0);
        let hosts: Vec<Chosen> = (0..20).filter_map(|_| all.choose(ZONE, &[])).collect();
        for (host, well) in hosts.iter().zip([true].into_iter().chain(std::iter::repeat(false))) {
            assert_eq!(all.is_well(host), well, "those who still wait for their turn need not try it");
            all.failed(host, &lost());
        }
        tokio::time::advance(FIRST_PAUSE).await;
        assert!(all.choose(ZONE, &[]).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn one_host_finds_out_for_all_whether_a_gateway_works_again() {
        let all = gateways(vec![gateway(1), gateway(2)], 0);
        let second = all.known()[1].clone();
        all.failed(&all.choose(ZONE, &[]).unwrap(), &lost());
        tokio::time::advance(FIRST_PAUSE).await;
        let scout = all.choose(ZONE, &[]).unwrap();
        let follower = all.choose(ZONE, &[]).unwrap();
        assert_eq!([&scout, &follower].map(last), ["192.0.2.1:22", "192.0.2.2:22"]);
        drop(scout);
        let mut scout = all.choose(ZONE, &[]).unwrap();
        assert_eq!(last(&scout), "192.0.2.1:22", "one that gave up leaves the question to another");
        all.works(&mut scout);
        assert_eq!(all.choose(ZONE, std::slice::from_ref(&second)).as_ref().map(last).as_deref(), Some("192.0.2.1:22"));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_full_is_waited_for() {
        let all = gateways(vec![gateway(1)], 0);
        for _ in 0..6 {
            let chosen = all.choose(ZONE, &[]).unwrap();
            all.failed(&chosen, &TransportError::Busy { endpoint: "g".into(), cause: "it says so".into() });
            let failure = all.none(ZONE);
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
            KnownGateway { version: None, rank: 0, leads: Leads::Channel(5), gateway: Ok(Arc::new(jump)) }
        };
        let proxy = gateway(1);
        let all = gateways(vec![proxy.clone(), gateway(2), jump(3, &proxy), jump(4, &proxy)], 10);
        let known = all.known();
        let budgets: Vec<&[Arc<Bucket>]> = known.iter().map(|known| &*known.bandwidth).collect();
        let [first, second, third, fourth] = budgets[..] else { panic!("four gateways") };
        assert_eq!([first, second, third, fourth].map(<[_]>::len), [1, 1, 2, 2]);
        assert!(Arc::ptr_eq(&first[0], &third[1]) && Arc::ptr_eq(&third[1], &fourth[1]));
        assert!(!Arc::ptr_eq(&third[0], &fourth[0]) && !Arc::ptr_eq(&first[0], &second[0]));
        assert!(gateways(vec![proxy], 0).known()[0].bandwidth.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_login_is_not_repeated_soon_whoever_of_a_chain_refused_it() {
        let refusal = || TransportError::Refusal { endpoint: "g".into(), method: "password", account: "root".into() };
        for refusal in [refusal(), TransportError::Gateway { gateway: "first".into(), cause: Arc::new(refusal()) }] {
            let all = gateways(vec![gateway(1)], 0);
            let chosen = all.choose(ZONE, &[]).unwrap();
            all.failed(&chosen, &refusal);
            tokio::time::advance(LONGEST_PAUSE * 2).await;
            assert!(all.choose(ZONE, &[]).is_none());
            let failure = all.none(ZONE);
            assert_eq!(failure.code, "gateway_login_refused", "nothing to wait for");
            let told = failure.to_string();
            assert!(told.contains("192.0.2.1:22: ") && told.contains("g refused the password"), "{failure}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn as_long_as_one_gateway_may_come_back_it_is_waited_for() {
        let all = gateways(vec![gateway(1), gateway(2)], 0);
        let refusal = TransportError::Refusal { endpoint: "192.0.2.1:22".into(), method: "key", account: "root".into() };
        all.failed(&all.choose(ZONE, &[]).unwrap(), &refusal);
        all.failed(&all.choose(ZONE, &[]).unwrap(), &lost());
        let failure = all.none(ZONE);
        assert_eq!(failure.code, "gateways_refused");
        assert_eq!(failure.causes[0], refusal.to_string(), "the gateway is named once");
    }

    #[test]
    fn without_a_usable_gateway_the_reason_is_told() {
        let unreadable = KnownGateway { version: None, rank: 0, leads: ZONE, gateway: Err("proxy[0].key: no such file".into()) };
        for (known, reason) in [(vec![], ""), (vec![unreadable], "no such file")] {
            let failure = gateways(known, 0).none(ZONE);
            assert_eq!(failure.code, "no_gateway");
            assert!(failure.to_string().contains(reason), "{failure}");
        }
    }
}
