//! A throw-away root: a machine's file tree and processes for the length of one test, without SSH.
//!
//! Namespaces of its own for mounts and processes, a fresh `/etc`, `/var`, `/opt`, `/run`, `/tmp`, and this machine's `/usr`
//! under an overlay, where `sh` is the shell under test. Dropping the [`Sandbox`] ends every process in it. It never touches
//! the network, and there is no skipping: what is missing here fails the test and names the package to install.

#![allow(dead_code, reason = "every test binary uses its own part of this")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tempfile::TempDir;

/// The shells that a target's `sh` may be, with the package that brings each.
pub const SHELLS: [(&str, &str); 4] = [("dash", "dash"), ("bash", "bash"), ("busybox", "busybox"), ("ksh", "ksh93u+m")];

/// No story waits longer than 20 s on purpose; a session that stays open because somebody holds its output does.
const PATIENCE: Duration = Duration::from_secs(90);

/// Process 1 of the sandbox. It reaps orphans while it waits for its stdin to close, which also happens when the test dies.
const INIT: &str = r#"
set -eu
root=$1 shell=$2
mount -t tmpfs -o mode=755 sandbox "$root"
cd "$root"
mkdir upper work r
mount --bind r r
cd r
mkdir -p usr etc/init.d dev proc sys tmp run root home opt var/lib var/log var/tmp
for level in 0 1 2 3 4 5 6; do mkdir "etc/rc$level.d"; done
ln -s ../run var/run
for dir in bin sbin lib lib32 lib64 libx32; do
    if [ -h "/$dir" ]; then cp -P "/$dir" "$dir"; elif [ -d "/$dir" ]; then mkdir "$dir"; mount --rbind "/$dir" "$dir"; fi
done
mount -t overlay overlay -o "lowerdir=/usr,upperdir=$root/upper,workdir=$root/work" usr
mount -t tmpfs dev dev
for node in null zero full random urandom tty; do : >"dev/$node"; mount --bind "/dev/$node" "dev/$node"; done
ln -s /proc/self/fd dev/fd
mount -t proc proc proc
for file in passwd group shadow os-release nsswitch.conf login.defs ld.so.cache pam.d security alternatives; do
    if [ -e "/etc/$file" ]; then cp -a "/etc/$file" etc/; fi
done
ln -s /proc/mounts etc/mtab
chmod 1777 tmp var/tmp
if [ "$shell" = busybox ]; then
    # A machine that has nothing else: its tools are the ones under test as well.
    for tool in $(busybox --list); do
        for dir in bin sbin; do if [ -e "usr/$dir/$tool" ]; then ln -sf /usr/bin/busybox "usr/$dir/$tool"; fi; done
    done
    ln -sf /usr/bin/busybox usr/bin/sh
else
    ln -sf "$(command -v "$shell")" usr/bin/sh
fi
exec chroot . /bin/dash -c 'echo ready; cat >/dev/null; exit 0'
"#;

/// One machine, alive until it is dropped.
pub struct Sandbox {
    init: Child,
    /// Of process 1, as this machine counts it.
    pid: String,
    _root: TempDir,
}

/// What a command said.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The protocol lines, without their marks.
    pub fn words(&self) -> Vec<String> {
        self.text().lines().filter_map(|line| line.strip_prefix("@@lf:")?.strip_suffix("@@").map(str::to_owned)).collect()
    }
}

/// Runs one story on four machines at the same time. The thread is named after the shell, and so is a failure.
pub fn under_every_shell(story: fn(&Sandbox)) {
    std::thread::scope(|scope| {
        let threads: Vec<_> = SHELLS
            .iter()
            .map(|(shell, _)| {
                let run = move || story(&Sandbox::with_shell(shell));
                std::thread::Builder::new().name((*shell).to_owned()).spawn_scoped(scope, run).unwrap()
            })
            .collect();
        let failed: Vec<_> = threads
            .into_iter()
            .filter_map(|thread| {
                let name = thread.thread().name().unwrap().to_owned();
                thread.join().is_err().then_some(name)
            })
            .collect();
        assert!(failed.is_empty(), "the story failed under {}, see above", failed.join(", "));
    });
}

