//! What is to be expected of a gateway that failed, and how long it is left alone.
//!
//! Never here: which gateway is taken (`gateways`).

use std::time::Duration;

use super::blames_gateway;
use crate::transport::TransportError;

/// First and longest time that a gateway which failed is left alone; doubled with every failure.
pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(2);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// One that is full says when it is not by taking us: asking that seldom is no burden to it.
pub(super) const LONGEST_BUSY_PAUSE: Duration = Duration::from_secs(15);

/// One that refused our login: another try soon would only count against the account.
pub(super) const REFUSED_PAUSE: Duration = Duration::from_secs(600);

/// What is to be expected of a gateway that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It may be repaired any time.
    #[default]
    Broken,
    /// It is full, and will take us again.
    Busy,
    /// It does not let us in, until a person has done something about it.
    Final,
}

impl Trouble {
    pub(super) fn of(cause: &TransportError) -> Self {
        match root(cause) {
            cause if cause.is_busy() => Self::Busy,
            cause if cause.is_final() => Self::Final,
            _ => Self::Broken,
        }
    }

    /// How long it is left alone after so many failures.
    pub(super) fn pause(self, failures: u32) -> Duration {
        let doubled = FIRST_PAUSE * 2_u32.saturating_pow(failures.min(10) - 1);
        match self {
            Self::Broken => LONGEST_PAUSE.min(doubled),
            Self::Busy => LONGEST_BUSY_PAUSE.min(doubled),
            Self::Final => REFUSED_PAUSE,
        }
    }
}

/// What went wrong at the first gateway of a chain that failed.
fn root(error: &TransportError) -> &TransportError {
    std::iter::successors(Some(error), |error| blames_gateway(error)).last().unwrap_or(error)
}
