//! A proxy is replaced: the new one is proved before the old one goes, the zone can be reached at every moment, and whoever
//! is killed in the middle, `resume` completes it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::{Value, json};

use crate::landfall::{Landfall, Report};
use crate::package::Package;
use crate::proxies::{EMPTY_ZONE, add, job, of_zone, proxy, release, steps, steps_of, way};
use crate::target::{assert_no_run_twice, holds};
use crate::world::World;

const RETIREMENT: [&str; 9] =
    ["switch_routing", "repoint_agents", "drain_gateway", "connect", "probe", "run_script", "verify_gone", "register", "cleanup"];

/// A zone with one proxy, and an agent behind it that knows its upstream.
struct Zone {
    world: World,
    landfall: Landfall,
}

impl Zone {
    fn up() -> Self {
        let world = World::up(&[("old", "password"), ("new", "password"), ("inner", "password"), ("other", "password")]);
        world.hide(&["inner", "other"]);
        let landfall = Landfall::new();
        landfall.site(&format!("[ssh]\nconnect_timeout_s = 3\n{EMPTY_ZONE}"));
        add(&landfall, release("1.0"));
        add(&landfall, Package::tiny("tiny").config("etc/agent.conf", "upstream = {{ upstream.addresses | join(',') }}\n"));
        let zone = Self { world, landfall };
        zone.landfall.succeed(&job("INSTALL_PROXY", &[zone.old()]));
        zone.landfall.succeed(&job("INSTALL_AGENT", &[of_zone(zone.world.host("inner"))]));
        assert_eq!(zone.upstream(), format!("upstream = {}\n", zone.ip("old")));
        zone
    }

    fn ip(&self, name: &str) -> &str {
        &self.world.host(name).ip
    }

    fn old(&self) -> Value {
        let mut old = proxy(self.world.host("old"));
        old["bk_host_id"] = 100.into();
        old
    }

    fn replacement(&self) -> Value {
        let mut job = job("REPLACE_PROXY", &[proxy(self.world.host("new"))]);
        job["replace_host_id"] = 100.into();
        job
    }

    /// What the agent behind the proxies was configured with.
    fn upstream(&self) -> String {
        self.world.exec("inner", "cat /usr/local/gse/tiny/current/etc/agent.conf")
    }

    /// Everything is as a replacement leaves it.
    #[track_caller]
    fn is_replaced(&self, report: &Report) {
        assert_eq!(report.host(self.ip("new"))["status"], "SUCCESS", "{}", report.stdout);
        assert_eq!(report.host(self.ip("old"))["status"], "REMOVED", "{}", report.stdout);
        assert_eq!(steps(&self.landfall, report, self.ip("new")), steps_of("INSTALL"));
        assert_eq!(steps(&self.landfall, report, self.ip("old")), RETIREMENT);
        assert_eq!(self.upstream(), format!("upstream = {}\n", self.ip("new")));
        assert!(holds(&self.world, "new", "test -d /usr/local/gse/carrier/current"));
        assert!(!holds(&self.world, "old", "test -e /usr/local/gse/carrier"));
        let after = self.landfall.succeed(&job("RESTART_AGENT", &[of_zone(self.world.host("inner"))]));
        assert!(way(&self.landfall, &after, self.ip("inner")).contains(&format!(" via {}:22 ", self.ip("new"))));
        for name in ["old", "new", "inner"] {
            assert_no_run_twice(&self.world, name);
        }
    }
}

/// Asks again and again whether the zone can be reached, by a way of its own.
struct Watch {
    over: Arc<AtomicBool>,
    gaps: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<usize>>,
}

impl Watch {
    fn over(zone: &Zone) -> Self {
        let check = zone.landfall.dir().join("look.json");
        std::fs::write(&check, job("INSTALL_AGENT", &[of_zone(zone.world.host("other"))]).to_string()).unwrap();
        let (over, gaps) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (until, told) = (over.clone(), gaps.clone());
        let look = move |landfall: &mut std::process::Command| landfall.output().unwrap();
        let mut command = zone.landfall.command(&["check", check.to_str().unwrap(), "--output", "json"]);
        let thread = std::thread::spawn(move || {
            let mut looks = 0;
            while !until.load(Ordering::Relaxed) {
                let seen = look(&mut command);
                looks += 1;
                if !seen.status.success() {
                    told.lock().unwrap().push(format!("look {looks}: {}", String::from_utf8_lossy(&seen.stdout)));
                }
            }
            looks
        });
        Self { over, gaps, thread: Some(thread) }
    }

    #[track_caller]
    fn saw_no_gap(mut self) {
        self.over.store(true, Ordering::Relaxed);
        let looks = self.thread.take().unwrap().join().unwrap();
        assert!(looks > 0);
        assert_eq!(*self.gaps.lock().unwrap(), [""; 0], "of {looks} looks");
    }
}

#[test]
fn a_replaced_proxy_is_gone_and_its_agents_have_the_new_one() {
    let zone = Zone::up();
    let watch = Watch::over(&zone);
    let report = zone.landfall.run(&zone.replacement());
    assert_eq!(report.exit, 0, "{}", report.stdout);
    zone.is_replaced(&report);
    watch.saw_no_gap();
    let jobs: Value = serde_json::from_str(&zone.landfall.call(&["job", "list", "--output", "json"]).stdout).unwrap();
    let child = jobs["list"].as_array().unwrap().iter().find(|job| job["job_type"] == "RELOAD_AGENT").unwrap();
    assert_eq!(child["status"], "SUCCESS", "{child}");
}

