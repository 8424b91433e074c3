//! Hosts that cannot be reached or do not let us in: one cause, one remedy, no second knock where a second one does harm.

use serde_json::json;

use crate::landfall::{Landfall, entry, install};
use crate::package::{self, Package};
use crate::scene::Scene;
use crate::target::{assert_answers, runs_started, sshd_said};
use crate::world::World;

/// Tries that sshd counts against an account.
fn tries(world: &World, name: &str) -> usize {
    sshd_said(world, name, "Failed password") + sshd_said(world, name, "Accepted password")
}

#[test]
fn each_host_that_fails_says_why_on_one_line_and_the_good_one_succeeds() {
    let world = World::up(&[("wrong", "password"), ("good", "password")]);
    let landfall = Landfall::with(&package::node_exporter());
    landfall.site("[ssh]\nconnect_timeout_s = 1\n");
    let mut job = install(world.hosts());
    job["hosts"][0]["password"] = "not the one".into();
    for ip in [&world.closed, &world.blackhole] {
        let mut host = entry(world.host("good"));
        host["inner_ip"] = ip.as_str().into();
        job["hosts"].as_array_mut().unwrap().push(host);
    }

    let file = landfall.job_file(&job).display().to_string();
    let done = landfall.call(&["run", &file]);

    assert_eq!(done.exit, 1, "{}{}", done.stdout, done.stderr);
    let wrong = world.host("wrong").ip.as_str();
    for (ip, code, remedy) in [
        (wrong, "password_refused", "correct `account` and `password`"),
        (&world.closed, "connection_refused", "start sshd"),
        (&world.blackhole, "connect_timeout", "firewalls"),
    ] {
        let ended: Vec<&str> =
            done.stdout.lines().filter(|line| line.starts_with(&format!("{ip} ")) && line.contains("FAILED")).collect();
        assert_eq!(ended.len(), 1, "{ip}: {}", done.stdout);
        assert!(ended[0].contains(&format!("[{code}]; remedy: ")) && ended[0].contains(remedy), "{}", ended[0]);
        assert!(ended[0].contains("connect: "), "the step is not named: {}", ended[0]);
    }
    assert_eq!(done.stdout.matches("SUCCESS  node-exporter").count(), 1, "{}", done.stdout);
    assert_answers(world.host("good"));
    assert_eq!((tries(&world, "wrong"), tries(&world, "good")), (1, 1));
    assert!(!done.stdout.contains(&format!("{wrong}  connect: ")), "a refused login was tried again: {}", done.stdout);
}

#[test]
fn a_wrong_password_is_one_try_also_where_sshd_asks_in_its_own_words() {
    let Scene { world, landfall, .. } =
        Scene::new(World::up(&[("asks", "kbdint"), ("plain", "password")]), Package::tiny("tiny"));
    let mut job = install(world.hosts());
    for host in job["hosts"].as_array_mut().unwrap() {
        host["password"] = "not the one".into();
    }
    let report = landfall.run(&job);
    assert_eq!(report.exit, 1);
    for host in world.hosts() {
        assert_eq!(report.failure(&host.ip), ("unauthenticated", "password_refused", "connect"));
        assert_eq!(report.host(&host.ip)["attempts"], 1);
        assert_eq!(report.events_of(&host.ip, "attempt_failed").count(), 0);
    }
    assert_eq!(sshd_said(&world, "asks", "PAM: Authentication failure") + tries(&world, "asks"), 1);
    assert_eq!(tries(&world, "plain"), 1);
}

#[test]
fn a_key_that_is_not_the_hosts_is_refused_once_and_a_broken_one_is_never_offered() {
    let Scene { world, landfall, dir, .. } =
        Scene::new(World::up(&[("a", "key"), ("b", "key"), ("c", "key")]), Package::tiny("tiny"));
    let other = dir.path().join("other");
    let made = std::process::Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&other).status();
    assert!(made.unwrap().success());
    let mut job = install(world.hosts());
    job["hosts"][0]["key"] = json!({"file": other});
    job["hosts"][1]["key"] = "-----BEGIN OPENSSH PRIVATE KEY-----\nnonsense\n-----END OPENSSH PRIVATE KEY-----\n".into();
    job["hosts"][2]["key"] = json!({"file": world.encrypted_key_file});
    job["hosts"][2]["passphrase"] = "not the one".into();
    let report = landfall.run(&job);
    assert_eq!(report.exit, 1);
    assert_eq!(report.failure(&world.host("a").ip), ("unauthenticated", "key_refused", "connect"));
    for name in ["b", "c"] {
        assert_eq!(report.failure(&world.host(name).ip), ("unauthenticated", "key_unusable", "connect"), "{name}");
    }
    assert_eq!(sshd_said(&world, "a", "Accepted"), 0);
}

