//! Logs: to stderr, as much as `-v` asks for, never a secret.
//!
//! The libraries that see packets, statements and bodies stay at `info` or `warn` whatever is asked for: their deeper output can hold
//! passwords and keys. For the same reason there is no filter variable.
//!
//! Never here: results and progress (the doors'). While something else draws on the terminal, log lines go through it
//! ([`Logs::through`]), so that they do not tear what is drawn.

use std::io::{self, Write};
use std::sync::{Arc, PoisonError, RwLock};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Libraries whose deeper output can hold secrets, and the most that is shown of them. A name stands for all that begin with it
/// (`russh_sftp`, `hyper_util`). russh prints unexpected packets as they are from info on.
const CAPPED: [(&str, LevelFilter); 4] = [
    ("russh", LevelFilter::WARN),
    ("sqlx", LevelFilter::INFO),
    ("hyper", LevelFilter::INFO),
    ("object_store", LevelFilter::INFO),
];

/// How somebody who draws on the terminal writes a log line.
type Voice = Box<dyn Fn(&[u8]) + Send + Sync>;

/// Where log lines go.
#[derive(Clone, Default)]
pub struct Logs {
    voice: Arc<RwLock<Option<Voice>>>,
}

/// Log lines go through a voice until this is dropped.
#[must_use]
pub struct Redirect(Logs);

/// Begins to log: warnings, with `-v` what happens, with more of them how.
pub fn start(verbosity: u8, colour: bool) -> Logs {
    let logs = Logs::default();
    let layer = tracing_subscriber::fmt::layer().compact().with_ansi(colour).with_writer(logs.clone());
    // A second start (tests in one process) keeps the first subscriber.
    let _ = tracing_subscriber::registry().with(filter(verbosity)).with(layer).try_init();
    logs
}

fn filter(verbosity: u8) -> Targets {
    let level = match verbosity {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let capped = CAPPED.map(|(target, most)| (target, level.min(most)));
    Targets::new().with_default(level).with_targets(capped)
}

impl Logs {
    /// Sends log lines through `voice` instead of writing them to stderr.
    pub fn through(&self, voice: impl Fn(&[u8]) + Send + Sync + 'static) -> Redirect {
        self.set(Some(Box::new(voice)));
        Redirect(self.clone())
    }

    fn set(&self, voice: Option<Voice>) {
        *self.voice.write().unwrap_or_else(PoisonError::into_inner) = voice;
    }
}

impl Drop for Redirect {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

/// Writes one log line.
pub struct Line<'a>(&'a Logs);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.0.voice.read().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some(voice) => voice(line),
            // Nobody can be told that stderr is closed.
            None => drop(io::stderr().lock().write_all(line)),
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Logs {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Line(self)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tracing::Level;

    use super::*;

    #[test]
    fn what_sees_secrets_is_capped_however_much_is_asked_for() {
        for (target, level, shown) in [
            ("landfall::engine", Level::TRACE, true),
            ("russh::client", Level::INFO, true),
            ("russh::cipher", Level::DEBUG, false),
            ("russh_sftp", Level::TRACE, false),
            ("sqlx::query", Level::DEBUG, false),
            ("hyper_util::client", Level::TRACE, false),
        ] {
            assert_eq!(filter(3).would_enable(target, &level), shown, "{target} {level}");
        }
        assert!(!filter(0).would_enable("russh", &Level::INFO));
        assert!(filter(1).would_enable("landfall", &Level::INFO) && !filter(1).would_enable("landfall", &Level::DEBUG));
    }

    #[test]
    fn lines_go_through_the_one_who_draws_as_long_as_it_does() {
        let logs = Logs::default();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ear = heard.clone();
        let redirect = logs.through(move |line| ear.lock().unwrap().extend_from_slice(line));
        logs.make_writer().write_all(b"one\n").unwrap();
        drop(redirect);
        assert!(logs.voice.read().unwrap().is_none());
        assert_eq!(*heard.lock().unwrap(), b"one\n");
    }
}
