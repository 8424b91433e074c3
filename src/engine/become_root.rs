//! Becoming root: the command line that does it, the question on the way, and what a refusal means.
//!
//! sudo is asked over stdin behind a prompt of our own, or on a terminal where it insists on one (requiretty). su and doas, by
//! rule of the site, ask on a terminal in their own words. There is no second try anywhere: a wrong password counts against
//! the account.
//!
//! To add a way: a variant of [`Privilege`], its command line and its refusals here, its place in [`Become::otherwise`].

use std::time::Duration;

use uuid::Uuid;

use super::talk::{Riddle, Talk};
use crate::domain::credential::Secret;
use crate::domain::failure::{Code, Failure};
use crate::domain::plan::Privilege;
use crate::domain::shell::{self, Dialect};
use crate::domain::site::Method;
use crate::transport::Session;

/// sudo and its like ask PAM, and PAM asks DNS and LDAP (DESIGN 11).
const DEADLINE: Duration = Duration::from_secs(30);

/// How to become root on a host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Become<'a> {
    /// The way.
    pub(super) privilege: Privilege,
    /// The login shell's rules.
    pub(super) dialect: Dialect,
    /// Answers the question on the way.
    pub(super) password: Option<&'a Secret>,
}

impl Become<'_> {
    /// The way to try first.
    pub(super) fn first(method: Method) -> Privilege {
        match method {
            Method::Sudo => Privilege::Sudo,
            Method::Su => Privilege::Su,
            Method::Doas => Privilege::Doas,
        }
    }

    /// The way to try next when this one failed so, if there is one.
    pub(super) fn otherwise(&self, failure: &Failure) -> Option<Privilege> {
        let says = |code: Code| failure.code == code.row().word;
        match self.privilege {
            Privilege::Sudo if says(Code::SudoWantsTty) => Some(Privilege::SudoOnTerminal),
            Privilege::Doas if says(Code::DoasPasswordMissing) && self.password.is_some() => Some(Privilege::DoasOnTerminal),
            _ => None,
        }
    }

    /// The command line, and the question that stands between it and the program.
    fn line(&self, program: &[&str]) -> (Vec<u8>, Option<Riddles<'_>>) {
        let with = |words: &[&str]| shell::command_line(self.dialect, &[words, program].concat());
        match self.privilege {
            Privilege::Root | Privilege::Elevated => (with(&[]), None),
            Privilege::Sudo | Privilege::SudoOnTerminal => match self.password {
                Some(password) => {
                    let prompt = format!("[landfall {}] password:", Uuid::now_v7().simple());
                    let line = with(&["sh", "-c", shell::FIND, "lf", "sudo", "-S", "-p", &prompt, "--"]);
                    (line, Some(Riddles::Own(OwnPrompt { prompt, password, said: Vec::new() })))
                }
                // -n makes sudo say what it wants instead of waiting for it.
                None => (with(&["sh", "-c", shell::FIND, "lf", "sudo", "-n", "--"]), None),
            },
            Privilege::Su => {
                // Root's shell reads it, and nobody knows which that is: the form that every shell takes.
                let inner = shell::command_line(Dialect::Csh, program);
                let inner = String::from_utf8_lossy(&inner);
                let words = ["sh", "-c", shell::ASK, "lf", "su", "root", "-c", &*inner];
                (shell::command_line(self.dialect, &words), Some(Riddles::Theirs(self.their_prompt())))
            }
            Privilege::Doas => (with(&["sh", "-c", shell::FIND, "lf", "doas", "-n", "--"]), None),
            Privilege::DoasOnTerminal => {
                (with(&["sh", "-c", shell::ASK, "lf", "doas", "--"]), Some(Riddles::Theirs(self.their_prompt())))
            }
        }
    }

    fn their_prompt(&self) -> TheirPrompt<'_> {
        TheirPrompt { privilege: self.privilege, password: self.password, begun: false, said: Vec::new() }
    }
}

/// The last word of [`shell::ASK`].
const ASKING: &[u8] = b"@@lf:asking@@";

/// What is kept of somebody else's words: a question is short.
const QUESTION_CAP: usize = 4096;

