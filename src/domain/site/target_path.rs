//! Paths on a target, as a request, a site file or a package may name them.
//!
//! Never here: whether a directory may be filled there; `guard` of the scripts knows the system's own.

/// Bytes of a path that we put names behind: a unit file, `/proc` and `PATH_MAX` (4096) take it whole.
const LONGEST: usize = 1024;

/// Bytes of one name (`NAME_MAX`).
const LONGEST_NAME: usize = 255;

/// What is wrong with a path, Linux or Windows; `None` when nothing is.
#[must_use]
pub fn fault(path: &str) -> Option<&'static str> {
    if !(path.starts_with('/') || has_drive(path)) {
        return Some("must be an absolute path without `..`");
    }
    // It stands on a line of its own in what the scripts read and write, and in their log.
    if path.contains(char::is_control) {
        return Some("must be one line without control characters");
    }
    let inner = path.trim_end_matches(['/', '\\']);
    let names = || inner.split(['/', '\\']).skip(1);
    if names().any(|name| name == "..") {
        return Some("must be an absolute path without `..`");
    }
    if path.starts_with('/') && inner.split('/').skip(1).any(|name| name.is_empty() || name == ".") {
        return Some("must be a path without empty parts and `.`");
    }
    if path.len() > LONGEST {
        return Some("must not be longer than 1024 bytes");
    }
    names().any(|name| name.len() > LONGEST_NAME).then_some("must not have a name longer than 255 bytes in it")
}

/// What more is wrong with a path for a Windows host; `None` when nothing is.
#[must_use]
pub fn windows_fault(path: &str) -> Option<&'static str> {
    if !has_drive(path) {
        return Some("must begin with a drive, like `C:\\`");
    }
    let names = path.get(3..).unwrap_or_default().split(['/', '\\']);
    if path.contains(['"', '<', '>', '|', '?', '*']) || path.get(2..).is_some_and(|rest| rest.contains(':')) {
        return Some("must not have any of `\"<>|?*:` in its names, which Windows has not");
    }
    names.into_iter().any(|name| name.ends_with([' ', '.'])).then_some("must not have a name that ends with a blank or `.`")
}

fn has_drive(path: &str) -> bool {
    path.get(1..3).is_some_and(|drive| matches!(drive, ":\\" | ":/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_windows_begins_with_a_drive_and_has_only_names_that_windows_has() {
        for path in
            ["/opt/a", "\\opt\\a", "\\\\server\\share\\a", "C:\\a?b", "C:\\a\\b:c", "C:\\a.\\b", "C:\\a \\b", "D:\\say \"hi\""]
        {
            assert!(windows_fault(path).is_some(), "{path}");
        }
        for path in ["C:\\gse", "D:/my agents/100% a&b ^x!中", "C:\\a\\"] {
            assert_eq!(windows_fault(path), None, "{path}");
        }
    }

    #[test]
    fn a_path_is_absolute_plain_and_of_one_line() {
        let long_name = format!("/opt/{}", "n".repeat(256));
        let long = format!("/opt{}", "/abcdefghi".repeat(103));
        for (path, word) in [
            ("opt/a", "absolute"),
            ("", "absolute"),
            ("-rf", "absolute"),
            ("~/a", "absolute"),
            ("/a/../b", "`..`"),
            ("/..", "`..`"),
            ("C:\\a\\..\\b", "`..`"),
            ("/a//b", "empty"),
            ("/a/./b", "empty"),
            ("/a\nb", "one line"),
            ("/a\0", "one line"),
            ("/a\tb", "one line"),
            ("/a\u{1b}[31m", "one line"),
            (&long_name, "255"),
            (&long, "1024"),
        ] {
            assert!(fault(path).is_some_and(|told| told.contains(word)), "{path:?}: {:?}", fault(path));
        }
        for path in
            ["/opt/a", "/opt/a/", "/", "/opt/it's $(id) `x` 中文 \"q\" %n {{ 7*7 }};|*\\", "C:\\gse\\data", "/a/..b", "/-rf"]
        {
            assert_eq!(fault(path), None, "{path:?}");
        }
    }
}
