//! The one place that writes to stdout and stderr.
//!
//! A reader that went away (`| head`) is no fault: what it will not read is not written. Anything else that keeps data from
//! being written (a full disk) is kept and told at the end ([`Printer::close`]).

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use super::style::Paint;
use super::text;

/// Writes data to stdout and everything else to stderr.
pub(crate) struct Printer {
    data: Box<dyn Write + Send>,
    notes: Box<dyn Write + Send>,
    /// For stderr.
    paint: Paint,
    broken: Option<ErrorKind>,
    fault: Option<io::Error>,
}

impl Printer {
    /// Over this process's stdout and stderr.
    pub(crate) fn new() -> Self {
        Self::over(Box::new(io::stdout()), Box::new(io::stderr()))
    }

    pub(crate) fn over(data: Box<dyn Write + Send>, notes: Box<dyn Write + Send>) -> Self {
        Self { data, notes, paint: Paint::stderr(), broken: None, fault: None }
    }

    /// One line of data, flushed: whoever reads it may act on it at once.
    pub(crate) fn line(&mut self, text: impl Display) {
        self.data(&format!("{text}\n"));
    }

    /// Data as it is, flushed.
    pub(crate) fn data(&mut self, text: &str) {
        if self.broken.is_some() {
            return;
        }
        if let Err(error) = self.data.write_all(text.as_bytes()).and_then(|()| self.data.flush()) {
            self.broken = Some(error.kind());
            self.fault = (error.kind() != ErrorKind::BrokenPipe).then_some(error);
        }
    }

    /// A value as one line of JSON.
    pub(crate) fn json(&mut self, value: &impl serde::Serialize) {
        match serde_json::to_string(value) {
            Ok(line) => self.line(line),
            Err(error) => self.fault = Some(io::Error::other(error)),
        }
    }

    /// Text of others that is not data.
    pub(crate) fn told(&mut self, text: impl Display) {
        self.note(text::harmless(&text.to_string()));
    }

    /// One line that is not data.
    pub(crate) fn note(&mut self, text: impl Display) {
        // When stderr is closed there is nobody left to tell.
        let _ = writeln!(self.notes, "{text}");
    }

    /// What went wrong.
    pub(crate) fn error(&mut self, text: impl Display) {
        self.note(format!("{} {}", self.paint.bad("error:"), text::harmless(&text.to_string())));
    }

    /// What may come of something.
    pub(crate) fn warning(&mut self, text: impl Display) {
        self.note(format!("{} {}", self.paint.warn("warning:"), text::harmless(&text.to_string())));
    }

    /// What to do about it.
    pub(crate) fn hint(&mut self, text: impl Display) {
        self.note(format!("{} {}", self.paint.strong("hint:"), text::harmless(&text.to_string())));
    }

    /// What kept data from being written, if anything did.
    pub(crate) fn close(&mut self) -> io::Result<()> {
        self.fault.take().map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Refuses(ErrorKind, usize);

    impl Write for Refuses {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            self.1 += 1;
            assert_eq!(self.1, 1, "written again after a refusal");
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_went_away_is_no_fault_and_a_full_disk_is_one() {
        for (kind, is_fault) in [(ErrorKind::BrokenPipe, false), (ErrorKind::StorageFull, true)] {
            let mut out = Printer::over(Box::new(Refuses(kind, 0)), Box::new(io::sink()));
            out.line("one");
            out.line("two");
            assert_eq!(out.close().is_err(), is_fault, "{kind:?}");
        }
    }
}
