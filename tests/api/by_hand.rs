//! Hosts that a person installs: commands, tokens, and what a script asks and tells, played here word by word. A real shell
//! runs the real script in `tests/real/by_hand.rs`.

use serde_json::{Value, json};

use crate::place::{Place, bare, host, job, with};

fn by_hand(ip: &str) -> Value {
    with(bare(ip), json!({"is_manual": true}))
}

/// What the probe says of a Linux host where nothing is installed.
fn facts() -> String {
    let cpu = std::env::consts::ARCH;
    let words = [
        "begin",
        "os=Linux",
        "release=6.1",
        &format!("cpu={cpu}"),
        "distro=debian 12",
        "shell=/bin/sh",
        "uid=0",
        "user=root",
        "home=/root",
        "boot=b",
        "init=systemd",
        "tools=gzip tar sha256sum",
        "setup=/usr 9999999 rw",
        "temp=/tmp 9999999 rw",
        "place=/var/lib/landfall 9999999 ok",
        "end",
    ];
    words.map(|word| format!("@@lf:{word}@@\n")).concat()
}

/// The command that is offered for a host.
fn command(place: &Place, id: i64, ip: &str) -> Value {
    place.server.get(&format!("/api/job/{id}/get_job_commands/?instance_id=host%7Cinstance%7Chost%7C{ip}-0-0")).data()
}

/// Where the script of a command is.
fn path(command: &Value) -> String {
    let text = command["solutions"][0]["steps"][0]["contents"][0]["text"].as_str().unwrap();
    let url = text.rsplit_once("http://").unwrap().1.trim_end_matches(['\'', '\n']);
    format!("/{}", url.split_once('/').unwrap().1)
}

/// A script that was fetched.
struct Script<'a> {
    place: &'a Place,
    task: String,
    token: String,
}

impl<'a> Script<'a> {
    fn fetch(place: &'a Place, id: i64, ip: &str) -> Self {
        let reply = place.server.get(&path(&command(place, id, ip)));
        assert_eq!(reply.status, 200, "{}", reply.text);
        let value = |name: &str| {
            let line = reply.text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.unwrap_or_else(|| panic!("no {name}")).to_owned()
        };
        Self { place, task: value("lf_task"), token: value("lf_token") }
    }

    fn ask(&self, path: &str, more: Value) -> crate::server::Reply {
        self.place.server.post(path, &with(json!({"task_id": self.task, "token": self.token}), more))
    }

    fn settle(&self) -> String {
        let reply = self.ask("/backend/settle/", json!({"facts": facts()}));
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply.text
    }

    fn tell(&self, step: &str, status: &str, log: &str) -> Value {
        let entry = json!({"timestamp": "2026-11-24 10:00:00", "level": "INFO", "step": step, "status": status, "log": log});
        self.ask("/backend/report_log/", json!({"logs": [entry]})).data()["told"].clone()
    }

    fn step(&self, step: &str, said: &str) -> Value {
        assert_eq!(self.tell(step, "START", ""), "go_on");
        self.tell(step, "DONE", said)
    }
}

