//! Talking with a program on the target: becoming root, the ready marker, answers between markers.
//!
//! The order is what makes it safe: a password goes out only after our own prompt was seen, a payload only after the inner
//! shell said that it is ready; else the password would become the payload's first line on disk (DESIGN 11).

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use secrecy::ExposeSecret;
use uuid::Uuid;

use crate::domain::barred::Bar;
use crate::domain::credential::Secret;
use crate::domain::facts;
use crate::domain::failure::{Code, Failure, TAIL_CAP};
use crate::domain::outcome::ExitReport;
use crate::domain::plan::Privilege;
use crate::domain::shell::{self, Dialect};
use crate::transport::{Output, Process, Session, TransportError};

/// sudo asks PAM, and PAM asks DNS and LDAP (DESIGN 11).
const SUDO_DEADLINE: Duration = Duration::from_secs(30);

/// A login shell that has not run its command by then hangs: a home on a dead file server, a profile that waits. The steps'
/// deadlines are for their work, ten minutes where a package is hashed.
const READY_DEADLINE: Duration = Duration::from_secs(30);

/// A program that has said its last word has only to exit.
const END_DEADLINE: Duration = Duration::from_secs(10);

/// Longest line of an answer; what is longer is noise.
const LINE_CAP: usize = 64 * 1024;

/// How to become root on a host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Become<'a> {
    /// The way.
    pub(super) privilege: Privilege,
    /// The login shell's rules.
    pub(super) dialect: Dialect,
    /// Answers sudo's prompt.
    pub(super) password: Option<&'a Secret>,
}

/// A program on the target, ready to be spoken to.
pub(super) struct Talk {
    process: Box<dyn Process>,
    stdout: BytesMut,
    stderr: Vec<u8>,
    /// What was printed before the program was ready, its beginning.
    noise: String,
    exit: Option<ExitReport>,
}

/// Output as it comes, for programs that send raw bytes.
#[derive(Debug)]
pub(super) enum Raw {
    /// Bytes of stdout.
    Bytes(Bytes),
    /// An answer on stderr.
    Word(String),
    /// It ended.
    Exit,
}

impl Talk {
    /// Starts `line` as it is and waits until it is ready.
    pub(super) async fn open(session: &mut dyn Session, line: Vec<u8>) -> Result<Self, Failure> {
        let mut talk = Self::start(session, line).await?;
        let ready = tokio::time::timeout(READY_DEADLINE, talk.until_ready(None)).await;
        let message = || format!("the login shell did not run the command within {} s", READY_DEADLINE.as_secs());
        match ready.map_err(|_| Failure::new(Code::ConnectionLost, message()))?? {
            true => Ok(talk),
            false => Err(talk.silent()),
        }
    }

    /// Starts a program as root and waits until it is ready.
    pub(super) async fn open_as_root(
        session: &mut dyn Session,
        program: &str,
        args: &[&str],
        root: Become<'_>,
    ) -> Result<Self, Failure> {
        let mut words = vec!["sh", "-c", program, "lf"];
        words.extend_from_slice(args);
        if root.privilege == Privilege::Root {
            return Self::open(session, shell::command_line(root.dialect, &words)).await;
        }
        let prompt = format!("[landfall {}] password:", Uuid::now_v7().simple());
        let mut sudo = vec!["env", "LC_ALL=C", "sudo"];
        // Without a password -n makes sudo say what it wants instead of waiting for it.
        match root.password {
            Some(_) => sudo.extend(["-S", "-p", prompt.as_str()]),
            None => sudo.push("-n"),
        }
        sudo.push("--");
        sudo.extend(words);
        let mut talk = Self::start(session, shell::command_line(root.dialect, &sudo)).await?;
        let answered =
            tokio::time::timeout(SUDO_DEADLINE, talk.until_ready(root.password.map(|password| (prompt.as_str(), password))))
                .await;
        match answered
            .map_err(|_| Failure::new(Code::SudoTimeout, format!("sudo did not answer within {} s", SUDO_DEADLINE.as_secs())))??
        {
            true => Ok(talk),
            false => Err(talk.sudo_refusal()),
        }
    }

    async fn start(session: &mut dyn Session, line: Vec<u8>) -> Result<Self, Failure> {
        let process = session.exec(line).await?;
        Ok(Self { process, stdout: BytesMut::new(), stderr: Vec::new(), noise: String::new(), exit: None })
    }

    /// Reads until the ready marker; false when the program ended before it.
    async fn until_ready(&mut self, sudo: Option<(&str, &Secret)>) -> Result<bool, Failure> {
        let mut prompts = 0;
        loop {
            while let Some(line) = self.line() {
                if facts::answers(&line).any(|word| word == "ready") {
                    return Ok(true);
                }
                if self.noise.len() + line.len() <= TAIL_CAP {
                    self.noise.push_str(&line);
                }
            }
            if self.exit.is_some() {
                return Ok(false);
            }
            self.read().await?;
            let Some((prompt, password)) = sudo else { continue };
            if count(&self.stderr, prompt.as_bytes()) > prompts {
                prompts += 1;
                if prompts > 1 {
                    return Err(Failure::new(Code::SudoPasswordRefused, "sudo refused the password").with_tail(&self.complaint()));
                }
                let answer = Bytes::from(format!("{}\n", password.expose_secret()));
                self.process.write(answer).await?;
            }
        }
    }

