//! What an upload costs, beside `scp`, `ssh cat` and a bare russh loop, to one sshd on this machine.
//!
//! `cargo bench --bench transfer [-- RUNS]`: medians of 5 interleaved runs unless told otherwise. Every payload is in memory
//! before the clock starts, sshd writes to memory, and all clients use curve25519 and aes128-gcm. A transfer is everything
//! from the first connection to the last goodbye, but for the digest on the target: what that adds stands in a row of its own.
//! CPU is the client's, with all its processes and threads; memory the most it had at once, its payload included.

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
    pub mod ours;
    pub mod sshd;
}

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use landfall::engine::bucket::Bucket;
use sha2::{Digest as _, Sha256};
use support::bare::Bare;
use support::child::{self, Client};
use support::gauge::{Cost, Watch, children_cpu, median};
use support::ours::{Ours, Pace};
use support::sshd::{Sshd, address};
use tokio::sync::Barrier;

const MB: usize = 1_000_000;

/// The gateway is the same sshd at another address.
const GATEWAY: &str = "127.0.0.1";

/// One measured way of bringing bytes to hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Scp,
    SshCat,
    Bare,
    Ours,
    OursWithDigest,
    SshJump,
    OursThroughGateway,
}

impl Way {
    /// The first is what the others are compared with.
    const DIRECT: [Self; 5] = [Self::Scp, Self::SshCat, Self::Bare, Self::Ours, Self::OursWithDigest];
    const THROUGH_A_GATEWAY: [Self; 2] = [Self::SshJump, Self::OursThroughGateway];

    fn name(self) -> &'static str {
        match self {
            Self::Scp => "scp",
            Self::SshCat => "ssh cat",
            Self::Bare => "bare russh loop",
            Self::Ours => "landfall",
            Self::OursWithDigest => "landfall, digest on target",
            Self::SshJump => "ssh -J cat",
            Self::OursThroughGateway => "landfall through a gateway",
        }
    }
}

/// What is sent, and to how many.
struct Load<'a> {
    sshd: &'a Sshd,
    hosts: usize,
    size: usize,
    file: PathBuf,
}

impl<'a> Load<'a> {
    /// Noise, so that nothing on the way can make it smaller.
    fn new(sshd: &'a Sshd, hosts: usize, size: usize) -> Self {
        let file = sshd.path(&format!("payload-{size}"));
        let mut bytes = vec![0; size];
        getrandom::fill(&mut bytes).unwrap();
        std::fs::write(&file, bytes).unwrap();
        Self { sshd, hosts, size, file }
    }

    /// Where host `index` keeps what it gets; empty.
    fn place(&self, index: usize) -> String {
        let place = self.sshd.path(&format!("host-{index}"));
        let _ = std::fs::remove_dir_all(&place);
        std::fs::create_dir(&place).unwrap();
        place.display().to_string()
    }

    fn measure(&self, way: Way) -> Cost {
        for index in 0..self.hosts {
            self.place(index);
        }
        let cost = match way {
            Way::Scp | Way::SshCat | Way::SshJump => self.openssh(way),
            Way::Bare => self.client("bare", "none").0,
            Way::Ours => self.client("ours", "none").0,
            Way::OursThroughGateway => self.client("gateway", "none").0,
            Way::OursWithDigest => self.client("ours", "sha256sum").0,
        };
        for index in 0..self.hosts {
            assert_eq!(stored(&self.sshd.path(&format!("host-{index}"))), self.size as u64, "{way:?}: host {index}");
        }
        cost
    }

    /// A client of ours in a process of its own.
    fn client(&self, kind: &str, tool: &str) -> (Cost, Vec<u64>) {
        let words = [kind.to_owned(), self.sshd.dir.path().display().to_string(), self.sshd.port.to_string()];
        let load = [self.hosts.to_string(), self.file.display().to_string(), tool.to_owned()];
        Client::start(&[words, load].concat()).go()
    }

    /// A process per host, all at once.
    fn openssh(&self, way: Way) -> Cost {
        let watch = Watch::start();
        let (began, before) = (Instant::now(), children_cpu());
        let children: Vec<_> = (0..self.hosts)
            .map(|index| {
                let (address, place) = (address(index, self.sshd.port), self.sshd.path(&format!("host-{index}")));
                let mut command = self.command(way, address, &place);
                let child = command.stdout(Stdio::null()).spawn().unwrap();
                watch.add(child.id());
                child
            })
            .collect();
        for mut child in children {
            assert!(child.wait().unwrap().success(), "{way:?}");
        }
        Cost { wall: began.elapsed(), cpu: children_cpu() - before, memory: watch.end() }
    }

    fn command(&self, way: Way, to: SocketAddr, place: &Path) -> Command {
        let mut command = Command::new(if way == Way::Scp { "scp" } else { "ssh" });
        command.arg("-F").arg(self.sshd.path("ssh_config"));
        if way == Way::SshJump {
            command.args(["-J", GATEWAY]);
        }
        let file = format!("{}/payload", place.display());
        if way == Way::Scp {
            let from = self.file.display().to_string();
            command.args(["-q", &from, &format!("{}:{file}", to.ip())]);
            command.stdin(Stdio::null());
        } else {
            command.args([&to.ip().to_string(), &format!("cat >'{file}'")]);
            command.stdin(std::fs::File::open(&self.file).unwrap());
        }
        command
    }
}

/// Bytes of all files below a directory.
fn stored(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { stored(&path) } else { path.metadata().unwrap().len() }).sum()
}

