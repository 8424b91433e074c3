//! The log of a script, in whatever encoding: what the record shows of it, and what of it becomes a failure's message.
#![no_main]

use landfall::domain::run::{last_message, last_warning};
use landfall::domain::text::decoded;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = decoded(data);
    if let Ok(utf8) = std::str::from_utf8(data) {
        assert_eq!(text, utf8, "UTF-8 stays what it is");
    }
    for message in [Some(last_message(&text)), last_warning(&text)].into_iter().flatten() {
        assert!(message.chars().count() <= 300, "a message is short");
        assert!(!message.contains('\n'), "a message is one line");
    }
});
