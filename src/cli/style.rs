//! What the terminal can: colour, size, redrawing. NO_COLOR, CLICOLOR and dumb terminals are honoured by `console`.
//!
//! Nothing is said by colour alone.

use console::{Style, Term};

use crate::domain::job::Status;

/// Colours text, or leaves it as it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    colour: bool,
}

impl Paint {
    /// For what goes to stdout.
    pub(crate) fn stdout() -> Self {
        Self { colour: console::colors_enabled() }
    }

    /// For what goes to stderr.
    pub(crate) fn stderr() -> Self {
        Self { colour: console::colors_enabled_stderr() }
    }

    /// No colour.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self { colour: false }
    }

    /// Does it colour?
    pub(crate) fn is_coloured(self) -> bool {
        self.colour
    }

    fn with(self, style: Style, text: &str) -> String {
        style.force_styling(self.colour).apply_to(text).to_string()
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.with(Style::new().green(), text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.with(Style::new().red().bold(), text)
    }

    pub(crate) fn warn(self, text: &str) -> String {
        self.with(Style::new().yellow(), text)
    }

    pub(crate) fn strong(self, text: &str) -> String {
        self.with(Style::new().bold(), text)
    }

    pub(crate) fn faint(self, text: &str) -> String {
        self.with(Style::new().dim(), text)
    }

    /// The published word of a status.
    pub(crate) fn status(self, status: Status) -> String {
        match status {
            Status::Success => self.good(status.word()),
            Status::Failed | Status::PartFailed | Status::Terminated => self.bad(status.word()),
            Status::Ignored | Status::Filtered | Status::Removed => self.warn(status.word()),
            Status::Pending | Status::Running => self.strong(status.word()),
        }
    }
}

/// Can something be drawn again and again for a person? Both streams must be a terminal: with one of them in a file or a
/// pipe, plain lines are what is wanted there.
pub(crate) fn is_live() -> bool {
    Term::stdout().is_term() && Term::stderr().is_term() && !console::is_dumb()
}

/// Is stdout a terminal? What hosts print is made harmless for it then.
pub(crate) fn stdout_is_terminal() -> bool {
    Term::stdout().is_term()
}

/// Rows and columns of the terminal behind stderr.
pub(crate) fn size() -> (usize, usize) {
    let (rows, columns) = Term::stderr().size();
    (usize::from(rows), usize::from(columns))
}
