//! Services of `docker-compose.yml` for the length of a test: a compose project of its own, on addresses of its own.
//!
//! Images are tagged by what they are made of, so they are built once and shared; old ones stay until somebody prunes them,
//! since nobody knows who else is about to use them. Everything else goes down with the [`Project`]; what a killed test left
//! is taken down by `scripts/test.sh`, which finds it by the project's name.

use std::fs::{self, File};
use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::package::hex;

/// The project's root.
pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// The addresses that the files of `examples/containers` name.
const NET: &str = "10.78.0";
/// Longest wait for an SSH server that was just started.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Project {
    name: String,
    /// The first three numbers of its addresses.
    net: String,
    images: String,
    /// The files of `examples/containers` with this project's addresses, and what `override.yml` says beside them.
    dir: TempDir,
}

impl Project {
    /// Brings services up and waits until those that can be reached from here answer.
    #[track_caller]
    pub fn up(services: &[&str]) -> Self {
        let mut project = Self::prepared();
        services.iter().for_each(|service| drop(project.image(service)));
        // Networks of others are in the way more often than not, and nobody tells which are free.
        let first = std::process::id() % 250;
        for number in (0..250).map(|step| (first + step) % 250 + 1) {
            project.net = format!("10.78.{number}");
            let output = project.compose(&[&["up", "--detach", "--no-build"], services].concat());
            let told = String::from_utf8_lossy(&output.stderr);
            if output.status.success() {
                project.write_jobs();
                project.await_servers(services);
                return project;
            }
            assert!(told.contains("overlaps"), "compose up failed: {told}");
            project.down();
        }
        panic!("no network 10.78.x.0/24 is free");
    }

    /// A project that nothing was started of.
    #[track_caller]
    pub fn prepared() -> Self {
        base_image();
        let dir = tempfile::Builder::new().prefix("landfall-compose-").tempdir().expect("a directory for a compose project");
        let name = format!("landfall-test-{}", std::process::id());
        let project = Self { name, net: NET.to_owned(), images: images(), dir };
        // Compose wants every build context to be there, whatever it is asked for.
        for dir in [project.jobs(), project.context()] {
            fs::create_dir(dir).expect("a directory of the project");
        }
        // What is only so in tests: the containers of Landfall carry the binary that is tested, and read these job files.
        let own =
            format!("{{build: {{context: {:?}}}, volumes: [\"{}:/jobs:ro\"]}}", project.context(), project.jobs().display());
        let own = format!("services: {{landfall: {own}, api: {own}, executor: {own}}}\n");
        fs::write(project.dir.path().join("override.yml"), own).expect("an override file");
        project
    }

    /// What the image `landfall` is built from ([`landfall_context`]); empty until then.
    pub fn context(&self) -> PathBuf {
        self.dir.path().join("context")
    }

    /// Where the files of `examples/containers` are, with this project's addresses.
    pub fn jobs(&self) -> PathBuf {
        self.dir.path().join("jobs")
    }

    /// One of those files.
    pub fn file(&self, name: &str) -> String {
        self.jobs().join(name).display().to_string()
    }

    /// An address of this project by its last number.
    pub fn address(&self, number: u8) -> String {
        format!("{}.{number}", self.net)
    }

    fn write_jobs(&self) {
        for entry in fs::read_dir(Path::new(ROOT).join("examples/containers")).expect("examples/containers") {
            let path = entry.expect("an entry").path();
            let text = fs::read_to_string(&path).expect("a text");
            let to = self.jobs().join(path.file_name().expect("a name"));
            // A copy keeps the mode, which of a key file is looked at.
            fs::copy(&path, &to).expect("a copy");
            fs::write(&to, text.replace(&format!("{NET}."), &format!("{}.", self.net))).expect("a job file");
        }
    }