#[test]
fn a_password_is_never_offered_where_sshd_takes_keys_only() {
    let Scene { world, landfall, .. } = Scene::new(World::up(&[("a", "key")]), Package::tiny("tiny"));
    let mut job = install(world.hosts());
    let host = &mut job["hosts"][0];
    host["auth_type"] = "PASSWORD".into();
    host["password"] = "whatever".into();
    let report = landfall.run(&job);
    assert_eq!(report.failure(&world.host("a").ip), ("unauthenticated", "method_not_offered", "connect"));
    assert_eq!(tries(&world, "a"), 0);
}

#[test]
fn a_changed_host_key_ends_it_before_anything_is_sent() {
    let Scene { world, landfall, .. } = Scene::one_host(Package::tiny("tiny"));
    let job = install(world.hosts());
    landfall.succeed(&job);
    let logins = tries(&world, "a");
    let runs = runs_started(&world, "a");
    world.exec("a", "rm /etc/ssh/ssh_host_ed25519_key* && ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key");
    world.stop("a");
    world.start("a");

    let report = landfall.run(&job);

    assert_eq!(report.exit, 1);
    assert_eq!(report.failure(&world.host("a").ip), ("host_key", "host_key_changed", "connect"));
    assert_eq!(report.events_of(&world.host("a").ip, "attempt_failed").count(), 0);
    assert_eq!(tries(&world, "a"), logins, "the password was sent to a host with another key");
    assert_eq!(runs_started(&world, "a"), runs);

    // Somebody says that the new key is right.
    let ip = world.host("a").ip.clone();
    assert_eq!(landfall.call(&["hostkey", "forget", &ip]).exit, 0);
    landfall.succeed(&job);
    assert_eq!(landfall.call(&["hostkey", "forget", "10.77.255.1"]).exit, 2);
}

#[test]
fn a_reinstall_that_may_takes_the_new_key_of_a_host_once_and_says_so() {
    let Scene { world, landfall, .. } = Scene::one_host(Package::tiny("tiny"));
    let mut job = install(world.hosts());
    landfall.succeed(&job);
    let ip = world.host("a").ip.clone();
    let another_key = || {
        world.exec("a", "rm /etc/ssh/ssh_host_ed25519_key* && ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key");
        world.stop("a");
        world.start("a");
    };
    another_key();
    job["hosts"][0]["accept_new_host_key"] = true.into();
    assert_eq!(landfall.run(&job).exit, 2, "it is for a reinstall");

    job["job_type"] = "REINSTALL_AGENT".into();
    let report = landfall.succeed(&job);
    let replaced: Vec<_> = report.events_of(&ip, "host_key_replaced").collect();
    assert_eq!(replaced.len(), 1);
    let shown = replaced[0]["shown"].as_str().unwrap();
    assert!(landfall.call(&["hostkey", "list"]).stdout.contains(shown), "{shown} is not the pinned one");

    job["hosts"][0].as_object_mut().unwrap().remove("accept_new_host_key");
    landfall.succeed(&job);
    another_key();
    assert_eq!(landfall.run(&job).failure(&ip), ("host_key", "host_key_changed", "connect"));
}

#[test]
fn a_host_that_comes_up_late_is_reached_by_a_later_try() {
    let Scene { world, landfall, .. } = Scene::one_host(Package::tiny("tiny"));
    landfall.site("[ssh]\nconnect_timeout_s = 1\n");
    let ip = &world.host("a").ip;
    world.cut("a");
    let mut running = landfall.begin(&install(world.hosts()));
    running.wait_for("a failed try", |event| event["kind"] == "attempt_failed");
    world.heal("a");
    let report = running.report().succeeded();
    let failed: Vec<_> = report.events_of(ip, "attempt_failed").collect();
    assert!(
        failed.iter().all(|event| event["failure"]["code"] == "connect_timeout" && event["retry_in_ms"].as_u64() > Some(0)),
        "{failed:?}"
    );
}
