//! Filling templates: commands, configuration files, service files. A missing value is an error, before anything is touched.
//!
//! Names in templates (DESIGN 10): `host.*`, `paths.*`, `ap.*`, `upstream.*`, `cloud.*`, `package.*`, `vars.*`. In commands every
//! value is written shell-quoted, in files as it is. Secrets are not among the values at all.

mod batch;
mod unix;

use std::collections::BTreeMap;
use std::net::IpAddr;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, ValueKind};
use minijinja::{AutoEscape, Environment, ErrorKind, Output, State, UndefinedBehavior, Value};
use serde_json::json;

use crate::domain::failure::{Code, Failure};
use crate::domain::host::{HostSpec, System};
use crate::domain::installed::Installed;
use crate::domain::package::{Health, Manifest, PackageEntry};
use crate::domain::shell;
use crate::domain::site::HostPaths;
use crate::domain::site::servers::{self, every_purpose};
use crate::domain::spec::{JobSpec, TaskSpec};
use crate::domain::vars::Vars;

/// Templates of a package by path.
pub type Templates = BTreeMap<String, Vec<u8>>;

/// A file for the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderedFile {
    /// Relative to the task's stage directory.
    pub name: String,
    /// Octal mode.
    pub mode: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What templates are filled with.
#[derive(Clone, Debug)]
pub struct Values {
    values: serde_json::Value,
    vars: Vars,
    upstream: Vec<IpAddr>,
}

/// The variables of one host: what is known of the package, then the job's, then the host's own; the nearer wins.
#[must_use]
pub fn vars(known: &Vars, job: &JobSpec, task: &TaskSpec) -> Vars {
    let mut vars = known.clone();
    vars.extend(job.vars.clone());
    vars.extend(task.host.vars.clone());
    vars
}

/// The variables of a plugin on one host: its own, and over them those that job and host give under its name. Others are the
/// agent's: a `port` of both would be one port.
#[must_use]
pub fn plugin_vars(plugin: &Manifest, job: &JobSpec, task: &TaskSpec) -> Vars {
    let mut vars = plugin.vars.clone();
    for given in [&job.vars, &task.host.vars] {
        vars.extend(given.get(&plugin.name).and_then(|given| given.as_object()).cloned().unwrap_or_default());
    }
    vars
}

impl Values {
    /// The values of one host, whose agent reports to `upstream`, or to the access point where there is none.
    #[must_use]
    pub fn of(task: &TaskSpec, package: &PackageEntry, paths: &HostPaths, vars: &Vars, upstream: &[IpAddr]) -> Self {
        let manifest = &package.manifest;
        let point = &task.access_point;
        let servers = if upstream.is_empty() { point.servers.clone() } else { point.servers_at(upstream) };
        let release = package.release();
        let place = [paths.setup_path.as_str(), &manifest.name, "releases", &release].join(paths.between());
        let values = json!({
            "host": host_values(&task.host),
            "paths": {
                "setup_path": paths.setup_path, "data_path": paths.data_path, "run_path": paths.run_path,
                "log_path": paths.log_path, "temp_path": paths.temp_path,
                "release": place,
            },
            "ap": { "id": point.id, "name": point.name, "servers": every_purpose(&point.servers) },
            "upstream": { "addresses": upstream, "servers": every_purpose(&servers) },
            "cloud": { "id": task.host.bk_cloud_id, "name": task.cloud_name },
            "package": {
                "name": manifest.name, "version": manifest.version, "role": manifest.role, "os": manifest.os, "cpu": manifest.cpu,
                "release": release,
            },
            "vars": vars,
        });
        Self { values, vars: vars.clone(), upstream: upstream.to_vec() }
    }
}

/// Every documented field of a host, absent addresses as empty text.
fn host_values(host: &HostSpec) -> serde_json::Value {
    let mut values = serde_json::to_value(host).unwrap_or_default();
    if let Some(fields) = values.as_object_mut() {
        for name in [
            "inner_ip",
            "inner_ipv6",
            "outer_ipv6",
            "login_ip",
            "data_ip",
            "data_path",
            "bk_host_id",
            "install_channel_id",
            "os_type",
        ] {
            if fields.get(name).is_none_or(serde_json::Value::is_null) {
                fields.insert(name.into(), "".into());
            }
        }
        fields.remove("vars");
        fields.remove("paths");
    }
    values
}

