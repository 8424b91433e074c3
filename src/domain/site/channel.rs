//! An install channel that the site file declares: jump servers for hosts that are reached through them.
//!
//! Never here: reading what a secret refers to (`config`), and connections through a jump server (`transport`).

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;

use super::proxy::{Given, root, ssh_port};
use super::{Access, AccessPoint, Site};

/// A declared install channel.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstallChannel {
    /// `install_channel_id`.
    pub id: i64,
    /// The zone of its hosts.
    #[serde(default)]
    pub cloud: i64,
    /// Shown in messages.
    #[serde(default)]
    pub name: String,
    /// Its jump servers; any of them will do, and hosts are spread over them.
    pub jump: Vec<Jump>,
    /// Are the jump servers themselves behind a proxy of the zone? Else they are reached directly.
    #[serde(default)]
    pub behind_proxy: bool,
    /// Addresses that its agents report to in place of the access point's servers, on the same ports.
    #[serde(default)]
    pub upstream: Vec<IpAddr>,
    /// Networks whose hosts take it when they ask for any (`install_channel_id` -1).
    #[serde(default)]
    pub networks: Vec<IpNet>,
}

/// A jump server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jump {
    /// Its address.
    pub ip: IpAddr,
    /// sshd's port.
    #[serde(default = "ssh_port")]
    pub port: u16,
    /// Who logs in.
    #[serde(default = "root")]
    pub account: String,
    /// For the login; with a key its passphrase, when that is not given.
    pub password: Option<Given>,
    /// Private key.
    pub key: Option<Given>,
    /// Opens an encrypted key.
    pub passphrase: Option<Given>,
}

impl Jump {
    /// How to log in.
    #[must_use]
    pub fn access(&self) -> Access<'_> {
        Access {
            account: &self.account,
            password: self.password.as_ref(),
            key: self.key.as_ref(),
            passphrase: self.passphrase.as_ref(),
        }
    }

    /// Its secrets, by key.
    pub fn secrets(&self) -> impl Iterator<Item = (&'static str, &Given)> {
        let given = [&self.password, &self.key, &self.passphrase];
        ["password", "key", "passphrase"].into_iter().zip(given).filter_map(|(key, given)| Some((key, given.as_ref()?)))
    }
}

impl InstallChannel {
    /// Puts its upstream in the place of the access point's servers: of each purpose all addresses, on the ports it has there.
    pub fn stands_in_for(&self, point: &mut AccessPoint) {
        if self.upstream.is_empty() {
            return;
        }
        point.servers = point.servers_at(&self.upstream);
    }
}

impl Site {
    /// The declared channel of that id.
    #[must_use]
    pub fn channel(&self, id: i64) -> Option<&InstallChannel> {
        self.install_channel.iter().find(|channel| channel.id == id)
    }

    /// The channel of a host that asks for any: the first of its cloud whose networks have its address
    /// (`reference/upstream.md` 1.4, 14).
    #[must_use]
    pub fn channel_for(&self, cloud: i64, ip: IpAddr) -> Option<&InstallChannel> {
        let leads =
            |channel: &&InstallChannel| channel.cloud == cloud && channel.networks.iter().any(|network| network.contains(&ip));
        self.install_channel.iter().find(leads)
    }

    /// Everything wrong with the declared channels.
    pub(super) fn channel_faults(&self) -> Vec<String> {
        let (mut faults, mut ids) = (Vec::new(), BTreeSet::new());
        for channel in &self.install_channel {
            let mut fault = |text: String| faults.push(format!("install_channel {}: {text}", channel.id));
            if !ids.insert(channel.id) {
                fault("stands there twice".into());
            }
            if channel.id < 1 {
                fault("id must be at least 1".into());
            }
            if channel.cloud != 0 && self.cloud(channel.cloud).is_none() {
                fault(format!("there is no cloud {}", channel.cloud));
            }
            if channel.jump.is_empty() {
                fault("needs a jump server".into());
            }
            if channel.jump.iter().any(|jump| jump.port == 0) {
                fault("port must be between 1 and 65535".into());
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: &str = r#"
        [[cloud]]
        id = 2
        [[install_channel]]
        id = 5
        cloud = 2
        name = "dmz"
        jump = [{ ip = "192.0.2.20", port = 2222, account = "ops", password = { env = "DMZ_PASSWORD" } }]
        upstream = ["192.0.2.20"]
        networks = ["10.1.0.0/16"]
        [[install_channel]]
        id = 6
        jump = [{ ip = "192.0.2.21", key = { file = "/k" } }]
        networks = ["10.0.0.0/8"]
    "#;

    fn site(text: &str) -> Site {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_host_that_asks_for_any_channel_gets_that_of_its_cloud_and_network() {
        let site = site(SITE);
        assert_eq!(site.faults(), [""; 0]);
        let channel = |cloud, ip: &str| site.channel_for(cloud, ip.parse().unwrap()).map(|channel| channel.id);
        assert_eq!((channel(2, "10.1.2.3"), channel(2, "10.2.2.3"), channel(0, "10.1.2.3")), (Some(5), None, Some(6)));
    }

    #[test]
    fn the_agents_of_a_channel_report_to_its_upstream_on_the_ports_of_the_access_point() {
        let text = "[[access_point]]\nid = 1\n[access_point.servers]\ncluster = [\"192.0.2.1:28668\", \"[2001:db8::1]:28668\"]\n\
            file = [\"192.0.2.1:28925\", \"192.0.2.1:58926\"]\ndns = [\"2001:db8::1\"]\n";
        let mut site = site(&format!("{SITE}{text}"));
        let mut point = site.access_point.remove(0);
        let untouched = point.servers.clone();
        site.channel(6).unwrap().stands_in_for(&mut point);
        assert_eq!(point.servers, untouched, "it has no upstream");
        let channel = &mut site.install_channel[0];
        channel.upstream.push("fd00::20".parse().unwrap());
        channel.stands_in_for(&mut point);
        assert_eq!(point.servers["cluster"], ["192.0.2.20:28668", "[fd00::20]:28668"]);
        assert_eq!(point.servers["file"], ["192.0.2.20:28925", "[fd00::20]:28925", "192.0.2.20:58926", "[fd00::20]:58926"]);
        assert_eq!(point.servers["dns"], ["192.0.2.20", "fd00::20"]);
    }

    #[test]
    fn a_relative_file_of_a_secret_is_beside_the_site_file() {
        let mut site = site(&SITE.replace("/k", "k"));
        site.look_in("/etc/landfall".as_ref());
        let key = site.install_channel[1].jump[0].key.as_ref();
        assert!(matches!(key, Some(Given::File(path)) if path.as_os_str() == "/etc/landfall/k"), "{key:?}");
    }

    #[test]
    fn all_that_is_wrong_with_a_channel_is_told() {
        let wrong = "[[install_channel]]\nid = 5\ncloud = 3\njump = []\nbehind_proxy = true\n".repeat(2);
        let faults = site(&wrong).faults().join("\n");
        for text in ["there is no cloud 3", "needs a jump server", "stands there twice"] {
            assert!(faults.contains(text), "{text}: {faults}");
        }
    }
}
