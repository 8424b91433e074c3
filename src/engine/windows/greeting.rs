//! What a Windows host says of itself first, by cmd.exe alone: who we are there, and what is there of ours.
//!
//! Never here: bringing anything ([`super::settle_in`]).

use crate::assets::windows::DIGEST;
use crate::domain::facts;
use crate::domain::failure::{Code, Failure};
use crate::domain::shell::cmd;
use crate::engine::talk::Talk;
use crate::transport::Session;

use super::{ANSWER_CAP, MARK, STATE, TOOLS, line, places};

/// What the mark says where no number can be had: Windows before 8 tells none.
pub(super) const NO_NUMBER: &str = "made";

/// What a Windows host says of itself first.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::engine) struct Greeting {
    /// `%ProgramData%`.
    data: String,
    /// `%SHELL%`, which only Cygwin and its like have.
    pub(super) shell: String,
    pub(super) is_elevated: bool,
    pub(super) is_admin: bool,
    /// What the mark in the registry says of the directory that we made.
    mark: Option<String>,
    /// Is there a state directory, whoever made it?
    is_there: bool,
    /// Its number on its volume, where the system tells.
    number: Option<String>,
    /// Are our programs there, in this version?
    has_programs: bool,
}

impl Greeting {
    /// Is the state directory the very one that we made? Once it was taken away, anybody may make another one of its name.
    pub(super) fn is_ours(&self) -> bool {
        self.is_there && self.mark.as_deref() == Some(self.number.as_deref().unwrap_or(NO_NUMBER))
    }

    /// Are the programs there that we brought?
    pub(super) fn has_programs(&self) -> bool {
        self.has_programs && self.is_ours()
    }

    /// The state directory.
    pub(super) fn state(&self) -> String {
        format!("{}\\landfall", self.data)
    }

    /// What its SFTP may call the same: Win32-OpenSSH puts a drive behind a slash, Cygwin below a directory. A shell of Cygwin
    /// may be that of either.
    pub(super) fn sftp_dirs(&self) -> [String; 2] {
        let (drive, rest) = self.data.split_once(":\\").unwrap_or(("C", &self.data));
        let rest = rest.replace('\\', "/");
        [format!("/{drive}:/{rest}/landfall"), format!("/proc/cygdrive/{}/{rest}/landfall", drive.to_ascii_lowercase())]
    }

    /// Reads the answers; `None` when it is no Windows.
    fn read(said: &str) -> Option<Self> {
        let (mut greeting, mut is_windows, mut topic) = (Self::default(), false, String::new());
        for line in said.lines() {
            let Some(answer) = facts::answers(line).next() else {
                let word = line.split_whitespace().find(|word| word.starts_with("0x") || *word == NO_NUMBER);
                match topic.as_str() {
                    "number" => greeting.number = greeting.number.or(word.map(str::to_lowercase)),
                    "mark" => greeting.mark = greeting.mark.or(word.map(str::to_lowercase)),
                    _ => {}
                }
                continue;
            };
            let (key, value) = answer.split_once('=').unwrap_or((answer, ""));
            match key {
                "os" => is_windows = value == "Windows_NT",
                "data" => greeting.data = value.into(),
                "shell" => greeting.shell = value.into(),
                "elevated" => greeting.is_elevated = true,
                "admin" => greeting.is_admin = true,
                "there" => greeting.is_there = true,
                "programs" => greeting.has_programs = true,
                _ => {}
            }
            topic = key.to_owned();
        }
        is_windows.then_some(greeting)
    }
}

/// The command that tells a directory's number, in words of whatever language.
pub(super) fn number_of_state() -> String {
    format!("{TOOLS}fsutil file queryfileid {STATE} 2>nul")
}

/// The number in what that command said.
pub(super) fn number(said: &str) -> Option<String> {
    said.split_whitespace().find(|word| word.starts_with("0x")).map(str::to_lowercase)
}

