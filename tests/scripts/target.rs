//! The executor's part of the conversation with a target, in a few lines: texts, templates, and one call per program.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use landfall::assets;
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior, context};

use crate::sandbox::{Answer, Sandbox};

pub const STATE: &str = "/var/lib/landfall";

pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// What a filter of this machine makes of some bytes.
pub fn through(words: &[&str], input: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut child = Command::new(words[0]).args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output.stdout
}

pub fn sha256(bytes: &[u8]) -> String {
    String::from_utf8(through(&["sha256sum"], bytes)).unwrap()[..64].to_owned()
}

/// Bytes that no compressor makes smaller, the same every time.
pub fn noise(length: usize) -> Vec<u8> {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    std::iter::repeat_with(|| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed as u8
    })
    .take(length)
    .collect()
}

/// A package archive, gzip, with one program `bin/agent` and whatever else.
pub fn package(agent: &str, others: &[(&str, &[u8])]) -> Vec<u8> {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("bin/agent");
    std::fs::create_dir(dir.path().join("bin")).unwrap();
    std::fs::write(&program, agent).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::write(dir.path().join("package.toml"), "name = \"demo\"\n").unwrap();
    for (path, bytes) in others {
        std::fs::write(dir.path().join(path), bytes).unwrap();
    }
    let mut words = vec!["tar", "-C", dir.path().to_str().unwrap(), "-czf", "-", "bin", "package.toml"];
    words.extend(others.iter().map(|(path, _)| *path));
    through(&words, b"")
}

/// Says what it was given and waits, with a child of its own. Not `sleep`: to ksh that is no program.
const AGENT: &str = "#!/bin/sh\ntrap 'exit 0' TERM\necho \"motto: $MOTTO\"\ntail -f /dev/null &\nwait\n";
/// How that child shows in the process table.
pub const CHILD: &str = "tail -f /dev/null";

/// One file of a bundle: name, mode, content.
pub type File = (String, u32, Vec<u8>);

pub fn file(name: &str, mode: u32, content: &str) -> File {
    (name.to_owned(), mode, content.as_bytes().to_vec())
}

fn triples(files: &[File]) -> (Vec<String>, Vec<u8>) {
    let words = files.iter().flat_map(|(name, mode, bytes)| [name.clone(), format!("{mode:o}"), bytes.len().to_string()]);
    (words.collect(), files.iter().flat_map(|(_, _, bytes)| bytes.clone()).collect())
}

pub fn put(host: &Sandbox, state: &str, blob: &[u8]) -> Answer {
    put_as(host, state, (&sha256(blob), blob.len(), "sha256sum"), blob)
}

/// An upload as announced: digest, size, digest tool; and what really comes.
pub fn put_as(host: &Sandbox, state: &str, announced: (&str, usize, &str), stdin: &[u8]) -> Answer {
    let (digest, size, tool) = announced;
    host.script(&assets::PUT, &[state, digest, &size.to_string(), tool], stdin)
}

pub fn bundle(host: &Sandbox, dir: &str, files: &[File]) -> Answer {
    let (mut words, bytes) = triples(files);
    words.insert(0, dir.to_owned());
    host.script(&assets::BUNDLE, &words, &bytes)
}

/// One run of a script, whatever it is.
pub struct Run<'a> {
    pub state: &'a str,
    pub id: &'a str,
    pub task: &'a str,
    pub action: &'a str,
    pub epoch: u32,
    pub deadline: u32,
    pub script: String,
    pub params: String,
}

impl Default for Run<'_> {
    fn default() -> Self {
        Self {
            state: STATE,
            id: "a-1",
            task: "a",
            action: "go",
            epoch: 1,
            deadline: 30,
            script: assets::AGENT.clone(),
            params: "\n".to_owned(),
        }
    }
}

impl Run<'_> {
    pub fn start(&self, host: &Sandbox) -> Vec<String> {
        let files = [
            file("agent.sh", 0o600, &self.script),
            file("runner.sh", 0o600, &assets::RUNNER),
            file("params", 0o600, &self.params),
        ];
        let (files, bytes) = triples(&files);
        let numbers = [self.epoch.to_string(), self.deadline.to_string()];
        let words = [self.state, self.id, self.action, self.task, &numbers[0], &numbers[1]];
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).chain(files).collect();
        host.script(&assets::START_RUN, &words, &bytes).words()
    }
}

/// A script that is no agent: for the stories about runs.
pub fn simple<'a>(id: &'a str, task: &'a str, script: &str) -> Run<'a> {
    Run { id, task, script: format!("#!/bin/sh\n{script}\n"), ..Run::default() }
}

