//! `landfall key rotate`, as a person runs it beside a server that works on.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::place::{Place, bare, deaf, host, job, nonsense, with};

impl Place {
    /// How many keys the key file holds.
    fn keys(&self) -> u64 {
        std::fs::metadata(self.desk.dir.path().join("data/key")).unwrap().len() / 32
    }
}

/// Hosts whose logins are kept for good.
fn many(count: usize) -> Vec<Value> {
    let address = |index: usize| format!("10.0.{}.{}", index / 250, index % 250 + 1);
    (0..count).map(|index| with(bare(&address(index)), json!({"password": "kept", "retention": -1}))).collect()
}

#[test]
fn a_server_works_on_while_keys_are_changed_beside_it() {
    let place = Place::new();
    let (_door, port) = deaf();
    let at = |ip: &str, port: u16| with(host(ip), json!({"port": port, "retention": 3}));
    let before = place.server.submit(&job("INSTALL_AGENT", &[at("127.0.0.1", port)]));
    place.server.becomes(before, "RUNNING");
    let said = place.desk.landfall("key rotate").exits(0);
    assert!(said.out.contains("took the place of key") && said.out.contains("1 secret sealed anew"), "{}", said.out);
    assert_eq!(place.keys(), 1);
    let after = place.server.submit(&job("INSTALL_AGENT", &[at("127.0.0.2", nonsense())]));
    place.server.becomes(after, "FAILED");
    // Whoever comes new opens what the server sealed after the change.
    assert!(place.logins(before)[0].is_some() && place.logins(after)[0].is_some());
    place.server.post(&format!("/api/job/{after}/retry/"), &json!({})).data();
    place.server.becomes(after, "FAILED");
    assert_eq!(place.server.details(after)["list"][0]["failure"]["code"], "not_ssh", "it has its login still");
}

#[test]
fn a_change_that_is_killed_is_gone_on_with_by_the_next() {
    let place = Place::new();
    place.installed(&many(3000));
    let mut rotating = place.desk.command("key rotate --output json").stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(rotating.stdout.take().unwrap()).read_line(&mut line).unwrap();
    rotating.kill().unwrap();
    assert!(!rotating.wait().unwrap().success(), "it came through: {line}");
    let step: Value = serde_json::from_str(&line).unwrap();
    assert!(step["left"].as_i64().unwrap() > 0 && step["resealed"].as_i64().unwrap() > 0, "{step}");
    assert_eq!(place.keys(), 2, "some are under the one, some under the other");
    let opened = |place: &Place| place.logins(1).iter().filter(|login| login.is_some()).count();
    assert_eq!(opened(&place), 3000);

    let said = place.desk.landfall("key rotate --output json").exits(0);
    let left: Vec<i64> =
        said.out.lines().filter_map(|line| serde_json::from_str::<Value>(line).unwrap()["left"].as_i64()).collect();
    assert!(left.is_sorted_by(|a, b| a > b) && !left.is_empty(), "{left:?}");
    let last = said.last();
    assert!(last["resealed"].as_i64().unwrap() < 3000 && last["from"] != last["to"], "{last}");
    assert_eq!((place.keys(), opened(&place)), (1, 3000));
}

#[test]
fn a_prepared_key_is_not_used_before_it_is_taken() {
    let place = Place::new();
    place.installed(&many(2));
    let prepared = place.desk.landfall("key rotate --prepare --output json").exits(0);
    assert_eq!((place.keys(), &prepared.last()["resealed"]), (2, &json!(0)));
    assert!(prepared.err.contains("copy the key file"), "{}", prepared.err);
    // The one that waits is the one that is taken.
    let again = place.desk.landfall("key rotate --prepare --output json").exits(0);
    assert_eq!(again.last(), prepared.last());
    let rotated = place.desk.landfall("key rotate --output json").exits(0).last();
    assert_eq!((&rotated["to"], &rotated["resealed"], place.keys()), (&prepared.last()["to"], &json!(2), 1));
}

#[test]
fn a_key_file_that_cannot_be_changed_is_told_before_anything_is() {
    let place = Place::new();
    place.installed(&many(1));
    let key = place.desk.dir.path().join("data/key");
    let bytes = std::fs::read(&key).unwrap();
    let mut command = place.desk.command("key rotate");
    // A directory is no place for the lock beside it.
    std::fs::create_dir(key.with_extension("lock")).unwrap();
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(4) && told.contains("cannot be locked"), "{told}");
    assert_eq!(std::fs::read(&key).unwrap(), bytes);
}
