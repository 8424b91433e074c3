//! `kill -9` of the executor: the record knows where every host stood, the targets know what runs on them, and `resume`
//! brings both together. Nothing runs twice.

use std::time::Duration;

use crate::landfall::{Landfall, Report, install};
use crate::package::Package;
use crate::postgres::Server;
use crate::scene::Scene;
use crate::target::{assert_no_run_twice, await_held, hold_scripts, holds, let_go, run_id, until};
use crate::world::World;

/// Fails unless the resumed job took up that run and no other.
#[track_caller]
fn assert_took_up(report: &Report, ip: &str, run: &str) {
    for event in report.events_of(ip, "step_started").filter(|event| event["step"] == "run_script") {
        assert_eq!((event["run_id"].as_str(), event["attempt"].as_u64()), (Some(run), Some(1)), "{event}");
    }
    assert_eq!(report.host(ip)["attempts"], 1, "a takeover is not a new attempt");
}

#[test]
fn killed_during_the_upload_it_goes_on_where_the_bytes_ended() {
    let scene = Scene::one_host(Package::tiny("big").with_noise(4_000_000));
    let mut job = install(scene.world.hosts());
    job["hosts"][0]["bt_speed_limit"] = 1.into();
    let mut running = scene.landfall.begin(&job);
    let number = running.accepted();
    running.step_started(scene.ip(), "upload_package");
    let part = format!("/var/lib/landfall/blobs/.{}.part", scene.archive.sha256);
    until("a part of the package on the host", || holds(&scene.world, "a", &format!("[ $(wc -c <{part}) -gt 1000000 ]")));
    running.kill();

    let report = scene.landfall.resume(number).succeeded();

    let sent = report.host(scene.ip())["bytes_sent"].as_u64().unwrap();
    assert!(sent > 0 && sent < scene.archive.size - 900_000, "{sent} of {} bytes were sent after the kill", scene.archive.size);
    assert_eq!(assert_no_run_twice(&scene.world, "a").len(), 1);
    let stored = scene.world.exec("a", &format!("sha256sum </var/lib/landfall/blobs/{}", scene.archive.sha256));
    assert!(stored.starts_with(&scene.archive.sha256), "{stored}");
}

#[test]
fn killed_during_the_script_the_script_goes_on_and_its_end_is_found() {
    let scene = Scene::one_host(Package::tiny("tiny"));
    hold_scripts(&scene.world, "a");
    let mut running = scene.landfall.begin(&install(scene.world.hosts()));
    let number = running.accepted();
    let run = run_id(&running.step_started(scene.ip(), "run_script"));
    await_held(&scene.world, "a");
    running.kill();
    assert!(!holds(&scene.world, "a", "test -e /usr/local/gse/tiny/current"), "the script had ended already");
    let_go(&scene.world, "a");
    // Nobody looks, and the script ends all the same.
    until("the end of the script", || holds(&scene.world, "a", &format!("test -e /var/lib/landfall/runs/{run}/exit")));

    let report = scene.landfall.resume(number).succeeded();

    assert_took_up(&report, scene.ip(), &run);
    assert_eq!(assert_no_run_twice(&scene.world, "a"), [run]);
    let log = scene.landfall.call(&["job", "log", &number.to_string()]);
    assert!(log.stdout.contains("check_deploy_result DONE"), "the script's output was lost: {}", log.stdout);
}

#[test]
fn killed_during_the_script_and_resumed_while_it_still_runs() {
    let scene = Scene::one_host(Package::tiny("tiny"));
    hold_scripts(&scene.world, "a");
    let mut running = scene.landfall.begin(&install(scene.world.hosts()));
    let number = running.accepted();
    let run = run_id(&running.step_started(scene.ip(), "run_script"));
    await_held(&scene.world, "a");
    running.kill();

    // Killed, and killed again: the second executor finds the run as well as the third.
    let mut second = scene.landfall.begin_resume(number);
    assert_eq!(run_id(&second.step_started(scene.ip(), "run_script")), run);
    second.kill();
    let mut third = scene.landfall.begin_resume(number);
    third.step_started(scene.ip(), "run_script");
    let_go(&scene.world, "a");
    let report = third.report().succeeded();

    assert_took_up(&report, scene.ip(), &run);
    assert_eq!(assert_no_run_twice(&scene.world, "a"), [run]);
}

