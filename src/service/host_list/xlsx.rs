//! XLSX → [`Table`]: the values that are shown, of formulas the stored ones.

use std::io::Cursor;

use calamine::{DataRef, Reader as _, SheetType, SheetVisible, Xlsx, XlsxError};

use super::Sheet;
use super::table::{Cell, Table};

/// From here on a spreadsheet rounds whole numbers.
const EXACT: f64 = 1e15;

pub(super) fn read(bytes: &[u8], wanted: Option<&str>) -> Result<(Table, Option<Sheet>), String> {
    let broken = |error: XlsxError| format!("cannot be read as .xlsx: {error}");
    let mut book: Xlsx<_> = Xlsx::new(Cursor::new(bytes)).map_err(broken)?;
    let sheets: Vec<&str> = book
        .sheets_metadata()
        .iter()
        .filter(|sheet| sheet.typ == SheetType::WorkSheet && (sheet.visible == SheetVisible::Visible || wanted.is_some()))
        .map(|sheet| sheet.name.as_str())
        .collect();
    let name = match wanted {
        Some(name) => sheets.iter().find(|sheet| **sheet == name).ok_or_else(|| {
            let known: Vec<String> = sheets.iter().map(|sheet| format!("`{sheet}`")).collect();
            format!("has no sheet `{name}`, but {}", known.join(", "))
        })?,
        None => sheets.first().ok_or("has no sheet that is shown")?,
    };
    let sheet = Sheet { name: (*name).to_owned(), of: sheets.len() };
    let mut cells = book.worksheet_cells_reader(&sheet.name).map_err(broken)?;
    let mut table = Table::default();
    // Cell by cell: a range would hold the whole rectangle, and one stray cell in the last corner makes that 17 billion.
    while let Some(record) = cells.next_cell_with_formula_metadata().map_err(broken)? {
        let (row, column) = record.pos;
        if record.formula.is_some() && record.value == DataRef::Empty {
            let what = "is a formula without a stored value: open the file in a spreadsheet program and save it";
            table.add(row + 1, column as usize, Err(what.into()))?;
        } else {
            table.add(row + 1, column as usize, cell(record.value))?;
        }
    }
    Ok((table, Some(sheet).filter(|sheet| sheet.of > 1)))
}

fn cell(value: DataRef<'_>) -> Cell {
    match value {
        DataRef::Empty => Ok(String::new()),
        DataRef::String(text) => Ok(text),
        DataRef::SharedString(text) => Ok(text.to_owned()),
        DataRef::Bool(switch) => Ok(switch.to_string()),
        DataRef::Int(number) => Ok(number.to_string()),
        DataRef::Float(number) if number.abs() >= EXACT => {
            Err("is a number of more digits than a spreadsheet keeps: format the cell as text and type it again".into())
        }
        // `22` is stored as 22.0; this prints `22`.
        DataRef::Float(number) => Ok(number.to_string()),
        DataRef::Error(error) => Err(format!("is the error {error}")),
        DataRef::DateTime(_) | DataRef::DateTimeIso(_) | DataRef::DurationIso(_) => {
            Err("is a date or time: format the cell as text and type it again".into())
        }
    }
}
