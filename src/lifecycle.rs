//! What this process shares with its operating system: signals and the limit of open files.
//!
//! ```text
//! first signal ─► Stop::soft (no new host, steps finish) ─► second ─► Stop::hard (let go) ─► third ─► leave
//! ```
//! Never here: what a stop means for a host (`engine::cancel`), what the person is told (the doors).

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::service::Stop;

/// Raises the limit of open files to what the system allows: 200 sessions, their relays and a database pass the
/// customary 1024 quickly. Where that is refused the old limit stays.
pub fn raise_file_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(soft, hard)| if soft < hard { setrlimit(Resource::RLIMIT_NOFILE, hard, hard) } else { Ok(()) });
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// What the last signal asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The first: finish the running steps.
    Soft,
    /// The second: let go of everything now.
    Hard,
    /// One more: do not even wait for that.
    Leave,
}

/// SIGINT and SIGTERM, from the moment this is made on.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    stop: Stop,
    seen: u32,
}

impl Signals {
    /// Takes the signals over; they act on `stop` from now on.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn listen(stop: Stop) -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())?, stop, seen: 0 })
    }

    /// Waits for the next signal and passes it on to the stop. Drop-safe.
    pub async fn next(&mut self) -> Asked {
        let name = tokio::select! {
            _ = self.interrupt.recv() => "Ctrl-C",
            _ = self.terminate.recv() => "SIGTERM",
        };
        self.seen += 1;
        match self.seen {
            1 => {
                self.stop.soft(name);
                Asked::Soft
            }
            2 => {
                self.stop.hard(name);
                Asked::Hard
            }
            _ => Asked::Leave,
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{Signal as Number, raise};

    use super::*;

    #[tokio::test]
    async fn the_first_signal_stops_softly_the_second_hard_the_third_leaves() {
        let stop = Stop::new();
        let mut signals = Signals::listen(stop.clone()).unwrap();
        for asked in [Asked::Soft, Asked::Hard, Asked::Leave] {
            raise(Number::SIGTERM).unwrap();
            assert_eq!(signals.next().await, asked);
        }
        stop.over().await;
        assert_eq!(stop.reason(), "SIGTERM");
    }

    #[test]
    fn the_file_limit_reaches_the_hard_one() {
        raise_file_limit();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(soft, hard);
    }
}
