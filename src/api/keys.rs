//! `fetch_public_keys/`: what callers seal secrets with, at upstream's two paths.

use serde_json::{Value, json};

use super::answer::{Answer, Refusal};
use super::call::Call;
use super::params;
use crate::service::envelope::KEY_NAME;

pub(super) async fn fetch(call: Call) -> Answer {
    Answer::of(named(&call).await, call.language)
}

/// Those that there are of the keys that are asked for.
async fn named(call: &Call) -> Result<Value, Refusal> {
    let names = params::read(&call.body, |fields| {
        let names = params::list(fields, "names", "text", params::text).unwrap_or_default();
        if names.is_empty() {
            fields.fault("names", "must name at least one key");
        }
        names
    })?;
    if !names.iter().any(|name| name == KEY_NAME) {
        return Ok(json!([]));
    }
    Ok(json!([call.door.service.public_key(call.language).await?]))
}
