//! Agents that do not do what was hoped for: "installed" means that the agent answered.

use crate::landfall::{Landfall, install};
use crate::package::Package;
use crate::target::holds;
use crate::world::World;

/// Installs one package on one host that is expected to fail; gives class, code and step.
#[track_caller]
fn fails(package: Package) -> (World, [String; 3]) {
    let world = World::up(&[("a", "password")]);
    let dir = tempfile::tempdir().unwrap();
    let landfall = Landfall::with(&package.build(dir.path()).file);
    let report = landfall.run(&install(world.hosts()));
    assert_eq!(report.exit, 1, "{}", report.result);
    let host = report.host(&world.host("a").ip);
    assert_eq!((host["status"].as_str(), host["outcome"].as_str()), (Some("FAILED"), Some("failed")));
    let (class, code, step) = report.failure(&world.host("a").ip);
    let told = [class.to_owned(), code.to_owned(), step.to_owned()];
    (world, told)
}

#[test]
fn an_agent_that_never_answers_is_unconfirmed_although_its_script_said_yes() {
    let (world, told) = fails(Package::tiny("mute").silent());
    assert_eq!(told, ["unconfirmed", "agent_silent", "verify"]);
    assert!(holds(&world, "a", "test -e /usr/local/gse/mute/current"), "the script did install it");
}

#[test]
fn an_agent_that_says_no_to_its_own_check_is_unconfirmed() {
    let (_, told) = fails(Package::tiny("sick").health("command = \"test -e /nowhere\"\ntimeout_s = 2"));
    assert_eq!(told, ["unconfirmed", "agent_silent", "verify"]);
}

#[test]
fn an_agent_that_ends_at_once_is_found_by_the_script() {
    let (world, told) = fails(Package::tiny("stillborn").start("echo no such option; exit 3"));
    assert_eq!(told, ["script_failed", "start_failed", "run_script"]);
    assert!(!holds(&world, "a", "test -e /var/run/gse/stillborn.pid && kill -0 $(cut -d' ' -f1 /var/run/gse/stillborn.pid)"));
}

#[test]
fn an_agent_that_ends_while_it_is_asked_has_died() {
    let (_, told) = fails(Package::tiny("frail").start("exec sleep 4").health("command = \"sleep 5; false\"\ntimeout_s = 3"));
    assert_eq!(told, ["unconfirmed", "agent_died", "verify"]);
}

#[test]
fn a_restart_loop_under_systemd_is_not_taken_for_life() {
    let world = World::up(&[("a", "systemd")]);
    let dir = tempfile::tempdir().unwrap();
    let package = Package::tiny("flapping").start("sleep 2; exit 1").health("command = \"sleep 4\"\ntimeout_s = 8");
    let landfall = Landfall::with(&package.build(dir.path()).file);
    let report = landfall.run(&install(world.hosts()));
    let (class, code, step) = report.failure(&world.host("a").ip);
    assert_eq!((class, code, step), ("unconfirmed", "agent_died", "verify"));
}
