//! What may be typed. Values only: no behaviour, no defaults of places (`config`).
//!
//! To add a command: a variant here with its examples, a file in `cmd`, an arm in [`super::run`].

mod examples;
mod job_source;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::config::{self, DatabaseUrl};
use crate::domain::Timestamp;
use examples::{
    CHECK, COMPLETIONS, HOSTKEY, HOSTKEY_LIST, JOB, JOB_CANCEL, JOB_COMMANDS, JOB_LIST, JOB_LOG, JOB_RESUME, JOB_RETRY, JOB_SHOW,
    JOB_WATCH, KEY, KEY_PURGE, KEY_ROTATE, MAN, MANUAL, PACKAGE, PACKAGE_ADD, PACKAGE_LIST, PACKAGE_VERIFY, PLAN, RUN, SERVE,
    SITE, SITE_CHECK, SITE_HASH_SECRET, top_examples,
};
pub(crate) use job_source::JobSource;

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "landfall",
    version = env!("LANDFALL_VERSION"),
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

    #[arg(long, global = true, value_name = "URL", help = with_variable("Database of the job record: `sqlite:PATH`, or `postgres://USER@HOST/DATABASE`; a password for it is better in PGPASSFILE, ~/.pgpass or PGPASSWORD", config::DATABASE_URL))]
    pub(crate) database_url: Option<DatabaseUrl>,

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
    /// Carry out a job from a file or a host list and follow it to its end
    #[command(after_help = RUN)]
    Run(Run),
    /// Show what a job would do on each host, without connecting
    #[command(after_help = PLAN)]
    Plan(JobSource),
    /// Connect, log in once and look: what would a job meet? Changes nothing
    #[command(after_help = CHECK)]
    Check(JobSource),
    /// Record a job of `is_manual` hosts, and print the command that a person runs on each
    #[command(after_help = MANUAL)]
    Manual(Manual),
    /// Take jobs over HTTP and work on them, until a signal
    #[command(after_help = SERVE)]
    Serve {
        /// Where to listen, port 0 for any free one; beyond loopback the site file must declare apps and TLS [default: 127.0.0.1:8420; with --executor-only none]
        #[arg(long, value_name = "ADDRESS")]
        listen: Option<SocketAddr>,
        /// Work on jobs only; with --listen its health can be asked there
        #[arg(long, conflicts_with = "api_only")]
        executor_only: bool,
        /// Answer only: other processes over the same record work on the jobs, nothing is dialled from here
        #[arg(long)]
        api_only: bool,
        /// Work on hosts of these clouds only, others on the rest; over PostgreSQL
        #[arg(long, value_name = "ID,...", value_delimiter = ',', conflicts_with = "api_only")]
        clouds: Vec<i64>,
    },
    /// Look at recorded jobs, go on with them, end them
    #[command(subcommand, after_help = JOB)]
    Job(Job),
    /// Keep the packages that jobs install
    #[command(subcommand, after_help = PACKAGE)]
    Package(Package),
    /// Keep the host keys that were pinned on first sight
    #[command(subcommand, after_help = HOSTKEY)]
    Hostkey(Hostkey),
    /// Keep the key that credentials are sealed under, and what is sealed
    #[command(subcommand, after_help = KEY)]
    Key(Key),
    /// Look at the site file, hash the secrets of its apps
    #[command(subcommand, after_help = SITE)]
    Site(Site),
    /// Write a completion script for a shell
    #[command(after_help = COMPLETIONS)]
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Write the manual pages, one for every command
    #[command(after_help = MAN)]
    Man {
        /// Where to; it is made if it is not there
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) source: JobSource,
}

#[derive(Debug, Args)]
pub(crate) struct Manual {
    #[command(flatten)]
    pub(crate) source: JobSource,

    /// Where the hosts find `landfall serve` [default: `url` under [api] of the site file, else http://127.0.0.1:8420]
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Commands {
    /// Number of the job
    #[arg(value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) id: i64,

    /// Only these hosts
    #[arg(value_name = "HOST")]
    pub(crate) hosts: Vec<IpAddr>,

    /// Where the hosts find `landfall serve` [default: `url` under [api] of the site file, else http://127.0.0.1:8420]
    #[arg(long, value_name = "URL", conflicts_with = "revoke")]
    pub(crate) url: Option<String>,

    /// Take back the commands that nobody used yet
    #[arg(long)]
    pub(crate) revoke: bool,
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
        /// The whole log of its newest script, fetched from the host; the record keeps head and tail
        #[arg(long, requires = "host", conflicts_with = "follow")]
        from_target: bool,
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
    Retry(Retry),
    /// New commands for the hosts of a job that a person installs
    #[command(after_help = JOB_COMMANDS)]
    Commands(Commands),
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
        /// New logins for unfinished hosts whose own is kept no more: a table of hosts (CSV or .xlsx), or JSON
        #[arg(long, value_name = "FILE")]
        credentials: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Retry {
    /// Number of the job
    #[arg(value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) id: i64,

    /// All that failed; so is meant without any host and without `--credentials`, too
    #[arg(long, conflicts_with = "hosts")]
    pub(crate) failed: bool,

    /// Only these hosts
    #[arg(value_name = "HOST")]
    pub(crate) hosts: Vec<IpAddr>,

    /// Other logins: a table of hosts (CSV or .xlsx), or JSON with the hosts of a job file. Without HOST and `--failed`, those
    /// of its hosts that failed are tried again
    #[arg(long, value_name = "FILE")]
    pub(crate) credentials: Option<PathBuf>,

    /// Every step again from the first, done or not
    #[arg(long)]
    pub(crate) from_start: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Put another key in the place of the present one and seal everything anew
    #[command(after_help = KEY_ROTATE)]
    Rotate {
        /// Only make the next key: copy the key file to the other machines that have the record, then rotate
        #[arg(long)]
        prepare: bool,
    },
    /// Remove the credentials whose retention is over
    #[command(after_help = KEY_PURGE)]
    Purge {
        /// As if it were that time (RFC 3339); now without it
        #[arg(long, value_name = "TIME")]
        at: Option<Timestamp>,
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
    /// Hash the secret of an app for the site file; it is asked for, or read from stdin
    #[command(after_help = SITE_HASH_SECRET)]
    HashSecret,
}

/// A help line that names the environment variable of the flag. The value is read by `config` alone.
fn with_variable(text: &str, name: &str) -> String {
    format!("{text} [env: {name}]")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(words: &str) -> Result<CommandLine, clap::Error> {
        CommandLine::try_parse_from(words.split_whitespace())
    }

    fn visit(command: &mut clap::Command, seen: &mut usize) {
        let help = command.render_long_help().to_string();
        let examples: Vec<&str> = help.lines().filter_map(|line| line.strip_prefix("  landfall ")).collect();
        assert!(help.contains("Example") && !examples.is_empty(), "{}", command.get_name());
        for example in examples {
            // As far as the shell would hand it on.
            let end = [" | ", " > ", " && "].into_iter().filter_map(|end| example.find(end)).min().unwrap_or(example.len());
            parse(&format!("landfall {}", &example[..end])).unwrap_or_else(|refusal| panic!("{example}: {refusal}"));
        }
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
        assert_eq!(seen, 30);
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
        for words in [
            "landfall job show 0",
            "landfall job show x",
            "landfall job log 1 host-a",
            "landfall run",
            "landfall serve --listen 8420",
        ] {
            assert!(parse(words).is_err(), "{words}");
        }
    }
}
