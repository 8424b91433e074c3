//! A proxy that the site file declares: known without a job.
//!
//! Never here: reading what a secret refers to (`config`), and connections through a proxy (`transport`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, de};

use super::{Paths, Site};
use crate::domain::credential::{Retention, Secret};
use crate::domain::host::{Address, Addressing, AuthType, HostSpec};
use crate::domain::package::Role;

/// A declared proxy.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proxy {
    /// The zone it leads into.
    pub cloud: i64,
    /// Its `bk_host_id`.
    pub host_id: Option<i64>,
    /// Its `bk_biz_id`.
    pub business: Option<i64>,
    /// Inner address, v4.
    pub inner_ip: Option<Ipv4Addr>,
    /// Inner address, v6.
    pub inner_ipv6: Option<Ipv6Addr>,
    /// Outer addresses, a comma list.
    #[serde(default)]
    pub outer_ip: String,
    /// Outer address, v6.
    pub outer_ipv6: Option<Ipv6Addr>,
    /// The install channel through whose jump servers it is reached itself.
    pub install_channel_id: Option<i64>,
    /// sshd's port.
    #[serde(default = "ssh_port")]
    pub port: u16,
    /// Who logs in.
    #[serde(default = "root")]
    pub account: String,
    /// For the login; with a key for sudo only.
    pub password: Option<Given>,
    /// Private key.
    pub key: Option<Given>,
    /// Opens an encrypted key.
    pub passphrase: Option<Given>,
    /// For sudo, when that is not `password`.
    pub sudo_password: Option<Given>,
}

/// How to log in to a gateway.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    /// Who logs in.
    pub account: &'a str,
    /// The password; with a key its passphrase, when that is not given.
    pub password: Option<&'a Given>,
    /// Private key.
    pub key: Option<&'a Given>,
    /// Opens an encrypted key.
    pub passphrase: Option<&'a Given>,
}

/// A secret of the site file: written down, or where it is.
#[derive(Clone, Debug)]
pub enum Given {
    /// The secret itself.
    Text(Secret),
    /// A variable of the environment that has it.
    Env(String),
    /// A file that has it.
    File(PathBuf),
}

impl Given {
    /// A relative file is looked up in `base`.
    pub(super) fn look_in(&mut self, base: &Path) {
        if let Self::File(path) = self {
            *path = base.join(&*path);
        }
    }
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Text(String),
            Reference(std::collections::BTreeMap<String, String>),
        }
        // No message of a parser: it would quote what it could not use.
        let wrong = || de::Error::custom("must be text, { env = \"NAME\" } or { file = \"PATH\" }");
        match Form::deserialize(deserializer).map_err(|_| wrong())? {
            Form::Text(text) => Ok(Self::Text(text.into())),
            Form::Reference(reference) => match reference.iter().next() {
                Some((kind, name)) if reference.len() == 1 && kind == "env" => Ok(Self::Env(name.clone())),
                Some((kind, path)) if reference.len() == 1 && kind == "file" => Ok(Self::File(path.into())),
                _ => Err(wrong()),
            },
        }
    }
}

pub(super) fn ssh_port() -> u16 {
    22
}

pub(super) fn root() -> String {
    "root".into()
}

impl Proxy {
    /// Where it is. `None` never happens for a site without faults.
    #[must_use]
    pub fn address(&self) -> Option<Address> {
        let ip = self.inner_ip.map(IpAddr::V4).or(self.inner_ipv6.map(IpAddr::V6))?;
        Some(Address { cloud: self.cloud, ip })
    }

    /// Where it is dialled from here: outer before inner (DESIGN 2).
    #[must_use]
    pub fn dial(&self) -> Option<IpAddr> {
        self.dials().into_iter().next()
    }

    /// All addresses to be dialled, in that order.
    #[must_use]
    pub fn dials(&self) -> Vec<IpAddr> {
        self.host(0).dials(Role::Proxy)
    }

