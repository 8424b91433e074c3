//! The built binary at a desk of its own: a data directory nobody else has, and the environment of nobody.

#![allow(dead_code, unreachable_pub, reason = "every test binary uses its own part of this")]

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// A data directory of its own, and the environment of nobody.
pub struct Desk {
    pub dir: TempDir,
}

/// What a command said, and its exit code.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self { code: output.status.code().expect("an exit code"), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Said {
    /// The last line of stdout.
    pub fn last(&self) -> Value {
        serde_json::from_str(self.out.lines().last().expect("a line")).expect("JSON")
    }

    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    #[track_caller]
    pub fn complains(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.err.contains(word), "`{word}` is missing in: {}", self.err);
        }
        self
    }
}

impl Desk {
    pub fn new() -> Self {
        Self { dir: TempDir::new().unwrap() }
    }

    pub fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_landfall"));
        command
            .current_dir(self.dir.path())
            .env_clear()
            .env("HOME", self.dir.path())
            .env("LANDFALL_DATA_DIR", self.dir.path().join("data"));
        // Neither the terminal nor the site file of whoever runs the tests.
        std::fs::write(self.dir.path().join("empty.toml"), "").unwrap();
        command.env("LANDFALL_SITE", self.dir.path().join("empty.toml")).stdin(Stdio::null());
        command.args(words.split_whitespace());
        command
    }

    /// Runs a command to its end, which must come soon.
    pub fn landfall(&self, words: &str) -> Said {
        let mut command = assert_cmd::Command::from_std(self.command(words));
        command.timeout(Duration::from_secs(30)).output().unwrap().into()
    }

    /// The same with something on its stdin.
    pub fn landfall_reads(&self, words: &str, stdin: &str) -> Said {
        let mut command = assert_cmd::Command::from_std(self.command(words));
        command.timeout(Duration::from_secs(30)).write_stdin(stdin).output().unwrap().into()
    }

    pub fn file(&self, name: &str, text: &str) -> &Self {
        std::fs::write(self.dir.path().join(name), text).unwrap();
        self
    }

    pub fn job(&self, job: &Value) -> &Self {
        self.file("job.json", &job.to_string())
    }
}
