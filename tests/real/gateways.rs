//! Hosts in zones that this machine cannot reach: through proxies and jump servers, spread over them, and on when one dies.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use crate::landfall::{Landfall, Report, install};
use crate::package::Package;
use crate::target::{assert_no_run_twice, await_held, hold_scripts, let_go, sshd_said, until};
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

/// A line of the site file's table of proxies, for one where a password is wanted.
fn proxy_by_password(host: &Host, password: &str) -> String {
    format!("[[proxy]]\ncloud = {ZONE}\ninner_ip = \"{}\"\npassword = {}\n", host.ip, json!(password))
}

#[test]
fn a_host_that_only_its_proxy_reaches_gets_its_agent_by_either_protocol_wherever_it_is_logged_in_to() {
    let world = World::up(&[("proxy", "key"), ("v4", "password"), ("v6", "password"), ("elsewhere", "password")]);
    let (v4, v6, elsewhere) = (world.host("v4"), world.host("v6"), world.host("elsewhere"));
    world.hide(&["v4", "v6", "elsewhere"]);
    assert!(!reaches(v4), "it can be reached from here");
    let (landfall, _dir) = with(Package::tiny("tiny"));
    let proxy = world.host("proxy");
    // Dialled by its outer address, in the other protocol than the one host needs.
    landfall.site(&format!("{}outer_ipv6 = \"{}\"\n", zone(&world, &["proxy"]), proxy.ip6));
    let mut job = in_zone([v4, v6, elsewhere]);
    let entry = job["hosts"][1].as_object_mut().unwrap();
    entry.remove("inner_ip");
    entry.insert("inner_ipv6".into(), v6.ip6.clone().into());
    // Nobody can be reached at that inner address.
    job["hosts"][2]["inner_ip"] = world.blackhole.clone().into();
    job["hosts"][2]["login_ip"] = elsewhere.ip6.clone().into();

    let report = landfall.succeed(&job);

    let written = |ip: &str| ip.parse::<IpAddr>().unwrap().to_string();
    for (ip, at) in [(&v4.ip, &v4.ip), (&v6.ip6, &v6.ip6), (&world.blackhole, &elsewhere.ip6)] {
        let how = way(&landfall, &report, &written(ip));
        let at = SocketAddr::new(at.parse().unwrap(), 22);
        assert_eq!(how, format!("root at {at} via [{}]:22 by password", written(&proxy.ip6)));
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

/// Gateways, and so many hosts that only they reach, with their names.
fn hidden(gateways: &[&str], hosts: usize) -> (World, Vec<String>) {
    let names: Vec<String> = (1..=hosts).map(|number| format!("h{number}")).collect();
    let mut wanted: Vec<(&str, &str)> = gateways.iter().map(|name| (*name, "key")).collect();
    wanted.extend(names.iter().map(|name| (name.as_str(), "password")));
    let world = World::up(&wanted);
    world.hide(&names.iter().map(String::as_str).collect::<Vec<_>>());
    (world, names)
}

#[test]
fn hosts_go_on_through_the_other_gateway_when_theirs_dies() {
    let (world, names) = hidden(&["g1", "g2"], 8);
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
fn fleet_of_200_hosts_behind_two_gateways_all_succeed_though_one_is_killed_midway() {
    let (world, names) = hidden(&["g1", "g2"], 200);
    let (landfall, _dir) = with(Package::tiny("tiny").with_noise(200_000));
    landfall.site(&zone(&world, &["g1", "g2"]));
    let mut running = landfall.begin(&in_zone(names.iter().map(|name| world.host(name))));
    let done = Cell::new(0);
    running.wait_for("the first fifty hosts", |event| {
        done.set(done.get() + usize::from(event["kind"] == "host_finished"));
        done.get() == 50
    });
    world.exec("g1", "pkill -9 sshd");

    let report = running.report().succeeded();

    let again = names.iter().filter(|name| report.events_of(&world.host(name).ip, "attempt_failed").count() > 0);
    assert!(again.count() > 0, "nobody was on its way through it");
    for name in &names {
        assert_eq!(assert_no_run_twice(&world, name).len(), 1, "{name}");
    }
}

#[test]
fn a_gateway_that_does_not_forward_is_left_for_one_that_does() {
    let world = World::up(&[("closed", "no-forwarding"), ("open", "key"), ("inner", "password")]);
    let (landfall, _dir) = with(Package::tiny("tiny"));
    let closed = world.host("closed");
    // The first choice, because it stands first.
    let first = proxy_by_password(closed, closed.password.as_deref().unwrap());
    landfall.site(&zone(&world, &["open"]).replacen("[[proxy]]", &format!("{first}[[proxy]]"), 1));

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
fn a_zone_whose_only_proxy_refuses_the_login_is_told_so_at_once_and_its_proxy_is_asked_once() {
    let names = ["h1", "h2"];
    let world = World::up(&[("wary", "password"), ("h1", "password"), ("h2", "password")]);
    world.hide(&names);
    let (landfall, _dir) = with(Package::tiny("tiny"));
    landfall.site(&format!("[[cloud]]\nid = {ZONE}\n{}", proxy_by_password(world.host("wary"), "not the one")));
    let report = landfall.run(&in_zone(names.iter().map(|name| world.host(name))));
    for name in &names {
        let ip = &world.host(name).ip;
        assert_eq!(report.failure(ip), ("unauthenticated", "gateway_login_refused", "connect"), "{name}");
        assert_eq!(report.events_of(ip, "attempt_failed").count(), 0, "{name}: nothing to wait for");
        assert!(report.host(ip)["failure"]["remedy"].as_str().unwrap().contains("site file"), "{name}");
    }
    assert_eq!(sshd_said(&world, "wary", "Failed password"), 1);
}

/// From now on the host's sshd turns away whoever comes while three others have not logged in yet.
fn three_at_a_time(world: &World, name: &str) {
    let listening = || sshd_said(world, name, "Server listening on 0.0.0.0");
    let before = listening();
    world.exec(name, "echo 'MaxStartups 3:100:3' >>/etc/ssh/sshd_config && pkill -HUP -o sshd");
    until("sshd listens again", || listening() > before);
}

#[test]
fn fleet_of_50_hosts_behind_a_gateway_that_takes_three_logins_at_a_time_all_succeed() {
    let (world, names) = hidden(&["gate"], 50);
    three_at_a_time(&world, "gate");
    let (landfall, _dir) = with(Package::tiny("tiny"));
    landfall.site(&zone(&world, &["gate"]));
    landfall.succeed(&in_zone(names.iter().map(|name| world.host(name))));
}

#[test]
fn a_gateway_that_is_full_is_waited_for_and_that_is_nobodys_attempt() {
    let (world, names) = hidden(&["gate"], 3);
    three_at_a_time(&world, "gate");
    let gate = world.host("gate");
    let sshd = SocketAddr::new(gate.ip.parse().unwrap(), gate.port);
    // Others who do not get on with their logins.
    let others: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(sshd).unwrap()).collect();
    let (landfall, _dir) = with(Package::tiny("tiny"));
    landfall.site(&zone(&world, &["gate"]));
    let mut running = landfall.begin(&in_zone(names.iter().map(|name| world.host(name))));
    let told = running.wait_for("word of the full gateway", |event| event["kind"] == "attempt_failed");
    assert_eq!(told["failure"]["code"], "server_busy", "{told}");
    assert!(told.to_string().contains("Exceeded MaxStartups"), "{told}");
    drop(others);

    let report = running.report().succeeded();

    for name in &names {
        assert_eq!(report.host(&world.host(name).ip)["attempts"], 1, "{name}");
    }
}

#[test]
fn what_goes_wrong_behind_a_gateway_names_both_and_a_gateway_that_refuses_the_login_is_asked_once() {
    let world = World::up(&[("wary", "password"), ("open", "key"), ("h1", "password"), ("h2", "password"), ("h3", "password")]);
    let (wary, open) = (world.host("wary"), world.host("open"));
    world.hide(&["h1", "h2", "h3"]);
    let (landfall, _dir) = with(Package::tiny("tiny"));
    let first = proxy_by_password(wary, "not the one");
    landfall.site(&zone(&world, &["open"]).replacen("[[proxy]]", &format!("{first}[[proxy]]"), 1));
    let (wrong, deaf, well) = (world.host("h1"), world.host("h2"), world.host("h3"));
    let mut job = in_zone([wrong, deaf, well]);
    job["hosts"][0]["password"] = "not the one".into();
    job["hosts"][1]["port"] = 9.into();

    let report = landfall.run(&job);

    assert_eq!(report.host(&well.ip)["status"], "SUCCESS");
    assert_eq!(report.failure(&wrong.ip), ("unauthenticated", "password_refused", "connect"));
    assert_eq!(report.failure(&deaf.ip), ("unreachable", "connection_refused", "connect"));
    for (host, port) in [(wrong, 22), (deaf, 9)] {
        let message = report.host(&host.ip)["failure"]["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("{}:{port} via {}:22 refused the ", host.ip, open.ip)), "{message}");
    }
    assert_eq!(sshd_said(&world, "wary", "Failed password"), 1);
    assert_eq!(sshd_said(&world, "h1", "Failed password"), 1);
}

#[test]
fn hosts_leave_a_gateway_that_falls_silent() {
    let (world, names) = hidden(&["g1", "g2"], 4);
    let (landfall, _dir) = with(Package::tiny("tiny"));
    landfall.site(&format!("[ssh]\nconnect_timeout_s = 2\n{}", zone(&world, &["g1", "g2"])));
    names.iter().for_each(|name| hold_scripts(&world, name));
    let mut running = landfall.begin(&in_zone(names.iter().map(|name| world.host(name))));
    let begun = RefCell::new(HashSet::new());
    running.wait_for("all hosts in their scripts", |event| {
        if event["kind"] == "step_started" && event["step"] == "run_script" {
            begun.borrow_mut().insert(event["host"]["ip"].to_string());
        }
        begun.borrow().len() == names.len()
    });
    names.iter().for_each(|name| await_held(&world, name));
    world.cut("g1");
    names.iter().for_each(|name| let_go(&world, name));

    let report = running.report().succeeded();

    let lost = |name: &&String| report.events_of(&world.host(name).ip, "attempt_failed").count() > 0;
    assert_eq!(names.iter().filter(lost).count(), names.len() / 2, "those of g1");
    for name in &names {
        assert_eq!(assert_no_run_twice(&world, name).len(), 1, "{name}");
        if lost(&name) {
            let how = way(&landfall, &report, &world.host(name).ip);
            assert!(how.contains(&format!("via {}:22 ", world.host("g2").ip)), "{name}: {how}");
        }
    }
}
