//! How a command line is written for the login shell that will read it. Everything that goes into a shell passes here.
//!
//! Only sh itself is trusted with quotes. Shells with rules of their own (csh expands `!` inside quotes, fish reads
//! backslashes there) are handed one constant program and words of ASCII letters, digits and backslashes: the POSIX
//! command line in octal, which sh decodes. So nothing that a caller passes ever meets their rules.
//!
//! To add a dialect: a variant, its detection in [`Dialect::of_login_shell`], its arm in [`command_line`], and its shell in
//! the property test of `tests/shell.rs`.

pub mod cmd;

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// Rules of a login shell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// sh, dash, bash, ksh, zsh, busybox ...
    #[default]
    Posix,
    /// csh and tcsh.
    Csh,
    /// fish.
    Fish,
    /// Whatever sshd hands commands to on Windows: cmd.exe, PowerShell or Cygwin's bash. What is run there is written by
    /// [`cmd::call`], which all of them read alike.
    Windows,
}

impl Dialect {
    /// The dialect of a login shell, by its path.
    #[must_use]
    pub fn of_login_shell(path: &str) -> Self {
        match path.rsplit('/').next().unwrap_or(path) {
            "csh" | "tcsh" | "bsd-csh" => Self::Csh,
            "fish" => Self::Fish,
            _ => Self::Posix,
        }
    }
}

/// One word for a POSIX shell: exactly the bytes of `word`, whatever they are (NUL cannot be passed at all).
#[must_use]
pub fn quote(word: &[u8]) -> Vec<u8> {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"_-./:=@%+,".contains(b);
    if !word.is_empty() && word.iter().all(plain) {
        return word.to_vec();
    }
    let mut quoted = Vec::with_capacity(word.len() + 2);
    quoted.push(b'\'');
    for &byte in word {
        if byte == b'\'' {
            quoted.extend_from_slice(b"'\\''");
        } else {
            quoted.push(byte);
        }
    }
    quoted.push(b'\'');
    quoted
}

/// [`quote`] for text.
#[must_use]
pub fn quote_str(word: &str) -> String {
    String::from_utf8_lossy(&quote(word.as_bytes())).into_owned()
}

/// Hands a program and its arguments over to the shell that reads it. The `sh` of Solaris 10 is the Bourne shell, for which this
/// is written; its POSIX shell is elsewhere, and nowhere on any other system.
pub const POSIX: &str = "test -x /usr/xpg4/bin/sh && exec /usr/xpg4/bin/sh -c \"$@\"; exec sh -c \"$@\"";

/// What stands before a question that is not ours: whatever a login shell printed is none. A newline first, for the same
/// reason. Written for the Bourne shell, too.
pub const ASK: &str = "echo; echo @@lf:asking@@; PATH=$PATH:/usr/local/bin:/usr/sfw/bin:/opt/freeware/bin; export PATH; \
    exec env LC_ALL=C \"$@\"";

/// Finds a program where the probe looks, too: a server's own `PATH` may lack what others brought to the system. Written for the
/// Bourne shell, too.
pub const FIND: &str = "PATH=$PATH:/usr/local/bin:/usr/sfw/bin:/opt/freeware/bin; export PATH; exec env LC_ALL=C \"$@\"";

/// The words that run the text of a program with its arguments.
#[must_use]
pub fn program<'a>(text: &'a str, args: &[&'a str]) -> Vec<&'a str> {
    [&["sh", "-c", POSIX, "lf", text, "lf"], args].concat()
}

/// What that shell runs to get the real command line back from octal. Nothing is lost at its end: a word that ends in a newline
/// is quoted. In the C locale, for the shell and so for what it runs: ksh adds a backslash to what it takes for half a character.
const DECODE: &str = "eval \"$(for lf do printf \"$lf\"; done)\"";

/// Longest word of octal: csh refuses one of its input buffer, 8 KiB on Debian and 1 KiB in old releases.
const WORD: usize = 1000;

/// The line to hand to sshd so that a login shell of `dialect` runs `words`, byte for byte.
#[must_use]
pub fn command_line<W: AsRef<[u8]>>(dialect: Dialect, words: &[W]) -> Vec<u8> {
    let mut line = Vec::new();
    for word in words {
        if !line.is_empty() {
            line.push(b' ');
        }
        line.extend_from_slice(&quote(word.as_ref()));
    }
    match dialect {
        Dialect::Posix | Dialect::Windows => line,
        Dialect::Csh | Dialect::Fish => {
            // `exec` is not part of the octal: the decoded line may be any simple command.
            let mut foreign = format!("exec env LC_ALL=C sh -c '{POSIX}' lf '{DECODE}' lf");
            for word in octal(&line) {
                let _ = write!(foreign, " '{word}'");
            }
            foreign.into_bytes()
        }
    }
}

/// `bytes` as printf's octal escapes, letters as they are, in words that can be decoded one by one.
fn octal(bytes: &[u8]) -> Vec<String> {
    let mut words = vec![String::new()];
    for &byte in bytes {
        if words.last().is_some_and(|word| word.len() + 4 > WORD) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            // A digit after an escape would not be read as part of it (three digits at most), but a fixed width is plainer.
            let _ = if byte.is_ascii_alphabetic() { write!(word, "{}", byte as char) } else { write!(word, "\\{byte:03o}") };
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_quoted_only_when_it_must_be() {
        for (word, quoted) in
            [("a-b_c/d.e", "a-b_c/d.e"), ("", "''"), ("a b", "'a b'"), ("it's", "'it'\\''s'"), ("$x!`", "'$x!`'")]
        {
            assert_eq!(quote_str(word), quoted);
        }
    }

    #[test]
    fn foreign_shells_see_nothing_but_letters_digits_and_backslashes() {
        let words: [&[u8]; 4] = [b"sh", b"-c", b"echo '!$x' \\ \n", "中".as_bytes()];
        for dialect in [Dialect::Csh, Dialect::Fish] {
            let line = String::from_utf8(command_line(dialect, &words)).unwrap();
            let word = line.rsplit(' ').next().unwrap();
            assert!(word.trim_matches('\'').bytes().all(|b| b.is_ascii_alphanumeric() || b == b'\\'), "{line}");
        }
    }

    #[test]
    fn no_word_for_a_foreign_shell_is_longer_than_csh_takes() {
        let words = octal(&[b'!'; 2 * WORD]);
        assert!(words.iter().all(|word| word.len() <= WORD && word.len() % 4 == 0));
        assert_eq!(words.concat().len(), 8 * WORD);
    }
}
