//! What a piece of work costs: wall clock, CPU of the processes that do it, and the most anonymous memory they had at once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::resource::{Usage, UsageWho, getrusage};

/// Between two looks at the memory.
const LOOK: Duration = Duration::from_millis(5);

/// What a piece of work cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    pub wall: Duration,
    pub cpu: Duration,
    /// Bytes.
    pub memory: u64,
}

fn spent(usage: &Usage) -> Duration {
    let of = |seconds: i64, micros: i64| Duration::from_micros((seconds * 1_000_000 + micros).unsigned_abs());
    let (user, system) = (usage.user_time(), usage.system_time());
    of(user.tv_sec(), user.tv_usec()) + of(system.tv_sec(), system.tv_usec())
}

/// CPU of this process so far.
pub fn own_cpu() -> Duration {
    spent(&getrusage(UsageWho::RUSAGE_SELF).unwrap())
}

/// CPU of the children that this process has waited for.
pub fn children_cpu() -> Duration {
    spent(&getrusage(UsageWho::RUSAGE_CHILDREN).unwrap())
}

/// Anonymous memory of a process; 0 when it is gone.
pub fn anonymous(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or("0");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
}

/// Looks at the memory of processes until it is told to stop.
pub struct Watch {
    pids: Arc<Mutex<Vec<u32>>>,
    peak: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Watch {
    pub fn start() -> Self {
        let (pids, peak, stop) = (Arc::<Mutex<Vec<u32>>>::default(), Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (of, most, ended) = (pids.clone(), peak.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                let sum = of.lock().unwrap().iter().map(|pid| anonymous(*pid)).sum();
                most.fetch_max(sum, Ordering::Relaxed);
                std::thread::sleep(LOOK);
            }
        });
        Self { pids, peak, stop, thread }
    }

    pub fn add(&self, pid: u32) {
        self.pids.lock().unwrap().push(pid);
    }

    /// The most there was at once, in bytes.
    pub fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.peak.load(Ordering::Relaxed)
    }
}

/// The middle one by `key`.
pub fn median(costs: &[Cost], key: impl Fn(&Cost) -> f64) -> f64 {
    let mut values: Vec<f64> = costs.iter().map(key).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
