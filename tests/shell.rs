//! Quoting, proved on real shells: what `domain::shell` hands to a login shell arrives as the same bytes in a program's
//! arguments, whatever they are.
//!
//! Every case is run as sshd would run it, `SHELL -c LINE`, and the words are read back from a real process. For csh and
//! fish, whose line is decoded by the `sh` they find, that `sh` is each of dash, bash, busybox and ksh in turn.
//!
//! To add a shell: a line in [`SHELLS`] and its package in `scripts/test.sh`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use landfall::domain::shell::{Dialect, command_line};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use tempfile::TempDir;

/// A login shell: how it is called, and the Debian package that brings it.
struct Shell {
    program: &'static str,
    dialect: Dialect,
    package: &'static str,
}

const SHELLS: &[Shell] = &[
    Shell { program: "sh", dialect: Dialect::Posix, package: "dash" },
    Shell { program: "dash", dialect: Dialect::Posix, package: "dash" },
    Shell { program: "bash", dialect: Dialect::Posix, package: "bash" },
    Shell { program: "busybox", dialect: Dialect::Posix, package: "busybox" },
    Shell { program: "ksh", dialect: Dialect::Posix, package: "ksh" },
    // By its own name: where both are installed, `csh` may be tcsh.
    Shell { program: "bsd-csh", dialect: Dialect::Csh, package: "csh" },
    Shell { program: "tcsh", dialect: Dialect::Csh, package: "tcsh" },
    Shell { program: "fish", dialect: Dialect::Fish, package: "fish" },
];

/// The programs that may be `sh` on a target.
const INNER: &[&str] = &["dash", "bash", "busybox", "ksh"];

/// A program that tells its arguments back with a NUL after each. By its path, so that no shell does it itself: ksh adds
/// a backslash to what it takes for half a character.
const TELL: [&[u8]; 2] = [b"/usr/bin/printf", b"%s\\0"];

/// Where shells run: without the tester's own settings and start-up files, and with a choice of `sh`.
struct Room {
    home: TempDir,
    locale: &'static str,
}

impl Room {
    fn new(locale: &'static str) -> Self {
        let home = TempDir::new().unwrap();
        for inner in INNER {
            let bin = home.path().join(inner);
            std::fs::create_dir(&bin).unwrap();
            symlink(installed(inner, inner), bin.join("sh")).unwrap();
        }
        Self { home, locale }
    }

    /// What `words` have become when a program got them through `shell`.
    fn through(&self, shell: &Shell, inner: &str, words: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, String> {
        let sent: Vec<&[u8]> = TELL.into_iter().chain(words.iter().map(Vec::as_slice)).collect();
        let line = command_line(shell.dialect, &sent);
        let mut command = Command::new(installed(shell.program, shell.package));
        if shell.program == "busybox" {
            command.arg("sh");
        }
        let output = command
            .arg("-c")
            .arg(OsStr::from_bytes(&line))
            .env_clear()
            .env("HOME", self.home.path())
            .env("PATH", format!("{}/{inner}:/usr/bin:/bin", self.home.path().display()))
            .env("LC_ALL", self.locale)
            .env("LOCPATH", self.home.path())
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        if !output.status.success() || !output.stderr.is_empty() {
            return Err(format!(
                "{} with {inner}: {}: {}",
                shell.program,
                output.status,
                String::from_utf8_lossy(&output.stderr)
            ));
        }
        let mut told: Vec<Vec<u8>> = output.stdout.split(|&byte| byte == 0).map(<[u8]>::to_vec).collect();
        assert_eq!(told.pop().as_deref(), Some(&b""[..]), "what comes after the last NUL");
        Ok(told)
    }

    /// Sends `cases` random lists of words through one shell.
    fn prove(&self, program: &str, cases: u32) {
        let shell = SHELLS.iter().find(|shell| shell.program == program).unwrap();
        let config = ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 2_000, ..ProptestConfig::default() };
        TestRunner::new(config)
            .run(&(words(), select(INNER)), |(words, inner)| {
                let told = self.through(shell, inner, &words).map_err(TestCaseError::fail)?;
                prop_assert_eq!(told, words, "through {} with {}", shell.program, inner);
                Ok(())
            })
            .unwrap_or_else(|error| panic!("{error}"));
    }
}

/// The path of a program; a machine without it fails the test, it is never left out.
fn installed(program: &str, package: &str) -> std::path::PathBuf {
    ["/usr/bin", "/bin"]
        .iter()
        .map(|directory| Path::new(directory).join(program))
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("no {program} here; run: apt-get install {package} (scripts/test.sh does)"))
}

