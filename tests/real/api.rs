//! Over HTTP, with real hosts at the other end: a client that polls sees a host installed, and a server that dies in the
//! middle finds at its next start what runs on the hosts.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::landfall::{install, uninstall};
use crate::package::Package;
use crate::scene::Scene;
use crate::server::Server;
use crate::target::{assert_no_run_twice, await_held, hold_scripts, let_go, sshd_said, until};
use crate::world::World;

fn serve(scene: &Scene) -> Server {
    Server::start(scene.landfall.command(&[]))
}

/// The step that the first host of a job is in.
fn step(server: &Server, id: i64) -> Value {
    server.details(id)["list"][0]["step"].clone()
}

/// A job of a server whose script is held up on host `a`.
fn held_in_script() -> (Scene, Server, i64) {
    let scene = Scene::new(World::up(&[("a", "password")]), Package::tiny("tiny"));
    hold_scripts(&scene.world, "a");
    let server = serve(&scene);
    let id = server.submit(&install(scene.world.hosts()));
    until("the script to run", || step(&server, id) == "run_script");
    await_held(&scene.world, "a");
    (scene, server, id)
}

#[test]
fn a_polling_client_sees_a_host_installed_reads_its_output_once_and_operates_on_it() {
    let scene = Scene::one_host(Package::tiny("tiny"));
    let server = serve(&scene);
    let mut body = install(scene.world.hosts());
    body["hosts"][0]["bk_host_id"] = 17.into();
    let id = server.submit(&body);
    // In pieces of a few bytes, while it is printed.
    let (mut offset, mut text) = (0, String::new());
    loop {
        let tail =
            server.get(&format!("/api/job/{id}/log/?instance_id=host%7Cinstance%7Chost%7C17&offset={offset}&limit=100")).data();
        let pieces = tail["list"].as_array().unwrap();
        pieces.iter().for_each(|piece| text.push_str(piece["log"].as_str().unwrap()));
        offset = tail["offset"].as_i64().unwrap();
        if pieces.is_empty() && tail["finished"] == true {
            break;
        }
    }
    let details = server.becomes(id, "SUCCESS");
    assert_eq!(details["list"][0]["instance_id"], "host|instance|host|17");
    let log = server.get(&format!("/api/job/{id}/log/?instance_id=host%7Cinstance%7Chost%7C17")).data();
    let whole =
        log.as_array().unwrap().iter().find(|step| step["step"] == "run_script").unwrap()["log"].as_str().unwrap().to_owned();
    assert!(text.contains("check_deploy_result DONE"), "{text}");
    assert!(whole.ends_with(&text), "the tail is not the log:\n{text}\n---\n{whole}");

    let operated = server.post("/api/job/operate/", &json!({"job_type": "RESTART_AGENT", "bk_host_id": [17]})).data();
    server.becomes(operated["job_id"].as_i64().unwrap(), "SUCCESS");
    let mut gone = uninstall(scene.world.hosts());
    gone["hosts"][0]["password"] = Value::Null;
    let gone = server.submit(&gone);
    server.becomes(gone, "SUCCESS");
    assert_eq!(assert_no_run_twice(&scene.world, "a").len(), 3);
}

#[test]
fn a_server_that_was_killed_during_the_script_finds_the_run_again_at_its_next_start() {
    let (scene, server, id) = held_in_script();
    server.end(Signal::SIGKILL);

    let server = serve(&scene);
    until("the job to be taken up", || server.details(id)["held_by"] == server.pid());
    let_go(&scene.world, "a");
    let details = server.becomes(id, "SUCCESS");
    assert_eq!(details["list"][0]["attempts"], 1, "a takeover is not a new attempt");
    assert_eq!(assert_no_run_twice(&scene.world, "a").len(), 1);
}

#[test]
fn a_terminated_server_lets_the_step_end_and_leaves_the_rest_to_the_next() {
    let (scene, server, id) = held_in_script();
    server.signal(Signal::SIGTERM);
    let_go(&scene.world, "a");
    // Asked to end already: the second time it would let go at once, so only its end is awaited.
    assert_eq!(server.wait().code(), Some(0));

    let server = serve(&scene);
    let details = server.becomes(id, "SUCCESS");
    let steps = details["list"][0]["steps"].as_array().unwrap();
    // Only the connection is a new one.
    let again = steps.iter().filter(|step| step["attempts"] != 1).map(|step| step["step"].as_str().unwrap());
    assert_eq!(again.collect::<Vec<_>>(), ["connect"], "a step that was done was done again: {details}");
    assert_eq!(assert_no_run_twice(&scene.world, "a").len(), 1);
}

#[test]
fn a_running_script_is_ended_by_a_revoke() {
    let (scene, server, id) = held_in_script();
    server.post(&format!("/api/job/{id}/revoke/"), &json!({})).data();
    let details = server.becomes(id, "TERMINATED");
    assert!(details["list"][0]["status_display"].as_str().unwrap().contains("the script was ended on the host"), "{details}");
    let_go(&scene.world, "a");
    server.post(&format!("/api/job/{id}/retry/"), &json!({})).data();
    server.becomes(id, "SUCCESS");
}

#[test]
fn a_wrong_password_is_mended_by_a_retry_that_brings_the_right_one() {
    let scene = Scene::one_host(Package::tiny("tiny"));
    let server = serve(&scene);
    let mut body = install(scene.world.hosts());
    let right = std::mem::replace(&mut body["hosts"][0]["password"], "wrong".into());
    let id = server.submit(&body);
    let failed = server.becomes(id, "FAILED");
    assert_eq!(failed["list"][0]["failure"]["code"], "password_refused");
    let login = json!({"bk_cloud_id": 0, "inner_ip": scene.ip(), "password": right});
    server.post(&format!("/api/job/{id}/retry/"), &json!({"hosts": [login]})).data();
    let details = server.becomes(id, "SUCCESS");
    assert_eq!(details["list"][0]["attempts"], 2);
    assert_eq!(sshd_said(&scene.world, "a", "Failed password"), 1, "the wrong one was offered once more");

    // It is what is kept of the host from now on.
    let mut restart = json!({"job_type": "RESTART_AGENT", "hosts": [{"bk_biz_id": 2, "bk_cloud_id": 0}]});
    restart["hosts"][0]["inner_ip"] = scene.ip().into();
    let restart = server.submit(&restart);
    server.becomes(restart, "SUCCESS");
    assert_eq!(assert_no_run_twice(&scene.world, "a").len(), 2);
}
