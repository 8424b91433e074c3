//! How root is reached where it is not by sudo: rules by host.
//!
//! Never here: the command lines (`engine`). To add a method: its word, and its way in `domain::plan`.

use std::net::IpAddr;

use serde::Deserialize;

use super::{Site, matches_pattern};

/// Who makes an account root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// sudo.
    #[default]
    Sudo,
    /// su, with root's own password.
    Su,
    /// doas.
    Doas,
}

impl Method {
    /// Its command, and its word in the site file.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Sudo => "sudo",
            Self::Su => "su",
            Self::Doas => "doas",
        }
    }
}

/// How root is reached on some hosts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivilegeRule {
    /// Addresses, `*` for any characters.
    pub hosts: Vec<String>,
    /// Who makes the account root there.
    pub method: Method,
}

/// Rules that say nothing.
pub(super) fn faults(site: &Site) -> impl Iterator<Item = String> {
    let empty = site.privilege.iter().enumerate().filter(|(_, rule)| rule.hosts.is_empty());
    empty.map(|(index, _)| format!("privilege[{index}]: names no hosts"))
}

impl Site {
    /// Who makes an account root on the host at this address: the first rule that names it says so, else it is sudo.
    #[must_use]
    pub fn privilege_of(&self, ip: IpAddr) -> Method {
        let text = ip.to_string();
        let named = |rule: &&PrivilegeRule| rule.hosts.iter().any(|pattern| matches_pattern(pattern, &text));
        self.privilege.iter().find(named).map_or_else(Method::default, |rule| rule.method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_names_a_host_says_how_and_without_one_it_is_sudo() {
        let rules = "[[privilege]]\nhosts = [\"10.9.*\", \"fd00::*\"]\nmethod = \"su\"\n\
            [[privilege]]\nhosts = [\"10.*\"]\nmethod = \"doas\"\n[[privilege]]\nhosts = []\nmethod = \"sudo\"\n";
        let site: Site = toml::from_str(rules).unwrap();
        for (ip, method) in
            [("10.9.1.2", Method::Su), ("fd00::7", Method::Su), ("10.8.1.2", Method::Doas), ("192.0.2.1", Method::Sudo)]
        {
            assert_eq!(site.privilege_of(ip.parse().unwrap()), method, "{ip}");
        }
        assert_eq!(faults(&site).collect::<Vec<_>>(), ["privilege[2]: names no hosts"]);
        assert!(toml::from_str::<Site>("[[privilege]]\nhosts = [\"*\"]\nmethod = \"pbrun\"\n").is_err());
    }
}
