//! `landfall completions`: a completion script for a shell.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Context;
use crate::cli::args::CommandLine;
use crate::cli::exit::ExitStatus;

pub(crate) fn write(shell: Shell, context: &mut Context) -> ExitStatus {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut CommandLine::command(), "landfall", &mut script);
    context.out.data(&String::from_utf8_lossy(&script));
    ExitStatus::Success
}
