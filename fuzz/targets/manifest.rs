//! A package: as an archive, and as the text of its manifest.
#![no_main]

use landfall::domain::package::{Manifest, is_inner_path, version_key};
use landfall::packages::archive;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(entry) = archive::inspect("fuzz.tgz", data) {
        assert!(entry.manifest.faults().is_empty(), "a package that is taken has no fault");
        assert!(!entry.release().contains('/'), "a release is one directory: {}", entry.release());
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = (is_inner_path(text), version_key(text));
    if let Ok(manifest) = toml::from_str::<Manifest>(text) {
        let _ = (manifest.health.question().is_some(), manifest.faults());
    }
});
