//! The programs of `scripts/unix`, as far as an executor can tell: same words, same order, same guards.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use landfall::transport::Output;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::machine::{Fate, Knock, Machine, Plugin, plugin_of};
use super::session::Link;
use super::{Ask, Sudo, Transfer, Trouble};

/// A pause of the follower.
const NAP: Duration = Duration::from_millis(200);
/// A vanished run is called lost at the second look.
const SECOND_LOOK: Duration = Duration::from_secs(5);

/// Streams of a running program.
pub(super) struct Io {
    pub(super) link: Link,
    pub(super) output: mpsc::UnboundedSender<Output>,
    pub(super) stdin: mpsc::Receiver<Bytes>,
    pub(super) line: VecDeque<u8>,
    pub(super) trouble: Option<Trouble>,
}

impl Io {
    fn stdout(&self, text: impl Into<Bytes>) {
        let _ = self.output.send(Output::Stdout(text.into()));
    }

    fn stderr(&self, text: impl Into<Bytes>) {
        let _ = self.output.send(Output::Stderr(text.into()));
    }

    fn ready(&self) {
        self.stdout("\n@@lf:ready@@\n");
    }

    fn machine<T>(&self, look: impl FnOnce(&mut Machine) -> T) -> T {
        look(&mut self.link.host.lock())
    }

    /// Takes its time, then says its last word, unless trouble comes in between.
    async fn answer(&self, word: &str) -> u32 {
        let latency = self.machine(|machine| machine.latency);
        tokio::time::sleep(latency).await;
        if self.trouble == Some(Trouble::LostAfter) {
            return self.lose().await;
        }
        self.stdout(format!("@@lf:{word}@@\n"));
        u32::from(word.starts_with("fail="))
    }

    async fn lose(&self) -> u32 {
        self.link.lose();
        std::future::pending().await
    }

    async fn read(&mut self) -> Option<Bytes> {
        self.stdin.recv().await
    }

    async fn read_line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.line.drain(..=end).collect();
                return Some(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            let bytes = self.read().await?;
            self.line.extend(bytes);
        }
    }

    async fn read_to_end(&mut self) -> Vec<u8> {
        let mut all: Vec<u8> = self.line.drain(..).collect();
        while let Some(bytes) = self.read().await {
            all.extend_from_slice(&bytes);
        }
        all
    }
}

/// Asks for the password as sudo does. Gives whether the program runs as root, or sudo's exit code.
pub(super) async fn become_root(io: &mut Io, sudo: Option<&Option<String>>) -> Result<bool, u32> {
    let wants = io.sudo();
    let Some(prompt) = sudo else { return Ok(wants == Sudo::NotNeeded) };
    match (wants, prompt) {
        (Sudo::NotNeeded | Sudo::Free, _) => Ok(true),
        (Sudo::Refused, _) => {
            io.stderr("sorry, user ops is not in the sudoers file\n");
            Err(1)
        }
        (Sudo::Password(_), None) => {
            io.stderr("sudo: a password is required\n");
            Err(1)
        }
        (Sudo::Password(right), Some(prompt)) => {
            for _ in 0..3 {
                io.stderr(prompt.clone());
                match io.read_line().await {
                    Some(given) if given == right => return Ok(true),
                    Some(_) => io.stderr("Sorry, try again.\n"),
                    None => break,
                }
            }
            io.stderr("sudo: no password was provided\n");
            Err(1)
        }
    }
}

/// Runs a program to its end.
pub(super) async fn run(ask: Ask, io: Io, args: &[String], as_root: bool) -> u32 {
    if let Some(Trouble::Says(word)) = io.trouble {
        io.ready();
        return io.answer(word).await;
    }
    if !as_root && ask != Ask::Probe {
        io.machine(|machine| machine.breaches.push(format!("{ask:?} was not sent as root")));
    }
    match ask {
        Ask::Probe => probe(io, as_root).await,
        Ask::Put => put(io, args).await,
        Ask::Bundle => bundle(io, args).await,
        Ask::Start => start(io, args).await,
        Ask::Follow => follow(io, args).await,
        Ask::Collect => {
            io.ready();
            io.stderr("\n");
            let started = io.machine(|machine| machine.runs.iter().any(|run| run.id == args[1]));
            io.stderr(if started { "@@lf:size=7@@\n" } else { "@@lf:missing@@\n" });
            0
        }
        Ask::Kill => {
            io.ready();
            let word = io.machine(|machine| machine.kill(&args[1]));
            io.answer(word).await
        }
        Ask::Status => status(io, args).await,
        Ask::Health => health(io, args).await,
        Ask::Measure => measure(io, args).await,
        Ask::Cleanup => {
            io.ready();
            io.machine(|machine| machine.tidy(&args[1], &args[3], &args[4]));
            io.answer("done").await
        }
        Ask::Connect | Ask::Forward => 127,
    }
}

