//! The gateways of the site file, with their logins: proxies of clouds, jump servers of install channels.
//!
//! A login that cannot be read makes its gateway unusable here, and nothing else: another machine may have it, and jobs for other
//! clouds go on.

use std::net::IpAddr;
use std::sync::Arc;

use crate::config;
use crate::domain::credential::{Auth, Secret};
use crate::domain::host::Address;
use crate::domain::site::{Access, Given, InstallChannel, Jump, Proxy, Site};
use crate::engine::gateways::{KnownGateway, Leads};
use crate::transport::{Gateway, Login, Target};

/// All of them.
pub(super) fn known(site: &Site) -> Vec<KnownGateway> {
    let of_clouds = site.proxy.iter().enumerate().map(|(index, proxy)| KnownGateway {
        leads: Leads::Cloud(proxy.cloud),
        gateway: of_proxy(proxy, site).map(Arc::new).map_err(|why| format!("proxy[{index}]: {why}")),
    });
    let of_channels = site.install_channel.iter().flat_map(|channel| of_channel(channel, site));
    of_clouds.chain(of_channels).collect()
}

fn of_proxy(proxy: &Proxy, site: &Site) -> Result<Gateway, String> {
    let (address, dial) = proxy.address().zip(proxy.dial()).ok_or("it has no address")?;
    let target = Target { address, dial, port: proxy.port, legacy: site.allows_legacy(dial), accepts_new_key: false, via: None };
    Ok(Gateway { target, login: login(proxy.access())? })
}

/// Each jump server; behind each proxy of the cloud, where the channel says so.
fn of_channel(channel: &InstallChannel, site: &Site) -> Vec<KnownGateway> {
    let known = |jump: &Jump, via: Option<Result<Gateway, String>>| {
        let gateway = via.transpose().and_then(|via| of_jump(jump, via.map(Arc::new), site));
        let gateway = gateway.map(Arc::new).map_err(|why| format!("install_channel {}: {}: {why}", channel.id, jump.ip));
        KnownGateway { leads: Leads::Channel(channel.id), gateway }
    };
    if !channel.behind_proxy {
        return channel.jump.iter().map(|jump| known(jump, None)).collect();
    }
    let proxies: Vec<&Proxy> = site.proxy.iter().filter(|proxy| proxy.cloud == channel.cloud).collect();
    let chains = channel.jump.iter().flat_map(|jump| proxies.iter().map(move |proxy| (jump, *proxy)));
    chains.map(|(jump, proxy)| known(jump, Some(of_proxy(proxy, site)))).collect()
}

fn of_jump(jump: &Jump, via: Option<Arc<Gateway>>, site: &Site) -> Result<Gateway, String> {
    // One that is dialled from here is of no cloud but ours.
    let cloud = via.as_ref().map_or(0, |proxy| proxy.target.address.cloud);
    let (ip, port): (IpAddr, u16) = (jump.ip, jump.port);
    let target =
        Target { address: Address { cloud, ip }, dial: ip, port, legacy: site.allows_legacy(ip), accepts_new_key: false, via };
    Ok(Gateway { target, login: login(jump.access())? })
}

/// Reads what the login refers to; a key's passphrase is `passphrase`, else `password` (DESIGN 2).
fn login(access: Access<'_>) -> Result<Login, String> {
    let read = |given: Option<&Given>| -> Result<Option<Secret>, String> { given.map(config::given).transpose() };
    let password = read(access.password)?;
    let auth = match (read(access.key)?, password) {
        (Some(pem), password) => Auth::Key { pem, passphrase: read(access.passphrase)?.or(password) },
        (None, Some(password)) => Auth::Password(password),
        (None, None) => return Err("it has neither key nor password".into()),
    };
    Ok(Login { account: access.account.to_owned(), auth })
}
