//! The services over one record in PostgreSQL: jobs come in by the API of one process, and either works on them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::package;
use crate::project::{Project, docker, run, went_well};

/// Longest wait for a process to be there, or for a job to end: the hold of a process that was killed ends after 15 s.
const PATIENCE: Duration = Duration::from_secs(90);

/// The processes over the record.
const SERVERS: [&str; 2] = ["api", "executor"];

/// Asks the API as the README of the example does: by the published port, over TLS, as the example's app.
fn ask(project: &Project, path: &str, mut body: Value) -> Option<Value> {
    body["bk_app_code"] = json!("example");
    body["bk_app_secret"] = json!("landfall-example");
    let port = project.compose(&["--profile", "serve", "port", "api", "8420"]);
    let address = String::from_utf8(port.stdout).expect("an address");
    let mut curl = std::process::Command::new("curl");
    curl.args(["--silent", "--max-time", "20", "--cacert", &project.file("api_cert.pem"), "--data", &body.to_string()]);
    curl.arg(format!("https://{}/api/job/{path}", address.trim()));
    let answer: Value = serde_json::from_slice(&run(curl).stdout).ok()?;
    assert_eq!(answer["result"], true, "{path}: {answer}");
    Some(answer["data"].clone())
}

/// What a process counts; nothing while it does not answer.
fn metrics(project: &Project, service: &str) -> String {
    let text = project.output(service, "wget -q -O- --no-check-certificate https://127.0.0.1:8420/metrics");
    String::from_utf8_lossy(&text.stdout).into_owned()
}

/// The sum of all series that begin so.
fn counted(text: &str, series: &str) -> f64 {
    let values = text.lines().filter(|line| line.starts_with(series)).filter_map(|line| line.rsplit(' ').next()?.parse().ok());
    values.fold(0.0, |sum: f64, value: f64| sum + value)
}

#[track_caller]
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < end, "waited for {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_job_of_the_api_goes_on_in_the_other_process_when_the_one_that_has_it_is_killed() {
    let project = Project::up(&["password", "sudo", "dropbear"]);
    let archive = package::node_exporter();
    let archive = format!("/packages/{}", archive.file_name().and_then(|name| name.to_str()).expect("a name"));
    project.landfall(&["package", "add", &archive]);
    project.serve();
    until("the API", || ask(&project, "job_list/", json!({})));

    // Asked for now: when the hosts are worked on there is no time to lose.
    let container = |service: &str| went_well(project.compose(&["--profile", "serve", "ps", "--quiet", service]), "ps");
    let containers = SERVERS.map(|service| (service, container(service)));
    let mut job: Value =
        serde_json::from_str(&std::fs::read_to_string(project.file("api.json")).expect("api.json")).expect("JSON");
    // As slow as that, there is time to kill somebody.
    job["hosts"].as_array_mut().expect("hosts").iter_mut().for_each(|host| host["bt_speed_limit"] = json!(1));
    let id = ask(&project, "install/", job).expect("an answer")["job_id"].as_i64().expect("a number");
    let works = |service: &&&str| counted(&metrics(&project, service), "landfall_step_seconds_count") > 0.0;
    let killed = *until("a step", || SERVERS.iter().find(works));
    let (_, id_of_killed) = containers.iter().find(|(service, _)| *service == killed).expect("its container");
    went_well(docker(&["kill", "--signal", "KILL", id_of_killed.trim()]), "kill");
    let other = SERVERS.into_iter().find(|service| *service != killed).expect("two processes");

    // On a busy machine the first may have ended a host before it was killed, and the other has ended those that are left.
    let succeeded = r#"landfall_host_tasks_finished_total{kind="INSTALL_AGENT",outcome="succeeded"}"#;
    until("the other to end the job", || {
        let text = metrics(&project, other);
        (counted(&text, succeeded) >= 1.0 && counted(&text, "landfall_host_tasks{") == 0.0).then_some(())
    });
    went_well(project.compose(&["--profile", "serve", "up", "--detach", "--no-build", killed]), "up");
    let details = until("the API", || ask(&project, &format!("{id}/details/"), json!({"pagesize": -1})));
    assert_eq!((&details["status"], &details["statistics"]["success_count"]), (&json!("SUCCESS"), &json!(3)), "{details}");
    for service in ["password", "sudo", "dropbear"] {
        let history = project.exec(service, "cat /var/lib/landfall/history.log");
        let runs: Vec<&str> = history.lines().collect();
        assert!(!runs.is_empty() && runs.iter().collect::<BTreeSet<_>>().len() == runs.len(), "{service}: {history}");
    }
}

#[test]
fn the_password_of_the_database_is_in_no_environment_and_no_argument() {
    let project = Project::up(&["password"]);
    project.serve();
    until("the API", || ask(&project, "job_list/", json!({})));
    let line = std::fs::read_to_string(project.file("pgpass")).expect("pgpass");
    let password = line.trim().rsplit(':').next().expect("a password");
    for service in ["postgres", "api", "executor"] {
        let id = went_well(project.compose(&["--profile", "serve", "ps", "--quiet", service]), "ps");
        let known = went_well(docker(&["inspect", id.trim()]), "inspect");
        assert!(known.contains("/run/secrets/pgpass") && !known.contains(password), "{service}");
        // Not every process shows its environment to the container's root.
        let shown = project.exec(service, "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' ' '");
        assert!(shown.contains("landfall") && !shown.contains(password), "{service}");
    }
}
