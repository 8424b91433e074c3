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
use crate::service::ask::{Again, RetryAsk};
use crate::service::details::{Page, TaskFilter, instance};
use crate::service::logins::LoginList;

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
    let (names, from_start, brings) = params::read(&call.body, |fields| {
        let names = params::list(fields, "instance_id_list", "text", params::text);
        let brings = match fields.value("hosts") {
            Some(Value::Array(hosts)) => !hosts.is_empty(),
            Some(_) => {
                fields.fault("hosts", "must be an array");
                false
            }
            None => false,
        };
        (names, fields.switch("from_start").unwrap_or(false), brings)
    })?;
    let again = if brings { Some(names.unwrap_or_default()) } else { names };
    let sources = call.sources();
    let logins = brings.then_some(LoginList { body: &call.body, sources: &sources });
    let again = again.map_or(Again::Failed, Again::Instances);
    try_again(call, id, RetryAsk { again, logins, from_start, by: call.asks(Action::Retry) }).await?;
    Ok(json!([id]))
}

pub(super) async fn retry_node(Path(id): Path<String>, call: Call) -> Answer {
    Answer::of(retry_one(&id, &call).await, call.language)
}

async fn retry_one(id: &str, call: &Call) -> Result<Value, Refusal> {
    let id = call.job_to_change(id).await?;
    let name = params::read(&call.body, params::instance_id)?;
    let filter = TaskFilter { named: Some(instance(&name).into_iter().collect()), ..TaskFilter::default() };
    let view = call.door.service.details(id, &filter, Page { offset: 0, limit: None }, call.language).await?;
    let host = view.list.iter().find(|host| !host.place.filter_host);
    let step = host.and_then(|host| host.steps.iter().find(|step| step.status != Status::Success)).map(|step| step.step);
    let (again, by) = (Again::Instances(vec![name.clone()]), call.asks(Action::RetryNode));
    try_again(call, id, RetryAsk { again, logins: None, from_start: false, by }).await?;
    Ok(json!(RetriedNode { retry_node_id: name, retry_node_name: step }))
}

async fn try_again(call: &Call, id: JobId, ask: RetryAsk<'_>) -> Result<(), Refusal> {
    if call.door.service.retry(id, &ask).await?.hosts.is_empty() {
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
