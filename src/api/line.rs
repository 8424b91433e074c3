//! The line a request came over: from where, and who else can read on it. Whether a secret may come in clear is decided here
//! and nowhere else: over TLS, from this machine, or through the proxy that the site vouches for.
//!
//! Never here: who asks (`callers`).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::http::{HeaderMap, HeaderValue, header};

/// Who called through a proxy, the nearest one last.
const FORWARDED_FOR: &str = "x-forwarded-for";
/// How the caller spoke to the proxy.
const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// A connection; the server gives it to every request on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// Who is at its other end.
    pub(super) peer: IpAddr,
    /// Does it end here in TLS?
    pub(super) tls: bool,
}

/// How one request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    /// Who called: the peer, or whoever the proxy says.
    pub(super) source: IpAddr,
    /// Did the caller speak TLS, to us or to the proxy?
    pub(super) secure: bool,
    /// Could somebody else read on it? Then a secret in clear is refused.
    pub(super) exposed: bool,
}

impl Way {
    /// How a request with these headers came. A request without a line, which no server of ours makes, is trusted least.
    pub(super) fn of(line: Option<&Line>, headers: &HeaderMap, behind_tls_proxy: bool) -> Self {
        let Line { peer, tls } = line.copied().unwrap_or(Line { peer: Ipv4Addr::UNSPECIFIED.into(), tls: false });
        let peer = peer.to_canonical();
        if !behind_tls_proxy {
            return Self { source: peer, secure: tls, exposed: !tls && !peer.is_loopback() };
        }
        // A proxy that also takes plain calls says so. What it does not say it vouches for.
        let plain = last(headers, FORWARDED_PROTO).is_some_and(|proto| !proto.eq_ignore_ascii_case("https"));
        Self { source: last(headers, FORWARDED_FOR).and_then(address).unwrap_or(peer), secure: !plain, exposed: plain }
    }
}

/// The last entry of a list that may be spread over several headers: the others are the caller's own words.
fn last<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get_all(name).iter().next_back()?.to_str().ok()?.rsplit(',').next().map(str::trim)
}

/// An address as proxies write it, some with the port.
fn address(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let ip = text.trim_matches(['[', ']']).parse().ok().or_else(with_port);
    ip.map(|ip: IpAddr| ip.to_canonical())
}

/// Does the caller use a name of this machine? A page that a browser here shows could send jobs under any other one.
pub(super) fn is_called_by_our_name(headers: &HeaderMap) -> bool {
    let Some(host) = text(headers, header::HOST) else { return false };
    let name =
        host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit())).map_or(host, |(name, _)| name);
    let ip: Option<IpAddr> = name.trim_matches(['[', ']']).parse().ok();
    name.eq_ignore_ascii_case("localhost") || ip.is_some_and(|ip| ip.is_loopback())
}

/// Does a page of another site ask? Browsers say which one, and no page can keep them from it.
pub(super) fn is_of_another_site(headers: &HeaderMap) -> bool {
    if !headers.contains_key(header::ORIGIN) {
        return false;
    }
    let origin = text(headers, header::ORIGIN);
    let site = origin.and_then(|origin| origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")));
    site.is_none() || site != text(headers, header::HOST)
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn way(peer: &str, tls: bool, proxy: bool, pairs: &[(&'static str, &str)]) -> (String, bool, bool) {
        let line = Line { peer: peer.parse().unwrap(), tls };
        let Way { source, secure, exposed } = Way::of(Some(&line), &headers(pairs), proxy);
        (source.to_string(), secure, exposed)
    }

    #[test]
    fn a_line_is_exposed_unless_it_is_tls_or_stays_on_this_machine_or_the_proxy_vouches_for_it() {
        for (peer, tls, proxy, secure, exposed) in [
            ("127.0.0.1", false, false, false, false),
            ("::1", false, false, false, false),
            ("::ffff:127.0.0.1", false, false, false, false),
            ("127.0.0.1", true, false, true, false),
            ("192.0.2.7", true, false, true, false),
            ("192.0.2.7", false, false, false, true),
            ("::ffff:192.0.2.7", false, false, false, true),
            ("192.0.2.7", false, true, true, false),
            ("127.0.0.1", false, true, true, false),
        ] {
            let (_, was_secure, was_exposed) = way(peer, tls, proxy, &[]);
            assert_eq!((was_secure, was_exposed), (secure, exposed), "{peer} {tls} {proxy}");
        }
        assert!(Way::of(None, &HeaderMap::new(), false).exposed);
    }

    #[test]
    fn a_proxy_that_was_spoken_to_in_clear_vouches_for_nothing() {
        for (proto, exposed) in [("https", false), ("HTTPS", false), ("http", true), ("https, http", true), ("", true)] {
            assert_eq!(way("192.0.2.1", false, true, &[(FORWARDED_PROTO, proto)]).2, exposed, "{proto}");
            // Without a proxy the header is the caller's own word.
            assert!(way("192.0.2.1", false, false, &[(FORWARDED_PROTO, proto)]).2, "{proto}");
        }
    }

    #[test]
    fn whoever_called_the_proxy_is_the_last_entry_and_what_stands_before_is_anybodys_word() {
        for (entries, source) in [
            (&["192.0.2.7"][..], "192.0.2.7"),
            (&["10.0.0.1, 192.0.2.7"], "192.0.2.7"),
            (&["10.0.0.1", "192.0.2.7, 192.0.2.8"], "192.0.2.8"),
            (&["192.0.2.7:4711"], "192.0.2.7"),
            (&["[2001:db8::7]:4711"], "2001:db8::7"),
            (&["[2001:db8::7]"], "2001:db8::7"),
            (&["2001:db8::7"], "2001:db8::7"),
            (&["::ffff:192.0.2.7"], "192.0.2.7"),
            (&["unknown"], "127.0.0.1"),
            (&[], "127.0.0.1"),
        ] {
            let pairs: Vec<_> = entries.iter().map(|entry| (FORWARDED_FOR, *entry)).collect();
            assert_eq!(way("127.0.0.1", false, true, &pairs).0, source, "{entries:?}");
            assert_eq!(way("127.0.0.1", false, false, &pairs).0, "127.0.0.1", "{entries:?}");
        }
    }

    #[test]
    fn a_page_of_another_site_is_known_by_its_origin_and_a_foreign_name_by_itself() {
        for (host, origin, ours, foreign) in [
            ("127.0.0.1:8420", None, true, false),
            ("localhost:8420", None, true, false),
            ("[::1]:8420", None, true, false),
            ("127.0.0.1", Some("http://127.0.0.1"), true, false),
            ("127.0.0.1:8420", Some("https://127.0.0.1:8420"), true, false),
            ("127.0.0.1:8420", Some("http://evil.example"), true, true),
            ("127.0.0.1:8420", Some("null"), true, true),
            ("127.0.0.1:8420", Some("ftp://127.0.0.1:8420"), true, true),
            ("127.0.0.1:8420", Some("http://127.0.0.1:80"), true, true),
            ("evil.example:8420", Some("http://evil.example:8420"), false, false),
            ("evil.example", None, false, false),
            ("192.0.2.1:8420", None, false, false),
            ("", None, false, false),
        ] {
            let mut pairs = vec![("host", host)];
            pairs.extend(origin.map(|origin| ("origin", origin)));
            let headers = headers(&pairs);
            assert_eq!((is_called_by_our_name(&headers), is_of_another_site(&headers)), (ours, foreign), "{host} {origin:?}");
        }
        assert!(!is_called_by_our_name(&HeaderMap::new()));
        assert!(is_of_another_site(&headers(&[("origin", "http://a")])));
    }
}
