//! Who asked for what: `landfall job show` tells it, and no secret is left anywhere on the way.

use std::fs::File;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::apps::{Company, SECRET, app, header, signed};
use crate::desk::Desk;
use crate::package::Package;
use crate::place::{Place, deaf, host, job, nonsense, with};
use crate::server::Server;

const ALL: &str = "businesses = \"*\"\nkinds = \"*\"";

/// Action, person, app, source and hosts of every line.
fn lines(desk: &Desk, id: i64) -> Vec<(String, String, Value, String, i64)> {
    let shown = desk.landfall(&format!("job show {id} --output json")).exits(0).last();
    let word = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
    let read = |line: &Value| {
        let hosts = line["detail"]["hosts"].as_i64().unwrap();
        (word(line, "action"), word(line, "user"), line["app"].clone(), word(line, "source"), hosts)
    };
    shown["audit"].as_array().unwrap_or_else(|| panic!("no audit: {shown}")).iter().map(read).collect()
}

#[test]
fn every_submission_retry_and_cancel_is_in_the_audit_with_who_and_from_where() {
    let company = Company::with(&[("esb_test", ALL)], "");
    let (_door, silent) = deaf();
    let at = |ip: &str, port: u16| with(host(ip), json!({"port": port}));
    let body = job("INSTALL_AGENT", &[at("127.0.0.1", silent), at("127.0.0.2", nonsense())]);
    let id = company.submit("esb_test", &with(body, json!({"bk_username": "bob"})));
    let post = |word: &str, body: Value| company.post("esb_test", &format!("/api/job/{id}/{word}/"), &body);
    post("revoke", json!({"bk_username": "carol"})).data();
    company.becomes("esb_test", id, "TERMINATED");
    post("retry_node", json!({"instance_id": "host|instance|host|127.0.0.1-0-0"})).data();
    post("revoke", json!({})).data();
    company.becomes("esb_test", id, "TERMINATED");
    post("retry", json!({})).data();
    post("revoke", json!({})).data();
    company.becomes("esb_test", id, "TERMINATED");
    // What came to nothing is no deed.
    assert_eq!(post("revoke", json!({})).refusal(), (200, 3_800_016));

    let told = lines(&company.desk, id);
    let deeds: Vec<(&str, &str)> = told.iter().map(|line| (line.0.as_str(), line.1.as_str())).collect();
    assert_eq!(
        deeds,
        [("install", "bob"), ("revoke", "carol"), ("retry_node", "ann"), ("revoke", "ann"), ("retry", "ann"), ("revoke", "ann")]
    );
    assert!(told.iter().all(|line| line.2 == "esb_test" && line.3 == "127.0.0.1"), "{told:?}");
    assert_eq!([told[0].4, told[2].4, told[4].4], [2, 1, 2]);
    let text = company.desk.landfall(&format!("job show {id}")).exits(0).out;
    assert!(text.contains("ASKED") && text.contains("bob (esb_test)") && text.contains("retry_node"), "{text}");
    // Callers of an app read nothing of other apps' people.
    assert!(post("details", json!({})).data().get("audit").is_none());
}

#[test]
fn what_is_done_at_the_terminal_is_in_the_audit_too() {
    let place = Place::new();
    let failing = with(host("127.0.0.1"), json!({"port": nonsense()}));
    place.desk.job(&job("INSTALL_AGENT", std::slice::from_ref(&failing)));
    place.desk.landfall("run job.json").exits(1);
    place.desk.landfall("job retry 1").exits(1);
    let me = nix::unistd::User::from_uid(nix::unistd::getuid()).unwrap().unwrap().name;
    let line = |action: &str, user: &str, source: &str| (action.to_owned(), user.to_owned(), Value::Null, source.to_owned(), 1);
    assert_eq!(lines(&place.desk, 1), [line("run", &me, "cli"), line("retry", &me, "cli")]);
    // Without apps nobody is vouched for, and the caller is still told by name and address.
    let id = place.server.submit(&with(job("INSTALL_AGENT", &[failing]), json!({"bk_username": "dan", "bk_app_code": "x"})));
    place.server.becomes(id, "FAILED");
    assert_eq!(lines(&place.desk, id), [line("install", "dan", "127.0.0.1")]);
}

#[test]
fn no_secret_is_in_a_log_the_record_or_an_answer() {
    let desk = Desk::new();
    let archive = Package::tiny("tiny").build(desk.dir.path());
    desk.landfall(&format!("package add {}", archive.file.display())).exits(0);
    desk.file("site.toml", &app(&desk, "esb_test", "businesses = [2]\nkinds = [\"INSTALL_AGENT\"]"));
    let log = desk.dir.path().join("stderr");
    let mut command = desk.command("-vvv");
    command.env("LANDFALL_SITE", desk.dir.path().join("site.toml")).stderr(Stdio::from(File::create(&log).unwrap()));
    let server = Server::start(command);
    let guessed = "a-guess-at-the-secret";
    let body = job("INSTALL_AGENT", &[with(host("127.0.0.1"), json!({"port": nonsense()}))]);
    let asks = [
        ("POST", "/api/job/install/".to_owned(), Vec::new(), signed("esb_test", body)),
        ("POST", "/api/job/job_list/".to_owned(), vec![("x-bkapi-authorization", header("esb_test", guessed))], json!({})),
        ("POST", "/api/job/job_list/".to_owned(), Vec::new(), json!({"bk_app_code": guessed, "bk_app_secret": guessed})),
        ("GET", format!("/api/job/1/details/?bk_app_code=esb_test&bk_app_secret={SECRET}"), Vec::new(), Value::Null),
        ("GET", format!("/api/job/1/details/?bk_app_code=esb_test&bk_app_secret={guessed}"), Vec::new(), Value::Null),
        ("POST", "/api/job/install/".to_owned(), Vec::new(), signed("esb_test", job("REMOVE_AGENT", &[host("127.0.0.2")]))),
    ];
    let mut answers = String::new();
    for (method, path, headers, body) in &asks {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        answers.push_str(&server.ask(method, path, &headers, body.to_string().into_bytes()).text);
    }
    assert!(answers.contains("\"job_id\":1") && answers.contains("3800401") && answers.contains("3800403"), "{answers}");
    drop(server);
    let logged = std::fs::read_to_string(&log).unwrap();
    for told in ["a caller was turned away", "status=401", "status=403", "127.0.0.1", "app esb_test is not allowed REMOVE_AGENT"]
    {
        assert!(logged.contains(told), "{told} is not in {logged}");
    }
    let mut files = vec![desk.dir.path().join("data")];
    let mut read = vec![("the log", logged.into_bytes()), ("an answer", answers.into_bytes())];
    while let Some(file) = files.pop() {
        if file.is_dir() {
            files.extend(std::fs::read_dir(&file).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            read.push(("the data directory", std::fs::read(&file).unwrap()));
        }
    }
    for (where_, bytes) in &read {
        for secret in [SECRET, guessed, "hunter2"] {
            assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "{secret} is in {where_}");
        }
    }
    assert!(read.len() > 4, "nothing was looked at");
}
