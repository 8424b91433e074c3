//! The connection dies in the middle, the host lives on: what had arrived counts, what runs there goes on.

use std::net::SocketAddr;

use crate::landfall::{Report, install};
use crate::package::Package;
use crate::proxy::{Fault, Proxy};
use crate::scene::Scene;
use crate::target::{assert_no_run_twice, await_followed, await_held, hold_scripts, holds, let_go, until};
use crate::world::World;

/// Ends every session of the host's sshd at once; the server itself stays.
fn cut_sessions(world: &World) {
    world.exec("a", "for pid in $(pgrep -f '^sshd: root'); do kill -9 $pid; done");
}

/// Steps that were begun on the host, with the code of each try that failed.
fn course(report: &Report, ip: &str) -> Vec<String> {
    let told = report.events.iter().filter(|event| event["host"]["ip"] == ip);
    let told = told.filter_map(|event| match event["kind"].as_str()? {
        "step_started" => Some(event["step"].as_str()?.to_owned()),
        "attempt_failed" => Some(format!("! {}", event["failure"]["class"].as_str()?)),
        _ => None,
    });
    told.collect()
}

#[test]
fn lost_during_the_upload_it_goes_on_where_the_bytes_ended() {
    let scene = Scene::one_host(Package::tiny("big").with_noise(3_000_000));
    let ip = scene.ip();
    let mut job = install(scene.world.hosts());
    job["hosts"][0]["bt_speed_limit"] = 1.into();
    let mut running = scene.landfall.begin(&job);
    running.step_started(ip, "upload_package");
    let part = format!("/var/lib/landfall/blobs/.{}.part", scene.archive.sha256);
    until("a part of the package on the host", || holds(&scene.world, "a", &format!("[ $(wc -c <{part}) -gt 1000000 ]")));
    cut_sessions(&scene.world);

    let report = running.report().succeeded();

    assert_eq!(
        course(&report, ip),
        [
            "connect",
            "probe",
            "upload_package",
            "! lost",
            "connect",
            "upload_package",
            "upload_files",
            "run_script",
            "verify",
            "register",
            "cleanup"
        ]
    );
    let uploaded = scene.landfall.step(report.job(), "upload_package");
    assert_eq!(uploaded["attempts"], 2);
    let detail = uploaded["detail"].as_str().unwrap();
    assert!(detail.contains("taken up at "), "{uploaded}");
}

/// Ten gaps between ten random bytes of a payload, in order.
fn ten_gaps(size: u64) -> Vec<u64> {
    let mut bytes: Vec<u64> = (0..10).map(|_| getrandom::u64().unwrap() % size).collect();
    bytes.sort_unstable();
    let before: Vec<u64> = [0].into_iter().chain(bytes.iter().copied()).collect();
    bytes.iter().zip(before).map(|(at, before)| at - before).collect()
}

#[test]
fn cut_at_ten_random_bytes_50_mb_arrive_whole_and_little_is_sent_twice() {
    let scene = Scene::one_host(Package::tiny("big").with_noise(50_000_000));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let host = scene.world.host("a");
    let sshd = SocketAddr::new(host.ip.parse().unwrap(), host.port);
    let proxy = runtime.block_on(Proxy::before(sshd));
    let gaps = ten_gaps(scene.archive.size);
    proxy.arm_each(gaps.iter().map(|gap| (Fault::Cut, *gap)));
    let mut job = install(scene.world.hosts());
    job["hosts"][0]["login_ip"] = proxy.address.ip().to_string().into();
    job["hosts"][0]["port"] = proxy.address.port().into();

    let report = scene.landfall.succeed(&job);

    assert_eq!(proxy.struck(), gaps.len(), "{gaps:?}");
    let most = scene.archive.size + gaps.len() as u64 * 3 * 1024 * 1024;
    assert!(proxy.sent() <= most, "{} bytes were sent, {most} are allowed; cut after {gaps:?}", proxy.sent());
    let blob = scene.world.exec("a", &format!("sha256sum </var/lib/landfall/blobs/{}", scene.archive.sha256));
    assert!(blob.starts_with(&scene.archive.sha256), "{blob}");
    assert_eq!(report.host(scene.ip())["outcome"], "succeeded");
}

#[test]
fn lost_during_the_script_the_same_run_is_followed_to_its_end() {
    let scene = Scene::one_host(Package::tiny("tiny"));
    let ip = scene.ip();
    hold_scripts(&scene.world, "a");
    let mut running = scene.landfall.begin(&install(scene.world.hosts()));
    running.step_started(ip, "run_script");
    await_held(&scene.world, "a");
    // Between two commands nothing would be lost.
    await_followed(&scene.world, "a");
    cut_sessions(&scene.world);
    running.wait_for("the loss", |event| event["kind"] == "attempt_failed");
    let_go(&scene.world, "a");

    let report = running.report().succeeded();

    assert_eq!(assert_no_run_twice(&scene.world, "a").len(), 1);
    let log = scene.landfall.call(&["job", "log", &report.job().to_string()]).stdout;
    for stage in ["check_env START", "unpack_pkg START", "check_deploy_result DONE"] {
        assert_eq!(log.matches(stage).count(), 1, "{stage}: a line was lost or stands twice: {log}");
    }
}

#[test]
fn a_cable_that_is_pulled_during_the_script_and_put_back_changes_nothing() {
    let scene = Scene::one_host(Package::tiny("tiny"));
    let ip = scene.ip();
    scene.landfall.site("[ssh]\nconnect_timeout_s = 1\n");
    hold_scripts(&scene.world, "a");
    let mut running = scene.landfall.begin(&install(scene.world.hosts()));
    running.step_started(ip, "run_script");
    await_held(&scene.world, "a");
    await_followed(&scene.world, "a");
    scene.world.cut("a");
    let_go(&scene.world, "a");
    // Nobody says that the line is dead: it is the silence that tells.
    let lost = running.wait_for("the silence", |event| event["kind"] == "attempt_failed");
    assert_eq!(lost["failure"]["class"], "lost", "{lost}");
    running.wait_for("a connect in vain", |event| event["kind"] == "attempt_failed");
    scene.world.heal("a");
    let report = running.report().succeeded();
    assert_eq!(report.host(ip)["outcome"], "succeeded");
    assert_eq!(assert_no_run_twice(&scene.world, "a").len(), 1);
}
