//! What the operator declares: businesses, clouds, access points, limits, defaults (format: DESIGN 10).
//!
//! Never here: reading the file and its environment (`config`). An unknown key is a fault: a misspelt limit must not
//! pass for the default.

mod access_point;
mod api;
mod channel;
mod privilege;
mod proxy;
pub mod servers;
pub mod target_path;
mod vault;

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::caller::App;
use super::host::{Address, HostSpec};
pub use access_point::AccessPoint;
pub use api::ApiPolicy;
pub use channel::{InstallChannel, Jump};
pub use privilege::{Method, PrivilegeRule};
pub use proxy::{Access, Given, Proxy};
pub use vault::Vault;

/// Language of API messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Chinese, the API's default.
    #[default]
    Zh,
    /// English.
    En,
}

/// The site file. `Site::default()` is what applies without one.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Site {
    /// Of API messages.
    pub language: Language,
    /// A cloud without proxy drops its hosts only, not the whole request.
    pub partial_no_proxy: bool,
    /// Limits of this process.
    pub limits: Limits,
    /// How sshd is spoken to.
    pub ssh: SshPolicy,
    /// Known businesses; none declared = every one is accepted.
    pub business: Vec<Business>,
    /// Known network zones besides 0.
    pub cloud: Vec<Cloud>,
    /// Access points; none declared = access point 1 with built-in paths.
    pub access_point: Vec<AccessPoint>,
    /// Proxies known without a job.
    pub proxy: Vec<Proxy>,
    /// Install channels.
    pub install_channel: Vec<InstallChannel>,
    /// Who may call the HTTP API.
    pub app: Vec<App>,
    /// Where TJJ_PASSWORD asks.
    pub vault: Option<Vault>,
    /// Networks that are never touched.
    pub blacklist: Vec<Blacklist>,
    /// How root is reached where it is not by sudo.
    pub privilege: Vec<PrivilegeRule>,
    /// The HTTP door.
    pub api: ApiPolicy,
    /// Values of agent configuration when a request leaves them out.
    pub agent_defaults: Option<toml::Value>,
    /// Package name per role when a job names none.
    pub default_package: BTreeMap<String, String>,
}

/// Limits of this process. 0 means none where it says so.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Host tasks in flight.
    pub concurrency: usize,
    /// Uploads in flight.
    pub uploads: usize,
    /// TCP connects begun per second; 0 = no limit.
    pub connects_per_second: u32,
    /// Handshakes in flight per endpoint: sshd's MaxStartups drops at random from 10 on.
    pub handshakes_per_endpoint: usize,
    /// Payload budget of the process in MB/s; 0 = none.
    pub upload_mb_per_s: u32,
    /// Payload budget of one gateway in MB/s; 0 = none.
    pub gateway_mb_per_s: u32,
    /// Deadline of one script run, seconds.
    pub script_timeout_s: u64,
    /// How long a job stays held by an executor that fell silent, seconds (PostgreSQL).
    pub lease_s: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrency: 200,
            uploads: 20,
            connects_per_second: 50,
            handshakes_per_endpoint: 8,
            upload_mb_per_s: 0,
            gateway_mb_per_s: 0,
            script_timeout_s: 600,
            lease_s: 15,
        }
    }
}

/// What an unknown or changed host key means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostKeyPolicy {
    /// The first key is pinned in the record; another one later is refused.
    #[default]
    AcceptNew,
    /// Only pinned keys.
    Strict,
    /// Only keys of a known_hosts file.
    #[serde(rename = "known_hosts")]
    KnownHosts,
    /// No check, logged at every start.
    Off,
}

/// How sshd is spoken to.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SshPolicy {
    /// What an unknown or changed host key means.
    pub host_keys: HostKeyPolicy,
    /// known_hosts file for `host_keys = "known_hosts"`.
    pub known_hosts: Option<String>,
    /// Host patterns that may use SHA-1 key exchange and ssh-rsa.
    pub legacy_algorithms: Vec<String>,
    /// Deadline of TCP connect, and again of the handshake, seconds.
    pub connect_timeout_s: u64,
}

