//! Logins that want more than one proof, and accounts that the right password does not open.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::landfall::{Landfall, Report, Running, entry, install};
use crate::package::Package;
use crate::scene::Scene;
use crate::target::{sshd_said, until};
use crate::world::World;

/// The password of everybody in the kinds that are used here.
const PASSWORD: &str = "landfall";

/// The job for the one host, logged in to by `account` with these fields.
fn job(world: &World, account: &str, fields: Value) -> Value {
    let mut host = entry(world.host("a"));
    host["account"] = account.into();
    for (key, value) in fields.as_object().unwrap() {
        host[key] = value.clone();
    }
    let mut job = install(world.hosts());
    job["hosts"] = json!([host]);
    job
}

fn by_password(landfall: &Landfall, world: &World, account: &str, password: &str) -> Report {
    landfall.run(&job(world, account, json!({"auth_type": "PASSWORD", "password": password})))
}

#[test]
fn two_proofs_in_one_login_open_a_host_that_wants_both() {
    let Scene { world, landfall, .. } = Scene::new(World::up(&[("a", "two-factors")]), Package::tiny("tiny"));
    let ip = world.host("a").ip.as_str();

    let alone = landfall.run(&install(world.hosts()));
    assert_eq!(alone.failure(ip), ("unauthenticated", "second_factor", "connect"));
    assert_eq!(alone.events_of(ip, "attempt_failed").count(), 0);

    let wrong = landfall.run(&job(&world, "root", json!({"second_password": "not the one"})));
    assert_eq!(wrong.failure(ip), ("unauthenticated", "password_refused", "connect"));
    assert_eq!(sshd_said(&world, "a", "PAM: Authentication failure"), 1);

    landfall.succeed(&job(&world, "root", json!({"second_password": PASSWORD})));
    assert_eq!(sshd_said(&world, "a", "Partial publickey"), 3);

    let two = json!({"auth_type": "PASSWORD", "password": PASSWORD, "second_password": PASSWORD});
    let mut again = job(&world, "ops", two);
    again["job_type"] = "REINSTALL_AGENT".into();
    landfall.succeed(&again);
    assert_eq!(sshd_said(&world, "a", "Partial password for ops"), 1);
}

#[test]
fn an_account_that_the_right_password_does_not_open_is_told_for_what_it_is_after_one_try() {
    let Scene { world, landfall, .. } = Scene::new(World::up(&[("a", "barred")]), Package::tiny("tiny"));
    let ip = world.host("a").ip.as_str();
    for (account, password, code, step) in [
        // sshd takes the password, and its session runs nothing without a terminal to change it on.
        ("expired", PASSWORD, "password_expired", "probe"),
        ("asked", PASSWORD, "password_expired", "connect"),
        ("gone", PASSWORD, "account_unavailable", "connect"),
        ("shellless", PASSWORD, "account_unavailable", "probe"),
        ("lockable", "not the one", "password_refused", "connect"),
        ("lockable", PASSWORD, "account_locked", "connect"),
    ] {
        let report = by_password(&landfall, &world, account, password);
        assert_eq!(report.failure(ip), ("unauthenticated", code, step), "{account}: {}", report.result);
        assert_eq!(report.events_of(ip, "attempt_failed").count(), 0, "{account}");
    }
    for account in ["expired", "gone", "shellless"] {
        let tries = ["Accepted", "Failed"].map(|verdict| sshd_said(&world, "a", &format!("{verdict} password for {account} ")));
        assert_eq!(tries.iter().sum::<usize>(), 1, "{account}: {tries:?}");
    }

    world.exec("a", "echo 'System is going down. Unprivileged users are not permitted to log in anymore.' >/etc/nologin");
    world.exec("a", "usermod -s /bin/bash shellless");
    let closed = by_password(&landfall, &world, "shellless", PASSWORD);
    assert_eq!(closed.failure(ip), ("unauthenticated", "logins_closed", "connect"), "{}", closed.result);
    landfall.succeed(&install(world.hosts()));
}

