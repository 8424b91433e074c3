//! Proxies of zones: installed by a job, proved to carry connections into their zone, and used by every job after that.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::landfall::{Landfall, Report, entry};
use crate::package::Package;
use crate::target::assert_no_run_twice;
use crate::world::{Host, World};

pub const ZONE: i64 = 2;

/// A site with an empty zone.
pub const EMPTY_ZONE: &str = "[[cloud]]\nid = 2\nname = \"zone\"\n";

/// The steps of a kind, as the design lists them.
pub fn steps_of(kind: &str) -> &'static [&'static str] {
    match kind {
        "RELOAD" => &["connect", "probe", "upload_files", "run_script", "verify"],
        "RESTART" => &["connect", "probe", "run_script", "verify"],
        "UNINSTALL" => &["connect", "probe", "run_script", "verify_gone", "register", "cleanup"],
        "REMOVE" => &["forget"],
        _ => &["connect", "probe", "upload_package", "upload_files", "run_script", "verify", "register", "cleanup"],
    }
}

/// The request's entry for a host of the zone.
pub fn of_zone(host: &Host) -> Value {
    let mut entry = entry(host);
    entry["bk_cloud_id"] = ZONE.into();
    entry
}

/// The same for a proxy, which is dialled at its outer address.
pub fn proxy(host: &Host) -> Value {
    let mut entry = of_zone(host);
    entry["outer_ip"] = host.ip.clone().into();
    entry
}

pub fn job(kind: &str, hosts: &[Value]) -> Value {
    json!({"job_type": kind, "hosts": hosts})
}

pub fn add(landfall: &Landfall, package: Package) {
    let dir = tempfile::tempdir().unwrap();
    landfall.add(&package.build(dir.path()).file);
}

/// A release of a proxy package.
pub fn release(version: &str) -> Package {
    let health = format!("command = \"grep -q {version} package.toml\"");
    Package::tiny("carrier").proxy().version(version).config("etc/proxy.conf", "cloud = {{ host.bk_cloud_id }}\n").health(&health)
}

/// The steps of a host that the record shows.
pub fn steps(landfall: &Landfall, report: &Report, ip: &str) -> Vec<String> {
    let view = landfall.show(report.job());
    let host = view["list"].as_array().unwrap().iter().find(|host| host["ip"] == ip).unwrap_or_else(|| panic!("no {ip}: {view}"));
    host["steps"].as_array().unwrap().iter().map(|step| step["step"].as_str().unwrap().to_owned()).collect()
}

/// How a host was reached.
pub fn way(landfall: &Landfall, report: &Report, ip: &str) -> String {
    let view = landfall.show(report.job());
    let host = view["list"].as_array().unwrap().iter().find(|host| host["ip"] == ip).unwrap();
    let steps = host["steps"].as_array().unwrap();
    steps.iter().find(|step| step["step"] == "connect").unwrap()["detail"].as_str().unwrap().to_owned()
}

/// A host that will be a proxy, one that only it reaches, and packages for both.
fn empty_zone() -> (World, Landfall) {
    let world = World::up(&[("proxy", "password"), ("inner", "password")]);
    world.hide(&["inner"]);
    let landfall = Landfall::new();
    landfall.site(EMPTY_ZONE);
    add(&landfall, release("1.0"));
    add(&landfall, Package::tiny("tiny"));
    (world, landfall)
}

