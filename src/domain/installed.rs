//! `landfall.toml`: what an install leaves beside the release, so that every later kind knows what to act on.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::package::{Health, Role};
use super::site::HostPaths;

/// What is installed on a host; all templates already filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Installed {
    /// Package name.
    pub name: String,
    /// Package version.
    pub version: String,
    /// What it is for.
    pub role: Role,
    /// SHA-256 of the package archive.
    pub digest: String,
    /// Directory name of the release.
    pub release: String,
    /// Foreground command.
    pub start: String,
    /// Command instead of TERM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<String>,
    /// Command for a changed configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reload: Option<String>,
    /// Account of the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Windows: does the service control manager start it?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub service: bool,
    /// What it was told to report to in place of the access point's servers; none = to those.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub upstream: Vec<IpAddr>,
    /// Where everything is.
    pub paths: HostPaths,
    /// How it shows that it answers.
    pub health: Health,
    /// The variables it was rendered with.
    #[serde(default)]
    pub vars: serde_json::Map<String, serde_json::Value>,
}

impl Installed {
    /// Reads the file's text.
    ///
    /// # Errors
    /// When it is not such a file.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// The file's text.
    ///
    /// # Errors
    /// When a variable cannot be written as TOML (null).
    pub fn to_text(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back() {
        let installed = Installed {
            name: "a".into(),
            version: "1".into(),
            role: Role::Agent,
            digest: "d".into(),
            release: "1-d".into(),
            start: "bin/a --x='\\1 \"2\"'".into(),
            stop: None,
            reload: None,
            user: None,
            service: false,
            upstream: vec!["192.0.2.10".parse().unwrap(), "fd00::10".parse().unwrap()],
            paths: HostPaths::linux(&crate::domain::site::Paths::default()),
            health: Health { http: None, tcp: Some("127.0.0.1:1".into()), command: None, timeout_s: 3 },
            vars: serde_json::from_str(r#"{"port": 9100, "list": ["a", true]}"#).unwrap(),
        };
        assert_eq!(Installed::parse(&installed.to_text().unwrap()).unwrap(), installed);
    }
}
