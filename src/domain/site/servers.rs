//! The servers of an access point: `address:port`, `[v6]:port`, or an address alone.
//!
//! Never here: dialling one.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::AccessPoint;

/// Server lists by purpose.
pub type Servers = BTreeMap<String, Vec<String>>;

/// The purposes that are always there, if only with an empty list (`reference/upstream.md` 7.2).
pub const PURPOSES: [&str; 3] = ["cluster", "file", "data"];

/// A server in its two parts; a port that is none belongs to the address. A bare IPv6 address ends like one with a port.
#[must_use]
pub fn split(server: &str) -> (&str, Option<u16>) {
    let within = |text| without_brackets(text).unwrap_or(text);
    match server.rsplit_once(':').filter(|_| server.parse::<IpAddr>().is_err()) {
        Some((address, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => match port.parse() {
            Ok(port) => (within(address), Some(port)),
            Err(_) => (server, None),
        },
        _ => (within(server), None),
    }
}

fn without_brackets(text: &str) -> Option<&str> {
    text.strip_prefix('[')?.strip_suffix(']')
}

/// All [`PURPOSES`], what is not there as an empty list.
#[must_use]
pub fn every_purpose(servers: &Servers) -> Servers {
    let mut all = servers.clone();
    for purpose in PURPOSES {
        all.entry(purpose.to_owned()).or_default();
    }
    all
}

/// `address:port` with an IPv6 address in brackets.
#[must_use]
pub fn join(address: IpAddr, port: Option<u16>) -> String {
    match (port, address) {
        (None, address) => address.to_string(),
        (Some(port), IpAddr::V4(ip)) => format!("{ip}:{port}"),
        (Some(port), IpAddr::V6(ip)) => format!("[{ip}]:{port}"),
    }
}

impl AccessPoint {
    /// Its servers with other addresses in their place: of each purpose all of them, on the ports it has there.
    #[must_use]
    pub fn servers_at(&self, addresses: &[IpAddr]) -> Servers {
        let elsewhere = |servers: &Vec<String>| {
            let mut ports: Vec<Option<u16>> = Vec::new();
            for (_, port) in servers.iter().map(|server| split(server)) {
                if !ports.contains(&port) {
                    ports.push(port);
                }
            }
            ports.iter().flat_map(|port| addresses.iter().map(move |address| join(*address, *port))).collect()
        };
        self.servers.iter().map(|(purpose, servers)| (purpose.clone(), elsewhere(servers))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_comes_apart_and_together() {
        for (server, address, port) in [
            ("192.0.2.1:28668", "192.0.2.1", Some(28668)),
            ("[2001:db8::1]:28668", "2001:db8::1", Some(28668)),
            ("2001:db8::1", "2001:db8::1", None),
            ("[2001:db8::1]", "2001:db8::1", None),
            ("gse.example:1", "gse.example", Some(1)),
            ("gse.example", "gse.example", None),
            ("gse.example:http", "gse.example:http", None),
            ("gse.example:+1", "gse.example:+1", None),
            ("gse.example:70000", "gse.example:70000", None),
            ("gse.example:", "gse.example:", None),
            ("[]:1", "", Some(1)),
            ("[", "[", None),
            ("", "", None),
        ] {
            assert_eq!(split(server), (address, port), "{server}");
            if let (Ok(address), true) = (address.parse::<IpAddr>(), port.is_some()) {
                assert_eq!(join(address, port), server);
            }
        }
    }
}
