//! SSH servers of other versions and makers.

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use crate::landfall::{Landfall, entry, install, job, uninstall};
use crate::package;
use crate::target::{assert_answers, assert_gone, assert_no_run_twice, sshd_said};
use crate::world::{Host, World};

/// The version that the host's server says.
fn version(host: &Host) -> String {
    let stream = TcpStream::connect((host.ip.as_str(), host.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line
}

#[test]
fn an_openssh_of_2020_and_one_of_2025_are_as_good_by_password_and_by_key() {
    let world = World::up(&[("old", "openssh-8-4"), ("new", "openssh-10")]);
    let landfall = Landfall::with(&package::node_exporter());
    for (name, server) in [("old", "SSH-2.0-OpenSSH_8.4"), ("new", "SSH-2.0-OpenSSH_10.")] {
        let said = version(world.host(name));
        assert!(said.starts_with(server), "{name}: {said}");
    }
    landfall.succeed(&install(world.hosts()));
    let mut by_key = uninstall(world.hosts());
    for host in by_key["hosts"].as_array_mut().unwrap() {
        host.as_object_mut().unwrap().remove("password");
        host["auth_type"] = "KEY".into();
        host["key"] = json!({"file": world.key_file});
    }
    for host in world.hosts() {
        assert_answers(host);
        assert_eq!(assert_no_run_twice(&world, &host.name).len(), 1, "{}", host.name);
    }
    landfall.succeed(&by_key);
    for host in world.hosts() {
        assert_gone(&world, host);
        let logins =
            ["password", "publickey"].map(|method| sshd_said(&world, &host.name, &format!("Accepted {method} for root")));
        assert_eq!(logins, [1, 1], "{}: one connection a job", host.name);
    }
}

#[test]
fn a_server_that_ends_the_connection_after_each_command_is_logged_in_to_for_each() {
    let world = World::up(&[("a", "tinyssh")]);
    let landfall = Landfall::with(&package::node_exporter());
    let host = world.host("a");
    assert!(version(host).starts_with("SSH-2.0-tinyssh"));
    for kind in ["INSTALL_AGENT", "RESTART_AGENT", "UNINSTALL_AGENT"] {
        let mut wanted = job(kind, world.hosts());
        wanted["hosts"] = json!([entry(host)]);
        let report = landfall.succeed(&wanted);
        assert_eq!(report.events_of(&host.ip, "attempt_failed").count(), 0, "{kind}: {}", report.result);
        match kind {
            "UNINSTALL_AGENT" => assert_gone(&world, host),
            _ => assert_answers(host),
        }
    }
    assert_eq!(assert_no_run_twice(&world, "a").len(), 3);
}
