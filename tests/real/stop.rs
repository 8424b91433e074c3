//! Ctrl-C: once is "finish what you are at", twice is "now". Either way the record is true and the job can go on.

use std::time::{Duration, Instant};

use crate::landfall::{Running, install};
use crate::package::Package;
use crate::scene::Scene;
use crate::target::{assert_no_run_twice, await_held, hold_scripts, holds, let_go};
use crate::world::World;

/// A job whose script is held up on host `a`.
fn held_in_script(hosts: &[(&str, &str)], site: &str) -> (Scene, Running, i64, String) {
    let scene = Scene::new(World::up(hosts), Package::tiny("tiny"));
    scene.landfall.site(site);
    hold_scripts(&scene.world, "a");
    let mut running = scene.landfall.begin(&install(scene.world.hosts()));
    let job = running.accepted();
    let event = running.step_started(scene.ip(), "run_script");
    let run = event["run_id"].as_str().expect("a run id").to_owned();
    await_held(&scene.world, "a");
    (scene, running, job, run)
}

#[test]
fn once_lets_the_step_end_and_begins_no_other_host() {
    let (scene, running, job, run) = held_in_script(&[("a", "password"), ("b", "password")], "[limits]\nconcurrency = 1\n");
    let (a, b) = (scene.world.host("a").ip.as_str(), scene.world.host("b").ip.as_str());
    running.interrupt();
    std::thread::sleep(Duration::from_millis(300));
    let_go(&scene.world, "a");
    let stopped = running.report();
    assert_eq!(stopped.exit, 130, "{}\n{}", stopped.result, stopped.stderr);
    assert_eq!((stopped.host(a)["status"].as_str(), stopped.host(a)["outcome"].as_str()), (Some("RUNNING"), Some("interrupted")));
    assert_eq!((stopped.host(b)["status"].as_str(), stopped.host(b)["outcome"].as_str()), (Some("PENDING"), None));
    let ended = |event: &&serde_json::Value| event["step"] == "run_script" && event["result"] == "done";
    assert_eq!(stopped.events_of(a, "step_finished").filter(ended).count(), 1, "the step did not end: {}", stopped.stdout);
    assert_eq!(stopped.events_of(b, "host_started").count(), 0);
    assert!(stopped.stderr.contains("Ctrl-C"), "{}", stopped.stderr);

    let shown = scene.landfall.call(&["job", "show", &job.to_string()]);
    assert!(shown.stdout.contains(&format!("landfall job resume {job}")), "{}", shown.stdout);

    let resumed = scene.landfall.resume(job).succeeded();
    assert_eq!(resumed.events_of(a, "step_started").filter(|event| event["step"] == "run_script").count(), 0);
    assert_eq!(assert_no_run_twice(&scene.world, "a"), [run]);
    assert_eq!(assert_no_run_twice(&scene.world, "b").len(), 1);
}

#[test]
fn once_waits_30_s_at_most_and_leaves_the_script_running() {
    let (scene, running, job, run) = held_in_script(&[("a", "password")], "");
    let ip = scene.world.host("a").ip.as_str();
    let begun = Instant::now();
    running.interrupt();
    let stopped = running.report();
    let took = begun.elapsed().as_secs_f64();
    assert_eq!(stopped.exit, 130, "{}\n{}", stopped.result, stopped.stderr);
    assert!((28.0..36.0).contains(&took), "it took {took} s");
    assert_eq!(
        (stopped.host(ip)["status"].as_str(), stopped.host(ip)["outcome"].as_str()),
        (Some("RUNNING"), Some("interrupted"))
    );
    assert!(!holds(&scene.world, "a", &format!("test -e /var/lib/landfall/runs/{run}/exit")), "the script was ended");

    let_go(&scene.world, "a");
    let resumed = scene.landfall.resume(job).succeeded();
    let started: Vec<_> = resumed.events_of(ip, "step_started").filter(|event| event["step"] == "run_script").collect();
    assert!(started.iter().all(|event| event["run_id"] == run.as_str()), "{started:?}");
    assert_eq!(assert_no_run_twice(&scene.world, "a"), [run]);
}

#[test]
fn twice_lets_go_at_once() {
    let (scene, running, job, run) = held_in_script(&[("a", "password")], "");
    let begun = Instant::now();
    running.interrupt();
    std::thread::sleep(Duration::from_millis(300));
    running.interrupt();
    let stopped = running.report();
    assert_eq!(stopped.exit, 130, "{}\n{}", stopped.result, stopped.stderr);
    assert!(begun.elapsed() < Duration::from_secs(10), "it took {:?}", begun.elapsed());
    assert_eq!(stopped.host(&scene.world.host("a").ip)["outcome"], "interrupted");

    let_go(&scene.world, "a");
    scene.landfall.resume(job).succeeded();
    assert_eq!(assert_no_run_twice(&scene.world, "a"), [run]);
}

#[test]
fn during_the_connect_there_is_nothing_to_wait_for() {
    let Scene { world, landfall, .. } = Scene::one_host(Package::tiny("tiny"));
    world.cut("a");
    let mut running = landfall.begin(&install(world.hosts()));
    let job = running.accepted();
    running.step_started(&world.host("a").ip, "connect");
    let begun = Instant::now();
    running.interrupt();
    let stopped = running.report();
    assert_eq!(stopped.exit, 130, "{}\n{}", stopped.result, stopped.stderr);
    assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
    world.heal("a");
    landfall.resume(job).succeeded();
}
