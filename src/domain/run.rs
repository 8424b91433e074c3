//! A run of a script as the target tells it: its end, and the lines of its log.
//!
//! Never here: what becomes of a host whose run ended so (the engine's), and the table of exit codes (`assets`). To add a way
//! to end: its word in [`RunEnd::parse`] and in `scripts/unix/follow.sh`.

use bytes::{Bytes, BytesMut};

use super::facts::answers;

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

/// What comes next where bytes of a log and words about it share one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Bytes of the log.
    Bytes(Bytes),
    /// A word.
    Word(String),
}

/// Longest line that may still be a word; of a longer one only its end can be.
const LINE_CAP: usize = 4096;

/// Tells the log from the words where a terminal makes both of them one stream: `@@lf:data=COUNT@@` on a line of its own says
/// how many bytes of the log follow. Lines that are no words are noise.
#[derive(Debug, Default)]
pub struct Frames {
    /// Bytes of the log that are still to come.
    due: usize,
}

impl Frames {
    /// Takes the next frame out of what came; `None` when there is no whole one. Bytes of a log come as they are there.
    pub fn take(&mut self, came: &mut BytesMut) -> Option<Frame> {
        loop {
            if self.due > 0 {
                let bytes = came.split_to(self.due.min(came.len())).freeze();
                self.due -= bytes.len();
                return (!bytes.is_empty()).then_some(Frame::Bytes(bytes));
            }
            let Some(newline) = came.iter().position(|byte| *byte == b'\n') else {
                let _ = came.split_to(came.len().saturating_sub(LINE_CAP));
                return None;
            };
            let line = came.split_to(newline + 1);
            let text = String::from_utf8_lossy(line.get(newline.saturating_sub(LINE_CAP)..).unwrap_or_default());
            let Some(word) = answers(&text).next() else { continue };
            match word.strip_prefix("data=") {
                None => return Some(Frame::Word(word.to_owned())),
                // A count that is none: the log goes on at the byte that is known, over another connection.
                Some(count) => self.due = count.parse().unwrap_or(0),
            }
        }
    }
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
    fn a_log_and_the_words_about_it_come_apart_however_they_are_cut() {
        let stream =
            b"\r\nmotd\n@@lf:beat@@\n@@lf:data=21@@\nx\n@@lf:exit=9 9@@\n\0\xff\r\n@@lf:data=0@@\n@@lf:exit=0 21@@\r\nbye";
        let log = b"x\n@@lf:exit=9 9@@\n\0\xff\r";
        for size in 1..=stream.len() {
            let (mut frames, mut came, mut bytes, mut words) = (Frames::default(), BytesMut::new(), Vec::new(), Vec::new());
            for piece in stream.chunks(size) {
                came.extend_from_slice(piece);
                while let Some(frame) = frames.take(&mut came) {
                    match frame {
                        Frame::Bytes(more) => bytes.extend_from_slice(&more),
                        Frame::Word(word) => words.push(word),
                    }
                }
            }
            assert_eq!(
                (bytes.as_slice(), words.as_slice()),
                (&log[..], &["beat".to_owned(), "exit=0 21".to_owned()][..]),
                "{size}"
            );
        }
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
