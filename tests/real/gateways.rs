//! Hosts in zones that this machine cannot reach: through proxies and jump servers, spread over them, and on when one dies.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use crate::landfall::{Landfall, Report, install};
use crate::package::Package;
use crate::target::assert_no_run_twice;
use crate::world::{Host, World};

const ZONE: i64 = 2;

/// A site whose cloud has these proxies.
fn zone(world: &World, proxies: &[&str]) -> String {
    let mut site = format!("[[cloud]]\nid = {ZONE}\nname = \"zone\"\n");
    for name in proxies {
        let host = world.host(name);
        let key = world.key_file.display();
        let _ = write!(site, "[[proxy]]\ncloud = {ZONE}\ninner_ip = \"{}\"\nkey = {{ file = \"{key}\" }}\n", host.ip);
    }
    site
}

/// An install on hosts of the zone.
fn in_zone<'a>(hosts: impl IntoIterator<Item = &'a Host>) -> Value {
    let mut job = install(hosts);
    for host in job["hosts"].as_array_mut().unwrap() {
        host["bk_cloud_id"] = ZONE.into();
    }
    job
}

fn with(package: Package) -> (Landfall, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let landfall = Landfall::with(&package.build(dir.path()).file);
    (landfall, dir)
}

/// How the host was reached at last.
fn way(landfall: &Landfall, report: &Report, ip: &str) -> String {
    let view = landfall.show(report.job());
    let host = view["list"].as_array().unwrap().iter().find(|host| host["ip"] == ip).unwrap_or_else(|| panic!("no {ip}: {view}"));
    let steps = host["steps"].as_array().unwrap();
    steps.iter().find(|step| step["step"] == "connect").unwrap()["detail"].as_str().unwrap().to_owned()
}

fn reaches(host: &Host) -> bool {
    let sshd = SocketAddr::new(host.ip.parse().unwrap(), host.port);
    TcpStream::connect_timeout(&sshd, Duration::from_secs(1)).is_ok()
}

#[test]
fn a_host_that_only_its_proxy_reaches_gets_its_agent_by_either_protocol() {
    let world = World::up(&[("proxy", "key"), ("v4", "password"), ("v6", "password")]);
    let (v4, v6) = (world.host("v4"), world.host("v6"));
    world.hide(&["v4", "v6"]);
    assert!(!reaches(v4), "it can be reached from here");
    let (landfall, _dir) = with(Package::tiny("tiny"));
    let proxy = world.host("proxy");
    // Dialled by its outer address, in the other protocol than the one host needs.
    landfall.site(&format!("{}outer_ipv6 = \"{}\"\n", zone(&world, &["proxy"]), proxy.ip6));
    let mut job = in_zone([v4, v6]);
    let entry = job["hosts"][1].as_object_mut().unwrap();
    entry.remove("inner_ip");
    entry.insert("inner_ipv6".into(), v6.ip6.clone().into());

    let report = landfall.succeed(&job);

    let written = |ip: &str| ip.parse::<IpAddr>().unwrap().to_string();
    for ip in [&v4.ip, &v6.ip6] {
        let how = way(&landfall, &report, &written(ip));
        assert!(how.ends_with(&format!("via [{}]:22 by password", written(&proxy.ip6))), "{how}");
    }
    assert_eq!(assert_no_run_twice(&world, "v4").len(), 1);
}

#[test]
fn a_channel_leads_through_its_jump_server_behind_the_proxy_of_the_zone() {
    let world = World::up(&[("proxy", "key"), ("jump", "password"), ("inner", "password"), ("other", "password")]);
    let (jump, inner, other) = (world.host("jump"), world.host("inner"), world.host("other"));
    world.hide(&["jump", "inner", "other"]);
    let (landfall, _dir) = with(Package::tiny("tiny"));
    let password = json!(jump.password);
    landfall.site(&format!(
        "{}[[install_channel]]\nid = 5\ncloud = {ZONE}\nbehind_proxy = true\nnetworks = [\"{}/32\"]\njump = [{{ ip = \"{}\", password = {password} }}]\n",
        zone(&world, &["proxy"]),
        inner.ip,
        jump.ip,
    ));
    let mut job = in_zone([inner, other]);
    // Any channel: the network of the one host has one, that of the other has none.
    for host in job["hosts"].as_array_mut().unwrap() {
        host["install_channel_id"] = (-1).into();
    }

    let report = landfall.succeed(&job);

    let proxy = format!("{}:22", world.host("proxy").ip);
    assert!(way(&landfall, &report, &inner.ip).contains(&format!("via {}:22 via {proxy}", jump.ip)));
    assert!(way(&landfall, &report, &other.ip).contains(&format!("{}:22 via {proxy}", other.ip)));
}

