//! `Idempotency-Key`: a submission that comes again is answered with the first job.

use std::collections::BTreeSet;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::desk::Desk;
use crate::package::Package;
use crate::place::{Place, deaf, host, job, nonsense, start, start_on, with};
use crate::server::{Reply, Server};

#[track_caller]
fn submit(server: &Server, operation: &str, key: &str, body: &Value) -> Reply {
    let headers = [("idempotency-key", key), ("accept-language", "en")];
    server.ask("POST", &format!("/api/job/{operation}/"), &headers, body.to_string().into())
}

#[track_caller]
fn total(server: &Server) -> Value {
    server.post("/api/job/job_list/", &json!({})).data()["total"].clone()
}

#[test]
fn the_same_submission_again_is_answered_as_it_was_whatever_became_of_its_hosts() {
    let place = Place::with("[[blacklist]]\nnetworks = [\"127.0.9.0/24\"]\nreason = \"production\"\n");
    let (_door, port) = deaf();
    let at = |ip: &str| with(host(ip), json!({"port": port}));
    let body = job("INSTALL_AGENT", &[at("127.0.0.1"), at("127.0.9.1"), at("127.0.0.1")]);
    let first = submit(&place.server, "install", "k-1", &body);
    let id = first.data()["job_id"].as_i64().unwrap();
    assert_eq!(first.data()["ip_filter"].as_array().map(Vec::len), Some(2));
    // Its host is busy by now: without the key it would be refused.
    assert_eq!(place.server.post("/api/job/install/", &body).refusal(), (200, 3_801_018));
    assert_eq!(submit(&place.server, "install", "k-1", &body).text, first.text);
    // Keys of an object may come in another order, and the path without its slash.
    let turned: Value =
        serde_json::from_str(&format!("{{\"hosts\": {}, \"job_type\": \"INSTALL_AGENT\"}}", body["hosts"])).unwrap();
    let reply = place.server.ask("POST", "/api/job/install", &[("idempotency-key", "k-1")], turned.to_string().into());
    assert_eq!(reply.data()["job_id"], id);
    // The token of the person's session is passed over, and is another one by then.
    let mut renewed = body.clone();
    renewed["bk_token"] = "another".into();
    assert_eq!(submit(&place.server, "install", "k-1", &renewed).text, first.text);

    // The next server has it from the record.
    place.server.post(&format!("/api/job/{id}/revoke/"), &json!({})).data();
    place.server.becomes(id, "TERMINATED");
    let Place { desk, server } = place;
    server.end(Signal::SIGTERM);
    let place = Place { server: start(&desk), desk };
    let again = submit(&place.server, "install", "k-1", &body).data();
    assert_eq!((&again["job_id"], &again["ip_filter"]), (&json!(id), &first.data()["ip_filter"]));
    assert_eq!(place.server.details(id)["status"], "TERMINATED", "the job was begun once more");
    assert_eq!(total(&place.server), 1);
}

#[test]
fn another_body_with_the_same_key_is_a_conflict() {
    let place = Place::new();
    let port = nonsense();
    let body = |password: &str| job("INSTALL_AGENT", &[with(host("127.0.0.1"), json!({"port": port, "password": password}))]);
    let id = submit(&place.server, "install", "k", &body("one")).data()["job_id"].as_i64().unwrap();
    place.server.becomes(id, "FAILED");
    for (operation, other) in [("install", body("two")), ("operate", body("one"))] {
        let reply = submit(&place.server, operation, "k", &other);
        assert_eq!(reply.refusal(), (200, 3_800_409));
        let told = format!("another request came with this key before, and became job {id}");
        assert_eq!(reply.envelope()["errors"], json!([{"path": "Idempotency-Key", "message": told}]));
    }
    let other = submit(&place.server, "install", "K", &body("two")).data()["job_id"].as_i64().unwrap();
    assert_ne!(other, id);
    assert_eq!(total(&place.server), 2);
}

