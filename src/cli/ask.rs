//! Asks the person at the terminal for a password, without echo. A signal while it waits leaves the terminal as it was.
//!
//! By termios and not by a crate: the ones there are block a thread that no signal can end.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::exit::CliError;
use crate::domain::credential::Secret;
use crate::lifecycle::Signals;

/// How often the terminal is looked at: faster than a person notices.
const PERIOD: Duration = Duration::from_millis(50);

/// A password, asked once on the controlling terminal, whatever stdin is.
pub(super) async fn password(signals: &mut Signals) -> Result<Secret, CliError> {
    let mut terminal = Silent::open().map_err(CliError::NoTerminal)?;
    let line = tokio::select! {
        line = terminal.line("password of the hosts: ") => line.map_err(CliError::NoTerminal)?,
        _ = signals.next() => return Err(CliError::Interrupted),
    };
    if line.is_empty() { Err(CliError::Usage("an empty password opens nothing".into())) } else { Ok(line.as_str().into()) }
}

/// The terminal with its echo off until this is dropped.
struct Silent {
    terminal: File,
    before: Termios,
}

impl Silent {
    fn open() -> io::Result<Self> {
        // Without waiting: a read that waits could not be given up when a signal comes.
        let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
        let terminal = OpenOptions::new().read(true).write(true).custom_flags(flags).open("/dev/tty")?;
        let before = tcgetattr(&terminal)?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(&terminal, SetArg::TCSAFLUSH, &silent)?;
        Ok(Self { terminal, before })
    }

    async fn line(&mut self, prompt: &str) -> io::Result<Zeroizing<String>> {
        self.terminal.write_all(prompt.as_bytes())?;
        // Larger than a terminal's line can be, so that no copy is left behind by growing.
        let mut line = Zeroizing::new(Vec::with_capacity(8192));
        let mut piece = Zeroizing::new([0_u8; 4096]);
        loop {
            match self.terminal.read(&mut *piece) {
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
}

impl Drop for Silent {
    fn drop(&mut self) {
        // The line's end was not echoed either. A terminal that went away needs neither.
        let _ = self.terminal.write_all(b"\n");
        let _ = tcsetattr(&self.terminal, SetArg::TCSAFLUSH, &self.before);
    }
}
