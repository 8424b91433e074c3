//! Talking with a program on the target: the ready marker, answers between markers, raw bytes.
//!
//! The order is what makes it safe: a password goes out only after its question was seen, a payload only after the inner
//! shell said that it is ready; else the password would become the payload's first line on disk (DESIGN 11). Never here: how
//! root is reached, and what the question looks like ([`super::become_root`]).

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use secrecy::ExposeSecret;

use crate::domain::barred::Bar;
use crate::domain::credential::Secret;
use crate::domain::facts;
use crate::domain::failure::{Code, Failure, TAIL_CAP};
use crate::domain::outcome::ExitReport;
use crate::domain::run::{Frame, Frames};
use crate::domain::text;
use crate::transport::{Output, Process, Session, TransportError};

/// A login shell that has not run its command by then hangs: a home on a dead file server, a profile that waits. The steps'
/// deadlines are for their work, ten minutes where a package is hashed.
const READY_DEADLINE: Duration = Duration::from_secs(30);

/// A program that has said its last word has only to exit.
const END_DEADLINE: Duration = Duration::from_secs(10);

/// What is shown of a question.
const QUESTION: usize = 120;

/// Longest line of an answer; what is longer is noise.
const LINE_CAP: usize = 64 * 1024;

/// A program on the target, ready to be spoken to.
pub(super) struct Talk {
    process: Box<dyn Process>,
    on_terminal: bool,
    stdout: BytesMut,
    /// What it complains about. On a terminal, where both streams are one, what comes before it is ready.
    stderr: Vec<u8>,
    frames: Frames,
    /// The end of what came before it was ready.
    noise: Vec<u8>,
    /// What was answered to a question on the way: must stand in no complaint.
    answered: Option<Secret>,
    exit: Option<ExitReport>,
}

/// A question that may stand between a command line and its program.
pub(super) trait Riddle: Send {
    /// Takes in what comes, and tells whether it is asked now; what was said before counts no more then.
    fn is_asked(&mut self, said: &[u8]) -> bool;

    /// The answer, where there is one.
    fn answer(&self) -> Result<&Secret, Failure>;

    /// The same question again says that the answer was wrong.
    fn wrong(&self) -> Failure;
}

/// Output as it comes, for programs that send raw bytes.
#[derive(Debug)]
pub(super) enum Raw {
    /// Bytes of stdout.
    Bytes(Bytes),
    /// An answer on stderr.
    Word(String),
    /// It printed faster than it was read, and its channel was closed: what was read before has come, the rest has not.
    Overrun,
    /// It ended.
    Exit,
}

impl Talk {
    /// Starts `line` as it is and waits until it is ready.
    pub(super) async fn open(session: &mut dyn Session, line: Vec<u8>) -> Result<Self, Failure> {
        let mut talk = Self::start(session, line, false).await?;
        match tokio::time::timeout(READY_DEADLINE, talk.until_ready(None)).await {
            Ok(ready) => match ready? {
                true => Ok(talk),
                false => Err(talk.silent()),
            },
            Err(_) => Err(talk.waiting()),
        }
    }

    /// Starts `line` as it is.
    pub(super) async fn start(session: &mut dyn Session, line: Vec<u8>, on_terminal: bool) -> Result<Self, Failure> {
        let process = if on_terminal { session.exec_on_terminal(line).await? } else { session.exec(line).await? };
        let (stdout, stderr, frames) = (BytesMut::new(), Vec::new(), Frames::default());
        Ok(Self { process, on_terminal, stdout, stderr, frames, noise: Vec::new(), answered: None, exit: None })
    }

    /// Reads until the ready marker; false when the program ended before it.
    pub(super) async fn until_ready(&mut self, mut riddle: Option<&mut dyn Riddle>) -> Result<bool, Failure> {
        loop {
            while let Some(line) = self.line() {
                for word in facts::answers(&line) {
                    if word == "ready" {
                        return Ok(true);
                    }
                    if let Some(text) = word.strip_prefix("fail=") {
                        return Err(refusal(text).with_tail(&self.complaint()));
                    }
                }
                self.noise.extend_from_slice(line.as_bytes());
                self.noise.drain(..self.noise.len().saturating_sub(TAIL_CAP));
            }
            if self.exit.is_some() {
                return Ok(false);
            }
            let said = match self.read().await? {
                Output::Stdout(bytes) if self.on_terminal => {
                    self.complain(&bytes);
                    bytes
                }
                Output::Stderr(bytes) => bytes,
                Output::Stdout(_) | Output::Exit(_) => continue,
            };
            let Some(riddle) = riddle.as_deref_mut() else { continue };
            if riddle.is_asked(&said) {
                if self.answered.is_some() {
                    return Err(riddle.wrong().with_tail(&self.complaint()));
                }
                let answer = riddle.answer().map_err(|failure| failure.with_tail(&self.complaint()))?;
                self.answered = Some(answer.clone());
                self.process.write(Bytes::from(format!("{}\n", answer.expose_secret()))).await?;
            }
        }
    }

