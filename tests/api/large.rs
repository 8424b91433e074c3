//! Ten thousand hosts in one body: accepted, listed by the page, and small. Times are printed, not asserted.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::place::{Place, deaf, host, job, with};

fn hosts(count: usize, port: u16) -> Vec<Value> {
    let at = |n: usize| format!("127.{}.{}.{}", 1 + n / 62_500, n / 250 % 250, n % 250 + 1);
    (0..count).map(|n| with(host(&at(n)), json!({"port": port}))).collect()
}

/// The fastest of several looks at the first page.
fn page(place: &Place, id: i64) -> Duration {
    let look = || {
        let begun = Instant::now();
        let data = place.server.post(&format!("/api/job/{id}/details/"), &json!({"pagesize": 20})).data();
        assert_eq!(data["list"].as_array().unwrap().len(), 20);
        begun.elapsed()
    };
    (0..20).map(|_| look()).min().unwrap()
}

/// Highest resident memory of a process so far, MiB.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

#[test]
fn measured_ten_thousand_hosts_are_taken_in_one_body_and_listed_by_the_page() {
    let place = Place::with("[limits]\nconcurrency = 1\n");
    let (_door, port) = deaf();
    let few = place.server.submit(&job("INSTALL_AGENT", &hosts(100, port)));
    let of_few = page(&place, few);
    place.server.post(&format!("/api/job/{few}/revoke/"), &json!({})).data();
    place.server.becomes(few, "TERMINATED");

    let body = job("INSTALL_AGENT", &hosts(10_000, port));
    let begun = Instant::now();
    let many = place.server.submit(&body);
    let took = begun.elapsed();
    let of_many = page(&place, many);
    let peak = peak(place.server.pid());
    eprintln!("10,000 hosts: {took:?}, a page {of_many:?} (of 100: {of_few:?}), peak {peak} MiB");
    let data = place.server.post(&format!("/api/job/{many}/details/"), &json!({"pagesize": 20})).data();
    assert_eq!((data["total"].as_u64(), data["statistics"]["total_count"].as_u64()), (Some(10_000), Some(10_000)));
    assert!(peak <= 300, "{peak} MiB");
}
