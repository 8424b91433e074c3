//! Ten thousand hosts in one body: accepted within seconds, listed by the page.

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
fn measured_ten_thousand_hosts_are_taken_within_5_s_and_a_page_of_them_costs_the_page() {
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
    eprintln!("10,000 hosts: {took:?}, a page {of_many:?} (of 100: {of_few:?}), peak {} MiB", peak(place.server.pid()));
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(of_many < of_few * 4, "a page of 10,000 hosts takes {of_many:?}, of 100 {of_few:?}");
}
