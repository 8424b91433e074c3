//! The nine published statuses, each reached by a host or a job over HTTP.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::landfall::{entry, install, job};
use crate::package::Package;
use crate::scene::Scene;
use crate::server::Server;
use crate::target::{await_held, hold_scripts, let_go};
use crate::world::World;

const PUBLISHED: [&str; 9] =
    ["PENDING", "RUNNING", "FAILED", "SUCCESS", "PART_FAILED", "TERMINATED", "REMOVED", "FILTERED", "IGNORED"];

/// The statuses of a job's hosts, in the order of the request.
fn hosts(details: &Value) -> Vec<String> {
    details["list"].as_array().unwrap().iter().map(|host| host["status"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn each_of_the_nine_published_statuses_is_reached() {
    let scene = Scene::new(World::up(&[("a", "password"), ("b", "password")]), Package::tiny("tiny"));
    scene.landfall.site("[limits]\nconcurrency = 1\n[[blacklist]]\nnetworks = [\"192.0.2.0/24\"]\nreason = \"production\"\n");
    let (a, b) = (entry(scene.world.host("a")), entry(scene.world.host("b")));
    let with = |host: &Value, key: &str, value: &str| {
        let mut host = host.clone();
        host[key] = value.into();
        host
    };
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let server = Server::start(scene.landfall.command(&[]));

    // One host at a time: while its script is held up the others wait, those of another job as well.
    hold_scripts(&scene.world, "a");
    let wrong = with(&b, "password", "not the one");
    let body = json!({"job_type": "INSTALL_AGENT", "hosts": [a, wrong, with(&a, "inner_ip", "192.0.2.9"), a]});
    let id = server.submit(&body);
    await_held(&scene.world, "a");
    let waiting = server.submit(&json!({"job_type": "REMOVE_AGENT", "hosts": [with(&a, "inner_ip", "10.255.0.9")]}));
    let details = server.becomes(id, "RUNNING");
    assert_eq!(hosts(&details), ["RUNNING", "PENDING", "FILTERED", "IGNORED"], "{details}");
    seen.extend(hosts(&details));
    let details = server.details(waiting);
    assert_eq!((&details["status"], hosts(&details)), (&json!("PENDING"), vec!["PENDING".to_owned()]), "{details}");

    let_go(&scene.world, "a");
    let details = server.becomes(id, "PART_FAILED");
    assert_eq!(hosts(&details), ["SUCCESS", "FAILED", "FILTERED", "IGNORED"], "{details}");
    // A host that no request numbered has a number since it was installed, and is found by it.
    let number = details["list"][0]["bk_host_id"].as_i64().unwrap();
    assert_eq!(details["list"][1]["bk_host_id"], Value::Null);
    seen.extend(hosts(&details));
    seen.extend(
        [&details["status"], &server.becomes(waiting, "SUCCESS")["list"][0]["status"]]
            .map(|word| word.as_str().unwrap().to_owned()),
    );

    hold_scripts(&scene.world, "b");
    let cancelled = server.submit(&install([scene.world.host("b")]));
    await_held(&scene.world, "b");
    server.post(&format!("/api/job/{cancelled}/revoke/"), &json!({})).data();
    let details = server.becomes(cancelled, "TERMINATED");
    assert_eq!(hosts(&details), ["TERMINATED"]);
    seen.extend(hosts(&details));

    assert_eq!(seen, PUBLISHED.map(str::to_owned).into());

    // The number stays the host's when it is taken away and comes back, and is nobody's after that.
    for (kind, shown) in [("UNINSTALL_AGENT", Some(number)), ("INSTALL_AGENT", Some(number)), ("REMOVE_AGENT", None)] {
        let id = server.submit(&job(kind, [scene.world.host("a")]));
        let details = server.becomes(id, "SUCCESS");
        assert_eq!(details["list"][0]["bk_host_id"].as_i64(), shown, "{kind}");
    }
    assert_eq!(server.get(&format!("/api/host/?bk_host_id={number}")).data()["total"], 0);
}
