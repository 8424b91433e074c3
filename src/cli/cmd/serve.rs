//! `landfall serve`: the HTTP API and the executor, or one of them, until a signal.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::json;

use crate::app::{App, ListenError, Listening, Part, listen};
use crate::cli::args::Output;
use crate::cli::exit::{CliError, ExitStatus};
use crate::cli::{Context, chain};
use crate::config::Database;
use crate::lifecycle::{Asked, Signals};
use crate::service::{GRACE, Stop};

/// Where it listens unless it is told.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8420);

pub(crate) async fn run(
    at: Option<SocketAddr>,
    (part, clouds): (Part, Vec<i64>),
    context: &mut Context,
) -> Result<ExitStatus, CliError> {
    // One process has the whole record in a file: the other hosts of its jobs would wait for ever.
    if !clouds.is_empty() && !matches!(context.settings.database()?, Database::Postgres(_)) {
        return Err(CliError::Usage(
            "--clouds shares the work with other executors, and needs --database-url postgres://…".into(),
        ));
    }
    let stop = Stop::new();
    let mut signals = Signals::listen(stop.clone()).map_err(|source| CliError::System { what: "take signals", source })?;
    // First: a wrong address must not touch the record.
    let listening = match at.or((part != Part::Executor).then_some(LISTEN)) {
        Some(address) => Some(socket(address, context).await?),
        None => None,
    };
    let url = listening.as_ref().map(Listening::url).transpose();
    let url = url.map_err(|source| CliError::System { what: "ask for the own address", source })?;
    let app = App::open_for(&context.settings, clouds).await?;
    match (context.output, url) {
        (Output::Json, url) => context.out.json(&json!({"listening": url})),
        (Output::Text, Some(url)) => context.out.line(format!("listening on {url}")),
        (Output::Text, None) => context.out.line("working on the jobs of the record"),
    }
    let serving = app.serve(part, listening, stop);
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

async fn socket(address: SocketAddr, context: &Context) -> Result<Listening, CliError> {
    listen(address, &context.settings.site()?).await.map_err(|error| match error {
        ListenError::BeyondLoopback { .. } | ListenError::Certificate { .. } => CliError::Usage(chain(&error)),
        ListenError::Read(error) => CliError::Config(error),
        ListenError::Refused { .. } => CliError::Open(error.into()),
    })
}
