//! What the command line says of a job before it touches a host, and the exit code it ends with.

use serde_json::{Value, json};

use crate::landfall::{Landfall, entry, install, job};
use crate::package::Package;
use crate::world::World;

fn with_tiny() -> (Landfall, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let landfall = Landfall::with(&Package::tiny("tiny").build(dir.path()).file);
    (landfall, dir)
}

/// A host nobody connects to: the request is refused before.
fn nowhere() -> Value {
    json!({"bk_biz_id": 2, "bk_cloud_id": 0, "ap_id": 1, "inner_ip": "192.0.2.7", "os_type": "LINUX", "password": "x"})
}

fn paths(envelope: &Value) -> Vec<&str> {
    envelope["errors"]
        .as_array()
        .map(|errors| errors.iter().filter_map(|fault| fault["path"].as_str()).collect())
        .unwrap_or_default()
}

#[test]
fn every_fault_of_a_job_is_told_at_once_with_its_path() {
    let (landfall, _dir) = with_tiny();
    let mut hosts = [nowhere(), nowhere(), nowhere(), nowhere(), nowhere()];
    hosts[0]["port"] = "99999".into();
    hosts[1]["inner_ip"] = "10.0.0.256".into();
    hosts[2]["ap_id"] = 7.into();
    hosts[2]["password"] = Value::Null;
    hosts[3]["auth_type"] = "KEY".into();
    hosts[4]["password"] = json!({"env": "NO_SUCH_VARIABLE"});
    let report = landfall.run(&json!({"job_type": "INSTALL_AGENT", "hosts": hosts}));
    assert_eq!(report.exit, 2, "{}", report.stderr);
    assert_eq!((&report.result["result"], &report.result["code"]), (&json!(false), &json!(3_800_001)));
    assert_eq!(
        paths(&report.result),
        ["hosts[0].port", "hosts[1].inner_ip", "hosts[2].ap_id", "hosts[2].password", "hosts[3].key", "hosts[4].password"]
    );
    for path in paths(&report.result) {
        assert!(report.stderr.contains(path), "{path} is not told to people: {}", report.stderr);
    }
    assert!(report.result["message"].as_str().is_some_and(|text| text.ends_with("（3800001）")), "{}", report.result);
}

#[test]
fn a_wrong_job_type_hides_no_fault_of_a_host() {
    let (landfall, _dir) = with_tiny();
    let mut host = nowhere();
    host["port"] = 0.into();
    let report = landfall.run(&json!({"job_type": "INSTALL_AGENTS", "hosts": [host]}));
    assert_eq!(report.exit, 2);
    assert_eq!(paths(&report.result), ["job_type", "hosts[0].port"], "{}", report.result);
}

#[test]
fn what_is_no_json_no_file_or_no_package_is_wrong_usage() {
    let (landfall, dir) = with_tiny();
    let file = dir.path().join("broken.json");
    std::fs::write(&file, "{\"job_type\": \"INSTALL_AGENT\",\n  hosts: []}").unwrap();
    let broken = landfall.call(&["run", &file.display().to_string()]);
    assert_eq!(broken.exit, 2);
    assert!(broken.stderr.contains("broken.json:2:3"), "{}", broken.stderr);

    assert_eq!(landfall.call(&["run", "/no/such/job.json"]).exit, 2);
    assert_eq!(landfall.call(&["job", "show", "4711"]).exit, 2);
    assert_eq!(landfall.call(&["job", "resume", "4711"]).exit, 2);
    assert_eq!(landfall.call(&["jobs"]).exit, 2);

    let empty = Landfall::new();
    let report = empty.run(&json!({"job_type": "INSTALL_AGENT", "hosts": [nowhere()]}));
    assert_eq!((report.exit, paths(&report.result)), (2, vec!["package"]), "{}", report.stderr);
    assert!(report.stderr.contains("landfall package add"), "{}", report.stderr);
}

#[test]
fn a_site_file_that_is_wrong_is_wrong_usage_with_every_fault() {
    let (landfall, _dir) = with_tiny();
    landfall.site("[limits]\nconcurrency = 0\nuploads = 0\n");
    let done = landfall.call(&["site", "check"]);
    assert_eq!(done.exit, 2);
    assert!(done.stderr.contains("limits.concurrency") && done.stderr.contains("limits.uploads"), "{}", done.stderr);
    assert_eq!(landfall.run(&json!({"job_type": "INSTALL_AGENT", "hosts": [nowhere()]})).exit, 2);
}

