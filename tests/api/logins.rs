//! How long logins are kept, whatever number of days was asked for, and the new ones that come with a retry.

use landfall::domain::Timestamp;
use landfall::domain::credential::{Auth, Credential};
use landfall::domain::id::JobId;
use landfall::store::Store as _;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::place::{Place, bare, host, job, nonsense, with};

fn name(ip: &str) -> String {
    format!("host|instance|host|{ip}-0-0")
}

fn password(login: &Option<Credential>) -> Option<String> {
    login.as_ref().map(|login| match &login.auth {
        Auth::Password(password) => password.expose_secret().to_owned(),
        _ => panic!("a key"),
    })
}

/// That many days from now, and an hour.
fn in_days(days: i64) -> String {
    (Timestamp::now() + jiff::SignedDuration::from_hours(days * 24 + 1)).to_string()
}

impl Place {
    /// Purges as if so many days had gone by; how many logins went.
    #[track_caller]
    fn purge_in(&self, days: i64) -> i64 {
        let said = self.desk.landfall(&format!("key purge --at {} --output json", in_days(days))).exits(0).last();
        said["purged"].as_i64().unwrap()
    }

    #[track_caller]
    fn retry(&self, id: i64, body: Value) -> crate::server::Reply {
        let reply = self.server.post(&format!("/api/job/{id}/retry/"), &body);
        if reply.envelope()["code"] == 0 {
            self.server.becomes(id, "FAILED");
        }
        reply
    }

    /// Code of each host's failure.
    fn codes(&self, id: i64) -> Vec<String> {
        let details = self.server.details(id);
        let code = |host: &Value| host["failure"]["code"].as_str().unwrap().to_owned();
        details["list"].as_array().unwrap().iter().map(code).collect()
    }
}

#[test]
fn a_login_is_kept_as_many_days_as_asked_for_and_serves_retry_and_operate_until_then() {
    let place = Place::new();
    let port = nonsense();
    let hosts: Vec<Value> = [json!(0), json!(1), json!(7), json!(-1), json!("400"), Value::Null]
        .into_iter()
        .enumerate()
        .map(|(index, days)| with(host(&format!("127.0.0.{}", index + 1)), json!({"port": port, "retention": days})))
        .collect();
    let id = place.server.submit(&job("INSTALL_AGENT", &hosts));
    place.server.becomes(id, "FAILED");
    let kept = |place: &Place| place.logins(id).iter().map(Option::is_some).collect::<Vec<_>>();
    assert_eq!(kept(&place), [false, true, true, true, true, true], "none of days: gone with the end of the host");

    // A retry has what is kept, and begins its retention anew.
    assert_eq!(place.retry(id, json!({})).data(), json!([id]));
    let not_ssh = || "not_ssh".to_owned();
    let mut codes = vec![not_ssh(); 6];
    codes[0] = "credential_expired".into();
    assert_eq!(place.codes(id), codes);
    let failure = place.server.details(id)["list"][0]["failure"].clone();
    assert_eq!((&failure["class"], &failure["step"]), (&json!("unauthenticated"), &json!("connect")));
    assert!(failure["remedy"].as_str().unwrap().contains("`hosts` of retry/"), "{failure}");

    assert_eq!(place.purge_in(0), 0);
    assert_eq!(place.purge_in(1), 2, "one day is also what is meant when none is said");
    assert_eq!(kept(&place), [false, false, true, true, true, false]);
    assert_eq!(place.purge_in(6), 0);
    let restart = |ip: &str| {
        let body = with(job("RESTART_AGENT", &[bare(ip)]), json!({"dry_run": true}));
        place.server.post("/api/job/install/", &body).envelope()
    };
    assert_eq!(restart("127.0.0.3")["data"]["list"][0]["login"], format!("root at 127.0.0.3:{port} by password"));
    assert_eq!(place.purge_in(7), 1);
    assert_eq!(restart("127.0.0.3")["data"]["ip_filter"][0]["exception"], "not_installed");
    assert_eq!(place.purge_in(399), 0);
    assert_eq!(place.purge_in(400), 1);
    assert_eq!(place.purge_in(36_000), 0, "for good is for good");
    assert_eq!(kept(&place), [false, false, false, true, false, false]);
    assert_eq!(place.retry(id, json!({"instance_id_list": [name("127.0.0.4"), name("127.0.0.3")]})).data(), json!([id]));
    assert_eq!((place.codes(id)[3].as_str(), place.codes(id)[2].as_str()), ("not_ssh", "credential_expired"));
}

