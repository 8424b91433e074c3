//! Hosts whose programs are batch files: Windows, whatever its sshd hands commands to.
//!
//! ```text
//! greet ──► settle in: state directory, programs (once per version of ours) ──► call NAME.bat WORDS ... ──► answers
//!                                     └── SFTP: packages, files, the log of a run ([`run`]) ──┘
//! ```
//! Nothing free is ever part of a command line (`domain::shell::cmd`): it goes into files, in the code page of the host.
//!
//! Never here: what a batch file does (`scripts/windows`); which steps there are. To add a program: its file in `scripts/windows`,
//! its name in `assets::windows`, its row in `scripts/README.md`.

mod greeting;
pub(super) mod package;
pub(super) mod run;

use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::host_task::HostTask;
use super::talk::Talk;
use crate::assets::windows::{self as programs, DIGEST};
use crate::domain::codepage;
use crate::domain::facts::{self, Facts};
use crate::domain::failure::{Code, Failure};
use crate::domain::plan::Plan;
use crate::domain::shell::cmd;
use crate::domain::site::HostPaths;
use crate::plan::render::RenderedFile;
use crate::transport::{Session, Sftp, TransportError};

pub(super) use greeting::{Greeting, greet};
use greeting::{NO_NUMBER, number, number_of_state};

/// Longest answer of a probe, like that of other systems.
const ANSWER_CAP: usize = 1 << 20;

/// What marks the state directory as made by us: only administrators write there.
const MARK: &str = "HKLM\\SOFTWARE\\landfall";

/// Where Windows has its own programs.
const TOOLS: &str = "%SystemRoot%\\System32\\";

/// Where the state is, as cmd.exe calls it.
const STATE: &str = "%ProgramData%\\landfall";

/// For a batch file of a few lines, as the steps' deadlines are for the whole of them.
pub(super) const SOON: Duration = Duration::from_secs(60);

/// What is written to by SFTP in the state directory.
fn places(state: &str) -> String {
    ["stage", "blobs", "runs", "packages"].map(|name| format!("{state}\\{name}")).join(" ")
}

/// A line of commands for cmd.exe, in the one form that every shell hands on: without `"`, `$` and backquotes.
fn line(commands: &[String]) -> Vec<u8> {
    format!("cmd /d /s /c \"{}\"", commands.join("& ")).into_bytes()
}

/// The files of the host, and what they call the state directory: the first of its names below which a file can be written.
async fn files(session: &mut dyn Session, greeting: &Greeting) -> Result<(Box<dyn Sftp>, String), Failure> {
    let mut sftp = open(session).await?;
    let mut refused = None;
    for dir in greeting.sftp_dirs() {
        match sftp.open(&format!("{dir}/stage/.reached"), 0).await {
            Ok(()) => {
                sftp.finish().await?;
                return Ok((sftp, dir));
            }
            Err(error @ TransportError::File { .. }) => refused = refused.or(Some(error)),
            Err(error) => return Err(error.into()),
        }
    }
    Err(refused.map_or_else(|| Failure::new(Code::Internal, "no name of the state directory was tried"), Failure::from))
}

/// The file service; there is no other way for files.
pub(super) async fn open(session: &mut dyn Session) -> Result<Box<dyn Sftp>, Failure> {
    session.sftp().await.map_err(|error| match error {
        TransportError::NoSftp { .. } => Failure::new(Code::NoSftp, error.to_string()),
        error => error.into(),
    })
}

/// Makes the state directory and brings the programs, where they are not there yet.
pub(super) async fn settle_in(session: &mut dyn Session, greeting: &Greeting) -> Result<(), Failure> {
    if !greeting.is_elevated {
        let why = if greeting.is_admin {
            "the account is an administrator, and UAC filtered its token"
        } else {
            "the account is no administrator"
        };
        return Err(Failure::new(Code::NotElevated, why));
    }
    let state = greeting.state();
    if !greeting.is_ours() {
        make_state(session, &state).await?;
    }
    if greeting.has_programs() {
        return Ok(());
    }
    let place = format!("{state}\\programs\\{}", *DIGEST);
    let made = format!("md {place} {} 2>nul", places(&state));
    told(session, line(&["echo @@lf:ready@@".into(), made, "echo @@lf:place=made@@".into()])).await?;
    let (mut sftp, dir) = files(session, greeting).await?;
    let dir = format!("{dir}/programs/{}", *DIGEST);
    // The mark comes last: who finds it finds all of them.
    for (name, text) in programs::PROGRAMS.iter().copied().chain([("ready", "")]) {
        write(&mut *sftp, &format!("{dir}/{name}"), Bytes::from_static(text.as_bytes())).await?;
    }
    Ok(())
}

/// Nobody but administrators and the system may do anything in it. One that we did not make is taken away if it is empty, and
/// refused if it is not; what somebody put into it before it was closed is found. The mark comes last.
async fn make_state(session: &mut dyn Session, state: &str) -> Result<(), Failure> {
    let grant = |sid: &str| format!("*{sid}:^(OI^)^(CI^)F");
    let refuse = format!("echo @@lf:fail=state_refused {state} is not ours: remove it@@");
    let close = format!(
        "{TOOLS}icacls {STATE} /inheritance:r /grant {} {} >nul && (dir /b /a {STATE} | {TOOLS}findstr /r . >nul && {refuse} \
         || (echo @@lf:place=made@@& {}))",
        grant("S-1-5-32-544"),
        grant("S-1-5-18"),
        number_of_state(),
    );
    let made = line(&[
        "echo @@lf:ready@@".into(),
        format!("{TOOLS}reg delete {MARK} /f >nul 2>nul"),
        format!("rd {STATE} 2>nul"),
        format!("(if exist {STATE} ({refuse}) else (md {STATE} && {close}))"),
    ]);
    let mut talk = Talk::open(session, made).await?;
    let place = talk.answer().await?;
    let number = number(&talk.rest(ANSWER_CAP).await?);
    if place.is_none() {
        return Err(Failure::new(Code::StateRefused, format!("{state} cannot be made")).with_tail(&talk.complaint()));
    }
    let number = number.as_deref().unwrap_or(NO_NUMBER);
    let mark = format!("{TOOLS}reg add {MARK} /v state /d {number} /f >nul && echo @@lf:place=marked@@");
    told(session, line(&["echo @@lf:ready@@".into(), mark])).await
}

