//! `retry/`, `retry_node/` and `revoke/`: asked of a job that is in the record. Whoever works on it obeys; where nobody does,
//! this process takes it up.

use axum::extract::Path;
use serde::Serialize;
use serde_json::{Value, json};

use super::answer::{Answer, Refusal};
use super::call::Call;
use super::params;
use crate::domain::audit::Action;
use crate::domain::id::JobId;
use crate::domain::job::Status;
use crate::domain::plan::StepKind;
use crate::service::ask::Again;
use crate::service::details::{Page, TaskFilter, instance};
use crate::service::request::Fields;

/// A host that is tried again, in upstream's words.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct RetriedNode {
    /// Its instance id.
    retry_node_id: String,
    /// The step it goes on with.
    retry_node_name: Option<StepKind>,
}

pub(super) async fn retry(Path(id): Path<String>, call: Call) -> Answer {
    Answer::of(retry_some(&id, &call).await, call.language)
}

/// Gives what upstream calls the list of tasks: a job of ours is one.
async fn retry_some(id: &str, call: &Call) -> Result<Value, Refusal> {
    let id = call.job_to_change(id).await?;
    let names = params::read(&call.body, |fields| {
        later(fields, &["from_start", "hosts"]);
        params::list(fields, "instance_id_list", "text", params::text)
    })?;
    try_again(call, id, names.map_or(Again::Failed, Again::Instances), Action::Retry).await?;
    Ok(json!([id]))
}

pub(super) async fn retry_node(Path(id): Path<String>, call: Call) -> Answer {
    Answer::of(retry_one(&id, &call).await, call.language)
}

async fn retry_one(id: &str, call: &Call) -> Result<Value, Refusal> {
    let id = call.job_to_change(id).await?;
    let name = params::read(&call.body, |fields| {
        let name = fields.text("instance_id").unwrap_or_default();
        if name.is_empty() {
            fields.fault("instance_id", "is required");
        }
        name
    })?;
    let filter = TaskFilter { named: Some(instance(&name).into_iter().collect()), ..TaskFilter::default() };
    let view = call.door.service.details(id, &filter, Page { offset: 0, limit: None }, call.language).await?;
    let host = view.list.iter().find(|host| !host.place.filter_host);
    let step = host.and_then(|host| host.steps.iter().find(|step| step.status != Status::Success)).map(|step| step.step);
    try_again(call, id, Again::Instances(vec![name.clone()]), Action::RetryNode).await?;
    Ok(json!(RetriedNode { retry_node_id: name, retry_node_name: step }))
}

async fn try_again(call: &Call, id: JobId, again: Again, action: Action) -> Result<(), Refusal> {
    let opened = call.door.service.retry(id, &again, &call.asks(action)).await?;
    if opened.is_empty() {
        return Err(Refusal::NoneFailed);
    }
    call.door.hand_over(id).await
}

pub(super) async fn revoke(Path(id): Path<String>, call: Call) -> Answer {
    Answer::of(revoke_some(&id, &call).await, call.language)
}

async fn revoke_some(id: &str, call: &Call) -> Result<Value, Refusal> {
    let id = call.job_to_change(id).await?;
    let names = params::read(&call.body, |fields| params::list(fields, "instance_id_list", "text", params::text))?;
    let (service, by) = (&call.door.service, call.asks(Action::Revoke));
    let asked = match names {
        None => service.cancel(id, &by).await?,
        Some(names) => service.cancel_hosts(id, &names, &by).await?,
    };
    if !asked {
        return Err(Refusal::NotRunning);
    }
    call.door.hand_over(id).await?;
    Ok(json!([id]))
}

/// What this release does not do is refused, never passed over: a caller must not believe that it was done.
fn later(fields: &mut Fields<'_>, keys: &[&str]) {
    for key in keys {
        if fields.value(key).is_some_and(|value| value != &Value::Bool(false)) {
            fields.fault(key, "is not supported yet: leave it out");
        }
    }
}
