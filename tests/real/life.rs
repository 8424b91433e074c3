//! The life of an agent: installed, installed again, taken away, taken away again. By password, by key, through sudo.

use crate::landfall::{Landfall, Report, install, uninstall};
use crate::package;
use crate::target::{assert_answers, assert_gone, difference, listing};
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
