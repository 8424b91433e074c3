//! Ways to root: without a question, behind a question, on a terminal; and what is told when there is none.

use crate::kinds::{comes_and_goes, restarts_and_goes};
use crate::landfall::{Landfall, install};
use crate::package;
use crate::target::{assert_answers, difference, listing};
use crate::world::World;

/// A rule of the site for each of these hosts.
fn rules(landfall: &Landfall, world: &World, methods: &[(&str, &str)]) {
    let rule =
        |(name, method): &(&str, &str)| format!("[[privilege]]\nhosts = [\"{}\"]\nmethod = \"{method}\"\n", world.host(name).ip);
    landfall.site(&methods.iter().map(rule).collect::<String>());
}

#[test]
fn root_is_reached_through_sudo_with_and_without_its_password() {
    comes_and_goes(&["sudo", "sudo-nopasswd"]);
}

#[test]
fn who_asks_on_a_terminal_only_is_answered_there_and_every_byte_arrives() {
    let world = World::up(&[("tty", "sudo-tty"), ("slow", "sudo-slow"), ("su", "su"), ("doas", "doas"), ("free", "doas-nopass")]);
    let landfall = Landfall::with(&package::node_exporter());
    rules(&landfall, &world, &[("su", "su"), ("doas", "doas"), ("free", "doas")]);
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
    restarts_and_goes(&landfall, &world, &before);
}

#[test]
fn an_account_that_cannot_become_root_is_told_why_and_leaves_nothing() {
    // Name, kind, who is asked, with a wrong password, and what is told.
    let table = [
        ("refused", "sudo-refused", "sudo", false, "sudo_refused"),
        ("no-tty", "sudo-no-tty", "sudo", false, "no_terminal"),
        ("wrong", "sudo", "sudo", true, "sudo_password_refused"),
        ("wrong-tty", "sudo-tty", "sudo", true, "sudo_password_refused"),
        ("no-wheel", "su-wheel", "su", false, "su_refused"),
        ("wrong-su", "su", "su", true, "su_password_refused"),
        ("no-rule", "doas-refused", "doas", false, "doas_refused"),
        ("wrong-doas", "doas", "doas", true, "doas_password_refused"),
        ("no-sudo", "doas-nopass", "sudo", false, "not_root"),
    ];
    let world = World::up(&table.map(|(name, kind, ..)| (name, kind)));
    let landfall = Landfall::with(&package::node_exporter());
    rules(&landfall, &world, &table.map(|(name, _, method, ..)| (name, method)));
    let mut job = install(world.hosts());
    for (index, _) in table.iter().enumerate().filter(|(_, (.., wrong, _))| *wrong) {
        job["hosts"][index]["sudo_password"] = "not the one".into();
    }
    let before: Vec<String> = world.hosts().iter().map(|host| listing(&world, &host.name)).collect();
    let report = landfall.run(&job);
    assert_eq!(report.exit, 1);
    for (name, .., code) in table {
        let ip = &world.host(name).ip;
        assert_eq!(report.failure(ip), ("unprivileged", code, "probe"), "{name}");
        assert_eq!(report.events_of(ip, "attempt_failed").count(), 0, "{name} was tried again");
    }
    assert!(!report.stdout.contains("not the one"), "a password is shown: {}", report.stdout);
    for (host, before) in world.hosts().iter().zip(&before) {
        assert_eq!(difference(before, &listing(&world, &host.name)), [""; 0], "{}", host.name);
    }
}
