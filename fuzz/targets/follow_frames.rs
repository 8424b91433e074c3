//! What comes while a run is followed: the answers between the noise, the word that is the end, and on a terminal the log
//! between both.
#![no_main]

use bytes::BytesMut;
use landfall::domain::facts::answers;
use landfall::domain::run::{Frame, Frames, RunEnd};
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
    let whole = frames(data.len().max(1), data);
    assert_eq!(frames(7, data), whole, "how it was cut does not matter");
});

/// The log and the words in a stream that comes in pieces of `size`.
fn frames(size: usize, data: &[u8]) -> (Vec<u8>, Vec<String>) {
    let (mut frames, mut came, mut log, mut words) = (Frames::default(), BytesMut::new(), Vec::new(), Vec::new());
    for piece in data.chunks(size) {
        came.extend_from_slice(piece);
        while let Some(frame) = frames.take(&mut came) {
            match frame {
                Frame::Bytes(bytes) => log.extend_from_slice(&bytes),
                Frame::Word(word) => words.push(word),
            }
        }
    }
    (log, words)
}
