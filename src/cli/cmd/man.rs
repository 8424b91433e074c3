//! `landfall man`: a manual page for every command, made from the same definition as `--help`.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::cli::Context;
use crate::cli::args::{CommandLine, Output};
use crate::cli::exit::{CliError, ExitStatus};

pub(crate) fn write(directory: &Path, context: &mut Context) -> Result<ExitStatus, CliError> {
    let written =
        pages(directory).map_err(|source| CliError::Usage(format!("cannot write to {}: {source}", directory.display())))?;
    match context.output {
        Output::Text => written.iter().for_each(|file| context.out.line(file.display())),
        Output::Json => context.out.json(&serde_json::json!({ "files": written })),
    }
    Ok(ExitStatus::Success)
}

fn pages(directory: &Path) -> io::Result<Vec<PathBuf>> {
    std::fs::create_dir_all(directory)?;
    let mut command = CommandLine::command();
    command.build();
    let mut written = Vec::new();
    let mut open = vec![(command, None)];
    while let Some((command, above)) = open.pop() {
        let name = page_name(&command);
        let file = directory.join(format!("{name}.1"));
        std::fs::write(&file, page(&command, above)?)?;
        written.push(file);
        open.extend(command.get_subcommands().map(|below| (below.clone(), Some(name.clone()))));
    }
    written.sort();
    Ok(written)
}

/// `landfall-job-show`.
fn page_name(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

fn page(command: &Command, above: Option<String>) -> io::Result<Vec<u8>> {
    let source = concat!("landfall ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).source(source).manual("Landfall");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    let below: Vec<String> = command.get_subcommands().map(page_name).collect();
    if !below.is_empty() {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(text) = command.get_after_help() {
        sections(&text.to_string()).to_writer(&mut page)?;
    }
    let others: Vec<String> = above.into_iter().chain(below).map(|name| format!("{name}(1)")).collect();
    if !others.is_empty() {
        let mut see = Roff::default();
        see.control("SH", ["SEE ALSO"]).text([roman(others.join(", "))]);
        see.to_writer(&mut page)?;
    }
    page.flush()?;
    Ok(page)
}

/// What stands below the options in `--help`: `Examples:` with indented lines is a section whose lines stay as they are,
/// anything else a paragraph.
fn sections(text: &str) -> Roff {
    let mut roff = Roff::default();
    for block in text.split("\n\n") {
        let (first, rest) = block.split_once('\n').unwrap_or((block, ""));
        match first.strip_suffix(':') {
            Some(heading) if rest.lines().all(|line| line.starts_with("  ")) => {
                roff.control("SH", [heading.to_uppercase().as_str()]).control("nf", []);
                for line in rest.lines() {
                    roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
                }
                roff.control("fi", []);
            }
            _ => {
                roff.control("PP", []);
                for line in block.lines() {
                    roff.text([roman(line)]);
                }
            }
        }
    }
    roff
}
