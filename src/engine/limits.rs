//! Limits of this process, as permits. Taken in one order: host, then handshake, then upload (held for the upload only).
//!
//! Waiting here never counts against a deadline: the clock of a step's progress starts after its permits.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::bucket::Bucket;
use crate::domain::site;

/// Limits of this process.
#[derive(Debug)]
pub struct Limits {
    concurrency: usize,
    hosts: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
    per_endpoint: usize,
    endpoints: Mutex<HashMap<(IpAddr, u16), Arc<Semaphore>>>,
    connects: Option<Pace>,
    /// Payload budget of the process.
    pub bandwidth: Option<Bucket>,
}

/// Spaces starts evenly over time.
#[derive(Debug)]
struct Pace {
    period: Duration,
    next: Mutex<Option<Instant>>,
}

impl Pace {
    async fn start(&self) {
        let at = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let at = next.map_or(now, |next| next.max(now));
            *next = Some(at + self.period);
            at
        };
        tokio::time::sleep_until(at).await;
    }
}

impl Limits {
    /// The limits of a site.
    #[must_use]
    pub fn new(site: &site::Limits) -> Self {
        let connects = (site.connects_per_second > 0)
            .then(|| Pace { period: Duration::from_secs(1) / site.connects_per_second, next: Mutex::new(None) });
        Self {
            concurrency: site.concurrency.max(1),
            hosts: Arc::new(Semaphore::new(site.concurrency.max(1))),
            uploads: Arc::new(Semaphore::new(site.uploads.max(1))),
            per_endpoint: site.handshakes_per_endpoint.max(1),
            endpoints: Mutex::default(),
            connects,
            bandwidth: Bucket::new(site.upload_mb_per_s),
        }
    }

    /// A place among the hosts in flight.
    pub async fn host(&self) -> Option<OwnedSemaphorePermit> {
        self.hosts.clone().acquire_owned().await.ok()
    }

    /// How many more hosts may begin right now.
    pub fn free_hosts(&self) -> usize {
        self.hosts.available_permits()
    }

    /// How many hosts have a place.
    pub fn hosts_in_flight(&self) -> usize {
        self.concurrency.saturating_sub(self.hosts.available_permits())
    }

    /// A place among the uploads in flight.
    pub async fn upload(&self) -> Option<OwnedSemaphorePermit> {
        self.uploads.clone().acquire_owned().await.ok()
    }

    /// The right to begin a handshake with an endpoint: sshd drops unauthenticated connections from MaxStartups on.
    pub async fn handshake(&self, ip: IpAddr, port: u16) -> Option<OwnedSemaphorePermit> {
        let gate = {
            let mut endpoints = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
            // Endpoints nobody waits for are forgotten, so the map is bounded by the hosts in flight.
            endpoints.retain(|_, gate| Arc::strong_count(gate) > 1);
            endpoints.entry((ip, port)).or_insert_with(|| Arc::new(Semaphore::new(self.per_endpoint))).clone()
        };
        let permit = gate.acquire_owned().await.ok();
        self.start().await;
        permit
    }

    /// The right to begin a connection. What a gateway is spared, the transport knows, which shares the connections to it.
    pub async fn start(&self) {
        if let Some(pace) = &self.connects {
            pace.start().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn connects_begin_at_the_given_rate() {
        let limits = Limits::new(&site::Limits { connects_per_second: 10, ..Default::default() });
        let begun = Instant::now();
        for last in 1..=21_u8 {
            let _permit = limits.handshake([10, 0, 0, last].into(), 22).await;
        }
        assert_eq!(begun.elapsed(), Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn one_endpoint_sees_no_more_handshakes_than_allowed() {
        let limits =
            Arc::new(Limits::new(&site::Limits { handshakes_per_endpoint: 2, connects_per_second: 0, ..Default::default() }));
        let ip: IpAddr = [10, 0, 0, 1].into();
        let (first, _second) = (limits.handshake(ip, 22).await, limits.handshake(ip, 22).await);
        let third = tokio::time::timeout(Duration::from_secs(1), limits.handshake(ip, 22));
        assert!(third.await.is_err());
        let _elsewhere = limits.handshake(ip, 23).await;
        drop(first);
        assert!(limits.handshake(ip, 22).await.is_some());
    }
}
