//! `landfall package verify`: reads every stored package again and checks its digest.

use serde::Serialize;

use super::package_list::short;
use crate::app;
use crate::cli::Context;
use crate::cli::args::Output;
use crate::cli::exit::{CliError, ExitStatus};
use crate::domain::package::PackageEntry;
use crate::service::ServiceError;

/// What was found of one package.
#[derive(Serialize)]
struct Verdict<'a> {
    name: Option<&'a str>,
    version: Option<&'a str>,
    sha256: &'a str,
    ok: bool,
    damage: Option<&'a str>,
}

pub(crate) async fn verify(context: &mut Context) -> Result<ExitStatus, CliError> {
    let found = app::repository(&context.settings)?.verify().await.map_err(ServiceError::from)?;
    let verdicts: Vec<Verdict<'_>> =
        found.iter().map(|checked| verdict(&checked.sha256, checked.entry.as_ref(), checked.damage.as_deref())).collect();
    match context.output {
        Output::Json => context.out.json(&verdicts),
        Output::Text if verdicts.is_empty() => context.out.note("no package is stored here"),
        Output::Text => {
            for verdict in &verdicts {
                let result = match verdict.damage {
                    None => context.paint.good("ok"),
                    Some(damage) => format!("{}: {damage}", context.paint.bad("damaged")),
                };
                let (name, version) = (verdict.name.unwrap_or("?"), verdict.version.unwrap_or("?"));
                context.out.line(format!("{name} {version} {}: {result}", short(verdict.sha256)));
            }
        }
    }
    let is_whole = verdicts.iter().all(|verdict| verdict.ok);
    if !is_whole {
        context.out.hint("add a damaged package again with `landfall package add FILE.tgz`");
    }
    Ok(if is_whole { ExitStatus::Success } else { ExitStatus::Unsuccessful })
}

fn verdict<'a>(sha256: &'a str, entry: Option<&'a PackageEntry>, damage: Option<&'a str>) -> Verdict<'a> {
    let manifest = entry.map(|entry| &entry.manifest);
    Verdict {
        name: manifest.map(|manifest| manifest.name.as_str()),
        version: manifest.map(|manifest| manifest.version.as_str()),
        sha256,
        ok: damage.is_none(),
        damage,
    }
}
