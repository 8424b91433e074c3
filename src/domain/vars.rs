//! Package variables: any JSON that `landfall.toml` can keep and a template can fill in.
//!
//! Never here: whose win over whose (`plan::render`).

use serde_json::{Map, Value};

/// Package variables by name.
pub type Vars = Map<String, Value>;

/// Tables and lists in each other: a reader of TOML gives up at 80.
const DEEPEST: usize = 32;

/// What the `toml` crate puts in the place of a date.
const DATE: &str = "$__toml_private_datetime";

/// Everything in them that cannot be kept: where, as `.servers[2].name`, and what.
#[must_use]
pub fn faults(vars: &Vars) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    table(vars, "", 1, &mut |place, message| faults.push((place.to_owned(), message.to_owned())));
    faults
}

fn table(vars: &Vars, place: &str, depth: usize, fault: &mut impl FnMut(&str, &str)) {
    for (name, value) in vars {
        let place = format!("{place}.{name}");
        if name.contains('\0') {
            fault(&place, "must not contain a NUL byte");
        }
        if name == DATE {
            fault(&place, "must not be a date: write it as text");
        }
        look(value, &place, depth, fault);
    }
}

fn look(value: &Value, place: &str, depth: usize, fault: &mut impl FnMut(&str, &str)) {
    match value {
        Value::Array(_) | Value::Object(_) if depth >= DEEPEST => fault(place, "lies too deep"),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                look(item, &format!("{place}[{index}]"), depth + 1, fault);
            }
        }
        Value::Object(inner) => table(inner, place, depth + 1, fault),
        Value::String(text) if text.contains('\0') => fault(place, "must not contain a NUL byte"),
        Value::Null => fault(place, "must not be null: leave it out"),
        Value::Number(number) if number.is_u64() && number.as_i64().is_none() => fault(place, "is too large a number"),
        Value::String(_) | Value::Number(_) | Value::Bool(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(vars: &Value) -> Vec<String> {
        faults(vars.as_object().unwrap()).iter().map(|(place, message)| format!("{place} {message}")).collect()
    }

    #[test]
    fn what_cannot_be_kept_is_told_with_its_place() {
        let vars = json!({
            "a": {"b": [1, {"c": null}]}, "n\0": 1, "t": "x\0", "big": u64::MAX, "day": {DATE: "2020-01-01"},
            "fine": {"中 文": ["$(id)", -1, 0.5, true, "", {}, []]},
        });
        let mut told = found(&vars);
        told.sort();
        let mut expected = [
            ".a.b[1].c must not be null: leave it out",
            ".n\0 must not contain a NUL byte",
            ".t must not contain a NUL byte",
            ".big is too large a number",
            ".day.$__toml_private_datetime must not be a date: write it as text",
        ];
        expected.sort_unstable();
        assert_eq!(told, expected);
    }

    #[test]
    fn what_lies_too_deep_to_be_read_back_is_refused_and_the_deepest_that_is_taken_is_read_back() {
        let nested = |depth: usize| {
            (0..depth).fold(json!("x"), |inner, level| if level % 2 == 0 { json!([inner]) } else { json!({"k": inner}) })
        };
        assert_eq!(found(&json!({"v": nested(DEEPEST)})).len(), 1);
        let vars = json!({"v": nested(DEEPEST - 1)});
        assert_eq!(found(&vars), [""; 0]);
        let text = toml::to_string(&vars).unwrap();
        assert_eq!(toml::from_str::<Value>(&text).unwrap(), vars);
    }
}
