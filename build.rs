//! Tells the program which commit it is made of: `LANDFALL_VERSION` is `0.1.0 (1c6b1e14ae17)`, with `, modified` behind the commit
//! when what it is made of is not what was committed, and the version alone where there is no git to ask.
#![allow(clippy::print_stdout, reason = "this is how cargo is told")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// What the binary is made of. Other files may change without it being another one.
const MADE_OF: [&str; 6] = ["src", "scripts", "templates", "build.rs", "Cargo.toml", "Cargo.lock"];

fn main() {
    // Asked again only when one of these changed; the program is built anew then anyway, or is another commit.
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    let moves = ["HEAD", "logs/HEAD", "packed-refs"].into_iter().chain(branch.as_deref());
    let moves = moves.filter_map(|name| git(&["rev-parse", "--git-path", name]));
    for path in MADE_OF.into_iter().map(PathBuf::from).chain(moves.map(PathBuf::from)).filter(|path| path.exists()) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    let version = env!("CARGO_PKG_VERSION");
    let version = commit().map_or_else(|| version.to_owned(), |commit| format!("{version} ({commit})"));
    println!("cargo::rustc-env=LANDFALL_VERSION={version}");
}

fn commit() -> Option<String> {
    // A source archive that was unpacked inside another repository is no commit of that.
    let top = git(&["rev-parse", "--show-toplevel"])?;
    if Path::new(&top).canonicalize().ok()? != Path::new(env!("CARGO_MANIFEST_DIR")).canonicalize().ok()? {
        return None;
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&[&["status", "--porcelain", "--"], &MADE_OF[..]].concat())?;
    Some(if changed.is_empty() { commit } else { format!("{commit}, modified") })
}

/// What git says, if there is git and a repository.
fn git(arguments: &[&str]) -> Option<String> {
    // Without a lock: somebody may be working in the same directory.
    let output = Command::new("git").arg("--no-optional-locks").args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
