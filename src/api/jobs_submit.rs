//! `install/` and `operate/`: a body → a recorded job that the process works on. The answer waits for no host.

use serde_json::{Value, json};

use super::answer::{Answer, Refusal};
use super::call::Call;
use super::params;
use crate::domain::audit::Action;
use crate::service::submit::Recorded;

pub(super) async fn install(call: Call) -> Answer {
    Answer::of(submit(&call, &call.body, Action::Install).await, call.language)
}

pub(super) async fn operate(call: Call) -> Answer {
    Answer::of(operation(&call).await, call.language)
}

async fn operation(call: &Call) -> Result<Value, Refusal> {
    submit(call, &call.door.service.expand(&call.body).await?, Action::Operate).await
}

async fn submit(call: &Call, body: &Value, action: Action) -> Result<Value, Refusal> {
    let caller = call.caller(action);
    if params::read(&call.body, |fields| fields.switch("dry_run"))?.unwrap_or(false) {
        return Ok(json!(call.door.service.preview(body, &caller).await?));
    }
    let Recorded { job, filtered } = call.door.service.record(body, &caller).await?;
    call.door.take_up(job);
    Ok(json!({"job_id": job, "job_url": format!("{}/api/job/{job}/details/", call.base), "ip_filter": filtered}))
}
