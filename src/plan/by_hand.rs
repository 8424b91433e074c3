//! What a person gets who installs a host by hand: the command to paste, the words beside it, and the script that it fetches.
//!
//! Never here: tokens (`service::manual`), what the script does (`scripts/unix/manual.sh`, `scripts/windows/manual.bat`).

use std::sync::LazyLock;

use minijinja::value::Serde;
use minijinja::{Environment, Value};
use serde::Deserialize;
use serde_json::json;

use crate::assets::{self, windows};
use crate::domain::failure::{Code, Failure};
use crate::domain::host::{HostSpec, Os};
use crate::domain::job::JobKind;
use crate::domain::shell;
use crate::domain::site::Language;

/// What a person reads beside a command.
#[derive(Debug, Deserialize)]
pub struct Words {
    install: String,
    uninstall: String,
    other: String,
    linux: Told,
    windows: Told,
}

/// What depends on the shell that the command is pasted into.
#[derive(Debug, Deserialize)]
struct Told {
    step: String,
    command: String,
}

/// The system whose command a host gets: one that is not said is Linux, for nobody looks before the person does.
#[must_use]
pub fn system(host: &HostSpec) -> Os {
    host.os_type.unwrap_or(Os::Linux)
}

static ZH: LazyLock<Option<Words>> = LazyLock::new(|| toml::from_str(assets::MANUAL_ZH).ok());
static EN: LazyLock<Option<Words>> = LazyLock::new(|| toml::from_str(assets::MANUAL_EN).ok());

impl Words {
    /// In a language.
    ///
    /// # Errors
    /// When the file of words is broken.
    pub fn of(language: Language) -> Result<&'static Self, Failure> {
        let words = match language {
            Language::Zh => ZH.as_ref(),
            Language::En => EN.as_ref(),
        };
        words.ok_or_else(|| Failure::new(Code::Internal, "templates/manual cannot be read"))
    }

    /// What the command is for.
    #[must_use]
    pub fn solution(&self, kind: JobKind) -> &str {
        match kind {
            JobKind::InstallAgent | JobKind::ReinstallAgent => &self.install,
            JobKind::UninstallAgent => &self.uninstall,
            _ => &self.other,
        }
    }

    fn told(&self, os: Os) -> &Told {
        if os == Os::Windows { &self.windows } else { &self.linux }
    }

    /// What to do with the command.
    #[must_use]
    pub fn step(&self, os: Os) -> &str {
        &self.told(os).step
    }

    /// How often and until when the command works.
    #[must_use]
    pub fn command(&self, os: Os, name: &str, until: &str) -> String {
        self.told(os).command.replace("{name}", name).replace("{until}", until).replace("{shell}", shell_of(os))
    }
}

/// The shell that a person has there, and that reads our script. On Solaris 10 `sh` is the Bourne shell.
fn shell_of(os: Os) -> &'static str {
    match os {
        Os::Aix | Os::Solaris => "ksh",
        Os::Linux | Os::Windows => "sh",
    }
}

/// The command to paste. `name` names the directory on the host.
///
/// # Errors
/// When the template is broken, or cmd.exe cannot be told that URL.
pub fn command(os: Os, name: &str, url: &str) -> Result<String, Failure> {
    let template = if os == Os::Windows {
        plain(url)?;
        assets::MANUAL_COMMAND_WINDOWS
    } else {
        assets::MANUAL_COMMAND
    };
    let mut environment = Environment::new();
    environment.add_filter("sh", |text: String| shell::quote_str(&text));
    let values = json!({"name": name, "url": url, "shell": shell_of(os)});
    let rendered = environment.render_str(template, Value::from(Serde(&values)));
    rendered.map_err(|error| Failure::new(Code::Internal, format!("templates/manual: {error}")))
}

/// A URL between quotes on a command line of cmd.exe, where nothing escapes these.
fn plain(url: &str) -> Result<(), Failure> {
    if url.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"%^!<>|".contains(&byte)) {
        return Ok(());
    }
    Err(Failure::new(Code::Template, format!("a command of cmd.exe cannot name `{url}`")))
}

/// What a script has to know before it can ask.
pub struct Header<'a> {
    /// Where the server is: `https://landfall.example:8420`.
    pub base: &'a str,
    /// The host task.
    pub task: &'a str,
    /// The run token.
    pub token: &'a str,
    /// Setup path and temp path: what the probe looks at.
    pub places: (&'a str, &'a str),
}

