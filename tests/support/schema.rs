//! As much of JSON Schema 2020-12 as `docs/job.schema.json` uses. A keyword that is not here fails the test that meets it: a
//! schema that nobody checks would be worse than none.

use std::cell::RefCell;
use std::collections::HashMap;

use regex::Regex;
use serde_json::Value;

/// A schema, and what it refers to.
pub struct Schema {
    root: Value,
    /// Compiled once; that takes longer than all else.
    patterns: RefCell<HashMap<String, Regex>>,
}

impl Schema {
    pub fn new(root: Value) -> Self {
        Self { root, patterns: RefCell::default() }
    }

    pub fn root(&self) -> &Value {
        &self.root
    }

    pub fn takes(&self, value: &Value) -> bool {
        self.check(&self.root, value)
    }

    fn check(&self, schema: &Value, value: &Value) -> bool {
        let rules = schema.as_object().unwrap_or_else(|| panic!("no schema: {schema}"));
        rules.iter().all(|(keyword, rule)| self.holds(schema, keyword, rule, value))
    }

    fn holds(&self, schema: &Value, keyword: &str, rule: &Value, value: &Value) -> bool {
        let each = |schemas: &Value| schemas.as_array().unwrap().clone();
        match keyword {
            "$schema" | "$defs" | "title" | "description" => true,
            "$ref" => {
                let name = rule.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                self.check(self.root["$defs"].get(name).unwrap_or_else(|| panic!("no $defs/{name}")), value)
            }
            "anyOf" => each(rule).iter().any(|schema| self.check(schema, value)),
            "allOf" => each(rule).iter().all(|schema| self.check(schema, value)),
            "not" => !self.check(rule, value),
            "if" => !self.check(rule, value) || self.check(&schema["then"], value),
            // With its `if`.
            "then" => true,
            "enum" => each(rule).contains(value),
            "const" => rule == value,
            "type" => match rule.as_array() {
                Some(types) => types.iter().any(|name| is(value, name.as_str().unwrap())),
                None => is(value, rule.as_str().unwrap()),
            },
            "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|number| number <= rule.as_f64().unwrap()),
            "pattern" => value.as_str().is_none_or(|text| self.matches(rule.as_str().unwrap(), text)),
            "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= rule.as_u64().unwrap()),
            "items" => value.as_array().is_none_or(|items| items.iter().all(|item| self.check(rule, item))),
            "required" => {
                value.as_object().is_none_or(|object| each(rule).iter().all(|key| object.contains_key(key.as_str().unwrap())))
            }
            "properties" => {
                let known = rule.as_object().unwrap();
                value.as_object().is_none_or(|object| {
                    known.iter().all(|(key, schema)| object.get(key).is_none_or(|value| self.check(schema, value)))
                })
            }
            "additionalProperties" => {
                let takes = |value: &Value| rule.is_object() && self.check(rule, value);
                let known = |key: &String| schema["properties"].get(key).is_some();
                value.as_object().is_none_or(|object| object.iter().all(|(key, value)| known(key) || takes(value)))
            }
            _ => panic!("keyword `{keyword}` is not understood"),
        }
    }
}

impl Schema {
    fn matches(&self, pattern: &str, text: &str) -> bool {
        let mut patterns = self.patterns.borrow_mut();
        patterns.entry(pattern.to_owned()).or_insert_with(|| Regex::new(pattern).unwrap()).is_match(text)
    }
}

fn is(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => panic!("type `{name}` is not understood"),
    }
}
