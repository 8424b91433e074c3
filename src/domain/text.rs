//! Text that a target wrote: whatever its encoding, something that can be read.

use encoding_rs::GBK;

use super::codepage;

/// Reads output line by line, for tools of one host may write in several encodings: UTF-8, else GBK, else with marks for what is
/// neither.
#[must_use]
pub fn decoded(bytes: &[u8]) -> String {
    decoded_from(bytes, None)
}

/// The same of a host whose code page is known.
#[must_use]
pub fn decoded_from(bytes: &[u8], page: Option<u32>) -> String {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.to_owned();
    }
    let mut text = String::with_capacity(bytes.len());
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        match std::str::from_utf8(line) {
            Ok(line) => text.push_str(line),
            Err(_) if page.is_some() => text.push_str(&codepage::decoded(line, page.unwrap_or(437))),
            Err(_) => match GBK.decode_without_bom_handling_and_without_replacement(line) {
                Some(line) => text.push_str(&line),
                None => text.push_str(&String::from_utf8_lossy(line)),
            },
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_read_in_its_own_encoding() {
        let (gbk, _, _) = GBK.encode("磁盘已满\n");
        let bytes = [b"plain\n", "日志\n".as_bytes(), &gbk, b"\xff\xfe broken\n", b"end"].concat();
        assert_eq!(decoded(&bytes), "plain\n日志\n磁盘已满\n\u{fffd}\u{fffd} broken\nend");
        assert_eq!(decoded("日志".as_bytes()), "日志");
        assert_eq!(decoded(b""), "");
    }
}
