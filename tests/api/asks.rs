//! `revoke/`, `retry/` and `retry_node/`: asked of a job while it runs and after.

use serde_json::{Value, json};

use crate::place::{Place, deaf, host, job, nonsense, with};

fn name(ip: &str) -> String {
    format!("host|instance|host|{ip}-0-0")
}

#[track_caller]
fn statuses(details: &Value) -> Vec<&str> {
    details["list"].as_array().unwrap().iter().map(|host| host["status"].as_str().unwrap()).collect()
}

#[test]
fn a_running_job_is_cancelled_and_goes_on_when_it_is_retried() {
    let place = Place::new();
    let (_door, port) = deaf();
    let id = place.server.submit(&job("INSTALL_AGENT", &[with(host("127.0.0.1"), json!({"port": port}))]));
    place.server.becomes(id, "RUNNING");
    let revoke = |body: Value| place.server.post(&format!("/api/job/{id}/revoke/"), &body);
    assert_eq!(revoke(json!({"bk_username": "admin"})).data(), json!([id]));
    let details = place.server.becomes(id, "TERMINATED");
    assert_eq!(statuses(&details), ["TERMINATED"]);
    assert_eq!(revoke(json!({})).refusal(), (200, 3_800_016));
    let told = place.server.events(id, None, usize::MAX);
    let asked = told.iter().find(|event| event.name == "cancel_asked").unwrap();
    assert_eq!(asked.data["reason"], "asked by admin");

    assert_eq!(place.server.post(&format!("/api/job/{id}/retry/"), &json!({})).data(), json!([id]));
    place.server.becomes(id, "RUNNING");
    revoke(json!({})).data();
    place.server.becomes(id, "TERMINATED");
}

#[test]
fn some_hosts_of_a_job_are_cancelled_and_the_others_go_on() {
    let place = Place::new();
    let (_door, port) = deaf();
    let at = |ip: &str| with(host(ip), json!({"port": port}));
    let id = place.server.submit(&job("INSTALL_AGENT", &[at("127.0.0.1"), at("127.0.0.2"), at("127.0.0.3")]));
    let revoke = |names: Value| place.server.post(&format!("/api/job/{id}/revoke/"), &json!({"instance_id_list": names}));
    for (names, code) in [
        (json!([name("127.0.0.9")]), 3_800_007),
        (json!([name("127.0.0.1"), "nobody"]), 3_800_007),
        (json!([7]), 3_800_001),
        (json!([]), 3_800_016),
    ] {
        assert_eq!(revoke(names.clone()).refusal(), (200, code), "{names}");
    }
    assert_eq!(revoke(json!([name("127.0.0.1"), name("127.0.0.3")])).data(), json!([id]));
    let ended = || place.server.details(id)["statistics"]["failed_count"] == 2;
    crate::restart::until("two hosts to end", ended);
    let details = place.server.details(id);
    assert_eq!((statuses(&details)[0], statuses(&details)[2]), ("TERMINATED", "TERMINATED"));
    assert!(["PENDING", "RUNNING"].contains(&statuses(&details)[1]), "{details}");
    assert_eq!(revoke(json!([name("127.0.0.1")])).refusal(), (200, 3_800_016), "it has ended");
    assert_eq!(revoke(json!(name("127.0.0.2"))).data(), json!([id]));
    place.server.becomes(id, "FAILED");
}

#[test]
fn hosts_that_failed_are_tried_again_all_or_those_named() {
    let place = Place::new();
    let port = nonsense();
    let at = |ip: &str| with(host(ip), json!({"port": port}));
    let id = place.server.submit(&job("INSTALL_AGENT", &[at("127.0.0.1"), with(at("127.0.0.2"), json!({"bk_host_id": 7}))]));
    place.server.becomes(id, "FAILED");
    let attempts = |details: Value| {
        let list = details["list"].as_array().unwrap().clone();
        list.iter().map(|host| host["attempts"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    let ask = |path: &str, body: Value| {
        let reply = place.server.post(&format!("/api/job/{id}/{path}/"), &body);
        if reply.envelope()["code"] == 0 {
            place.server.becomes(id, "FAILED");
        }
        reply
    };
    assert_eq!(ask("retry", json!({})).data(), json!([id]));
    assert_eq!(attempts(place.server.details(id)), [2, 2]);
    assert_eq!(ask("retry", json!({"instance_id_list": ["host|instance|host|7"]})).data(), json!([id]));
    assert_eq!(attempts(place.server.details(id)), [2, 3]);
    let node = ask("retry_node", json!({"instance_id": name("127.0.0.1")})).data();
    assert_eq!(node, json!({"retry_node_id": name("127.0.0.1"), "retry_node_name": "connect"}));
    assert_eq!(attempts(place.server.details(id)), [3, 3]);

    for (path, body, code) in [
        ("retry", json!({"instance_id_list": [name("127.0.0.9")]}), 3_800_007),
        ("retry", json!({"instance_id_list": []}), 3_800_007),
        ("retry", json!({"instance_id_list": [7]}), 3_800_001),
        ("retry", json!({"from_start": "perhaps"}), 3_800_001),
        ("retry_node", json!({}), 3_800_001),
        ("retry_node", json!({"instance_id": "nobody"}), 3_800_007),
    ] {
        assert_eq!(ask(path, body.clone()).refusal(), (200, code), "{path} {body}");
    }
    assert_eq!(attempts(place.server.details(id)), [3, 3], "a refused retry was begun");
}

#[test]
fn a_host_that_did_not_fail_or_that_another_job_has_is_not_tried_again() {
    let place = Place::new();
    let removed = place.server.submit(&job("REMOVE_AGENT", &[host("127.0.0.1")]));
    place.server.becomes(removed, "SUCCESS");
    let retry = |id: i64, body: Value| place.server.post(&format!("/api/job/{id}/retry/"), &body);
    assert_eq!(retry(removed, json!({})).refusal(), (200, 3_800_007));
    assert_eq!(retry(removed, json!({"instance_id_list": [name("127.0.0.1")]})).refusal(), (200, 3_800_007));

    let failed = place.server.submit(&job("INSTALL_AGENT", &[with(host("127.0.0.1"), json!({"port": nonsense()}))]));
    place.server.becomes(failed, "FAILED");
    let (_door, port) = deaf();
    place.server.submit(&job("INSTALL_AGENT", &[with(host("127.0.0.1"), json!({"port": port}))]));
    assert_eq!(retry(failed, json!({})).refusal(), (200, 3_801_020));
}
