//! `collect_log/`, as far as no host gives its log: every reason has a code, a cause and a remedy. `tests/real/collect.rs` has the
//! logs of real hosts.

use serde_json::{Value, json};

use crate::place::{Place, deaf, host, job, nonsense, with};
use crate::server::Reply;

fn collect(place: &Place, id: i64, name: &str) -> Reply {
    let body = json!({"instance_id": name}).to_string();
    place.server.ask("POST", &format!("/api/job/{id}/collect_log/"), &[("accept-language", "en")], body.into())
}

fn name(ip: &str) -> String {
    format!("host|instance|host|{ip}-0-0")
}

#[track_caller]
fn assert_refused(reply: &Reply, code: i64, words: &[&str]) -> Value {
    assert_eq!(reply.refusal(), (200, code), "{}", reply.text);
    let envelope = reply.envelope();
    for word in words {
        assert!(envelope["message"].as_str().unwrap().contains(word), "`{word}` is missing: {envelope}");
    }
    envelope["data"].clone()
}

#[test]
fn without_a_script_there_is_no_log() {
    let place = Place::with("[[blacklist]]\nnetworks = [\"127.0.0.2/32\"]\nreason = \"production\"\n");
    let (_door, port) = deaf();
    let at = |ip: &str| with(host(ip), json!({"port": port}));
    let id = place.server.submit(&job("INSTALL_AGENT", &[at("127.0.0.1"), at("127.0.0.2")]));
    place.server.becomes(id, "RUNNING");
    for ip in ["127.0.0.1", "127.0.0.2"] {
        assert_refused(&collect(&place, id, &name(ip)), 3_800_013, &["started no script", ip]);
    }
    assert_refused(&collect(&place, id, &name("127.0.0.9")), 3_800_007, &["127.0.0.9"]);
    assert_refused(&collect(&place, id, "nobody"), 3_800_007, &["nobody"]);
    assert_refused(&collect(&place, id, ""), 3_800_001, &["instance_id"]);
    place.desk.landfall(&format!("job log {id} 127.0.0.1 --from-target")).exits(2).complains(&["started no script"]);
    place.desk.landfall(&format!("job log {id} 127.0.0.9 --from-target")).exits(2).complains(&["no host 127.0.0.9"]);
    place.desk.landfall(&format!("job log {id} --from-target")).exits(2);
}

#[test]
fn a_host_that_does_not_give_its_log_is_told_with_cause_and_remedy() {
    let place = Place::with("[ssh]\nconnect_timeout_s = 1\n");
    let (_door, silent) = deaf();
    // Nobody listens there any more.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let at = |ip: &str, port: u16, days: i64| with(host(ip), json!({"port": port, "retention": days}));
    place.installed(&[
        at("127.0.0.1", closed, 1),
        at("127.0.0.2", silent, 1),
        at("127.0.0.3", nonsense(), 1),
        at("127.0.0.4", closed, 0),
    ]);
    for (ip, code, word, texts) in [
        ("127.0.0.1", 3_803_007, "connection_refused", ["refused the connection", "start sshd on the host"]),
        ("127.0.0.2", 3_803_008, "connect_timeout", ["did not answer within 1 s", "firewalls"]),
        ("127.0.0.3", 3_803_004, "not_ssh", ["does not speak SSH 2", "correct `port`"]),
        ("127.0.0.4", 3_800_019, "credential_expired", ["no login of the host is kept", "--credentials FILE"]),
    ] {
        let reply = collect(&place, 1, &name(ip));
        let data = assert_refused(&reply, code, &[texts[0], texts[1], ip]);
        assert_eq!(data["failure"]["code"], word, "{data}");
        assert!(!reply.text.contains("hunter2"), "{}", reply.text);
    }
    let said = place.desk.landfall("job log 1 127.0.0.1 --from-target --site site.toml").exits(1);
    said.complains(&["127.0.0.1", "refused the connection", "hint: start sshd"]);
}
