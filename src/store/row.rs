//! How ids, states, moments and payloads are written in rows; shared by backends.
//!
//! Words and JSON are text, so that a person with a SQL shell can read the record. Moments are integer microseconds: they
//! compare and add inside the database, and every backend keeps that precision (nanoseconds below it are cut off).
//!
//! Never here: SQL. To add a value: a pair of functions, one that writes and cannot fail, one that reads and may find
//! [`StoreError::Corrupt`].

use std::net::IpAddr;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StoreError;
use crate::domain::Timestamp;
use crate::domain::id::TaskId;
use crate::domain::job::Status;
use crate::domain::plan::StepKind;

/// What was found is not what is written here.
pub(super) fn corrupt(what: impl Into<String>) -> StoreError {
    StoreError::Corrupt { what: what.into() }
}

/// A moment as it is stored.
pub(super) fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

/// Reads [`micros`].
pub(super) fn moment(micros: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_microsecond(micros).map_err(|_| corrupt(format!("{micros} is no moment")))
}

/// Reads the text of a [`TaskId`].
pub(super) fn task_id(text: &str) -> Result<TaskId, StoreError> {
    text.parse().map(TaskId).map_err(|_| corrupt(format!("`{text}` is no host task id")))
}

/// Reads the text of an address.
pub(super) fn ip(text: &str) -> Result<IpAddr, StoreError> {
    text.parse().map_err(|_| corrupt(format!("`{text}` is no address")))
}

/// Reads [`Status::word`].
pub(super) fn status(word: &str) -> Result<Status, StoreError> {
    of_word("status", word)
}

/// Reads [`StepKind::key`].
pub(super) fn step(key: &str) -> Result<StepKind, StoreError> {
    StepKind::from_key(key).ok_or_else(|| corrupt(format!("`{key}` is no step")))
}

/// Reads a word that is an enum's.
pub(super) fn of_word<T: DeserializeOwned>(what: &str, word: &str) -> Result<T, StoreError> {
    let value = serde_json::Value::String(word.to_owned());
    serde_json::from_value(value).map_err(|_| corrupt(format!("`{word}` is no {what}")))
}

/// Reads a count, an index or a port.
pub(super) fn number<T: TryFrom<i64>>(what: &str, value: i64) -> Result<T, StoreError> {
    T::try_from(value).map_err(|_| corrupt(format!("{value} is no {what}")))
}

/// A payload as it is stored.
pub(super) fn json<T: Serialize>(what: &str, value: &T) -> Result<String, StoreError> {
    // Only a map with keys that are no strings could fail, and no stored type has one.
    serde_json::to_string(value).map_err(|error| corrupt(format!("{what} cannot be written: {error}")))
}

/// Reads [`json`].
pub(super) fn of_json<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| corrupt(format!("{what} cannot be read: {error}")))
}
