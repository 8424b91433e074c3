//! The inside of a host: its disk, its runs, its agent. Time is looked at, never waited for.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::{Agent, Ask, Call, Ends, Script, Sudo, Trouble};

/// The password that every job gives.
pub const PASSWORD: &str = "correct horse";

/// The inside of a host.
pub(super) struct Machine {
    pub(super) latency: Duration,
    pub(super) password: String,
    pub(super) sudo: Sudo,
    pub(super) behaviour: Agent,
    /// The same of a release that an upgrade brought.
    pub(super) upgraded: Agent,
    /// What was installed before the upgrade whose release is current.
    pub(super) before: Option<Vec<u8>>,
    pub(super) scripts: Vec<Script>,
    pub(super) troubles: Vec<(Ask, u64, u64, Trouble)>,
    pub(super) calls: Vec<Call>,
    pub(super) breaches: Vec<String>,
    pub(super) blobs: BTreeMap<String, u64>,
    pub(super) partial: BTreeMap<String, Vec<u8>>,
    pub(super) stages: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    pub(super) runs: Vec<Run>,
    pub(super) history: Vec<String>,
    pub(super) transfers: Vec<Transfer>,
    /// Text of the installed `landfall.toml`.
    pub(super) installed: Option<Vec<u8>>,
    /// The agent's process and since when it runs.
    pub(super) pid: Option<(u32, Instant)>,
    pub(super) pids: u32,
    /// Installed beside the agent, by the name in run ids.
    pub(super) plugins: BTreeMap<String, Plugin>,
    /// How those behave that do not behave well.
    pub(super) odd_plugins: BTreeMap<String, Agent>,
    /// Servers that it reaches, and how far they are.
    pub(super) servers: BTreeMap<String, Duration>,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(20),
            password: PASSWORD.into(),
            sudo: Sudo::default(),
            behaviour: Agent::default(),
            upgraded: Agent::default(),
            before: None,
            scripts: vec![Script::takes(3)],
            troubles: Vec::new(),
            calls: Vec::new(),
            breaches: Vec::new(),
            blobs: BTreeMap::new(),
            partial: BTreeMap::new(),
            stages: BTreeMap::new(),
            runs: Vec::new(),
            history: Vec::new(),
            transfers: Vec::new(),
            installed: None,
            pid: None,
            pids: 100,
            plugins: BTreeMap::new(),
            odd_plugins: BTreeMap::new(),
            servers: BTreeMap::new(),
        }
    }
}

impl Machine {
    /// Notes an ask, and gives its trouble.
    pub(super) fn meets(&mut self, ask: Ask) -> Option<Trouble> {
        self.calls.push(Call { ask, at: Instant::now() });
        let nth = self.calls.iter().filter(|call| call.ask == ask).count() as u64;
        let due = |(what, from, to, _): &&(Ask, u64, u64, Trouble)| *what == ask && (*from..*to).contains(&(nth - 1));
        self.troubles.iter().find(due).map(|(_, _, _, trouble)| *trouble)
    }
}

/// A payload, or a piece of one, as it came.
#[derive(Clone, Copy, Debug)]
pub struct Transfer {
    /// Where it was taken up.
    pub offset: u64,
    /// Bytes that came.
    pub bytes: u64,
    /// When the first byte was asked for.
    pub begun: Instant,
    /// When the last one came.
    pub ended: Instant,
}

/// One run of the script.
pub(super) struct Run {
    pub(super) id: String,
    pub(super) action: String,
    /// Text of the `landfall.toml` that it will install.
    pub(super) record: Option<Vec<u8>>,
    pub(super) script: Script,
    pub(super) begun: Instant,
    pub(super) killed: Option<Instant>,
    pub(super) settled: bool,
}

/// A plugin that is installed.
#[derive(Clone, Debug)]
pub(super) struct Plugin {
    /// Text of its `landfall.toml`.
    pub(super) record: Vec<u8>,
    pub(super) pid: Option<u32>,
}

