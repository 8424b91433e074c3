//! `/metrics`: what happened is counted, in Prometheus' format, under labels whose values have a bound.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::place::{Place, deaf, host, job, nonsense, with};
use crate::server::{PATIENCE, Server};

/// Labels, and what their values may look like: words, published words, statuses, numbers of buckets. No address, no number
/// of a job, no path that somebody asked for.
const LABELS: &[(&str, &str)] = &[
    ("class", "^[a-z_]+$"),
    ("end", "^[a-z_]+$"),
    ("kind", "^[A-Z_]+$"),
    ("le", r"^(\+Inf|[0-9.]+)$"),
    ("method", "^([A-Z]+|other)$"),
    ("outcome", "^[a-z]+$"),
    ("route", r"^(none|/[a-z_./]*(\{id\})?[a-z_/]*)$"),
    ("status", "^([A-Z_]+|[0-9]{3})$"),
    ("step", "^[a-z_]+$"),
    ("version", r"^[0-9.]+$"),
];

/// What `/metrics` says: series by name and labels as they stand there, and the type of each name.
struct Figures {
    series: BTreeMap<String, f64>,
    types: BTreeMap<String, String>,
    helps: BTreeSet<String>,
}

impl Figures {
    #[track_caller]
    fn of(server: &Server) -> Self {
        let reply = server.get("/metrics");
        assert_eq!(
            (reply.status, &reply.headers["content-type"]),
            (200, &"text/plain; version=0.0.4; charset=utf-8".parse().unwrap())
        );
        let mut figures = Self { series: BTreeMap::new(), types: BTreeMap::new(), helps: BTreeSet::new() };
        for line in reply.text.lines().filter(|line| !line.is_empty()) {
            if let Some(help) = line.strip_prefix("# HELP ") {
                figures.helps.insert(help.split(' ').next().unwrap().to_owned());
            } else if let Some(told) = line.strip_prefix("# TYPE ") {
                let (name, kind) = told.split_once(' ').unwrap();
                figures.types.insert(name.to_owned(), kind.to_owned());
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
                let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
                assert_eq!(figures.series.insert(series.to_owned(), value), None, "twice: {series}");
            }
        }
        figures
    }

    #[track_caller]
    fn value(&self, series: &str) -> f64 {
        *self.series.get(series).unwrap_or_else(|| panic!("no {series} in {:#?}", self.series.keys()))
    }
}

#[test]
fn what_happens_is_counted() {
    let place = Place::new();
    let (_door, silent) = deaf();
    let at = |ip: &str, port: u16| with(host(ip), json!({"port": port}));
    let ended = place.server.submit(&job("INSTALL_AGENT", &[at("127.0.0.1", nonsense())]));
    place.server.becomes(ended, "FAILED");
    let going = place.server.submit(&job("INSTALL_AGENT", &[at("127.0.0.2", silent), host("127.0.0.2")]));
    place.server.becomes(going, "RUNNING");
    place.server.get("/nowhere/at/all");
    place.server.get("/api/job/77/details/");

    // The record is looked at once a second at most.
    let end = Instant::now() + PATIENCE;
    let figures = loop {
        let figures = Figures::of(&place.server);
        if figures.series.get(r#"landfall_host_tasks{kind="INSTALL_AGENT",status="RUNNING"}"#) == Some(&1.0) {
            break figures;
        }
        assert!(Instant::now() < end, "nothing runs: {:#?}", figures.series);
        std::thread::sleep(Duration::from_millis(200));
    };
    for (series, value) in [
        (r#"landfall_jobs{kind="INSTALL_AGENT",status="RUNNING"}"#, 1.0),
        (r#"landfall_host_tasks{kind="INSTALL_AGENT",status="IGNORED"}"#, 1.0),
        ("landfall_queue_age_seconds", 0.0),
        ("landfall_record_readable", 1.0),
        (r#"landfall_jobs_accepted_total{kind="INSTALL_AGENT"}"#, 2.0),
        (r#"landfall_jobs_finished_total{kind="INSTALL_AGENT",status="FAILED"}"#, 1.0),
        (r#"landfall_host_tasks_finished_total{kind="INSTALL_AGENT",outcome="failed"}"#, 1.0),
        (r#"landfall_step_seconds_count{step="connect",end="failed"}"#, 1.0),
        (r#"landfall_failures_total{class="incompatible",step="connect"}"#, 1.0),
        ("landfall_sent_bytes_total", 0.0),
        ("landfall_leases_lost_total", 0.0),
        (r#"landfall_api_requests_total{route="/api/job/install",method="POST",status="200"}"#, 2.0),
        (r#"landfall_api_requests_total{route="/api/job/{id}/details",method="GET",status="200"}"#, 1.0),
        (r#"landfall_api_requests_total{route="none",method="GET",status="404"}"#, 1.0),
    ] {
        assert!((figures.value(series) - value).abs() < f64::EPSILON, "{series} is {}", figures.value(series));
    }
    let transactions = figures.value("landfall_journal_transactions_total");
    assert!(transactions >= 4.0, "{transactions}");
    assert!((figures.value("landfall_journal_batch_writes_count") - transactions).abs() < f64::EPSILON);
}

#[test]
fn every_label_has_a_bound_and_every_name_a_unit_and_its_row_in_the_document() {
    let place = Place::new();
    let id = place.server.submit(&job("INSTALL_AGENT", &[with(host("127.0.0.1"), json!({"port": nonsense()}))]));
    place.server.becomes(id, "FAILED");
    for path in ["/made-up", "/api/job/1/details/", "/api/job/made%20up/log/", "/api/job/1/events/"] {
        place.server.ask("GET", path, &[], Vec::new());
        place.server.ask("BREW", path, &[], Vec::new());
    }
    let figures = Figures::of(&place.server);
    for series in figures.series.keys() {
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        assert!(name.starts_with("landfall_"), "{series}");
        for label in labels.trim_end_matches('}').split("\",").filter(|label| !label.is_empty()) {
            let (label, value) = label.split_once("=\"").unwrap();
            let value = value.trim_end_matches('"');
            let (_, words) = LABELS.iter().find(|(known, _)| *known == label).unwrap_or_else(|| panic!("{label} of {series}"));
            assert!(regex::Regex::new(words).unwrap().is_match(value), "{series}");
        }
    }
    let text = include_str!("../../docs/api.md");
    for (name, kind) in &figures.types {
        assert!(text.contains(&format!("| `{name}` |")), "{name} is not in docs/api.md");
        assert!(figures.helps.contains(name), "{name} says nothing of itself");
        match kind.as_str() {
            "counter" => assert!(name.ends_with("_total"), "{name} is a {kind}"),
            "gauge" => assert!(!name.ends_with("_total"), "{name} is a {kind}"),
            "histogram" => assert!(name.ends_with("_seconds") || name.ends_with("_writes"), "{name} is a {kind}"),
            other => panic!("{name} is a {other}"),
        }
    }
    let documented: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("| `landfall_")?.split('`').next()).collect();
    let source = include_str!("../../src/meters.rs");
    let known: BTreeSet<&str> =
        source.lines().filter_map(|line| line.strip_prefix("const ")?.split_once("\"landfall_")?.1.split('"').next()).collect();
    assert_eq!(documented, known);
}
