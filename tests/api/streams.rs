//! `events/` and `log/`: what happens, told once.

use serde_json::json;

use crate::place::{Place, deaf, host, job, nonsense, with};

#[test]
fn a_stream_tells_everything_in_order_and_ends_with_the_job() {
    let place = Place::new();
    let id = place.server.submit(&job("INSTALL_AGENT", &[with(host("127.0.0.1"), json!({"port": nonsense()}))]));
    let told = place.server.events(id, None, usize::MAX);
    let ids: Vec<i64> = told.iter().map(|event| event.id).collect();
    assert_eq!(ids, (1..=ids.len() as i64).collect::<Vec<_>>());
    assert_eq!((told[0].name.as_str(), told.last().unwrap().name.as_str()), ("job_accepted", "job_finished"));
    for event in &told {
        assert_eq!((&event.data["seq"], &event.data["kind"]), (&json!(event.id), &json!(event.name)));
    }
    // From an id on, and never the same one twice.
    assert_eq!(place.server.events(id, Some(3), usize::MAX), told[3..]);
    assert_eq!(place.server.events(id, None, 2), told[..2]);
    // Nothing will come any more: a browser is told not to ask again.
    assert_eq!(place.server.events(id, Some(ids.len() as i64), usize::MAX), []);
    let over = place.server.get(&format!("/api/job/{id}/events/?after={}", ids.len()));
    assert_eq!((over.status, over.text.as_str()), (204, ""));
    assert_eq!(place.server.get(&format!("/api/job/{id}/events/?after=x")).refusal(), (200, 3_800_001));
}

#[test]
fn a_stream_is_live_and_goes_on_over_a_retry() {
    let place = Place::new();
    let (_door, port) = deaf();
    let id = place.server.submit(&job("INSTALL_AGENT", &[with(host("127.0.0.1"), json!({"port": port}))]));
    // Accepted, started, first attempt, connect: while the host is silent.
    let first = place.server.events(id, None, 4);
    assert_eq!(first.last().unwrap().data["step"], "connect");
    assert_eq!(place.server.details(id)["status"], "RUNNING");
    place.server.post(&format!("/api/job/{id}/revoke/"), &json!({})).data();
    let rest = place.server.events(id, Some(4), usize::MAX);
    assert_eq!(rest.last().unwrap().data["status"], "TERMINATED");
    place.server.post(&format!("/api/job/{id}/retry/"), &json!({})).data();
    let names: Vec<String> = place.server.events(id, Some(4), rest.len() + 2).into_iter().map(|event| event.name).collect();
    assert_eq!(names[rest.len() - 1..rest.len() + 1], ["job_finished", "retry_asked"]);
}

#[test]
fn the_log_of_a_host_has_its_steps_and_says_why_it_failed() {
    let place = Place::new();
    let id = place.server.submit(&job("INSTALL_AGENT", &[with(host("127.0.0.1"), json!({"port": nonsense()}))]));
    place.server.becomes(id, "FAILED");
    let name = "host%7Cinstance%7Chost%7C127.0.0.1-0-0";
    let log = place.server.get(&format!("/api/job/{id}/log/?instance_id={name}")).data();
    assert_eq!((&log[0]["step"], &log[0]["status"], &log[1]["status"]), (&json!("connect"), &json!("FAILED"), &json!("PENDING")));
    assert!(log[0]["log"].as_str().unwrap().contains("remedy"), "{log}");
    let tail = place.server.get(&format!("/api/job/{id}/log/?instance_id={name}&offset=0")).data();
    assert_eq!(tail, json!({"offset": 0, "finished": true, "list": []}));
    for (query, code) in [
        ("", 3_800_001),
        ("?instance_id=nobody", 3_800_007),
        ("?instance_id=host%7Cinstance%7Chost%7C9", 3_800_007),
        ("?instance_id=x&offset=-1", 3_800_001),
        ("?instance_id=x&offset=a&limit=b", 3_800_001),
    ] {
        assert_eq!(place.server.get(&format!("/api/job/{id}/log/{query}")).refusal(), (200, code), "{query}");
    }
}