/// Lists of words made of what shells stumble over.
fn words() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(vec(piece(), 0..24).prop_map(|pieces| pieces.concat()), 1..6)
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    let text = |text: &'static str| text.as_bytes().to_vec();
    prop_oneof![
        4 => (1..=255_u8).prop_map(|byte| vec![byte]),
        4 => select(&b"'\"\\!\n\r\t %$`~*?[]{}()<>|&;#^=-+@,:/x0"[..]).prop_map(|byte| vec![byte]),
        2 => select(&[
            "'\\''", "\\'", "'\"'", "$(id)", "`id`", "${IFS}", "$1", "$$", "!!", "!$", "!-1", "%s", "%n", "%%", "\\040", "\\n", "\\c",
            "\\\n", "\n\n", "-n", "--", "-c", "~root", "{a,b}", "$'a'", "*/*", "#!", "2>&1", "lf", "x",
        ][..]).prop_map(text),
        // The second byte of a GBK character may be a backslash, a backquote, a brace or a bar.
        2 => (0x81..=0xfe_u8, select(&b"\\`{}|~@[]^_x"[..])).prop_map(|(lead, trail)| vec![lead, trail]),
        1 => (0x81..=0xfe_u8, 0x40..=0xfe_u8).prop_map(|(lead, trail)| vec![lead, trail]),
        1 => any::<char>().prop_filter("NUL cannot be an argument", |&c| c != '\0').prop_map(|c| c.to_string().into_bytes()),
        // Bytes that shells use as marks of their own while they expand a word.
        1 => select(&[0x01, 0x02, 0x03, 0x7f, 0x80, 0x81, 0x84, 0x88, 0x98, 0xa0, 0xff][..]).prop_map(|byte| vec![byte]),
        2 => "[a-zA-Z0-9_.-]{1,6}".prop_map(String::into_bytes),
    ]
}

macro_rules! every_word_survives {
    ($($name:ident: $program:literal),+ $(,)?) => {
        $(#[test]
        fn $name() {
            Room::new("C.UTF-8").prove($program, 150);
            Room::new("C").prove($program, 50);
        })+
    };
}

every_word_survives! {
    every_word_survives_sh: "sh",
    every_word_survives_dash: "dash",
    every_word_survives_bash: "bash",
    every_word_survives_busybox: "busybox",
    every_word_survives_ksh: "ksh",
    every_word_survives_csh: "bsd-csh",
    every_word_survives_tcsh: "tcsh",
    every_word_survives_fish: "fish",
}

/// In this locale a shell takes two bytes for one character, and the second may look like syntax.
#[test]
fn every_word_survives_a_gbk_locale() {
    let room = Room::new("zh_CN.GBK");
    let made = Command::new("localedef")
        .args(["--no-archive", "-i", "zh_CN", "-f", "GBK"])
        .arg(room.home.path().join("zh_CN.GBK"))
        .output()
        .unwrap();
    assert!(
        room.home.path().join("zh_CN.GBK/LC_CTYPE").exists(),
        "no GBK locale; run: apt-get install locales (scripts/test.sh does)\n{}",
        String::from_utf8_lossy(&made.stderr)
    );
    for shell in SHELLS {
        room.prove(shell.program, 40);
    }
}

/// csh refuses a word of 8 KiB, Linux one of 128 KiB, and a line for csh or fish is up to four times the text.
#[test]
fn long_words_survive_every_shell() {
    let room = Room::new("C.UTF-8");
    let every_byte = |length: usize| (1..=255_u8).cycle().take(length).collect::<Vec<u8>>();
    for shell in SHELLS {
        let length = if shell.dialect == Dialect::Posix { 100_000 } else { 30_000 };
        for inner in INNER {
            let words = [every_byte(length), b"the end".to_vec()];
            assert!(room.through(shell, inner, &words).unwrap() == words, "{} with {inner}", shell.program);
        }
    }
}

/// The words that really are sent.
#[test]
fn our_own_scripts_survive_every_shell() {
    let room = Room::new("C.UTF-8");
    let scripts = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/linux")).unwrap();
    let scripts: Vec<Vec<u8>> = scripts.map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect();
    assert!(!scripts.is_empty());
    for shell in SHELLS {
        for script in &scripts {
            let words = [script.clone(), b"/var/lib/landfall".to_vec()];
            assert!(room.through(shell, "dash", &words).unwrap() == words, "{}", shell.program);
        }
    }
}
