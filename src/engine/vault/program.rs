//! A vault that is a program: run without a shell, in a process group of its own that does not outlive the question.
//!
//! It sees the environment that Landfall was started with, no terminal and no input.

use std::process::Stdio;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::{ANSWER_CAP, buffer, first_line};
use crate::domain::credential::Secret;

/// Bytes of complaint that are read at once; the last piece is told.
const COMPLAINT: usize = 512;

/// Runs it, and takes the first line it prints.
pub(super) async fn ask(line: &[String]) -> Result<Secret, String> {
    let (program, arguments) = line.split_first().ok_or("no command")?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.process_group(0).kill_on_drop(true).spawn().map_err(|error| format!("{program}: {error}"))?;
    let _group = Group(child.id());
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(format!("{program} has no output"));
    };
    let mut answer = buffer();
    let mut reading = stdout.take(ANSWER_CAP as u64 + 1);
    // Both at once: a program that waits for a reader of its complaints gives no answer.
    let (read, complaint) = tokio::join!(reading.read_to_end(&mut answer), complaint(stderr));
    read.map_err(|error| format!("{program}: {error}"))?;
    if answer.len() > ANSWER_CAP {
        return Err(format!("{program} printed more than {} KiB", ANSWER_CAP / 1024));
    }
    let status = child.wait().await.map_err(|error| format!("{program}: {error}"))?;
    if !status.success() {
        let complaint = if complaint.is_empty() { String::new() } else { format!(": {complaint}") };
        return Err(format!("{program} ended with {status}{complaint}"));
    }
    first_line(&answer)
}

/// The last words of a program.
async fn complaint(mut stderr: impl AsyncRead + Unpin) -> String {
    let (mut last, mut piece) = (Vec::new(), [0; COMPLAINT]);
    while let Ok(count @ 1..) = stderr.read(&mut piece).await {
        last.extend_from_slice(piece.get(..count).unwrap_or_default());
        last.drain(..last.len().saturating_sub(COMPLAINT));
    }
    let text = String::from_utf8_lossy(&last);
    text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().trim().replace(char::is_control, " ")
}

/// Ends whatever the program started, when nobody waits for it any more.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0.and_then(|id| i32::try_from(id).ok()) {
            // Gone already, as it should be.
            let _ = killpg(Pid::from_raw(leader), Signal::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    async fn shell(script: &str) -> Result<String, String> {
        let line = ["/bin/sh", "-c", script, "vault", "10.0.0.1"].map(str::to_owned);
        ask(&line).await.map(|secret| secret.expose_secret().to_owned())
    }

    #[tokio::test]
    async fn a_program_gives_the_password_on_its_first_line_and_may_talk_beside_it() {
        assert_eq!(shell("echo \"of $1\"; echo more; echo notes >&2").await, Ok("of 10.0.0.1".into()));
        assert_eq!(shell("cat; echo no input").await, Ok("no input".into()));
        assert_eq!(shell("yes | head -c 300000 >&2; echo talks much").await, Ok("talks much".into()));
    }

    #[tokio::test]
    async fn a_program_that_fails_is_told_by_its_last_words_and_never_by_its_answer() {
        let why = shell("echo hunter2; echo 'first'; echo 'no such host' >&2; exit 3").await.unwrap_err();
        assert!(why.contains("exit status: 3") && why.ends_with(": no such host") && !why.contains("hunter2"), "{why}");
        let why = shell("yes hunter2 | head -c 100000").await.unwrap_err();
        assert!(why.contains("64 KiB") && !why.contains("hunter2"), "{why}");
        assert!(shell(":").await.unwrap_err().contains("empty"));
        assert!(ask(&["/no/such/program".to_owned()]).await.unwrap_err().contains("/no/such/program"));
    }

    #[tokio::test]
    async fn whatever_a_program_started_ends_with_the_question() {
        let place = tempfile::tempdir().unwrap();
        let pid = place.path().join("pid");
        // What it leaves behind holds its output open, so the answer does not end.
        let script = format!("sleep 1000 & echo $! >{0}.new; mv {0}.new {0}; echo early", pid.display());
        let question = tokio::spawn(async move { shell(&script).await });
        let left = loop {
            match std::fs::read_to_string(&pid) {
                Ok(text) => break text.trim().to_owned(),
                Err(_) => tokio::task::yield_now().await,
            }
        };
        assert!(std::path::Path::new(&format!("/proc/{left}")).exists());
        question.abort();
        assert!(question.await.is_err_and(|error| error.is_cancelled()));
        let gone = || std::fs::read_to_string(format!("/proc/{left}/stat")).map_or(true, |stat| stat.contains(") Z "));
        while !gone() {
            tokio::task::yield_now().await;
        }
    }
}
