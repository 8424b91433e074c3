//! Asks the person at the terminal for a password, without echo. A signal while it waits leaves the terminal as it was.
//!
//! By termios and not by a crate: the ones there are block a thread that no signal can end.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use nix::sys::termios::{FlushArg, tcflush};
use zeroize::Zeroizing;

use super::exit::CliError;
use super::quiet::Quiet;
use crate::domain::credential::Secret;
use crate::lifecycle::Signals;

/// How often the terminal is looked at: faster than a person notices.
const PERIOD: Duration = Duration::from_millis(50);

/// A password, asked once on the controlling terminal, whatever stdin is.
pub(super) async fn password(prompt: &str, signals: &mut Signals) -> Result<Secret, CliError> {
    let mut quiet = Quiet::begin().map_err(CliError::NoTerminal)?;
    let line = tokio::select! {
        line = line(&mut quiet, prompt) => line.map_err(CliError::NoTerminal),
        _ = signals.next() => {
            // Half a password must not be the next thing the shell reads.
            let _ = tcflush(&*quiet.terminal(), FlushArg::TCIFLUSH);
            Err(CliError::Interrupted)
        }
    };
    // The end of the line was not echoed either. A terminal that went away needs none.
    let _ = quiet.terminal().write_all(b"\n");
    let line = line?;
    if line.is_empty() { Err(CliError::Usage("an empty password opens nothing".into())) } else { Ok(line.as_str().into()) }
}

async fn line(quiet: &mut Quiet, prompt: &str) -> io::Result<Zeroizing<String>> {
    let terminal = quiet.terminal();
    // What was typed before the question is no answer to it.
    tcflush(&*terminal, FlushArg::TCIFLUSH)?;
    terminal.write_all(prompt.as_bytes())?;
    // Larger than a terminal's line can be, so that no copy is left behind by growing.
    let mut line = Zeroizing::new(Vec::with_capacity(8192));
    let mut piece = Zeroizing::new([0_u8; 4096]);
    loop {
        match terminal.read(&mut *piece) {
            // End of input (Ctrl-D).
            Ok(0) => break,
            Ok(count) => {
                line.extend_from_slice(piece.get(..count).unwrap_or_default());
                if line.ends_with(b"\n") {
                    break;
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => tokio::time::sleep(PERIOD).await,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let text = std::str::from_utf8(&line).map_err(|_| io::Error::new(ErrorKind::InvalidData, "the password is not UTF-8"))?;
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}