/// Who asks.
enum Riddles<'a> {
    Own(OwnPrompt<'a>),
    Theirs(TheirPrompt<'a>),
}

impl<'a> Riddles<'a> {
    fn as_riddle(&mut self) -> &mut (dyn Riddle + 'a) {
        match self {
            Self::Own(own) => own,
            Self::Theirs(theirs) => theirs,
        }
    }
}

/// The prompt of su or doas, which nobody can set: an unfinished line about a password, after our own word and before
/// anything is answered.
struct TheirPrompt<'a> {
    privilege: Privilege,
    password: Option<&'a Secret>,
    begun: bool,
    said: Vec<u8>,
}

impl Riddle for TheirPrompt<'_> {
    fn is_asked(&mut self, said: &[u8]) -> bool {
        self.said.extend_from_slice(said);
        if !self.begun
            && let Some(at) = self.said.windows(ASKING.len()).position(|window| window == ASKING)
        {
            self.begun = true;
            self.said.drain(..at + ASKING.len());
        }
        self.said.drain(..self.said.len().saturating_sub(QUESTION_CAP));
        let tail = self.said.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        let tail = String::from_utf8_lossy(tail).to_lowercase();
        let asked = self.begun && tail.contains("password") && tail.trim_end().ends_with(':');
        if asked {
            self.said.clear();
        }
        asked
    }

    fn answer(&self) -> Result<&Secret, Failure> {
        // doas was asked without a terminal first, and comes here with a password only.
        self.password.ok_or_else(|| Failure::new(Code::SuPasswordMissing, "su wants root's password and none was given"))
    }

    fn wrong(&self) -> Failure {
        match self.privilege {
            Privilege::Su => Failure::new(Code::SuPasswordRefused, "su refused the password"),
            _ => Failure::new(Code::DoasPasswordRefused, "doas refused the password"),
        }
    }
}

/// Our own prompt, which nobody else can print.
struct OwnPrompt<'a> {
    prompt: String,
    password: &'a Secret,
    said: Vec<u8>,
}

impl Riddle for OwnPrompt<'_> {
    fn is_asked(&mut self, said: &[u8]) -> bool {
        self.said.extend_from_slice(said);
        let asked = self.said.windows(self.prompt.len()).any(|window| window == self.prompt.as_bytes());
        let keep = if asked { 0 } else { self.prompt.len() };
        self.said.drain(..self.said.len().saturating_sub(keep));
        asked
    }

    fn answer(&self) -> Result<&Secret, Failure> {
        Ok(self.password)
    }

    fn wrong(&self) -> Failure {
        Failure::new(Code::SudoPasswordRefused, "sudo refused the password")
    }
}

impl Talk {
    /// Starts a program as root and waits until it is ready.
    pub(super) async fn open_as_root(
        session: &mut dyn Session,
        program: &str,
        args: &[&str],
        root: Become<'_>,
    ) -> Result<Self, Failure> {
        let (line, mut riddle) = root.line(&shell::program(program, args));
        if matches!(root.privilege, Privilege::Root | Privilege::Elevated) {
            return Self::open(session, line).await;
        }
        let mut talk = Self::start(session, line, root.privilege.is_on_terminal()).await?;
        let riddle = riddle.as_mut().map(Riddles::as_riddle);
        match tokio::time::timeout(DEADLINE, talk.until_ready(riddle)).await {
            Ok(ready) => match ready? {
                true => Ok(talk),
                false => Err(refusal(&talk, root.privilege)),
            },
            Err(_) => Err(late(root.privilege).with_tail(&talk.complaint())),
        }
    }
}

/// Nobody answered in time.
fn late(privilege: Privilege) -> Failure {
    let (code, who) = match privilege {
        Privilege::Su => (Code::SuTimeout, "su"),
        Privilege::Doas | Privilege::DoasOnTerminal => (Code::DoasTimeout, "doas"),
        Privilege::Root | Privilege::Elevated | Privilege::Sudo | Privilege::SudoOnTerminal => (Code::SudoTimeout, "sudo"),
    };
    Failure::new(code, format!("{who} did not answer within {} s", DEADLINE.as_secs()))
}

