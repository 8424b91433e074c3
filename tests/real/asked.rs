//! Asked from another terminal: watch, cancel, retry, a log that is followed; and asked before anything is done: plan, check.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::landfall::{Landfall, Running, install, job};
use crate::package::Package;
use crate::scene::Scene;
use crate::target::{assert_no_run_twice, await_held, difference, hold_scripts, holds, let_go, listing, until};
use crate::world::World;

/// An agent whose own `stop` takes a minute, installed and about to be restarted on host `a`.
fn restarting(kinds: &[(&str, &str)]) -> (Scene, Running, i64) {
    let scene = Scene::new(World::up(kinds), Package::tiny("slow").stop("sleep 60"));
    scene.landfall.succeed(&install(scene.world.hosts()));
    let mut running = scene.landfall.begin(&job("RESTART_AGENT", scene.world.hosts()));
    let id = running.accepted();
    running.step_started(scene.ip(), "run_script");
    until("the agent is being stopped", || holds(&scene.world, "a", "grep -qa 'sleep.60' /proc/[0-9]*/cmdline"));
    (scene, running, id)
}

/// The run's process group on host `a` is gone, and its lock is free.
#[track_caller]
fn assert_ended(scene: &Scene) {
    let left = scene.world.exec("a", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '");
    assert!(!left.contains("/runs/") && !left.contains("sleep 60"), "{left}");
    assert!(holds(&scene.world, "a", "grep -q '^released' /var/lib/landfall/lock.*"), "the lock is not free");
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[test]
fn a_restart_is_cancelled_from_another_terminal_within_5_s() {
    let (scene, running, id) = restarting(&[("a", "password")]);
    let begun = Instant::now();
    let cancel = scene.landfall.call(&["job", "cancel", &id.to_string()]);
    let took = begun.elapsed();
    assert_eq!(cancel.exit, 0, "{}{}", cancel.stdout, cancel.stderr);
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(cancel.stdout.contains("TERMINATED"), "{}", cancel.stdout);
    assert_ended(&scene);
    let report = running.report();
    assert_eq!((report.exit, report.result["status"].as_str()), (1, Some("TERMINATED")));
    assert_eq!(report.host(scene.ip())["status"], "TERMINATED");
    assert_eq!(report.events.iter().filter(|event| event["kind"] == "cancel_asked").count(), 1);
}

#[test]
fn a_job_whose_executor_was_killed_is_cancelled_all_the_same_and_goes_on_when_it_is_retried() {
    let (scene, running, id) = restarting(&[("a", "password")]);
    running.kill();
    let cancel = scene.landfall.call(&["job", "cancel", &id.to_string()]);
    assert_eq!(cancel.exit, 0, "{}{}", cancel.stdout, cancel.stderr);
    assert_ended(&scene);
    assert_eq!(scene.landfall.show(id)["status"], "TERMINATED");
    // The agent was stopped by then, whatever its own `stop` came to; now it is started.
    scene.world.exec("a", "echo true >/usr/local/gse/slow/stop");
    let retry = scene.landfall.call(&["job", "retry", &id.to_string()]);
    assert_eq!(retry.exit, 0, "{}{}", retry.stdout, retry.stderr);
    assert_eq!(scene.landfall.show(id)["status"], "SUCCESS");
    assert_eq!(assert_no_run_twice(&scene.world, "a").len(), 3);
}

#[test]
fn a_host_that_failed_is_retried_while_the_others_still_run() {
    let scene = Scene::new(World::up(&[("a", "password"), ("b", "password")]), Package::tiny("tiny"));
    let (a, b) = (scene.ip().to_owned(), scene.world.host("b").ip.clone());
    hold_scripts(&scene.world, "a");
    // Nothing can be made where the agent goes.
    scene.world.exec("b", "rm -rf /usr/local/gse; : >/usr/local/gse");
    let mut running = scene.landfall.begin(&install(scene.world.hosts()));
    let id = running.accepted();
    running.wait_for("the failure of b", |event| event["kind"] == "host_finished" && event["host"]["ip"] == b.as_str());
    await_held(&scene.world, "a");
    scene.world.exec("b", "rm -f /usr/local/gse");
    let mut retry = Running::spawn(scene.landfall.command(&["job", "retry", &id.to_string(), &b, "--output", "json"]));
    running.wait_for("the success of b", |event| {
        event["kind"] == "host_finished" && event["host"]["ip"] == b.as_str() && event["outcome"] == "succeeded"
    });
    retry.wait_for("its end, told to who asked", |event| event["kind"] == "host_finished" && event["outcome"] == "succeeded");
    let_go(&scene.world, "a");
    running.report().succeeded();
    let retried = retry.report().succeeded();
    assert_eq!(retried.host(&b)["attempts"], 2);
    assert_eq!(retried.host(&a)["attempts"], 1);
    // Its package was there already; only what had failed was done again.
    let uploads = scene.landfall.show(id)["list"][1]["steps"].clone();
    let upload = uploads.as_array().unwrap().iter().find(|step| step["step"] == "upload_package").unwrap().clone();
    assert_eq!(upload["attempts"], 1, "{uploads}");
}

#[test]
fn a_running_job_is_watched_and_its_log_followed_by_others() {
    let scene = Scene::new(World::up(&[("a", "password")]), Package::tiny("tiny"));
    hold_scripts(&scene.world, "a");
    let mut running = scene.landfall.begin(&install(scene.world.hosts()));
    let id = running.accepted().to_string();
    let watch = Running::spawn(scene.landfall.command(&["job", "watch", &id, "--output", "json"]));
    let mut log = Running::spawn(scene.landfall.command(&["job", "log", &id, scene.ip(), "--follow", "--output", "json"]));
    await_held(&scene.world, "a");
    // What the script printed so far comes while the script still runs.
    log.wait_for("output", |line| {
        line["kind"] == "output" && line["text"].as_str().is_some_and(|text| text.contains("check_env"))
    });
    let_go(&scene.world, "a");
    running.report().succeeded();
    let watched = watch.report().succeeded();
    assert_eq!(watched.events_of(scene.ip(), "host_finished").count(), 1);
    let followed = log.report();
    assert_eq!(followed.exit, 0);
    let text: String =
        lines(&followed.stdout).iter().filter(|line| line["kind"] == "output").filter_map(|line| line["text"].as_str()).collect();
    let whole = scene.landfall.call(&["job", "log", &id, scene.ip(), "--output", "json"]);
    let whole: Value = serde_json::from_str(&whole.stdout).unwrap();
    let script = whole.as_array().unwrap().iter().find(|step| step["step"] == "run_script").unwrap();
    assert!(script["log"].as_str().unwrap().ends_with(&text) && text.contains("check_deploy_result DONE"), "{text}");
}

#[test]
fn restart_reload_and_reinstall_act_on_what_is_installed_and_remove_forgets_it() {
    let package =
        Package::tiny("tiny").health("command = \"grep -q colour=red etc/agent.conf || grep -q colour=blue etc/agent.conf\"");
    let scene = Scene::new(World::up(&[("a", "password")]), package.config("etc/agent.conf", "colour={{ vars.colour }}\n"));
    let ip = scene.ip().to_owned();
    let pid = || scene.world.exec("a", "cut -d ' ' -f 1 /var/run/gse/tiny.pid");
    let with = |kind: &str, colour: &str| {
        let mut job = job(kind, scene.world.hosts());
        job["vars"] = json!({"colour": colour});
        job
    };
    scene.landfall.succeed(&with("INSTALL_AGENT", "red"));
    let first = pid();
    // No login in the request: the kept one serves.
    let bare = |kind: &str| json!({"job_type": kind, "hosts": [{"bk_biz_id": 2, "bk_cloud_id": 0, "inner_ip": ip}]});
    scene.landfall.succeed(&bare("RESTART_AGENT"));
    let second = pid();
    assert_ne!(first, second, "it was not restarted");
    let steps = |report: &crate::landfall::Report| -> Vec<String> {
        report.events_of(&ip, "step_started").map(|event| event["step"].as_str().unwrap().to_owned()).collect()
    };
    let reload = scene.landfall.succeed(&with("RELOAD_AGENT", "blue"));
    assert_eq!(steps(&reload), ["connect", "probe", "upload_files", "run_script", "verify"]);
    assert_eq!(scene.world.exec("a", "cat /usr/local/gse/tiny/current/etc/agent.conf").trim(), "colour=blue");
    assert!(holds(&scene.world, "a", "test -z \"$(ls /var/lib/landfall/stage)\""), "its files stay on the host");
    // What a request does not name stays as it was.
    scene.landfall.succeed(&bare("RELOAD_AGENT"));
    assert_eq!(scene.world.exec("a", "cat /usr/local/gse/tiny/current/etc/agent.conf").trim(), "colour=blue");
    scene.landfall.succeed(&with("REINSTALL_AGENT", "red"));
    assert_eq!(scene.world.exec("a", "cat /usr/local/gse/tiny/current/etc/agent.conf").trim(), "colour=red");

    let before = listing(&scene.world, "a");
    let removed = scene.landfall.run(&bare("REMOVE_AGENT"));
    assert_eq!((removed.exit, removed.host(&ip)["status"].as_str()), (0, Some("REMOVED")), "{}", removed.stdout);
    assert_eq!(difference(&before, &listing(&scene.world, "a")), [""; 0], "the machine was touched");
    // Its kept logins went too.
    let later = scene.landfall.run(&bare("RESTART_AGENT"));
    assert_eq!(later.exit, 3, "{}", later.stdout);
    assert_eq!(later.result["data"]["ip_filter"][0]["exception"], "not_installed");
}

#[test]
fn what_a_reload_cannot_do_is_refused_before_anything_is_touched() {
    let package = Package::tiny("tiny").start("exec sleep {{ vars.naptime }}").health("command = \"true\"");
    let scene = Scene::one_host(package);
    let with = |kind: &str, seconds: u32| {
        let mut job = job(kind, scene.world.hosts());
        job["vars"] = json!({"naptime": seconds});
        job
    };
    scene.landfall.succeed(&with("INSTALL_AGENT", 10_000));
    let report = scene.landfall.run(&with("RELOAD_AGENT", 20_000));
    assert_eq!(report.failure(scene.ip()), ("incompatible", "reload_not_enough", "probe"));
}

#[test]
fn a_plan_contacts_nobody_and_records_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let landfall = Landfall::with(&Package::tiny("tiny").build(dir.path()).file);
    // An address of a test network that answers nobody.
    let host =
        json!({"bk_biz_id": 2, "bk_cloud_id": 0, "inner_ip": "203.0.113.7", "password": "secret-word", "bt_speed_limit": 3});
    let file = landfall.job_file(&json!({"job_type": "INSTALL_AGENT", "hosts": [host.clone(), host]}));
    let log = dir.path().join("strace.log");
    let mut command = landfall.command_under(
        &["strace", "-f", "-e", "trace=connect", "-o", log.to_str().unwrap()],
        &["plan", file.to_str().unwrap(), "--output", "json"],
    );
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "the second is a duplicate: {}", String::from_utf8_lossy(&output.stderr));
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    let steps: Vec<&str> =
        plan["list"][0]["steps"].as_array().unwrap().iter().map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["connect", "probe", "upload_package", "upload_files", "run_script", "verify", "register", "cleanup"]);
    assert_eq!(plan["list"][0]["packages"][0]["name"], "tiny");
    assert_eq!((plan["list"][1]["status"].as_str(), plan["list"][1]["exception"].as_str()), (Some("IGNORED"), Some("duplicate")));
    assert!(!String::from_utf8_lossy(&output.stdout).contains("secret-word"));
    assert!(!std::fs::read_to_string(log).unwrap().contains("203.0.113.7"), "somebody was called");
    assert_eq!(landfall.call(&["job", "list", "--output", "json"]).stdout.trim(), r#"{"total":0,"list":[]}"#);
}