/// How a value is written where it is filled in.
type Write = fn(&str) -> String;

fn as_it_is(text: &str) -> String {
    text.to_owned()
}

pub(super) fn environment<'a>(write: Write) -> Environment<'a> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let mut syntax = SyntaxConfig::builder();
    syntax.keep_trailing_newline(true);
    // The default delimiters cannot be wrong.
    environment.set_syntax(syntax.build().unwrap_or_default());
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.add_filter("address", |server: String| servers::split(&server).0.to_owned());
    environment.add_filter("port", |server: String| {
        let refusal = || minijinja::Error::new(ErrorKind::InvalidOperation, format!("`{server}` has no port"));
        servers::split(&server).1.ok_or_else(refusal)
    });
    environment.add_filter("sh", |value: Value| shell::quote_str(&value.to_string()));
    environment.add_filter("unit", |value: Value| unix::unit_quote(&value.to_string()));
    environment.add_filter("xml", |value: Value| unix::xml_escape(&value.to_string()));
    environment.set_formatter(move |out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value| {
        // An undefined value is refused by the default formatter.
        if value.is_undefined() {
            return minijinja::escape_formatter(out, state, value);
        }
        // Switches as JSON, TOML and shells write them, not as Python does.
        let text = if value.kind() == ValueKind::Bool { value.is_true().to_string() } else { value.to_string() };
        out.write_str(&write(&text)).map_err(minijinja::Error::from)
    });
    environment
}

pub(super) fn fill(
    environment: &Environment<'_>,
    name: &str,
    template: &str,
    values: &impl serde::Serialize,
) -> Result<String, Failure> {
    environment.render_named_str(name, template, Value::from(Serde(values))).map_err(|error| {
        let line = error.line().map(|line| format!(" line {line}")).unwrap_or_default();
        let detail = error.detail().unwrap_or("cannot be filled in");
        Failure::new(Code::Template, format!("{name}{line}: {}: {detail}", error.kind()))
    })
}

/// Is the text a template at all? For `package add`, before there are values.
///
/// # Errors
/// What is wrong, with its line.
pub fn check_syntax(name: &str, template: &str) -> Result<(), String> {
    environment(as_it_is).template_from_named_str(name, template).map(|_| ()).map_err(|error| error.to_string())
}

/// The commands, health check and identity of what will be installed, all filled in.
///
/// # Errors
/// [`Code::Template`].
pub fn installed(package: &PackageEntry, paths: &HostPaths, values: &Values) -> Result<Installed, Failure> {
    let manifest = &package.manifest;
    let (quoted, text) = (environment(shell::quote_str), environment(as_it_is));
    let command = |name: &str, template: &str| {
        let filled = match paths.is_windows() {
            true => batch::command(name, template, values)?,
            false => fill(&quoted, name, template, &values.values)?,
        };
        runnable(name, filled, paths)
    };
    let optional = |name: &str, template: &Option<String>| template.as_deref().map(|text| command(name, text)).transpose();
    let asked = |name: &str, template: &Option<String>| {
        template.as_deref().map(|template| address(name, fill(&text, name, template, &values.values)?)).transpose()
    };
    let health = &manifest.health;
    Ok(Installed {
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        role: manifest.role,
        digest: package.sha256.clone(),
        release: package.release(),
        start: command("process.start", &manifest.process.start)?,
        stop: optional("process.stop", &manifest.process.stop)?,
        reload: optional("process.reload", &manifest.process.reload)?,
        user: manifest.process.user.clone(),
        service: manifest.process.service,
        upstream: values.upstream.clone(),
        paths: paths.clone(),
        health: Health {
            http: asked("health.http", &health.http)?,
            tcp: asked("health.tcp", &health.tcp)?,
            command: optional("health.command", &health.command)?,
            timeout_s: health.timeout_s,
        },
        vars: values.vars.clone(),
    })
}

/// Bytes of a command: it travels as one word of a command line, for csh and fish in octal, and Linux takes no word of 128 KiB.
const LONGEST_COMMAND: usize = 24 * 1024;