/// The script that a command fetches.
///
/// # Errors
/// When a batch file cannot be told where the server is.
pub fn script(os: Os, header: &Header<'_>) -> Result<String, Failure> {
    if os == Os::Windows { batch(header) } else { Ok(posix(header)) }
}

/// Nothing free is in it: setup path and temp path, in a code page that nobody knows yet, are asked for by the script.
fn batch(header: &Header<'_>) -> Result<String, Failure> {
    let Header { base, task, token, .. } = header;
    plain(base)?;
    let programs: Vec<&str> = windows::PROGRAMS.iter().map(|(name, _)| *name).collect();
    let values = [("base", *base), ("task", *task), ("digest", &*windows::DIGEST), ("programs", &programs.join(" "))];
    let values: String = values.iter().map(|(name, value)| format!("set \"lf_{name}={value}\"\r\n")).collect();
    Ok(format!(
        "@echo off\r\nsetlocal enableextensions disabledelayedexpansion\r\n\
         rem Fetched for one host task of Landfall; the token in it is of no use for anything else.\r\n\
         if \"%~1\"==\"token\" echo token={token}& exit /b 0\r\n{values}{}",
        windows::MANUAL.replace("\r\n", "\n").replace('\n', "\r\n")
    ))
}

fn posix(header: &Header<'_>) -> String {
    let Header { base, task, token, places: (setup, temp) } = header;
    let values = [("base", *base), ("task", *task), ("token", *token), ("setup", *setup), ("temp", *temp)];
    let values: String = values.iter().map(|(name, value)| format!("lf_{name}={}\n", shell::quote_str(value))).collect();
    // A person's terminal is not read from: the programs would take it for the executor's.
    format!(
        "#!/bin/sh\n# Fetched for one host task of Landfall; the token in it is of no use for anything else.\nexec </dev/null\n{values}\n{}",
        *assets::MANUAL
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_there_in_both_languages() {
        for language in [Language::Zh, Language::En] {
            let words = Words::of(language).unwrap();
            for (os, script) in [(Os::Linux, "landfall-7-0/manual.sh"), (Os::Windows, "landfall-7-0\\manual.bat")] {
                let told = words.command(os, "7-0", "2026-11-24T10:00:00Z");
                assert!(told.contains(script) && told.contains("2026-11-24T10:00:00Z"), "{told}");
            }
            assert_ne!(words.step(Os::Linux), words.step(Os::Windows));
            assert_ne!(words.solution(JobKind::InstallAgent), words.solution(JobKind::UninstallAgent));
        }
    }

    #[test]
    fn a_command_is_one_line_and_what_it_is_made_of_stays_words() {
        let command = command(Os::Linux, "7-0", "https://a/backend/script/?task_id=1&token=2'$(id)").unwrap();
        assert!(
            !command.contains('\n') && command.ends_with(r"'https://a/backend/script/?task_id=1&token=2'\''$(id)'"),
            "{command}"
        );
    }

    #[test]
    fn a_command_for_windows_is_one_line_that_no_url_breaks_out_of() {
        let line = command(Os::Windows, "7-0", "https://a:1/backend/script/?task_id=1&token=2").unwrap();
        assert!(!line.trim_end().contains('\n') && line.contains("\"https://a:1/backend/script/?task_id=1&token=2\""), "{line}");
        for odd in ["http://a/\"& calc", "http://%PATH%/", "http://a b"] {
            assert!(command(Os::Windows, "7-0", odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn the_script_for_windows_has_its_values_at_the_top_and_ends_its_lines_as_cmd_wants() {
        let header = Header { base: "http://x", task: "t", token: "k", places: ("C:\\中", "C:\\t") };
        let script = script(Os::Windows, &header).unwrap();
        assert!(script.contains("\r\nset \"lf_base=http://x\"\r\nset \"lf_task=t\"\r\n") && script.is_ascii());
        assert!(script.lines().count() == script.matches("\r\n").count());
    }

    #[test]
    fn the_script_begins_with_what_it_has_to_know() {
        let header = Header { base: "http://x", task: "t", token: "k", places: ("/opt/a b", "/tmp") };
        let script = script(Os::Linux, &header).unwrap();
        assert!(
            script.starts_with("#!/bin/sh\n") && script.contains("\nlf_setup='/opt/a b'\nlf_temp=/tmp\n"),
            "{}",
            &script[..300]
        );
    }
}
