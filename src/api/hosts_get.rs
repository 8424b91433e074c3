//! `host/`: the inventory, a page at a time.

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use serde_json::{Map, Value, json};

use super::answer::{Answer, Refusal, fault};
use super::call::Call;
use super::params::{self, list as list_of};
use crate::domain::package::Role;
use crate::service::inventory::{HostFilter, HostQuery};
use crate::service::request::Fields;

/// The query of the path; a name may stand there more than once.
type Words = Result<Query<Vec<(String, String)>>, QueryRejection>;

pub(super) async fn list(words: Words, call: Call) -> Answer {
    Answer::of(list_page(words, &call).await, call.language)
}

async fn list_page(words: Words, call: &Call) -> Result<Value, Refusal> {
    let Query(words) = words.map_err(|error| fault("", error.to_string()))?;
    let (query, page) = params::read(&lists(&words), |fields| (query(fields), params::page(fields)))?;
    Ok(json!(call.door.service.host_page(&query, page).await?))
}

/// The query as the body of a request would say it: values parted by commas, or a name that comes again, are a list.
fn lists(words: &[(String, String)]) -> Value {
    let mut object = Map::new();
    for (name, text) in words {
        let values = text.split(',').map(str::trim).filter(|value| !value.is_empty()).map(Value::from);
        match object.entry(name).or_insert_with(|| json!([])) {
            Value::Array(items) => items.extend(values),
            _ => {}
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
    let role = |value: &Value| match value.as_str() {
        Some("AGENT") => Some(Role::Agent),
        Some("PROXY") => Some(Role::Proxy),
        _ => None,
    };
    HostQuery { roles: list_of(fields, "node_type", "AGENT or PROXY", role), filter: filter(fields) }
}

/// What hosts are chosen by, here and where an operation chooses them.
pub(super) fn filter(fields: &mut Fields<'_>) -> HostFilter {
    let system = |value: &Value| serde_json::from_value(value.clone()).ok();
    HostFilter {
        ids: list_of(fields, "bk_host_id", "a number", params::number),
        excluded: Vec::new(),
        businesses: list_of(fields, "bk_biz_id", "a number", params::number),
        clouds: list_of(fields, "bk_cloud_id", "a number", params::number),
        access_points: list_of(fields, "ap_id", "a number", params::number),
        ips: list_of(fields, "ip", "an IP address", params::ip),
        systems: list_of(fields, "os_type", "LINUX, WINDOWS, AIX or SOLARIS", system),
        packages: list_of(fields, "package", "text", params::text),
        versions: list_of(fields, "version", "text", params::text),
    }
}
