//! CSV → [`Table`]: with or without a byte order mark, lines ended by LF or CRLF, cells separated by `,`, `;` or tab.

use csv::{ByteRecord, ReaderBuilder};

use super::table::Table;

const MARK: &[u8] = b"\xef\xbb\xbf";

pub(super) fn read(bytes: &[u8]) -> Result<Table, String> {
    let text = text(bytes)?;
    let (separator, text) = separator(text);
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).delimiter(separator).from_reader(text);
    let (mut table, mut record, mut row, mut begin) = (Table::default(), ByteRecord::new(), 0_u32, 0);
    loop {
        let more = reader.read_byte_record(&mut record).map_err(|error| format!("cannot be read as CSV: {error}"))?;
        let end = usize::try_from(reader.position().byte()).unwrap_or(usize::MAX);
        let raw = text.get(begin..end).unwrap_or_default();
        if !more {
            return Ok(table);
        }
        // The parser passes over empty lines; a spreadsheet counts them.
        row = row.saturating_add(1).saturating_add(empty_lines(raw, begin > 0 && text.get(begin - 1) == Some(&b'\r')));
        if ends_quoted(raw, separator) {
            return Err(format!("row {row} has a quote that is never closed"));
        }
        for (column, cell) in record.iter().enumerate() {
            table.add(row, column, Ok(String::from_utf8_lossy(cell).into_owned()))?;
        }
        begin = end;
    }
}

/// The text behind the byte order mark.
fn text(bytes: &[u8]) -> Result<&[u8], String> {
    const REMEDY: &str = "save it as \"CSV UTF-8\" or as .xlsx";
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(format!("is UTF-16: {REMEDY}"));
    }
    let text = bytes.strip_prefix(MARK).unwrap_or(bytes);
    match std::str::from_utf8(text) {
        Ok(_) => Ok(text),
        Err(error) => {
            let before = text.get(..error.valid_up_to()).unwrap_or_default();
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            Err(format!("line {line} is not UTF-8 (GBK or Latin-1, perhaps): {REMEDY}"))
        }
    }
}

/// What separates cells: what a first line `sep=;` says, else what stands most often in the header. And the text below such
/// a line, which spreadsheets do not show.
fn separator(text: &[u8]) -> (u8, &[u8]) {
    if let [b's', b'e', b'p', b'=', separator, rest @ ..] = text {
        let rest = rest.strip_prefix(b"\r").unwrap_or(rest);
        if let Some(rest) = rest.strip_prefix(b"\n") {
            return (*separator, rest);
        }
    }
    let header = text.split(|byte| matches!(byte, b'\n' | b'\r')).find(|line| !line.is_empty()).unwrap_or_default();
    let count = |separator: u8| header.iter().filter(|byte| **byte == separator).count();
    // The last of equals wins.
    let most = [b'\t', b';', b','].into_iter().max_by_key(|separator| count(*separator));
    (most.unwrap_or(b','), text)
}

/// How many empty lines a record's text begins with.
fn empty_lines(raw: &[u8], after_return: bool) -> u32 {
    let mut rest = if after_return { raw.strip_prefix(b"\n").unwrap_or(raw) } else { raw };
    let mut count = 0;
    while let Some(next) = rest.strip_prefix(b"\r\n").or_else(|| rest.strip_prefix(b"\n")).or_else(|| rest.strip_prefix(b"\r")) {
        (rest, count) = (next, count + 1);
    }
    count
}

/// Does a record's text end inside quotes? Then it has swallowed the rest of the file.
fn ends_quoted(raw: &[u8], separator: u8) -> bool {
    let (mut quoted, mut begins) = (false, true);
    for byte in raw {
        match byte {
            // A doubled quote closes and opens again.
            b'"' if quoted || begins => quoted = !quoted,
            _ if quoted => {}
            byte => begins = *byte == separator || matches!(byte, b'\n' | b'\r'),
        }
    }
    quoted
}
