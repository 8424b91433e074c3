//! Command lines of Windows: words as a program's C runtime takes them apart, and the same as cmd.exe reads them in a batch file.
//!
//! Over SSH nothing free is ever a word: cmd.exe, PowerShell and Cygwin's bash, which differ in everything else, hand on the
//! same line ([`call`]). Values come in files.

use std::fmt::Write as _;

/// One word for a program that takes its command line apart by the rules of Microsoft's C runtime: in quotes where it must be,
/// backslashes doubled before a quote only.
#[must_use]
pub fn argument(word: &str) -> String {
    if !word.is_empty() && !word.contains([' ', '\t', '"', '*', '?']) {
        return word.to_owned();
    }
    let mut quoted = String::from("\"");
    let mut backslashes = 0;
    for c in word.chars() {
        match c {
            '\\' => backslashes += 1,
            '"' => {
                quoted.extend(std::iter::repeat_n('\\', backslashes + 1));
                backslashes = 0;
            }
            _ => backslashes = 0,
        }
        quoted.push(c);
    }
    quoted.extend(std::iter::repeat_n('\\', backslashes));
    quoted.push('"');
    quoted
}

/// [`argument`] in a line of a batch file. No quote is one to cmd.exe, each having its caret: what stands between two of them
/// would else be read by other rules than what does not.
#[must_use]
pub fn quote(word: &str) -> String {
    let mut line = String::new();
    for c in argument(word).chars() {
        match c {
            '%' => line.push_str("%%"),
            '^' | '&' | '|' | '<' | '>' | '(' | ')' | '"' => line.extend(['^', c]),
            _ => line.push(c),
        }
    }
    line
}

/// The line that runs a batch file with words of letters, digits, `-`, `_` and `.`, whatever shell sshd hands it to: within
/// the quotes nothing is special to cmd.exe, PowerShell or bash.
#[must_use]
pub fn call(path: &str, words: &[&str]) -> Vec<u8> {
    let mut line = format!("cmd /d /s /c \"{path}");
    for word in words {
        let _ = write!(line, " {word}");
    }
    line.push('"');
    line.into_bytes()
}

/// May it stand in [`call`]?
#[must_use]
pub fn is_plain(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:\\".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_quoted_as_the_c_runtime_reads_it() {
        for (word, quoted) in [
            ("--port=9100", "--port=9100"),
            ("", r#""""#),
            ("a b", r#""a b""#),
            (r"C:\a b\", r#""C:\a b\\""#),
            (r#"say "hi""#, r#""say \"hi\"""#),
            (r#"a\"b"#, r#""a\\\"b""#),
        ] {
            assert_eq!(argument(word), quoted, "{word}");
        }
    }

    #[test]
    fn nothing_in_a_batch_file_is_special_any_more() {
        assert_eq!(quote("100% a&b"), r#"^"100%% a^&b^""#);
        assert_eq!(quote("x^y|z"), "x^^y^|z");
    }

    #[test]
    fn only_plain_words_may_be_called_with() {
        assert!(is_plain(r"C:\ProgramData\landfall") && is_plain("0198-run_script-1"));
        assert!(["a b", "a&b", "", "%x%", "a\"b", "$x", "中"].iter().all(|word| !is_plain(word)));
        assert_eq!(call(r"C:\x\put.bat", &["ab", "3"]), br#"cmd /d /s /c "C:\x\put.bat ab 3""#);
    }
}