/// Asks whether it is Windows, and what is there of ours. `None` where no cmd.exe answers.
pub(in crate::engine) async fn greet(session: &mut dyn Session) -> Result<Option<Greeting>, Failure> {
    let holds = |test: &str, word: &str| format!("({test} && echo @@lf:{word}=yes@@)");
    // By their paths: Cygwin has a whoami of its own.
    let groups = |sids: &str| format!("{TOOLS}whoami /groups | {TOOLS}findstr {sids} >nul");
    let asked = line(&[
        "echo.".into(),
        "echo @@lf:ready@@".into(),
        "echo @@lf:os=%OS%@@".into(),
        "echo @@lf:data=%ProgramData%@@".into(),
        "echo @@lf:shell=%SHELL%@@".into(),
        // The integrity level of the token: High, or the system's. A filtered one is Medium.
        holds(&groups("/c:S-1-16-12288 /c:S-1-16-16384"), "elevated"),
        holds(&groups("S-1-5-32-544"), "admin"),
        format!("(if exist {STATE} echo @@lf:there=yes@@)"),
        "echo @@lf:number=@@".into(),
        number_of_state(),
        "echo @@lf:mark=@@".into(),
        format!("{TOOLS}reg query {MARK} /v state 2>nul"),
        // An uninstall takes places away that the next job looks for.
        format!("(if exist {STATE}\\programs\\{}\\ready (md {} 2>nul& echo @@lf:programs=yes@@))", *DIGEST, places(STATE)),
        "echo @@lf:end@@".into(),
    ]);
    let mut talk = match Talk::open(session, asked).await {
        Ok(talk) => talk,
        Err(failure) if failure.code == Code::NoShell.row().word => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let Some(greeting) = Greeting::read(&talk.rest(ANSWER_CAP).await?) else { return Ok(None) };
    if cmd::is_plain(&greeting.data) {
        return Ok(Some(greeting));
    }
    let message = format!("ProgramData of the host is `{}`; only letters, digits, `-`, `_` and `.` may be in it", greeting.data);
    Err(Failure::new(Code::StateRefused, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "noise\r\n@@lf:os=Windows_NT@@\r\n@@lf:data=C:\\ProgramData@@ \r\n@@lf:shell=%SHELL%@@\r\n@@lf:elevated=yes@@\r\n\
        @@lf:there=yes@@\r\n@@lf:number=@@\r\n文件 ID 为 0x00010000000000AB\r\n@@lf:mark=@@\r\n\r\nHKEY_LOCAL_MACHINE\\SOFTWARE\\landfall\r\n    \
        state    REG_SZ    0x00010000000000ab\r\n\r\n@@lf:programs=yes@@\r\n@@lf:end@@\r\n";

    #[test]
    fn a_state_directory_is_ours_when_it_has_the_number_that_we_marked() {
        let greeting = Greeting::read(SAID).unwrap();
        assert!(greeting.is_ours() && greeting.has_programs() && greeting.is_elevated && !greeting.is_admin, "{greeting:?}");
        let other = Greeting::read(&SAID.replace("0x00010000000000AB", "0x00020000000000AB")).unwrap();
        assert!(!other.is_ours() && !other.has_programs(), "somebody else made it anew");
        let unmarked = Greeting::read(&SAID.replace("REG_SZ    0x00010000000000ab", "")).unwrap();
        assert!(!unmarked.is_ours());
        let numberless =
            SAID.replace("文件 ID 为 0x00010000000000AB", "").replace("REG_SZ    0x00010000000000ab", "REG_SZ    made");
        assert!(Greeting::read(&numberless).unwrap().is_ours());
        assert_eq!(Greeting::read("sh: cmd: not found"), None);
    }

    #[test]
    fn sftp_has_a_name_for_the_state_directory_whoever_serves_it() {
        let [own, of_cygwin] = Greeting::read(SAID).unwrap().sftp_dirs();
        assert_eq!((own.as_str(), of_cygwin.as_str()), ("/C:/ProgramData/landfall", "/proc/cygdrive/c/ProgramData/landfall"));
    }
}