/// The plugin that a run is about, by its name in the id.
pub(super) fn plugin_of(id: &str) -> Option<String> {
    let (_, rest) = id.split_once("-install_plugins-").or_else(|| id.split_once("-remove_plugins-"))?;
    rest.rsplit_once('-').map(|(slug, _)| slug.to_owned())
}

/// What a run is at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Runs,
    Exit(i32),
    Gone(Instant),
    Rebooted,
}

impl Run {
    fn end(&self) -> Option<Instant> {
        let own = (self.script.ends != Ends::Never).then(|| self.begun + self.script.takes);
        match (self.killed, own) {
            (Some(killed), Some(own)) => Some(killed.min(own)),
            (killed, own) => killed.or(own),
        }
    }

    pub(super) fn fate(&self, now: Instant) -> Fate {
        let Some(end) = self.end().filter(|end| now >= *end) else { return Fate::Runs };
        match self.script.ends {
            _ if self.killed == Some(end) => Fate::Exit(143),
            Ends::Exit(code) => Fate::Exit(code),
            Ends::Vanishes => Fate::Gone(end),
            Ends::Reboots(_) => Fate::Rebooted,
            Ends::Never => Fate::Runs,
        }
    }

    /// When the host is down because of it.
    fn down(&self) -> Option<(Instant, Instant)> {
        let Ends::Reboots(outage) = self.script.ends else { return None };
        self.end().filter(|_| self.killed.is_none()).map(|end| (end, end + outage))
    }

    /// The log up to now: a line at the start, one a second, one at the end.
    pub(super) fn log(&self, now: Instant) -> Vec<u8> {
        let end = self.end().map_or(now, |end| end.min(now));
        let mut log = format!("2026-11-24 10:00:00 INFO check_env START {}\n", self.action);
        for second in 1..=end.saturating_duration_since(self.begun).as_secs() {
            log += &format!("2026-11-24 10:00:00 INFO work - second {second}\n");
        }
        match self.fate(now) {
            Fate::Exit(0) => log += "2026-11-24 10:00:00 INFO check_deploy_result DONE all is well\n",
            Fate::Exit(code) => log += &format!("2026-11-24 10:00:00 ERROR work FAILED it ended with {code}\n"),
            Fate::Runs | Fate::Gone(_) | Fate::Rebooted => {}
        }
        log.into_bytes()
    }
}

impl Machine {
    /// Is it down right now?
    pub(super) fn is_down(&self) -> bool {
        let now = Instant::now();
        self.runs.iter().filter_map(Run::down).any(|(from, to)| (from..to).contains(&now))
    }

    /// Which boot it is: the outages that are over.
    pub(super) fn boot(&self) -> usize {
        let now = Instant::now();
        self.runs.iter().filter_map(Run::down).filter(|(from, _)| now >= *from).count()
    }

    /// Takes in what ended runs did.
    pub(super) fn settle(&mut self) {
        let now = Instant::now();
        let ended = |run: &Run| match run.fate(now) {
            Fate::Exit(0) => true,
            // With any other code it left the old release.
            Fate::Exit(code) => {
                let row = landfall::assets::script_exit(code);
                run.action == "upgrade" && !row.is_some_and(|row| row.untouched)
            }
            _ => false,
        };
        for run in self.runs.iter_mut().filter(|run| !run.settled && ended(run)) {
            run.settled = true;
            let well = run.fate(now) == Fate::Exit(0);
            if let Some(slug) = plugin_of(&run.id) {
                self.pids += 1;
                let runs = self.odd_plugins.get(&slug) != Some(&Agent::Dead);
                match &run.record {
                    Some(record) => {
                        self.plugins.insert(slug, Plugin { record: record.clone(), pid: runs.then_some(self.pids) });
                    }
                    None => drop(self.plugins.remove(&slug)),
                }
                continue;
            }
            let mut lives = |behaviour| {
                self.pids += 1;
                (well && behaviour != Agent::Dead).then(|| (self.pids, run.begun + run.script.takes))
            };
            match run.action.as_str() {
                "install" => {
                    self.installed.clone_from(&run.record);
                    self.before = None;
                    self.pid = lives(self.behaviour);
                }
                "upgrade" => {
                    if self.before.is_none() {
                        self.before.clone_from(&self.installed);
                    }
                    self.installed.clone_from(&run.record);
                    self.pid = lives(self.upgraded);
                }
                "switch_back" => {
                    let was_left = self.before.is_some();
                    if was_left {
                        self.installed = self.before.take();
                    }
                    if was_left || self.pid.is_none() {
                        self.pid = lives(self.behaviour);
                    }
                }
                "restart" | "reload" => {
                    if run.record.is_some() {
                        self.installed.clone_from(&run.record);
                    }
                    self.pid = lives(self.behaviour);
                }
                _ => (self.installed, self.pid) = (None, None),
            }
        }
    }

