//! Reading the fields of one JSON object: every quirk of the wire in one place, every fault noted, never a stop.

use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Fault, code};
use crate::domain::site::Paths;

/// The fields of one object of the request.
pub(crate) struct Fields<'a> {
    object: &'a Map<String, Value>,
    path: String,
    faults: &'a mut Vec<Fault>,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(object: &'a Map<String, Value>, path: String, faults: &'a mut Vec<Fault>) -> Self {
        Self { object, path, faults }
    }

    /// Notes a fault of a field, or of the object itself when `key` is empty.
    pub(crate) fn fault(&mut self, key: &str, message: impl Into<String>) {
        self.fault_with(key, code::INVALID, message);
    }

    /// [`Self::fault`] with a published code of its own.
    pub(crate) fn fault_with(&mut self, key: &str, code: i64, message: impl Into<String>) {
        let path = match (self.path.is_empty(), key.is_empty()) {
            (true, _) => key.to_owned(),
            (false, true) => self.path.clone(),
            (false, false) => format!("{}.{key}", self.path),
        };
        self.faults.push(Fault { path, message: message.into(), code });
    }

    /// How many faults there are so far.
    pub(crate) fn faults(&self) -> usize {
        self.faults.len()
    }

    /// The raw value; null and empty strings are absent.
    pub(crate) fn value(&self, key: &str) -> Option<&'a Value> {
        #[cfg(test)]
        asked::note(&self.path, key);
        self.object.get(key).filter(|value| !value.is_null() && value.as_str() != Some(""))
    }

    /// A text of one line.
    pub(crate) fn text(&mut self, key: &str) -> Option<String> {
        match self.value(key)? {
            Value::String(text) if !text.contains(['\n', '\r', '\0']) => Some(text.clone()),
            Value::String(_) => {
                self.fault(key, "must be one line");
                None
            }
            _ => {
                self.fault(key, "must be a string");
                None
            }
        }
    }

    /// A whole number, also as a string.
    pub(crate) fn integer(&mut self, key: &str) -> Option<i64> {
        let number = match self.value(key)? {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        if number.is_none() {
            self.fault(key, "must be a whole number");
        }
        number
    }

    /// A whole number of at least 0, also as a string.
    pub(crate) fn count(&mut self, key: &str) -> Option<u32> {
        let number = self.integer(key)?;
        let count = u32::try_from(number).ok();
        if count.is_none() {
            self.fault(key, format!("{number} must be between 0 and {}", u32::MAX));
        }
        count
    }

    /// A switch: a bool, or 0/1, also as a string.
    pub(crate) fn switch(&mut self, key: &str) -> Option<bool> {
        let switch = match self.value(key)? {
            Value::Bool(switch) => Some(*switch),
            Value::Number(number) => match number.as_i64() {
                Some(0) => Some(false),
                Some(1) => Some(true),
                _ => None,
            },
            Value::String(text) => match text.to_ascii_lowercase().as_str() {
                "0" | "false" => Some(false),
                "1" | "true" => Some(true),
                _ => None,
            },
            _ => None,
        };
        if switch.is_none() {
            self.fault(key, "must be true or false");
        }
        switch
    }

    /// A word that parses as `T`, named `what` in the fault.
    pub(crate) fn parsed<T: FromStr>(&mut self, key: &str, what: &str) -> Option<T> {
        let text = self.text(key)?;
        let parsed = text.trim().parse().ok();
        if parsed.is_none() {
            self.fault(key, format!("`{text}` is not {what}"));
        }
        parsed
    }

    /// One of the words of `T`, as its `Deserialize` reads them.
    pub(crate) fn word<T: DeserializeOwned>(&mut self, key: &str, words: &str) -> Option<T> {
        let text = self.text(key)?;
        let parsed = serde_json::from_value(Value::String(text.clone())).ok();
        if parsed.is_none() {
            self.fault(key, format!("`{text}` is none of {words}"));
        }
        parsed
    }

    /// An object, as it is.
    pub(crate) fn object(&mut self, key: &str) -> Map<String, Value> {
        match self.value(key) {
            None => Map::new(),
            Some(Value::Object(object)) => object.clone(),
            Some(_) => {
                self.fault(key, "must be an object");
                Map::new()
            }
        }
    }

    /// An object with known keys.
    pub(crate) fn structure<T: DeserializeOwned>(&mut self, key: &str) -> Option<T> {
        let value = self.value(key)?;
        if !value.is_object() {
            // An array would pass for the values of its keys, in order.
            self.fault(key, "must be an object");
            return None;
        }
        match serde_json::from_value(value.clone()) {
            Ok(structure) => Some(structure),
            Err(error) => {
                self.fault(key, error.to_string());
                None
            }
        }
    }

    /// The fields of an object below this one.
    pub(crate) fn child<'b>(&'b mut self, key: &str) -> Option<Fields<'b>> {
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        match self.value(key)? {
            Value::Object(object) => Some(Fields { object, path, faults: self.faults }),
            _ => {
                self.fault(key, "must be an object");
                None
            }
        }
    }

    /// Paths on a target: absolute, one line, no `..`.
    pub(crate) fn paths(&mut self, key: &str) -> Paths {
        let paths: Paths = self.structure(key).unwrap_or_default();
        let bad: Vec<String> =
            paths.given().filter(|(_, path)| !is_target_path(path)).map(|(name, _)| format!("{key}.{name}")).collect();
        for name in bad {
            self.fault(&name, "must be an absolute path without `..`");
        }
        paths
    }
}

/// Absolute, one line, no `..`: Linux or Windows.
pub(super) fn is_target_path(path: &str) -> bool {
    let absolute = path.starts_with('/') || path.as_bytes().get(1..3).is_some_and(|drive| drive == b":\\" || drive == b":/");
    absolute && !path.contains(['\n', '\r', '\0']) && path.split(['/', '\\']).all(|part| part != "..")
}

/// Which fields were asked for, so that a test can hold the published lists of them against it.
#[cfg(test)]
pub(super) mod asked {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    thread_local! {
        static ASKED: RefCell<BTreeSet<(String, String)>> = const { RefCell::new(BTreeSet::new()) };
    }

    pub(super) fn note(path: &str, key: &str) {
        ASKED.with_borrow_mut(|asked| asked.insert((path.into(), key.into())));
    }

    /// What this thread asked the object at `path` for.
    pub(in super::super) fn of(path: &str) -> BTreeSet<String> {
        ASKED.with_borrow(|asked| asked.iter().filter(|(at, _)| at == path).map(|(_, key)| key.clone()).collect())
    }
}