#[test]
fn killed_during_verify_the_agent_is_asked_again_and_not_installed_again() {
    let scene = Scene::one_host(Package::tiny("slow").health("command = \"test -e /tmp/ready\"\ntimeout_s = 60"));
    let mut running = scene.landfall.begin(&install(scene.world.hosts()));
    let number = running.accepted();
    running.step_started(scene.ip(), "verify");
    running.kill();
    scene.world.exec("a", ": >/tmp/ready");

    let report = scene.landfall.resume(number).succeeded();

    let steps: Vec<_> = report.events_of(scene.ip(), "step_started").map(|event| event["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["connect", "verify", "register", "cleanup"], "a step that was done was done again");
    assert_eq!(assert_no_run_twice(&scene.world, "a").len(), 1);
}

#[test]
fn a_job_that_a_living_process_works_on_is_nobody_elses() {
    let scene = Scene::one_host(Package::tiny("tiny"));
    hold_scripts(&scene.world, "a");
    let mut running = scene.landfall.begin(&install(scene.world.hosts()));
    let number = running.accepted();
    running.step_started(scene.ip(), "run_script");
    await_held(&scene.world, "a");

    let refused = scene.landfall.call(&["job", "resume", &number.to_string()]);
    assert_eq!(refused.exit, 2, "{}{}", refused.stdout, refused.stderr);
    assert!(refused.stderr.contains(&running.pid().to_string()), "pid {} is not named: {}", running.pid(), refused.stderr);
    // Nor is its host anybody else's.
    let busy = scene.landfall.run(&install(scene.world.hosts()));
    assert_eq!((busy.exit, busy.result["data"]["ip_filter"][0]["exception"].as_str()), (3, Some("busy")), "{}", busy.result);

    let_go(&scene.world, "a");
    running.report().succeeded();
    let finished = scene.landfall.resume(number).succeeded();
    assert!(finished.events.is_empty(), "of a finished job only the result is told: {}", finished.stdout);
    assert_eq!(assert_no_run_twice(&scene.world, "a").len(), 1);
}

#[test]
fn killed_with_its_record_in_postgresql_its_job_is_taken_over_when_its_hold_is_over() {
    let mut scene = Scene::one_host(Package::tiny("tiny"));
    scene.landfall.site("[limits]\nlease_s = 3\n");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    scene.landfall.record_in(runtime.block_on(async { Server::shared().await.database().await }));
    hold_scripts(&scene.world, "a");
    let mut running = scene.landfall.begin(&install(scene.world.hosts()));
    let number = running.accepted();
    let run = run_id(&running.step_started(scene.ip(), "run_script"));
    await_held(&scene.world, "a");
    let refused = scene.landfall.call(&["job", "resume", &number.to_string()]);
    assert_eq!(refused.exit, 2, "{}{}", refused.stdout, refused.stderr);
    assert!(refused.stderr.contains(&running.pid().to_string()), "pid {} is not named: {}", running.pid(), refused.stderr);
    running.kill();
    let_go(&scene.world, "a");

    let report = scene.landfall.resume(number).succeeded();

    assert!(report.stderr.contains("waiting up to 3 s"), "{}", report.stderr);
    assert_took_up(&report, scene.ip(), &run);
    assert_eq!(assert_no_run_twice(&scene.world, "a"), [run]);
    assert!(!scene.landfall.data().join("landfall.db").exists());
}

#[test]
fn a_host_that_was_restarted_meanwhile_gets_one_new_attempt() {
    let scene = Scene::one_host(Package::tiny("tiny"));
    hold_scripts(&scene.world, "a");
    let mut running = scene.landfall.begin(&install(scene.world.hosts()));
    let number = running.accepted();
    let first = run_id(&running.step_started(scene.ip(), "run_script"));
    await_held(&scene.world, "a");
    running.kill();
    // /tmp is gone with the power, and with it what held the script up.
    scene.world.stop("a");
    scene.world.start("a");

    let report = scene.landfall.resume(number).succeeded();

    let failed: Vec<_> = report.events_of(scene.ip(), "attempt_failed").collect();
    assert_eq!(failed.len(), 1, "{}", report.stdout);
    assert_eq!(failed[0]["failure"]["code"], "rebooted");
    let runs = assert_no_run_twice(&scene.world, "a");
    assert_eq!((runs.len(), &runs[0]), (2, &first), "{runs:?}");
}

#[test]
fn two_installations_that_want_the_same_host_take_turns() {
    let scene = Scene::one_host(Package::tiny("tiny"));
    let other = Landfall::with(&scene.archive.file);
    hold_scripts(&scene.world, "a");
    let mut first = scene.landfall.begin(&install(scene.world.hosts()));
    let held = run_id(&first.step_started(scene.ip(), "run_script"));
    await_held(&scene.world, "a");
    let mut second = other.begin(&install(scene.world.hosts()));
    let waits = run_id(&second.step_started(scene.ip(), "run_script"));
    until("the second one's waiting", || {
        holds(&scene.world, "a", &format!("grep -q 'waiting for {held}' /var/lib/landfall/runs/{waits}/log"))
    });
    let_go(&scene.world, "a");

    let first = first.report();
    if first.exit != 0 {
        // The second one's script may restart the agent while the first one asks it; then that is what it saw.
        assert_eq!(first.failure(scene.ip()), ("unconfirmed", "agent_died", "verify"), "{}", first.result);
    }
    second.report().succeeded();
    assert_eq!(assert_no_run_twice(&scene.world, "a"), [held, waits]);
}

/// A number from 0 to 1, another one at every run of the test; told when the test fails.
fn chance(seed: &mut u64) -> f64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    (*seed >> 11) as f64 / (1_u64 << 53) as f64
}

#[test]
fn killed_again_and_again_at_random_every_host_becomes_success_once() {
    let scene = Scene::new(World::count(10, "password"), Package::tiny("tiny").with_noise(400_000));
    let mut job = install(scene.world.hosts());
    for host in job["hosts"].as_array_mut().unwrap() {
        // Uploads take their time, so that a kill may meet one.
        host["bt_speed_limit"] = 1.into();
    }
    let mut seed = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64 | 1;
    eprintln!("seed {seed}");
    let mut running = scene.landfall.begin(&job);
    let number = running.accepted();
    for _ in 0..5 {
        std::thread::sleep(Duration::from_secs_f64(0.1 + 2.0 * chance(&mut seed)));
        running.kill_if_alive();
        running = scene.landfall.begin_resume(number);
    }
    let report = running.report().succeeded();

    assert_eq!(report.result["statistics"]["success_count"], 10, "{}", report.result);
    for host in scene.world.hosts() {
        let runs = assert_no_run_twice(&scene.world, &host.name);
        assert_eq!(runs.len(), 1, "{}: {runs:?}", host.name);
        let agents = scene.world.exec(&host.name, "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -o 'sh [b]in/agent' | wc -l");
        assert_eq!(agents.trim(), "1", "{}: not one agent", host.name);
    }
}