#[derive(Debug, PartialEq, Eq)]
pub struct Followed {
    pub bytes: Vec<u8>,
    /// The last control line: `exit=0 12`, `lost` ...
    pub end: String,
}

impl Followed {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// The exit code; panics when the run ended otherwise.
    pub fn exit(&self) -> i32 {
        let (code, size) = self.end.strip_prefix("exit=").unwrap_or_else(|| panic!("{self:?}")).split_once(' ').unwrap();
        assert!(size.parse::<usize>().unwrap() >= self.bytes.len());
        code.parse().unwrap()
    }
}

pub fn follow(host: &Sandbox, id: &str, offset: usize) -> Followed {
    follow_in(host, STATE, id, offset)
}

pub fn follow_in(host: &Sandbox, state: &str, id: &str, offset: usize) -> Followed {
    let answer = host.script(&assets::FOLLOW, &[state, id, &offset.to_string()], b"");
    assert_eq!(answer.code, 0, "{answer:?}");
    let bytes = answer.stdout.strip_prefix(b"\n@@lf:ready@@\n").unwrap().to_vec();
    let end = answer.stderr.lines().last().unwrap().strip_prefix("@@lf:").unwrap().strip_suffix("@@").unwrap().to_owned();
    Followed { bytes, end }
}

/// The log of a run as it is now, its last bytes at most, and the word about it.
pub fn collect(host: &Sandbox, id: &str, most: usize) -> Followed {
    let answer = host.script(&assets::COLLECT, &[STATE, id, &most.to_string()], b"");
    assert_eq!(answer.code, 0, "{answer:?}");
    let bytes = answer.stdout.strip_prefix(b"\n@@lf:ready@@\n").unwrap().to_vec();
    let end = answer.stderr.lines().last().unwrap().strip_prefix("@@lf:").unwrap().strip_suffix("@@").unwrap().to_owned();
    Followed { bytes, end }
}

pub fn kill(host: &Sandbox, id: &str) -> Vec<String> {
    host.script(&assets::KILL, &[STATE, id], b"").words()
}

pub fn cleanup(host: &Sandbox, task: &str, keep_runs: u32, keep_blobs: &str, mode: &str) -> Vec<String> {
    host.script(&assets::CLEANUP, &[STATE, task, &keep_runs.to_string(), keep_blobs, mode], b"").words()
}

/// One agent as a job would install it. `act` does what the steps upload_package, upload_files and run_script do.
#[derive(Clone)]
pub struct Agent {
    /// `agent` or `proxy`: whose script it is.
    pub role: &'static str,
    pub name: &'static str,
    pub task: &'static str,
    pub setup: &'static str,
    pub user: &'static str,
    pub start: &'static str,
    pub release: &'static str,
    pub form: &'static str,
    pub need_kb: u64,
    pub process: &'static str,
    pub blob: Vec<u8>,
    pub extra: Vec<File>,
}

impl Default for Agent {
    fn default() -> Self {
        static BLOB: OnceLock<Vec<u8>> = OnceLock::new();
        Self {
            role: "agent",
            name: "demo",
            task: "task",
            setup: "/opt/land/agents",
            user: "",
            start: "exec bin/agent",
            release: "1.0-abcdef",
            form: "gzip",
            need_kb: 1024,
            process: "own",
            blob: BLOB.get_or_init(|| package(AGENT, &[])).clone(),
            extra: Vec::new(),
        }
    }
}

impl Agent {
    /// Everything that the step upload_files carries.
    pub fn stage(&self) -> Vec<File> {
        let mut files = vec![
            file("start", 0o755, &self.render("start.sh.j2")),
            file("unit", 0o644, &self.render("unit.service.j2")),
            file("init", 0o755, &self.render("init.sh.j2")),
            file("landfall.toml", 0o600, &format!("name = \"demo\"\nrelease = \"{}\"\n", self.release)),
            file("config/etc/agent.conf", 0o640, "port = 1\n"),
            file("config/empty", 0o644, ""),
        ];
        files.extend(self.extra.iter().cloned());
        files
    }

    pub fn render(&self, template: &str) -> String {
        self.render_on("linux", template)
    }

