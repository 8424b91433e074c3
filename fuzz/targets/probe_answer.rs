//! What a host answers to the probe, and the description of an agent that it may have in it.
#![no_main]

use landfall::domain::facts::{Facts, answers};
use landfall::domain::installed::Installed;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    for answer in answers(&text) {
        assert!(text.contains(answer), "an answer is a part of what was said");
    }
    if let Ok(facts) = Facts::parse(&text) {
        // Whatever a host says of itself, these have an answer.
        let _ = (facts.dialect(), facts.digest_tool(), facts.has("tar"));
    }
    if let Ok(installed) = Installed::parse(&text) {
        let written = installed.to_text().expect("what was read can be written");
        assert!(Installed::parse(&written).is_ok(), "what was written can be read: {written}");
    }
});