#[test]
fn hosts_go_on_through_the_other_gateway_when_theirs_dies() {
    let names: Vec<String> = (1..=8).map(|number| format!("h{number}")).collect();
    let mut wanted = vec![("g1", "key"), ("g2", "key")];
    wanted.extend(names.iter().map(|name| (name.as_str(), "password")));
    let world = World::up(&wanted);
    world.hide(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let (landfall, _dir) = with(Package::tiny("big").with_noise(3_000_000));
    landfall.site(&zone(&world, &["g1", "g2"]));
    let mut job = in_zone(names.iter().map(|name| world.host(name)));
    for host in job["hosts"].as_array_mut().unwrap() {
        host["bt_speed_limit"] = 1.into();
    }
    let mut running = landfall.begin(&job);
    let uploading = RefCell::new(HashSet::new());
    running.wait_for("all hosts in their uploads", |event| {
        if event["kind"] == "step_started" && event["step"] == "upload_package" {
            uploading.borrow_mut().insert(event["host"]["ip"].to_string());
        }
        uploading.borrow().len() == names.len()
    });
    // Its connections are reset, and new ones refused.
    world.exec("g1", "pkill -9 sshd");

    let report = running.report().succeeded();

    let through_g2 = format!("via {}:22 ", world.host("g2").ip);
    let mut again = 0;
    for name in &names {
        let ip = &world.host(name).ip;
        assert!(way(&landfall, &report, ip).contains(&through_g2), "{name}");
        assert_eq!(assert_no_run_twice(&world, name).len(), 1, "{name}");
        again += report.events_of(ip, "attempt_failed").count();
    }
    assert!(again >= names.len() / 2, "only {again} hosts lost their gateway");
}

#[test]
fn a_gateway_that_does_not_forward_is_left_for_one_that_does() {
    let world = World::up(&[("closed", "no-forwarding"), ("open", "key"), ("inner", "password")]);
    let (landfall, _dir) = with(Package::tiny("tiny"));
    let closed = world.host("closed");
    let password = json!(closed.password);
    let site = zone(&world, &["open"]);
    landfall.site(&format!("{site}[[proxy]]\ncloud = {ZONE}\ninner_ip = \"{}\"\npassword = {password}\n", closed.ip));
    // The first choice, because it stands first.
    let site = std::fs::read_to_string(landfall.dir().join("site.toml")).unwrap();
    let mut tables: Vec<&str> = site.split("[[proxy]]").collect();
    tables.swap(1, 2);
    landfall.site(&tables.join("[[proxy]]"));

    let report = landfall.succeed(&in_zone([world.host("inner")]));

    let ip = &world.host("inner").ip;
    assert!(way(&landfall, &report, ip).contains(&format!("via {}:22", world.host("open").ip)));
    assert_eq!(report.events_of(ip, "attempt_failed").count(), 0, "another gateway is no other attempt");
}

#[test]
fn a_zone_whose_proxy_has_no_login_says_so_and_touches_nothing() {
    let world = World::up(&[("proxy", "key"), ("inner", "password")]);
    let (landfall, _dir) = with(Package::tiny("tiny"));
    let site = zone(&world, &["proxy"]).replace("id_ed25519", "id_that_is_not_there");
    landfall.site(&site);
    let report = landfall.run(&in_zone([world.host("inner")]));
    let ip = &world.host("inner").ip;
    assert_eq!(report.failure(ip), ("not_admitted", "no_gateway", "connect"));
    assert!(report.host(ip)["failure"]["message"].as_str().unwrap().contains("cloud 2"));
    assert!(report.stdout.contains("id_that_is_not_there"), "{}", report.stdout);
}

#[test]
fn fleet_of_50_hosts_behind_a_gateway_that_takes_three_logins_at_a_time_all_succeed() {
    let names: Vec<String> = (1..=50).map(|number| format!("h{number}")).collect();
    let mut wanted = vec![("gate", "key")];
    wanted.extend(names.iter().map(|name| (name.as_str(), "password")));
    let world = World::up(&wanted);
    world.hide(&names.iter().map(String::as_str).collect::<Vec<_>>());
    world.exec("gate", "echo 'MaxStartups 3:100:3' >>/etc/ssh/sshd_config && pkill -HUP -o sshd");
    let (landfall, _dir) = with(Package::tiny("tiny"));
    landfall.site(&zone(&world, &["gate"]));
    landfall.succeed(&in_zone(names.iter().map(|name| world.host(name))));
}
