//! Where a job comes from, as it is typed: the same for every command that takes one.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{ArgGroup, Args};

use crate::domain::job::JobKind;

/// A job file, or a host list with what a job needs besides.
#[derive(Clone, Debug, Default, Args)]
#[command(group(ArgGroup::new("source").required(true).args(["file", "hosts"])))]
pub(crate) struct JobSource {
    /// The job: a request of the published API, `-` for stdin
    #[arg(value_name = "JOB.json")]
    pub(crate) file: Option<PathBuf>,

    /// Instead of a job file: a table of hosts (CSV or .xlsx) whose header names the fields
    #[arg(long, value_name = "FILE", requires = "kind", help_heading = HOST_LIST)]
    pub(crate) hosts: Option<PathBuf>,

    /// What to do with the hosts of the list: `INSTALL_AGENT`, `RESTART_AGENT` …
    #[arg(long, value_name = "KIND", requires = "hosts", conflicts_with = "file", hide_possible_values = true, ignore_case = true, help_heading = HOST_LIST,
        value_parser = PossibleValuesParser::new(JobKind::ALL.map(JobKind::wire_name)).try_map(kind))]
    pub(crate) kind: Option<JobKind>,

    /// Business of the hosts that name none
    #[arg(long, value_name = "ID", requires = "hosts", conflicts_with = "file", help_heading = HOST_LIST)]
    pub(crate) biz: Option<i64>,

    /// Access point of the hosts that name none
    #[arg(long, value_name = "ID", requires = "hosts", conflicts_with = "file", allow_negative_numbers = true, help_heading = HOST_LIST)]
    pub(crate) ap: Option<i64>,

    /// Package that the hosts get, where the site's default or the only one is not meant
    #[arg(long, value_name = "NAME[@VERSION]", requires = "hosts", conflicts_with = "file", help_heading = HOST_LIST)]
    pub(crate) package: Option<String>,

    /// Sheet of the workbook; the first one that is shown without it
    #[arg(long, value_name = "NAME", requires = "hosts", conflicts_with = "file", help_heading = HOST_LIST)]
    pub(crate) sheet: Option<String>,

    /// Ask once, without echo, for the password of all hosts that need one and give none
    #[arg(long)]
    pub(crate) ask_password: bool,
}

const HOST_LIST: &str = "Host list";

fn kind(name: String) -> Result<JobKind, String> {
    JobKind::from_wire(&name.to_ascii_uppercase()).ok_or(name)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        source: JobSource,
    }

    fn parse(words: &str) -> Result<JobSource, String> {
        Line::try_parse_from(format!("landfall {words}").split_whitespace()).map(|line| line.source).map_err(|e| e.to_string())
    }

    #[test]
    fn a_job_comes_from_a_file_or_from_a_list_and_never_from_both_or_neither() {
        assert_eq!(parse("job.json").unwrap().file, Some("job.json".into()));
        assert_eq!(parse("-").unwrap().file, Some("-".into()));
        let list = parse("--hosts h.csv --kind install_agent --biz 2 --ap -1 --ask-password").unwrap();
        assert_eq!((list.hosts, list.kind), (Some("h.csv".into()), Some(JobKind::InstallAgent)));
        assert_eq!((list.biz, list.ap, list.ask_password), (Some(2), Some(-1), true));
        for (words, told) in [
            ("", "--hosts"),
            ("job.json --hosts h.csv --kind INSTALL_AGENT", "cannot be used with"),
            ("--hosts h.csv", "--kind <KIND>"),
            ("--hosts h.csv --kind DANCE", "INSTALL_AGENT"),
            ("job.json --biz 2", "cannot be used with"),
            ("job.json --ap 2", "cannot be used with"),
            ("job.json --kind INSTALL_AGENT", "cannot be used with"),
            ("--biz 2", "--hosts"),
        ] {
            let refusal = parse(words).unwrap_err();
            assert!(refusal.contains(told), "{words}: {refusal}");
        }
    }
}
