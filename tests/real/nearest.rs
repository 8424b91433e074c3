//! The nearest access point, measured by real hosts: through their sshd, and by their own tools where that does not forward.

use std::fmt::Write as _;

use crate::landfall::{install, job};
use crate::package::Package;
use crate::scene::Scene;
use crate::world::World;

/// A site with three access points: one whose file server nobody reaches, one that is all there, one that swallows packets.
fn site(world: &World) -> String {
    let server = world.host("server");
    let mut site = String::new();
    for (id, cluster, file) in [
        (1, format!("{}:22", server.ip), format!("{}:22", world.closed)),
        (2, format!("{}:22", server.ip), format!("[{}]:22", server.ip6)),
        (3, format!("{}:22", world.blackhole), format!("{}:22", server.ip)),
    ] {
        let _ = write!(
            site,
            "[[access_point]]\nid = {id}\nname = \"ap{id}\"\nservers = {{ cluster = [\"{cluster}\"], file = [\"{file}\"] }}\n\
             linux = {{ setup_path = \"/opt/ap{id}\" }}\n"
        );
    }
    site
}

#[test]
fn the_one_that_is_reached_is_chosen_and_its_servers_stand_in_the_configuration() {
    let world = World::up(&[("server", "password"), ("a", "password"), ("sudo", "sudo"), ("closed", "no-forwarding")]);
    let package = Package::tiny("tiny").config("etc/agent.conf", "ap {{ ap.id }} {{ ap.servers.file[0] }} {{ host.ap_id }}\n");
    let Scene { world, landfall, .. } = Scene::new(world, package);
    landfall.site(&site(&world));
    let hosts = ["a", "sudo", "closed"].map(|name| world.host(name));
    let mut wanted = install(hosts);
    for host in wanted["hosts"].as_array_mut().unwrap() {
        host["ap_id"] = (-1).into();
    }
    let file = landfall.job_file(&wanted);
    let planned = landfall.call(&["plan", file.to_str().unwrap()]).stdout;
    assert!(planned.contains("choose_access_point") && planned.contains("(1, 2, 3)"), "{planned}");
    let checked = landfall.call(&["check", file.to_str().unwrap(), "--output", "json"]).stdout;
    // Each host on a line of its own, then all of them.
    assert_eq!(checked.matches("2 of 1 (ap1): file").count(), 6, "{checked}");

    let report = landfall.succeed(&wanted);

    let shown = landfall.show(report.job());
    let ip6 = &world.host("server").ip6;
    for (host, view) in hosts.iter().zip(shown["list"].as_array().unwrap()) {
        assert_eq!(world.exec(&host.name, "cat /opt/ap2/tiny/current/etc/agent.conf"), format!("ap 2 [{ip6}]:22 2\n"));
        assert_eq!(view["ap_id"], 2);
        let step = &view["steps"][2];
        assert_eq!(step["step"], "choose_access_point");
        let told = step["detail"].as_str().unwrap();
        assert!(
            told.starts_with("2 of 1 (ap1): file ") && told.contains("2 (ap2): ") && told.contains(" ms; 3 (ap3): cluster"),
            "{told}"
        );
    }
    // What is there is acted on with the access point it was given.
    let mut again = job("RELOAD_AGENT", hosts);
    again["hosts"].as_array_mut().unwrap().iter_mut().for_each(|host| host["ap_id"] = (-1).into());
    let report = landfall.succeed(&again);
    let steps: Vec<_> = report.events_of(&hosts[0].ip, "step_started").map(|event| event["step"].clone()).collect();
    assert_eq!(steps, ["connect", "probe", "upload_files", "run_script", "verify"]);
    assert_eq!(world.exec("a", "cut -d' ' -f2 /opt/ap2/tiny/current/etc/agent.conf"), "2\n");
}

#[test]
fn a_host_that_reaches_none_fails_before_anything_is_changed() {
    let world = World::up(&[("server", "password"), ("a", "password")]);
    let Scene { world, landfall, .. } = Scene::new(world, Package::tiny("tiny"));
    let site = site(&world)
        .replace("id = 2", "id = 4")
        .replace(&format!("[{}]:22", world.host("server").ip6), &format!("{}:9", world.closed));
    landfall.site(&site);
    let mut wanted = install([world.host("a")]);
    wanted["hosts"][0]["ap_id"] = (-1).into();
    let report = landfall.run(&wanted);
    let ip = &world.host("a").ip;
    assert_eq!(report.failure(ip), ("incompatible", "no_access_point", "choose_access_point"));
    let message = report.host(ip)["failure"]["message"].as_str().unwrap();
    for id in ["1 (ap1): file", "4 (ap2): file", "3 (ap3): cluster"] {
        assert!(message.contains(id), "{id}: {message}");
    }
    assert_eq!(world.exec("a", "ls -d /opt/ap* /var/lib/landfall 2>/dev/null || :"), "");
}
