//! What starts and stops an agent on Windows, and says what it is: batch files, in the code page of the host.
//!
//! ```text
//! start.cmd stop.cmd reload.cmd health.cmd    run by cmd.exe, in `current`
//! image                                       the service's command line, where the program is a service itself
//! landfall.toml                               what is installed
//! ```
//! Never here: who calls them (`scripts/windows`).

use serde_json::json;

use super::{RenderedFile, Values, as_it_is, environment, fill, record};
use crate::assets;
use crate::domain::codepage;
use crate::domain::failure::{Code, Failure};
use crate::domain::installed::Installed;
use crate::domain::package::Manifest;
use crate::domain::shell::cmd;

/// The files of one host.
pub(super) fn files(
    manifest: &Manifest,
    installed: &Installed,
    values: &Values,
    page: u32,
) -> Result<Vec<RenderedFile>, Failure> {
    let file = |name: &str, text: &str| -> Result<RenderedFile, Failure> {
        let text = text.replace("\r\n", "\n").replace('\n', "\r\n");
        let bytes = codepage::encoded(&text, page).ok_or_else(|| {
            let message = format!("{name} has characters that code page {page} of the host has not");
            Failure::new(Code::NotInCodepage, message)
        })?;
        Ok(RenderedFile { name: name.into(), mode: "0644".into(), bytes })
    };
    let env = variables(manifest, values)?;
    let batch = |name: &str, command: &str| {
        let filled = fill(&environment(as_it_is), name, assets::BATCH, &json!({ "env": env, "command": command }))?;
        file(name, &filled)
    };
    let mut files = vec![batch("start.cmd", &installed.start)?, file("landfall.toml", &record(installed)?)?];
    let others = [("stop.cmd", &installed.stop), ("reload.cmd", &installed.reload), ("health.cmd", &installed.health.command)];
    for (name, command) in others {
        if let Some(command) = command {
            files.push(batch(name, command)?);
        }
    }
    if installed.service {
        files.push(file("image", &format!("{}\n", image(manifest, installed, values)?))?);
    }
    Ok(files)
}

/// The environment as cmd.exe sets it.
fn variables(manifest: &Manifest, values: &Values) -> Result<Vec<serde_json::Value>, Failure> {
    let text = environment(as_it_is);
    let mut env = Vec::new();
    for (key, value) in &manifest.process.env {
        let value = fill(&text, key, value, &values.values)?;
        if value.contains(['"', '\r', '\n']) {
            return Err(Failure::new(Code::Template, format!("process.env {key}: on Windows it must be one line without `\"`")));
        }
        env.push(json!({ "key": key, "value": value.replace('%', "%%") }));
    }
    Ok(env)
}

/// A command for a batch file. A program that is named by a path stands in plain quotes, within which cmd.exe takes it as it
/// is; what follows is words.
pub(super) fn command(name: &str, template: &str, values: &Values) -> Result<String, Failure> {
    let (head, rest) = split(template);
    let program = program(name, head, values)?;
    let rest = fill(&environment(cmd::quote), name, rest, &values.values)?;
    if program.contains('\\') {
        return Ok(format!("\"{}\"{rest}", program.replace('%', "%%")));
    }
    Ok(fill(&environment(cmd::quote), name, head, &values.values)? + &rest)
}

/// The start command as the service control manager takes it: no shell reads it, and its program is named by its whole path.
fn image(manifest: &Manifest, installed: &Installed, values: &Values) -> Result<String, Failure> {
    let name = "process.start";
    let (head, rest) = split(&manifest.process.start);
    let program = program(name, head, values)?;
    let rest = fill(&environment(cmd::argument), name, rest, &values.values)?;
    let program = if program.as_bytes().get(1) == Some(&b':') {
        program
    } else {
        [installed.paths.setup_path.as_str(), &installed.name, "current", &program].join("\\")
    };
    // Always in quotes: of an unquoted path with a blank in it the system may start the first half.
    Ok(format!("\"{program}\"{rest}").trim_end().to_owned())
}

/// The program of a command, filled in, as Windows writes a path.
fn program(name: &str, head: &str, values: &Values) -> Result<String, Failure> {
    let filled = fill(&environment(as_it_is), name, head, &values.values)?;
    let program = filled.trim_matches('"');
    if program.contains('"') {
        return Err(Failure::new(Code::Template, format!("{name}: `{program}` cannot be the path of a program")));
    }
    Ok(program.replace('/', "\\"))
}

/// The first word of a template, and the rest with the blank before it: a blank in quotes or in `{{ }}` parts nothing.
fn split(template: &str) -> (&str, &str) {
    let template = template.trim();
    let (mut quoted, mut depth) = (false, 0_u32);
    for (at, c) in template.char_indices() {
        match c {
            '"' if depth == 0 => quoted = !quoted,
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ if c.is_whitespace() && !quoted && depth == 0 => return template.split_at(at),
            _ => {}
        }
    }
    (template, "")
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn a_program_ends_at_the_first_blank_that_is_not_part_of_its_name() {
        for (template, head, rest) in [
            ("bin/agent.exe --port {{ vars.port }}", "bin/agent.exe", " --port {{ vars.port }}"),
            (r#""C:\my tools\x.exe" a"#, r#""C:\my tools\x.exe""#, " a"),
            (r"{{ paths.release }}\bin\x.exe  -v", r"{{ paths.release }}\bin\x.exe", "  -v"),
            (" net stop x", "net", " stop x"),
            ("alone", "alone", ""),
        ] {
            assert_eq!(split(template), (head, rest));
        }
    }
}