    /// Takes in what comes next.
    async fn read(&mut self) -> Result<Output, TransportError> {
        let output = self.process.next().await?;
        match &output {
            Output::Stdout(bytes) => {
                tracing::trace!(bytes = bytes.len(), "stdout");
                self.stdout.extend_from_slice(bytes);
                // A line that never ends is noise; only its end may matter.
                if self.stdout.len() > 4 * LINE_CAP && !self.stdout.contains(&b'\n') {
                    let _ = self.stdout.split_to(self.stdout.len() - LINE_CAP);
                }
            }
            Output::Stderr(bytes) => self.complain(bytes),
            Output::Exit(report) => self.exit = Some(report.clone()),
        }
        Ok(output)
    }

    /// Keeps the end of what it complains about.
    fn complain(&mut self, bytes: &[u8]) {
        self.stderr.extend_from_slice(bytes);
        if self.stderr.len() > 4 * LINE_CAP {
            self.stderr.drain(..self.stderr.len() - LINE_CAP);
        }
    }

    /// The next whole line of stdout, or the rest after the end.
    fn line(&mut self) -> Option<String> {
        let end = match self.stdout.iter().position(|byte| *byte == b'\n') {
            Some(newline) => newline + 1,
            None if self.exit.is_some() && !self.stdout.is_empty() => self.stdout.len(),
            None => return None,
        };
        Some(text::decoded(&self.stdout.split_to(end)))
    }

    /// The next answer of the program; `None` when it ended.
    pub(super) async fn answer(&mut self) -> Result<Option<String>, Failure> {
        loop {
            while let Some(line) = self.line() {
                if let Some(word) = facts::answers(&line).next() {
                    tracing::debug!(word, "answer");
                    return match word.strip_prefix("fail=") {
                        Some(text) => Err(refusal(text).with_tail(&self.complaint())),
                        None => Ok(Some(word.to_owned())),
                    };
                }
            }
            if self.exit.is_some() {
                return Ok(None);
            }
            self.read().await?;
        }
    }

    /// The last answer of the program, which ends with it.
    pub(super) async fn last(&mut self) -> Result<Option<String>, Failure> {
        let answer = self.answer().await;
        self.end().await;
        answer
    }

    /// Waits for the end of a program that has nothing more to say: an sshd that allows one session at a time refuses the
    /// next command before (MaxSessions 1). What goes wrong here, the next command meets as well.
    pub(super) async fn end(&mut self) {
        let ended = async { while self.exit.is_none() && self.read().await.is_ok() {} };
        let _ = tokio::time::timeout(END_DEADLINE, ended).await;
    }