#[test]
fn a_purge_says_what_it_did_and_takes_no_word_for_a_time() {
    let place = Place::new();
    let id = place.server.submit(&job("INSTALL_AGENT", &[with(host("127.0.0.1"), json!({"port": nonsense()}))]));
    place.server.becomes(id, "FAILED");
    assert_eq!(place.desk.landfall("key purge").exits(0).out.split(' ').next(), Some("0"));
    let said = place.desk.landfall(&format!("key purge --at {}", in_days(2))).exits(0);
    assert!(said.out.starts_with("1 credential removed whose retention is over at "), "{}", said.out);
    place.desk.landfall("key purge --at tomorrow").exits(2);
}

#[test]
fn a_retry_takes_new_logins_for_the_hosts_it_names() {
    let place = Place::new();
    let port = nonsense();
    let at = |last: u8, more: Value| with(with(host(&format!("127.0.0.{last}")), json!({"port": port})), more);
    let hosts = [at(1, json!({"bk_host_id": 7})), at(2, json!({})), at(3, json!({})), at(4, json!({"retention": 0}))];
    let id = place.server.submit(&job("INSTALL_AGENT", &hosts));
    place.server.becomes(id, "FAILED");
    let attempts = || {
        let details = place.server.details(id);
        let list = details["list"].as_array().unwrap().clone();
        list.iter().map(|host| host["attempts"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    let other = nonsense();
    // By number, by name, by place; those that are not named are left alone.
    let logins = json!([
        {"bk_host_id": 7, "password": "first"},
        {"instance_id": name("127.0.0.2"), "password": "second", "account": "ops", "port": other.to_string()},
        {"bk_cloud_id": 0, "inner_ip": "127.0.0.4", "password": "fourth"},
    ]);
    place.retry(id, json!({"hosts": logins})).data();
    assert_eq!(attempts(), [2, 2, 1, 2]);
    let kept: Vec<_> = place.logins(id).iter().map(password).collect();
    let text = |word: &str| Some(word.to_owned());
    assert_eq!(kept, [text("first"), text("second"), text("hunter2"), None], "none of days is none of days");
    let spec = |index: usize| {
        let task = place.record(async |store| store.tasks(JobId(id)).await.unwrap().swap_remove(index));
        (task.spec.host.account, task.spec.host.port)
    };
    assert_eq!((spec(0), spec(1)), (("root".into(), port), ("ops".into(), other)));

    // Beside a list both are meant; what is not said stays as it was.
    let port = nonsense();
    let body = json!({"instance_id_list": [name("127.0.0.3")], "hosts": [{"instance_id": name("127.0.0.2"), "port": port}]});
    place.retry(id, body).data();
    assert_eq!(attempts(), [2, 3, 2, 2]);
    assert_eq!((spec(1), password(&place.logins(id)[1])), (("ops".into(), port), text("second")));
}

#[test]
fn a_part_of_a_login_is_put_to_the_kept_rest() {
    let place = Place::new();
    let port = nonsense();
    let key = json!({"auth_type": "KEY", "key": "PEM", "password": "both"});
    let hosts: Vec<Value> = [json!({}), json!({"sudo_password": "of sudo"}), key]
        .into_iter()
        .enumerate()
        .map(|(index, more)| with(with(host(&format!("127.0.0.{}", index + 1)), json!({"port": port})), more))
        .collect();
    let id = place.server.submit(&job("INSTALL_AGENT", &hosts));
    place.server.becomes(id, "FAILED");
    let entry = |last: u8, more: Value| with(json!({"bk_cloud_id": 0, "inner_ip": format!("127.0.0.{last}")}), more);
    let parts = |login: &Option<Credential>| {
        let login = login.as_ref().unwrap();
        let text = |secret: &landfall::domain::credential::Secret| secret.expose_secret().to_owned();
        let auth = match &login.auth {
            Auth::Password(password) => text(password),
            Auth::Key { pem, passphrase } => format!("{} {}", text(pem), passphrase.as_ref().map_or("-".into(), text)),
            Auth::Agent(_) | Auth::Vault | Auth::Both { .. } => panic!("another kind"),
        };
        (auth, text(login.sudo_password.as_ref().unwrap()))
    };
    let pair = |auth: &str, sudo: &str| (auth.to_owned(), sudo.to_owned());
    let logins =
        [entry(1, json!({"password": "new"})), entry(2, json!({"password": "new"})), entry(3, json!({"passphrase": "other"}))];
    place.retry(id, json!({"hosts": logins})).data();
    let kept: Vec<_> = place.logins(id).iter().map(parts).collect();
    assert_eq!(kept, [pair("new", "new"), pair("new", "of sudo"), pair("PEM other", "both")]);

    let logins = [
        entry(1, json!({"key": "PEM2"})),
        entry(2, json!({"sudo_password": "changed"})),
        entry(3, json!({"auth_type": "PASSWORD", "password": "plain"})),
    ];
    place.retry(id, json!({"hosts": logins})).data();
    let kept: Vec<_> = place.logins(id).iter().map(parts).collect();
    assert_eq!(kept, [pair("PEM2 -", "new"), pair("new", "changed"), pair("plain", "both")]);
}

#[test]
fn what_is_wrong_with_a_login_is_told_with_its_place_and_nothing_is_tried() {
    let place = Place::new();
    let port = nonsense();
    let at = |last: u8, more: Value| with(with(host(&format!("127.0.0.{last}")), json!({"port": port})), more);
    let id = place.server.submit(&job("INSTALL_AGENT", &[at(1, json!({})), at(2, json!({"retention": 0}))]));
    place.server.becomes(id, "FAILED");
    let entry = |last: u8, more: Value| with(json!({"bk_cloud_id": 0, "inner_ip": format!("127.0.0.{last}")}), more);
    for (hosts, path, words) in [
        (json!([entry(1, json!({}))]), "hosts[0]", "brings no login"),
        (json!([{"password": "x"}]), "hosts[0]", "needs instance_id"),
        (json!([7]), "hosts[0]", "must be an object"),
        (json!([entry(1, json!({"password": "x", "port": 0}))]), "hosts[0].port", "between 1 and 65535"),
        (json!([entry(1, json!({"password": {"env": "HOME"}}))]), "hosts[0].password", "for job files only"),
        (json!([entry(1, json!({"auth_type": "KEY"}))]), "hosts[0].key", "is required: none is kept"),
        (json!([entry(1, json!({"auth_type": "TJJ_PASSWORD"}))]), "hosts[0].auth_type", "needs [vault]"),
        (json!([entry(2, json!({"sudo_password": "x"}))]), "hosts[0].password", "is required: none is kept"),
        (json!([entry(1, json!({"password": "x"})), entry(1, json!({"password": "y"}))]), "hosts[1]", "same host as hosts[0]"),
        (json!([entry(1, json!({"password": "REVGQVVMVA==x"}))]), "hosts[0].password", "does not open"),
        (json!({"127.0.0.1": "x"}), "hosts", "must be an array"),
    ] {
        let reply = place.retry(id, json!({"hosts": hosts}));
        assert_eq!(reply.refusal(), (200, 3_800_001), "{hosts}");
        let error = reply.envelope()["errors"][0].clone();
        assert!(error["path"] == path && error["message"].as_str().unwrap().contains(words), "{hosts}: {error}");
    }
    let stranger = place.retry(id, json!({"hosts": [entry(9, json!({"password": "x"}))]}));
    assert_eq!((stranger.refusal(), &stranger.envelope()["errors"][0]["path"]), ((200, 3_800_007), &json!("hosts[0]")));
    let attempts = |index: usize| place.server.details(id)["list"][index]["attempts"].clone();
    assert_eq!((attempts(0), attempts(1)), (json!(1), json!(1)));
}

#[test]
fn a_login_for_a_host_that_did_not_fail_is_refused() {
    let place = Place::new();
    let id = place.server.submit(&job("REMOVE_AGENT", &[host("127.0.0.1")]));
    place.server.becomes(id, "SUCCESS");
    let body = json!({"hosts": [{"bk_cloud_id": 0, "inner_ip": "127.0.0.1", "password": "x"}]});
    assert_eq!(place.server.post(&format!("/api/job/{id}/retry/"), &body).refusal(), (200, 3_800_007));
}

#[test]
fn a_retry_from_the_first_step_is_told_in_the_events() {
    let place = Place::new();
    let id = place.server.submit(&job("INSTALL_AGENT", &[with(host("127.0.0.1"), json!({"port": nonsense()}))]));
    place.server.becomes(id, "FAILED");
    place.retry(id, json!({"from_start": "1", "bk_username": "admin"})).data();
    place.retry(id, json!({"from_start": false})).data();
    let told = place.server.events(id, None, usize::MAX);
    let asked: Vec<_> = told.iter().filter(|event| event.name == "retry_asked").map(|event| &event.data).collect();
    assert_eq!((asked[0]["from_start"].clone(), asked[0]["reason"].clone()), (json!(true), json!("asked by admin")));
    assert_eq!(asked[1].get("from_start"), None);
}

#[test]
fn a_terminal_takes_logins_from_a_list_of_hosts_or_from_json() {
    let place = Place::new();
    let port = nonsense();
    let at = |last: u8| with(host(&format!("127.0.0.{last}")), json!({"port": port, "retention": 3}));
    let desk = &place.desk;
    desk.job(&job("INSTALL_AGENT", &[at(1), at(2), at(3)]));
    let id = desk.landfall("run job.json --output json").exits(1).last()["job_id"].as_i64().unwrap();
    let kept = || place.logins(id).iter().map(|login| password(login).unwrap()).collect::<Vec<_>>();
    let attempts = |report: &Value| {
        report["hosts"].as_array().unwrap().iter().map(|host| host["attempts"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    // A table that names more hosts than the job has; only its hosts are tried again.
    desk.file("secret", "from a file\n");
    desk.file("new.csv", "inner_ip,password_file,bk_biz_id,# remark\n127.0.0.2,secret,2,x\n127.0.0.9,secret,2,\n");
    let said = desk.landfall(&format!("job retry {id} --credentials new.csv --output json")).exits(1);
    assert_eq!(attempts(&said.last()), [1, 2, 1]);
    assert!(said.err.contains("1 login passed over"), "{}", said.err);
    assert_eq!(kept(), ["hunter2", "from a file", "hunter2"]);
    // The hosts of a job file, for one of them.
    desk.file(
        "new.json",
        &json!({"hosts": [with(at(1), json!({"password": "a"})), with(at(3), json!({"password": "c"}))]}).to_string(),
    );
    let said = desk.landfall(&format!("job retry {id} 127.0.0.3 --credentials new.json --from-start --output json")).exits(1);
    assert_eq!(attempts(&said.last()), [1, 2, 2]);
    assert_eq!(kept(), ["hunter2", "from a file", "c"]);
    // All that failed, and a new login for one.
    desk.file("one.json", &with(at(1), json!({"password": "a"})).to_string());
    let said = desk.landfall(&format!("job retry {id} --failed --credentials one.json --output json")).exits(1);
    assert_eq!((attempts(&said.last()), kept()), (vec![2, 3, 3], vec!["a".into(), "from a file".into(), "c".into()]));
    // What is wrong is told in the person's terms, and by the published envelope.
    desk.file("bad.csv", "inner_ip,port\n127.0.0.1,0\n");
    let said = desk.landfall(&format!("job retry {id} --credentials bad.csv --output json")).exits(2);
    let said = said.complains(&["the logins are not valid: 1 fault", "bad.csv row 2, column port: 0 must be between"]);
    assert_eq!((&said.last()["code"], &said.last()["errors"][0]["path"]), (&json!(3_800_001), &json!("row 2, column port")));
    desk.landfall(&format!("job retry {id} --credentials nowhere.csv")).exits(2).complains(&["cannot read nowhere.csv"]);
}

#[test]
fn a_resumed_job_takes_logins_for_unfinished_hosts_that_have_none_any_more() {
    let place = Place::new();
    let (_door, port) = crate::place::deaf();
    let desk = &place.desk;
    desk.job(&job("INSTALL_AGENT", &[with(host("127.0.0.1"), json!({"port": port}))]));
    let mut running = desk.command("run job.json").spawn().unwrap();
    let id = loop {
        let jobs = place.server.post("/api/job/job_list/", &json!({"status": ["RUNNING"]})).data();
        if let Some(id) = jobs["list"][0]["id"].as_i64() {
            break id;
        }
    };
    running.kill().unwrap();
    running.wait().unwrap();
    assert_eq!(place.purge_in(8), 1, "an unfinished host keeps its login for a week");
    // Elsewhere than it was, so that it comes to an end.
    let login = json!([{"bk_cloud_id": 0, "inner_ip": "127.0.0.1", "password": "anew", "port": nonsense()}]);
    desk.file("new.json", &login.to_string());
    let said = desk.landfall(&format!("job resume {id} --credentials new.json --output json")).exits(1);
    assert!(said.err.contains("1 host got a new login"), "{}", said.err);
    assert_eq!(said.last()["hosts"][0]["failure"]["code"], "not_ssh");
    assert_eq!(password(&place.logins(id)[0]).as_deref(), Some("anew"));
}