    /// Somebody asks the agent on its port. The status it answers with; `None` when nobody listens.
    pub(super) fn knock(&mut self) -> Option<Knock> {
        self.settle();
        let (pid, since) = self.pid?;
        let behaviour = if self.before.is_some() { self.upgraded } else { self.behaviour };
        match behaviour {
            Agent::Well => Some(Knock::Status(200)),
            Agent::WellAfter(delay) => (Instant::now() >= since + delay).then_some(Knock::Status(200)),
            Agent::Unwell => Some(Knock::Status(500)),
            Agent::Mute => Some(Knock::Nothing),
            Agent::Silent | Agent::Dead => None,
            Agent::DiesWhenAsked => {
                self.pid = None;
                None
            }
            Agent::RestartsWhenAsked => {
                self.pid = Some((pid + 1, since));
                Some(Knock::Status(200))
            }
        }
    }

    /// Does a plugin listen on that port?
    pub(super) fn plugin_listens(&mut self, port: u16) -> bool {
        self.settle();
        let is_well = |slug: &String| !self.odd_plugins.contains_key(slug);
        let listens = |plugin: &Plugin| String::from_utf8_lossy(&plugin.record).contains(&format!("\"127.0.0.1:{port}\""));
        self.plugins.iter().any(|(slug, plugin)| plugin.pid.is_some() && is_well(slug) && listens(plugin))
    }

    /// Starts a run, once per id.
    pub(super) fn start(&mut self, id: &str, action: &str, task: &str) -> &'static str {
        if self.runs.iter().any(|run| run.id == id) {
            return "attached";
        }
        let own = plugin_of(id).map_or_else(|| task.to_owned(), |slug| format!("{task}-{slug}"));
        let stage = self.stages.iter().find(|(dir, _)| dir.ends_with(&format!("/{own}"))).map(|(_, files)| files);
        let record = stage.and_then(|files| files.get("landfall.toml")).cloned();
        if matches!(action, "install" | "upgrade") {
            if record.is_none() {
                self.breaches.push(format!("run {id} was started without its files"));
            }
            if self.blobs.is_empty() {
                self.breaches.push(format!("run {id} was started without its package"));
            }
        }
        let other = self.runs.iter().find(|run| run.fate(Instant::now()) == Fate::Runs);
        if let Some(other) = other {
            self.breaches.push(format!("run {id} was started while {} runs", other.id));
        }
        let script = *self.scripts.get(self.runs.len()).or(self.scripts.last()).unwrap_or(&Script::takes(1));
        self.history.push(format!("run START {id}"));
        self.runs.push(Run {
            id: id.into(),
            action: action.into(),
            record,
            script,
            begun: Instant::now(),
            killed: None,
            settled: false,
        });
        "started"
    }

    /// Kills a run.
    pub(super) fn kill(&mut self, id: &str) -> &'static str {
        let now = Instant::now();
        match self.runs.iter_mut().find(|run| run.id == id && run.fate(now) == Fate::Runs) {
            None => "gone",
            Some(run) if !run.script.killable => "alive",
            Some(run) => {
                run.killed = Some(now);
                "killed"
            }
        }
    }
}

/// What a connection to the agent gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Knock {
    Status(u16),
    Nothing,
}
