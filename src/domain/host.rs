//! A host as the request describes it, checked and with its defaults filled in.
//!
//! Never here: secrets ([`super::credential`]) and what a probe finds ([`super::facts`]).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::credential::Retention;
use super::package::Role;
use super::site::Paths;

/// Operating systems of the published contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Os {
    /// Any Linux distribution.
    #[default]
    Linux,
    /// Windows with an SSH server.
    Windows,
    /// AIX 6 and later.
    Aix,
    /// Solaris 10 and later.
    Solaris,
}

impl Os {
    /// The word on the wire and in manifests (there in lower case).
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Linux => "LINUX",
            Self::Windows => "WINDOWS",
            Self::Aix => "AIX",
            Self::Solaris => "SOLARIS",
        }
    }

    /// Its name in sentences.
    #[must_use]
    pub fn shown(self) -> &'static str {
        match self {
            Self::Linux => "Linux",
            Self::Windows => "Windows",
            Self::Aix => "AIX",
            Self::Solaris => "Solaris",
        }
    }

    /// What `uname -s` says of it, and `%OS%` of Windows.
    #[must_use]
    pub fn from_uname(name: &str) -> Option<Self> {
        match name {
            "Linux" => Some(Self::Linux),
            "AIX" => Some(Self::Aix),
            "SunOS" => Some(Self::Solaris),
            "Windows_NT" => Some(Self::Windows),
            _ => None,
        }
    }

    /// What a package is for; `None` when it is for any.
    #[must_use]
    pub fn of_package(os: &str) -> Option<Self> {
        [Self::Linux, Self::Windows, Self::Aix, Self::Solaris].into_iter().find(|known| known.word().eq_ignore_ascii_case(os))
    }
}

/// What a host runs, as far as files for it depend on that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct System {
    /// Which system.
    pub os: Os,
    /// Windows: the code page in which its batch files are read.
    pub codepage: Option<u32>,
}

/// How the host proves the login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuthType {
    /// By password; the default.
    #[serde(rename = "PASSWORD")]
    Password,
    /// By private key.
    #[serde(rename = "KEY")]
    Key,
    /// By a key that the ssh-agent of whoever started the job holds (extension).
    #[serde(rename = "AGENT")]
    Agent,
    /// By a password that an external vault gives at run time.
    #[serde(rename = "TJJ_PASSWORD")]
    Vault,
}

/// Whether the address belongs to the host for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Addressing {
    /// Wire 0.
    #[default]
    Static,
    /// Wire 1.
    Dynamic,
}

/// What makes two entries the same host: the cloud and the inner address, never the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Address {
    /// Network zone; 0 is reached directly.
    pub cloud: i64,
    /// Inner address, v4 when the host has one.
    pub ip: IpAddr,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.cloud == 0 { self.ip.fmt(f) } else { write!(f, "{} (cloud {})", self.ip, self.cloud) }
    }
}

/// The `ap_id` of a host that is to get the nearest access point.
pub const NEAREST: i64 = -1;

/// One host of a request. Field names are the wire's, so that templates and the record speak the same words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostSpec {
    /// Business the host belongs to.
    pub bk_biz_id: i64,
    /// Network zone; 0 is reached directly.
    pub bk_cloud_id: i64,
    /// The inventory's id, when the caller knows it.
    pub bk_host_id: Option<i64>,
    /// Static by default.
    pub bk_addressing: Addressing,
    /// Access point; [`NEAREST`] asks for the nearest.
    pub ap_id: i64,
    /// Install channel; -1 asks for one by network.
    pub install_channel_id: Option<i64>,
    /// Inner address, v4.
    pub inner_ip: Option<Ipv4Addr>,
    /// Inner address, v6.
    pub inner_ipv6: Option<Ipv6Addr>,
    /// Outer addresses, a comma list.
    pub outer_ip: String,
    /// Outer address, v6.
    pub outer_ipv6: Option<Ipv6Addr>,
    /// Where to log in when that is not the inner address.
    pub login_ip: Option<IpAddr>,
    /// Address for data traffic; agent configuration only.
    pub data_ip: Option<IpAddr>,
    /// Absent: the probe finds it.
    pub os_type: Option<Os>,
    /// PASSWORD by default.
    pub auth_type: AuthType,
    /// root by default, Administrator on Windows.
    pub account: String,
    /// sshd's port, 22 by default.
    pub port: u16,
    /// Another host key may take the place of the pinned one, once (extension).
    #[serde(default)]
    pub accept_new_host_key: bool,
    /// A person installs it; nobody logs in.
    pub is_manual: bool,
    /// Days the credential is kept after the job, 1 by default.
    pub retention: Retention,
    /// Agent configuration; true by default.
    pub peer_exchange_switch_for_agent: bool,
    /// MB/s (10^6 bytes of payload), 0 = no limit: for the upload and for the agent's configuration.
    pub bt_speed_limit: u32,
    /// Send a recompressed form when that is smaller; also agent configuration.
    pub enable_compression: bool,
    /// Agent configuration; also overrides the access point's data path.
    pub data_path: Option<String>,
    /// Paths that replace the access point's (extension).
    pub paths: Paths,
    /// Package variables of this host (extension).
    pub vars: serde_json::Map<String, serde_json::Value>,
}

impl HostSpec {
    /// Which host this is. `None` never happens for a spec that passed the request's checks.
    #[must_use]
    pub fn address(&self) -> Option<Address> {
        let ip = self.inner_ip.map(IpAddr::V4).or(self.inner_ipv6.map(IpAddr::V6))?;
        Some(Address { cloud: self.bk_cloud_id, ip })
    }

    /// Where to log in: login_ip, else inner v4, else inner v6 (DESIGN 2).
    #[must_use]
    pub fn login_address(&self) -> Option<IpAddr> {
        self.login_ip.or(self.address().map(|address| address.ip))
    }

    /// [`Self::login_address`] of a host with that role: a proxy stands in a network that is not ours, so its outer addresses
    /// come before its inner ones.
    #[must_use]
    pub fn dial(&self, role: Role) -> Option<IpAddr> {
        self.dials(role).into_iter().next()
    }

    /// All addresses to be dialled, in that order: a proxy may have several outer ones.
    #[must_use]
    pub fn dials(&self, role: Role) -> Vec<IpAddr> {
        if let Some(login) = self.login_ip {
            return vec![login];
        }
        let listed = self.outer_ip.split(',').filter_map(|item| item.trim().parse().ok());
        let outer: Vec<IpAddr> =
            if role == Role::Proxy { listed.chain(self.outer_ipv6.map(IpAddr::V6)).collect() } else { Vec::new() };
        if outer.is_empty() { self.address().map(|address| address.ip).into_iter().collect() } else { outer }
    }
}