fn report(load: &Load<'_>, ways: &[Way], runs: usize) {
    println!("\n{} hosts x {} MB, medians of {runs} interleaved runs; ratios to {}", load.hosts, load.size / MB, ways[0].name());
    let heads = ["wall s", "MB/s", "CPU ms/host", "memory MB", "CPU ratio", "wall ratio"];
    println!("{:<28} {}", "client", heads.map(|head| format!("{head:>12}")).concat());
    let mut costs = vec![Vec::new(); ways.len()];
    for _ in 0..runs {
        for (way, costs) in ways.iter().zip(&mut costs) {
            costs.push(load.measure(*way));
        }
    }
    let wall = |costs: &[Cost]| median(costs, |cost| cost.wall.as_secs_f64());
    let cpu = |costs: &[Cost]| median(costs, |cost| cost.cpu.as_secs_f64());
    let sent = (load.hosts * load.size) as f64 / MB as f64;
    for (way, of_way) in ways.iter().zip(&costs) {
        let (took, spent) = (wall(of_way), cpu(of_way));
        let memory = median(of_way, |cost| cost.memory as f64) / MB as f64;
        let cells = [
            format!("{took:>12.2}"),
            format!("{:>12.0}", sent / took),
            format!("{:>12.1}", spent * 1e3 / load.hosts as f64),
            format!("{memory:>12.1}"),
            format!("{:>12.2}", spent / cpu(&costs[0])),
            format!("{:>12.2}", took / wall(&costs[0])),
        ];
        println!("{:<28} {}", way.name(), cells.concat());
    }
    let of = |wanted: Way| ways.iter().position(|way| *way == wanted).map(|index| &costs[index]);
    if let (Some(bare), Some(ours)) = (of(Way::Bare), of(Way::Ours)) {
        println!("landfall to the bare loop: CPU {:.2}, wall {:.2}", cpu(ours) / cpu(bare), wall(ours) / wall(bare));
    }
}

/// One budget of the process over all hosts: is it kept, and does everybody get his part?
fn budget(sshd: &Sshd) {
    let load = Load::new(sshd, 64, 5 * MB);
    for index in 0..load.hosts {
        load.place(index);
    }
    let (_, took) = load.client("budget", "none");
    let rates: Vec<f64> = took.iter().map(|micros| load.size as f64 / *micros as f64).collect();
    let longest = *took.iter().max().unwrap() as f64;
    let mean = rates.iter().sum::<f64>() / rates.len() as f64;
    let slowest = rates.iter().copied().fold(f64::INFINITY, f64::min);
    println!("\nbudget of 20 MB/s over {} hosts x {} MB", load.hosts, load.size / MB);
    println!(
        "in all {:.2} MB/s; the slowest host at {:.3} x the mean",
        (load.hosts * load.size) as f64 / longest,
        slowest / mean
    );
}

/// The other end: this program as a client.
fn client(words: &[String]) {
    let [kind, dir, port, hosts, file, tool] = words else { panic!("{words:?}") };
    let (port, hosts): (u16, usize) = (port.parse().unwrap(), hosts.parse().unwrap());
    let (key, places) = (Path::new(dir).join("key"), dir.clone());
    let payload = Bytes::from(std::fs::read(file).unwrap());
    let sha256: String = Sha256::digest(&payload).iter().map(|byte| format!("{byte:02x}")).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let each = |work: &dyn Fn(usize) -> tokio::task::JoinHandle<u64>| {
        let tasks: Vec<_> = (0..hosts).map(work).collect();
        runtime.block_on(async {
            let mut took = Vec::new();
            for task in tasks {
                took.push(task.await.unwrap());
            }
            took
        })
    };
    if kind == "bare" {
        let bare = Arc::new(Bare::new(&key));
        return child::work(|| {
            each(&|index| {
                let (bare, payload, line) = (bare.clone(), payload.clone(), format!("cat >'{places}/host-{index}/payload'"));
                runtime.spawn(async move {
                    bare.exec(address(index, port), &line, Some(payload)).await;
                    0
                })
            })
        });
    }
    let gateway = (kind == "gateway").then(|| (GATEWAY.parse::<Ipv4Addr>().unwrap(), port).into());
    let ours = Arc::new(Ours::through(gateway, &key));
    let budget = Arc::new((kind == "budget").then(|| (Bucket::new(20).unwrap(), Barrier::new(hosts))));
    child::work(|| {
        each(&|index| {
            let (ours, budget, payload, sha256) = (ours.clone(), budget.clone(), payload.clone(), sha256.clone());
            let (state, tool) = (format!("{places}/host-{index}"), tool.clone());
            runtime.spawn(async move {
                let budgets: Vec<&Bucket> = (*budget).as_ref().map(|(bucket, _)| bucket).into_iter().collect();
                let pace = Pace { budgets: &budgets, start: (*budget).as_ref().map(|(_, start)| start) };
                let sending = ours.upload(address(index, port), (&state, &tool), (&sha256, payload), pace).await;
                u64::try_from(sending.as_micros()).unwrap()
            })
        })
    });
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if let Some((first, rest)) = words.split_first()
        && first == "client"
    {
        return client(rest);
    }
    let runs = words.first().map_or(5, |word| word.parse().expect("a number of runs"));
    let sshd = Sshd::start();
    report(&Load::new(&sshd, 64, 20 * MB), &Way::DIRECT, runs);
    let large = Load::new(&sshd, 1, 256 * MB);
    report(&large, &Way::DIRECT, runs);
    report(&large, &Way::THROUGH_A_GATEWAY, runs);
    budget(&sshd);
}
