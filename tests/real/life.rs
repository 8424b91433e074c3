//! The life of an agent: installed, installed again, taken away, taken away again. By password, by key, through sudo.

use crate::landfall::{Landfall, Report, install, uninstall};
use crate::package::{self, Package};
use crate::scene::Scene;
use crate::target::{assert_answers, assert_gone, difference, holds, listing};
use crate::world::{Host, World};

/// The three ways to become root, a host each.
fn hosts() -> World {
    World::up(&[("by-password", "password"), ("by-key", "key"), ("by-sudo", "sudo")])
}

#[track_caller]
fn assert_every_host(report: &Report, world: &World, check: impl Fn(&Report, &Host)) {
    assert_eq!(report.result["hosts"].as_array().map(Vec::len), Some(world.hosts().len()));
    world.hosts().iter().for_each(|host| check(report, host));
}

#[test]
fn an_agent_is_installed_kept_and_removed_without_a_trace() {
    let world = hosts();
    let landfall = Landfall::with(&package::node_exporter());
    let before: Vec<String> = world.hosts().iter().map(|host| listing(&world, &host.name)).collect();

    let first = landfall.succeed(&install(world.hosts()));
    assert_every_host(&first, &world, |report, host| {
        assert_eq!(report.host(&host.ip)["outcome"], "succeeded");
        assert!(report.host(&host.ip)["bytes_sent"].as_u64() > Some(1_000_000), "{}", report.result);
        assert_answers(host);
    });
    let numbers: Vec<_> = first.events.iter().filter_map(|event| event["seq"].as_u64()).collect();
    assert!(numbers.iter().zip(1..).all(|(seq, expected)| *seq == expected), "events are missing: {numbers:?}");
    assert_eq!(first.events.first().map(|event| &event["kind"]), Some(&"job_accepted".into()));
    assert_eq!(first.events.last().map(|event| &event["kind"]), Some(&"job_finished".into()));
    let shown = landfall.call(&["job", "show", &first.job().to_string()]);
    assert_eq!(shown.stdout.matches("SUCCESS  -").count(), world.hosts().len(), "{}", shown.stdout);

    let again = landfall.succeed(&install(world.hosts()));
    assert_every_host(&again, &world, |report, host| {
        assert_eq!(report.host(&host.ip)["bytes_sent"], 0, "{}", report.result);
        let upload = report.events_of(&host.ip, "step_finished").find(|event| event["step"] == "upload_package");
        assert_eq!(upload.map(|event| &event["result"]), Some(&"skipped".into()), "{}", report.stdout);
        assert_answers(host);
    });

    let removed = landfall.succeed(&uninstall(world.hosts()));
    assert_every_host(&removed, &world, |_, host| assert_gone(&world, host));
    for (host, before) in world.hosts().iter().zip(&before) {
        let left = difference(before, &listing(&world, &host.name));
        assert!(left.is_empty(), "{} is not as it was:\n{}", host.name, left.join("\n"));
    }

    let nothing = landfall.succeed(&uninstall(world.hosts()));
    assert_every_host(&nothing, &world, |report, host| {
        assert_eq!(
            (report.host(&host.ip)["status"].as_str(), report.host(&host.ip)["outcome"].as_str()),
            (Some("SUCCESS"), Some("skipped"))
        );
    });
}

#[test]
fn an_agent_that_was_killed_is_healthy_after_the_next_install() {
    let world = World::up(&[("a", "password")]);
    let landfall = Landfall::with(&package::node_exporter());
    landfall.succeed(&install(world.hosts()));
    world.exec("a", "kill -9 $(cut -d' ' -f1 /var/run/gse/node-exporter.pid)");
    landfall.succeed(&install(world.hosts()));
    assert_answers(world.host("a"));
}

#[test]
fn a_kept_login_serves_the_uninstall_and_is_gone_with_its_retention() {
    let Scene { world, landfall, .. } =
        Scene::new(World::up(&[("kept", "password"), ("purged", "password")]), Package::tiny("tiny"));
    let mut job = install(world.hosts());
    job["hosts"][1]["retention"] = 0.into();
    landfall.succeed(&job);

    let mut removal = uninstall(world.hosts());
    for host in removal["hosts"].as_array_mut().unwrap() {
        host.as_object_mut().unwrap().remove("password");
    }
    let report = landfall.run(&removal);
    assert_eq!(report.exit, 1, "{}", report.result);
    let purged = report.host(&world.host("purged").ip);
    assert_eq!((&purged["status"], &purged["exception"]), (&"IGNORED".into(), &"credential_expired".into()));
    assert_eq!(report.host(&world.host("kept").ip)["status"], "SUCCESS");
    assert!(!holds(&world, "kept", "test -e /usr/local/gse") && holds(&world, "purged", "test -e /usr/local/gse/tiny"));
}

#[test]
fn a_host_with_an_ipv6_address_only_is_like_any_other() {
    let world = World::up(&[("a", "password")]);
    let host = world.host("a");
    let landfall = Landfall::with(&package::node_exporter());
    let six = |mut job: serde_json::Value| {
        let entry = job["hosts"][0].as_object_mut().unwrap();
        entry.remove("inner_ip");
        entry.insert("inner_ipv6".into(), host.ip6.as_str().into());
        job
    };
    let report = landfall.succeed(&six(install(world.hosts())));
    assert_eq!(report.host(&host.ip6)["status"], "SUCCESS");
    assert_answers(host);
    landfall.succeed(&six(uninstall(world.hosts())));
    assert_gone(&world, host);
}

#[test]
fn an_agent_that_was_installed_elsewhere_is_found_without_being_told_where() {
    let world = World::up(&[("a", "password")]);
    let landfall = Landfall::with(&package::node_exporter());
    let mut job = install(world.hosts());
    job["paths"] = serde_json::json!({"setup_path": "/opt/agents"});
    landfall.succeed(&job);
    assert!(holds(&world, "a", "test -h /opt/agents/node-exporter/current"));
    let report = landfall.succeed(&uninstall(world.hosts()));
    assert_eq!(report.host(&world.host("a").ip)["outcome"], "succeeded");
    assert_gone(&world, world.host("a"));
    assert!(!holds(&world, "a", "test -e /opt/agents"));
}
