//! A table of hosts, CSV or XLSX → the body of a request, and the way back from the faults of that body to rows and columns.
//!
//! ```text
//! bytes ─► csv | xlsx ─► Table ─► Columns (the header) ─► body ─► request::parse ─► faults ─► Places ─► row 5, column port
//!                          └───────────┴──► faults of the table itself ─────────────────────────┘
//! ```
//! The header names wire fields ([`super::request::HOST_FIELDS`]). Every cell is handed on as text: the request takes numbers
//! and switches so. A secret may be in the table, or named by a column `password_file`, `password_env`; `vars.NAME` and
//! `paths.NAME` are the package variables and paths of the host; a name that begins with `#` is a remark.
//!
//! Never here: a file, a flag, or what makes a host right (the request's). To add a field: nothing, the header takes what the
//! request takes.

mod columns;
mod csv;
mod places;
mod table;
mod xlsx;

use serde_json::{Map, Value, json};

use super::request::{Fault, code};
use crate::domain::job::JobKind;
use crate::domain::package::PackageChoice;
use columns::{Columns, Meaning};
use places::Flaw;
pub use places::Places;
use table::{Row, Table};

/// Most hosts of one list.
pub const MOST_HOSTS: usize = 100_000;
/// Largest list, in bytes.
pub const LARGEST: u64 = 64 << 20;

/// What the list itself does not say.
#[derive(Clone, Debug)]
pub struct Given {
    /// What shall be done with its hosts.
    pub kind: JobKind,
    /// Business of hosts that name none.
    pub business: Option<i64>,
    /// Access point of hosts that name none.
    pub access_point: Option<i64>,
    /// What they shall get.
    pub package: PackageChoice,
    /// Sheet of a workbook; its first visible one without it.
    pub sheet: Option<String>,
}

/// A list that could be read; it may still have faults.
#[derive(Debug)]
pub struct HostList {
    /// The body of a request, without the cells that could not be understood.
    pub body: Value,
    /// The way back.
    pub places: Places,
    /// The sheet that was read, when there was a choice.
    pub sheet: Option<Sheet>,
}

/// The sheet of a workbook that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sheet {
    /// Its name.
    pub name: String,
    /// How many there are.
    pub of: usize,
}

/// Reads a list.
///
/// # Errors
/// One sentence when it cannot be read as a table at all.
pub fn read(bytes: &[u8], given: &Given) -> Result<HostList, String> {
    let (table, sheet) = table(bytes, given.sheet.as_deref())?;
    let mut rows = table.rows.into_iter();
    let Some(header) = rows.next() else { return Err("is empty: its first row must name the columns".into()) };
    let mut flaws = Vec::new();
    let columns = Columns::read(&header, &mut flaws);
    let mut reader = Reader { given, columns: &columns, flaws };
    let mut hosts = Vec::new();
    let mut numbers = Vec::new();
    for row in rows {
        numbers.push(row.number);
        hosts.push(Value::Object(reader.host(row)));
    }
    let flaws = reader.flaws;
    if hosts.is_empty() {
        return Err("names no host: there is nothing below its header".into());
    }
    let places = Places { header: header.number, columns, rows: numbers, flaws, given: given.clone() };
    let body = json!({"job_type": given.kind.wire_name(), "package": given.package, "hosts": hosts});
    Ok(HostList { body, places, sheet })
}

/// The format is told by the content, whatever the file is called.
fn table(bytes: &[u8], sheet: Option<&str>) -> Result<(Table, Option<Sheet>), String> {
    if bytes.starts_with(b"PK\x03\x04") {
        return xlsx::read(bytes, sheet);
    }
    if bytes.starts_with(b"\xd0\xcf\x11\xe0") {
        return Err("is an old .xls or has a password: save it as .xlsx without one, or as CSV UTF-8".into());
    }
    if sheet.is_some() {
        return Err("is no .xlsx, so there is no sheet to choose".into());
    }
    Ok((csv::read(bytes)?, None))
}

/// Turns rows into hosts.
struct Reader<'a> {
    given: &'a Given,
    columns: &'a Columns,
    flaws: Vec<Flaw>,
}

impl Reader<'_> {
    fn host(&mut self, row: Row) -> Map<String, Value> {
        let mut host = Map::new();
        for (column, cell) in row.cells {
            let put = match cell {
                Ok(text) => self.put(&mut host, column, text),
                Err(what) => Err(what),
            };
            if let Err(what) = put {
                self.flaws.push(Flaw::cell(row.number, column, self.columns.name(column), what));
            }
        }
        host.entry("bk_cloud_id").or_insert_with(|| json!(0));
        for (field, value) in [("bk_biz_id", self.given.business), ("ap_id", self.given.access_point)] {
            if let Some(value) = value {
                host.entry(field).or_insert_with(|| json!(value));
            }
        }
        // With PASSWORD, the default, this row could only be refused.
        if host.contains_key("key") && !host.contains_key("password") {
            host.entry("auth_type").or_insert_with(|| json!("KEY"));
        }
        host
    }

    fn put(&self, host: &mut Map<String, Value>, column: usize, text: String) -> Result<(), String> {
        let trimmed = text.trim();
        let (field, value) = match self.columns.meaning(column) {
            None => return Err(format!("has a value, but row {} names no such column", self.columns.row)),
            // An unknown name was told already, and may be what this cell would be wrong about.
            Some(Meaning::Remark | Meaning::Unknown) => return Ok(()),
            Some(Meaning::Field(field)) => (field, Value::from(trimmed)),
            Some(Meaning::Text(field)) if *field != "key" && text.contains(['\n', '\r']) => {
                return Err(format!("{field} must be one line"));
            }
            // Spaces may be part of it.
            Some(Meaning::Text(field)) => (field, Value::from(text)),
            Some(Meaning::Reference(field, how)) => (field, json!({*how: trimmed})),
            Some(Meaning::Inner(object, key)) => {
                let value = if *object == "vars" { typed(trimmed) } else { trimmed.into() };
                let object = host.entry(*object).or_insert_with(|| json!({}));
                object.as_object_mut().map(|object| object.insert(key.clone(), value));
                return Ok(());
            }
        };
        if host.contains_key(*field) {
            return Err(format!("another column gives {field} already"));
        }
        host.insert((*field).into(), value);
        Ok(())
    }
}

/// A package variable with the type it has in a job file.
fn typed(text: &str) -> Value {
    match (text, text.parse::<i64>()) {
        ("true" | "TRUE", _) => true.into(),
        ("false" | "FALSE", _) => false.into(),
        (_, Ok(number)) if number.to_string() == text => number.into(),
        _ => text.into(),
    }
}

fn fault(path: String, message: String) -> Fault {
    Fault { path, message, code: code::INVALID }
}

#[cfg(test)]
mod tests;
