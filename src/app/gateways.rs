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
    let of_clouds = site.proxy.iter().enumerate().flat_map(|(index, proxy)| {
        let known = move |gateway: Result<Gateway, String>| KnownGateway {
            leads: Leads::Cloud(proxy.cloud),
            gateway: gateway.map(Arc::new).map_err(|why| format!("proxy[{index}]: {why}")),
        };
        of_proxy(proxy, site).into_iter().map(known)
    });
    let of_channels = site.install_channel.iter().flat_map(|channel| of_channel(channel, site));
    of_clouds.chain(of_channels).collect()
}

/// A proxy as it is dialled from here, or behind each jump server of its channel.
fn of_proxy(proxy: &Proxy, site: &Site) -> Vec<Result<Gateway, String>> {
    let behind = |via: Option<Gateway>| {
        let (address, dial) = proxy.address().zip(proxy.dial()).ok_or("it has no address")?;
        let (legacy, via) = (site.allows_legacy(dial), via.map(Arc::new));
        let target = Target { address, dial, port: proxy.port, legacy, accepts_new_key: false, via };
        Ok(Gateway { target, login: login(proxy.access())? })
    };
    match proxy.install_channel_id.and_then(|id| site.channel(id)) {
        None => vec![behind(None)],
        Some(channel) => channel.jump.iter().map(|jump| of_jump(jump, None, site).and_then(|jump| behind(Some(jump)))).collect(),
    }
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
    let proxies = || site.proxy.iter().filter(|proxy| proxy.cloud == channel.cloud).flat_map(|proxy| of_proxy(proxy, site));
    let chains = channel.jump.iter().flat_map(|jump| proxies().map(move |proxy| (jump, proxy)));
    chains.map(|(jump, proxy)| known(jump, Some(proxy))).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_behind_a_channel_is_reached_through_each_of_its_jump_servers_and_a_channel_through_each_proxy() {
        let site: Site = toml::from_str(
            r#"
            [[cloud]]
            id = 2
            [[proxy]]
            cloud = 2
            inner_ip = "10.2.0.1"
            outer_ip = "192.0.2.1, 192.0.2.9"
            password = "x"
            [[proxy]]
            cloud = 2
            inner_ip = "10.2.0.2"
            install_channel_id = 5
            password = "x"
            [[install_channel]]
            id = 5
            jump = [{ ip = "192.0.2.20", password = "x" }, { ip = "192.0.2.21", password = "x" }]
            [[install_channel]]
            id = 6
            cloud = 2
            behind_proxy = true
            jump = [{ ip = "10.2.0.20", password = "x" }]
            "#,
        )
        .unwrap();
        assert_eq!(site.faults(), [""; 0]);
        let ways: Vec<(Leads, String)> =
            known(&site).into_iter().map(|known| (known.leads, known.gateway.unwrap().target.endpoint())).collect();
        let proxies = ["192.0.2.1:22", "10.2.0.2:22 via 192.0.2.20:22", "10.2.0.2:22 via 192.0.2.21:22"];
        let jumps = ["192.0.2.20:22", "192.0.2.21:22"];
        let behind = proxies.map(|proxy| (Leads::Channel(6), format!("10.2.0.20:22 via {proxy}")));
        let expected: Vec<(Leads, String)> = (proxies.map(|proxy| (Leads::Cloud(2), proxy.to_owned())).into_iter())
            .chain(jumps.map(|jump| (Leads::Channel(5), jump.to_owned())))
            .chain(behind)
            .collect();
        assert_eq!(ways, expected);
    }
}
