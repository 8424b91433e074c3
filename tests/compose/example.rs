//! The job files of `examples/containers`, as its README has them run.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::landfall::Landfall;
use crate::package::{self, NODE_EXPORTER_PORT, Package};
use crate::project::{Project, run, told};

/// The directly reachable hosts, by the last number of their addresses.
const HOSTS: [(&str, u8); 4] = [("password", 11), ("key", 12), ("sudo", 13), ("dropbear", 14)];

fn direct() -> Vec<&'static str> {
    HOSTS.iter().map(|(service, _)| *service).collect()
}

/// What node_exporter answers at an address, asked from this machine.
fn metrics(address: &str) -> Option<String> {
    let mut stream = TcpStream::connect((address, NODE_EXPORTER_PORT)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: test\r\n\r\n").ok()?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn the_example_installs_on_every_host_is_recorded_and_removed_by_kept_logins() {
    let project = Project::up(&direct());
    let landfall = Landfall::with(&package::node_exporter());

    let installed = landfall.call(&["run", &project.file("JOB.json")]);

    assert_eq!(installed.exit, 0, "{}{}", installed.stdout, installed.stderr);
    for (service, number) in HOSTS {
        let text = metrics(&project.address(number)).unwrap_or_else(|| panic!("{service}: the agent does not answer"));
        assert!(text.contains("node_exporter_build_info"), "{service}: {text:.300}");
    }
    let record = landfall.show(1);
    assert_eq!((&record["status"], record["list"].as_array().map(Vec::len)), (&Value::from("SUCCESS"), Some(HOSTS.len())));
    for host in record["list"].as_array().expect("hosts") {
        assert_eq!(host["status"], "SUCCESS", "{host}");
    }

    let removed = landfall.call(&["run", &project.file("uninstall.json")]);

    assert_eq!(removed.exit, 0, "{}{}", removed.stdout, removed.stderr);
    for (service, number) in HOSTS {
        assert!(metrics(&project.address(number)).is_none(), "{service}: the agent still answers");
        let left =
            project.exec(service, "ls -d /usr/local/gse /etc/init.d/node-exporter 2>/dev/null; pgrep -f [n]ode_exporter || :");
        assert_eq!(left, "", "{service}");
    }
}

#[test]
fn landfall_in_a_container_of_its_own_keeps_its_record_in_the_volume() {
    let project = Project::up(&direct());
    let archive = package::node_exporter();
    let archive = format!("/packages/{}", archive.file_name().and_then(|name| name.to_str()).expect("a name"));

    project.landfall(&["package", "add", &archive]);
    project.landfall(&["run", "JOB.json"]);
    // Another container, the same record.
    let listed = project.landfall(&["job", "list"]);
    assert!(listed.contains("SUCCESS"), "{listed}");
    for (service, number) in HOSTS {
        assert!(metrics(&project.address(number)).is_some(), "{service}: the agent does not answer");
    }
    project.landfall(&["run", "uninstall.json"]);
}

#[test]
fn the_inner_host_is_behind_the_gateway_only_and_gets_its_agent_through_it() {
    let project = Project::up(&["password", "gateway", "inner"]);
    let inner = project.address(131);
    let connect = format!("timeout 5 bash -c 'exec 3<>/dev/tcp/{inner}/22 && read -r banner <&3 && echo $banner'");
    assert!(!project.output("password", &connect).status.success(), "inner can be reached from beside the gateway");
    assert!(project.exec("gateway", &connect).starts_with("SSH-"));

    let key = project.file("id_ed25519");
    let options = ["-F", "none", "-i", &key, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"];
    let hop = format!("ProxyCommand=ssh {} -W %h:%p root@{}", options.join(" "), project.address(15));
    let mut ssh = Command::new("ssh");
    ssh.args(options).args(["-o", &hop]).arg(format!("root@{inner}")).arg("hostname");
    let output = run(ssh);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "inner\n", "{}", told(&output));

    let landfall = Landfall::with(&package::node_exporter());
    // Its key is beside the example's site file, as its README has it.
    let site = std::fs::read_to_string(project.file("site.toml")).expect("site.toml");
    landfall.site(&site.replace("id_ed25519", &key));
    let done = landfall.call(&["run", &project.file("zone.json")]);
    assert_eq!(done.exit, 0, "{}{}", done.stdout, done.stderr);
    let metrics =
        format!("exec 3<>/dev/tcp/{inner}/{NODE_EXPORTER_PORT} && printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3");
    let answer = project.exec("gateway", &format!("timeout 5 bash -c {}", shell_words(&metrics)));
    assert!(answer.contains("node_exporter_build_info"), "{answer:.300}");
}

#[test]
fn a_second_gateway_takes_the_place_of_the_first_one() {
    let project = Project::up(&["gateway", "gateway2", "inner"]);
    let landfall = Landfall::with(&package::node_exporter());
    let site = std::fs::read_to_string(project.file("site.toml")).expect("site.toml");
    landfall.site(&site.replace("id_ed25519", &project.file("id_ed25519")));
    let dir = tempfile::tempdir().expect("a directory");
    landfall.add(&Package::tiny("carrier").proxy().build(dir.path()).file);
    let run = |file: &str| {
        let done = landfall.call(&["run", &project.file(file)]);
        assert_eq!(done.exit, 0, "{file}: {}{}", done.stdout, done.stderr);
    };
    run("zone.json");

    run("replace.json");

    let replaced = landfall.show(2);
    let told: Vec<(&str, &str)> = (replaced["list"].as_array().expect("hosts").iter())
        .map(|host| (host["ip"].as_str().expect("an address"), host["status"].as_str().expect("a status")))
        .collect();
    assert_eq!(told, [(&*project.address(132), "SUCCESS"), (&*project.address(15), "REMOVED")]);
    assert_eq!(replaced["status"], "SUCCESS");
    // The zone is reached through the new one, also when the old one is switched off.
    project.compose(&["stop", "gateway"]);
    run("zone.json");
}

#[test]
fn aix_and_solaris_get_the_agent_that_runs_on_every_unix() {
    let project = Project::up(&["aix", "solaris"]);
    let landfall = Landfall::with(&package::heartbeat());
    let site = std::fs::read_to_string(project.file("site.toml")).expect("site.toml");
    landfall.site(&site.replace("id_ed25519", &project.file("id_ed25519")));

    let done = landfall.call(&["run", &project.file("unix.json")]);

    assert_eq!(done.exit, 0, "{}{}", done.stdout, done.stderr);
    let record = landfall.show(1);
    for (host, system) in record["list"].as_array().expect("hosts").iter().zip(["AIX 7.2", "Solaris 10"]) {
        let probe = host["steps"].as_array().expect("steps").iter().find(|step| step["step"] == "probe").expect("a probe");
        assert!(probe["detail"].as_str().is_some_and(|detail| detail.starts_with(system)), "{host}");
        assert_eq!(host["status"], "SUCCESS", "{host}");
    }
    for service in ["aix", "solaris"] {
        assert!(!project.exec(service, "cat /var/run/gse/heartbeat").is_empty(), "{service}");
    }
}

/// One word of a shell.
fn shell_words(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