impl Default for SshPolicy {
    fn default() -> Self {
        Self { host_keys: HostKeyPolicy::AcceptNew, known_hosts: None, legacy_algorithms: Vec::new(), connect_timeout_s: 15 }
    }
}

/// Hosts that are never touched: those in all that is given, `clouds` and `networks`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blacklist {
    /// Clouds; none given = all.
    #[serde(default)]
    pub clouds: Vec<i64>,
    /// Networks of inner addresses (`10.9.0.0/16`); none given = all.
    #[serde(default)]
    pub networks: Vec<IpNet>,
    /// Shown to whoever asks for such a host.
    #[serde(default)]
    pub reason: String,
}

impl Blacklist {
    /// Does it name this host?
    #[must_use]
    pub fn names(&self, host: Address) -> bool {
        (self.clouds.is_empty() || self.clouds.contains(&host.cloud))
            && (self.networks.is_empty() || self.networks.iter().any(|network| network.contains(&host.ip)))
    }
}

/// A business (tenant).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Business {
    /// `bk_biz_id`.
    pub id: i64,
    /// `bk_biz_name`.
    #[serde(default)]
    pub name: String,
}

/// A network zone.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cloud {
    /// `bk_cloud_id`.
    pub id: i64,
    /// `bk_cloud_name`.
    #[serde(default)]
    pub name: String,
    /// Access point of hosts that name none.
    pub access_point: Option<i64>,
}

/// Places on a target; what is `None` has the built-in default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Paths {
    /// Packages live in `<setup_path>/<name>`.
    pub setup_path: Option<String>,
    /// Agent data.
    pub data_path: Option<String>,
    /// Pid files and sockets; may be a tmpfs.
    pub run_path: Option<String>,
    /// Agent logs.
    pub log_path: Option<String>,
    /// A value for the agent's configuration only.
    pub temp_path: Option<String>,
}

impl Paths {
    /// Their wire names.
    pub const KEYS: [&str; 5] = ["setup_path", "data_path", "run_path", "log_path", "temp_path"];

    /// `self` where it says something, else `base`.
    #[must_use]
    pub fn over(&self, base: &Self) -> Self {
        let pick = |own: &Option<String>, base: &Option<String>| own.clone().or_else(|| base.clone());
        Self {
            setup_path: pick(&self.setup_path, &base.setup_path),
            data_path: pick(&self.data_path, &base.data_path),
            run_path: pick(&self.run_path, &base.run_path),
            log_path: pick(&self.log_path, &base.log_path),
            temp_path: pick(&self.temp_path, &base.temp_path),
        }
    }

    /// The given paths by wire name.
    pub fn given(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let paths = [&self.setup_path, &self.data_path, &self.run_path, &self.log_path, &self.temp_path];
        Self::KEYS.into_iter().zip(paths).filter_map(|(name, path)| path.as_deref().map(|path| (name, path)))
    }
}

/// All paths of one host, settled. Defaults are upstream's on Linux (`reference/upstream.md` 5.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostPaths {
    /// Packages live in `<setup_path>/<name>`.
    pub setup_path: String,
    /// Agent data.
    pub data_path: String,
    /// Pid files and sockets.
    pub run_path: String,
    /// Agent logs.
    pub log_path: String,
    /// A value for the agent's configuration only.
    pub temp_path: String,
}

impl HostPaths {
    /// Are they of Windows?
    #[must_use]
    pub fn is_windows(&self) -> bool {
        self.setup_path.as_bytes().get(1) == Some(&b':')
    }

