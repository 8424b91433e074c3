//! `host/`: the inventory, a page at a time.

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use serde_json::{Map, Value, json};

use super::answer::{Answer, Refusal, fault};
use super::call::Call;
use super::params;
use crate::service::inventory::HostQuery;
use crate::service::request::Fields;

/// The query of the path; a name may stand there more than once.
type Words = Result<Query<Vec<(String, String)>>, QueryRejection>;

pub(super) async fn list(words: Words, call: Call) -> Answer {
    Answer::of(list_page(words, &call).await, call.language)
}

async fn list_page(words: Words, call: &Call) -> Result<Value, Refusal> {
    let Query(words) = words.map_err(|error| fault("", error.to_string()))?;
    let (mut query, page) = params::read(&lists(&words), |fields| (query(fields), params::page(fields)))?;
    query.keep_within(call.businesses().as_deref());
    Ok(json!(call.door.service.host_page(&query, page).await?))
}

/// The query as the body of a request would say it: values parted by commas, or a name that comes again, are a list.
fn lists(words: &[(String, String)]) -> Value {
    let mut object = Map::new();
    for (name, text) in words {
        let values = text.split(',').map(str::trim).filter(|value| !value.is_empty()).map(Value::from);
        if let Value::Array(items) = object.entry(name).or_insert_with(|| json!([])) {
            items.extend(values);
        }
    }
    object.retain(|_, value| value.as_array().is_some_and(|items| !items.is_empty()));
    for value in object.values_mut() {
        if let Some([one]) = value.as_array().map(Vec::as_slice) {
            *value = one.clone();
        }
    }
    Value::Object(object)
}

fn query(fields: &mut Fields<'_>) -> HostQuery {
    let mut query = HostQuery::default();
    for key in HostQuery::KEYS {
        let Some(value) = fields.value(key) else { continue };
        for place in query.narrow(key, value).unwrap_or_default() {
            fields.fault(&format!("{key}[{place}]"), "is not understood");
        }
    }
    query
}