#[test]
fn what_was_refused_or_only_planned_may_come_again_with_its_key() {
    let place = Place::new();
    let port = nonsense();
    let body = job("INSTALL_AGENT", &[with(host("127.0.0.1"), json!({"port": port}))]);
    submit(&place.server, "install", "k", &with(body.clone(), json!({"dry_run": true}))).data();
    let wrong = with(body.clone(), json!({"hosts": []}));
    assert_eq!(submit(&place.server, "install", "k", &wrong).refusal(), (200, 3_800_001));
    let later = job("INSTALL_AGENT", &[with(host("127.0.0.1"), json!({"is_manual": true, "ap_id": -1}))]);
    assert_eq!(submit(&place.server, "install", "k", &later).refusal(), (200, 3_801_018));
    submit(&place.server, "install", "k", &body).data();
    assert_eq!(total(&place.server), 1);
}

#[test]
fn an_operation_that_took_its_hosts_out_of_the_inventory_is_answered_again() {
    let place = Place::new();
    place.installed(&[with(host("127.0.0.9"), json!({"bk_host_id": 17}))]);
    let body = json!({"job_type": "REMOVE_AGENT", "bk_host_id": [17]});
    let first = submit(&place.server, "operate", "k", &body);
    place.server.becomes(first.data()["job_id"].as_i64().unwrap(), "SUCCESS");
    assert_eq!(submit(&place.server, "operate", "k", &body).text, first.text);
    assert_eq!(submit(&place.server, "operate", "other", &body).refusal(), (200, 3_801_010));
}

#[test]
fn a_key_that_is_none_is_refused() {
    let place = Place::new();
    let body = job("INSTALL_AGENT", &[with(host("127.0.0.1"), json!({"port": nonsense()}))]);
    for key in ["", "two words", &"k".repeat(256)] {
        let reply = submit(&place.server, "install", key, &body);
        assert_eq!((reply.refusal(), &reply.envelope()["errors"][0]["path"]), ((200, 3_800_001), &json!("Idempotency-Key")));
    }
    let twice = [("idempotency-key", "a"), ("idempotency-key", "b")];
    let reply = place.server.ask("POST", "/api/job/install/", &twice, body.to_string().into());
    assert_eq!(reply.refusal(), (200, 3_800_001));
    assert_eq!(total(&place.server), 0);
}

/// Ten that come at the same time through each of these doors.
#[track_caller]
fn twins_get_one_job(doors: &[&Server]) {
    let (_door, port) = deaf();
    let hosts: Vec<Value> = (1..=100).map(|n| with(host(&format!("127.0.0.{n}")), json!({"port": port}))).collect();
    let body = job("INSTALL_AGENT", &hosts);
    let told: Vec<Value> = std::thread::scope(|scope| {
        let come = |n: usize| {
            let (server, body) = (doors[n % doors.len()], &body);
            scope.spawn(move || submit(server, "install", "k", body).data())
        };
        let twins: Vec<_> = (0..10).map(come).collect();
        twins.into_iter().map(|twin| twin.join().unwrap()).collect()
    });
    let jobs: BTreeSet<i64> = told.iter().map(|data| data["job_id"].as_i64().unwrap()).collect();
    assert_eq!(jobs.len(), 1, "{told:?}");
    assert!(told.iter().all(|data| data["ip_filter"] == json!([])), "{told:?}");
    assert_eq!(total(doors[0]), 1);
    let id = jobs.into_iter().next().unwrap();
    doors[0].post(&format!("/api/job/{id}/revoke/"), &json!({})).data();
    doors[0].becomes(id, "TERMINATED");
}

#[test]
fn twins_that_come_together_get_one_job() {
    let place = Place::new();
    twins_get_one_job(&[&place.server]);
}

#[test]
fn twins_that_come_through_two_servers_over_postgresql_get_one_job() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let url = runtime.block_on(async { crate::postgres::Server::shared().await.database().await });
    let desk = Desk::new();
    let archive = Package::tiny("tiny").build(desk.dir.path());
    desk.landfall(&format!("package add {}", archive.file.display())).exits(0);
    let desk = desk.file("site.toml", "");
    let (one, two) = (start_on(desk, &url), start_on(desk, &url));
    twins_get_one_job(&[&one, &two]);
}