/// Fails with the name of the package when a tool of this machine is missing.
pub fn require(tool: &str, package: &str) {
    let found = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].iter().any(|dir| Path::new(dir).join(tool).exists());
    assert!(found, "{tool} is missing on this machine: apt-get install {package}");
}

impl Sandbox {
    pub fn with_shell(shell: &str) -> Self {
        for (tool, package) in
            SHELLS.iter().chain(&[("unshare", "util-linux"), ("nsenter", "util-linux"), ("setsid", "util-linux")])
        {
            require(tool, package);
        }
        let root = tempfile::tempdir().unwrap();
        let mut init = Command::new("unshare")
            .args(["--mount", "--pid", "--propagation", "private", "--fork", "--kill-child", "sh", "-c", INIT, "sandbox"])
            .arg(root.path())
            .arg(shell)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(init.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "the sandbox could not be made: it takes root and overlayfs, and the words above say more");
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", init.id())).unwrap();
        let pid = children.split_whitespace().next().unwrap().to_owned();
        Self { init, pid, _root: root }
    }

    /// A script as the executor sends it: `sh -c TEXT lf ARG...`, the payload on stdin.
    pub fn script<A: AsRef<str>>(&self, text: &str, args: &[A], stdin: &[u8]) -> Answer {
        let words = ["sh", "-c", text, "lf"].into_iter().chain(args.iter().map(AsRef::as_ref));
        self.run(words, stdin)
    }

    /// A command of the story itself, in bash; what it says, trimmed. Its exit code is not looked at.
    pub fn sh(&self, command: &str) -> String {
        let answer = self.run(["/bin/bash", "-c", command], b"");
        format!("{}{}", answer.text(), answer.stderr).trim().to_owned()
    }

    pub fn write(&self, path: &str, bytes: &[u8], mode: u32) {
        let command = format!("mkdir -p \"$(dirname {path})\" && cat >{path} && chmod {mode:o} {path}");
        let answer = self.run(["/bin/bash", "-c", &command], bytes);
        assert_eq!(answer.code, 0, "{}", answer.stderr);
    }

    /// Every path that a package could leave behind, without the state directory.
    pub fn listing(&self) -> BTreeSet<String> {
        let found = self.sh("find / /usr/local -xdev");
        found.lines().filter(|path| !path.starts_with("/var/lib/landfall")).map(str::to_owned).collect()
    }

    /// The command lines of the processes that hold this word. Not of those of the story itself.
    pub fn processes(&self, word: &str) -> Vec<String> {
        let shown = self.sh("for dir in /proc/[0-9]*; do tr '\\0\\n' '  ' <$dir/cmdline; echo; done 2>/dev/null");
        shown.lines().filter(|line| line.contains(word) && !line.contains("/proc/[0-9]*")).map(str::to_owned).collect()
    }

    fn run<'a>(&self, words: impl IntoIterator<Item = &'a str>, stdin: &[u8]) -> Answer {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.pid, "--mount", "--pid", "--root", "--wd"]).args(words);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/root").env("SHELL", "/bin/sh");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let payload = stdin.to_vec();
        let (sender, receiver) = mpsc::channel();
        // Whoever does not read its payload closes the pipe, which is no failure here.
        std::thread::spawn(move || drop(input.write_all(&payload)));
        std::thread::spawn(move || drop(sender.send(child.wait_with_output())));
        let output =
            receiver.recv_timeout(PATIENCE).expect("the command did not end, or somebody still holds its output").unwrap();
        Answer {
            code: output.status.code().unwrap_or(-1),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // unshare takes process 1 along, and with it everything in the sandbox.
        drop(self.init.kill());
        drop(self.init.wait());
    }
}
