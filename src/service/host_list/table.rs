//! A table as a spreadsheet shows it: numbered rows of cells, within bounds. Empty cells and rows are not in it.

/// Text, or what is wrong with the cell.
pub(super) type Cell = Result<String, String>;

/// Most columns a header could sensibly have.
const MOST_COLUMNS: usize = 256;
/// Most text of all cells together: a workbook keeps a text once and may show it in every cell.
const MOST_TEXT: usize = 256 << 20;

/// One row that is not empty.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// As a spreadsheet numbers it, from 1.
    pub(super) number: u32,
    /// Its cells with their columns, from 0.
    pub(super) cells: Vec<(usize, Cell)>,
}

/// All rows that are not empty, from the top.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) rows: Vec<Row>,
    text: usize,
}

impl Table {
    /// Adds a cell; rows come one after another.
    pub(super) fn add(&mut self, row: u32, column: usize, cell: Cell) -> Result<(), String> {
        let length = match &cell {
            Ok(text) if text.trim().is_empty() => return Ok(()),
            Ok(text) | Err(text) => text.len(),
        };
        if column >= MOST_COLUMNS {
            return Err(format!("row {row} has more than {MOST_COLUMNS} columns"));
        }
        self.text = self.text.saturating_add(length);
        if self.text > MOST_TEXT {
            return Err(format!("holds more than {} MiB of text", MOST_TEXT >> 20));
        }
        let rows = self.rows.len();
        match self.rows.last_mut() {
            Some(last) if last.number == row => last.cells.push((column, cell)),
            Some(last) if last.number > row => return Err(format!("has row {row} below row {}", last.number)),
            // The header is one more.
            _ if rows > super::MOST_HOSTS => return Err(format!("has more than {} hosts", super::MOST_HOSTS)),
            _ => self.rows.push(Row { number: row, cells: vec![(column, cell)] }),
        }
        Ok(())
    }
}

/// The letters of a column, as a spreadsheet shows them.
pub(super) fn letters(column: usize) -> String {
    let mut letters = Vec::new();
    let mut rest = column + 1;
    while rest > 0 {
        let digit = u8::try_from((rest - 1) % 26).unwrap_or_default();
        letters.push(char::from(b'A' + digit));
        rest = (rest - 1) / 26;
    }
    letters.iter().rev().collect()
}
