//! `install/` and `operate/`: a body → a recorded job that the process works on. The answer waits for no host.

use axum::http::HeaderMap;
use serde::Serialize;
use serde_json::{Value, json};

use super::answer::{Answer, Refusal, fault};
use super::call::Call;
use super::params;
use crate::domain::audit::Action;
use crate::domain::id::JobId;
use crate::service::answer::FilterEntry;
use crate::service::once::{Key, Operation, Submitted};

/// What makes a submission be recorded once, however often it comes.
const KEY: &str = "Idempotency-Key";

/// A job that was recorded.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Accepted {
    /// Its number.
    #[schema(value_type = i64)]
    job_id: JobId,
    /// Where its details are.
    job_url: String,
    /// Hosts that were left out.
    #[schema(value_type = Vec<FilterEntry>)]
    ip_filter: Value,
}

pub(super) async fn install(call: Call) -> Answer {
    Answer::of(submit(&call, Operation::Install).await, call.language)
}

pub(super) async fn operate(call: Call) -> Answer {
    Answer::of(submit(&call, Operation::Operate).await, call.language)
}

async fn submit(call: &Call, operation: Operation) -> Result<Value, Refusal> {
    let service = &call.door.service;
    let caller = call.caller(match operation {
        Operation::Install => Action::Install,
        Operation::Operate => Action::Operate,
    });
    let key = key(&call.headers)?;
    if params::read(&call.body, |fields| fields.switch("dry_run"))?.unwrap_or(false) {
        return Ok(match operation {
            Operation::Install => json!(service.preview(&call.body, &caller).await?),
            Operation::Operate => json!(service.preview(&service.expand(&call.body, call.grant()).await?, &caller).await?),
        });
    }
    let Submitted { job, ip_filter, is_new } = service.submit_once((operation, &call.body), &caller, key.as_ref()).await?;
    if is_new {
        call.door.take_up(job);
    }
    let job_url = format!("{}/api/job/{job}/details/", call.base);
    Ok(json!(Accepted { job_id: job, job_url, ip_filter }))
}

/// The key of a submission, when it has one.
fn key(headers: &HeaderMap) -> Result<Option<Key>, Refusal> {
    let mut given = headers.get_all(KEY).iter();
    match (given.next(), given.next()) {
        (None, _) => Ok(None),
        (Some(key), None) => Ok(Some(Key::parse(key.as_bytes())?)),
        (Some(_), Some(_)) => Err(fault(KEY, "must stand there once")),
    }
}
