//! Faults in the terms of the table: `row 5, column port`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::columns::{Columns, Meaning};
use super::{Given, fault};
use crate::service::request::Fault;

/// A fault of the table itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    at: At,
    fault: Fault,
}

/// Order of faults: from the top, from the left; what is about no cell comes first.
type At = Option<(u32, Option<usize>)>;

impl Flaw {
    /// Of one cell.
    pub(super) fn cell(row: u32, column: usize, name: String, what: String) -> Self {
        Self { at: Some((row, Some(column))), fault: fault(format!("row {row}, column {name}"), what) }
    }
}

/// Where everything of a body came from.
#[derive(Debug)]
pub struct Places {
    pub(super) header: u32,
    pub(super) columns: Columns,
    /// Row of each host.
    pub(super) rows: Vec<u32>,
    pub(super) flaws: Vec<Flaw>,
    pub(super) given: Given,
}

impl Places {
    /// Has the table faults of its own? Then the body lacks what they are about.
    #[must_use]
    pub fn is_faulty(&self) -> bool {
        !self.flaws.is_empty()
    }

    /// The faults of the table and those of its body, all in the terms of the table, from its top to its end.
    ///
    /// Paths are `row 5, column port`, `row 5`, and for what is about the whole list the wire's own (`package`).
    #[must_use]
    pub fn faults(&self, body: &Value, of_body: Vec<Fault>) -> Vec<Fault> {
        let mut flaws = self.flaws.clone();
        let told: BTreeSet<At> = flaws.iter().map(|flaw| flaw.at).collect();
        // What no column gives, by field and message: when every row lacks it, the header does.
        let mut lacking: BTreeMap<(String, String), Vec<(u32, Fault)>> = BTreeMap::new();
        for fault in of_body {
            let Some((host, field)) = host_and_field(&fault.path) else {
                flaws.push(Flaw { at: None, fault });
                continue;
            };
            let Some(&row) = self.rows.get(host) else { continue };
            if field.is_empty() {
                flaws.push(Flaw { at: Some((row, None)), fault: Fault { path: format!("row {row}"), ..fault } });
            } else if self.is_given(body, host, field) {
                let fault = Fault { path: field.to_owned(), ..fault };
                if !flaws.iter().any(|flaw| flaw.fault == fault) {
                    flaws.push(Flaw { at: None, fault });
                }
            } else if let Some(column) = self.column(body, host, field) {
                let at = Some((row, Some(column)));
                if !told.contains(&at) {
                    flaws.push(Flaw {
                        at,
                        fault: Fault { path: format!("row {row}, column {}", self.columns.name(column)), ..fault },
                    });
                }
            } else if !self.columns.has_misspelt(field) {
                lacking.entry((field.to_owned(), fault.message.clone())).or_default().push((row, fault));
            }
        }
        for ((field, message), faults) in lacking {
            self.add_lacking(&field, &message, faults, &mut flaws);
        }
        // Stable: the faults of one cell stay in the request's order.
        flaws.sort_by_key(|flaw| flaw.at);
        flaws.into_iter().map(|flaw| flaw.fault).collect()
    }

    /// The column that a host's field came from, else the first it could have come from.
    fn column(&self, body: &Value, host: usize, field: &str) -> Option<usize> {
        let value = value(body, host, field);
        let gave = |meaning: &Meaning| match meaning {
            Meaning::Text(_) => value.is_some_and(Value::is_string),
            Meaning::Reference(_, how) => value.and_then(|value| value.get(*how)).is_some(),
            Meaning::Field(_) | Meaning::Inner(..) | Meaning::Remark | Meaning::Unknown => true,
        };
        let mut giving = self.columns.giving(field).peekable();
        let first = giving.peek().map(|(column, _)| *column);
        giving.find(|(_, meaning)| gave(meaning)).map(|(column, _)| column).or(first)
    }

    /// Was it given for the whole list? What a cell gives is text.
    fn is_given(&self, body: &Value, host: usize, field: &str) -> bool {
        let given = match field {
            "bk_biz_id" => self.given.business.is_some(),
            "ap_id" => self.given.access_point.is_some(),
            _ => false,
        };
        given && value(body, host, field).is_some_and(Value::is_number)
    }

    fn add_lacking(&self, field: &str, message: &str, faults: Vec<(u32, Fault)>, flaws: &mut Vec<Flaw>) {
        let whole = faults.len() == self.rows.len();
        let told = faults.into_iter().take(if whole { 1 } else { usize::MAX });
        flaws.extend(told.map(|(row, fault)| {
            let (row, message) =
                if whole { (self.header, format!("{message}: there is no such column")) } else { (row, message.to_owned()) };
            Flaw { at: Some((row, None)), fault: Fault { path: format!("row {row}, column {field}"), message, ..fault } }
        }));
    }
}

fn value<'a>(body: &'a Value, host: usize, field: &str) -> Option<&'a Value> {
    body.get("hosts")?.get(host)?.get(field)
}

/// `hosts[3].port` → 3, `port`.
fn host_and_field(path: &str) -> Option<(usize, &str)> {
    let (number, rest) = path.strip_prefix("hosts[")?.split_once(']')?;
    Some((number.parse().ok()?, rest.strip_prefix('.').unwrap_or(rest)))
}