async fn probe(mut io: Io, as_root: bool) -> u32 {
    io.stdout("Welcome to the machine\n");
    io.ready();
    let setup = io.read_line().await.unwrap_or_default();
    let uid = if as_root { 0 } else { 1000 };
    let mut facts = vec![
        "begin".to_owned(),
        "os=Linux".into(),
        "cpu=x86_64".into(),
        "distro=debian 12".into(),
        "shell=/bin/bash".into(),
        format!("uid={uid}"),
        format!("user={}", if as_root { "root" } else { "ops" }),
        format!("boot={}", io.machine(|machine| machine.boot())),
        "init=sysv".into(),
        "tools=gzip tar sha256sum sudo setsid dd".into(),
        format!("setup={setup} 10000000 rw"),
    ];
    if as_root {
        facts.push("place=/var/lib/landfall 10000000 ok".into());
        io.machine(|machine| {
            machine.settle();
            facts.extend(machine.blobs.iter().map(|(sha256, size)| format!("blob={sha256} {size}")));
            if let Some(text) = &machine.installed {
                facts.push(format!("installed={setup}/agent/landfall.toml"));
                facts.extend(String::from_utf8_lossy(text).lines().map(|line| format!("toml={line}")));
            }
            for (slug, plugin) in &machine.plugins {
                facts.push(format!("installed={setup}/{slug}/landfall.toml"));
                facts.extend(String::from_utf8_lossy(&plugin.record).lines().map(|line| format!("toml={line}")));
            }
        });
    }
    for fact in facts {
        io.stdout(format!("@@lf:{fact}@@\n"));
    }
    io.answer("end").await
}

async fn put(mut io: Io, args: &[String]) -> u32 {
    let (sha256, size) = (args[1].clone(), args[2].parse::<u64>().unwrap());
    io.ready();
    if io.machine(|machine| machine.blobs.contains_key(&sha256)) {
        return io.answer("have").await;
    }
    let offset = io.machine(|machine| machine.partial.entry(sha256.clone()).or_default().len() as u64);
    io.stdout(format!("@@lf:want={offset}@@\n"));
    let _inside = io.link.fleet.uploads.enter();
    let begun = Instant::now();
    io.machine(|machine| machine.transfers.push(Transfer { offset, bytes: 0, begun, ended: begun }));
    while let Some(bytes) = io.read().await {
        let came = io.machine(|machine| machine.receive(&sha256, &bytes));
        if matches!(io.trouble, Some(Trouble::LostAt(most)) if came >= most) {
            return io.lose().await;
        }
    }
    if io.trouble == Some(Trouble::Corrupt) {
        io.machine(|machine| machine.partial.get_mut(&sha256).unwrap()[0] ^= 1);
    }
    let word = io.machine(|machine| machine.store(&sha256, size));
    io.answer(&word).await
}

async fn bundle(mut io: Io, args: &[String]) -> u32 {
    io.ready();
    let bytes = io.read_to_end().await;
    let word = match unpack(&args[1..], &bytes) {
        Ok(files) => {
            io.machine(|machine| machine.stages.insert(args[0].clone(), files));
            "stored".to_owned()
        }
        Err(word) => word,
    };
    io.answer(&word).await
}

async fn start(mut io: Io, args: &[String]) -> u32 {
    io.ready();
    let bytes = io.read_to_end().await;
    let word = match unpack(&args[6..], &bytes) {
        Ok(files) if files.keys().map(String::as_str).eq(["agent.sh", "params", "runner.sh"]) => {
            io.machine(|machine| machine.start(&args[1], &args[2], &args[3])).to_owned()
        }
        Ok(_) => "fail=bad_name x".into(),
        Err(word) => word,
    };
    io.answer(&word).await
}

/// The files of NAME MODE SIZE triples, or the word of a short stream.
fn unpack(triples: &[String], bytes: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let mut files = BTreeMap::new();
    let mut rest = bytes;
    for triple in triples.chunks(3) {
        let size = triple[2].parse::<usize>().unwrap();
        let (file, after) = rest.split_at_checked(size).ok_or_else(|| format!("fail=short {}", bytes.len()))?;
        files.insert(triple[0].clone(), file.to_vec());
        rest = after;
    }
    if rest.is_empty() { Ok(files) } else { Err("fail=short more than announced".into()) }
}

