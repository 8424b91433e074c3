//! `collect_log/`: the whole log of a host's script, fetched from the host.

use axum::extract::Path;
use serde_json::{Value, json};

use super::answer::{Answer, Refusal};
use super::call::Call;
use super::params;
use crate::service::collect::Whose;

pub(super) async fn collect(Path(id): Path<String>, call: Call) -> Answer {
    Answer::of(fetch(&id, &call).await, call.language)
}

async fn fetch(id: &str, call: &Call) -> Result<Value, Refusal> {
    let id = call.job(id).await?;
    let name = params::read(&call.body, params::instance_id)?;
    Ok(json!(call.door.service.collect_log(id, Whose::Instance(&name)).await?))
}
