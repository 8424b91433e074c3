//! What a shell runs on a host: the files that start and stop an agent, and have it started at boot.
//!
//! Never here: what is done with them (`scripts/linux/service.sh`, `scripts/aix/agent.ksh`, `scripts/solaris/agent.ksh`). To add a
//! system: its shell, and its files in [`files`].

use serde_json::json;

use super::{RenderedFile, Values, as_it_is, environment, file, fill, record};
use crate::assets;
use crate::domain::failure::Failure;
use crate::domain::host::Os;
use crate::domain::installed::Installed;
use crate::domain::package::Manifest;

/// The shell that commands of packages are written for. The `sh` of Solaris 10 is no POSIX shell.
fn shell(os: Os) -> &'static str {
    match os {
        Os::Solaris => "/usr/xpg4/bin/sh",
        Os::Aix => "/usr/bin/ksh",
        Os::Linux | Os::Windows => "/bin/sh",
    }
}

/// What starts and stops it, and says what it is, where a shell runs it.
pub(super) fn files(manifest: &Manifest, installed: &Installed, values: &Values, os: Os) -> Result<Vec<RenderedFile>, Failure> {
    let text = environment(as_it_is);
    let service = service_values(manifest, installed, values, os)?;
    let fill = |name: &str, template: &str| fill(&text, name, template, &service);
    let mut files = vec![
        file("start", "0755", fill("start", assets::START)?),
        file("init", "0755", fill("init", assets::INIT)?),
        file("landfall.toml", "0600", record(installed)?),
    ];
    match os {
        Os::Solaris => files.push(file("manifest", "0644", fill("manifest", assets::MANIFEST)?)),
        Os::Linux => files.push(file("unit", "0644", fill("unit", assets::UNIT)?)),
        Os::Aix | Os::Windows => {}
    }
    for (name, command) in [("stop", &installed.stop), ("reload", &installed.reload)] {
        if let Some(command) = command {
            files.push(file(name, "0755", format!("#!{}\n{command}\n", shell(os))));
        }
    }
    Ok(files)
}

/// What the service templates are filled with.
fn service_values(manifest: &Manifest, installed: &Installed, values: &Values, os: Os) -> Result<serde_json::Value, Failure> {
    let text = environment(as_it_is);
    let mut env = Vec::new();
    for (key, value) in &manifest.process.env {
        env.push(json!({"key": key, "value": fill(&text, key, value, &values.values)?}));
    }
    let paths = &installed.paths;
    Ok(json!({
        "name": installed.name, "version": installed.version, "start": installed.start, "env": env,
        "user": installed.user.clone().unwrap_or_default(), "stop": installed.stop.clone().unwrap_or_default(),
        "setup_path": paths.setup_path, "run_path": paths.run_path, "log_path": paths.log_path,
        "data_path": paths.data_path, "temp_path": paths.temp_path, "shell": shell(os), "lives": *assets::LIVES,
    }))
}

/// A word of a systemd unit file (`systemd.syntax(7)`): C-style quoting, `%` and `$` doubled.
pub(super) fn unit_quote(word: &str) -> String {
    let mut quoted = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '%' | '$' => quoted.extend([c, c]),
            _ if c.is_ascii_control() => quoted.extend(format!("\\x{:02x}", u32::from(c)).chars()),
            _ => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Text of an XML document, inside of an attribute too. What XML cannot hold at all becomes a question mark.
pub(super) fn xml_escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            // As they are they would come back as blanks.
            '\t' | '\n' | '\r' => escaped.push_str(&format!("&#{};", u32::from(c))),
            _ if c.is_control() => escaped.push('?'),
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_a_unit_file_keeps_its_characters() {
        assert_eq!(unit_quote(r#"a "b" \ 100% $x"#), r#""a \"b\" \\ 100%% $$x""#);
    }

    #[test]
    fn text_of_an_xml_document_keeps_its_characters() {
        assert_eq!(xml_escape("a <'b'> & \"c\"\n中"), "a &lt;&apos;b&apos;&gt; &amp; &quot;c&quot;&#10;中");
    }
}
