//! measure.sh: how long a connection takes, by whatever tool is there.

use std::net::TcpListener;

use landfall::assets;

use crate::sandbox::{Answer, Sandbox, under_every_shell};

fn measure(host: &Sandbox, servers: &[&str]) -> Answer {
    host.script(&assets::MEASURE, &[&["3"], servers].concat(), b"")
}

/// Listens on this machine's loopback, which is the sandbox's, too; nobody answers there but the kernel.
fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap().to_string();
    (listener, server)
}

/// What was said of a server, without the word and its name.
fn told(answer: &Answer, word: &str, server: &str) -> String {
    let prefix = format!("{word}={server} ");
    let told = answer.words().into_iter().find_map(|said| said.strip_prefix(&prefix).map(str::to_owned));
    told.unwrap_or_else(|| panic!("no {prefix}: {:?}", answer.words()))
}

#[test]
fn every_server_is_measured_with_whatever_is_there() {
    under_every_shell(|host| {
        let (_listening, server) = listen();
        // bash, then bash of a time before it knew one, then nc, then curl.
        for tool in ["", "bash", "nc"] {
            host.sh(&format!(
                "[ -z '{tool}' ] || {{ sh=$(readlink -f /usr/bin/sh); rm /usr/bin/sh; cp \"$sh\" /usr/bin/sh; rm -f /usr/bin/{tool}; }}"
            ));
            let answer = measure(host, &[&server, "127.0.0.1:1"]);
            let micros: u64 = told(&answer, "took", &server).parse().unwrap();
            assert!(micros < 3_000_000, "without {tool}: {micros} µs on the loopback");
            assert!(!told(&answer, "silent", "127.0.0.1:1").is_empty(), "without {tool}");
            let words = answer.words();
            assert_eq!((words.len(), words[0].as_str(), words[3].as_str()), (4, "ready", "end"), "without {tool}: {words:?}");
        }
    });
}

#[test]
fn many_servers_are_all_answered() {
    under_every_shell(|host| {
        let (_listening, server) = listen();
        let closed: Vec<String> = (1..=18).map(|port| format!("127.0.0.1:{port}")).collect();
        let servers: Vec<&str> = closed.iter().map(String::as_str).chain([server.as_str()]).collect();
        let answer = measure(host, &servers);
        told(&answer, "took", &server);
        closed.iter().for_each(|server| assert!(told(&answer, "silent", server).contains("refused"), "{server}"));
    });
}

#[test]
fn a_machine_that_has_no_way_to_ask_says_so_and_what_is_no_address_is_refused() {
    under_every_shell(|host| {
        host.sh("sh=$(readlink -f /usr/bin/sh); rm /usr/bin/sh; cp $sh /usr/bin/sh; rm -f /usr/bin/{curl,nc,bash}");
        let words = measure(host, &["127.0.0.1:1"]).words();
        assert!(words[1].starts_with("cannot=") && words[2] == "end", "{words:?}");
        assert!(measure(host, &["127.0.0.1"]).words()[1].starts_with("fail=bad_argument"));
    });
}