    /// The image of a host, built unless there is one. The first test builds it, the others wait.
    #[track_caller]
    pub fn image(&self, service: &str) -> String {
        let lock = File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("compose-images.lock")).expect("a lock file");
        lock.lock().expect("the lock");
        let image = format!("landfall-host-{service}:{}", self.images);
        if !docker(&["image", "inspect", &image]).status.success() {
            went_well(self.compose(&["build", service]), "compose build");
        }
        image
    }

    fn await_servers(&self, services: &[&str]) {
        let known = [
            ("password", 11),
            ("key", 12),
            ("sudo", 13),
            ("dropbear", 14),
            ("gateway", 15),
            ("gateway2", 16),
            ("aix", 17),
            ("solaris", 18),
        ];
        for (service, number) in known.iter().filter(|(service, _)| services.contains(service)) {
            let address: SocketAddr = format!("{}:22", self.address(*number)).parse().expect("an address");
            let end = Instant::now() + PATIENCE;
            while !answers(&address) {
                assert!(Instant::now() < end, "{service} does not answer: {}", told(&self.compose(&["logs", service])));
                sleep(Duration::from_millis(50));
            }
        }
    }

    /// Runs compose for this project.
    pub fn compose(&self, arguments: &[&str]) -> Output {
        let mut command = program(programs().first().unwrap_or_else(|| panic!("{NO_COMPOSE}")));
        command.args(["--project-name", &self.name, "--project-directory", ROOT]);
        command.args(["--file", "docker-compose.yml", "--file"]).arg(self.dir.path().join("override.yml")).args(arguments);
        // Without a port of ours the engine takes any that is free.
        let own = [
            ("LANDFALL_NET", self.net.as_str()),
            ("LANDFALL_IMAGES", &self.images),
            ("LANDFALL_PORT", ""),
            // An engine that builds on a busy machine answers late, and compose 1.29 gives up after a minute.
            ("COMPOSE_HTTP_TIMEOUT", "280"),
        ];
        command.current_dir(ROOT).envs(own);
        run(command)
    }

    /// Runs a line of shell as root in a service, beside SSH; gives what it printed.
    #[track_caller]
    pub fn exec(&self, service: &str, line: &str) -> String {
        went_well(self.output(service, line), &format!("`{line}` in {service}"))
    }

    /// Like [`Project::exec`], with exit code and both streams.
    pub fn output(&self, service: &str, line: &str) -> Output {
        self.compose(&["exec", "-T", service, "/bin/sh", "-c", line])
    }

    /// Runs `landfall` in its own container.
    #[track_caller]
    pub fn landfall(&self, arguments: &[&str]) -> String {
        self.carry_binary();
        let packages = format!("{}:/packages:ro", crate::package::node_exporter().parent().expect("a directory").display());
        let output = self.compose(&[&["run", "--rm", "-T", "--volume", &packages, "landfall"], arguments].concat());
        went_well(output, &format!("landfall {}", arguments.join(" ")))
    }

    /// Brings up the record in PostgreSQL and the two processes over it; whether they answer is not waited for.
    #[track_caller]
    pub fn serve(&self) {
        self.carry_binary();
        went_well(self.compose(&["--profile", "serve", "up", "--detach", "api", "executor"]), "compose up");
    }

    fn carry_binary(&self) {
        if !self.context().join("target").exists() {
            landfall_context(&self.context(), Some(Path::new(env!("CARGO_BIN_EXE_landfall"))));
        }
    }

    fn down(&self) -> Output {
        self.compose(&["--profile", "serve", "down", "--volumes", "--remove-orphans", "--rmi", "local", "--timeout", "2"])
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let output = self.down();
        // A second panic would abort and hide the first one, which is the one that matters.
        if std::thread::panicking() {
            eprint!("{}", told(&output));
        } else {
            went_well(output, "compose down");
        }
    }
}

const NO_COMPOSE: &str =
    "docker has no compose here: apt-get install docker-compose; `scripts/test.sh --no-containers` leaves this out";

/// The implementations of compose that are here: the plugin of today's docker, the program of before.
pub fn programs() -> Vec<&'static [&'static str]> {
    let known: [&[&str]; 2] = [&["docker", "compose"], &["docker-compose"]];
    let here = |words: &&[&str]| program(words).arg("version").output().is_ok_and(|output| output.status.success());
    known.into_iter().filter(here).collect()
}

/// A command that begins with these words.
pub fn program(words: &[&str]) -> Command {
    let (name, rest) = words.split_first().expect("a program");
    let mut command = Command::new(name);
    command.args(rest).stdin(Stdio::null());
    command
}

/// What every image here is built on.
#[track_caller]
fn base_image() {
    went_well(run(Command::new(Path::new(ROOT).join("scripts/base-image.sh"))), "scripts/base-image.sh");
}

/// Lays out what the image `landfall` is built from, with or without a binary.
pub fn landfall_context(dir: &Path, binary: Option<&Path>) {
    const DOCKERFILE: &str = "tests/world/containers/landfall.Dockerfile";
    for below in ["target/release", "tests/world/containers"] {
        fs::create_dir_all(dir.join(below)).expect("a build context");
    }
    fs::copy(Path::new(ROOT).join(DOCKERFILE), dir.join(DOCKERFILE)).expect("the Dockerfile");
    // Always the same text, so that a build that fails leaves the same layer every time.
    fs::write(dir.join("README.md"), "A build of the tests.\n").expect("a README");
    if let Some(binary) = binary {
        fs::copy(binary, dir.join("target/release/landfall")).expect("a binary");
    }
}

/// Names what the hosts' images are made of.
fn images() -> String {
    let world = Path::new(ROOT).join("tests/world");
    let mut files: Vec<PathBuf> = ["provision", "containers"]
        .iter()
        .flat_map(|dir| fs::read_dir(world.join(dir)).expect("a directory of the test world"))
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    let base = docker(&["image", "inspect", "--format", "{{ .Id }}", "landfall-base:local"]);
    let mut all = went_well(base, "docker image inspect landfall-base:local").into_bytes();
    for file in files {
        all.extend(fs::read(file).expect("a file of the test world"));
    }
    all.extend(fs::read(Path::new(ROOT).join("docker-compose.yml")).expect("docker-compose.yml"));
    hex(&all).chars().take(12).collect()
}

fn answers(address: &SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect_timeout(address, Duration::from_secs(1)) else { return false };
    let mut banner = [0; 4];
    stream.set_read_timeout(Some(Duration::from_secs(2))).is_ok() && stream.read_exact(&mut banner).is_ok() && &banner == b"SSH-"
}

pub fn docker(arguments: &[&str]) -> Output {
    let mut command = Command::new("docker");
    command.args(arguments);
    run(command)
}

#[track_caller]
pub fn run(mut command: Command) -> Output {
    let what = format!("{command:?}");
    command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("cannot run {what}: {error}"))
}

pub fn told(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|stream| String::from_utf8_lossy(stream)).concat()
}

/// The standard output of a command that must have gone well.
#[track_caller]
pub fn went_well(output: Output, what: &str) -> String {
    assert!(output.status.success(), "{what} failed ({})\n{}", output.status, told(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
