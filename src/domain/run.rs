//! A run of a script as the target tells it: its end, and the lines of its log.
//!
//! Never here: what becomes of a host whose run ended so (the engine's), and the table of exit codes (`assets`). To add a way
//! to end: its word in [`RunEnd::parse`] and in `scripts/linux/follow.sh`.

/// Longest message that is taken out of a log, in characters.
const MESSAGE_CAP: usize = 300;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// With an exit code, and a log of so many bytes.
    Exit {
        /// The script's own.
        code: i32,
        /// Bytes of the whole log: what is not read of it yet is still to come.
        log_size: u64,
    },
    /// The target was restarted meanwhile.
    Rebooted,
    /// It is gone and left no exit code.
    Lost,
}

/// A word that a target should not have said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unexpected answer `{0}`")]
pub struct UnexpectedWord(pub String);

impl RunEnd {
    /// What a word of the follower says of the end: `None` when it says nothing of it (a beat).
    ///
    /// # Errors
    /// An exit code that is none.
    pub fn parse(word: &str) -> Result<Option<Self>, UnexpectedWord> {
        if let Some(exit) = word.strip_prefix("exit=") {
            let numbers = exit.split_once(' ');
            let parsed = numbers.and_then(|(code, size)| Some((code.trim().parse().ok()?, size.trim().parse().ok()?)));
            let (code, log_size) = parsed.ok_or_else(|| UnexpectedWord(word.chars().take(MESSAGE_CAP).collect()))?;
            return Ok(Some(Self::Exit { code, log_size }));
        }
        Ok(match word {
            "rebooted" => Some(Self::Rebooted),
            "lost" | "missing" => Some(Self::Lost),
            _ => None,
        })
    }
}

/// The message of the last line of a log: `date time LEVEL step status message`. A line of another form is all message.
#[must_use]
pub fn last_message(log: &str) -> String {
    log.lines().rfind(|line| !line.trim().is_empty()).map(message).unwrap_or_default()
}

/// What the script quoted just before it gave up: the end of the agent's own log, the complaint of a tool.
#[must_use]
pub fn last_warning(log: &str) -> Option<String> {
    let before = log.lines().filter(|line| !line.trim().is_empty()).rev().nth(1)?;
    before.split(' ').nth(2).filter(|level| *level == "WARN").map(|_| message(before))
}

fn message(line: &str) -> String {
    line.splitn(6, ' ').nth(5).unwrap_or(line).trim().chars().take(MESSAGE_CAP).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_a_log_is_its_message() {
        let log = "2026-11-24 10:00:00 INFO check_env START x\n2026-11-24 10:00:01 ERROR check_env FAILED /opt has 3 kB free\n\n";
        assert_eq!(last_message(log), "/opt has 3 kB free");
        assert_eq!(last_message("odd"), "odd");
        assert_eq!(last_message(""), "");
    }

    #[test]
    fn the_warning_before_the_last_line_is_why() {
        let end = "2026-11-24 10:00:01 ERROR start_agent FAILED a ended\n";
        let warned = format!("2026-11-24 10:00:00 WARN start_agent - address already in use\n{end}");
        assert_eq!(last_warning(&warned).as_deref(), Some("address already in use"));
        let calm = format!("2026-11-24 10:00:00 INFO start_agent - begun\n{end}");
        assert_eq!(last_warning(&calm), None);
        assert_eq!(last_warning(end), None);
    }

    #[test]
    fn the_end_of_a_run_is_one_word() {
        let exit = |code, log_size| Ok(Some(RunEnd::Exit { code, log_size }));
        for (word, end) in [
            ("exit=0 17", exit(0, 17)),
            ("exit=-1 0", exit(-1, 0)),
            ("rebooted", Ok(Some(RunEnd::Rebooted))),
            ("missing", Ok(Some(RunEnd::Lost))),
            ("beat", Ok(None)),
            ("", Ok(None)),
        ] {
            assert_eq!(RunEnd::parse(word), end, "{word}");
        }
        for word in ["exit=", "exit=0", "exit=x 1", "exit=0 -1", "exit=99999999999 1"] {
            assert_eq!(RunEnd::parse(word), Err(UnexpectedWord(word.into())), "{word}");
        }
    }
}
