//! Who is asked for the password of a host whose `auth_type` is TJJ_PASSWORD, and what exactly is asked.
//!
//! Never here: asking (`engine::vault`).

use std::net::IpAddr;
use std::path::PathBuf;

use serde::Deserialize;

use crate::domain::host::HostSpec;

/// Longest wait for an answer that may be asked for: the step's own deadline is 90 s.
const LONGEST_S: u64 = 60;

/// A command or an HTTP service that knows passwords.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vault {
    /// Program and arguments; its first line of output is the password.
    #[serde(default)]
    pub command: Vec<String>,
    /// What is fetched by GET: `https`, or `http` on this machine.
    pub url: Option<String>,
    /// File with the token that is sent (`Authorization: Bearer`); read at every question.
    pub token_file: Option<PathBuf>,
    /// Where the password stands in a JSON answer (RFC 6901).
    pub pointer: Option<String>,
    /// PEM file with the certificates that the service's own is traced back to; needed for `https`.
    pub ca_file: Option<PathBuf>,
    /// Seconds until there must be an answer.
    #[serde(default = "timeout_s")]
    pub timeout_s: u64,
}

fn timeout_s() -> u64 {
    20
}

impl Vault {
    /// What is wrong with it.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        match (self.command.first(), &self.url) {
            (Some(program), None) => {
                if !program.starts_with('/') || program.contains('{') {
                    faults.push("command: the program must be an absolute path".to_owned());
                }
                let for_url = [self.token_file.is_some(), self.pointer.is_some(), self.ca_file.is_some()];
                if for_url.contains(&true) {
                    faults.push("token_file, pointer and ca_file are for `url`".to_owned());
                }
            }
            (None, Some(url)) => faults.extend(self.url_faults(url)),
            _ => faults.push("needs one of command, url".to_owned()),
        }
        if self.pointer.as_ref().is_some_and(|pointer| !pointer.starts_with('/')) {
            faults.push("pointer: must begin with `/`".to_owned());
        }
        if !(1..=LONGEST_S).contains(&self.timeout_s) {
            faults.push(format!("timeout_s: must be 1 to {LONGEST_S}"));
        }
        faults.into_iter().map(|fault| format!("vault: {fault}")).collect()
    }

    fn url_faults(&self, url: &str) -> Option<String> {
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.is_empty() || authority.contains(['{', '@']) {
            return Some("url: must name its host, without placeholders and users".to_owned());
        }
        match scheme {
            "https" if self.ca_file.is_none() => {
                Some("ca_file: is required with https (the system's are often /etc/ssl/certs/ca-certificates.crt)".to_owned())
            }
            "https" => None,
            // A password that comes over a network in clear is no secret.
            "http" if !is_this_machine(authority) => Some("url: must be https, or http on this machine".to_owned()),
            "http" => None,
            _ => Some("url: must begin with https:// or http://".to_owned()),
        }
    }

    /// The command line for a host; `None` for names that cannot be told from options and paths.
    #[must_use]
    pub fn command_for(&self, host: &HostSpec) -> Option<Vec<String>> {
        let values = Values::of(host)?;
        Some(self.command.iter().map(|word| values.fill(word, str::to_owned)).collect())
    }

    /// The address that is fetched for a host.
    #[must_use]
    pub fn url_for(&self, host: &HostSpec) -> Option<String> {
        let values = Values::of(host)?;
        self.url.as_ref().map(|url| values.fill(url, percent))
    }
}

fn is_this_machine(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// What placeholders stand for.
struct Values([(&'static str, String); 4]);

impl Values {
    fn of(host: &HostSpec) -> Option<Self> {
        let address = host.address()?;
        let account = &host.account;
        let odd = account.starts_with('-') || account.chars().any(char::is_control) || account.chars().all(|c| c == '.');
        (!odd).then(|| {
            Self([
                ("{host}", address.ip.to_string()),
                ("{account}", account.clone()),
                ("{cloud}", address.cloud.to_string()),
                ("{port}", host.port.to_string()),
            ])
        })
    }

    /// The text with its placeholders replaced, each once: a value is never read for others.
    fn fill(&self, text: &str, form: fn(&str) -> String) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            let (before, after) = rest.split_at(at);
            filled.push_str(before);
            match self.0.iter().find_map(|(name, value)| Some((after.strip_prefix(name)?, value))) {
                Some((behind, value)) => {
                    filled.push_str(&form(value));
                    rest = behind;
                }
                None => {
                    filled.push('{');
                    rest = after.get(1..).unwrap_or_default();
                }
            }
        }
        filled + rest
    }
}

/// A value as a part of a path (RFC 3986): nothing in it separates.
fn percent(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(account: &str) -> Values {
        Values([("{host}", "10.0.0.1".into()), ("{account}", account.into()), ("{cloud}", "0".into()), ("{port}", "22".into())])
    }

    #[test]
    fn placeholders_are_replaced_and_what_they_stand_for_is_not_read_again() {
        assert_eq!(
            values("ops").fill("{account}@{host}:{port} of {cloud}, {else}", str::to_owned),
            "ops@10.0.0.1:22 of 0, {else}"
        );
        assert_eq!(values("{host}").fill("{account}", str::to_owned), "{host}");
        assert_eq!(values("a/b?c").fill("/v1/{host}/{account}", percent), "/v1/10.0.0.1/a%2Fb%3Fc");
    }

    #[test]
    fn a_vault_is_a_command_or_a_url_that_nobody_listens_to() {
        for (toml, fault) in [
            ("command = [\"/usr/bin/vault-read\", \"{host}\"]", None),
            ("url = \"http://127.0.0.1:8200/v1/{host}\"", None),
            ("url = \"http://[::1]:8200/v1\"", None),
            ("url = \"https://vault.example/v1/{host}\"\nca_file = \"/etc/ca.pem\"", None),
            ("", Some("one of")),
            ("command = [\"/a\"]\nurl = \"http://localhost/\"", Some("one of")),
            ("command = [\"vault-read\"]", Some("absolute")),
            ("command = [\"/{account}\"]", Some("absolute")),
            ("command = [\"/a\"]\npointer = \"/x\"", Some("are for `url`")),
            ("url = \"http://vault.example/v1\"", Some("https")),
            ("url = \"http://127.0.0.1.example/v1\"", Some("https")),
            ("url = \"https://vault.example/v1\"", Some("ca_file")),
            ("url = \"https://{host}/v1\"\nca_file = \"/a\"", Some("placeholders")),
            ("url = \"ftp://localhost/\"", Some("begin with")),
            ("url = \"http://localhost/\"\npointer = \"data\"", Some("pointer")),
            ("command = [\"/a\"]\ntimeout_s = 0", Some("timeout_s")),
        ] {
            let vault: Vault = toml::from_str(toml).unwrap();
            let faults = vault.faults().join("; ");
            assert!(fault.map_or(faults.is_empty(), |fault| faults.contains(fault)), "{toml}: {faults}");
        }
    }
}