#[test]
fn killed_in_every_step_the_zone_has_a_working_proxy_and_resume_completes_it() {
    let of_new = steps_of("INSTALL").iter().map(|step| ("new", *step));
    let cells: Vec<(&str, &str)> = of_new.chain(RETIREMENT.iter().map(|step| ("old", *step))).collect();
    // Every zone is one replacement that is killed six times, in steps that are apart.
    let zones = cells.len().div_ceil(6);
    for offset in 0..zones {
        let zone = Zone::up();
        let watch = Watch::over(&zone);
        let wanted: Vec<(&str, &str)> = (0..6).filter_map(|part| cells.get(offset + part * zones).copied()).collect();
        let mut number = None;
        for (name, step) in wanted {
            let mut running = match number {
                None => zone.landfall.begin(&zone.replacement()),
                Some(number) => zone.landfall.begin_resume(number),
            };
            if number.is_none() {
                number = Some(running.accepted());
            }
            running.step_started(zone.ip(name), step);
            running.kill();
        }
        let report = zone.landfall.resume(number.unwrap());
        zone.is_replaced(&report);
        watch.saw_no_gap();
    }
}

#[test]
fn a_new_proxy_that_fails_leaves_the_old_one_as_it_was() {
    let zone = Zone::up();
    let mut wrong = zone.replacement();
    wrong["hosts"][0]["password"] = "wrong".into();
    let report = zone.landfall.run(&wrong);
    assert_eq!(report.exit, 1);
    assert_eq!(report.failure(zone.ip("new")).1, "password_refused");
    assert_eq!(report.failure(zone.ip("old")), ("not_admitted", "not_replaced", "switch_routing"));
    assert_eq!(zone.landfall.show(report.job())["status"], "FAILED");
    let after = zone.landfall.succeed(&job("RESTART_AGENT", &[of_zone(zone.world.host("inner"))]));
    assert!(way(&zone.landfall, &after, zone.ip("inner")).contains(&format!(" via {}:22 ", zone.ip("old"))));
    assert!(holds(&zone.world, "old", "test -d /usr/local/gse/carrier/current"));

    // The same job completes when the login is right.
    let logins = zone.landfall.dir().join("logins.json");
    std::fs::write(&logins, json!({"hosts": [proxy(zone.world.host("new"))]}).to_string()).unwrap();
    let retried = zone.landfall.call(&["job", "retry", &report.job().to_string(), "--credentials", logins.to_str().unwrap()]);
    assert_eq!(retried.exit, 0, "{}{}", retried.stdout, retried.stderr);
    let view = zone.landfall.show(report.job());
    assert_eq!(view["status"], "SUCCESS", "{view}");
    assert_eq!(zone.upstream(), format!("upstream = {}\n", zone.ip("new")));
    assert!(!holds(&zone.world, "old", "test -e /usr/local/gse/carrier"));
}

#[test]
fn an_old_proxy_that_cannot_be_reached_is_named_and_out_of_service_all_the_same() {
    let zone = Zone::up();
    zone.world.stop("old");
    let report = zone.landfall.run(&zone.replacement());
    assert_eq!(report.host(zone.ip("new"))["status"], "SUCCESS", "{}", report.stdout);
    assert_eq!(report.failure(zone.ip("old")).0, "unreachable");
    assert_eq!(zone.landfall.show(report.job())["status"], "PART_FAILED");
    assert_eq!(zone.upstream(), format!("upstream = {}\n", zone.ip("new")));

    zone.world.start("old");
    zone.landfall.call(&["job", "retry", &report.job().to_string()]);
    let view = zone.landfall.show(report.job());
    assert_eq!(view["status"], "SUCCESS", "{view}");
    assert!(!holds(&zone.world, "old", "test -e /usr/local/gse/carrier"));
}

#[test]
fn as_long_as_an_agent_has_it_as_upstream_the_old_proxy_stays() {
    let zone = Zone::up();
    let mut alone = zone.replacement();
    alone["repoint_agents"] = false.into();
    let report = zone.landfall.run(&alone);
    assert_eq!(report.failure(zone.ip("old")), ("not_admitted", "still_upstream", "drain_gateway"));
    assert!(report.host(zone.ip("old"))["failure"]["message"].to_string().contains(zone.ip("inner")));
    assert!(holds(&zone.world, "old", "test -d /usr/local/gse/carrier/current"));
    assert_eq!(zone.upstream(), format!("upstream = {}\n", zone.ip("old")));

    // Somebody reloads the agent, and the job goes on.
    zone.landfall.succeed(&job("RELOAD_AGENT", &[of_zone(zone.world.host("inner"))]));
    zone.landfall.call(&["job", "retry", &report.job().to_string()]);
    let view = zone.landfall.show(report.job());
    assert_eq!(view["status"], "SUCCESS", "{view}");
}

#[test]
fn what_cannot_be_replaced_is_told_before_anything_changes() {
    let zone = Zone::up();
    let told = |job: &Value| {
        let report = zone.landfall.run(job);
        assert_eq!(report.exit, 2, "{}", report.stdout);
        report.stdout
    };
    let mut nobody = zone.replacement();
    nobody["replace_host_id"] = 4711.into();
    assert!(told(&nobody).contains("3801010"));
    let mut itself = zone.replacement();
    itself["hosts"][0] = zone.old();
    assert!(told(&itself).contains("cannot replace itself"));
    let mut two = zone.replacement();
    two["hosts"] = json!([proxy(zone.world.host("new")), proxy(zone.world.host("inner"))]);
    assert!(told(&two).contains("one host replaces a proxy"));
}
