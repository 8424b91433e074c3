//! What comes while a run is followed: the answers between the noise, and the word that is the end.
#![no_main]

use landfall::domain::facts::answers;
use landfall::domain::run::RunEnd;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    for word in answers(&text) {
        match RunEnd::parse(word) {
            Ok(Some(RunEnd::Exit { .. })) => assert!(word.starts_with("exit=")),
            Ok(_) => {}
            Err(error) => assert!(error.to_string().len() < 2_000, "an error text is bounded"),
        }
    }
});
