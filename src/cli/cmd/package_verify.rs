//! `landfall package verify`: reads every stored package again and checks its digest.

use serde::Serialize;

use super::package_list::short;
use crate::app;
use crate::cli::args::Output;
use crate::cli::exit::{CliError, ExitStatus};
use crate::cli::{Context, chain};
use crate::domain::package::PackageEntry;
use crate::service::ServiceError;

/// What was found of one package.
#[derive(Serialize)]
struct Verdict<'a> {
    name: &'a str,
    version: &'a str,
    sha256: &'a str,
    ok: bool,
    damage: Option<String>,
}

pub(crate) async fn verify(context: &mut Context) -> Result<ExitStatus, CliError> {
    let found = app::repository(&context.settings)?.verify().await.map_err(ServiceError::from)?;
    let damage: Vec<(&PackageEntry, Option<String>)> =
        found.iter().map(|(entry, result)| (entry, result.as_ref().err().map(|error| chain(error)))).collect();
    match context.output {
        Output::Json => context.out.json(&damage.iter().map(|(entry, damage)| verdict(entry, damage)).collect::<Vec<_>>()),
        Output::Text if damage.is_empty() => context.out.note("no package is stored here"),
        Output::Text => {
            for (entry, damage) in &damage {
                let result = match damage {
                    None => context.paint.good("ok"),
                    Some(damage) => format!("{}: {damage}", context.paint.bad("damaged")),
                };
                context.out.line(format!("{} {} {}: {result}", entry.manifest.name, entry.manifest.version, short(entry)));
            }
        }
    }
    let is_whole = damage.iter().all(|(_, damage)| damage.is_none());
    if !is_whole {
        context.out.hint("add a damaged package again with `landfall package add FILE.tgz`");
    }
    Ok(if is_whole { ExitStatus::Success } else { ExitStatus::Unsuccessful })
}

fn verdict<'a>(entry: &'a PackageEntry, damage: &Option<String>) -> Verdict<'a> {
    let manifest = &entry.manifest;
    Verdict {
        name: &manifest.name,
        version: &manifest.version,
        sha256: &entry.sha256,
        ok: damage.is_none(),
        damage: damage.clone(),
    }
}