#[test]
fn a_script_that_tells_its_steps_fills_the_record_as_ssh_does() {
    let place = Place::new();
    let id = place.server.submit(&job("INSTALL_AGENT", &[by_hand("127.0.0.5")]));
    assert_eq!(place.server.details(id)["status"], "PENDING", "nobody connects");
    let script = Script::fetch(&place, id, "127.0.0.5");
    let sheet = script.settle();
    // Every request has an epoch of its own.
    let plan = |sheet: &str| sheet.lines().filter(|line| !line.starts_with("epoch=")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(plan(&sheet), plan(&script.settle()), "begun again it is told the same plan");
    let value = |key: &str| sheet.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap().to_owned();
    assert_eq!((value("state"), value("action")), ("/var/lib/landfall".into(), "install".into()));
    let (sha256, size) = value("package").split_once(' ').map(|(sha, size)| (sha.to_owned(), size.to_owned())).unwrap();

    // The package, whole and from where a line broke.
    let fetched = script.ask("/backend/fetch/", json!({"part": "health", "offset": 0}));
    assert!(fetched.status == 200 && fetched.text.contains("test -f"), "{}", fetched.text);
    let rest = script.ask("/backend/fetch/", json!({"part": "health", "offset": 3}));
    assert_eq!(rest.text, fetched.text[3..]);
    let body = json!({"task_id": script.task, "token": script.token, "part": "health"}).to_string();
    let ranged = place.server.ask("POST", "/backend/fetch/", &[("range", "bytes=3-")], body.into());
    assert_eq!((ranged.status, &ranged.text), (206, &rest.text));
    assert!(sha256.len() == 64 && size.parse::<u64>().unwrap() > 0);

    assert_eq!(script.ask("/backend/report_log/", json!({"logs": [{"step": "verify", "status": "START"}]})).status, 409);
    assert_eq!(script.step("upload_package", &format!("stored {size}")), "go_on");
    assert_eq!(script.step("upload_files", "stored"), "go_on");
    assert_eq!(script.tell("run_script", "START", ""), "go_on");
    let lines = json!([
        {"timestamp": "2026-11-24 10:00:00", "level": "INFO", "step": "check_env", "status": "START", "log": "\"quoted\" \\ 中文"},
        {"log": "a tool says INFO verify DONE healthy x"},
        {"timestamp": "2026-11-24 10:00:01", "level": "INFO", "step": "verify", "status": "DONE", "log": "a line, no step"},
    ]);
    script.ask("/backend/report_log/", json!({"offset": 0, "logs": lines})).data();
    assert_eq!(script.tell("run_script", "START", ""), "go_on", "told again");
    assert_eq!(script.tell("run_script", "DONE", "exit=0 100"), "go_on");
    assert_eq!(script.step("verify", "healthy unit tiny 7 8"), "go_on");
    assert_eq!(script.step("cleanup", "done"), "ended");

    let details = place.server.becomes(id, "SUCCESS");
    let steps: Vec<(&str, &str)> = details["list"][0]["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| (step["step"].as_str().unwrap(), step["status"].as_str().unwrap()))
        .collect();
    let wanted = ["probe", "upload_package", "upload_files", "run_script", "verify", "register", "cleanup"];
    assert_eq!(steps, wanted.map(|step| (step, "SUCCESS")));
    assert_eq!(details["list"][0]["is_manual"], true);
    let log = place.server.get(&format!("/api/job/{id}/log/?instance_id=host%7Cinstance%7Chost%7C127.0.0.5-0-0")).data();
    let run =
        log.as_array().unwrap().iter().find(|step| step["step"] == "run_script").unwrap()["log"].as_str().unwrap().to_owned();
    assert!(run.contains("2026-11-24 10:00:00 INFO check_env START \"quoted\" \\ 中文\na tool says INFO"), "{run}");
    assert!(run.contains("INFO verify DONE a line, no step"), "{run}");
    let known = place.server.get("/api/host/").data();
    assert_eq!(known["list"][0]["inner_ip"], "127.0.0.5", "{known}");
    // Nothing is told to a script whose host has ended.
    let late = script.ask("/backend/report_log/", json!({"logs": []}));
    assert_eq!(late.refusal(), (403, 3_800_403));
}

#[test]
fn a_token_works_once_and_a_refusal_tells_nothing() {
    let place = Place::new();
    let id = place.server.submit(&job("INSTALL_AGENT", &[by_hand("127.0.0.5"), by_hand("127.0.0.6")]));
    let (first, second) = (path(&command(&place, id, "127.0.0.5")), path(&command(&place, id, "127.0.0.6")));
    let token = |path: &str| path.rsplit_once("token=").unwrap().1.to_owned();
    let refused = |path: &str| {
        let reply = place.server.get(path);
        assert_eq!(reply.refusal(), (403, 3_800_403), "{path}");
        reply.envelope()
    };
    let foreign = first.replace(&token(&first), &token(&second));
    let wrong = first.replace(&token(&first), &"0".repeat(64));
    let unknown = "/backend/script/?task_id=019abcde-0000-7000-8000-000000000000&token=0";
    let told: Vec<Value> = [foreign.as_str(), &wrong, unknown, "/backend/script/"].map(refused).into();
    assert!(told.iter().all(|answer| *answer == told[0]), "{told:?}");
    assert_eq!(place.server.details(id)["status"], "PENDING", "nothing was begun");
    assert_eq!(place.server.get(&first).status, 200);
    assert_eq!(refused(&first), told[0]);
    // A run token is of its host.
    let one = Script::fetch(&place, id, "127.0.0.5");
    let other = Script::fetch(&place, id, "127.0.0.6");
    let crossed = Script { place: &place, task: one.task.clone(), token: other.token.clone() };
    assert_eq!(crossed.ask("/backend/report_log/", json!({})).refusal(), (403, 3_800_403));
    // The script that was fetched last has the host.
    let again = Script::fetch(&place, id, "127.0.0.5");
    assert_eq!(one.ask("/backend/settle/", json!({"facts": facts()})).refusal(), (403, 3_800_403));
    again.settle();
}

#[test]
fn manual_and_automatic_hosts_do_not_stand_in_one_request() {
    let place = Place::new();
    for hosts in [[by_hand("127.0.0.5"), host("127.0.0.6")], [host("127.0.0.6"), by_hand("127.0.0.5")]] {
        let envelope = place.server.post("/api/job/install/", &job("INSTALL_AGENT", &hosts)).envelope();
        assert_eq!((&envelope["code"], &envelope["errors"][0]["path"]), (&json!(3_801_024), &json!("hosts[1].is_manual")));
    }
    assert_eq!(place.server.post("/api/job/job_list/", &json!({})).data()["total"], 0);
    let upgrade = place.server.post("/api/job/install/", &job("UPGRADE_AGENT", &[by_hand("127.0.0.5")])).envelope();
    assert_eq!(upgrade["data"]["ip_filter"][0]["exception"], "unsupported", "{upgrade}");
    let automatic = place.server.submit(&job("INSTALL_AGENT", &[with(host("127.0.0.7"), json!({"port": 9}))]));
    let asked =
        place.server.get(&format!("/api/job/{automatic}/get_job_commands/?instance_id=host%7Cinstance%7Chost%7C127.0.0.7-0-0"));
    assert_eq!(asked.refusal(), (200, 3_800_001));
    assert_eq!(place.server.get(&format!("/api/job/{automatic}/get_job_commands/")).refusal(), (200, 3_800_001));
}

#[test]
fn a_cancel_ends_hosts_that_nobody_came_for_and_is_told_to_a_script() {
    let place = Place::new();
    let id = place.server.submit(&job("INSTALL_AGENT", &[by_hand("127.0.0.5"), by_hand("127.0.0.6")]));
    let unused = path(&command(&place, id, "127.0.0.6"));
    let script = Script::fetch(&place, id, "127.0.0.5");
    script.settle();
    script.step("upload_package", "have");
    place.server.post(&format!("/api/job/{id}/revoke/"), &json!({})).data();
    assert_eq!(place.server.get(&unused).refusal(), (403, 3_800_403));
    assert_eq!(command_status(&place, id), json!({"status": "PENDING"}));
    assert_eq!(script.tell("upload_files", "START", ""), "cancel");
    assert_eq!(script.tell("cancel", "DONE", "nothing"), "ended");
    let details = place.server.becomes(id, "TERMINATED");
    assert_eq!(details["list"].as_array().unwrap().iter().filter(|host| host["status"] == "TERMINATED").count(), 2);
    // A retry opens it again, for another command, and the plan stands.
    place
        .server
        .post(&format!("/api/job/{id}/retry/"), &json!({"instance_id_list": ["host|instance|host|127.0.0.5-0-0"]}))
        .data();
    let again = Script::fetch(&place, id, "127.0.0.5");
    assert!(again.settle().contains("step=upload_files "));
    assert_eq!(again.tell("upload_package", "START", ""), "go_on");
    assert_eq!(again.tell("upload_files", "START", ""), "go_on");
    assert_eq!(again.tell("upload_files", "FAILED", "no_space /var/lib has 3 kB free"), "ended");
    let failed = place.server.details(id);
    let host = failed["list"].as_array().unwrap().iter().find(|host| host["ip"] == "127.0.0.5").unwrap();
    assert_eq!((&host["status"], &host["failure"]["code"]), (&json!("FAILED"), &json!("no_space")), "{host}");
}

fn command_status(place: &Place, id: i64) -> Value {
    let asked = place.server.get(&format!("/api/job/{id}/get_job_commands/?instance_id=host%7Cinstance%7Chost%7C127.0.0.5-0-0"));
    asked.data()
}

#[test]
fn an_uninstall_is_a_job_of_its_own() {
    let place = Place::new();
    place.installed(&[with(host("127.0.0.5"), json!({"is_manual": false, "bk_host_id": 17}))]);
    let id = place.server.submit(&job("REINSTALL_AGENT", &[by_hand("127.0.0.5")]));
    let ask = |id: i64, more: &str| place.server.get(&format!("/api/job/{id}/get_job_commands/?bk_host_id=17{more}"));
    assert_eq!(ask(id, "").data()["job_id"], id);
    assert_eq!(ask(id, "&is_uninstall=true").refusal(), (200, 3_801_020), "the job has the host");
    place.server.post(&format!("/api/job/{id}/revoke/"), &json!({})).data();
    place.server.becomes(id, "TERMINATED");
    assert_eq!(ask(id, "").refusal(), (200, 3_800_016));
    let uninstall = ask(id, "&is_uninstall=true").data()["job_id"].as_i64().unwrap();
    assert_ne!(uninstall, id);
    assert_eq!(ask(id, "&is_uninstall=true").data()["job_id"], uninstall, "the one that is there");
    assert_eq!(ask(uninstall, "").data()["job_id"], uninstall);
    let script = Script::fetch(&place, uninstall, "127.0.0.5");
    assert_eq!(script.settle(), "end=SUCCESS no such agent is installed on the host\n");
    place.server.becomes(uninstall, "SUCCESS");
}

#[test]
fn what_a_script_sends_is_bounded() {
    let place = Place::new();
    let id = place.server.submit(&job("INSTALL_AGENT", &[by_hand("127.0.0.5")]));
    let script = Script::fetch(&place, id, "127.0.0.5");
    assert_eq!(script.ask("/backend/report_log/", json!({"x": "y".repeat(1 << 20)})).status, 413);
    assert_eq!(place.server.post("/backend/report_log/", &json!({"task_id": 7})).status, 400);
    let part = script.ask("/backend/fetch/", json!({"part": "health"}));
    assert_eq!(part.status, 409, "before the plan there is nothing to fetch");
}
