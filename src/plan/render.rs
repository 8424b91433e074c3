//! Filling templates: commands, configuration files, service files. A missing value is an error, before anything is touched.
//!
//! Names in templates (DESIGN 10): `host.*`, `paths.*`, `ap.*`, `cloud.*`, `package.*`, `vars.*`. In commands every value is
//! written shell-quoted, in files as it is. Secrets are not among the values at all.

use std::collections::BTreeMap;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, ValueKind};
use minijinja::{AutoEscape, Environment, Output, State, UndefinedBehavior, Value};
use serde_json::{Map, json};

use crate::assets;
use crate::domain::failure::{Code, Failure};
use crate::domain::host::HostSpec;
use crate::domain::installed::Installed;
use crate::domain::package::{Health, Manifest, PackageEntry};
use crate::domain::shell;
use crate::domain::site::HostPaths;
use crate::domain::spec::{JobSpec, TaskSpec};

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
}

/// Package variables by name.
pub type Vars = Map<String, serde_json::Value>;

/// The variables of one host: what is known of the package, then the job's, then the host's own; the nearer wins.
#[must_use]
pub fn vars(known: &Vars, job: &JobSpec, task: &TaskSpec) -> Vars {
    let mut vars = known.clone();
    vars.extend(job.vars.clone());
    vars.extend(task.host.vars.clone());
    vars
}

