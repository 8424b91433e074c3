//! `landfall package list`: the stored packages.

use crate::app;
use crate::cli::args::Output;
use crate::cli::exit::{CliError, ExitStatus};
use crate::cli::report::table::Table;
use crate::cli::{Context, text};
use crate::domain::package::PackageEntry;
use crate::service::{PackageSource as _, ServiceError};

pub(crate) async fn list(context: &mut Context) -> Result<ExitStatus, CliError> {
    let entries = app::repository(&context.settings)?.list().await.map_err(ServiceError::from)?;
    match context.output {
        Output::Json => context.out.json(&entries),
        Output::Text if entries.is_empty() => {
            context.out.note("no package is stored here; `landfall package add FILE.tgz` adds one")
        }
        Output::Text => context.out.data(&render(&entries)),
    }
    Ok(ExitStatus::Success)
}

fn render(entries: &[PackageEntry]) -> String {
    let mut table = Table::new(&["NAME", "VERSION", "ROLE", "OS", "CPU", ">SIZE", "SHA256"]);
    for entry in entries {
        let manifest = &entry.manifest;
        table.row([
            manifest.name.clone(),
            manifest.version.clone(),
            manifest.role.word().to_owned(),
            manifest.os.clone(),
            manifest.cpu.clone(),
            text::bytes(entry.size),
            short(&entry.sha256).to_owned(),
        ]);
    }
    table.render("")
}

/// Enough of a digest for people.
pub(super) fn short(sha256: &str) -> &str {
    sha256.get(..12).unwrap_or(sha256)
}
