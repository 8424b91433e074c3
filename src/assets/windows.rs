//! The programs for Windows: batch files, all of which lie on a host, in a directory named after what is in them.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

/// A file of `scripts/windows`.
macro_rules! batch {
    ($name:literal) => {
        (concat!($name, ".bat"), include_str!(concat!("../../scripts/windows/", $name, ".bat")))
    };
}

/// File name and text of each.
pub const PROGRAMS: &[(&str, &str)] = &[
    batch!("agent"),
    batch!("alive"),
    batch!("boot"),
    batch!("bundle"),
    batch!("cleanup"),
    batch!("common"),
    batch!("files"),
    batch!("health"),
    batch!("kill"),
    batch!("now"),
    batch!("probe"),
    batch!("put"),
    batch!("release"),
    batch!("runner"),
    batch!("service"),
    batch!("start"),
    batch!("tree"),
    batch!("upgrade"),
];

/// What a person runs who installs by hand. Values that it has to know come before it; it fetches the programs.
pub const MANUAL: &str =
    concat!(include_str!("../../scripts/windows/manual.bat"), "\n", include_str!("../../scripts/windows/manual_http.bat"));

/// The first 16 digits of the SHA-256 of all of them: another version of ours finds another directory.
pub static DIGEST: LazyLock<String> = LazyLock::new(|| {
    let mut digest = Sha256::new();
    for (name, text) in PROGRAMS {
        digest.update(name);
        digest.update([0]);
        digest.update(text);
        digest.update([0]);
    }
    digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
});
