//! No secret of a job is found anywhere it was not put by its owner: not in the data directory, not in a log at trace level,
//! not in a process list or an environment on either side, not in a file of a target.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use serde_json::json;

use crate::landfall::{Landfall, Running, entry};
use crate::package;
use crate::world::World;

/// The caller's own variable: it is in the environment of the process because the caller put it there.
const VARIABLE: &str = "ROOT_PASSWORD";

struct Needle {
    what: &'static str,
    bytes: Vec<u8>,
}

fn needles(world: &World) -> Vec<Needle> {
    let needle = |what, text: &str| Needle { what, bytes: text.as_bytes().to_vec() };
    let key = fs::read_to_string(&world.encrypted_key_file).unwrap();
    let line = key.lines().nth(2).unwrap();
    vec![
        needle("root's password", world.host("by-password").password.as_ref().unwrap()),
        needle("the account's password", world.host("by-sudo").password.as_ref().unwrap()),
        needle("the passphrase", &world.passphrase),
        needle("the private key", line),
    ]
}

fn find(text: &[u8], needles: &[Needle]) -> Vec<&'static str> {
    needles.iter().filter(|needle| contains(text, &needle.bytes)).map(|needle| needle.what).collect()
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    let Some(first) = part.first() else { return false };
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        if rest[at..].starts_with(part) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

/// Looks at the command lines and environments of all processes, those on the hosts included: they are processes of this
/// machine. What it found, and how many looks it took.
struct Watch {
    over: Arc<AtomicBool>,
    watcher: JoinHandle<(BTreeSet<String>, usize)>,
}

impl Watch {
    /// `own` is the process whose environment holds [`VARIABLE`].
    fn start(needles: Vec<Needle>, own: u32) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let ended = over.clone();
        let watcher = spawn(move || {
            let (mut found, mut looks) = (BTreeSet::new(), 0);
            while !ended.load(Ordering::Relaxed) {
                look(&needles, own, &mut found);
                looks += 1;
                sleep(Duration::from_millis(5));
            }
            (found, looks)
        });
        Self { over, watcher }
    }

    fn end(self) -> (BTreeSet<String>, usize) {
        self.over.store(true, Ordering::Relaxed);
        self.watcher.join().unwrap()
    }
}

fn look(needles: &[Needle], own: u32, found: &mut BTreeSet<String>) {
    for process in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        for file in ["cmdline", "environ"] {
            // Gone by now, as processes are.
            let Ok(mut text) = fs::read(process.path().join(file)) else { continue };
            if file == "environ" && pid == own {
                let entries = text.split(|byte| *byte == 0).filter(|entry| !entry.starts_with(VARIABLE.as_bytes()));
                text = entries.collect::<Vec<_>>().join(&0);
            }
            for what in find(&text, needles) {
                found.insert(format!("{what} in {file} of {pid}: {}", String::from_utf8_lossy(&text).replace('\0', " ")));
            }
        }
    }
}

/// Every file below a directory that holds a secret.
fn files_with(dir: &Path, needles: &[Needle], found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).unwrap().filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            files_with(&path, needles, found);
        } else {
            for what in find(&fs::read(&path).unwrap(), needles) {
                found.push(format!("{what} in {}", path.display()));
            }
        }
    }
}

#[test]
fn no_secret_is_left_anywhere() {
    let world = World::up(&[("by-password", "password"), ("by-key", "key"), ("by-sudo", "sudo")]);
    let needles = needles(&world);
    let landfall = Landfall::with(&package::node_exporter());
    let mut hosts: Vec<_> = world.hosts().iter().map(entry).collect();
    hosts[0]["password"] = json!({"env": VARIABLE});
    hosts[1]["key"] = json!({"file": world.encrypted_key_file});
    hosts[1]["passphrase"] = world.passphrase.as_str().into();
    hosts[2]["sudo_password"] = hosts[2]["password"].clone();
    for host in world.hosts() {
        world.exec(&host.name, ": >/run/before");
    }

    for kind in ["INSTALL_AGENT", "UNINSTALL_AGENT"] {
        let file = landfall.job_file(&json!({"job_type": kind, "hosts": hosts})).display().to_string();
        let mut command = landfall.command(&["run", &file, "--output", "json", "-vvv"]);
        command.env(VARIABLE, world.host("by-password").password.as_ref().unwrap());
        let running = Running::spawn(command);
        let watch = Watch::start(self::needles(&world), running.pid());
        let report = running.report();
        let (seen, looks) = watch.end();
        let report = report.succeeded();
        assert!(seen.is_empty(), "{kind}: {seen:#?}");
        assert!(looks > 20, "only {looks} looks at the processes");
        assert!(report.stderr.contains("TRACE"), "no log at trace level: {:.2000}", report.stderr);
        assert_eq!(find(report.stderr.as_bytes(), &needles), [""; 0], "{kind}: in the log");
        assert_eq!(find(report.stdout.as_bytes(), &needles), [""; 0], "{kind}: on stdout");

        let number = report.job().to_string();
        for words in [["job", "show", &number], ["job", "log", &number]] {
            for form in ["text", "json"] {
                let done = landfall.call(&[words.as_slice(), &["--output", form]].concat());
                assert_eq!(find(done.stdout.as_bytes(), &needles), [""; 0], "{kind}: in {words:?}");
            }
        }
        let mut found = Vec::new();
        let address = Needle { what: "an address", bytes: world.host("by-key").ip.clone().into_bytes() };
        files_with(&landfall.data(), &[address], &mut found);
        assert!(!found.is_empty(), "the search finds nothing at all");
        found.clear();
        files_with(&landfall.data(), &needles, &mut found);
        assert!(found.is_empty(), "{kind}: {found:#?}");

        for host in world.hosts() {
            let changed =
                "find / /run /tmp /dev/shm -xdev -type f -cnewer /run/before ! -path /run/before -exec cat {} + 2>/dev/null";
            let text = world.output(&host.name, changed).stdout;
            assert!(text.len() > 1_000, "{}: nothing was changed", host.name);
            assert_eq!(find(&text, &needles), [""; 0], "{kind}: left on {}", host.name);
        }
    }
}

#[test]
fn the_watch_would_see_a_secret_in_a_process_of_a_host() {
    let world = World::up(&[("a", "password")]);
    for (place, line) in [("cmdline", "sleep 0.5; : careless"), ("environ", "x=care; export word=${x}less; sh -c 'sleep 0.5; :'")]
    {
        let watch = Watch::start(vec![Needle { what: "it", bytes: b"careless".to_vec() }], 0);
        world.exec("a", line);
        let (seen, _) = watch.end();
        assert!(seen.iter().any(|found| found.starts_with(&format!("it in {place} of "))), "{place}: {seen:?}");
    }
}

#[test]
fn the_seals_key_and_the_record_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let landfall = Landfall::new();
    assert_eq!(landfall.call(&["job", "list"]).exit, 0);
    for file in ["key", "landfall.db"] {
        let mode = fs::metadata(landfall.data().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file}: {mode:o}");
    }
    let mode = fs::metadata(landfall.data()).unwrap().permissions().mode();
    assert_eq!(mode & 0o022, 0, "{mode:o}");
}
