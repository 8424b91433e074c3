//! An upgrade on real hosts: what is kept, what comes, and the way back.

use crate::landfall::{Landfall, install, job, uninstall};
use crate::package::Package;
use crate::scene::Scene;
use crate::target::{assert_no_run_twice, holds};
use crate::world::World;

const HOME: &str = "/usr/local/gse/tiny";

/// An agent with a configuration file, that answers as the release it is.
fn release(version: &str) -> Package {
    Package::tiny("tiny")
        .version(version)
        .config("etc/agent.conf", "greeting = hello\n")
        .health(&format!("command = \"grep -q {version} package.toml\""))
}

fn add(landfall: &Landfall, package: Package) {
    let dir = tempfile::tempdir().unwrap();
    landfall.add(&package.build(dir.path()).file);
}

fn current(world: &World, name: &str) -> String {
    world.exec(name, &format!("ls {HOME}/releases | cut -d- -f1 | tr '\\n' ' '; cut -d'\"' -f2 {HOME}/landfall.toml | sed -n 2p"))
}

#[test]
fn an_upgrade_keeps_what_was_edited_and_the_next_takes_the_oldest_release_away() {
    let Scene { world, landfall, .. } = Scene::new(World::up(&[("sudo", "sudo"), ("unit", "systemd")]), release("1.0"));
    landfall.succeed(&install(world.hosts()));
    for host in world.hosts() {
        let edit =
            format!("echo 'greeting = mine' >{HOME}/current/etc/agent.conf; mkdir -p /var/lib/gse; echo x >/var/lib/gse/data");
        world.exec(&host.name, &edit);
    }
    for (version, kept) in [("2.0", "1.0 2.0 2.0\n"), ("3.0", "2.0 3.0 3.0\n")] {
        add(&landfall, release(version));
        let report = landfall.succeed(&job("UPGRADE_AGENT", world.hosts()));
        for host in world.hosts() {
            assert_eq!(current(&world, &host.name), kept, "{}", host.name);
            assert_eq!(
                world.exec(&host.name, &format!("cat {HOME}/current/etc/agent.conf /var/lib/gse/data")),
                "greeting = mine\nx\n"
            );
            let steps: Vec<_> = report.events_of(&host.ip, "step_started").map(|event| event["step"].clone()).collect();
            let expected = ["connect", "probe", "upload_package", "upload_files", "run_script", "verify", "register", "cleanup"];
            assert_eq!(steps, expected);
        }
    }
    // The newest is there: nothing is sent, nothing is restarted.
    let pids = "cat /proc/[0-9]*/stat | grep '(sh) S' | cut -d' ' -f1 | while read -r p; do \
        tr '\\0' ' ' </proc/$p/cmdline | grep -q '^sh bin/agent' && echo $p; done; :";
    let before = world.exec("sudo", pids);
    assert_eq!(before.lines().count(), 1, "{before}");
    let again = landfall.succeed(&job("UPGRADE_AGENT", world.hosts()));
    assert_eq!((world.exec("sudo", pids), &again.host(&world.host("sudo").ip)["bytes_sent"]), (before, &0.into()));
    landfall.succeed(&uninstall(world.hosts()));
    assert!(world.hosts().iter().all(|host| !holds(&world, &host.name, &format!("test -e {HOME}"))));
    let report = landfall.run(&job("UPGRADE_AGENT", world.hosts()));
    assert_eq!(report.failure(&world.host("unit").ip), ("incompatible", "not_installed", "probe"));
}

#[test]
fn a_release_that_does_not_start_or_answer_is_switched_back_and_the_host_fails_with_its_reason() {
    let Scene { world, landfall, .. } = Scene::new(World::up(&[("a", "password"), ("unit", "systemd")]), release("1.0"));
    landfall.succeed(&install(world.hosts()));
    world.hosts().iter().for_each(|host| drop(world.exec(&host.name, &format!("echo mine >{HOME}/current/etc/agent.conf"))));
    let bad = [
        (
            release("2.0").start("echo no such library; exit 3"),
            ("script_failed", "start_failed", "run_script"),
            "no such library",
        ),
        (release("3.0").silent(), ("unconfirmed", "agent_silent", "verify"), ""),
    ];
    for (package, why, words) in bad {
        add(&landfall, package);
        let report = landfall.run(&job("UPGRADE_AGENT", world.hosts()));
        assert_eq!((report.exit, report.result["status"].as_str()), (1, Some("FAILED")));
        for host in world.hosts() {
            assert_eq!(report.failure(&host.ip), why, "{}", report.host(&host.ip));
            let told = report.host(&host.ip)["failure"]["message"].as_str().unwrap();
            assert!(told.ends_with(&format!("{words}; tiny 1.0 answers again")), "{told}");
            assert_eq!(world.exec(&host.name, &format!("cat {HOME}/current/etc/agent.conf")), "mine\n");
            assert!(current(&world, &host.name).ends_with(" 1.0\n"), "{}", current(&world, &host.name));
            assert_no_run_twice(&world, &host.name);
        }
        let shown = landfall.show(report.job());
        let steps: Vec<_> = shown["list"][0]["steps"].as_array().unwrap().iter().map(|step| step["step"].clone()).collect();
        assert_eq!(steps[4..], ["run_script", "verify", "switch_back", "register", "cleanup"]);
        assert_eq!(landfall.step(report.job(), "switch_back")["status"], "SUCCESS");
    }
    // The old release is asked by its own check, and is still what later kinds act on.
    let report = landfall.succeed(&job("RESTART_AGENT", world.hosts()));
    assert_eq!(report.result["statistics"]["success_count"], 2);
}

#[test]
fn killed_on_the_way_back_the_old_release_runs_again_in_the_end() {
    let scene = Scene::one_host(release("1.0"));
    scene.landfall.succeed(&install(scene.world.hosts()));
    add(&scene.landfall, release("2.0").silent());
    let mut running = scene.landfall.begin(&job("UPGRADE_AGENT", scene.world.hosts()));
    let number = running.accepted();
    running.step_started(scene.ip(), "switch_back");
    running.kill();

    let report = scene.landfall.resume(number);

    assert_eq!(report.failure(scene.ip()), ("unconfirmed", "agent_silent", "verify"));
    assert!(current(&scene.world, "a").ends_with(" 1.0\n"));
    assert_eq!(assert_no_run_twice(&scene.world, "a").len(), 3);
}
