//! The terminal with its echo off: while a password is typed, and while bars are drawn (an echoed `^C` moves the cursor, and
//! the next picture would miss its place).

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;

use nix::fcntl::OFlag;
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use nix::unistd::{getpgrp, tcgetpgrp};

/// The controlling terminal; its echo is off until this is dropped.
pub(super) struct Quiet {
    terminal: File,
    before: Termios,
}

impl Quiet {
    /// Turns the echo off. What was typed before stays to be read.
    pub(super) fn begin() -> io::Result<Self> {
        // Without waiting: a read that waits could not be given up when a signal comes.
        let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
        let terminal = OpenOptions::new().read(true).write(true).custom_flags(flags).open("/dev/tty")?;
        if tcgetpgrp(&terminal)? != getpgrp() {
            // Changing the terminal from the background would stop the process.
            return Err(io::Error::other("this process is in the background"));
        }
        let before = tcgetattr(&terminal)?;
        let mut quiet = before.clone();
        quiet.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(&terminal, SetArg::TCSADRAIN, &quiet)?;
        Ok(Self { terminal, before })
    }

    /// The terminal itself; reads from it do not wait.
    pub(super) fn terminal(&mut self) -> &mut File {
        &mut self.terminal
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // A terminal that went away needs no echo.
        let _ = tcsetattr(&self.terminal, SetArg::TCSADRAIN, &self.before);
    }
}
