//! The built binary at its door: what it says and how it exits, as far as no host is needed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may stop at what it did not expect"
)]

#[path = "support/desk.rs"]
mod desk;
#[path = "support/postgres.rs"]
mod postgres;

use std::io::Read;
use std::process::{Command, Stdio};

use desk::{Desk, Said};
use serde_json::{Value, json};

fn host(ip: &str) -> Value {
    json!({"bk_biz_id": 2, "bk_cloud_id": 0, "ap_id": 1, "inner_ip": ip, "os_type": "LINUX",
        "account": "root", "port": 22, "auth_type": "PASSWORD", "password": "hunter2"})
}

fn with(mut host: Value, key: &str, value: Value) -> Value {
    host[key] = value;
    host
}

const COMMANDS: &[&str] = &[
    "",
    "run",
    "plan",
    "check",
    "serve",
    "job",
    "job list",
    "job show",
    "job log",
    "job watch",
    "job retry",
    "job cancel",
    "job resume",
    "package",
    "package add",
    "package list",
    "package verify",
    "hostkey",
    "hostkey list",
    "hostkey forget",
    "key",
    "key rotate",
    "key purge",
    "site",
    "site check",
    "site hash-secret",
    "completions",
    "man",
    "manual",
    "job commands",
];

#[test]
fn every_command_explains_itself_with_examples() {
    let desk = Desk::new();
    for command in COMMANDS {
        for flag in ["--help", "-h"] {
            let said = desk.landfall(&format!("{command} {flag}")).exits(0);
            assert!(said.out.contains("Examples:\n  landfall"), "{command} {flag}: {}", said.out);
            assert!(said.out.contains("LANDFALL_DATA_DIR"), "{command} {flag}: {}", said.out);
        }
    }
    desk.landfall("").exits(2).complains(&["Usage: landfall"]);
    desk.landfall("jobs").exits(2).complains(&["jobs"]);
}

#[test]
fn the_version_names_the_commit_it_is_made_of() {
    let said = Desk::new().landfall("--version").exits(0).out;
    let version = format!("landfall {}", env!("CARGO_PKG_VERSION"));
    let here = env!("CARGO_MANIFEST_DIR");
    let git = Command::new("git").args(["-C", here, "rev-parse", "--short=12", "HEAD"]).output();
    match git.ok().filter(|output| output.status.success()) {
        Some(commit) => {
            let commit = String::from_utf8(commit.stdout).unwrap();
            let told = format!("{version} ({}", commit.trim());
            assert!([format!("{told})\n"), format!("{told}, modified)\n")].contains(&said), "{said}");
        }
        None => assert_eq!(said, version + "\n"),
    }
}

#[test]
fn every_command_has_a_manual_page_with_every_flag() {
    let desk = Desk::new();
    let said = desk.landfall("man pages/man1").exits(0);
    assert_eq!(said.out.lines().count(), COMMANDS.len(), "{}", said.out);
    for command in COMMANDS {
        let name = format!("landfall {command}").trim().replace(' ', "-");
        let page = std::fs::read_to_string(desk.dir.path().join(format!("pages/man1/{name}.1"))).expect(&name);
        let page = page.replace("\\-", "-");
        let mut from = 0;
        for section in [".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION", ".SH OPTIONS", ".SH \"COMMON OPTIONS\"", ".SH EXAMPLES"] {
            let at = page[from..].find(section).unwrap_or_else(|| panic!("{name}: no {section} where it belongs"));
            from += at;
        }
        let help = desk.landfall(&format!("{command} --help")).exits(0).out;
        let flags = help.split(|c: char| c.is_whitespace() || ",.[]<>()`=|".contains(c)).filter(|word| word.starts_with("--"));
        for flag in flags {
            assert!(page.contains(flag), "{name}: no {flag}");
        }
    }
    desk.file("taken", "").landfall("man taken").exits(2).complains(&["error: cannot write to taken"]);
}

