//! What a server says first, kept until it is known to speak SSH, and what it means when it does not.
//!
//! An sshd may write lines before its version, and one that takes no more connections writes a sentence in its place; a
//! web server writes its own. russh tells none of them apart. Never here: anything after the first words.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::transport::TransportError;

/// Kept at most: russh gives up after 20 lines of 255 bytes.
const KEPT: usize = 20 * 256;

/// Longest quotation of a server.
const QUOTE: usize = 200;

/// OpenSSH's sentences: MaxStartups, and PerSourcePenalties since 9.8. They stand here because they are all it says.
const BUSY: [&str; 2] = ["Exceeded MaxStartups", "Not allowed at this time"];

/// The first words, as the stream hears them.
#[derive(Clone, Default)]
pub(super) struct Greeting(Arc<Mutex<Words>>);

#[derive(Default)]
struct Words {
    kept: Vec<u8>,
    speaks_ssh: bool,
}

impl Greeting {
    /// Hears more; false when it need not hear any further.
    pub(super) fn hear(&self, bytes: &[u8]) -> bool {
        let mut words = self.words();
        let room = KEPT.saturating_sub(words.kept.len());
        words.kept.extend(bytes.iter().take(room));
        words.speaks_ssh = words.kept.split(|byte| *byte == b'\n').any(is_version);
        if words.speaks_ssh {
            // Open sessions need not carry it.
            words.kept = Vec::new();
        }
        !words.speaks_ssh && words.kept.len() < KEPT
    }

    /// Was there no word at all?
    pub(super) fn is_silence(&self) -> bool {
        let words = self.words();
        !words.speaks_ssh && words.kept.is_empty()
    }

    /// The error for a server that said something else than SSH's version.
    pub(super) fn stranger(&self, endpoint: &str) -> Option<TransportError> {
        let words = self.words();
        if words.speaks_ssh || words.kept.is_empty() {
            return None;
        }
        let (endpoint, text) = (endpoint.to_owned(), String::from_utf8_lossy(&words.kept));
        let said = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let cause = format!("it says \"{}\"", quote(said));
        Some(if BUSY.iter().any(|sentence| text.contains(sentence)) {
            TransportError::Busy { endpoint, cause }
        } else {
            TransportError::NotSsh { endpoint, cause }
        })
    }

    fn words(&self) -> MutexGuard<'_, Words> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_version(line: &[u8]) -> bool {
    line.starts_with(b"SSH-2.0-") || line.starts_with(b"SSH-1.99-")
}

/// A server's words on one line, cut, without control characters.
pub(super) fn quote(words: &str) -> String {
    let line: String = words.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(QUOTE).collect();
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(parts: &[&[u8]]) -> Greeting {
        let greeting = Greeting::default();
        parts.iter().all(|part| greeting.hear(part));
        greeting
    }

    #[test]
    fn a_version_is_found_behind_other_lines_and_in_pieces() {
        let long = b"all activity is logged\r\n".repeat(100);
        for parts in [[b"SSH-2.0-x\r\n".as_slice(), b""], [b"hello\r\nSSH", b"-1.99-x\r\n"], [&long, b"SSH-2.0-x\r\n"]] {
            let greeting = heard(&parts);
            assert!(greeting.stranger("h").is_none() && !greeting.is_silence());
            assert!(greeting.words().kept.is_empty(), "an open session carries nothing of it");
        }
    }

    #[test]
    fn what_follows_the_first_words_is_not_kept() {
        let greeting = Greeting::default();
        assert!(greeting.hear(b"x"));
        assert!(!greeting.hear(&[b'x'; 2 * KEPT]));
        assert_eq!(greeting.words().kept.len(), KEPT);
    }

    #[test]
    fn silence_is_nobody_in_particular() {
        let greeting = heard(&[b""]);
        assert!(greeting.is_silence() && greeting.stranger("h").is_none());
    }

    #[test]
    fn a_quotation_is_one_short_line() {
        assert_eq!(quote("  a\u{1b}[31m\nb \r\n"), "a [31m b");
        assert_eq!(quote(&"中".repeat(1000)).chars().count(), QUOTE);
    }
}
