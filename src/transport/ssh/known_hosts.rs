//! What a known_hosts file says of one host: its keys, the authorities that may vouch for it, the keys that are revoked.
//!
//! Patterns as sshd(8) has them: `*` and `?`, `!` in front takes away, `[host]:port` where the port is not 22, names hashed
//! by `HashKnownHosts`. A line that cannot be read is passed over, as ssh does: a file is shared by programs that know
//! other kinds of keys.

use aws_lc_rs::hmac as mac;
use russh::keys::PublicKey;
use russh::keys::ssh_key::known_hosts::{Entry, HostPatterns, Marker};

/// The lines of one host.
#[derive(Clone, Debug, Default)]
pub(super) struct Listed {
    /// Keys it may show.
    pub(super) keys: Vec<PublicKey>,
    /// Keys that may sign its certificate (`@cert-authority`).
    pub(super) authorities: Vec<PublicKey>,
    /// Keys that nobody may use any more (`@revoked`), authorities' among them.
    pub(super) revoked: Vec<PublicKey>,
}

impl Listed {
    /// Reads a file for the host dialled at `host` and `port`.
    pub(super) fn read(text: &str, host: &str, port: u16) -> Self {
        let with_port = format!("[{host}]:{port}");
        let name = if port == 22 { host } else { with_port.as_str() };
        let mut listed = Self::default();
        for entry in text.lines().filter_map(entry) {
            let here = fits(entry.host_patterns(), name);
            // An authority and a revocation are about a machine, whatever port its sshd has; ssh takes them so, too.
            let anywhere = || here || fits(entry.host_patterns(), host);
            let key = entry.public_key().clone();
            match entry.marker() {
                None if here => listed.keys.push(key),
                Some(Marker::CertAuthority) if anywhere() => listed.authorities.push(key),
                Some(Marker::Revoked) if anywhere() => listed.revoked.push(key),
                _ => {}
            }
        }
        listed
    }
}

fn entry(line: &str) -> Option<Entry> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    if fields.first().is_none_or(|first| first.starts_with('#')) { None } else { fields.join(" ").parse().ok() }
}

fn fits(patterns: &HostPatterns, name: &str) -> bool {
    match patterns {
        HostPatterns::Patterns(patterns) => {
            let (taken_away, given): (Vec<&String>, Vec<&String>) = patterns.iter().partition(|pattern| pattern.starts_with('!'));
            given.iter().any(|pattern| glob(pattern, name))
                && !taken_away.iter().any(|pattern| glob(pattern.get(1..).unwrap_or_default(), name))
        }
        HostPatterns::HashedName { salt, hash } => {
            let key = mac::Key::new(mac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
            mac::verify(&key, name.as_bytes(), hash).is_ok()
        }
    }
}

/// Does the name fit the pattern? Where it does not, the last `*` takes one character more.
pub(super) fn glob(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = name.get(n) {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(wanted) if *wanted == b'?' || wanted.eq_ignore_ascii_case(byte) => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, n) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|rest| *rest == b'*')
}

#[cfg(test)]
mod tests {
    use russh::keys::{Algorithm, PrivateKey};

    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGiGR8uotoUWI+RsHLVppAlO46cYeW8yPY6IitlhIT8Q";
    const HASHED_22: &str = "|1|xy00wWJhPmV0kpHHAqWdT6lHAko=|bNr7hxwZpgxrruNRwkUhaiqDM5M=";
    const HASHED_2222: &str = "|1|cK2GI8ydqC85FzsclTFWbn39Oag=|3YcC7pwr+DC/5cCRDQu+6CnoUcA=";

    fn counts(text: &str, host: &str, port: u16) -> (usize, usize, usize) {
        let Listed { keys, authorities, revoked } = Listed::read(text, host, port);
        (keys.len(), authorities.len(), revoked.len())
    }

    #[test]
    fn a_line_is_about_the_hosts_that_its_patterns_name() {
        for (patterns, host, port, fits) in [
            ("10.0.0.1", "10.0.0.1", 22, true),
            ("10.0.0.1", "10.0.0.1", 2222, false),
            ("[10.0.0.1]:2222", "10.0.0.1", 2222, true),
            ("[10.0.0.1]:2222", "10.0.0.1", 22, false),
            ("web,10.0.0.1", "10.0.0.1", 22, true),
            ("10.0.*", "10.0.0.1", 22, true),
            ("10.0.*.1", "10.0.1.10", 22, false),
            ("10.0.0.?", "10.0.0.1", 22, true),
            ("10.0.0.?", "10.0.0.10", 22, false),
            ("10.0.*,!10.0.0.1", "10.0.0.1", 22, false),
            ("!10.0.0.1", "10.0.0.2", 22, false),
            ("[fd00::*]:2222", "fd00::1", 2222, true),
            ("*", "fd00::1", 22, true),
            // ssh-keygen -H of 10.0.0.1, and of [10.0.0.1]:2222.
            ("HASHED_22", "10.0.0.1", 22, true),
            ("HASHED_22", "10.0.0.2", 22, false),
            ("HASHED_2222", "10.0.0.1", 2222, true),
        ] {
            let patterns = patterns.replace("HASHED_2222", HASHED_2222).replace("HASHED_22", HASHED_22);
            assert_eq!(counts(&format!("{patterns} {KEY}\n"), host, port).0 == 1, fits, "{patterns} {host} {port}");
        }
    }

    #[test]
    fn marked_lines_are_apart_and_hold_for_every_port() {
        let text = format!("# a remark\n\n@cert-authority\t10.0.*  {KEY} the CA\n@revoked * {KEY}\n10.0.0.1 {KEY}\nnonsense\n");
        assert_eq!(counts(&text, "10.0.0.1", 22), (1, 1, 1));
        assert_eq!(counts(&text, "10.0.0.1", 2222), (0, 1, 1));
        assert_eq!(counts(&text, "192.0.2.1", 22), (0, 0, 1));
    }

    #[test]
    fn a_key_of_another_kind_than_we_know_hides_no_other() {
        let key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).unwrap();
        let text = format!("10.0.0.1 ssh-future AAAA\n10.0.0.1 {}\n", key.public_key().to_openssh().unwrap());
        assert_eq!(counts(&text, "10.0.0.1", 22).0, 1);
    }

    #[test]
    fn a_pattern_with_many_stars_is_judged_at_once() {
        assert!(!glob(&"*a".repeat(2000), &"a".repeat(1999)));
    }
}