/// It ended without running the program. Its words are the only sign there is; they are read here and nowhere else.
fn refusal(talk: &Talk, privilege: Privilege) -> Failure {
    let complaint = talk.complaint();
    let (code, message) = match privilege {
        _ if talk.was_ended() => (Code::NoExitStatus, "becoming root was ended before the command ran"),
        Privilege::Su => su_refusal(&complaint, talk.was_asked()),
        Privilege::Doas | Privilege::DoasOnTerminal => doas_refusal(&complaint),
        Privilege::Root | Privilege::Elevated | Privilege::Sudo | Privilege::SudoOnTerminal => sudo_refusal(&complaint),
    };
    Failure::new(code, message).with_tail(&complaint)
}

fn sudo_refusal(complaint: &str) -> (Code, &'static str) {
    let says = |text: &str| complaint.contains(text);
    if says("you must have a tty") || says("no tty present") {
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
    }
}

fn su_refusal(complaint: &str, was_asked: bool) -> (Code, &'static str) {
    let says = |text: &str| complaint.contains(text);
    // PAM and shadow; AIX 3004-501; Solaris.
    let refused = ["Authentication failure", "incorrect password", "Authentication is denied", "su: Sorry"];
    if was_asked && refused.iter().any(|text| says(text)) {
        (Code::SuPasswordRefused, "su refused the password")
    } else if says("Permission denied") || says("Authentication failure") {
        (Code::SuRefused, "su does not allow the account to become root")
    } else if says("not found") || says("No such file") {
        (Code::NotRoot, "the account is not root and there is no su on the host")
    } else {
        (Code::SuRefused, "su did not run the command")
    }
}

fn doas_refusal(complaint: &str) -> (Code, &'static str) {
    let says = |text: &str| complaint.contains(text);
    if says("Operation not permitted") || says("doas is not enabled") {
        (Code::DoasRefused, "doas does not allow the account to become root")
    } else if says("Authentication required") || says("Authorization required") {
        (Code::DoasPasswordMissing, "doas wants a password and none was given")
    } else if says("Authentication failed") || says("Authorization failed") {
        (Code::DoasPasswordRefused, "doas refused the password")
    } else if says("not found") || says("No such file") {
        (Code::NotRoot, "the account is not root and there is no doas on the host")
    } else {
        (Code::DoasRefused, "doas did not run the command")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_unfinished_line_about_a_password_after_our_word_is_a_question_of_others() {
        let password = Secret::from("x");
        let root = Become { privilege: Privilege::Su, dialect: Dialect::Posix, password: Some(&password) };
        for (said, asked) in [
            (&["Password: "][..], false),
            (&["Password: \n@@lf:asking@@\n"], false),
            (&["motd\n@@lf:asking@@\nPass", "word: "], true),
            (&["@@lf:ask", "ing@@\r\nPassword for root@REALM:"], true),
            (&["@@lf:asking@@\n\rdoas (ops@host) password: "], true),
            (&["@@lf:asking@@\nEnter PASSCODE: "], false),
            (&["@@lf:asking@@\nYour password will expire in 3 days: change it\n"], false),
        ] {
            let mut riddle = root.their_prompt();
            let heard: Vec<bool> = said.iter().map(|piece| riddle.is_asked(piece.as_bytes())).collect();
            assert_eq!(heard.last(), Some(&asked), "{said:?}");
            assert!(heard.iter().rev().skip(1).all(|early| !early), "{said:?}");
        }
    }

    #[test]
    fn our_prompt_is_seen_once_for_each_time_it_came_however_it_is_cut() {
        let password = Secret::from("x");
        let mut riddle = OwnPrompt { prompt: "[lf] password:".into(), password: &password, said: Vec::new() };
        let heard: Vec<bool> = ["We trust you.\n[lf] pass", "word:", "Sorry\n", "[lf] password:"]
            .iter()
            .map(|said| riddle.is_asked(said.as_bytes()))
            .collect();
        assert_eq!(heard, [false, true, false, true]);
    }
}
