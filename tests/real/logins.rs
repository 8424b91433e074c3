//! Logins that want more than one proof, and accounts that the right password does not open.

use serde_json::{Value, json};

use crate::landfall::{Landfall, Report, entry, install};
use crate::package::Package;
use crate::scene::Scene;
use crate::target::sshd_said;
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
