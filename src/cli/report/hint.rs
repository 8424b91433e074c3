//! Advice beside an error, never inside it.

use crate::cli::exit::CliError;
use crate::config::{self, ConfigError};
use crate::service::request::Fault;
use crate::service::submit::Rejection;
use crate::service::{PackageError, ServiceError, StoreError};

/// What to do about an error, where there is something to do.
pub(crate) fn hint(error: &CliError) -> Option<String> {
    match error {
        CliError::Usage(_)
        | CliError::Read { .. }
        | CliError::System { .. }
        | CliError::Interrupted
        | CliError::Logins { .. } => None,
        CliError::NoTerminal(_) => {
            Some("give the password in the job file, as {\"env\": \"NAME\"} or {\"file\": \"PATH\"}".into())
        }
        CliError::Rejected { rejection, .. } => match rejection.as_ref() {
            Rejection::Faults(faults) => job(faults),
            Rejection::Service(error) => service(error),
            Rejection::NoProxy(_) | Rejection::AllFiltered(_) => None,
        },
        CliError::Config(error) => config(error),
        CliError::Service(error) => service(error),
        CliError::Open(error) => match error.downcast_ref::<StoreError>() {
            Some(error) => store(error),
            None => None,
        },
        CliError::Broke { job, .. } => Some(format!("nothing recorded is lost: go on with `landfall job resume {job}`")),
    }
}

fn job(faults: &[Fault]) -> Option<String> {
    let lacks_column =
        |name: &str| faults.iter().any(|fault| fault.path.ends_with(name) && fault.message.ends_with("there is no such column"));
    if faults.iter().any(|fault| fault.path == "package") {
        Some("`landfall package list` shows the packages, `landfall package add FILE.tgz` adds one".into())
    } else if lacks_column("column bk_biz_id") {
        Some("`--biz ID` names the business of all hosts that name none".into())
    } else if lacks_column("column ap_id") {
        Some("`--ap ID` names the access point of all hosts that name none".into())
    } else if lacks_column("column password") {
        Some("add a column password_file, password_env or password, or give `--ask-password`".into())
    } else {
        None
    }
}

fn config(error: &ConfigError) -> Option<String> {
    match error {
        ConfigError::Read { .. } => Some(format!("name another file with `--site` or {}", config::SITE)),
        ConfigError::Database { .. } => Some(format!("leave out `--database-url` and {}", config::DATABASE_URL)),
        ConfigError::Syntax { .. } | ConfigError::Site { .. } => {
            Some("`landfall site check` shows every fault and what applies".into())
        }
    }
}

fn service(error: &ServiceError) -> Option<String> {
    match error {
        ServiceError::NoHost { job, .. } | ServiceError::NoInstance { job, .. } | ServiceError::NotFailed { job, .. } => {
            Some(format!("`landfall job show {job}` shows its hosts"))
        }
        ServiceError::NotManual { .. } => Some("`landfall run` and `landfall job resume` work on it".into()),
        ServiceError::Ended { job, .. } => Some(format!("`landfall job retry {job}` opens a host that failed again")),
        ServiceError::Failed(failure) => Some(failure.remedy.to_string()),
        ServiceError::Denied(_) | ServiceError::BadToken | ServiceError::OutOfTurn(_) => None,
        ServiceError::NoRun { job, .. } => Some(format!("`landfall job log {job}` shows what the record has")),
        ServiceError::Unreached { failure, .. } => Some(failure.remedy.to_string()),
        ServiceError::Busy(_) => Some("wait for the other job, or cancel it".into()),
        ServiceError::NoJob(_) => Some("`landfall job list` shows the jobs of this data directory".into()),
        ServiceError::Store(error) => store(error),
        ServiceError::Packages(error) => match error {
            PackageError::Invalid { .. } => None,
            PackageError::Taken { .. } => Some("give the new content a new version".into()),
            PackageError::Damaged { .. } => Some("add the package again with `landfall package add`".into()),
            PackageError::Unavailable { .. } => Some("check disk space and permissions of the data directory".into()),
        },
        ServiceError::Engine(_) => Some("check disk space and permissions of the data directory".into()),
        ServiceError::Journal(_) => Some("this is a fault of Landfall: please report it with the job's record".into()),
    }
}

fn store(error: &StoreError) -> Option<String> {
    match error {
        StoreError::Held { job, .. } => {
            Some(format!("follow it with `landfall job watch {job}`, or cancel it with `landfall job cancel {job}`"))
        }
        StoreError::Unavailable { .. } => {
            Some("check disk space and permissions of the data directory, or the database server".into())
        }
        StoreError::Conflict(_) => Some("wait for the other job, or resume it when it was interrupted".into()),
        StoreError::Corrupt { .. } => None,
        StoreError::Key(_) => Some(format!("name the right key file with {}", config::KEY_FILE)),
    }
}
