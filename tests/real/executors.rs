//! Several processes over one record in PostgreSQL: one answers, others work. Whoever is killed, every host ends once.

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use sqlx::Connection as _;

use crate::landfall::install;
use crate::package::Package;
use crate::postgres;
use crate::scene::Scene;
use crate::server::Server;
use crate::target::{assert_no_run_twice, await_held, hold_scripts, let_go, until};
use crate::world::World;

const SITE: &str = "[limits]\nlease_s = 3\nconcurrency = 3\n";

fn blocking<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(work)
}

/// Hosts of a world, and the address of a record on a server.
fn scene(hosts: usize) -> (Scene, String) {
    let mut scene = Scene::new(World::count(hosts, "password"), Package::tiny("tiny"));
    let url = blocking(async { postgres::Server::shared().await.database().await });
    scene.landfall.record_in(url.clone());
    scene.landfall.site(SITE);
    (scene, url)
}

/// Hosts that were claimed more than once.
fn taken_over(url: &str) -> i64 {
    blocking(async {
        let mut record = sqlx::PgConnection::connect(url).await.unwrap();
        sqlx::query_scalar("select count(*) from host_task where epoch > 1").fetch_one(&mut record).await.unwrap()
    })
}

fn api(scene: &Scene) -> Server {
    Server::start_as(&["--api-only"], scene.landfall.command(&[]))
}

fn executor(scene: &Scene) -> Server {
    Server::start_as(&["--executor-only"], scene.landfall.command(&[]))
}

fn names(scene: &Scene) -> Vec<String> {
    scene.world.hosts().iter().map(|host| host.name.clone()).collect()
}

/// How many hosts of a job are in a step.
fn in_step(api: &Server, id: i64, step: &str) -> usize {
    let details = api.post(&format!("/api/job/{id}/details/"), &json!({"pagesize": -1})).data();
    details["list"].as_array().unwrap().iter().filter(|host| host["step"] == step).count()
}

#[test]
fn the_hosts_of_a_killed_executor_are_taken_over_by_another_and_no_run_starts_twice() {
    let (scene, url) = scene(6);
    names(&scene).iter().for_each(|name| hold_scripts(&scene.world, name));
    let api = api(&scene);
    let (first, second) = (executor(&scene), executor(&scene));
    let id = api.submit(&install(scene.world.hosts()));
    // Each may have three in flight: all six need both.
    until("all scripts to run", || in_step(&api, id, "run_script") == 6);
    names(&scene).iter().for_each(|name| await_held(&scene.world, name));

    first.end(Signal::SIGKILL);
    let third = executor(&scene);
    until("the hosts to be taken over", || taken_over(&url) == 3);
    names(&scene).iter().for_each(|name| let_go(&scene.world, name));
    let details = api.becomes(id, "SUCCESS");
    for host in details["list"].as_array().unwrap() {
        assert_eq!(host["attempts"], 1, "a takeover is not a new attempt: {host}");
    }
    for name in names(&scene) {
        assert_eq!(assert_no_run_twice(&scene.world, &name).len(), 1);
    }
    for executor in [second, third] {
        assert_eq!(executor.get("/readyz").data(), json!({"ready": true}));
        assert_eq!(executor.post("/api/job/job_list/", &json!({})).refusal().0, 404, "it answers nothing else");
        assert_eq!(executor.end(Signal::SIGTERM).code(), Some(0));
    }
}

#[test]
fn each_executor_works_on_the_hosts_of_its_clouds() {
    let (scene, _) = scene(3);
    let [proxy, inner, direct] = scene.world.hosts() else { panic!("three hosts") };
    let password = json!(proxy.password);
    scene
        .landfall
        .site(&format!("{SITE}[[cloud]]\nid = 2\n[[proxy]]\ncloud = 2\ninner_ip = \"{}\"\npassword = {password}\n", proxy.ip));
    let mut job = install([inner, direct]);
    job["hosts"][0]["bk_cloud_id"] = 2.into();
    let of = |cloud: &str| Server::start_as(&["--executor-only", "--clouds", cloud], scene.landfall.command(&[]));
    let (api, _far) = (api(&scene), of("2,7"));
    let id = api.submit(&job);

    until("the host of its cloud to end", || api.details(id)["statistics"]["success_count"] == 1);
    let details = api.details(id);
    let told = |cloud: i64| {
        let mut hosts = details["list"].as_array().unwrap().iter();
        hosts.find(|host| host["bk_cloud_id"] == cloud).unwrap()["status"].as_str().unwrap().to_owned()
    };
    assert_eq!((told(2), told(0)), ("SUCCESS".to_owned(), "PENDING".to_owned()));
    let _near = of("0");
    api.becomes(id, "SUCCESS");
}

#[test]
fn a_cancel_and_a_retry_reach_the_executors_whichever_process_is_asked() {
    let (scene, _) = scene(4);
    names(&scene).iter().for_each(|name| hold_scripts(&scene.world, name));
    let (api, other) = (api(&scene), api(&scene));
    let _executors = (executor(&scene), executor(&scene));
    let id = api.submit(&install(scene.world.hosts()));
    until("all scripts to run", || in_step(&api, id, "run_script") == 4);
    let follower = std::thread::scope(|scope| {
        // Told as it happens, by a process that neither took the job nor works on it.
        let follower = scope.spawn(|| other.events(id, None, usize::MAX));
        assert_eq!(other.post(&format!("/api/job/{id}/revoke/"), &json!({})).data(), json!([id]));
        api.becomes(id, "TERMINATED");
        follower.join().unwrap()
    });
    assert!(follower.iter().any(|event| event.name == "job_finished"), "{follower:?}");
    names(&scene).iter().for_each(|name| let_go(&scene.world, name));
    let ended: Vec<Value> = api.details(id)["list"].as_array().unwrap().iter().map(|host| host["status"].clone()).collect();
    assert_eq!(ended, ["TERMINATED"; 4]);
    assert_eq!(api.post(&format!("/api/job/{id}/retry/"), &json!({})).data(), json!([id]));
    other.becomes(id, "SUCCESS");
}
