//! What may be typed. Values only: no behaviour, no defaults of places (`config`).
//!
//! To add a command: a variant here with its examples, a file in `cmd`, an arm in [`super::run`].

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::config;

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "landfall",
    version,
    about = "Puts monitoring agents on thousands of machines over SSH, with a durable record of every host",
    after_help = top_examples(),
    disable_help_subcommand = true
)]
pub(crate) struct CommandLine {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command, before or after its name.
#[derive(Debug, Args)]
#[command(next_help_heading = "Common options")]
pub(crate) struct Common {
    #[arg(long, global = true, value_name = "DIR", help = with_variable("Directory of the job record, the packages and the key", config::DATA_DIR))]
    pub(crate) data_dir: Option<PathBuf>,

    #[arg(long, global = true, value_name = "FILE", help = with_variable("Site file: businesses, access points, limits", config::SITE))]
    pub(crate) site: Option<PathBuf>,

    #[arg(long, global = true, value_name = "URL", help = with_variable("Database of the job record, `sqlite:PATH`", config::DATABASE_URL))]
    pub(crate) database_url: Option<String>,

    /// Form of what is written to stdout
    #[arg(long, global = true, value_name = "FORM", value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,

    /// Log what happens to stderr; twice or three times for more
    #[arg(short, long = "verbose", global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// For people or for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Carry out a job from a file and follow it to its end
    #[command(after_help = RUN)]
    Run(Run),
    /// Look at recorded jobs, go on with them, end them
    #[command(subcommand, after_help = JOB)]
    Job(Job),
    /// Keep the packages that jobs install
    #[command(subcommand, after_help = PACKAGE)]
    Package(Package),
    /// Keep the host keys that were pinned on first sight
    #[command(subcommand, after_help = HOSTKEY)]
    Hostkey(Hostkey),
    /// Look at the site file
    #[command(subcommand, after_help = SITE)]
    Site(Site),
    /// Write a completion script for a shell
    #[command(after_help = COMPLETIONS)]
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The job: a request of the published API, `-` for stdin
    #[arg(value_name = "JOB.json")]
    pub(crate) file: PathBuf,
    /// Ask once, without echo, for the password of all hosts that need one and give none
    #[arg(long)]
    pub(crate) ask_password: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Job {
    /// The newest jobs
    #[command(after_help = JOB_LIST)]
    List {
        /// How many
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// A job with its hosts and steps
    #[command(after_help = JOB_SHOW)]
    Show {
        /// Number of the job
        #[arg(value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
        id: i64,
        /// Only this host, with all its steps
        #[arg(long, value_name = "IP")]
        host: Option<IpAddr>,
    },
    /// What the steps did and what the hosts printed
    #[command(after_help = JOB_LOG)]
    Log {
        /// Number of the job
        #[arg(value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
        id: i64,
        /// Only this host
        #[arg(value_name = "HOST")]
        host: Option<IpAddr>,
        /// Go on as the host goes on, until it ends
        #[arg(short, long, requires = "host")]
        follow: bool,
    },
    /// Follow a job that another process works on; leaving changes nothing
    #[command(after_help = JOB_WATCH)]
    Watch {
        /// Number of the job
        #[arg(value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
        id: i64,
    },
    /// Try hosts again that failed or were cancelled
    #[command(after_help = JOB_RETRY)]
    Retry {
        /// Number of the job
        #[arg(value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
        id: i64,
        /// All that failed; so is meant without any host, too
        #[arg(long, conflicts_with = "hosts")]
        failed: bool,
        /// Only these hosts
        #[arg(value_name = "HOST")]
        hosts: Vec<IpAddr>,
    },
    /// End a job for good, and what runs on its hosts
    #[command(after_help = JOB_CANCEL)]
    Cancel {
        /// Number of the job
        #[arg(value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
        id: i64,
    },
    /// Go on with an interrupted job; of a finished one print the result
    #[command(after_help = JOB_RESUME)]
    Resume {
        /// Number of the job
        #[arg(value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
        id: i64,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Package {
    /// Check an archive and store it
    #[command(after_help = PACKAGE_ADD)]
    Add {
        /// The archive, with a package.toml at its root
        #[arg(value_name = "FILE.tgz")]
        file: PathBuf,
    },
    /// The stored packages
    #[command(after_help = PACKAGE_LIST)]
    List,
    /// Read every stored package again and check its digest
    #[command(after_help = PACKAGE_VERIFY)]
    Verify,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Hostkey {
    /// The pinned keys
    #[command(after_help = HOSTKEY_LIST)]
    List,
    /// Forget the pinned key of a host that was reinstalled
    #[command(after_help = HOSTKEY)]
    Forget {
        /// Address that is dialled
        #[arg(value_name = "ADDRESS")]
        ip: IpAddr,
        /// Its cloud
        #[arg(long, value_name = "ID", default_value_t = 0)]
        cloud: i64,
        /// Only the key of this port; of all without it
        #[arg(long, value_name = "PORT")]
        port: Option<u16>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Site {
    /// Check the site file and show what applies
    #[command(after_help = SITE_CHECK)]
    Check,
}

/// A help line that names the environment variable of the flag. The value is read by `config` alone.
fn with_variable(text: &str, name: &str) -> String {
    format!("{text} [env: {name}]")
}

fn top_examples() -> String {
    format!(
        "\
Examples:
  landfall package add node-exporter-1.5.0-linux-x86_64.tgz
  landfall run job.json
  landfall run job.json --output json | jq .kind
  landfall job resume 12

Exit codes:
  0    every host of the request ended SUCCESS
  1    some host did not, an ignored one included
  2    wrong usage or an invalid job; an unknown job, or one that another process works on
  3    no host was accepted
  4    internal, or the job record failed
  130  interrupted: go on with `landfall job resume ID`

Environment:
  {}, {}, {}: see the options of the same names
  {}: file with the key of sealed credentials [default: DIR/key]",
        config::DATA_DIR,
        config::SITE,
        config::DATABASE_URL,
        config::KEY_FILE
    )
}

const RUN: &str = "\
Examples:
  landfall run job.json
  landfall run job.json --ask-password
  landfall run job.json --output json > events.jsonl
  generate-job | landfall run -

Example of a job:
  {\"job_type\": \"INSTALL_AGENT\", \"hosts\": [
    {\"bk_biz_id\": 2, \"bk_cloud_id\": 0, \"ap_id\": 1, \"inner_ip\": \"10.0.0.5\", \"os_type\": \"LINUX\",
     \"account\": \"root\", \"port\": 22, \"auth_type\": \"PASSWORD\", \"password\": {\"env\": \"ROOT_PASSWORD\"}}]}

`password`, `key` and the other secrets may be text, {\"env\": \"NAME\"} or {\"file\": \"PATH\"} (relative to the job file).
Ctrl-C once: no new host begins and running steps finish; twice: let go at once. Either way the job can be resumed.";

const JOB: &str = "\
Examples:
  landfall job list
  landfall job show 12
  landfall job log 12 10.0.0.5 --follow
  landfall job resume 12
  landfall job retry 12
  landfall job cancel 12";

const JOB_LIST: &str = "\
Examples:
  landfall job list
  landfall job list --limit 200 --output json";

const JOB_SHOW: &str = "\
Examples:
  landfall job show 12
  landfall job show 12 --host 10.0.0.5
  landfall job show 12 --output json | jq '.list[] | select(.status == \"FAILED\") | .ip'";

const JOB_LOG: &str = "\
Examples:
  landfall job log 12
  landfall job log 12 10.0.0.5
  landfall job log 12 10.0.0.5 --output json
  landfall job log 12 10.0.0.5 --follow";

const JOB_WATCH: &str = "\
Examples:
  landfall job watch 12
  landfall job watch 12 --output json | jq .kind

Exit codes are those of `run`.";

const JOB_RETRY: &str = "\
Examples:
  landfall job retry 12
  landfall job retry 12 10.0.0.5 10.0.0.6

Each host begins at its first step that is not known to be done. A process that works on the job takes the hosts up;
without one this process does. Exit codes are those of `run`.";

const JOB_CANCEL: &str = "\
Examples:
  landfall job cancel 12

Hosts that ended keep their result. What runs on the others is ended there, and they become TERMINATED;
`landfall job retry 12` goes on with them. Exit code 0 once the job has ended.";

const JOB_RESUME: &str = "\
Examples:
  landfall job resume 12
  landfall job resume 12 --output json";

const PACKAGE: &str = "\
Examples:
  landfall package add node-exporter-1.5.0-linux-x86_64.tgz
  landfall package list
  landfall package verify";

const PACKAGE_ADD: &str = "\
Examples:
  landfall package add node-exporter-1.5.0-linux-x86_64.tgz";

const PACKAGE_LIST: &str = "\
Examples:
  landfall package list
  landfall package list --output json";

const PACKAGE_VERIFY: &str = "\
Examples:
  landfall package verify

Exit code 1 when a package is damaged.";

const HOSTKEY_LIST: &str = "\
Examples:
  landfall hostkey list
  landfall hostkey list --output json | jq -r '.[] | .ip + \" \" + .fingerprint'";

const HOSTKEY: &str = "\
Examples:
  landfall hostkey list
  landfall hostkey forget 10.0.0.11
  landfall hostkey forget 10.0.0.11 --port 2222

The next job pins the key that the host shows then. Make sure that it is the host's own.";

const SITE: &str = "\
Examples:
  landfall site check
  landfall --site ./site.toml site check";

const SITE_CHECK: &str = "\
Examples:
  landfall site check
  landfall site check --site ./site.toml

Exit code 2 when the file is wrong; every fault is named with its place.";

const COMPLETIONS: &str = "\
Examples:
  landfall completions bash > /etc/bash_completion.d/landfall
  landfall completions zsh > ~/.zfunc/_landfall";

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(words: &str) -> Result<CommandLine, clap::Error> {
        CommandLine::try_parse_from(words.split_whitespace())
    }

    fn visit(command: &mut clap::Command, seen: &mut usize) {
        let help = command.render_long_help().to_string();
        assert!(help.contains("Example"), "{}", command.get_name());
        *seen += 1;
        for child in command.get_subcommands_mut() {
            visit(child, seen);
        }
    }

    #[test]
    fn the_definition_is_sound_and_every_help_shows_examples() {
        CommandLine::command().debug_assert();
        let mut seen = 0;
        let mut command = CommandLine::command();
        command.build();
        visit(&mut command, &mut seen);
        assert_eq!(seen, 20);
    }

    #[test]
    fn the_environment_is_named_in_the_help() {
        let help = CommandLine::command().render_long_help().to_string();
        for name in [config::DATA_DIR, config::SITE, config::DATABASE_URL, config::KEY_FILE] {
            assert!(help.contains(name), "{name}");
        }
    }

    #[test]
    fn common_flags_work_before_and_after_the_command() {
        for words in
            ["landfall --data-dir /d --output json -vv job show 3", "landfall job --output json show 3 --data-dir /d -vv"]
        {
            let line = parse(words).unwrap();
            assert_eq!(line.common.data_dir, Some("/d".into()), "{words}");
            assert_eq!((line.common.output, line.common.verbose), (Output::Json, 2), "{words}");
            assert!(matches!(line.command, Command::Job(Job::Show { id: 3, host: None })), "{words}");
        }
    }

    #[test]
    fn what_is_no_job_number_or_address_is_refused() {
        for words in ["landfall job show 0", "landfall job show x", "landfall job log 1 host-a", "landfall run", "landfall serve"]
        {
            assert!(parse(words).is_err(), "{words}");
        }
    }
}
