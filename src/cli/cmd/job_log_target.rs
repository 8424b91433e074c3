//! `landfall job log ID HOST --from-target`: the whole log of a host's newest script, fetched from the host.

use std::net::IpAddr;

use super::open;
use crate::cli::args::Output;
use crate::cli::exit::{CliError, ExitStatus};
use crate::cli::{Context, style, text};
use crate::domain::id::JobId;
use crate::lifecycle::Signals;
use crate::service::Stop;
use crate::service::collect::Whose;

pub(crate) async fn fetch(id: i64, host: IpAddr, context: &mut Context) -> Result<ExitStatus, CliError> {
    let service = open(context).await?.service;
    let mut signals = Signals::listen(Stop::new()).map_err(|source| CliError::System { what: "take signals", source })?;
    let collected = tokio::select! {
        collected = service.collect_log(JobId(id), Whose::At(host)) => collected?,
        _ = signals.next() => return Ok(ExitStatus::Interrupted),
    };
    if context.output == Output::Json {
        context.out.json(&collected);
        return Ok(ExitStatus::Success);
    }
    // What a host printed must not command a terminal; a file gets it as it is.
    let log = &collected.log;
    context.out.data(&if style::stdout_is_terminal() { text::harmless(log) } else { log.as_str().into() });
    if collected.truncated {
        let (sent, size) = (text::bytes(log.len() as u64), text::bytes(collected.size));
        context.out.note(&format!("only the last {sent} of {size}; the whole is on the host as run {}", collected.run_id));
    }
    Ok(ExitStatus::Success)
}
