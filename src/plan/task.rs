//! A host with what the site says of it: what a host task is recorded as.
//!
//! Never here: on which ports an agent reports (`render` takes those of the access point).

use std::net::IpAddr;

use super::outline::{by_hand, with_choice};
use crate::domain::host::{Address, HostSpec, NEAREST};
use crate::domain::job::JobKind;
use crate::domain::package::Role;
use crate::domain::plan::Step;
use crate::domain::site::Site;
use crate::domain::spec::{Part, TaskSpec};

/// What hosts of one kind of job find around them.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The site.
    pub site: &'a Site,
    /// What is done on the hosts.
    pub kind: JobKind,
    /// The proxies that carry connections into their clouds.
    pub carrying: &'a [Address],
}

/// The host task of `host` with that outline.
#[must_use]
pub fn spec(place: &Place<'_>, host: HostSpec, outline: &[Step]) -> TaskSpec {
    let site = place.site;
    let is_open = host.ap_id == NEAREST;
    let chooses = is_open && place.kind.configures();
    TaskSpec {
        access_point: site
            .access_points_of(&host)
            .into_iter()
            .find(|point| is_open || point.id == host.ap_id)
            .unwrap_or_default(),
        cloud_name: site.cloud(host.bk_cloud_id).map(|cloud| cloud.name.clone()).unwrap_or_default(),
        upstream: upstream(place, &host),
        outline: match (host.is_manual, chooses) {
            (true, _) => by_hand(outline),
            (false, true) => with_choice(outline),
            (false, false) => outline.to_vec(),
        },
        part: Part::Whole,
        host,
    }
}

/// The addresses that stand in for the access point's servers: those of the host's install channel, else the inner ones of the
/// proxies of its cloud. None for a proxy, which reports to the access point itself, and in cloud 0.
#[must_use]
pub fn upstream(place: &Place<'_>, host: &HostSpec) -> Vec<IpAddr> {
    let of_channel = host.install_channel_id.and_then(|id| place.site.channel(id)).map_or(&[][..], |channel| &channel.upstream);
    if place.kind.role() != Role::Agent {
        return Vec::new();
    }
    if !of_channel.is_empty() {
        return of_channel.to_vec();
    }
    let is_before = |proxy: &&Address| host.bk_cloud_id != 0 && proxy.cloud == host.bk_cloud_id;
    place.carrying.iter().filter(is_before).map(|proxy| proxy.ip).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: &str = "
        cloud = [{ id = 2 }, { id = 3 }]
        proxy = [
            { cloud = 2, inner_ip = \"192.0.2.10\", inner_ipv6 = \"fd00::10\", outer_ip = \"198.51.100.1\" },
            { cloud = 3, inner_ip = \"192.0.2.99\" },
            { cloud = 2, inner_ipv6 = \"fd00::11\" },
        ]
        install_channel = [
            { id = 5, cloud = 2, jump = [{ ip = \"192.0.2.20\" }], upstream = [\"192.0.2.20\", \"fd00::20\"] },
            { id = 6, cloud = 2, jump = [{ ip = \"192.0.2.21\" }] },
            { id = 7, jump = [{ ip = \"192.0.2.22\" }], upstream = [\"192.0.2.22\"] },
        ]";

    fn told(job: &str, cloud: i64, channel: Option<i64>) -> Vec<String> {
        let site: Site = toml::from_str(SITE).unwrap();
        assert_eq!(site.faults(), [""; 0]);
        let host = HostSpec { bk_cloud_id: cloud, install_channel_id: channel, ..site.proxy[0].host(1) };
        let carrying: Vec<Address> = site.proxies().collect();
        let place = Place { site: &site, kind: JobKind::from_wire(job).unwrap(), carrying: &carrying };
        upstream(&place, &host).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_agent_behind_proxies_reports_to_their_inner_addresses() {
        assert_eq!(told("INSTALL_AGENT", 2, None), ["192.0.2.10", "fd00::11"]);
        assert_eq!(told("RELOAD_AGENT", 3, None), ["192.0.2.99"]);
    }

    #[test]
    fn one_of_a_channel_reports_to_what_that_names() {
        assert_eq!(told("INSTALL_AGENT", 2, Some(5)), ["192.0.2.20", "fd00::20"]);
        assert_eq!(told("INSTALL_AGENT", 0, Some(7)), ["192.0.2.22"]);
        assert_eq!(told("INSTALL_AGENT", 2, Some(6)), ["192.0.2.10", "fd00::11"], "it names nothing");
    }

    #[test]
    fn a_proxy_and_an_agent_of_cloud_0_report_to_the_access_point() {
        assert_eq!(told("INSTALL_AGENT", 0, None), [""; 0]);
        for channel in [None, Some(5)] {
            assert_eq!(told("INSTALL_PROXY", 2, channel), [""; 0]);
        }
    }
}