impl Values {
    /// The values of one host.
    #[must_use]
    pub fn of(task: &TaskSpec, package: &PackageEntry, paths: &HostPaths, vars: &Vars) -> Self {
        let manifest = &package.manifest;
        let release = package.release();
        let values = json!({
            "host": host_values(&task.host),
            "paths": {
                "setup_path": paths.setup_path, "data_path": paths.data_path, "run_path": paths.run_path,
                "log_path": paths.log_path, "temp_path": paths.temp_path,
                "release": format!("{}/{}/releases/{release}", paths.setup_path, manifest.name),
            },
            "ap": { "id": task.access_point.id, "name": task.access_point.name, "servers": task.access_point.servers },
            "cloud": { "id": task.host.bk_cloud_id, "name": task.cloud_name },
            "package": { "name": manifest.name, "version": manifest.version, "os": manifest.os, "cpu": manifest.cpu, "release": release },
            "vars": vars,
        });
        Self { values, vars: vars.clone() }
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

fn environment<'a>(quoted: bool) -> Environment<'a> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let mut syntax = SyntaxConfig::builder();
    syntax.keep_trailing_newline(true);
    // The default delimiters cannot be wrong.
    environment.set_syntax(syntax.build().unwrap_or_default());
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.add_filter("sh", |value: Value| shell::quote_str(&value.to_string()));
    environment.add_filter("unit", |value: Value| unit_quote(&value.to_string()));
    environment.set_formatter(move |out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value| {
        // An undefined value is refused by the default formatter.
        if value.is_undefined() {
            return minijinja::escape_formatter(out, state, value);
        }
        // Switches as JSON, TOML and shells write them, not as Python does.
        let text = if value.kind() == ValueKind::Bool { value.is_true().to_string() } else { value.to_string() };
        let text = if quoted { shell::quote_str(&text) } else { text };
        out.write_str(&text).map_err(minijinja::Error::from)
    });
    environment
}

/// A word of a systemd unit file (`systemd.syntax(7)`): C-style quoting, `%` and `$` doubled.
fn unit_quote(word: &str) -> String {
    let mut quoted = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '%' | '$' => quoted.extend([c, c]),
            '\n' => quoted.push_str("\\n"),
            _ => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn fill(environment: &Environment<'_>, name: &str, template: &str, values: &impl serde::Serialize) -> Result<String, Failure> {
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
    environment(false).template_from_named_str(name, template).map(|_| ()).map_err(|error| error.to_string())
}

/// The commands, health check and identity of what will be installed, all filled in.
///
/// # Errors
/// [`Code::Template`].
pub fn installed(package: &PackageEntry, paths: &HostPaths, values: &Values) -> Result<Installed, Failure> {
    let manifest = &package.manifest;
    let (command, text) = (environment(true), environment(false));
    let optional = |environment: &Environment<'_>, name: &str, template: &Option<String>| {
        template.as_deref().map(|template| fill(environment, name, template, &values.values)).transpose()
    };
    let health = &manifest.health;
    Ok(Installed {
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        role: manifest.role,
        digest: package.sha256.clone(),
        release: package.release(),
        start: fill(&command, "process.start", &manifest.process.start, &values.values)?,
        stop: optional(&command, "process.stop", &manifest.process.stop)?,
        reload: optional(&command, "process.reload", &manifest.process.reload)?,
        user: manifest.process.user.clone(),
        paths: paths.clone(),
        health: Health {
            http: optional(&text, "health.http", &health.http)?,
            tcp: optional(&text, "health.tcp", &health.tcp)?,
            command: optional(&command, "health.command", &health.command)?,
            timeout_s: health.timeout_s,
        },
        vars: values.vars.clone(),
    })
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
) -> Result<Vec<RenderedFile>, Failure> {
    let text = environment(false);
    let service = service_values(manifest, installed, &text, values)?;
    let file = |name: &str, mode: &str, content: String| RenderedFile {
        name: name.into(),
        mode: mode.into(),
        bytes: content.into_bytes(),
    };
    let record = installed.to_text().map_err(|error| Failure::new(Code::Template, format!("vars: {error}")))?;
    let mut files = vec![
        file("start", "0755", fill(&text, "start", assets::START, &service)?),
        file("unit", "0644", fill(&text, "unit", assets::UNIT, &service)?),
        file("init", "0755", fill(&text, "init", assets::INIT, &service)?),
        file("landfall.toml", "0600", record),
    ];
    for (name, command) in [("stop", &installed.stop), ("reload", &installed.reload)] {
        if let Some(command) = command {
            files.push(file(name, "0755", format!("#!/bin/sh\n{command}\n")));
        }
    }
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

/// What the service templates are filled with.
fn service_values(
    manifest: &Manifest,
    installed: &Installed,
    text: &Environment<'_>,
    values: &Values,
) -> Result<serde_json::Value, Failure> {
    let mut env = Vec::new();
    for (key, value) in &manifest.process.env {
        env.push(json!({"key": key, "value": fill(text, key, value, &values.values)?}));
    }
    let paths = &installed.paths;
    Ok(json!({
        "name": installed.name, "version": installed.version, "start": installed.start, "env": env,
        "user": installed.user.clone().unwrap_or_default(), "stop": installed.stop.clone().unwrap_or_default(),
        "setup_path": paths.setup_path, "run_path": paths.run_path, "log_path": paths.log_path,
        "data_path": paths.data_path, "temp_path": paths.temp_path,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_in_a_command_is_quoted_and_in_a_file_is_not() {
        let values = json!({"vars": {"dir": "/a b'c"}});
        assert_eq!(fill(&environment(true), "x", "ls {{ vars.dir }}", &values).unwrap(), "ls '/a b'\\''c'");
        assert_eq!(fill(&environment(false), "x", "dir={{ vars.dir }}", &values).unwrap(), "dir=/a b'c");
        let switches = json!({"host": {"enable_compression": false}, "vars": {"on": true}});
        assert_eq!(
            fill(&environment(false), "x", "{{ host.enable_compression }} {{ vars.on }}", &switches).unwrap(),
            "false true"
        );
    }

    #[test]
    fn an_undefined_name_is_an_error_that_names_it() {
        for quoted in [true, false] {
            let failure = fill(&environment(quoted), "etc/a.conf", "x\n{{ vars.port }}", &json!({"vars": {}})).unwrap_err();
            assert_eq!(failure.code, "template_error");
            assert!(failure.message.contains("etc/a.conf line 2"), "{}", failure.message);
        }
    }

    #[test]
    fn a_word_of_a_unit_file_keeps_its_characters() {
        assert_eq!(unit_quote(r#"a "b" \ 100% $x"#), r#""a \"b\" \\ 100%% $$x""#);
    }
}
