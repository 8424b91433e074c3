//! The process ends, softly or not at all softly; what it had accepted goes on at the next start.

use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use crate::place::{Place, deaf, host, job, nonsense, start, start_on, with};
use crate::postgres;

/// Ends the server of a place and starts the next one over the same record.
fn next(place: Place, signal: Signal) -> (ExitStatus, Place) {
    let Place { desk, server } = place;
    let ended = server.end(signal);
    (ended, Place { server: start(&desk), desk })
}

/// Waits until the server of a place works on a job.
#[track_caller]
fn taken_up(place: &Place, id: i64) {
    until("it to be taken up again", || place.server.details(id)["held_by"] == place.server.pid());
}

#[track_caller]
pub fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < end, "waited for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_killed_servers_jobs_go_on_at_the_next_start_and_those_of_the_terminal_do_not() {
    let place = Place::new();
    let (_door, port) = deaf();
    let at = |ip: &str| with(host(ip), json!({"port": port}));
    let served = place.server.submit(&job("INSTALL_AGENT", &[at("127.0.0.1")]));
    place.server.becomes(served, "RUNNING");
    place.desk.job(&job("INSTALL_AGENT", &[at("127.0.0.2")]));
    let mut own = place.desk.command("run job.json");
    let mut run = own.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("its job", || place.server.post("/api/job/job_list/", &json!({"status": ["RUNNING"]})).data()["total"] == 2);
    run.kill().unwrap();
    run.wait().unwrap();

    let (_, place) = next(place, Signal::SIGKILL);
    taken_up(&place, served);
    assert_eq!(place.server.details(served + 1)["held_by"], json!(null));
    // Cancelled from here all the same: whoever asks takes it up.
    for id in [served, served + 1] {
        place.server.post(&format!("/api/job/{id}/revoke/"), &json!({})).data();
        place.server.becomes(id, "TERMINATED");
    }
}

#[test]
fn a_stopped_server_takes_nothing_more_and_leaves_the_rest_to_the_next() {
    let place = Place::new();
    let (_door, port) = deaf();
    let id = place.server.submit(&job("INSTALL_AGENT", &[with(host("127.0.0.1"), json!({"port": port}))]));
    place.server.becomes(id, "RUNNING");
    let begun = Instant::now();
    let (status, place) = next(place, Signal::SIGTERM);
    assert_eq!(status.code(), Some(0));
    // A step that only waits for an answer ends by its own deadline, within the grace.
    assert!(begun.elapsed() < Duration::from_secs(35), "{:?}", begun.elapsed());
    taken_up(&place, id);
    place.server.post(&format!("/api/job/{id}/revoke/"), &json!({})).data();
    place.server.becomes(id, "TERMINATED");
}

#[test]
fn over_postgresql_a_job_is_taken_followed_listed_and_cancelled_all_the_same() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let database = runtime.block_on(async { postgres::Server::shared().await.database().await });
    let Place { desk, server } = Place::new();
    drop(server);
    let place = Place { server: start_on(&desk, &database), desk };
    let at = |port: u16| job("INSTALL_AGENT", &[with(host("127.0.0.1"), json!({"port": port}))]);
    let failed = place.server.submit(&at(nonsense()));
    place.server.becomes(failed, "FAILED");
    let (_door, port) = deaf();
    let running = place.server.submit(&at(port));
    place.server.becomes(running, "RUNNING");
    let list = |query| place.server.post("/api/job/job_list/", &query).data()["total"].clone();
    assert_eq!(list(json!({"status": ["RUNNING"], "bk_biz_id": [2], "op_type": ["INSTALL"]})), 1);
    assert_eq!(list(json!({"sort": {"head": "failed_count", "sort_type": "DEC"}})), 2);
    place.server.post(&format!("/api/job/{running}/revoke/"), &json!({})).data();
    place.server.becomes(running, "TERMINATED");
    let told = place.server.events(failed, None, usize::MAX);
    assert_eq!(told.last().unwrap().name, "job_finished");
}
