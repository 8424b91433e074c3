//! Becoming root: the command line that does it, the question on the way, and what a refusal means.
//!
//! sudo is asked over stdin behind a prompt of our own, or on a terminal where it insists on one (requiretty). There is no
//! second try anywhere: a wrong password counts against the account.
//!
//! To add a way: a variant of [`Privilege`], its command line and its refusals here, its order in [`ways`].

use std::time::Duration;

use uuid::Uuid;

use super::talk::{Riddle, Talk};
use crate::domain::credential::Secret;
use crate::domain::failure::{Code, Failure};
use crate::domain::plan::Privilege;
use crate::domain::shell::{self, Dialect};
use crate::transport::Session;

/// sudo asks PAM, and PAM asks DNS and LDAP (DESIGN 11).
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
    /// The way to try next when this one failed so, if there is one.
    pub(super) fn otherwise(&self, failure: &Failure) -> Option<Privilege> {
        match self.privilege {
            Privilege::Sudo if failure.code == Code::SudoWantsTty.row().word => Some(Privilege::SudoOnTerminal),
            Privilege::Root | Privilege::Sudo | Privilege::SudoOnTerminal => None,
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

    fn answer(&self) -> &Secret {
        self.password
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
        let mut words = vec!["sh", "-c", program, "lf"];
        words.extend_from_slice(args);
        match root.privilege {
            Privilege::Root => Self::open(session, shell::command_line(root.dialect, &words)).await,
            Privilege::Sudo | Privilege::SudoOnTerminal => Self::open_by_sudo(session, &words, root).await,
        }
    }

    async fn open_by_sudo(session: &mut dyn Session, program: &[&str], root: Become<'_>) -> Result<Self, Failure> {
        let prompt = format!("[landfall {}] password:", Uuid::now_v7().simple());
        let mut sudo = vec!["env", "LC_ALL=C", "sudo"];
        // Without a password -n makes sudo say what it wants instead of waiting for it.
        match root.password {
            Some(_) => sudo.extend(["-S", "-p", prompt.as_str()]),
            None => sudo.push("-n"),
        }
        sudo.push("--");
        sudo.extend(program);
        let mut talk = Self::start(session, shell::command_line(root.dialect, &sudo), root.privilege.is_on_terminal()).await?;
        let mut riddle = root.password.map(|password| OwnPrompt { prompt, password, said: Vec::new() });
        let riddle = riddle.as_mut().map(|riddle| riddle as &mut dyn Riddle);
        let late = |_| Failure::new(Code::SudoTimeout, format!("sudo did not answer within {} s", DEADLINE.as_secs()));
        match tokio::time::timeout(DEADLINE, talk.until_ready(riddle)).await.map_err(late)?? {
            true => Ok(talk),
            false => Err(sudo_refusal(&talk)),
        }
    }
}

/// sudo ended without running the program. Its words are the only sign there is; they are read here and nowhere else.
fn sudo_refusal(talk: &Talk) -> Failure {
    let complaint = talk.complaint();
    let says = |text: &str| complaint.contains(text);
    let (code, message) = if talk.was_ended() {
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

#[cfg(test)]
mod tests {
    use super::*;

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