    /// What stands between two names there.
    #[must_use]
    pub fn between(&self) -> &'static str {
        if self.is_windows() { "\\" } else { "/" }
    }

    /// Settles the paths of a Linux host: its own, over the job's, over the access point's, over the built-in ones.
    #[must_use]
    pub fn linux(paths: &Paths) -> Self {
        let or = |path: &Option<String>, default: &str| path.clone().unwrap_or_else(|| default.to_owned());
        Self {
            setup_path: or(&paths.setup_path, "/usr/local/gse"),
            data_path: or(&paths.data_path, "/var/lib/gse"),
            run_path: or(&paths.run_path, "/var/run/gse"),
            log_path: or(&paths.log_path, "/var/log/gse"),
            temp_path: or(&paths.temp_path, "/tmp"),
        }
    }

    /// The same of a Windows host, with `\` between the names, whatever was given.
    #[must_use]
    pub fn windows(paths: &Paths) -> Self {
        let or = |path: &Option<String>, default: &str| path.as_deref().unwrap_or(default).replace('/', "\\");
        Self {
            setup_path: or(&paths.setup_path, "C:\\gse"),
            data_path: or(&paths.data_path, "C:\\gse\\data"),
            run_path: or(&paths.run_path, "C:\\gse\\run"),
            log_path: or(&paths.log_path, "C:\\gse\\logs"),
            temp_path: or(&paths.temp_path, "C:\\tmp"),
        }
    }
}

impl Site {
    /// Everything in it that contradicts itself, each with its key.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut unique = |key: &str, ids: Vec<i64>| {
            let mut seen = std::collections::BTreeSet::new();
            faults.extend(ids.into_iter().filter(|id| !seen.insert(*id)).map(|id| format!("{key}: id {id} stands there twice")));
        };
        unique("business", self.business.iter().map(|business| business.id).collect());
        unique("cloud", self.cloud.iter().map(|cloud| cloud.id).collect());
        unique("access_point", self.access_point.iter().map(|point| point.id).collect());
        let points = self.access_points();
        for cloud in &self.cloud {
            if cloud.id == 0 {
                faults.push("cloud: 0 is the direct zone and is not declared".into());
            }
            if let Some(id) = cloud.access_point.filter(|id| !points.iter().any(|point| point.id == *id)) {
                faults.push(format!("cloud {}: there is no access point {id}", cloud.id));
            }
        }
        for point in &points {
            if point.id < 0 {
                faults.push(format!("access_point {}: id must not be negative: `ap_id: -1` asks for the nearest", point.id));
            }
            faults.extend(point.path_faults().map(|fault| format!("access_point {}: {fault}", point.id)));
        }
        for (key, value) in [("limits.concurrency", self.limits.concurrency), ("limits.uploads", self.limits.uploads)] {
            if value == 0 {
                faults.push(format!("{key}: must be at least 1"));
            }
        }
        if self.limits.script_timeout_s == 0 || self.ssh.connect_timeout_s == 0 {
            faults.push("limits.script_timeout_s, ssh.connect_timeout_s: must be at least 1".into());
        }
        if !(3..=3600).contains(&self.limits.lease_s) {
            faults.push("limits.lease_s: must be 3 to 3600".into());
        }
        faults.extend(self.proxy_faults());
        faults.extend(self.channel_faults());
        faults.extend(self.vault.iter().flat_map(Vault::faults));
        for (index, list) in self.blacklist.iter().enumerate() {
            if list.clouds.is_empty() && list.networks.is_empty() {
                faults.push(format!("blacklist[{index}]: names neither clouds nor networks"));
            }
        }
        for role in self.default_package.keys() {
            if !["agent", "proxy"].contains(&role.as_str()) {
                faults.push(format!("default_package: `{role}` is none of agent, proxy"));
            }
        }
        faults.extend(api::faults(self));
        faults.extend(privilege::faults(self));
        if self.ssh.host_keys == HostKeyPolicy::KnownHosts && self.ssh.known_hosts.is_none() {
            faults.push("ssh.known_hosts: is required with host_keys = \"known_hosts\"".into());
        }
        faults
    }

    /// The declared access points, or the built-in one.
    #[must_use]
    pub fn access_points(&self) -> Vec<AccessPoint> {
        if self.access_point.is_empty() { vec![AccessPoint::default()] } else { self.access_point.clone() }
    }

    /// The access points as a host gets to see them: behind the servers of its install channel, where that has some.
    #[must_use]
    pub fn access_points_of(&self, host: &HostSpec) -> Vec<AccessPoint> {
        let mut points = self.access_points();
        if let Some(channel) = host.install_channel_id.and_then(|id| self.channel(id)) {
            points.iter_mut().for_each(|point| channel.stands_in_for(point));
        }
        points
    }

    /// Is the business known? Every one is when none is declared.
    #[must_use]
    pub fn knows_business(&self, id: i64) -> bool {
        self.business.is_empty() || self.business.iter().any(|business| business.id == id)
    }

    /// Name of a business, empty when it is not declared.
    #[must_use]
    pub fn business_name(&self, id: i64) -> &str {
        self.business.iter().find(|business| business.id == id).map_or("", |business| business.name.as_str())
    }

    /// Why the site wants this host left alone, if it does.
    #[must_use]
    pub fn blacklisted(&self, host: Address) -> Option<&str> {
        self.blacklist.iter().find(|list| list.names(host)).map(|list| list.reason.as_str())
    }

    /// The declared cloud of that id.
    #[must_use]
    pub fn cloud(&self, id: i64) -> Option<&Cloud> {
        self.cloud.iter().find(|cloud| cloud.id == id)
    }

    /// May this address use the old algorithms (`*` stands for any run of characters)?
    #[must_use]
    pub fn allows_legacy(&self, ip: IpAddr) -> bool {
        let text = ip.to_string();
        self.ssh.legacy_algorithms.iter().any(|pattern| matches_pattern(pattern, &text))
    }
}