#[test]
fn what_cannot_be_done_is_unsupported_and_never_faked() {
    let (landfall, _dir) = with_tiny();
    landfall.site("[[cloud]]\nid = 2\n");
    let mut aix = nowhere();
    aix["os_type"] = "AIX".into();
    aix["bk_cloud_id"] = 2.into();
    aix["outer_ip"] = "192.0.2.1".into();
    let mut manual = nowhere();
    manual["is_manual"] = true.into();
    for (kind, host) in [("RESTART_PROXY", aix), ("UPGRADE_AGENT", manual)] {
        let report = landfall.run(&json!({"job_type": kind, "hosts": [host]}));
        assert_eq!(report.exit, 3, "{kind}: {}{}", report.result, report.stderr);
        assert_eq!(report.result["code"], 3_801_018, "{kind}: {}", report.result);
        assert_eq!(report.result["data"]["job_id"], "", "{kind}: {}", report.result);
        assert_eq!(report.result["data"]["ip_filter"][0]["exception"], "unsupported", "{kind}: {}", report.result);
    }
    let listed = landfall.call(&["job", "list", "--output", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&listed.stdout).unwrap()["total"], 0, "something was recorded: {}", listed.stdout);
}

#[test]
fn a_password_of_a_vault_needs_one() {
    let (landfall, _dir) = with_tiny();
    let mut host = nowhere();
    host["auth_type"] = "TJJ_PASSWORD".into();
    let report = landfall.run(&json!({"job_type": "INSTALL_AGENT", "hosts": [host]}));
    assert_eq!((report.exit, paths(&report.result)), (2, vec!["hosts[0].auth_type"]), "{}", report.result);
}

#[test]
fn a_cloud_without_a_proxy_fails_the_whole_request() {
    let (landfall, _dir) = with_tiny();
    landfall.site("[[cloud]]\nid = 2\nname = \"far\"\n");
    let mut far = nowhere();
    far["bk_cloud_id"] = 2.into();
    let report = landfall.run(&json!({"job_type": "INSTALL_AGENT", "hosts": [nowhere(), far]}));
    assert_eq!(report.exit, 3, "{}", report.stderr);
    assert_eq!(report.result["code"], 3_801_013);
    let filtered = report.result["data"]["ip_filter"].as_array().unwrap();
    assert_eq!((filtered.len(), filtered[0]["exception"].as_str()), (1, Some("no_proxy")));
}

#[test]
fn an_ignored_host_makes_the_exit_code_1_although_the_others_succeed() {
    let world = World::up(&[("a", "password")]);
    let (landfall, _dir) = with_tiny();
    let mut request = install(world.hosts());
    let twin = entry(world.host("a"));
    landfall.site(&format!("[[blacklist]]\nnetworks = [\"{}/32\"]\n", nowhere()["inner_ip"].as_str().unwrap()));
    request["hosts"].as_array_mut().unwrap().extend([twin, nowhere()]);
    let report = landfall.run(&request);
    assert_eq!(report.exit, 1, "{}", report.stderr);
    assert_eq!(report.result["status"], "SUCCESS", "ignored hosts are no failures");
    let hosts = report.result["hosts"].as_array().unwrap();
    let told: Vec<_> = hosts.iter().map(|host| (host["status"].as_str().unwrap(), host["exception"].as_str())).collect();
    assert_eq!(told, [("SUCCESS", None), ("IGNORED", Some("duplicate")), ("FILTERED", Some("blacklisted"))]);
    assert_eq!(report.result["statistics"]["ignored_count"], 2);
}

#[test]
fn a_record_that_cannot_be_had_is_an_internal_failure() {
    let (landfall, _dir) = with_tiny();
    std::fs::write(landfall.data().join("landfall.db"), "this is no database, and never was one; it only has the name").unwrap();
    let done = landfall.call(&["job", "list"]);
    assert_eq!(done.exit, 4, "{}{}", done.stdout, done.stderr);
}

#[test]
fn a_wish_of_the_published_form_is_taken_as_clients_send_it() {
    let world = World::up(&[("a", "password")]);
    let (landfall, _dir) = with_tiny();
    let mut request = job("INSTALL_AGENT", world.hosts());
    request["bk_token"] = "t".into();
    request["actions"] = json!(["install_agent"]);
    request["bk_username"] = "operator".into();
    let host = &mut request["hosts"][0];
    host["port"] = "22".into();
    host["bt_speed_limit"] = "0".into();
    host["bk_addressing"] = "0".into();
    host["peer_exchange_switch_for_agent"] = 0.into();
    host["is_manual"] = 0.into();
    host["inner_ipv6"] = "".into();
    host["login_ip"] = "".into();
    host["made_up"] = json!({"x": 1});
    let report = landfall.succeed(&request);
    assert_eq!(landfall.show(report.job())["created_by"], "operator");
}
