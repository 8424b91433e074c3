//! health.sh: asks until the answer is yes or the time is over.

use std::time::{Duration, Instant};

use landfall::assets;

use crate::sandbox::{Answer, Sandbox, under_every_shell};

fn ask(host: &Sandbox, timeout: &str, mode: &str, target: &str) -> Answer {
    host.script(&assets::HEALTH, &[timeout, mode, target], b"")
}

/// A server for one file on the sandbox's own loopback; its network is this machine's.
fn serve(host: &Sandbox) -> String {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    host.sh(&format!("mkdir -p /srv/www; echo fine >/srv/www/health; /usr/bin/busybox httpd -p 127.0.0.1:{port} -h /srv/www"));
    format!("127.0.0.1:{port}")
}

#[test]
fn a_command_is_asked_until_it_succeeds() {
    under_every_shell(|host| {
        let answer = ask(host, "5", "command", "[ -e /tmp/second ] || { touch /tmp/second; exit 1; }");
        assert_eq!(answer.words(), ["ready", "healthy"]);
        let answer = ask(host, "0", "command", "echo first; echo 'why @@ not' >&2; exit 3");
        assert_eq!(answer.words(), ["ready", "unhealthy=why  not"]);
        assert_eq!(ask(host, "0", "command", "exit 3").words(), ["ready", "unhealthy=exit code 3"]);
    });
}

#[test]
fn a_command_that_hangs_is_ended() {
    under_every_shell(|host| {
        let begun = Instant::now();
        assert_eq!(ask(host, "1", "command", "sleep 400; :").words(), ["ready", "unhealthy=no answer within its time"]);
        assert!(begun.elapsed() < Duration::from_secs(15));
        assert!(host.processes("sleep 400").is_empty());
    });
}

#[test]
fn http_and_tcp_are_asked_with_whatever_is_there() {
    under_every_shell(|host| {
        let address = serve(host);
        let (good, bad) = (format!("http://{address}/health"), format!("http://{address}/nothing"));
        // curl, then wget, then bash; for tcp bash, then curl.
        for tool in ["", "curl", "wget"] {
            host.sh(&format!("[ -z '{tool}' ] || rm -f /usr/bin/{tool}"));
            assert_eq!(ask(host, "5", "http", &good).words(), ["ready", "healthy"], "without {tool}");
            assert!(ask(host, "0", "http", &bad).words()[1].starts_with("unhealthy="), "without {tool}");
        }
        assert_eq!(ask(host, "5", "tcp", &address).words(), ["ready", "healthy"]);
        assert!(ask(host, "0", "tcp", "127.0.0.1:1").words()[1].contains("refused"));
        assert!(ask(host, "0", "http", "http://127.0.0.1:1/").words()[1].starts_with("unhealthy="));
    });
}

#[test]
fn a_machine_that_has_no_way_to_ask_says_so() {
    under_every_shell(|host| {
        // `sh` may be bash itself, which then stays under that name only.
        host.sh("sh=$(readlink -f /usr/bin/sh); rm /usr/bin/sh; cp $sh /usr/bin/sh; rm -f /usr/bin/{curl,wget,nc,bash}");
        assert!(ask(host, "5", "http", "http://127.0.0.1:1/").words()[1].starts_with("cannot="));
        assert!(ask(host, "5", "tcp", "127.0.0.1:1").words()[1].starts_with("cannot="));
        assert!(ask(host, "5", "ping", "127.0.0.1").words()[1].starts_with("fail=bad_argument"));
    });
}
