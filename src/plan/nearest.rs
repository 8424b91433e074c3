//! The nearest access point: what was measured of each server from the host, judged (`ap_id: -1`).
//!
//! An access point is reachable when every group of its servers (`cluster`, `file`, `data` ...) has one that answers; it is as
//! near as the group that is farthest, and a group as near as its nearest server. One without servers can only be taken where
//! there is no other. Never here: the measuring (`engine::measure`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::domain::failure::{Code, Failure};
use crate::domain::site::AccessPoint;

/// The servers that were asked: how long a connection took from the host, or why there was none.
pub type Reached = BTreeMap<String, Result<Duration, String>>;

/// What an access point is for a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// So far away.
    Within(Duration),
    /// It has no servers that a connection could be made to.
    NothingToAsk,
    /// A group of servers does not answer: which, and why.
    Unreached(String),
}

/// An access point, measured.
#[derive(Clone, Debug)]
pub struct Judged<'a> {
    /// Which.
    pub point: &'a AccessPoint,
    /// What it is for the host.
    pub found: Found,
}

/// Address and port of a server entry; `None` where it names no port, so that there is nothing to connect to.
#[must_use]
pub fn endpoint(server: &str) -> Option<(&str, u16)> {
    let (host, port) = server.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(bare) => bare.strip_suffix(']')?,
        // A bare IPv6 address ends like one with a port.
        None if host.contains(':') => return None,
        None => host,
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._:%".contains(c);
    port.parse().ok().filter(|_| !host.is_empty() && host.chars().all(is_plain)).map(|port| (host, port))
}

/// All servers of all access points, each once.
#[must_use]
pub fn servers(points: &[AccessPoint]) -> Vec<String> {
    let all: BTreeSet<&String> = points.iter().flat_map(|point| point.servers.values().flatten()).collect();
    all.into_iter().filter(|server| endpoint(server).is_some()).cloned().collect()
}

/// Every access point, in their order.
#[must_use]
pub fn judge<'a>(points: &'a [AccessPoint], reached: &Reached) -> Vec<Judged<'a>> {
    points.iter().map(|point| Judged { point, found: found(point, reached) }).collect()
}

fn found(point: &AccessPoint, reached: &Reached) -> Found {
    let mut farthest = None;
    for (purpose, servers) in &point.servers {
        let asked: Vec<_> = servers.iter().filter_map(|server| reached.get(server).map(|how| (server, how))).collect();
        if asked.is_empty() {
            continue;
        }
        match asked.iter().filter_map(|(_, how)| how.as_ref().ok()).min() {
            Some(nearest) => farthest = farthest.max(Some(*nearest)),
            None => {
                let why = |(server, how): &(&String, &Result<Duration, String>)| {
                    format!("{server} {}", how.as_ref().err().map_or("", String::as_str))
                };
                let whys: Vec<String> = asked.iter().map(why).collect();
                return Found::Unreached(format!("{purpose} {}", whys.join(", ")));
            }
        }
    }
    farthest.map_or(Found::NothingToAsk, Found::Within)
}

/// The nearest one; of two that are as near, the first.
///
/// # Errors
/// [`Code::NoAccessPoint`], naming each with why not.
pub fn nearest<'a>(judged: &[Judged<'a>]) -> Result<&'a AccessPoint, Failure> {
    let away = |judged: &Judged<'a>| match judged.found {
        Found::Within(away) => Some((away, judged.point)),
        Found::NothingToAsk | Found::Unreached(_) => None,
    };
    match (judged.iter().filter_map(away).min_by_key(|(away, _)| *away), judged) {
        (Some((_, point)), _) => Ok(point),
        (None, [Judged { point, found: Found::NothingToAsk }]) => Ok(point),
        (None, _) => Err(Failure::new(Code::NoAccessPoint, format!("the host reaches no access point: {}", told(judged)))),
    }
}

