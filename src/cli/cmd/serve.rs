//! `landfall serve`: the HTTP API and the executor, or one of them, until a signal.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::json;
use tokio::net::TcpListener;

use super::open;
use crate::app::{ListenError, Part, listen};
use crate::cli::Context;
use crate::cli::args::Output;
use crate::cli::exit::{CliError, ExitStatus};
use crate::lifecycle::{Asked, Signals};
use crate::service::{GRACE, Stop};

/// Where it listens unless it is told.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8420);

pub(crate) async fn run(at: Option<SocketAddr>, part: Part, context: &mut Context) -> Result<ExitStatus, CliError> {
    let stop = Stop::new();
    let mut signals = Signals::listen(stop.clone()).map_err(|source| CliError::System { what: "take signals", source })?;
    // First: a wrong address must not touch the record.
    let listener = match at.or((part != Part::Executor).then_some(LISTEN)) {
        Some(address) => Some(socket(address).await?),
        None => None,
    };
    let address = match &listener {
        Some(listener) => {
            let address = listener.local_addr();
            Some(address.map_err(|source| CliError::System { what: "ask for the own address", source })?)
        }
        None => None,
    };
    let app = open(context).await?;
    let url = address.map(|address| format!("http://{address}"));
    match (context.output, url) {
        (Output::Json, url) => context.out.json(&json!({"listening": url})),
        (Output::Text, Some(url)) => context.out.line(format!("listening on {url}")),
        (Output::Text, None) => context.out.line("working on the jobs of the record"),
    }
    let serving = app.serve(part, listener, stop);
    tokio::pin!(serving);
    loop {
        tokio::select! {
            () = &mut serving => return Ok(ExitStatus::Success),
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

async fn socket(address: SocketAddr) -> Result<TcpListener, CliError> {
    listen(address).await.map_err(|error| match error {
        ListenError::BeyondLoopback(_) => CliError::Usage(error.to_string()),
        ListenError::Refused { .. } => CliError::Open(error.into()),
    })
}
