//! `landfall site hash-secret`: the secret of an app → the line that the site file keeps of it. The secret is never an
//! argument: whoever lists processes would read it.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use secrecy::ExposeSecret as _;
use serde_json::json;
use zeroize::Zeroizing;

use crate::cli::args::Output;
use crate::cli::exit::{CliError, ExitStatus};
use crate::cli::{Context, ask};
use crate::domain::credential::Secret;
use crate::domain::secret_hash::{SALT, SecretHash};
use crate::lifecycle::Signals;
use crate::service::Stop;

/// Longest secret, bytes; the door takes no longer one.
const LONGEST: u64 = 1024;

pub(crate) async fn hash(context: &mut Context) -> Result<ExitStatus, CliError> {
    let secret = if io::stdin().is_terminal() { asked().await? } else { piped()? };
    let mut salt = [0; SALT];
    getrandom::fill(&mut salt).map_err(|error| CliError::System { what: "get random bytes", source: error.into() })?;
    let hash = SecretHash::of(&secret, &salt);
    let hash = hash.map_err(|error| CliError::System { what: "hash the secret", source: io::Error::other(error) })?;
    match context.output {
        Output::Text => context.out.line(hash),
        Output::Json => context.out.json(&json!({"secret_hash": hash.to_string()})),
    }
    Ok(ExitStatus::Success)
}

/// Twice: a slip would be found out when the app is refused.
async fn asked() -> Result<Secret, CliError> {
    let mut signals = Signals::listen(Stop::new()).map_err(|source| CliError::System { what: "take signals", source })?;
    let secret = ask::password("secret of the app: ", &mut signals).await?;
    let again = ask::password("once more: ", &mut signals).await?;
    if secret.expose_secret() == again.expose_secret() {
        checked(secret)
    } else {
        Err(CliError::Usage("the two are not the same".into()))
    }
}

/// The first line of stdin.
fn piped() -> Result<Secret, CliError> {
    let mut line = Zeroizing::new(String::with_capacity(LONGEST as usize + 2));
    let read = io::stdin().lock().take(LONGEST + 2).read_line(&mut line);
    read.map_err(|source| CliError::Read { what: "the secret from stdin".into(), source })?;
    checked(line.trim_end_matches(['\r', '\n']).into())
}

fn checked(secret: Secret) -> Result<Secret, CliError> {
    match secret.expose_secret().len() as u64 {
        0 => Err(CliError::Usage("an empty secret keeps nobody out".into())),
        length if length > LONGEST => Err(CliError::Usage(format!("the secret is longer than {LONGEST} bytes"))),
        _ => Ok(secret),
    }
}
