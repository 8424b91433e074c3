//! Whether a failure is tried again, and when: a doubling back-off with jitter, 30 s at most (the advice is the failure's:
//! `domain::failure`); and whose try it was.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

use crate::domain::failure::{Failure, FailureClass, RetryAdvice};
use crate::domain::plan::Effect;

/// Longest pause between two tries.
const LONGEST: Duration = Duration::from_secs(30);

/// Pause before try number `tried + 1`, or `None` when the failure stands after `tried` tries.
#[must_use]
pub fn pause(failure: &Failure, effect: Effect, tried: u32) -> Option<Duration> {
    match failure.retry(effect) {
        RetryAdvice::Never => None,
        RetryAdvice::After { tries, first } => ExponentialBuilder::new()
            .with_min_delay(first)
            .with_max_delay(LONGEST)
            .with_max_times(tries.saturating_sub(1) as usize)
            .with_jitter()
            .build()
            .nth(tried.saturating_sub(1) as usize),
    }
}

/// Whose tries are counted apart: a host that is restarted loses the connection first, and its run deserves the new attempt
/// all the same; one that was asked to wait has not tried yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Whose {
    /// The host failed.
    Host,
    /// The way to it failed.
    Link,
    /// It asked us to wait.
    Wait,
}

impl Whose {
    /// Whose this failure is.
    pub(super) fn of(failure: &Failure) -> Self {
        match () {
            () if failure.asks_to_wait() => Self::Wait,
            () if is_link(failure) => Self::Link,
            () => Self::Host,
        }
    }
}

/// Is it the way to the host that failed, not the host?
pub(super) fn is_link(failure: &Failure) -> bool {
    match failure.class {
        FailureClass::Unreachable => true,
        FailureClass::Lost => !matches!(failure.code.as_ref(), "rebooted" | "run_lost" | "terminated"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::failure::Code;

    #[test]
    fn pauses_grow_and_end() {
        let failure = Failure::new(Code::ConnectionRefused, "x");
        let pauses: Vec<_> = (1..10).map_while(|tried| pause(&failure, Effect::ReadOnly, tried)).collect();
        assert_eq!(pauses.len(), 3);
        assert!(pauses.windows(2).all(|pair| pair[0] < pair[1]), "{pauses:?}");
    }

    #[test]
    fn a_refused_password_is_tried_once() {
        assert_eq!(pause(&Failure::new(Code::PasswordRefused, "x"), Effect::ReadOnly, 1), None);
    }
}
