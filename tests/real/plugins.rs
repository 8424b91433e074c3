//! Plugins on real hosts: they come with an agent, are tried again alone, and go with it.

use serde_json::Value;

use crate::landfall::{Landfall, Report, install, uninstall};
use crate::package::Package;
use crate::scene::Scene;
use crate::target::{assert_no_run_twice, holds};
use crate::world::World;

const SETUP: &str = "/usr/local/gse";

fn add(landfall: &Landfall, package: Package) {
    let dir = tempfile::tempdir().unwrap();
    landfall.add(&package.build(dir.path()).file);
}

/// A plugin with a configuration file, that is well as long as `/tmp/<name>` is there.
fn plugin(name: &str) -> Package {
    let template = "{{ package.name }} {{ host.inner_ip }} {{ ap.id }} {{ paths.setup_path }} {{ vars | length }}\n";
    Package::plugin(name).config("etc/plugin.conf", template).health(&format!("command = \"test -e /tmp/{name}\"\ntimeout_s = 2"))
}

fn steps(report: &Report, ip: &str) -> Vec<String> {
    let named = |event: &Value| match event["subject"].as_str() {
        Some(plugin) => format!("{} {plugin}", event["step"].as_str().unwrap()),
        None => event["step"].as_str().unwrap().to_owned(),
    };
    report.events_of(ip, "step_started").map(named).collect()
}

#[test]
fn two_plugins_come_with_an_agent_one_fails_and_is_tried_again_alone_and_both_go_with_it() {
    let world = World::up(&[("sudo", "sudo"), ("unit", "systemd"), ("busybox", "busybox")]);
    let Scene { world, landfall, .. } = Scene::new(world, Package::tiny("tiny"));
    add(&landfall, plugin("base.report").version("0.9"));
    add(&landfall, plugin("base.report").version("0.10"));
    add(&landfall, plugin("watcher"));
    let names: Vec<String> = world.hosts().iter().map(|host| host.name.clone()).collect();
    names.iter().for_each(|name| drop(world.exec(name, "touch /tmp/base.report")));
    let planned = landfall.call(&["plan", landfall.job_file(&install(world.hosts())).to_str().unwrap()]).stdout;
    assert!(planned.contains("install_plugins base.report") && planned.contains("bring base.report 0.10,"), "{planned}");

    let report = landfall.run(&install(world.hosts()));

    assert_eq!((report.exit, report.result["status"].as_str()), (1, Some("FAILED")));
    for host in world.hosts() {
        assert_eq!(report.failure(&host.ip), ("unconfirmed", "agent_silent", "install_plugins"), "{}", host.name);
        assert_eq!(report.host(&host.ip)["failure"]["subject"], "watcher");
        let expected = ["verify", "install_plugins base.report", "install_plugins watcher", "register"];
        assert_eq!(steps(&report, &host.ip)[5..], expected, "{}", host.name);
        // The agent and the first plugin run.
        assert!(holds(&world, &host.name, &format!("test -e {SETUP}/tiny/current && test -e {SETUP}/base.report/current")));
        let written = world.exec(&host.name, &format!("cat {SETUP}/base.report/current/etc/plugin.conf"));
        assert_eq!(written, format!("base.report {} 1 {SETUP} 0\n", host.ip), "{}", host.name);
        let role = world.exec(&host.name, &format!("grep '^role' {SETUP}/base.report/landfall.toml"));
        assert_eq!(role, "role = \"plugin\"\n");
    }
    let shown = landfall.show(report.job());
    let shown: Vec<&str> =
        shown["list"][0]["steps"].as_array().unwrap().iter().map(|step| step["node_name"].as_str().unwrap()).collect();
    assert_eq!(shown[6..8], ["install_plugins base.report 0.10", "install_plugins watcher 1.0.0"]);

    names.iter().for_each(|name| drop(world.exec(name, "touch /tmp/watcher")));
    let job = report.job().to_string();
    let done = landfall.call(&["job", "retry", &job]);
    assert_eq!(done.exit, 0, "{}{}", done.stdout, done.stderr);
    for name in &names {
        let runs = assert_no_run_twice(&world, name);
        let kinds: Vec<&str> = runs.iter().map(|run| run.split_at(37).1).collect();
        assert_eq!(
            kinds,
            ["run_script-1", "install_plugins-baseDreport-1", "install_plugins-watcher-1", "install_plugins-watcher-2"]
        );
    }
    let log = landfall.call(&["job", "log", &job, &world.host("sudo").ip]).stdout;
    assert!(log.contains("--- install_plugins watcher 1.0.0  SUCCESS"), "{log}");

    let report = landfall.succeed(&uninstall(world.hosts()));
    for host in world.hosts() {
        let went = steps(&report, &host.ip);
        assert_eq!(went[2..5], ["remove_plugins base.report", "remove_plugins watcher", "run_script"], "{}", host.name);
        let left = world
            .exec(&host.name, &format!("ls -d {SETUP} /etc/init.d/watcher /etc/systemd/system/watcher.service 2>/dev/null || :"));
        assert_eq!(left, "", "{}", host.name);
        let processes = world.exec(&host.name, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '");
        assert!(!processes.contains("bin/agent"), "{}: {processes}", host.name);
    }
}

#[test]
fn an_executor_killed_in_a_plugin_is_followed_by_one_that_goes_on_with_its_run() {
    let scene = Scene::one_host(Package::tiny("tiny"));
    add(&scene.landfall, plugin("watcher"));
    scene.world.exec("a", "touch /tmp/watcher");
    let mut running = scene.landfall.begin(&install(scene.world.hosts()));
    let number = running.accepted();
    running.step_started(scene.ip(), "install_plugins");
    running.kill();
    let report = scene.landfall.resume(number);
    assert_eq!(report.host(scene.ip())["status"], "SUCCESS", "{}", report.stdout);
    assert_eq!(assert_no_run_twice(&scene.world, "a").len(), 2);
    assert!(holds(&scene.world, "a", &format!("test -e {SETUP}/watcher/current")));
}

#[test]
fn a_job_that_wants_no_plugins_gets_none() {
    let scene = Scene::one_host(Package::tiny("tiny"));
    add(&scene.landfall, plugin("watcher"));
    let mut job = install(scene.world.hosts());
    job["is_install_latest_plugins"] = false.into();
    let report = scene.landfall.succeed(&job);
    assert_eq!(steps(&report, scene.ip()).len(), 8);
    assert!(!holds(&scene.world, "a", &format!("test -e {SETUP}/watcher")));
}