async fn follow(io: Io, args: &[String]) -> u32 {
    let (id, mut offset) = (&args[1], args[2].parse::<usize>().unwrap());
    io.ready();
    io.stderr("\n");
    let begun = Instant::now();
    for tick in 0.. {
        let now = Instant::now();
        let seen = io.machine(|machine| {
            let run = machine.runs.iter().find(|run| run.id == *id)?;
            Some((run.log(now), run.fate(now), machine.is_down()))
        });
        let Some((log, fate, down)) = seen else {
            io.stderr("@@lf:missing@@\n");
            return 0;
        };
        if down || matches!(io.trouble, Some(Trouble::LostIn(after)) if begun + after <= now) {
            return io.lose().await;
        }
        if matches!(io.trouble, Some(Trouble::SilentIn(after)) if begun + after <= now) {
            std::future::pending().await
        }
        let word = match fate {
            Fate::Exit(code) => Some(format!("exit={code} {}", log.len())),
            Fate::Rebooted => Some("rebooted".into()),
            Fate::Gone(since) => (now >= since + SECOND_LOOK).then(|| "lost".into()),
            Fate::Runs => None,
        };
        if let Some(word) = &word
            && io.trouble == Some(Trouble::WordFirst)
        {
            io.stderr(format!("@@lf:{word}@@\n"));
            tokio::time::sleep(NAP).await;
        }
        if let Some(news) = log.get(offset..).filter(|news| !news.is_empty()) {
            io.stdout(news.to_vec());
            offset = log.len();
        }
        if word.is_some() && io.trouble == Some(Trouble::LostAfter) {
            return io.lose().await;
        }
        if let Some(word) = word {
            io.stderr(format!("@@lf:{word}@@\n"));
            return 0;
        }
        if tick % 25 == 0 {
            io.stderr("@@lf:beat@@\n");
        }
        tokio::time::sleep(NAP).await;
    }
    0
}

async fn status(io: Io, args: &[String]) -> u32 {
    io.ready();
    let latency = io.machine(|machine| machine.latency);
    tokio::time::sleep(latency).await;
    if io.trouble == Some(Trouble::LostAfter) {
        return io.lose().await;
    }
    io.machine(|machine| {
        machine.settle();
        if !machine.runs.iter().any(|run| args[0].ends_with(&format!("/{}", run.id))) {
            io.stderr(format!("sh: can't open {}/agent.sh\n", args[0]));
            return 127;
        }
        if let Some(slug) = args[0].rsplit_once('/').and_then(|(_, id)| plugin_of(id)) {
            return match machine.plugins.get(&slug) {
                None => 34,
                Some(Plugin { pid: None, .. }) => 35,
                Some(Plugin { pid: Some(pid), .. }) => {
                    io.stdout(format!("process=pid {pid} 7\n"));
                    0
                }
            };
        }
        match (&machine.installed, machine.pid) {
            (None, _) => 34,
            (Some(_), None) => 35,
            (Some(_), Some((pid, _))) => {
                io.stdout(format!("process=pid {pid} 7\n"));
                0
            }
        }
    })
}

async fn measure(io: Io, args: &[String]) -> u32 {
    io.ready();
    for server in &args[1..] {
        match io.machine(|machine| machine.servers.get(server).copied()) {
            Some(away) => io.stdout(format!("@@lf:took={server} {}@@\n", away.as_micros())),
            None => io.stdout(format!("@@lf:silent={server} Connection refused@@\n")),
        }
    }
    io.answer("end").await
}

async fn health(io: Io, args: &[String]) -> u32 {
    io.ready();
    let until = Instant::now() + Duration::from_secs(args[0].parse().unwrap());
    loop {
        match io.machine(Machine::knock) {
            Some(Knock::Status(200)) => return io.answer("healthy").await,
            _ if Instant::now() >= until => return io.answer("unhealthy=curl: (7) Connection refused").await,
            _ => tokio::time::sleep(Duration::from_millis(500)).await,
        }
    }
}

impl Machine {
    /// Takes in bytes of a payload; gives how many came in this transfer.
    fn receive(&mut self, sha256: &str, bytes: &[u8]) -> u64 {
        self.partial.entry(sha256.to_owned()).or_default().extend_from_slice(bytes);
        let transfer = self.transfers.last_mut().unwrap();
        transfer.bytes += bytes.len() as u64;
        transfer.ended = Instant::now();
        transfer.bytes
    }

    /// Gives a payload its name, when it is whole and right.
    fn store(&mut self, sha256: &str, size: u64) -> String {
        let partial = &self.partial[sha256];
        let got = partial.len() as u64;
        if got < size {
            return format!("fail=short {got} of {size}");
        }
        let digest: String = Sha256::digest(partial).iter().map(|byte| format!("{byte:02x}")).collect();
        self.partial.remove(sha256);
        if got > size || digest != sha256 {
            return format!("fail=checksum {got} bytes received");
        }
        self.blobs.insert(sha256.to_owned(), size);
        "stored".into()
    }

    fn tidy(&mut self, task: &str, keep: &str, mode: &str) {
        self.stages.retain(|dir, _| !dir.contains(&format!("/{task}")));
        self.blobs.retain(|sha256, _| mode == "keep" && keep.split(' ').any(|kept| kept == sha256));
    }
}