/// All of them with their figures, on one line.
#[must_use]
pub fn told(judged: &[Judged<'_>]) -> String {
    let one = |Judged { point, found }: &Judged<'_>| {
        let name = if point.name.is_empty() { String::new() } else { format!(" ({})", point.name) };
        let found = match found {
            Found::Within(away) => format!("{:.1} ms", away.as_secs_f64() * 1e3),
            Found::NothingToAsk => "has no servers to ask".into(),
            Found::Unreached(why) => why.clone(),
        };
        format!("{}{name}: {found}", point.id)
    };
    judged.iter().map(one).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(id: i64, groups: &[(&str, &[&str])]) -> AccessPoint {
        let group = |(purpose, servers): &(&str, &[&str])| {
            ((*purpose).to_owned(), servers.iter().map(|server| (*server).to_owned()).collect())
        };
        AccessPoint { id, name: String::new(), servers: groups.iter().map(group).collect(), ..AccessPoint::default() }
    }

    fn reached(servers: &[(&str, Option<u64>)]) -> Reached {
        let one = |(server, ms): &(&str, Option<u64>)| {
            ((*server).to_owned(), ms.map(Duration::from_millis).ok_or_else(|| "refused".to_owned()))
        };
        servers.iter().map(one).collect()
    }

    #[test]
    fn a_point_is_as_near_as_its_farthest_group_and_a_group_as_its_nearest_server() {
        let points = [
            point(1, &[("cluster", &["a:1", "b:1"]), ("file", &["c:1"])]),
            point(2, &[("cluster", &["d:1"]), ("file", &["e:1"]), ("dns", &["10.0.0.1"])]),
        ];
        let reached = reached(&[("a:1", Some(90)), ("b:1", Some(3)), ("c:1", Some(40)), ("d:1", Some(30)), ("e:1", Some(20))]);
        let judged = judge(&points, &reached);
        assert_eq!(told(&judged), "1: 40.0 ms; 2: 30.0 ms");
        assert_eq!(nearest(&judged).unwrap().id, 2);
    }

    #[test]
    fn one_whose_group_is_silent_is_not_taken_however_near_the_others_are() {
        let points =
            [point(1, &[("cluster", &["a:1"]), ("data", &["b:1", "c:1"])]), point(2, &[("cluster", &["d:1"])]), point(3, &[])];
        let mut known = reached(&[("a:1", Some(1)), ("b:1", None), ("c:1", None), ("d:1", Some(200))]);
        let judged = judge(&points, &known);
        assert_eq!(nearest(&judged).unwrap().id, 2);
        known.insert("d:1".into(), Err("no answer within 3 s".into()));
        let failure = nearest(&judge(&points, &known)).unwrap_err();
        let told = "1: data b:1 refused, c:1 refused; 2: cluster d:1 no answer within 3 s; 3: has no servers to ask";
        assert_eq!(
            (failure.code.as_ref(), failure.message),
            ("no_access_point", format!("the host reaches no access point: {told}"))
        );
    }

    #[test]
    fn one_without_servers_is_taken_only_where_there_is_no_other() {
        let points = [point(7, &[]), point(8, &[("cluster", &["10.0.0.1"])])];
        assert_eq!(nearest(&judge(&points[..1], &Reached::new())).unwrap().id, 7);
        assert!(nearest(&judge(&points, &Reached::new())).is_err());
        assert_eq!(servers(&points), [""; 0]);
    }

    #[test]
    fn a_server_is_an_address_and_a_port() {
        for (text, read) in [
            ("10.0.0.1:28668", Some(("10.0.0.1", 28668))),
            ("[fd00::1]:1", Some(("fd00::1", 1))),
            ("gse.example.com:80", Some(("gse.example.com", 80))),
            ("fd00::1", None),
            ("10.0.0.1", None),
            (":80", None),
            ("a:70000", None),
            ("a b:1", None),
        ] {
            assert_eq!(endpoint(text), read, "{text}");
        }
    }
}
