//! What a session costs, beside a bare russh loop: connect, authenticate, run `true`, go; and what it holds while it is idle.
//!
//! `cargo bench --bench sessions [-- HOSTS]`, 500 hosts unless told otherwise, 64 at once, medians of 5 interleaved runs. Once
//! against a light server in a process of its own, that takes any key and runs nothing, so that the client is what is measured;
//! once against sshd.

#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench that goes wrong should stop where it does, and it is here to print"
)]

mod support {
    pub mod bare;
    pub mod child;
    pub mod gauge;
    pub mod light;
    pub mod ours;
    pub mod sshd;
}

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use support::bare::Bare;
use support::child::{self, Client};
use support::gauge::{self, Cost, median};
use support::light::Light;
use support::ours::Ours;
use support::sshd::{Sshd, address};
use tokio::sync::Semaphore;

const RUNS: usize = 5;
const AT_ONCE: usize = 64;
/// Between the last session and the look at the memory.
const REST: Duration = Duration::from_millis(500);

struct Bench<'a> {
    key: &'a Path,
    hosts: usize,
}

impl Bench<'_> {
    fn client(&self, kind: &str, work: &str, port: u16) -> (Cost, Vec<u64>) {
        let key = self.key.display().to_string();
        Client::start(&[kind.into(), work.into(), key, port.to_string(), self.hosts.to_string()]).go()
    }

    fn report(&self, server: &str, port: u16) {
        let mut costs = [Vec::new(), Vec::new()];
        for _ in 0..RUNS {
            for (kind, costs) in ["bare", "ours"].into_iter().zip(&mut costs) {
                costs.push(self.client(kind, "exec", port).0);
            }
        }
        println!("\n{} hosts, {AT_ONCE} at once, {server}; medians of {RUNS} interleaved runs", self.hosts);
        println!("{:<18} {:>12} {:>10}", "client", "CPU ms/host", "wall s");
        let cpu = |costs: &[Cost]| median(costs, |cost| cost.cpu.as_secs_f64());
        for (name, costs) in ["bare russh loop", "landfall"].into_iter().zip(&costs) {
            let wall = median(costs, |cost| cost.wall.as_secs_f64());
            println!("{name:<18} {:>12.3} {wall:>10.2}", cpu(costs) * 1e3 / self.hosts as f64);
        }
        println!("landfall to the bare loop: CPU {:.2}", cpu(&costs[1]) / cpu(&costs[0]));
    }

    fn held(&self, port: u16) {
        println!("\nmemory of a session that is held and idle, {} of them", self.hosts);
        for (kind, name) in [("bare", "bare russh loop"), ("ours", "landfall")] {
            let (_, told) = self.client(kind, "hold", port);
            println!("{name:<18} {:>8.1} kB", told[0] as f64 / self.hosts as f64 / 1e3);
        }
    }
}

/// The other end: this program as a client.
fn client(words: &[String]) {
    let [kind, work, key, port, hosts] = words else { panic!("{words:?}") };
    let (port, hosts): (u16, usize) = (port.parse().unwrap(), hosts.parse().unwrap());
    let (bare, ours) = (Arc::new(Bare::new(Path::new(key))), Arc::new(Ours::new(Path::new(key))));
    let (is_bare, holds) = (kind == "bare", work == "hold");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    child::work(|| {
        let before = gauge::anonymous(std::process::id());
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let one = |index: usize| {
            let (bare, ours, places) = (bare.clone(), ours.clone(), places.clone());
            async move {
                let _place = places.acquire().await.unwrap();
                let to = address(index, port);
                match (is_bare, holds) {
                    (true, true) => return Some(Held::Bare(Box::new(bare.connect(to).await))),
                    (false, true) => return Some(Held::Ours(ours.connect(to).await)),
                    (true, false) => bare.exec(to, "true", None).await,
                    (false, false) => ours.exec(to, "true").await,
                }
                None
            }
        };
        runtime.block_on(async {
            let tasks: Vec<_> = (0..hosts).map(|index| tokio::spawn(one(index))).collect();
            let mut held = Vec::new();
            for task in tasks {
                held.extend(task.await.unwrap());
            }
            if holds {
                tokio::time::sleep(REST).await;
            }
            let grown = gauge::anonymous(std::process::id()).saturating_sub(before);
            drop(held);
            vec![grown]
        })
    });
}

/// A session that somebody holds.
enum Held {
    Bare(Box<russh::client::Handle<support::bare::Any>>),
    Ours(Box<dyn landfall::transport::Session>),
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.split_first() {
        Some((first, rest)) if first == "client" => return client(rest),
        Some((first, _)) if first == "light" => return support::light::serve(),
        _ => {}
    }
    let hosts = words.first().map_or(500, |word| word.parse().expect("a number of hosts"));
    let sshd = Sshd::start();
    let key = sshd.path("key");
    let bench = Bench { key: &key, hosts };
    let light = Light::start();
    bench.report("light server", light.port);
    bench.held(light.port);
    bench.report("sshd", sshd.port);
}
