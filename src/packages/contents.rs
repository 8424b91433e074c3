//! What an archive holds: its paths, its links, and everything about them that must not reach a target.
//!
//! Targets unpack as root with whatever tar they have, so nothing is left to their tar: every path is inside, no path goes
//! through a link, no link points out, nothing is a device. Pure: the entries are told, faults are collected.
//!
//! To add a rule: in [`Contents::add`] when one entry shows it, in [`Contents::close`] when it needs all of them.

use std::collections::BTreeMap;

use tar::EntryType;

/// Most entries of an archive. A bound for memory, far above what an agent needs.
const ENTRIES_CAP: usize = 200_000;
/// Most faults that are told one by one.
const FAULTS_CAP: usize = 50;

/// An entry as the archive's header describes it.
pub(super) struct Found<'a> {
    pub(super) name: &'a [u8],
    pub(super) kind: EntryType,
    /// Where a link points.
    pub(super) target: Option<&'a [u8]>,
    pub(super) size: u64,
    /// Do its names stand outside of its header, as GNU's and pax's longer ones do?
    pub(super) is_extended: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File { size: u64 },
    Directory,
    SymbolicLink,
    HardLink,
}

/// Paths of an archive, without `./`, and the faults found so far.
#[derive(Default)]
pub(super) struct Contents {
    entries: BTreeMap<String, Kind>,
    unpacked: u64,
    extended: Option<String>,
    faults: Vec<String>,
    untold: usize,
}

impl Contents {
    /// Takes the next entry. Its path when it is a sound file, for those who want to read it.
    pub(super) fn add(&mut self, found: &Found<'_>) -> Option<String> {
        // `git archive` puts one in front; it is no file.
        if found.kind == EntryType::XGlobalHeader {
            return None;
        }
        let shown = shown(found.name);
        let path = match inner_path(found.name) {
            Ok(path) => path,
            Err(fault) => return self.fault(format!("`{shown}` {fault}")),
        };
        let is_directory = found.kind == EntryType::Directory || (found.kind == EntryType::Regular && found.name.ends_with(b"/"));
        if path.is_empty() {
            return if is_directory { None } else { self.fault(format!("`{shown}` has no name")) };
        }
        let target = found.target.unwrap_or_default();
        let kind = match found.kind {
            _ if is_directory => Kind::Directory,
            EntryType::Regular | EntryType::Continuous => Kind::File { size: found.size },
            EntryType::Symlink => match leaves_by(&path, target) {
                None => Kind::SymbolicLink,
                Some(fault) => return self.fault(format!("link `{path}` -> `{}` {fault}", self::shown(target))),
            },
            EntryType::Link => match inner_path(target) {
                Ok(original) if matches!(self.entries.get(&original), Some(Kind::File { .. } | Kind::HardLink)) => Kind::HardLink,
                _ => return self.fault(format!("hard link `{path}` -> `{}` points to no file before it", self::shown(target))),
            },
            EntryType::Char | EntryType::Block | EntryType::Fifo => return self.fault(format!("`{path}` is a device")),
            EntryType::GNUSparse => return self.fault(format!("`{path}` is stored sparse, which few tars can unpack")),
            _ => return self.fault(format!("`{path}` is neither file, directory nor link")),
        };
        if found.is_extended && self.extended.is_none() {
            self.extended = Some(path.clone());
        }
        self.place(path, kind)
    }

    /// The first entry whose names stand outside of its header.
    pub(super) fn extended(&self) -> Option<&str> {
        self.extended.as_deref()
    }

    fn place(&mut self, path: String, kind: Kind) -> Option<String> {
        match self.entries.get(&path) {
            Some(Kind::Directory) if kind == Kind::Directory => return None,
            Some(_) => return self.fault(format!("`{path}` stands twice")),
            None if self.entries.len() >= ENTRIES_CAP => {
                return self.fault(format!("`{path}` is one of more than {ENTRIES_CAP} entries"));
            }
            None => {}
        }
        self.entries.insert(path.clone(), kind);
        let Kind::File { size } = kind else { return None };
        self.unpacked = self.unpacked.saturating_add(size);
        Some(path)
    }

    /// Notes a fault.
    pub(super) fn fault(&mut self, text: String) -> Option<String> {
        if self.faults.len() < FAULTS_CAP {
            self.faults.push(text)
        } else {
            self.untold += 1
        }
        None
    }

