//! `docs/api.md` against the server: every example of it works, every exception and every code in it is one that there is.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use crate::place::{Place, host, with};

const TEXT: &str = include_str!("../../docs/api.md");

/// The commands of the blocks of shell, a line each.
fn commands() -> Vec<String> {
    let blocks = TEXT.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks
        .flat_map(|block| {
            block.replace("\\\n", "").replace("\ncurl", "\u{0}curl").split('\u{0}').map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn every_example_works_in_the_order_it_stands_there() {
    let place = Place::new();
    // The number of the job of the examples.
    let known = |ip: &str, number: i64| with(host(ip), json!({"bk_host_id": number, "port": 9}));
    let mut tried = 0;
    for command in commands().iter().filter(|command| command.starts_with("curl")) {
        if command.contains("operate/") && tried == 3 {
            place.installed(&[known("127.0.0.8", 17), known("127.0.0.9", 18)]);
        }
        // To be cancelled as a whole it has to go on again first.
        if command.contains("/revoke/") && command.contains("bk_username") {
            place.server.becomes(1, "FAILED");
            place.server.post("/api/job/1/retry/", &json!({})).data();
        }
        // A retry needs a job that has ended.
        if command.contains("/retry") || command.contains("/events/") {
            let _ = place.server.post("/api/job/1/revoke/", &json!({}));
            place.server.becomes(1, "TERMINATED");
        }
        let command = command.trim().replace("127.0.0.1:8420", place.server.address());
        let output = Command::new("sh").arg("-c").arg(format!("{command} --max-time 60")).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{command}: {text}");
        if command.contains("/events/") {
            assert!(text.starts_with("id: ") && text.contains("event: job_finished"), "{command}: {text}");
        } else if command.contains("/metrics") {
            assert!(text.contains("\nlandfall_jobs"), "{command}: {text}");
        } else {
            let envelope: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{command}: {error}: {text}"));
            assert!(envelope["result"] == true || envelope["openapi"].is_string(), "{command}: {text}");
        }
        tried += 1;
    }
    assert!(tried > 14, "{tried} examples");
}

#[test]
fn every_exception_is_documented() {
    let rows = TEXT.lines().filter(|line| line.starts_with("| `")).filter_map(|line| line.split('|').nth(1));
    let told: BTreeSet<&str> = rows
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .filter(|word| *word != "exception" && !word.starts_with("landfall_"))
        .collect();
    let source = include_str!("../../src/domain/admission.rs");
    let words = source.lines().filter_map(|line| line.trim().strip_prefix("Self::")?.split_once("=> \"")?.1.split('"').next());
    assert_eq!(told, words.collect());
}

#[test]
fn every_path_is_documented() {
    let source = include_str!("../../src/api/mod.rs");
    let routes = source.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next());
    for route in routes.collect::<BTreeSet<_>>() {
        assert!(TEXT.contains(route), "{route} is not in docs/api.md");
    }
}