    /// The file as a host of that system gets it: `linux`, `aix` or `solaris`.
    pub fn render_on(&self, system: &str, template: &str) -> String {
        let templates = repository().join("templates");
        let place = ["unix", system].map(|dir| templates.join(dir).join(template));
        let source = std::fs::read_to_string(place.iter().find(|file| file.exists()).unwrap()).unwrap();
        let shell = match system {
            "aix" => "/usr/bin/ksh",
            "solaris" => "/usr/xpg4/bin/sh",
            _ => "/bin/sh",
        };
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let mut syntax = SyntaxConfig::builder();
        syntax.keep_trailing_newline(true);
        environment.set_syntax(syntax.build().unwrap());
        environment.add_filter("sh", |value: String| format!("'{}'", value.replace('\'', r"'\''")));
        environment.add_filter("unit", |value: String| {
            format!("\"{}\"", value.replace('\\', r"\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$"))
        });
        environment.add_filter("xml", |value: String| {
            let entities = [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\"", "&quot;"), ("'", "&apos;")];
            entities.iter().fold(value, |text, (character, entity)| text.replace(character, entity))
        });
        let values = context! {
            shell => shell, lives => assets::LIVES.as_str(), stop => "", name => self.name, version => "1.0", setup_path => self.setup, run_path => "/var/run/land", log_path => "/var/log/land",
            data_path => "/var/lib/land/data", temp_path => "/tmp", user => self.user, start => self.start,
            env => [context! { key => "MOTTO", value => "it's \"fine\" $HOME" }],
        };
        environment.render_str(&source, values).unwrap()
    }

    pub fn params(&self) -> String {
        let digest = sha256(&self.blob);
        let Self { name, task, setup, user, release, form, need_kb, process, .. } = self;
        format!(
            "task={task}\nname={name}\nversion=1.0\nrelease={release}\nstate={STATE}\ndigest={digest}\nblob={digest}\nform={form}\n\
             setup_path={setup}\ndata_path=/var/lib/land/data\nrun_path=/var/run/land\nlog_path=/var/log/land\ntemp_path=/tmp\n\
             stage={task}\nneed_kb={need_kb}\nuser={user}\nprocess={process}\nunknown=key\n\
             config=640 etc/agent.conf\nconfig=644 empty"
        )
    }

    fn script(&self) -> &'static String {
        if self.role == "proxy" { &assets::PROXY } else { &assets::AGENT }
    }

    /// Begins an action and does not wait for it; the run id.
    pub fn begin(&self, host: &Sandbox, action: &str) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        assert!(put(host, STATE, &self.blob).code == 0);
        assert_eq!(bundle(host, &format!("{STATE}/stage/{}", self.task), &self.stage()).words(), ["ready", "stored"]);
        let id = format!("{}-run_script-{}", self.task, NEXT.fetch_add(1, Ordering::Relaxed));
        let run =
            Run { id: &id, task: self.task, action, params: self.params(), script: self.script().clone(), ..Run::default() };
        assert_eq!(run.start(host), ["ready", "started"]);
        id
    }

    /// The script alone, without a runner: for what it refuses before it looks at anything.
    pub fn judged(&self, host: &Sandbox, action: &str) -> i32 {
        host.write("/tmp/judged/params", self.params().as_bytes(), 0o600);
        host.script(&assets::AGENT, &[action, "/tmp/judged"], b"").code
    }

    /// Does an action to its end. The exit code and the log.
    pub fn act(&self, host: &Sandbox, action: &str) -> (i32, String) {
        let followed = follow(host, &self.begin(host, action), 0);
        (followed.exit(), followed.text())
    }

    /// Does an action that must succeed; its log.
    pub fn does(&self, host: &Sandbox, action: &str) -> String {
        let (code, log) = self.act(host, action);
        assert_eq!(code, 0, "{action}:\n{log}");
        log
    }

    /// Does an action that must fail in this way.
    pub fn fails(&self, host: &Sandbox, action: &str, name: &str) -> String {
        let (code, log) = self.act(host, action);
        assert_eq!(Some(code), exit_code(name), "{action}:\n{log}");
        log
    }
}

/// The number that `exit_codes.toml` gives to a name.
pub fn exit_code(name: &str) -> Option<i32> {
    exit_codes().into_iter().find(|(_, known)| known == name).map(|(code, _)| code)
}

pub fn exit_codes() -> Vec<(i32, String)> {
    let source = std::fs::read_to_string(repository().join("scripts/exit_codes.toml")).unwrap();
    let table: toml::Table = source.parse().unwrap();
    let codes = table["code"].as_array().unwrap();
    codes.iter().map(|code| (code["exit"].as_integer().unwrap() as i32, code["name"].as_str().unwrap().to_owned())).collect()
}