/// The same on Windows: cmd.exe takes a line of 8191 characters.
const LONGEST_LINE: usize = 8000;

/// A command that `sh -c` will take for one, or cmd.exe.
fn runnable(name: &str, command: String, paths: &HostPaths) -> Result<String, Failure> {
    let refused = |why: String| Err(Failure::new(Code::Template, format!("{name} {why}")));
    let longest = if paths.is_windows() { LONGEST_LINE } else { LONGEST_COMMAND };
    if command.len() > longest {
        return refused(format!("has {} bytes, {longest} are the most", command.len()));
    }
    // No quote keeps a line together there: what comes after would be a command of its own.
    if paths.is_windows() && command.contains(|c: char| c.is_control() && c != '\t') {
        return refused("has a line break or another control character, which no batch file takes for part of a command".into());
    }
    if command.trim_start().starts_with('-') {
        return refused("begins with `-`, which sh would take for an option".into());
    }
    Ok(command)
}

/// Where a health check asks, as a word that no tool on a target takes for anything else.
fn address(name: &str, text: String) -> Result<String, Failure> {
    let (is_plain, longest) =
        (|c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '`' | '\\' | '<' | '>' | '|' | '^'), 2048);
    let host = text.strip_prefix("http://").unwrap_or(&text);
    let is_host = host.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[');
    if is_host && text.len() <= longest && text.chars().all(is_plain) {
        return Ok(text);
    }
    let shown: String = text.chars().take(100).collect();
    Err(Failure::new(
        Code::Template,
        format!("{name}: `{shown}` is no address; what is not plain in a URL has to be percent-encoded"),
    ))
}

/// All files of the task's stage directory (`scripts/README.md`).
///
/// # Errors
/// [`Code::Template`], [`Code::BadPackage`].
pub fn stage(
    manifest: &Manifest,
    installed: &Installed,
    values: &Values,
    templates: &Templates,
    system: System,
) -> Result<Vec<RenderedFile>, Failure> {
    let text = environment(as_it_is);
    let mut files = match system.codepage {
        Some(page) => batch::files(manifest, installed, values, page)?,
        None => unix::files(manifest, installed, values, system.os)?,
    };
    for config in &manifest.config {
        let template = templates.get(&config.template).and_then(|bytes| std::str::from_utf8(bytes).ok());
        let template = template.ok_or_else(|| {
            Failure::new(Code::BadPackage, format!("template {} is not in the package as text", config.template))
        })?;
        let content = fill(&text, &config.template, template, &values.values)?;
        files.push(file(&format!("config/{}", config.to), &config.mode, content));
    }
    Ok(files)
}

fn file(name: &str, mode: &str, content: String) -> RenderedFile {
    RenderedFile { name: name.into(), mode: mode.into(), bytes: content.into_bytes() }
}

fn record(installed: &Installed) -> Result<String, Failure> {
    installed.to_text().map_err(|error| Failure::new(Code::Template, format!("vars: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_in_a_command_is_quoted_and_in_a_file_is_not() {
        let values = json!({"vars": {"dir": "/a b'c"}});
        assert_eq!(fill(&environment(shell::quote_str), "x", "ls {{ vars.dir }}", &values).unwrap(), "ls '/a b'\\''c'");
        assert_eq!(fill(&environment(as_it_is), "x", "dir={{ vars.dir }}", &values).unwrap(), "dir=/a b'c");
        let switches = json!({"host": {"enable_compression": false}, "vars": {"on": true}});
        assert_eq!(
            fill(&environment(as_it_is), "x", "{{ host.enable_compression }} {{ vars.on }}", &switches).unwrap(),
            "false true"
        );
    }

    #[test]
    fn an_undefined_name_is_an_error_that_names_it() {
        for write in [shell::quote_str, as_it_is] {
            let failure = fill(&environment(write), "etc/a.conf", "x\n{{ vars.port }}", &json!({"vars": {}})).unwrap_err();
            assert_eq!(failure.code, "template_error");
            assert!(failure.message.contains("etc/a.conf line 2"), "{}", failure.message);
        }
    }
}
