//! What travels: how much, how fast, in which form, and that it is read once for all.

use serde_json::Value;

use crate::landfall::{Running, install, uninstall};
use crate::package::{Archive, Package};
use crate::scene::Scene;
use crate::world::World;

/// Seconds since midnight of an event's time; the day is over in none of these tests twice.
fn second(event: &Value) -> f64 {
    let at = event["at"].as_str().unwrap();
    let (_, time) = at.trim_end_matches('Z').split_once('T').unwrap();
    time.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap())
}

fn figure(step: &Value, key: &str) -> u64 {
    step["figures"][key].as_u64().unwrap_or_else(|| panic!("no {key} in {step}"))
}

/// Fails unless the host has every file of the package, byte for byte.
#[track_caller]
fn assert_same_files(world: &World, name: &str, package: &str, archive: &Archive) {
    let sums = world.exec(name, &format!("cd /usr/local/gse/{package}/current/ && find . -type f -exec sha256sum {{}} +"));
    let mut found: Vec<_> =
        sums.lines().filter_map(|line| line.split_once("  ./")).map(|(sum, path)| (path.to_owned(), sum.to_owned())).collect();
    let mut wanted = archive.files.clone();
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted);
}

#[test]
fn measured_a_limit_of_1_mb_per_s_is_kept_within_5_percent() {
    let Scene { world, landfall, archive, .. } = Scene::one_host(Package::tiny("big").with_noise(10_000_000));
    let mut job = install(world.hosts());
    job["hosts"][0]["bt_speed_limit"] = "1".into();
    let report = landfall.succeed(&job);
    let ip = &world.host("a").ip;
    let time = |kind: &str| second(report.events_of(ip, kind).find(|event| event["step"] == "upload_package").unwrap());
    let took = (time("step_finished") - time("step_started")).rem_euclid(86_400.0);
    let sent = report.host(ip)["bytes_sent"].as_u64().unwrap();
    assert_eq!(sent, archive.size);
    let rate = sent as f64 / 1e6 / took;
    assert!((0.95..=1.05).contains(&rate), "{rate} MB/s: {sent} bytes in {took} s");
}

#[test]
fn what_compresses_well_travels_compressed_and_arrives_the_same() {
    let Scene { world, landfall, archive, .. } = Scene::new(
        World::up(&[("zstd", "password"), ("gzip", "no-tools"), ("bare", "no-gzip")]),
        Package::tiny("texts").with_text(3_000_000),
    );
    let mut job = install(world.hosts());
    for host in job["hosts"].as_array_mut().unwrap() {
        host["enable_compression"] = true.into();
    }
    let report = landfall.succeed(&job);
    let view = landfall.show(report.job());
    for (index, host) in world.hosts().iter().enumerate() {
        assert_same_files(&world, &host.name, "texts", &archive);
        let steps = view["list"][index]["steps"].as_array().unwrap();
        let upload = steps.iter().find(|step| step["step"] == "upload_package").unwrap();
        assert_eq!(figure(upload, "stored_bytes"), archive.size);
        assert_eq!(figure(upload, "bytes_sent"), figure(upload, "payload_bytes"));
        if host.name != "bare" {
            assert!(figure(upload, "bytes_sent") * 10 < archive.size * 9, "{}: {upload}", host.name);
        }
    }
}

#[test]
fn what_does_not_compress_is_sent_as_it_is_stored() {
    let Scene { world, landfall, archive, .. } = Scene::one_host(Package::tiny("noise").with_noise(1_000_000));
    let mut job = install(world.hosts());
    job["hosts"][0]["enable_compression"] = true.into();
    let report = landfall.succeed(&job);
    let upload = landfall.step(report.job(), "upload_package");
    for key in ["stored_bytes", "payload_bytes", "bytes_sent"] {
        assert_eq!(figure(&upload, key), archive.size, "{key}");
    }
    assert_same_files(&world, "a", "noise", &archive);
    let blob = world.exec("a", &format!("sha256sum </var/lib/landfall/blobs/{}", archive.sha256));
    assert!(blob.starts_with(&archive.sha256), "{blob}");
}

