//! Reading the fields of one JSON object: every quirk of the wire in one place, every fault noted, never a stop.

use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Fault, code};
use crate::domain::site::{Paths, target_path};
use crate::domain::vars::{self, Vars};

/// Bytes of a text that is no secret. The longest there is for a reason is a path on a target; names are far below.
const LONGEST_TEXT: usize = 1024;

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

    /// A text of one line. It ends on terminals and in logs, where a control character would be obeyed.
    pub(crate) fn text(&mut self, key: &str) -> Option<String> {
        match self.value(key)? {
            Value::String(text) if text.contains(char::is_control) => {
                self.fault(key, "must be one line without control characters");
                None
            }
            Value::String(text) if text.len() > LONGEST_TEXT => {
                self.fault(key, format!("must not be longer than {LONGEST_TEXT} bytes"));
                None
            }
            Value::String(text) => Some(text.clone()),
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

    /// A path on a target.
    pub(crate) fn target_path(&mut self, key: &str) -> Option<String> {
        let path = self.text(key)?;
        let fault = target_path::fault(&path);
        if let Some(fault) = fault {
            self.fault(key, fault);
        }
        fault.is_none().then_some(path)
    }

    /// Paths on a target by their wire names, no other key among them.
    pub(crate) fn paths(&mut self, key: &str) -> Paths {
        let Some(mut below) = self.child(key) else { return Paths::default() };
        let unknown: Vec<String> = below.object.keys().filter(|name| !Paths::KEYS.contains(&name.as_str())).cloned().collect();
        for name in unknown {
            below.fault(&name, format!("is none of {}", Paths::KEYS.join(", ")));
        }
        Paths {
            setup_path: below.target_path("setup_path"),
            data_path: below.target_path("data_path"),
            run_path: below.target_path("run_path"),
            log_path: below.target_path("log_path"),
            temp_path: below.target_path("temp_path"),
        }
    }

    /// Package variables.
    pub(crate) fn vars(&mut self, key: &str) -> Vars {
        let vars = self.object(key);
        for (place, fault) in vars::faults(&vars) {
            self.fault(&format!("{key}{place}"), fault);
        }
        vars
    }
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