/// Does `text` fit `pattern`, where `*` stands for any run of characters? Each piece between two stars is taken where it is
/// first found, which is never worse than later, so that many stars cost no more than a few.
#[must_use]
pub fn matches_pattern(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    for piece in middle.split('*') {
        let Some((_, after)) = text.split_once(piece) else { return false };
        text = after;
    }
    text.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_stars_take_no_longer_than_a_few() {
        let (stars, text) = ("*a".repeat(60) + "b", "a".repeat(200));
        assert!(!matches_pattern(&stars, &text));
    }

    #[test]
    fn a_pattern_matches_by_its_stars() {
        for (pattern, text, fits) in [
            ("10.9.*", "10.9.1.2", true),
            ("10.9.*", "10.90.1.2", false),
            ("*.2", "10.9.1.2", true),
            ("*", "", true),
            ("10.9.1.2", "10.9.1.2", true),
            ("10.*.1.*", "10.9.1.2", true),
            ("10.*.1.*", "10.9.2.2", false),
            ("a*a", "a", false),
            ("*ab*ab", "ab", false),
            ("**b**", "abc", true),
            ("*ab*bc", "abc", false),
        ] {
            assert_eq!(matches_pattern(pattern, text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn a_blacklisted_host_is_one_that_all_given_parts_name() {
        let site: Site =
            toml::from_str("[[blacklist]]\nclouds = [0]\nnetworks = [\"10.9.0.0/16\", \"fd00::/8\"]\nreason = \"production\"\n")
                .unwrap();
        for (cloud, ip, named) in [(0, "10.9.1.2", true), (0, "fd00::1", true), (0, "10.8.1.2", false), (2, "10.9.1.2", false)] {
            let host = Address { cloud, ip: ip.parse().unwrap() };
            assert_eq!(site.blacklisted(host), named.then_some("production"), "{host}");
        }
    }

    #[test]
    fn paths_of_a_host_win_over_those_of_the_access_point() {
        let host = Paths { setup_path: Some("/opt/agents".into()), ..Paths::default() };
        let ap = Paths { setup_path: Some("/usr/local/gse".into()), log_path: Some("/logs".into()), ..Paths::default() };
        let settled = HostPaths::linux(&host.over(&ap));
        assert_eq!((settled.setup_path.as_str(), settled.log_path.as_str()), ("/opt/agents", "/logs"));
        assert_eq!(settled.data_path, "/var/lib/gse");
    }
}
