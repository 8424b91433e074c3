//! How often one caller may ask: so many requests a second, and so many secrets tried.
//!
//! A table has one bucket a caller and a bounded number of them; buckets that are full again are thrown away. While it is
//! full of others, whoever is new shares one bucket with everybody else who is.
//!
//! Never here: byte budgets (the engine's own bucket; governor was measured too coarse for them), connections (`server`).

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

/// Buckets of a table, each about a hundred bytes.
const MOST: usize = 16_384;
/// A source may try that many secrets at once: as many apps may share a machine, and start with it.
const ATTEMPTS: NonZeroU32 = NonZeroU32::MIN.saturating_add(19);
/// And then one more in that time: less than a fiftieth of a core for hashing.
const ATTEMPT: Duration = Duration::from_secs(3);

/// Too often: ask again after that many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wait(pub(super) u64);

/// The tables of the door.
pub(super) struct Rates {
    apps: Option<Buckets<String>>,
    sources: Option<Buckets<IpAddr>>,
    attempts: Buckets<IpAddr>,
}

impl Rates {
    /// With this many requests of one caller a second, and at once.
    pub(super) fn new(rate: Option<(NonZeroU32, NonZeroU32)>) -> Self {
        let quota = rate.map(|(rate, burst)| Quota::per_second(rate).allow_burst(burst));
        let attempts = Quota::with_period(ATTEMPT).unwrap_or(Quota::per_second(NonZeroU32::MIN)).allow_burst(ATTEMPTS);
        Self { apps: quota.map(Buckets::new), sources: quota.map(Buckets::new), attempts: Buckets::new(attempts) }
    }

    /// A request of an app.
    pub(super) fn app(&self, code: &str) -> Result<(), Wait> {
        self.apps.as_ref().map_or(Ok(()), |apps| apps.take(code.to_owned()))
    }

    /// A request of nobody in particular.
    pub(super) fn source(&self, source: IpAddr) -> Result<(), Wait> {
        self.sources.as_ref().map_or(Ok(()), |sources| sources.take(network(source)))
    }

    /// A secret that has to be tried, or was left out.
    pub(super) fn attempt(&self, source: IpAddr) -> Result<(), Wait> {
        self.attempts.take(network(source))
    }
}

/// Who has one address of IPv6 has 2^64 of them.
pub(super) fn network(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V4(_) => source,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
    }
}

/// The key of the bucket that whoever is new shares while the table is full is `None`.
type Limiter<K, C> = RateLimiter<Option<K>, HashMapStateStore<Option<K>>, C, NoOpMiddleware<<C as Clock>::Instant>>;

struct Buckets<K: Hash + Eq + Clone, C: Clock = DefaultClock> {
    limiter: Limiter<K, C>,
    most: usize,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    fn new(quota: Quota) -> Self {
        Self { limiter: RateLimiter::hashmap(quota), most: MOST }
    }
}

impl<K: Hash + Eq + Clone, C: Clock> Buckets<K, C> {
    fn take(&self, key: K) -> Result<(), Wait> {
        if self.limiter.len() >= self.most {
            self.limiter.retain_recent();
        }
        let key = (self.limiter.len() < self.most).then_some(key);
        self.limiter.check_key(&key).map_err(|until| {
            let wait = until.wait_time_from(self.limiter.clock().now());
            Wait(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
        })
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn buckets(rate: u32, burst: u32, most: usize) -> (Buckets<u32, FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let quota = Quota::per_second(NonZeroU32::new(rate).unwrap()).allow_burst(NonZeroU32::new(burst).unwrap());
        (Buckets { limiter: RateLimiter::hashmap_with_clock(quota, clock.clone()), most }, clock)
    }

    #[test]
    fn a_caller_has_its_burst_and_then_its_rate_and_no_other_suffers() {
        let (buckets, clock) = buckets(1, 3, 10);
        assert_eq!([1, 1, 1, 1, 2].map(|key| buckets.take(key).is_ok()), [true, true, true, false, true]);
        assert_eq!(buckets.take(1), Err(Wait(1)));
        clock.advance(Duration::from_secs(1));
        assert_eq!([buckets.take(1), buckets.take(1)], [Ok(()), Err(Wait(1))]);
    }

    #[test]
    fn the_table_stays_small_and_the_new_ones_share_what_is_left() {
        let (buckets, clock) = buckets(1, 2, 100);
        let taken = (0..10_000).filter(|key| buckets.take(*key).is_ok()).count();
        assert_eq!(taken, 100 + 2, "a hundred of their own, and one bucket for all others");
        assert!(buckets.limiter.len() <= 101);
        clock.advance(Duration::from_secs(3));
        assert_eq!([buckets.take(20_000), buckets.take(20_000)], [Ok(()), Ok(())]);
        assert_eq!(buckets.limiter.len(), 1, "buckets that are full again are thrown away");
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_source() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(network(ip("2001:db8:1:2:3:4:5:6")), network(ip("2001:db8:1:2::9")));
        assert_ne!(network(ip("2001:db8:1:2::1")), network(ip("2001:db8:1:3::1")));
        assert_ne!(network(ip("192.0.2.1")), network(ip("192.0.2.2")));
    }

    #[test]
    fn without_a_rate_requests_are_free_and_attempts_are_not() {
        let rates = Rates::new(None);
        let source: IpAddr = "192.0.2.1".parse().unwrap();
        assert!((0..1000).all(|_| rates.app("a").is_ok() && rates.source(source).is_ok()));
        let tried = (0..1000).filter(|_| rates.attempt(source).is_ok()).count();
        assert!((20..30).contains(&tried), "{tried}");
    }
}