    /// Takes in what comes next.
    async fn read(&mut self) -> Result<(), TransportError> {
        match self.process.next().await? {
            Output::Stdout(bytes) => {
                tracing::trace!(bytes = bytes.len(), "stdout");
                self.stdout.extend_from_slice(&bytes);
                // A line that never ends is noise; only its end may matter.
                if self.stdout.len() > 4 * LINE_CAP && !self.stdout.contains(&b'\n') {
                    let _ = self.stdout.split_to(self.stdout.len() - LINE_CAP);
                }
            }
            Output::Stderr(bytes) => {
                self.stderr.extend_from_slice(&bytes);
                if self.stderr.len() > 4 * LINE_CAP {
                    self.stderr.drain(..self.stderr.len() - LINE_CAP);
                }
            }
            Output::Exit(report) => self.exit = Some(report),
        }
        Ok(())
    }

    /// The next whole line of stdout, or the rest after the end.
    fn line(&mut self) -> Option<String> {
        let end = match self.stdout.iter().position(|byte| *byte == b'\n') {
            Some(newline) => newline + 1,
            None if self.exit.is_some() && !self.stdout.is_empty() => self.stdout.len(),
            None => return None,
        };
        Some(String::from_utf8_lossy(&self.stdout.split_to(end)).into_owned())
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

    /// The next output of a program that sends raw bytes on stdout and answers on stderr.
    pub(super) async fn raw(&mut self) -> Result<Raw, Failure> {
        loop {
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
            self.read().await?;
        }
    }

    /// Everything the program prints from here on, at most `cap` bytes of stdout.
    pub(super) async fn rest(&mut self, cap: usize) -> Result<String, Failure> {
        while self.exit.is_none() {
            self.read().await?;
            if self.stdout.len() > cap {
                let _ = self.stdout.split_to(self.stdout.len() - cap);
            }
        }
        Ok(String::from_utf8_lossy(&self.stdout.split()).into_owned())
    }

    /// Sends bytes to the program.
    pub(super) async fn send(&mut self, bytes: Bytes) -> Result<(), TransportError> {
        self.process.write(bytes).await
    }

    /// Tells the program that nothing more comes.
    pub(super) async fn finish(&mut self) -> Result<(), TransportError> {
        self.process.finish().await
    }

    /// How it ended, once it did.
    pub(super) fn exit(&self) -> Option<&ExitReport> {
        self.exit.as_ref()
    }

    /// Did it end without an exit code of its own? A host that goes down ends its sessions so, and will be back.
    pub(super) fn was_ended(&self) -> bool {
        matches!(self.exit, Some(ExitReport::Signal(_) | ExitReport::NoStatus))
    }

    /// What it complained about.
    pub(super) fn complaint(&self) -> String {
        let from = self.stderr.len().saturating_sub(TAIL_CAP);
        String::from_utf8_lossy(self.stderr.get(from..).unwrap_or_default()).into_owned()
    }

    /// The program never became ready. An account that may log in and run nothing is told so where a shell would be.
    fn silent(&self) -> Failure {
        let how = self.exit.as_ref().map_or_else(|| "no end".to_owned(), ToString::to_string);
        let words = format!("{}{}", self.noise, self.complaint());
        let (code, why) = match Bar::read(&words) {
            Some(bar) => (bar.code(), bar.words()),
            None if self.was_ended() => (Code::NoExitStatus, "the login shell did not run the command"),
            None => (Code::NoShell, "the login shell did not run the command"),
        };
        Failure::new(code, format!("{why} ({how})")).with_tail(&words)
    }

    /// sudo ended without running the program. Its words are the only sign there is; they are read here and nowhere else.
    fn sudo_refusal(&self) -> Failure {
        let complaint = self.complaint();
        let says = |text: &str| complaint.contains(text);
        let (code, message) = if self.was_ended() {
            (Code::NoExitStatus, "sudo was ended before it ran the command")
        } else if says("you must have a tty") || says("no tty present") {
            (Code::SudoWantsTty, "sudo wants a terminal (requiretty)")
        } else if says("incorrect password") || says("Sorry, try again") {
            (Code::SudoPasswordRefused, "sudo refused the password")
        } else if says("a password is required") {
            (Code::SudoPasswordMissing, "sudo wants a password and none was given")
        } else if says("not in the sudoers") || says("not allowed to") || says("may not run sudo") {
            (Code::SudoRefused, "sudo does not allow the account to become root")
        } else if says("not found") || says("No such file") {
            (Code::NotRoot, "the account is not root and there is no sudo on the host")
        } else {
            (Code::SudoRefused, "sudo did not run the command")
        };
        Failure::new(code, message).with_tail(&complaint)
    }
}

/// How often `needle` stands in `text`.
fn count(text: &[u8], needle: &[u8]) -> usize {
    text.windows(needle.len()).filter(|window| *window == needle).count()
}

/// `fail=CODE TEXT` of a program on the target (`scripts/README.md`).
fn refusal(text: &str) -> Failure {
    let (word, text) = text.split_once(' ').unwrap_or((text, ""));
    let code = match word {
        "no_space" => Code::NoSpace,
        "write_failed" => Code::WriteFailed,
        "checksum" => Code::ChecksumMismatch,
        "state_refused" => Code::StateRefused,
        // The stream ended early: the link, not the host.
        "short" => Code::ConnectionLost,
        "not_started" => Code::RunLost,
        _ => Code::Internal,
    };
    let message = match word {
        "checksum" => format!("the host stored other bytes than were sent: {text}"),
        "write_failed" => format!("the host could not write {text}"),
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

    #[test]
    fn a_prompt_is_counted_once_for_each_time_it_came() {
        assert_eq!(count(b"[lf] password:Sorry\n[lf] password:", b"[lf] password:"), 2);
    }
}
