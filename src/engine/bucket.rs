//! A byte budget: a virtual clock that says when the next bytes may go.
//!
//! No tokens and no burst: every reservation moves the clock by its own time at the wanted rate, so n waiters cost n timers and
//! none overtakes another (measured against a token bucket in `reference/performance.md` 6).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How far the clock may lag behind and still catch up: the timers' grain and the time a write takes, not a burst.
const SLACK: Duration = Duration::from_millis(200);

/// A budget shared by everybody who holds it.
#[derive(Debug)]
pub struct Bucket {
    bytes_per_second: f64,
    next: Mutex<Option<Instant>>,
}

impl Bucket {
    /// A budget of `mb_per_s` (10^6 bytes of payload a second); `None` when that is 0, which means no limit.
    #[must_use]
    pub fn new(mb_per_s: u32) -> Option<Self> {
        (mb_per_s > 0).then(|| Self { bytes_per_second: f64::from(mb_per_s) * 1e6, next: Mutex::new(None) })
    }

    /// Takes `bytes` from the budget and says when they may go. An idle budget saves no more than [`SLACK`] up.
    #[must_use]
    pub fn reserve(&self, bytes: usize, now: Instant) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let start = next.map_or(now, |next| next.max(now.checked_sub(SLACK).unwrap_or(now)));
        let cost = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second);
        let after = start + cost;
        *next = Some(after);
        // The bytes have passed at `after`: waiting for the end of their own slot keeps the mean exact from the first byte on.
        after
    }

    /// Waits until `bytes` may go.
    pub async fn pass(&self, bytes: usize) {
        let at = self.reserve(bytes, Instant::now());
        tokio::time::sleep_until(at).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ten_megabytes_at_one_megabyte_a_second_take_ten_seconds() {
        let bucket = Bucket::new(1).unwrap();
        let begun = Instant::now();
        for _ in 0..10_000_000 / 32_000 {
            bucket.pass(32_000).await;
        }
        let took = begun.elapsed().as_secs_f64();
        assert!((9.9..=10.1).contains(&took), "{took}");
    }

    #[tokio::test(start_paused = true)]
    async fn several_hosts_share_one_budget() {
        let bucket = std::sync::Arc::new(Bucket::new(2).unwrap());
        let begun = Instant::now();
        let hosts: Vec<_> = (0..4)
            .map(|_| {
                let bucket = bucket.clone();
                tokio::spawn(async move {
                    for _ in 0..100 {
                        bucket.pass(10_000).await;
                    }
                })
            })
            .collect();
        for host in hosts {
            host.await.unwrap();
        }
        assert!((1.9..=2.1).contains(&begun.elapsed().as_secs_f64()), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn time_lost_on_the_way_is_made_up_and_idle_time_is_not() {
        let bucket = Bucket::new(1).unwrap();
        let begun = Instant::now();
        for _ in 0..100 {
            bucket.pass(32_000).await;
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        let took = begun.elapsed().as_secs_f64();
        assert!((3.15..=3.25).contains(&took), "{took}");
        tokio::time::sleep(Duration::from_secs(60)).await;
        let begun = Instant::now();
        for _ in 0..100 {
            bucket.pass(32_000).await;
        }
        assert!(begun.elapsed() >= Duration::from_millis(2_990), "{:?}", begun.elapsed());
    }

    #[test]
    fn no_limit_is_no_bucket() {
        assert!(Bucket::new(0).is_none());
    }
}