#[test]
fn every_kind_of_job_on_a_proxy_and_behind_it_takes_the_steps_of_the_design() {
    let (world, landfall) = empty_zone();
    let (carrier, inner) = (world.host("proxy"), world.host("inner"));
    let refused = landfall.run(&job("INSTALL_AGENT", &[of_zone(inner)]));
    assert!(refused.stdout.contains("3801013"), "a zone without proxy: {}", refused.stdout);

    // Nobody answers at the first of its outer addresses.
    let mut several = proxy(carrier);
    several["outer_ip"] = format!("{}, {}", world.closed.split(':').next().unwrap(), carrier.ip).into();
    for (kind, entry) in [
        ("INSTALL_PROXY", &several),
        ("RESTART_PROXY", &proxy(carrier)),
        ("RELOAD_PROXY", &proxy(carrier)),
        ("REINSTALL_PROXY", &several),
    ] {
        let report = landfall.succeed(&job(kind, std::slice::from_ref(entry)));
        assert_eq!(steps(&landfall, &report, &carrier.ip), steps_of(kind.trim_end_matches("_PROXY")), "{kind}");
    }
    for kind in ["INSTALL_AGENT", "RESTART_AGENT", "RELOAD_AGENT", "REINSTALL_AGENT", "UPGRADE_AGENT", "UNINSTALL_AGENT"] {
        let report = landfall.succeed(&job(kind, &[of_zone(inner)]));
        assert_eq!(steps(&landfall, &report, &inner.ip), steps_of(kind.trim_end_matches("_AGENT")), "{kind}");
        assert!(way(&landfall, &report, &inner.ip).contains(&format!(" via {}:22 ", carrier.ip)), "{kind}");
    }
    landfall.succeed(&job("INSTALL_AGENT", &[of_zone(inner)]));
    let removed = landfall.run(&job("REMOVE_AGENT", &[of_zone(inner)]));
    assert_eq!(
        (removed.host(&inner.ip)["status"].clone(), steps(&landfall, &removed, &inner.ip)),
        (json!("REMOVED"), vec!["forget".into()])
    );
    add(&landfall, release("2.0"));
    let report = landfall.succeed(&job("UPGRADE_PROXY", &[proxy(carrier)]));
    assert_eq!(steps(&landfall, &report, &carrier.ip), steps_of("UPGRADE"));
    let log = landfall.call(&["job", "log", &report.job().to_string(), &carrier.ip]).stdout;
    assert!(log.contains(" setup_proxy DONE ") && !log.contains("setup_agent"), "{log}");
    assert!(world.exec("proxy", "cat /usr/local/gse/carrier/current/etc/proxy.conf").contains("cloud = 2"));

    let report = landfall.succeed(&job("UNINSTALL_PROXY", &[proxy(carrier)]));
    assert_eq!(steps(&landfall, &report, &carrier.ip), steps_of("UNINSTALL"));
    let log = landfall.call(&["job", "log", &report.job().to_string(), &carrier.ip]).stdout;
    assert!(log.contains(" remove_proxy DONE "), "{log}");
    let refused = landfall.run(&job("INSTALL_AGENT", &[of_zone(inner)]));
    assert!(refused.stdout.contains("3801013"), "its only proxy is gone: {}", refused.stdout);
    for name in ["proxy", "inner"] {
        assert_no_run_twice(&world, name);
    }
}

#[test]
fn a_host_that_does_not_carry_connections_is_no_proxy() {
    let world = World::up(&[("mute", "no-forwarding"), ("far", "password"), ("inner", "password")]);
    let (mute, far, inner) = (world.host("mute"), world.host("far"), world.host("inner"));
    let landfall = Landfall::new();
    landfall.site(EMPTY_ZONE);
    add(&landfall, release("1.0"));
    add(&landfall, Package::tiny("tiny"));
    let report = landfall.run(&job("INSTALL_PROXY", &[proxy(mute)]));
    assert_eq!(report.failure(&mute.ip), ("unconfirmed", "not_forwarding", "verify"));
    assert!(
        landfall.call(&["job", "log", &report.job().to_string(), &mute.ip]).stdout.contains("sshd has allowtcpforwarding no")
    );
    let refused = landfall.run(&job("INSTALL_AGENT", &[of_zone(inner)]));
    assert!(refused.stdout.contains("3801013"), "nothing was registered: {}", refused.stdout);

    // A good one, and a host behind it; then one that does not reach that host.
    landfall.succeed(&job("INSTALL_PROXY", &[proxy(far)]));
    landfall.succeed(&job("INSTALL_AGENT", &[of_zone(inner)]));
    world.stop("inner");
    let report = landfall.run(&job("RESTART_PROXY", &[proxy(far)]));
    assert_eq!(report.failure(&far.ip), ("unconfirmed", "zone_unreached", "verify"));
    let told = report.host(&far.ip)["failure"]["message"].as_str().unwrap().to_owned();
    assert!(told.contains(&inner.ip), "{told}");
}

#[test]
fn a_mistyped_password_for_a_proxy_does_not_cut_its_zone_off() {
    let (world, landfall) = empty_zone();
    let (carrier, inner) = (world.host("proxy"), world.host("inner"));
    landfall.succeed(&job("INSTALL_PROXY", &[proxy(carrier)]));
    let mut mistyped = proxy(carrier);
    mistyped["password"] = "mistyped".into();
    let report = landfall.run(&job("RESTART_PROXY", &[mistyped]));
    assert_eq!(report.failure(&carrier.ip).1, "password_refused");
    landfall.succeed(&job("INSTALL_AGENT", &[of_zone(inner)]));
}

#[test]
fn a_proxy_that_a_job_installs_takes_the_place_of_the_same_one_in_the_site_file() {
    let (world, landfall) = empty_zone();
    let (carrier, inner) = (world.host("proxy"), world.host("inner"));
    let mut site = EMPTY_ZONE.to_owned();
    // Its login is wrong there.
    let _ = write!(site, "[[proxy]]\ncloud = 2\nhost_id = 7\ninner_ip = \"{}\"\npassword = \"wrong\"\n", carrier.ip);
    landfall.site(&site);
    landfall.succeed(&job("INSTALL_PROXY", &[proxy(carrier)]));
    let report = landfall.succeed(&job("INSTALL_AGENT", &[of_zone(inner)]));
    assert!(way(&landfall, &report, &inner.ip).contains(&format!(" via {}:22 ", carrier.ip)));
}