/// Runs a line that says `place` when it went well.
async fn told(session: &mut dyn Session, line: Vec<u8>) -> Result<(), Failure> {
    let mut talk = Talk::open(session, line).await?;
    match talk.last().await? {
        Some(word) if word.starts_with("place=") => Ok(()),
        _ => {
            Err(Failure::new(Code::StateRefused, "the state directory below ProgramData cannot be made")
                .with_tail(&talk.complaint()))
        }
    }
}

/// What the host is, by its own programs.
pub(super) async fn probe(session: &mut dyn Session, greeting: &Greeting, paths: &HostPaths) -> Result<Facts, Failure> {
    settle_in(session, greeting).await?;
    let name = Uuid::now_v7().simple();
    let (mut sftp, dir) = files(session, greeting).await?;
    // It is read in a code page that is not known yet; what is not ASCII is looked for by the script alone.
    let asked = format!("{}\r\n{}\r\n", paths.setup_path, paths.temp_path);
    write(&mut *sftp, &format!("{dir}/stage/{name}.ask"), Bytes::from(asked)).await?;
    drop(sftp);
    let mut talk = call(session, &greeting.state(), "probe", &[&format!("{name}.ask")]).await?;
    let said = talk.rest_raw(ANSWER_CAP).await?;
    let ascii = String::from_utf8_lossy(&said);
    let page = facts::answers(&ascii).find_map(|answer| answer.strip_prefix("codepage=")?.trim().parse().ok());
    let text = codepage::decoded(&said, page.unwrap_or(437));
    let found = Facts::parse(&text).map_err(|error| {
        let code = if talk.was_ended() { Code::NoExitStatus } else { Code::NoShell };
        Failure::new(code, error.to_string()).with_tail(&talk.complaint())
    })?;
    Ok(Facts { sftp_dir: Some(dir), shell: greeting.shell.clone(), ..found })
}

/// Starts a program of ours and waits until it is ready.
pub(super) async fn call(session: &mut dyn Session, state: &str, program: &str, words: &[&str]) -> Result<Talk, Failure> {
    if let Some(odd) = words.iter().find(|word| !cmd::is_plain(word)) {
        return Err(Failure::new(Code::Internal, format!("`{odd}` cannot be an argument of {program}.bat")));
    }
    Talk::open(session, cmd::call(&format!("{state}\\programs\\{}\\{program}.bat", *DIGEST), words)).await
}

/// Writes a file whole.
pub(super) async fn write(sftp: &mut dyn Sftp, path: &str, bytes: Bytes) -> Result<(), Failure> {
    sftp.open(path, 0).await?;
    sftp.write(bytes).await?;
    Ok(sftp.finish().await?)
}

/// Where SFTP finds a place below the state directory.
pub(super) fn sftp_place(plan: &Plan, parts: &[&str]) -> Result<String, Failure> {
    let dir = plan.inbox.as_deref().ok_or_else(|| Failure::new(Code::Internal, "the plan names no directory for SFTP"))?;
    Ok(std::iter::once(dir).chain(parts.iter().copied()).collect::<Vec<_>>().join("/"))
}

impl HostTask {
    /// Starts a program of ours on a Windows host, after the programs were brought where another version of ours left others.
    pub(super) async fn call(&mut self, plan: &Plan, program: &str, words: &[&str]) -> Result<Talk, Failure> {
        if !self.has_programs {
            let session = self.session()?;
            let greeting = greet(session).await?;
            let greeting = greeting.ok_or_else(|| Failure::new(Code::NoShell, "cmd.exe does not answer any more"))?;
            settle_in(session, &greeting).await?;
            self.has_programs = true;
        }
        call(self.session()?, &plan.state_dir, program, words).await
    }

    /// Puts files into a directory below `stage`, in the place of what is there under that name.
    pub(super) async fn stage_files(&mut self, plan: &Plan, name: &str, files: &[RenderedFile]) -> Result<(), Failure> {
        // By now its parent is there, and so is whatever an earlier try left.
        let dir = sftp_place(plan, &["stage", &format!("{name}.new")])?;
        let mut sftp = open(self.session()?).await?;
        let mut made = std::collections::BTreeSet::new();
        for file in files {
            let path = format!("{dir}/{}", file.name);
            make_parents(&mut *sftp, &dir, &path, &mut made).await?;
            write(&mut *sftp, &path, Bytes::from(file.bytes.clone())).await?;
        }
        Ok(())
    }
}

/// Makes the directories between `root`, itself one of them, and a file below it.
async fn make_parents(
    sftp: &mut dyn Sftp,
    root: &str,
    file: &str,
    made: &mut std::collections::BTreeSet<String>,
) -> Result<(), Failure> {
    let ends = file.match_indices('/').map(|(at, _)| at).filter(|at| *at >= root.len());
    for dir in ends.filter_map(|end| file.get(..end)) {
        if made.insert(dir.to_owned()) {
            sftp.make_dir(dir).await?;
        }
    }
    Ok(())
}