#[test]
fn without_compression_a_package_travels_as_it_is_stored_however_well_it_would_compress() {
    let Scene { world, landfall, archive, .. } = Scene::one_host(Package::tiny("texts").with_text(500_000));
    let report = landfall.succeed(&install(world.hosts()));
    assert_eq!(report.host(&world.host("a").ip)["bytes_sent"], archive.size);
}

#[test]
fn the_stored_archive_is_opened_once_for_all_hosts() {
    let Scene { world, landfall, archive, dir } =
        Scene::new(World::count(5, "password"), Package::tiny("tiny").with_noise(300_000));
    let trace = dir.path().join("trace");
    let trace_file = trace.display().to_string();
    let file = landfall.job_file(&install(world.hosts())).display().to_string();
    let strace = ["strace", "-f", "-qq", "-e", "trace=open,openat,openat2", "-o", &trace_file];
    Running::spawn(landfall.command_under(&strace, &["run", &file, "--output", "json"])).report().succeeded();
    let calls = std::fs::read_to_string(&trace).unwrap();
    // The name stands in the first half of a call that another thread interrupted, the result in either.
    let opened =
        calls.lines().filter(|line| line.contains(&format!("{}.tgz", archive.sha256)) && !line.contains("ENOENT")).count();
    assert_eq!(opened, 1, "{}", calls.lines().filter(|line| line.contains("packages/")).collect::<Vec<_>>().join("\n"));
}

#[test]
fn bytes_that_rot_on_the_target_are_sent_again() {
    let Scene { world, landfall, archive, .. } = Scene::one_host(Package::tiny("tiny").with_noise(200_000));
    landfall.succeed(&install(world.hosts()));
    let blob = format!("/var/lib/landfall/blobs/{}", archive.sha256);
    world.exec("a", &format!("printf x | dd of={blob} bs=1 seek=1000 conv=notrunc 2>/dev/null"));
    let again = landfall.succeed(&install(world.hosts()));
    assert_eq!(again.host(&world.host("a").ip)["bytes_sent"], archive.size);
    assert!(world.exec("a", &format!("sha256sum <{blob}")).starts_with(&archive.sha256));
}

#[test]
fn of_two_packages_the_one_that_is_asked_for_is_installed_and_removed() {
    let Scene { world, landfall, dir, .. } = Scene::one_host(Package::tiny("one"));
    landfall.add(&Package::tiny("two").version("1.2.0").build(dir.path()).file);
    landfall.add(&Package::tiny("two").version("1.10.0").build(dir.path()).file);
    let mut job = install(world.hosts());
    job["package"] = serde_json::json!({"name": "two", "version": "latest"});
    landfall.succeed(&job);
    assert!(world.exec("a", "ls /usr/local/gse/two/releases").starts_with("1.10.0-"));
    job["package"] = serde_json::json!({"name": "one"});
    landfall.succeed(&job);

    // Two agents are there: which one is to go has to be said.
    let mut gone = uninstall(world.hosts());
    let report = landfall.run(&gone);
    assert_eq!(report.failure(&world.host("a").ip).1, "several_installed");
    gone["package"] = serde_json::json!({"name": "two"});
    landfall.succeed(&gone);
    assert_eq!(world.exec("a", "ls /usr/local/gse"), "one\n");
}

#[test]
fn a_stored_package_that_was_damaged_reaches_no_host() {
    let Scene { world, landfall, archive, .. } = Scene::one_host(Package::tiny("tiny").with_noise(100_000));
    let stored = landfall.data().join(format!("packages/archives/{}.tgz", archive.sha256));
    let mut bytes = std::fs::read(&stored).unwrap();
    bytes[50_000] ^= 1;
    std::fs::write(&stored, bytes).unwrap();

    let verified = landfall.call(&["package", "verify"]);
    assert_eq!(verified.exit, 1, "{}{}", verified.stdout, verified.stderr);
    let report = landfall.run(&install(world.hosts()));
    assert_eq!(report.failure(&world.host("a").ip), ("incompatible", "bad_package", "probe"));
    assert_eq!(world.exec("a", "ls -d /usr/local/gse /var/lib/landfall 2>/dev/null || :"), "");
}