    /// The next output of a program that sends raw bytes on stdout and answers on stderr; on a terminal, where both are one
    /// stream, it counts its bytes.
    pub(super) async fn raw(&mut self) -> Result<Raw, Failure> {
        loop {
            if self.on_terminal {
                match self.frames.take(&mut self.stdout) {
                    Some(Frame::Bytes(bytes)) => return Ok(Raw::Bytes(bytes)),
                    Some(Frame::Word(word)) => return Ok(Raw::Word(word)),
                    None if self.exit.is_some() => return Ok(Raw::Exit),
                    None => match self.read().await {
                        Err(TransportError::Overrun) => return Ok(Raw::Overrun),
                        read => drop(read?),
                    },
                }
                continue;
            }
            if !self.stdout.is_empty() {
                return Ok(Raw::Bytes(self.stdout.split().freeze()));
            }
            if let Some(newline) = self.stderr.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.stderr.drain(..=newline).collect();
                if let Some(word) = facts::answers(&String::from_utf8_lossy(&line)).next() {
                    return Ok(Raw::Word(word.to_owned()));
                }
                continue;
            }
            if self.exit.is_some() {
                return Ok(Raw::Exit);
            }
            match self.read().await {
                Err(TransportError::Overrun) => return Ok(Raw::Overrun),
                read => drop(read?),
            }
        }
    }

    /// Everything the program prints from here on, at most `cap` bytes of stdout.
    pub(super) async fn rest(&mut self, cap: usize) -> Result<String, Failure> {
        Ok(text::decoded(&self.rest_raw(cap).await?))
    }

    /// The same in whatever encoding it is.
    pub(super) async fn rest_raw(&mut self, cap: usize) -> Result<Bytes, Failure> {
        while self.exit.is_none() {
            self.read().await?;
            if self.stdout.len() > cap {
                let _ = self.stdout.split_to(self.stdout.len() - cap);
            }
        }
        Ok(self.stdout.split().freeze())
    }

    /// Sends bytes to the program.
    pub(super) async fn send(&mut self, bytes: Bytes) -> Result<(), TransportError> {
        self.process.write(bytes).await
    }

    /// Tells the program that nothing more comes. On a terminal there is no way to say so: the program counts.
    pub(super) async fn finish(&mut self) -> Result<(), TransportError> {
        if self.on_terminal { Ok(()) } else { self.process.finish().await }
    }

    /// How it ended, once it did.
    pub(super) fn exit(&self) -> Option<&ExitReport> {
        self.exit.as_ref()
    }

    /// Was a question answered?
    pub(super) fn was_asked(&self) -> bool {
        self.answered.is_some()
    }

    /// Did it end without an exit code of its own? A host that goes down ends its sessions so, and will be back.
    pub(super) fn was_ended(&self) -> bool {
        matches!(self.exit, Some(ExitReport::Signal(_) | ExitReport::NoStatus))
    }

    /// What it complained about.
    pub(super) fn complaint(&self) -> String {
        let complaint = text::decoded(&self.stderr);
        // A server that does not turn the echo off shows what was typed.
        let complaint = match &self.answered {
            Some(secret) => complaint.replace(secret.expose_secret(), "***"),
            None => complaint,
        };
        let mut from = complaint.len().saturating_sub(TAIL_CAP);
        while !complaint.is_char_boundary(from) {
            from += 1;
        }
        complaint.get(from..).unwrap_or_default().to_owned()
    }

    /// Something ended in the program's place. What it said says best what it was; an account that may log in and run nothing is
    /// told so where a shell would be.
    fn silent(&self) -> Failure {
        let how = self.exit.as_ref().map_or_else(|| "no end".to_owned(), ToString::to_string);
        let said = format!("{}{}", String::from_utf8_lossy(&self.noise), self.complaint());
        let (code, what) = if let Some(bar) = Bar::read(&said) {
            (bar.code(), bar.words())
        } else if self.was_ended() {
            (Code::NoExitStatus, "the login shell did not run the command")
        } else {
            (Code::NoShell, "something else ran in place of the command")
        };
        let last = said.lines().rfind(|line| !line.trim().is_empty());
        let last = last.map(|line| format!(": {}", line.trim().chars().take(QUESTION).collect::<String>())).unwrap_or_default();
        Failure::new(code, format!("{what} ({how}){last}")).with_tail(&said)
    }

    /// Nothing ended and nothing ran: a login shell that asks would ask again, one that hangs may not.
    fn waiting(&self) -> Failure {
        let question = [self.stdout.as_ref(), self.stderr.as_slice()].into_iter().find_map(|stream| {
            let text = String::from_utf8_lossy(stream.get(stream.len().saturating_sub(QUESTION)..)?).into_owned();
            text.lines().next_back().map(|line| line.trim().to_owned()).filter(|line| !text.ends_with('\n') && !line.is_empty())
        });
        match question {
            Some(question) => {
                Failure::new(Code::NoShell, format!("the login shell asks `{question}` instead of running the command"))
            }
            None => {
                let message = format!("the login shell did not run the command within {} s", READY_DEADLINE.as_secs());
                Failure::new(Code::ConnectionLost, message)
            }
        }
    }
}

/// `fail=CODE TEXT` of a program on the target (`scripts/README.md`).
pub(super) fn refusal(text: &str) -> Failure {
    let (word, text) = text.split_once(' ').unwrap_or((text, ""));
    let code = match word {
        "no_space" => Code::NoSpace,
        "write_failed" => Code::WriteFailed,
        "checksum" => Code::ChecksumMismatch,
        "state_refused" => Code::StateRefused,
        // The stream ended early: the link, not the host.
        "short" => Code::ConnectionLost,
        "not_started" => Code::RunLost,
        "no_stty" => Code::MissingTool,
        "no_inbox" => Code::NoStdin,
        _ => Code::Internal,
    };
    let message = match word {
        "checksum" => format!("the host stored other bytes than were sent: {text}"),
        "write_failed" => format!("the host could not write {text}"),
        "no_inbox" => format!("what SFTP wrote to {text} is not there for commands"),
        "state_refused" => format!("the state directory cannot be used: {text}"),
        _ => text.to_owned(),
    };
    Failure::new(code, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_programs_have_codes() {
        for (text, code) in [
            ("no_space /opt has 3 kB free", "no_space"),
            ("checksum 17 bytes", "checksum_mismatch"),
            ("state_refused /opt/landfall is a link", "state_refused"),
            ("bad_argument x", "internal"),
        ] {
            assert_eq!(refusal(text).code, code);
        }
    }
}