    /// What a job takes it for, with that access point.
    #[must_use]
    pub fn host(&self, ap_id: i64) -> HostSpec {
        HostSpec {
            bk_biz_id: self.business.unwrap_or_default(),
            bk_cloud_id: self.cloud,
            bk_host_id: self.host_id,
            bk_addressing: Addressing::Static,
            ap_id,
            install_channel_id: self.install_channel_id,
            inner_ip: self.inner_ip,
            inner_ipv6: self.inner_ipv6,
            outer_ip: self.outer_ip.clone(),
            outer_ipv6: self.outer_ipv6,
            login_ip: None,
            data_ip: None,
            os_type: None,
            auth_type: if self.key.is_some() { AuthType::Key } else { AuthType::Password },
            account: self.account.clone(),
            port: self.port,
            accept_new_host_key: false,
            is_manual: false,
            // The site file has its login; the job needs no copy of it afterwards.
            retention: Retention(0),
            peer_exchange_switch_for_agent: true,
            bt_speed_limit: 0,
            enable_compression: false,
            data_path: None,
            paths: Paths::default(),
            vars: serde_json::Map::new(),
        }
    }

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
        let given = [&self.password, &self.key, &self.passphrase, &self.sudo_password];
        ["password", "key", "passphrase", "sudo_password"]
            .into_iter()
            .zip(given)
            .filter_map(|(key, given)| Some((key, given.as_ref()?)))
    }

    fn faults(&self, site: &Site) -> Vec<String> {
        let mut faults = Vec::new();
        if self.address().is_none() {
            faults.push("needs inner_ip or inner_ipv6".to_owned());
        }
        if self.cloud == 0 {
            faults.push("cloud 0 is reached directly and has no proxies".to_owned());
        } else if site.cloud(self.cloud).is_none() {
            faults.push(format!("there is no cloud {}", self.cloud));
        }
        if let Some(id) = self.business.filter(|id| !site.knows_business(*id)) {
            faults.push(format!("there is no business {id}"));
        }
        if self.host_id.is_some_and(|id| id < 1) {
            faults.push("host_id must be at least 1".to_owned());
        }
        match self.install_channel_id.map(|id| (id, site.channel(id))) {
            Some((id, None)) => faults.push(format!("there is no install channel {id}")),
            Some((id, Some(channel))) if channel.behind_proxy => {
                faults.push(format!("install channel {id} is behind the proxies of its cloud itself"));
            }
            _ => {}
        }
        if self.port == 0 {
            faults.push("port must be between 1 and 65535".to_owned());
        }
        let outer = self.outer_ip.split(',').map(str::trim).filter(|item| !item.is_empty());
        faults.extend(
            outer.filter(|item| item.parse::<IpAddr>().is_err()).map(|item| format!("outer_ip: `{item}` is not an IP address")),
        );
        faults
    }
}

impl Site {
    /// Relative files of secrets are those of this directory: the site file's own.
    pub fn look_in(&mut self, base: &Path) {
        let proxies = self.proxy.iter_mut();
        let of_proxies =
            proxies.flat_map(|proxy| [&mut proxy.password, &mut proxy.key, &mut proxy.passphrase, &mut proxy.sudo_password]);
        let jumps = self.install_channel.iter_mut().flat_map(|channel| &mut channel.jump);
        let of_jumps = jumps.flat_map(|jump| [&mut jump.password, &mut jump.key, &mut jump.passphrase]);
        of_proxies.chain(of_jumps).flatten().for_each(|given| given.look_in(base));
    }

    /// Where the declared proxies are.
    pub fn proxies(&self) -> impl Iterator<Item = Address> {
        self.proxy.iter().filter_map(Proxy::address)
    }

    /// The declared proxy at an address.
    #[must_use]
    pub fn proxy_at(&self, address: Address) -> Option<&Proxy> {
        self.proxy.iter().find(|proxy| proxy.address() == Some(address))
    }