#[test]
fn a_check_of_a_job_that_touches_no_host_calls_none() {
    let world = World::up(&[("a", "password")]);
    let landfall = Landfall::new();
    let mut job = job("REMOVE_AGENT", world.hosts());
    job["hosts"][0]["password"] = "wrong".into();
    let file = landfall.job_file(&job);
    let done = landfall.call(&["check", file.to_str().unwrap()]);
    assert_eq!(done.exit, 0, "{}{}", done.stdout, done.stderr);
    assert_eq!(crate::target::sshd_said(&world, "a", "Failed password"), 0);
}

#[test]
fn a_check_finds_what_a_job_would_meet_and_changes_nothing() {
    let world = World::up(&[
        ("a", "password"),
        ("b", "full-disk"),
        ("c", "sudo-refused"),
        ("d", "no-tar"),
        ("e", "no-forwarding"),
        ("f", "password"),
    ]);
    let scene = Scene::new(world, Package::tiny("tiny").with_noise(3_000_000));
    scene.landfall.site(&format!(
        "[[access_point]]\nid = 1\nname = \"x\"\nservers = {{ cluster = [\"{}:22\"], data = [\"127.0.0.1:1\"] }}\n",
        scene.world.host("a").ip
    ));
    let before: Vec<String> = scene.world.hosts().iter().map(|host| listing(&scene.world, &host.name)).collect();
    let mut job = job("INSTALL_AGENT", scene.world.hosts());
    job["hosts"][5]["password"] = "wrong".into();
    let file = scene.landfall.job_file(&job);
    let done = scene.landfall.call(&["check", file.to_str().unwrap(), "--output", "json"]);
    assert_eq!(done.exit, 1, "{}{}", done.stdout, done.stderr);
    let result = lines(&done.stdout).pop().unwrap();
    let host = |name: &str| {
        let ip = scene.world.host(name).ip.as_str();
        result["list"].as_array().unwrap().iter().find(|host| host["ip"] == ip).unwrap().clone()
    };
    let failed = |name: &str| -> Vec<(String, String)> {
        let word = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        let findings = host(name)["findings"].as_array().unwrap().clone();
        let bad = findings.iter().filter(|finding| finding["verdict"] == "failed");
        bad.map(|finding| (word(finding, "subject"), word(finding, "code"))).collect()
    };
    let one = |subject: &str, code: &str| vec![(subject.to_owned(), code.to_owned())];
    for (name, ready, expected) in [
        ("a", true, vec![]),
        ("b", false, one("setup_path", "no_space")),
        ("c", false, one("privilege", "sudo_refused")),
        ("d", false, one("package", "missing_tool")),
        ("e", true, vec![]),
        ("f", false, one("login", "password_refused")),
    ] {
        assert_eq!((host(name)["ready"].as_bool(), failed(name)), (Some(ready), expected), "{name}: {}", host(name));
    }
    for name in ["a", "e"] {
        let findings = host(name)["findings"].as_array().unwrap().clone();
        let ports: Vec<&str> = findings
            .iter()
            .filter(|finding| finding["subject"] == "access_point")
            .map(|finding| finding["verdict"].as_str().unwrap())
            .collect();
        assert_eq!(ports, ["ok", "warning"], "{name}: {findings:?}");
    }
    let after: Vec<String> = scene.world.hosts().iter().map(|host| listing(&scene.world, &host.name)).collect();
    for (old, new) in before.iter().zip(&after) {
        assert_eq!(difference(old, new), [""; 0]);
    }
    assert_eq!(crate::target::sshd_said(&scene.world, "f", "Failed password"), 1, "it was offered once");
}
