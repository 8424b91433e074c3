//! How a command ends: the exit codes, and the one translation of errors into them.

use std::io;
use std::process::ExitCode;

use crate::config::ConfigError;
use crate::domain::id::JobId;
use crate::domain::job::{JobKind, Status};
use crate::service::request::Fault;
use crate::service::submit::Rejection;
use crate::service::view::JobView;
use crate::service::{PackageError, ServiceError, StoreError};

/// How a command ended (DESIGN 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExitStatus {
    /// Every host of the request ended SUCCESS; or the command did what it says.
    Success,
    /// Some host did not, an ignored one included; or a stored package is damaged.
    Unsuccessful,
    /// Wrong usage, an invalid job, an unknown one, or one that a live process holds.
    Usage,
    /// No host was accepted.
    NotAccepted,
    /// Our fault, or the record's.
    Internal,
    /// Stopped by a signal before every host ended.
    Interrupted,
}

impl ExitStatus {
    /// The number the shell sees.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Unsuccessful => 1,
            Self::Usage => 2,
            Self::NotAccepted => 3,
            Self::Internal => 4,
            Self::Interrupted => 130,
        }
    }

    /// How `run` and `resume` end with a job that stands so.
    pub(crate) fn of_job(job: &JobView) -> Self {
        let mut status = Self::Success;
        for host in &job.list {
            match host.status {
                Status::Pending | Status::Running => return Self::Interrupted,
                Status::Success => {}
                Status::Removed if matches!(job.line.job_type, JobKind::RemoveAgent | JobKind::ReplaceProxy) => {}
                Status::Failed
                | Status::PartFailed
                | Status::Terminated
                | Status::Removed
                | Status::Filtered
                | Status::Ignored => {
                    status = Self::Unsuccessful;
                }
            }
        }
        status
    }

    /// How a command ends that met this error.
    pub(crate) fn of_error(error: &CliError) -> Self {
        match error {
            CliError::Usage(_)
            | CliError::NoTerminal(_)
            | CliError::Read { .. }
            | CliError::Config(_)
            | CliError::Logins { .. } => Self::Usage,
            CliError::Service(error) => match error.as_ref() {
                ServiceError::NoJob(_)
                | ServiceError::NoHost { .. }
                | ServiceError::NoInstance { .. }
                | ServiceError::NotFailed { .. }
                | ServiceError::NoRun { .. }
                | ServiceError::NotManual { .. }
                | ServiceError::Ended { .. }
                | ServiceError::BadToken
                | ServiceError::OutOfTurn(_)
                | ServiceError::Busy(_)
                | ServiceError::Denied(_) => Self::Usage,
                ServiceError::Unreached { .. } => Self::Unsuccessful,
                ServiceError::Store(error) => match error {
                    StoreError::Held { .. } => Self::Usage,
                    StoreError::Unavailable { .. }
                    | StoreError::Conflict(_)
                    | StoreError::Corrupt { .. }
                    | StoreError::Key(_) => Self::Internal,
                },
                ServiceError::Packages(error) => match error {
                    PackageError::Invalid { .. } | PackageError::Taken { .. } => Self::Usage,
                    PackageError::Damaged { .. } | PackageError::Unavailable { .. } => Self::Internal,
                },
                ServiceError::Journal(_) | ServiceError::Engine(_) | ServiceError::Failed(_) => Self::Internal,
            },
            CliError::Rejected { rejection, .. } => match rejection.as_ref() {
                Rejection::Faults(_) => Self::Usage,
                Rejection::NoProxy(_) | Rejection::AllFiltered(_) => Self::NotAccepted,
                Rejection::Service(_) => Self::Internal,
            },
            CliError::Open(error) if error.is::<ConfigError>() => Self::Usage,
            CliError::Open(_) | CliError::Broke { .. } | CliError::System { .. } => Self::Internal,
            CliError::Interrupted => Self::Interrupted,
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}

/// Why a command could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// What was typed cannot be meant.
    #[error("{0}")]
    Usage(String),
    /// A person should be asked, and there is none.
    #[error("there is no terminal to ask for the password")]
    NoTerminal(#[source] io::Error),
    /// A file that was named cannot be read.
    #[error("cannot read {what}")]
    Read {
        /// The file.
        what: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The job was not taken; nothing of it was recorded.
    #[error("{rejection}")]
    Rejected {
        /// Why, with the places of the faults in the person's terms.
        rejection: Box<Rejection>,
        /// A line for every fault or host.
        notes: Vec<String>,
    },
    /// Logins were not taken; nothing was asked of the job.
    #[error("the logins are not valid: {} fault(s)", faults.len())]
    Logins {
        /// Everything wrong, with its place in the person's terms.
        faults: Vec<Fault>,
        /// A line for every fault.
        notes: Vec<String>,
    },
    /// The site file is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A use case failed.
    #[error(transparent)]
    Service(Box<ServiceError>),
    /// The parts could not be joined.
    #[error(transparent)]
    Open(anyhow::Error),
    /// The record failed while a job was running.
    #[error("job {job} could not be followed to its end")]
    Broke {
        /// The job.
        job: JobId,
        /// Why.
        #[source]
        source: anyhow::Error,
    },
    /// The system refused something.
    #[error("cannot {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A signal came while a person was asked.
    #[error("interrupted: nothing was begun")]
    Interrupted,
}

impl From<ServiceError> for CliError {
    fn from(error: ServiceError) -> Self {
        Self::Service(Box::new(error))
    }
}

impl From<anyhow::Error> for CliError {
    fn from(error: anyhow::Error) -> Self {
        error.downcast::<ConfigError>().map_or_else(Self::Open, Self::Config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::report::sample;

    #[test]
    fn a_job_ends_well_only_when_every_host_of_the_request_did() {
        for (statuses, status) in [
            (&[Status::Success, Status::Success][..], ExitStatus::Success),
            (&[Status::Success, Status::Failed], ExitStatus::Unsuccessful),
            (&[Status::Success, Status::Ignored], ExitStatus::Unsuccessful),
            (&[Status::Failed, Status::Running], ExitStatus::Interrupted),
            (&[Status::Success, Status::Pending], ExitStatus::Interrupted),
        ] {
            assert_eq!(ExitStatus::of_job(&sample::job(statuses)), status, "{statuses:?}");
        }
    }

    #[test]
    fn a_held_or_unknown_job_is_wrong_usage_and_a_broken_record_is_internal() {
        for (error, code) in [
            (ServiceError::NoJob(JobId(7)), 2),
            (StoreError::Held { job: JobId(7), pid: 4711 }.into(), 2),
            (StoreError::Corrupt { what: "x".into() }.into(), 4),
            (PackageError::Invalid { file: "x".into(), faults: Vec::new() }.into(), 2),
        ] {
            let error = CliError::from(error);
            assert_eq!(ExitStatus::of_error(&error).code(), code, "{error}");
        }
    }

    #[test]
    fn a_wrong_site_file_is_wrong_usage_wherever_it_is_found() {
        let error =
            anyhow::Error::from(ConfigError::Site { path: "site.toml".into(), faults: vec!["x".into()] }).context("cannot open");
        assert!(matches!(CliError::from(error), CliError::Config(_)));
    }
}
