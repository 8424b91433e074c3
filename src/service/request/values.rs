//! Values that stand in lists: of parameters, of conditions.

use std::net::IpAddr;

use serde_json::Value;

/// What of a value can be read, and the places of what cannot. One value stands for a list of it.
pub(crate) fn items<T>(value: &Value, read: impl Fn(&Value) -> Option<T>) -> (Vec<T>, Vec<usize>) {
    let items = match value {
        Value::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    let mut faulty = Vec::new();
    let read = items.iter().enumerate().filter_map(|(index, item)| {
        let item = read(item);
        if item.is_none() {
            faulty.push(index);
        }
        item
    });
    (read.collect(), faulty)
}

/// What both the conditions so far and this one allow; the places of what cannot be read.
pub(crate) fn both<T: PartialEq>(so_far: &mut Option<Vec<T>>, (mut more, faulty): (Vec<T>, Vec<usize>)) -> Vec<usize> {
    if let Some(before) = so_far {
        more.retain(|item| before.contains(item));
    }
    *so_far = Some(more);
    faulty
}

/// A whole number, also as text.
pub(crate) fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// A text as it is.
pub(crate) fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// An address, v4 or v6.
pub(crate) fn ip(value: &Value) -> Option<IpAddr> {
    value.as_str()?.trim().parse().ok()
}
