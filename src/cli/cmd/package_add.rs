//! `landfall package add`: checks an archive and stores it.

use std::path::Path;

use crate::app;
use crate::cli::args::Output;
use crate::cli::exit::{CliError, ExitStatus};
use crate::cli::{Context, text};
use crate::service::ServiceError;

pub(crate) async fn add(file: &Path, context: &mut Context) -> Result<ExitStatus, CliError> {
    if let Err(source) = std::fs::File::open(file) {
        return Err(CliError::Read { what: file.display().to_string(), source });
    }
    let entry = app::repository(&context.settings)?.add(file).await.map_err(ServiceError::from)?;
    match context.output {
        Output::Json => context.out.json(&entry),
        Output::Text => {
            let manifest = &entry.manifest;
            context.out.line(format!(
                "added {} {} ({} for {} {}), {}, sha256 {}",
                manifest.name,
                manifest.version,
                manifest.role.word(),
                manifest.os,
                manifest.cpu,
                text::bytes(entry.size),
                entry.sha256
            ));
        }
    }
    Ok(ExitStatus::Success)
}