    /// The declared proxy with a `bk_host_id`.
    #[must_use]
    pub fn proxy_numbered(&self, id: i64) -> Option<&Proxy> {
        self.proxy.iter().find(|proxy| proxy.host_id == Some(id))
    }

    /// Everything wrong with the declared proxies.
    pub(super) fn proxy_faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let (mut places, mut ids) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
        for (index, proxy) in self.proxy.iter().enumerate() {
            let mut of_this = proxy.faults(self);
            if let Some(address) = proxy.address().filter(|address| !places.insert(*address)) {
                of_this.push(format!("{address} stands there twice"));
            }
            if let Some(id) = proxy.host_id.filter(|id| !ids.insert(*id)) {
                of_this.push(format!("host_id {id} stands there twice"));
            }
            faults.extend(of_this.into_iter().map(|fault| format!("proxy[{index}]: {fault}")));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(proxies: &str) -> Result<Site, toml::de::Error> {
        toml::from_str(&format!("[[cloud]]\nid = 2\n[[business]]\nid = 2\n{proxies}"))
    }

    #[test]
    fn a_proxy_has_defaults_and_keeps_its_secrets_to_itself() {
        let text =
            "[[proxy]]\ncloud = 2\nhost_id = 100\ninner_ip = \"192.0.2.10\"\npassword = \"geheim\"\nkey = { file = \"k\" }\n";
        let site = site(text).unwrap();
        assert_eq!(site.faults(), Vec::<String>::new());
        let proxy = site.proxy_numbered(100).unwrap();
        assert_eq!((proxy.port, proxy.account.as_str()), (22, "root"));
        assert!(matches!(proxy.key, Some(Given::File(_))));
        assert_eq!(proxy.secrets().map(|(key, _)| key).collect::<Vec<_>>(), ["password", "key"]);
        assert!(!format!("{site:?}").contains("geheim"));
        assert_eq!(site.proxies().collect::<Vec<_>>(), [Address { cloud: 2, ip: [192, 0, 2, 10].into() }]);
    }

    #[test]
    fn everything_wrong_with_a_proxy_is_told_with_its_place() {
        let text = "[[proxy]]\ncloud = 0\ninner_ip = \"192.0.2.10\"\n[[proxy]]\ncloud = 3\nport = 0\nhost_id = 0\nbusiness = 9\n\
            [[proxy]]\ncloud = 2\ninner_ipv6 = \"fd00::1\"\nhost_id = 7\ninstall_channel_id = 9\n\
            [[proxy]]\ncloud = 2\ninner_ipv6 = \"fd00::1\"\nhost_id = 7\nouter_ip = \"192.0.2.1, x\"\n";
        let expected = [
            "proxy[0]: cloud 0 is reached directly and has no proxies",
            "proxy[1]: needs inner_ip or inner_ipv6",
            "proxy[1]: there is no cloud 3",
            "proxy[1]: there is no business 9",
            "proxy[1]: host_id must be at least 1",
            "proxy[1]: port must be between 1 and 65535",
            "proxy[2]: there is no install channel 9",
            "proxy[3]: outer_ip: `x` is not an IP address",
            "proxy[3]: fd00::1 (cloud 2) stands there twice",
            "proxy[3]: host_id 7 stands there twice",
        ];
        assert_eq!(site(text).unwrap().faults(), expected);
    }

    #[test]
    fn a_secret_that_is_none_is_refused_without_being_quoted() {
        for wrong in ["4711", "[\"geheim\"]", "{ geheim = \"x\" }", "{ env = \"geheim\", file = \"x\" }"] {
            let refusal = site(&format!("[[proxy]]\ncloud = 2\nkey = {wrong}\n")).unwrap_err();
            let message = refusal.message();
            assert!(message.contains("must be text") && !message.contains("geheim"), "{message}");
        }
    }
}
