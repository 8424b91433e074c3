//! `install/` and `operate/`: a body → a recorded job that the process works on. The answer waits for no host.

use serde::Serialize;
use serde_json::{Value, json};

use super::answer::{Answer, Refusal};
use super::call::Call;
use super::params;
use crate::domain::id::JobId;
use crate::service::answer::FilterEntry;
use crate::service::request::SecretSources;
use crate::service::submit::{Caller, Recorded};

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
    Answer::of(submit(&call, &call.body).await, call.language)
}

pub(super) async fn operate(call: Call) -> Answer {
    Answer::of(operation(&call).await, call.language)
}

async fn operation(call: &Call) -> Result<Value, Refusal> {
    submit(call, &call.door.service.expand(&call.body).await?).await
}

async fn submit(call: &Call, body: &Value) -> Result<Value, Refusal> {
    let caller = Caller { name: who(&call.body), language: call.language, sources: SecretSources::default(), served: true };
    if params::read(&call.body, |fields| fields.switch("dry_run"))?.unwrap_or(false) {
        return Ok(json!(call.door.service.preview(body, &caller).await?));
    }
    let Recorded { job, filtered } = call.door.service.record(body, &caller).await?;
    call.door.take_up(job);
    let job_url = format!("{}/api/job/{job}/details/", call.base);
    Ok(json!(Accepted { job_id: job, job_url, ip_filter: filtered }))
}

/// Who asks, for the audit.
pub(super) fn who(body: &Value) -> String {
    let named = |key: &str| body.get(key)?.as_str().filter(|name| !name.is_empty() && !name.contains(['\n', '\r', '\0']));
    named("bk_username").or_else(|| named("bk_app_code")).unwrap_or("api").to_owned()
}
