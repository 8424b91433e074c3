//! Ways to root: without a question, behind a question, on a terminal; and what is told when there is none.

use crate::kinds::comes_and_goes;
use crate::landfall::{Landfall, install, job, uninstall};
use crate::package;
use crate::target::{assert_answers, assert_gone, assert_no_run_twice, difference, listing};
use crate::world::World;

#[test]
fn root_is_reached_through_sudo_with_and_without_its_password() {
    comes_and_goes(&["sudo", "sudo-nopasswd"]);
}

#[test]
fn who_asks_on_a_terminal_only_is_answered_there_and_every_byte_arrives() {
    let world = World::up(&[("tty", "sudo-tty"), ("slow", "sudo-slow")]);
    let landfall = Landfall::with(&package::node_exporter());
    let before: Vec<String> = world.hosts().iter().map(|host| listing(&world, &host.name)).collect();

    let installed = landfall.succeed(&install(world.hosts()));
    for host in world.hosts() {
        assert_answers(host);
        let upload = installed.events_of(&host.ip, "step_finished").find(|event| event["step"] == "upload_package");
        // The terminal changed no byte: the host checked the digest of what it stored.
        assert_eq!(upload.map(|event| &event["result"]), Some(&"done".into()), "{}", installed.stdout);
        let there = world.exec(&host.name, "cat /var/lib/landfall/runs/*/log");
        for flag in ["--output=json", "--from-target"] {
            let told = landfall.call(&["job", "log", &installed.job().to_string(), &host.ip, flag]);
            assert_eq!(told.exit, 0, "{}{}", told.stdout, told.stderr);
            for line in there.lines() {
                assert!(told.stdout.contains(line), "{}: {line} is missing in {}", host.name, told.stdout);
            }
        }
    }
    landfall.succeed(&job("RESTART_AGENT", world.hosts()));
    world.hosts().iter().for_each(assert_answers);
    landfall.succeed(&uninstall(world.hosts()));
    for (host, before) in world.hosts().iter().zip(&before) {
        assert_gone(&world, host);
        assert_eq!(assert_no_run_twice(&world, &host.name).len(), 3, "{}", host.name);
        assert_eq!(difference(before, &listing(&world, &host.name)), [""; 0], "{}", host.name);
    }
}

#[test]
fn an_account_that_cannot_become_root_is_told_why_and_leaves_nothing() {
    let world = World::up(&[("refused", "sudo-refused"), ("no-tty", "sudo-no-tty"), ("wrong", "sudo"), ("wrong-tty", "sudo-tty")]);
    let landfall = Landfall::with(&package::node_exporter());
    let mut job = install(world.hosts());
    for wrong in [2, 3] {
        job["hosts"][wrong]["sudo_password"] = "not the one".into();
    }
    let before: Vec<String> = world.hosts().iter().map(|host| listing(&world, &host.name)).collect();
    let report = landfall.run(&job);
    assert_eq!(report.exit, 1);
    for (name, code) in [
        ("refused", "sudo_refused"),
        ("no-tty", "no_terminal"),
        ("wrong", "sudo_password_refused"),
        ("wrong-tty", "sudo_password_refused"),
    ] {
        let ip = &world.host(name).ip;
        assert_eq!(report.failure(ip), ("unprivileged", code, "probe"), "{name}");
        assert_eq!(report.events_of(ip, "attempt_failed").count(), 0, "{name} was tried again");
    }
    for (host, before) in world.hosts().iter().zip(&before) {
        assert_eq!(difference(before, &listing(&world, &host.name)), [""; 0], "{}", host.name);
    }
}
