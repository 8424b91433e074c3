//! `landfall serve`: the HTTP API and the executor in one process, until a signal.

use std::net::SocketAddr;

use serde_json::json;

use super::open;
use crate::app::{ListenError, listen};
use crate::cli::args::Output;
use crate::cli::exit::{CliError, ExitStatus};
use crate::cli::{Context, chain};
use crate::lifecycle::{Asked, Signals};
use crate::service::{GRACE, Stop};

pub(crate) async fn run(address: SocketAddr, context: &mut Context) -> Result<ExitStatus, CliError> {
    let stop = Stop::new();
    let mut signals = Signals::listen(stop.clone()).map_err(|source| CliError::System { what: "take signals", source })?;
    // First: a wrong address must not touch the record.
    let listening = listen(address, &context.settings.site()?).await.map_err(|error| match error {
        ListenError::BeyondLoopback { .. } | ListenError::Certificate { .. } => CliError::Usage(chain(&error)),
        ListenError::Read(error) => CliError::Config(error),
        ListenError::Refused { .. } => CliError::Open(error.into()),
    })?;
    let url = listening.url().map_err(|source| CliError::System { what: "ask for the own address", source })?;
    let app = open(context).await?;
    match context.output {
        Output::Json => context.out.json(&json!({"listening": url})),
        Output::Text => context.out.line(format!("listening on {url}")),
    }
    let serving = app.serve(listening, stop);
    tokio::pin!(serving);
    loop {
        tokio::select! {
            served = &mut serving => {
                served.map_err(|source| CliError::System { what: "serve", source })?;
                return Ok(ExitStatus::Success);
            }
            asked = signals.next() => match asked {
                Asked::Soft => context.out.note(format!(
                    "stopping: running steps have {} s to finish, the rest goes on at the next start",
                    GRACE.as_secs()
                )),
                Asked::Hard => context.out.note("letting go of everything now"),
                Asked::Leave => return Ok(ExitStatus::Interrupted),
            },
        }
    }
}