    /// Size of a file; `None` when there is no such file.
    pub(super) fn size_of(&self, path: &str) -> Option<u64> {
        match self.entries.get(path) {
            Some(Kind::File { size }) => Some(*size),
            _ => None,
        }
    }

    /// The first path that ends so.
    pub(super) fn ending(&self, end: &str) -> Option<&str> {
        self.entries.keys().map(String::as_str).find(|path| path.ends_with(end))
    }

    /// Checks what needs all entries. Bytes of the files unpacked, or every fault.
    pub(super) fn close(mut self) -> Result<u64, Vec<String>> {
        let mut misplaced = Vec::new();
        for path in self.entries.keys() {
            let above = path.match_indices('/').filter_map(|(end, _)| path.get(..end));
            let blocked =
                above.filter_map(|parent| Some((parent, self.entries.get(parent)?))).find(|(_, kind)| **kind != Kind::Directory);
            if let Some((parent, _)) = blocked {
                misplaced.push(format!("`{path}` lies below `{parent}`, which is no directory"));
            }
        }
        for fault in misplaced {
            self.fault(fault);
        }
        if self.untold > 0 {
            self.faults.push(format!("and {} more faults", self.untold));
        }
        if self.faults.is_empty() { Ok(self.unpacked) } else { Err(self.faults) }
    }
}

/// The path of an entry without `.` parts and trailing slash; empty for the root itself.
fn inner_path(name: &[u8]) -> Result<String, &'static str> {
    let name = str::from_utf8(name).map_err(|_| "has a name that is not UTF-8")?;
    if name.starts_with('/') {
        return Err("is an absolute path");
    }
    if name.chars().any(char::is_control) {
        return Err("has control characters in its name");
    }
    let parts: Vec<&str> = name.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") { Err("leaves the package by `..`") } else { Ok(parts.join("/")) }
}

/// How a symbolic link leaves the package; `None` when it cannot. `..` may stand at the beginning only: further on it would
/// be taken from wherever a link in between leads, not from where the text says.
fn leaves_by(path: &str, target: &[u8]) -> Option<&'static str> {
    let Ok(target) = str::from_utf8(target) else { return Some("is not UTF-8") };
    if target.is_empty() || target.chars().any(char::is_control) {
        return Some("is no path");
    }
    if target.starts_with('/') {
        return Some("is absolute");
    }
    let parts: Vec<&str> = target.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let up = parts.iter().take_while(|part| **part == "..").count();
    if up > path.matches('/').count() {
        return Some("points out of the package");
    }
    parts.iter().skip(up).any(|part| *part == "..").then_some("goes up after it went down")
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).escape_debug().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_stays_inside_whatever_stands_in_its_way() {
        for (path, target, fault) in [
            ("l", "a", None),
            ("l", "./a/b", None),
            ("a/b/l", "../../c", None),
            ("a/b/l", "../..", None),
            ("a/b/l", "../../..", Some("points out of the package")),
            ("l", "..", Some("points out of the package")),
            ("a/l", "./../../x", Some("points out of the package")),
            ("a/b/l", "d/../../..", Some("goes up after it went down")),
            ("a/b/l", "../d/..", Some("goes up after it went down")),
            ("l", "/etc/passwd", Some("is absolute")),
            ("l", "", Some("is no path")),
            ("l", "a\nb", Some("is no path")),
        ] {
            assert_eq!(leaves_by(path, target.as_bytes()), fault, "{path} -> {target}");
        }
    }

    #[test]
    fn the_same_path_is_the_same_however_it_is_written() {
        for (name, path) in [("./a", "a"), ("a/./b/", "a/b"), ("a//b", "a/b"), ("./", ""), ("...", "...")] {
            assert_eq!(inner_path(name.as_bytes()), Ok(path.to_owned()));
        }
    }

    #[test]
    fn a_thousand_faults_are_told_in_fifty_lines_and_a_number() {
        let mut contents = Contents::default();
        for _ in 0..1000 {
            contents.add(&Found { name: b"/dev/null", kind: EntryType::Regular, target: None, size: 0, is_extended: false });
        }
        let faults = contents.close().unwrap_err();
        assert_eq!((faults.len(), faults[50].as_str()), (51, "and 950 more faults"));
    }
}