#[test]
fn broken_json_is_named_with_file_line_and_column() {
    let desk = Desk::new();
    desk.file("job.json", "{\n  \"job_type\": \"INSTALL_AGENT\",\n  \"hosts\": [}\n}");
    let said = desk.landfall("run job.json").exits(2).complains(&["error: job.json:3:13: not JSON: expected value"]);
    assert!(said.out.is_empty());
    let envelope = desk.landfall("run job.json --output json").exits(2).last();
    assert_eq!((envelope["result"].as_bool(), envelope["code"].as_i64()), (Some(false), Some(3_800_001)), "{envelope}");
    assert!(envelope["message"].as_str().unwrap().contains("job.json:3:13"), "{envelope}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    Desk::new().landfall("run none.json").exits(2).complains(&["error: cannot read none.json: No such file"]);
}

#[test]
fn all_faults_are_told_at_once_each_with_its_path() {
    let desk = Desk::new();
    let mut no_password = host("10.0.0.3");
    no_password.as_object_mut().unwrap().remove("password");
    let hosts =
        [host("10.0.0.1"), with(host("10.0.0.2"), "port", json!(99999)), no_password, with(host("10.0.0.4"), "ap_id", json!(7))];
    desk.job(&json!({"job_type": "INSTALL_AGENT", "hosts": hosts}));
    let said = desk.landfall("run job.json").exits(2);
    for path in ["hosts[1].port: ", "hosts[2].password: ", "hosts[3].ap_id: "] {
        assert_eq!(said.err.lines().filter(|line| line.starts_with(path)).count(), 1, "{path} in {}", said.err);
    }
    assert!(!said.err.contains("hunter2"), "{}", said.err);

    let envelope = desk.landfall("--output json run job.json").exits(2).last();
    let paths: Vec<&str> = envelope["errors"].as_array().unwrap().iter().map(|fault| fault["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["hosts[1].port", "hosts[2].password", "hosts[3].ap_id"]);
    assert!(envelope["message"].as_str().unwrap().ends_with("（3800001）"), "{envelope}");
    // Nothing was recorded.
    assert_eq!(desk.landfall("job list --output json").exits(0).last(), json!({"total": 0, "list": []}));
}

#[test]
fn a_job_of_which_no_host_is_accepted_exits_3_with_every_reason() {
    let desk = Desk::new();
    let zone = |host| with(with(host, "bk_cloud_id", json!(2)), "outer_ip", json!("192.0.2.1"));
    let aix = |ip| zone(with(host(ip), "os_type", json!("AIX")));
    desk.file("site.toml", "[[cloud]]\nid = 2\n");
    desk.job(&json!({"job_type": "RESTART_PROXY", "hosts": [aix("10.0.0.1"), aix("10.0.0.2"), aix("10.0.0.1")]}));
    let said = desk.landfall("run job.json --site site.toml").exits(3).complains(&[
        "10.0.0.1 (cloud 2): unsupported: ",
        "10.0.0.2 (cloud 2): unsupported: ",
        "10.0.0.1 (cloud 2): duplicate: ",
    ]);
    assert!(said.out.is_empty());
    let envelope = desk.landfall("run job.json --site site.toml --output json").exits(3).last();
    assert_eq!((envelope["code"].as_i64(), envelope["data"]["job_id"].as_str()), (Some(3_801_018), Some("")), "{envelope}");
    assert_eq!(envelope["data"]["ip_filter"][1]["exception"], "unsupported");
}

#[test]
fn a_cloud_without_proxy_fails_the_whole_request() {
    let desk = Desk::new();
    desk.file("site.toml", "[[cloud]]\nid = 2\nname = \"dmz\"\n");
    desk.job(&json!({"job_type": "INSTALL_AGENT", "hosts": [host("10.0.0.1"), with(host("10.0.0.2"), "bk_cloud_id", json!(2))]}));
    desk.landfall("run job.json --site site.toml").exits(3).complains(&["10.0.0.2 (cloud 2): no_proxy: "]);
    let envelope = desk.landfall("run job.json --site site.toml --output json").exits(3).last();
    assert_eq!(envelope["code"], 3_801_013);
    assert_eq!(envelope["data"]["ip_filter"].as_array().unwrap().len(), 1, "{envelope}");
}

#[test]
fn a_job_may_come_by_stdin() {
    let desk = Desk::new();
    desk.job(&json!({"job_type": "NO_SUCH", "hosts": [host("10.0.0.1")]}));
    let job = std::fs::File::open(desk.dir.path().join("job.json")).unwrap();
    let said = Said::from(desk.command("run -").stdin(job).output().unwrap());
    said.exits(2).complains(&["job_type: `NO_SUCH` is none of"]);
}

#[test]
fn the_site_file_is_checked_as_a_whole() {
    let desk = Desk::new();
    let said = desk.landfall("site check").exits(0);
    assert!(said.out.contains("hosts at once    200\n"), "{}", said.out);

    desk.file("site.toml", "[limits]\nconcurrency = 7\n[agent_defaults]\nbt_speed_limit = 2\n");
    let said = desk.landfall("site check --site site.toml").exits(0).complains(&["warning: `agent_defaults` is declared"]);
    assert!(said.out.contains("hosts at once    7\n"), "{}", said.out);

    desk.file("site.toml", "[limits]\nconcurency = 7\n");
    desk.landfall("site check --site site.toml").exits(2).complains(&["site.toml", "line 2", "concurency"]);
    desk.landfall("--site none.toml site check").exits(2).complains(&["cannot read none.toml"]);
    // A wrong site file stops every command that needs it, the same way.
    desk.landfall("job list --site site.toml").exits(2).complains(&["site.toml", "concurency", "hint: `landfall site check`"]);
    let answer = desk.landfall("site check --site site.toml --output json").exits(2).last();
    assert_eq!((answer["ok"].as_bool(), answer["faults"].as_array().map(Vec::len)), (Some(false), Some(1)), "{answer}");
}

#[test]
fn the_secret_of_an_app_is_hashed_from_stdin_and_the_line_fits_into_the_site_file() {
    let desk = Desk::new();
    let hash = |stdin: &str| desk.landfall_reads("site hash-secret", stdin).exits(0).out;
    let (one, two) = (hash("geheim\n"), hash("geheim\r\nsecond line\n"));
    assert!(one.starts_with("$argon2id$v=19$") && one.lines().count() == 1 && !one.contains("geheim"), "{one}");
    assert_ne!(one, two, "each has a salt of its own");
    let json = desk.landfall_reads("--output json site hash-secret", "geheim").exits(0).last();
    assert!(json["secret_hash"].as_str().unwrap().starts_with("$argon2id$"), "{json}");
    for (stdin, told) in [("", "an empty secret"), ("\n", "an empty secret"), (&"x".repeat(2000), "longer than 1024 bytes")] {
        desk.landfall_reads("site hash-secret", stdin).exits(2).complains(&[told]);
    }
    desk.landfall("site hash-secret geheim").exits(2);

    let app = |keys: &str| format!("[[app]]\ncode = \"esb_test\"\nsecret_hash = \"{}\"\n{keys}\n", one.trim());
    desk.file("site.toml", &app("businesses = [2]"));
    desk.landfall("site check --site site.toml").exits(0).complains(&["warning: app esb_test names no `kinds`"]);
    for (keys, told) in [
        ("kinds = [\"INSTALL_MOON\"]", "INSTALL_MOON"),
        ("businesses = [7]\n[[business]]\nid = 2", "app esb_test: there is no business 7"),
        ("sources = [\"nowhere\"]", "line 4"),
    ] {
        desk.file("site.toml", &app(keys));
        desk.landfall("site check --site site.toml").exits(2).complains(&[told]);
    }
    desk.file("site.toml", "[[app]]\ncode = \"a\"\nsecret_hash = \"geheim\"\n");
    let said = desk.landfall("site check --site site.toml").exits(2).complains(&["line 3", "landfall site hash-secret"]);
    assert!(!said.err.contains("geheim"), "{}", said.err);
}

#[test]
fn an_empty_repository_is_no_fault_and_what_is_no_package_is_refused() {
    let desk = Desk::new();
    let said = desk.landfall("package list").exits(0).complains(&["no package is stored here"]);
    assert!(said.out.is_empty());
    assert_eq!(desk.landfall("package list --output json").exits(0).last(), json!([]));
    assert_eq!(desk.landfall("package verify --output json").exits(0).last(), json!([]));
    desk.file("agent.tgz", "this is no archive");
    desk.landfall("package add agent.tgz").exits(2).complains(&["agent.tgz"]);
    desk.landfall("package add none.tgz").exits(2).complains(&["cannot read none.tgz"]);
}

#[test]
fn an_executor_of_some_clouds_needs_a_record_that_others_share() {
    Desk::new().landfall("serve --executor-only --clouds 2,5").exits(2).complains(&["--database-url postgres://"]);
}

#[test]
fn an_unknown_job_exits_2_everywhere() {
    let desk = Desk::new();
    for command in ["job show 7", "job log 7", "job log 7 10.0.0.1", "job resume 7"] {
        let said = desk.landfall(command).exits(2).complains(&["error: there is no job 7\n", "hint: `landfall job list`"]);
        assert!(said.out.is_empty(), "{command}: {}", said.out);
    }
    let envelope = desk.landfall("job resume 7 --output json").exits(2).last();
    assert_eq!(envelope["result"], false);
    desk.landfall("job show 0").exits(2);
    desk.landfall("job log 1 no-address").exits(2);
    desk.landfall("job list").exits(0).complains(&["no job is recorded here"]);
}

#[test]
fn flags_win_over_the_environment_wherever_they_stand() {
    let desk = Desk::new();
    for words in ["--data-dir flag site check", "site check --data-dir flag", "site --data-dir flag check"] {
        let said = desk.landfall(words).exits(0);
        assert!(said.out.lines().any(|line| line == "data directory   flag"), "{words}: {}", said.out);
    }
}

#[test]
fn a_record_that_cannot_be_opened_is_internal() {
    let desk = Desk::new();
    desk.file("file", "");
    desk.landfall("job list --data-dir file/data").exits(4).complains(&["error: "]);
}

#[tokio::test]
async fn the_record_may_be_in_postgresql() {
    let desk = Desk::new();
    let url = postgres::Server::shared().await.empty_database().await;
    desk.landfall(&format!("job list --database-url {url}")).exits(0);
    desk.landfall(&format!("job show 7 --database-url {url}")).exits(2).complains(&["there is no job 7"]);
    assert!(!desk.dir.path().join("data/landfall.db").exists());
}

#[test]
fn the_password_of_a_database_is_shown_nowhere() {
    let desk = Desk::new();
    for (url, says) in [
        ("postgres://ops:hunter2@127.0.0.1:9/record", "connect to PostgreSQL"),
        ("postgres://ops:hunter2@127.0.0.1:nine/record", "address of the job record"),
        ("postgres://127.0.0.1:9/record?user=ops&pasword=hunter2", "only these options are known"),
        ("mysql://ops:hunter2@127.0.0.1/record", "mysql://ops@127.0.0.1/record"),
    ] {
        let said = desk.landfall(&format!("-vvv job list --database-url {url}"));
        assert!(said.code == 4 || said.code == 2, "{}", said.err);
        assert!(!format!("{}{}", said.out, said.err).contains("hunter2"), "{}", said.err);
        said.complains(&[says]);
        for form in ["text", "json"] {
            let said = desk.landfall(&format!("-vvv site check --output {form} --database-url {url}"));
            assert!(!format!("{}{}", said.out, said.err).contains("hunter2"), "{}{}", said.out, said.err);
        }
    }
}

#[test]
fn every_shell_gets_its_completions() {
    let desk = Desk::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = desk.landfall(&format!("completions {shell}")).exits(0);
        assert!(said.out.contains("resume") && said.err.is_empty(), "{shell}");
    }
    desk.landfall("completions tcsh").exits(2);
}

#[test]
fn a_reader_that_goes_away_is_no_fault() {
    let desk = Desk::new();
    let mut child = desk.command("completions bash").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut complaint = String::new();
    child.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{complaint}");
    assert!(complaint.is_empty(), "{complaint}");
}

#[test]
fn what_cannot_be_written_is_told() {
    let desk = Desk::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let said = Said::from(desk.command("completions bash").stdout(full).output().unwrap());
    said.exits(4).complains(&["error: cannot write to stdout: No space left on device"]);
}
