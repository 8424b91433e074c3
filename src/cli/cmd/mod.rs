//! The commands, one file each; `follow` is what those that work on a job share, `watch` what those that look on do.

pub(super) mod check;
pub(super) mod completions;
mod follow;
pub(super) mod hostkey_forget;
pub(super) mod hostkey_list;
pub(super) mod job_cancel;
pub(super) mod job_list;
pub(super) mod job_log;
pub(super) mod job_log_follow;
pub(super) mod job_log_target;
pub(super) mod job_resume;
pub(super) mod job_retry;
pub(super) mod job_show;
pub(super) mod job_watch;
pub(super) mod key_purge;
pub(super) mod key_rotate;
pub(super) mod man;
pub(super) mod manual;
pub(super) mod package_add;
pub(super) mod package_list;
pub(super) mod package_verify;
pub(super) mod plan;
pub(super) mod run;
pub(super) mod serve;
pub(super) mod site_check;
pub(super) mod site_hash_secret;
mod watch;

use serde_json::Value;

use super::Context;
use super::args::Output;
use super::exit::{CliError, ExitStatus};
use crate::domain::site::Language;
use crate::service::answer::Envelope;
use crate::service::request::{Fault, code};
use crate::{app, config};

/// Opens everything: record, packages, engine.
async fn open(context: &Context) -> Result<app::App, CliError> {
    Ok(app::App::open(&context.settings).await?)
}

/// The language of this person.
fn language() -> Language {
    if config::speaks_chinese() { Language::Zh } else { Language::En }
}

/// `run` and `resume` promise that the last line of JSON is the envelope when nothing ran.
fn answered(result: Result<ExitStatus, CliError>, context: &mut Context) -> Result<ExitStatus, CliError> {
    let error = match result {
        Ok(status) => return Ok(status),
        Err(error) => error,
    };
    let ran = matches!(error, CliError::Broke { .. });
    if context.output == Output::Json && !ran {
        context.out.json(&envelope(&error));
    }
    Err(error)
}

fn envelope(error: &CliError) -> Envelope {
    if let CliError::Rejected { rejection, .. } = error {
        return rejection.envelope(language());
    }
    if let CliError::Logins { faults, .. } = error {
        return Envelope::faults(faults, language());
    }
    let message = super::chain(error);
    match ExitStatus::of_error(error) {
        ExitStatus::Usage => refusal(message),
        ExitStatus::Success
        | ExitStatus::Unsuccessful
        | ExitStatus::NotAccepted
        | ExitStatus::Internal
        | ExitStatus::Interrupted => Envelope::internal(&message),
    }
}

/// The envelope of what was wrong before there was a request to look at.
fn refusal(message: String) -> Envelope {
    let code = code::INVALID;
    let told = format!("{message}（{code}）");
    Envelope {
        result: false,
        code,
        data: Value::Null,
        message: told,
        errors: Some(vec![Fault { path: String::new(), message, code }]),
    }
}
