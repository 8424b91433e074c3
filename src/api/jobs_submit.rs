//! `install/` and `operate/`: a body → a recorded job that the process works on. The answer waits for no host.

use serde::Serialize;
use serde_json::{Value, json};

use super::answer::{Answer, Refusal};
use super::call::Call;
use super::params;
use crate::domain::audit::Action;
use crate::domain::id::JobId;
use crate::service::answer::FilterEntry;
use crate::service::submit::Recorded;

/// A job that was recorded.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Accepted {
    /// Its number.
    #[schema(value_type = i64)]
    job_id: JobId,
    /// Where its details are.
    job_url: String,
    /// Hosts that were left out.
    ip_filter: Vec<FilterEntry>,
}

pub(super) async fn install(call: Call) -> Answer {
    Answer::of(submit(&call, &call.body, Action::Install).await, call.language)
}

pub(super) async fn operate(call: Call) -> Answer {
    Answer::of(operation(&call).await, call.language)
}

async fn operation(call: &Call) -> Result<Value, Refusal> {
    submit(call, &call.door.service.expand(&call.body, call.grant()).await?, Action::Operate).await
}

async fn submit(call: &Call, body: &Value, action: Action) -> Result<Value, Refusal> {
    let caller = call.caller(action);
    if params::read(&call.body, |fields| fields.switch("dry_run"))?.unwrap_or(false) {
        return Ok(json!(call.door.service.preview(body, &caller).await?));
    }
    let Recorded { job, filtered } = call.door.service.record(body, &caller).await?;
    call.door.take_up(job);
    let job_url = format!("{}/api/job/{job}/details/", call.base);
    Ok(json!(Accepted { job_id: job, job_url, ip_filter: filtered }))
}
