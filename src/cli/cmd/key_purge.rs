//! `landfall key purge`: removes the credentials whose retention is over.

use serde::Serialize;

use crate::app;
use crate::cli::args::Output;
use crate::cli::exit::{CliError, ExitStatus};
use crate::cli::{Context, text};
use crate::domain::Timestamp;

/// What was removed.
#[derive(Serialize)]
struct Line {
    purged: u64,
    at: Timestamp,
}

pub(crate) async fn purge(at: Option<Timestamp>, context: &mut Context) -> Result<ExitStatus, CliError> {
    // As it is: opening for a command removes what is over by itself.
    let service = app::App::join(&context.settings).await?.service;
    let at = at.unwrap_or_else(|| service.now());
    let purged = service.purge_at(at).await?;
    match context.output {
        Output::Json => context.out.json(&Line { purged, at }),
        Output::Text => {
            let count = text::count(usize::try_from(purged).unwrap_or(usize::MAX), "credential");
            context.out.line(format!("{count} removed whose retention is over at {at}"));
        }
    }
    Ok(ExitStatus::Success)
}
