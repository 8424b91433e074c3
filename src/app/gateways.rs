//! The gateways of the site file, with their logins (proxies of clouds, jump servers of install channels), and the proxies
//! that jobs installed.
//!
//! A login that cannot be read makes its gateway unusable here, and nothing else: another machine may have it, and jobs for other
//! clouds go on.

use std::net::IpAddr;
use std::sync::Arc;

use crate::config;
use crate::domain::credential::{Auth, Secret};
use crate::domain::host::Address;
use crate::domain::id::TaskId;
use crate::domain::package::Role;
use crate::domain::site::{Access, Given, InstallChannel, Jump, Site};
use crate::engine::gateways::roster::{MakeGateways, Roster};
use crate::engine::gateways::{KnownGateway, Leads};
use crate::transport::{Gateway, Login, Target};

/// Those of the site, and those of the record's proxies; the record wins.
pub(super) fn of(site: Arc<Site>) -> MakeGateways {
    Box::new(move |roster| known(&site, roster))
}

fn known(site: &Site, roster: &Roster) -> Vec<KnownGateway> {
    let proxies: Vec<KnownGateway> = proxies(site, roster);
    let of_channels: Vec<KnownGateway> =
        site.install_channel.iter().flat_map(|channel| of_channel(channel, site, &proxies)).collect();
    proxies.into_iter().chain(of_channels).collect()
}

fn proxies(site: &Site, roster: &Roster) -> Vec<KnownGateway> {
    let installed = |address: Address| roster.installed.iter().any(|proxy| proxy.spec.address() == Some(address));
    let carries = |address: Option<Address>| address.is_none_or(|address| !roster.retired.contains(&address));
    let declared = site.proxy.iter().enumerate().filter(|(_, proxy)| {
        // A proxy that a job installed is known better: its login was just used.
        carries(proxy.address()) && !proxy.address().is_some_and(installed)
    });
    let declared = declared.flat_map(|(index, proxy)| {
        let (address, dials) = (proxy.address(), proxy.dials());
        let login = || login(proxy.access()).map_err(|why| format!("proxy[{index}]: {why}"));
        let (port, channel, cloud) = (proxy.port, proxy.install_channel_id, proxy.cloud);
        of_proxy(Way { address, dials, port, channel, cloud, version: None }, &login, site)
    });
    let recorded = roster.installed.iter().filter(|proxy| carries(proxy.spec.address())).flat_map(|proxy| {
        let spec = &proxy.spec;
        let (address, dials) = (spec.address(), spec.dials(Role::Proxy));
        let login = || proxy.login.clone();
        let (port, channel, cloud) = (spec.port, spec.install_channel_id, spec.bk_cloud_id);
        of_proxy(Way { address, dials, port, channel, cloud, version: proxy.version }, &login, site)
    });
    declared.chain(recorded).collect()
}

/// Where a proxy is.
struct Way {
    address: Option<Address>,
    /// Its addresses, the one that is dialled first before the others.
    dials: Vec<IpAddr>,
    port: u16,
    channel: Option<i64>,
    cloud: i64,
    version: Option<TaskId>,
}

/// A proxy as it is dialled from here, or behind each jump server of its channel.
fn of_proxy(way: Way, login: &dyn Fn() -> Result<Login, String>, site: &Site) -> Vec<KnownGateway> {
    let Way { address, dials, port, channel, cloud, version } = way;
    let at = |dial: IpAddr, via: Option<Gateway>| {
        let address = address.ok_or("it has no address")?;
        let target =
            Target { address, dial, port, legacy: site.allows_legacy(dial), accepts_new_key: false, via: via.map(Arc::new) };
        Ok(Gateway { target, login: login()? })
    };
    let ways = |dial: IpAddr| -> Vec<Result<Gateway, String>> {
        match channel.and_then(|id| site.channel(id)) {
            None => vec![at(dial, None)],
            Some(channel) => {
                channel.jump.iter().map(|jump| of_jump(jump, None, site).and_then(|jump| at(dial, Some(jump)))).collect()
            }
        }
    };
    let known = |(rank, gateway): (usize, Result<Gateway, String>)| KnownGateway {
        version,
        rank,
        leads: Leads::Cloud(cloud),
        gateway: gateway.map(Arc::new),
    };
    let ranked = dials.into_iter().enumerate().flat_map(|(rank, dial)| ways(dial).into_iter().map(move |way| (rank, way)));
    ranked.map(known).collect()
}

/// Each jump server; behind each proxy of the cloud, where the channel says so.
fn of_channel(channel: &InstallChannel, site: &Site, proxies: &[KnownGateway]) -> Vec<KnownGateway> {
    let known = |jump: &Jump, via: Option<&KnownGateway>| {
        let (version, rank) = via.map_or((None, 0), |via| (via.version, via.rank));
        let via = via.map(|via| via.gateway.clone()).transpose();
        let gateway = via.and_then(|via| of_jump(jump, via, site));
        let gateway = gateway.map(Arc::new).map_err(|why| format!("install_channel {}: {}: {why}", channel.id, jump.ip));
        KnownGateway { version, rank, leads: Leads::Channel(channel.id), gateway }
    };
    if !channel.behind_proxy {
        return channel.jump.iter().map(|jump| known(jump, None)).collect();
    }
    let leading = || proxies.iter().filter(|proxy| proxy.leads == Leads::Cloud(channel.cloud));
    let chains = channel.jump.iter().flat_map(|jump| leading().map(move |proxy| (jump, proxy)));
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
        let ways: Vec<(Leads, String)> = known(&site, &Roster::default())
            .into_iter()
            .map(|known| (known.leads, known.gateway.unwrap().target.endpoint()))
            .collect();
        let proxies = ["192.0.2.1:22", "192.0.2.9:22", "10.2.0.2:22 via 192.0.2.20:22", "10.2.0.2:22 via 192.0.2.21:22"];
        let jumps = ["192.0.2.20:22", "192.0.2.21:22"];
        let behind = proxies.map(|proxy| (Leads::Channel(6), format!("10.2.0.20:22 via {proxy}")));
        let expected: Vec<(Leads, String)> = (proxies.map(|proxy| (Leads::Cloud(2), proxy.to_owned())).into_iter())
            .chain(jumps.map(|jump| (Leads::Channel(5), jump.to_owned())))
            .chain(behind)
            .collect();
        assert_eq!(ways, expected);
    }
}
