//! Parameters of the endpoints that are no submission: lists, pages, moments. Faults are noted like a submission's.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::answer::Refusal;
use crate::domain::Timestamp;
use crate::domain::job::Status;
use crate::service::details::Page;
pub(super) use crate::service::request::values::{both, ip, items, number, text};
use crate::service::request::{Fault, Fields};

/// Hosts or jobs of a page when the caller does not say (`reference/upstream.md` 3.1).
const PAGE_SIZE: i64 = 10;

/// Reads an object's parameters; all faults at once.
pub(super) fn read<T>(body: &Value, read: impl FnOnce(&mut Fields<'_>) -> T) -> Result<T, Refusal> {
    let mut faults: Vec<Fault> = Vec::new();
    let empty = Map::new();
    let mut fields = Fields::new(body.as_object().unwrap_or(&empty), String::new(), &mut faults);
    if !body.is_object() {
        fields.fault("", "the body must be a JSON object");
    }
    let value = read(&mut fields);
    if faults.is_empty() { Ok(value) } else { Err(faults.into()) }
}

/// Which host of a job.
pub(super) fn instance_id(fields: &mut Fields<'_>) -> String {
    let name = fields.text("instance_id").unwrap_or_default();
    if name.is_empty() {
        fields.fault("instance_id", "is required");
    }
    name
}

/// A list; one value stands for a list of it. `None` when it is not given.
pub(super) fn list<T>(fields: &mut Fields<'_>, key: &str, what: &str, read: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    let value = fields.value(key)?;
    let (read, faulty) = items(value, read);
    for index in faulty {
        fields.fault(&format!("{key}[{index}]"), format!("must be {what}"));
    }
    Some(read)
}

pub(super) fn status(value: &Value) -> Option<Status> {
    serde_json::from_value(value.clone()).ok()
}

/// RFC 3339, or as a person writes it, in the server's zone.
pub(super) fn moment(fields: &mut Fields<'_>, key: &str) -> Option<Timestamp> {
    let text = fields.text(key)?;
    let local = || TimeZone::system().to_timestamp(text.parse::<DateTime>().ok()?).ok();
    let moment = text.parse().ok().or_else(local);
    if moment.is_none() {
        fields.fault(key, "must be a moment such as 2024-05-01T08:00:00Z");
    }
    moment
}

/// `page` from 1 on and `pagesize` (-1: all), or `start` from 1 on, which goes before.
pub(super) fn page(fields: &mut Fields<'_>) -> Page {
    let mut at_least = |key: &str, least: i64, default: i64| {
        let number = fields.integer(key).unwrap_or(default);
        if number < least || number == 0 {
            fields.fault(key, format!("must be at least 1{}", if least < 0 { ", or -1 for all" } else { "" }));
        }
        number
    };
    let (page, size, start) = (at_least("page", 1, 1), at_least("pagesize", -1, PAGE_SIZE), at_least("start", 1, 1));
    let limit = u32::try_from(size).ok();
    let before = (page.max(1) - 1).saturating_mul(i64::from(limit.unwrap_or(0)));
    let offset = if fields.value("start").is_some() { start - 1 } else { before };
    Page { offset: u64::try_from(offset).unwrap_or(0), limit }
}
