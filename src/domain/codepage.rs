//! Code pages of Windows: the bytes in which cmd.exe reads batch files and prints, on hosts whose system is not UTF-8.
//!
//! Never here: output of which nobody knows the page ([`super::text`]). To add a page: its row in [`encoding`].

use encoding_rs::{
    BIG5, EUC_KR, Encoding, GBK, IBM866, SHIFT_JIS, UTF_8, WINDOWS_874, WINDOWS_1250, WINDOWS_1251, WINDOWS_1252, WINDOWS_1253,
    WINDOWS_1254, WINDOWS_1255, WINDOWS_1256, WINDOWS_1257, WINDOWS_1258,
};

/// `None` for a page that nobody here can write, of which only the ASCII half is used (437, 850 ...).
fn encoding(page: u32) -> Option<&'static Encoding> {
    Some(match page {
        65001 => UTF_8,
        936 => GBK,
        950 => BIG5,
        932 => SHIFT_JIS,
        949 => EUC_KR,
        866 => IBM866,
        874 => WINDOWS_874,
        1250 => WINDOWS_1250,
        1251 => WINDOWS_1251,
        1252 => WINDOWS_1252,
        1253 => WINDOWS_1253,
        1254 => WINDOWS_1254,
        1255 => WINDOWS_1255,
        1256 => WINDOWS_1256,
        1257 => WINDOWS_1257,
        1258 => WINDOWS_1258,
        _ => return None,
    })
}

/// Text in a code page; `None` when the page has not all of its characters.
#[must_use]
pub fn encoded(text: &str, page: u32) -> Option<Vec<u8>> {
    if text.is_ascii() {
        return Some(text.as_bytes().to_vec());
    }
    let (bytes, _, lost) = encoding(page)?.encode(text);
    (!lost).then(|| bytes.into_owned())
}

/// Bytes of a code page as text, with marks for what is none of it.
#[must_use]
pub fn decoded(bytes: &[u8], page: u32) -> String {
    match encoding(page) {
        Some(encoding) => encoding.decode_without_bom_handling(bytes).0.into_owned(),
        None => String::from_utf8_lossy(bytes).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_comes_back_from_its_page_or_is_refused() {
        for (text, page) in [("C:\\代理 x", 936), ("C:\\代理", 65001), ("C:\\агент", 1251), ("plain", 437)] {
            assert_eq!(decoded(&encoded(text, page).unwrap(), page), text);
        }
        assert_eq!(encoded("中", 936).unwrap(), [0xd6, 0xd0]);
        assert_eq!(encoded("中", 1252), None);
        assert_eq!(encoded("é", 437), None);
    }
}