#[test]
fn a_vault_is_asked_for_the_password_once_a_login_and_nobody_keeps_it() {
    let Scene { world, landfall, dir, .. } =
        Scene::new(World::up(&[("root", "password"), ("ops", "sudo"), ("none", "password")]), Package::tiny("tiny"));
    let (script, asked) = (dir.path().join("vault-read"), dir.path().join("asked"));
    let mut answers = String::new();
    for name in ["root", "ops"] {
        let host = world.host(name);
        std::fs::write(dir.path().join(name), host.password.as_ref().unwrap()).unwrap();
        answers += &format!("{}/{}) cat {}/{name} ;;\n", host.ip, host.user, dir.path().display());
    }
    let text = format!(
        "#!/bin/sh\necho \"$1\" >>{}\ncase $1/$2 in\n{answers}*) echo \"no entry for $2\" >&2; exit 4 ;;\nesac\n",
        asked.display()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
    landfall.site(&format!("[vault]\ncommand = [\"{}\", \"{{host}}\", \"{{account}}\"]\n", script.display()));
    let mut job = install(world.hosts());
    for host in job["hosts"].as_array_mut().unwrap() {
        host["auth_type"] = "TJJ_PASSWORD".into();
        for secret in ["password", "sudo_password"] {
            host.as_object_mut().unwrap().remove(secret);
        }
    }

    let report = landfall.run(&job);

    for name in ["root", "ops"] {
        let ip = world.host(name).ip.as_str();
        assert_eq!(report.host(ip)["status"], "SUCCESS", "{name}: {}", report.result);
        let times = std::fs::read_to_string(&asked).unwrap().lines().filter(|line| *line == ip).count();
        assert_eq!(times, 1, "{name}");
        assert_eq!(sshd_said(&world, name, "Accepted password"), 1, "{name}");
    }
    let none = world.host("none");
    assert_eq!(report.failure(&none.ip), ("unauthenticated", "vault_failed", "connect"));
    let message = report.host(&none.ip)["failure"]["message"].as_str().unwrap();
    assert!(message.ends_with("no entry for root"), "{message}");
    let tries = sshd_said(&world, "none", "Failed password") + sshd_said(&world, "none", "Accepted password");
    assert_eq!(tries, 0, "nothing is sent to a host whose password is not known");

    // The next job needs no login of its own: it asks again, and the vault has forgotten.
    std::fs::remove_file(dir.path().join("root")).unwrap();
    let mut again = install(&world.hosts()[..1]);
    again["job_type"] = "RESTART_AGENT".into();
    for field in ["auth_type", "password", "account", "port"] {
        again["hosts"][0].as_object_mut().unwrap().remove(field);
    }
    let forgotten = landfall.run(&again);
    assert_eq!(forgotten.failure(&world.host("root").ip), ("unauthenticated", "vault_failed", "connect"));
}

/// Files of keys and certificates, made by ssh-keygen.
struct Keys<'a>(&'a Path);

impl Keys<'_> {
    fn keygen(&self, arguments: &[&str]) {
        let done = Command::new("ssh-keygen").current_dir(self.0).args(arguments).output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn make(&self, name: &str) {
        self.keygen(&["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", name]);
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap()
    }

    /// Puts a file there, as its owner would.
    fn put(&self, world: &World, name: &str, to: &str) {
        world.exec("a", &format!("printf %s '{}' >{to}", self.text(name).trim()));
    }
}

/// An ssh-agent; it ends with the test.
struct Agent(Child);

impl Agent {
    fn start(socket: &Path) -> Self {
        let child = Command::new("ssh-agent").arg("-D").arg("-a").arg(socket).stdout(Stdio::null()).spawn().unwrap();
        let agent = Self(child);
        until("an ssh-agent that listens", || socket.exists());
        agent
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn certificates_of_one_authority_prove_host_and_login_also_by_an_agent() {
    let Scene { world, landfall, dir, .. } = Scene::new(World::up(&[("a", "certificates")]), Package::tiny("tiny"));
    let (ip, keys) = (world.host("a").ip.clone(), Keys(dir.path()));
    for name in ["ca", "user"] {
        keys.make(name);
    }
    std::fs::write(dir.path().join("host.pub"), format!("{}\n", world.host("a").host_key)).unwrap();
    keys.keygen(&["-q", "-s", "ca", "-I", "the user", "-n", "root", "-V", "+1d", "user.pub"]);
    keys.keygen(&["-q", "-s", "ca", "-h", "-I", "the host", "-n", &ip, "-V", "+1d", "host.pub"]);
    keys.put(&world, "ca.pub", "/etc/ssh/user_ca.pub");
    keys.put(&world, "host-cert.pub", "/etc/ssh/ssh_host_ed25519_key-cert.pub");
    world.stop("a");
    world.start("a");
    let known_hosts = dir.path().join("known_hosts");
    let trust = format!("@cert-authority 10.77.* {}", keys.text("ca.pub"));
    std::fs::write(&known_hosts, &trust).unwrap();
    landfall.site(&format!("[ssh]\nhost_keys = \"known_hosts\"\nknown_hosts = \"{}\"\n", known_hosts.display()));
    let by_key = json!({"auth_type": "KEY", "key": {"file": dir.path().join("user")}});

    let alone = landfall.run(&job(&world, "root", by_key.clone()));
    assert_eq!(alone.failure(&ip), ("unauthenticated", "key_refused", "connect"));

    let mut certified = by_key;
    certified["certificate"] = json!({"file": dir.path().join("user-cert.pub")});
    landfall.succeed(&job(&world, "root", certified.clone()));
    assert_eq!(sshd_said(&world, "a", "ID the user"), 1);

    let socket = dir.path().join("agent");
    let _agent = Agent::start(&socket);
    let added = Command::new("ssh-add").arg("-q").arg(dir.path().join("user")).env("SSH_AUTH_SOCK", &socket).status();
    assert!(added.unwrap().success());
    let mut again = job(&world, "root", json!({"auth_type": "AGENT", "key": "user"}));
    again["job_type"] = "RESTART_AGENT".into();
    let mut command = landfall.command(&["run", &landfall.job_file(&again).display().to_string(), "--output", "json"]);
    command.env("SSH_AUTH_SOCK", &socket);
    Running::spawn(command).report().succeeded();
    assert_eq!(sshd_said(&world, "a", "ID the user"), 2);

    std::fs::write(&known_hosts, format!("{trust}@revoked * {}\n", world.host("a").host_key)).unwrap();
    let revoked = landfall.run(&job(&world, "root", certified));
    assert_eq!(revoked.failure(&ip), ("host_key", "host_key_revoked", "connect"));
}
