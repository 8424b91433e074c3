//! `install/` and `operate/`: what comes in, and what is answered.

use serde_json::{Value, json};

use crate::place::{EXAMPLE_SITE, Place, deaf, host, job, nonsense, with};

/// The request and the response of the published document.
const REQUEST: &str = include_str!("published/request.json");
const RESPONSE: &str = include_str!("published/response.json");

#[test]
fn the_published_example_is_answered_as_published() {
    let place = Place::with(EXAMPLE_SITE);
    let published: Value = serde_json::from_str(RESPONSE).unwrap();
    for path in ["/api/job/install/", "/api/job/install"] {
        let reply = place.server.ask("POST", path, &[("content-type", "application/json")], REQUEST.into());
        assert_eq!((reply.status, reply.envelope()), (200, published.clone()));
    }
    assert_eq!(place.server.post("/api/job/job_list/", &json!({})).data()["total"], 0, "nothing was recorded");
}

#[test]
fn the_language_is_the_callers_else_the_sites() {
    let place = Place::with(&format!("language = \"en\"\n{EXAMPLE_SITE}"));
    let message = |headers: &[(&str, &str)]| {
        let reply = place.server.ask("POST", "/api/job/install/", headers, REQUEST.into()).envelope();
        (reply["message"].as_str().unwrap().to_owned(), reply["data"]["ip_filter"][0]["msg"].as_str().unwrap().to_owned())
    };
    assert_eq!(message(&[]), ("no proxy is available（3801013）".into(), "the cloud has no proxy".into()));
    assert_eq!(message(&[("accept-language", "zh-CN,en;q=0.5")]).0, "不存在可用代理（3801013）");
}

#[test]
fn an_accepted_job_is_answered_before_any_host_is_reached_and_runs_to_its_end() {
    let place = Place::new();
    let (_door, port) = deaf();
    let body = with(job("INSTALL_AGENT", &[with(host("127.0.0.9"), json!({"port": port}))]), json!({"bk_username": "admin"}));
    let data = place.server.post("/api/job/install/", &body).data();
    let id = data["job_id"].as_i64().unwrap();
    // Its host never answers, and nobody waited until it was given up.
    let status = place.server.post(&format!("/api/job/{id}/details/"), &json!({})).data()["status"].clone();
    assert!(status == "PENDING" || status == "RUNNING", "{status}");
    assert_eq!(data["ip_filter"], json!([]));
    let url = data["job_url"].as_str().unwrap();
    assert_eq!(url, format!("http://{}/api/job/{id}/details/", place.server.address()));
    let details = place.server.becomes(id, "RUNNING");
    assert_eq!((&details["created_by"], &details["list"][0]["status"]), (&json!("admin"), &json!("RUNNING")));
    // What the URL says can be opened.
    let path = url.strip_prefix(&format!("http://{}", place.server.address())).unwrap();
    assert_eq!(place.server.get(path).data()["job_id"], id);

    let failing = job("INSTALL_AGENT", &[with(host("127.0.0.10"), json!({"port": nonsense()}))]);
    let failed = place.server.submit(&failing);
    let details = place.server.becomes(failed, "FAILED");
    assert_eq!(details["list"][0]["failure"]["step"], "connect");
}

#[test]
fn actions_and_tokens_are_passed_over() {
    let place = Place::new();
    let port = nonsense();
    for (more, who) in [
        (json!({}), "api"),
        (json!({"actions": {"agent": "INSTALL_AGENT"}, "bk_token": "xxx", "bk_app_code": "esb_test"}), "esb_test"),
        (json!({"actions": [], "bk_username": "admin", "bk_app_code": "esb_test", "bk_app_secret": "xxx"}), "admin"),
    ] {
        let id = place.server.submit(&with(job("INSTALL_AGENT", &[with(host("127.0.0.9"), json!({"port": port}))]), more));
        assert_eq!(place.server.becomes(id, "FAILED")["created_by"], who);
    }
    // The published example has both, and is answered as without them.
    let place = Place::with(EXAMPLE_SITE);
    let mut example: Value = serde_json::from_str(REQUEST).unwrap();
    let with_both = with(example.clone(), json!({"actions": {"agent": "INSTALL_AGENT"}}));
    assert!(example.as_object_mut().unwrap().remove("bk_token").is_some());
    let answers = [with_both, example].map(|body| place.server.post("/api/job/install/", &body).envelope());
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], serde_json::from_str::<Value>(RESPONSE).unwrap());
}

#[test]
fn every_fault_of_every_host_is_told_with_its_path() {
    let place = Place::with(EXAMPLE_SITE);
    let body = job(
        "INSTALL_AGENT",
        &[
            with(host("127.0.0.401"), json!({"port": 70_000})),
            with(host("127.0.0.2"), json!({"password": {"env": "HOME"}})),
            with(host("127.0.0.3"), json!({"password": {"file": "/etc/passwd"}, "bk_biz_id": 9})),
            with(host("127.0.0.4"), json!({"bk_cloud_id": 7})),
        ],
    );
    let envelope =
        place.server.ask("POST", "/api/job/install/", &[("accept-language", "en")], body.to_string().into()).envelope();
    assert_eq!(envelope["code"], 3_800_001);
    let errors: Vec<(&str, &str)> = envelope["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (error["path"].as_str().unwrap(), error["message"].as_str().unwrap()))
        .collect();
    let only_files = "must be text: references are for job files only";
    for expected in [
        ("hosts[0].port", "70000 must be between 1 and 65535"),
        ("hosts[1].password", only_files),
        ("hosts[2].password", only_files),
    ] {
        assert!(errors.contains(&expected), "{expected:?} is not in {errors:?}");
    }
    for path in ["hosts[0].inner_ip", "hosts[2].bk_biz_id", "hosts[3].bk_cloud_id"] {
        assert!(errors.iter().any(|(at, _)| *at == path), "{path} is not in {errors:?}");
    }
}

/// Every kind of the document and REPLACE_PROXY, with its first and last step.
const KINDS: [(&str, &str, &str); 14] = [
    ("INSTALL_AGENT", "connect", "cleanup"),
    ("RESTART_AGENT", "connect", "verify"),
    ("REINSTALL_AGENT", "connect", "cleanup"),
    ("UNINSTALL_AGENT", "connect", "cleanup"),
    ("REMOVE_AGENT", "forget", "forget"),
    ("UPGRADE_AGENT", "connect", "cleanup"),
    ("RELOAD_AGENT", "connect", "verify"),
    ("INSTALL_PROXY", "connect", "cleanup"),
    ("RESTART_PROXY", "connect", "verify"),
    ("REINSTALL_PROXY", "connect", "cleanup"),
    ("UNINSTALL_PROXY", "connect", "cleanup"),
    ("UPGRADE_PROXY", "connect", "cleanup"),
    ("RELOAD_PROXY", "connect", "verify"),
    ("REPLACE_PROXY", "connect", "cleanup"),
];

/// The site of the example with a proxy in cloud 2.
fn site_with_proxy() -> String {
    format!("{EXAMPLE_SITE}[[proxy]]\ncloud = 2\nhost_id = 100\ninner_ip = \"127.0.0.5\"\n")
}

#[test]
fn every_kind_is_planned_over_http_and_by_the_terminal_and_nothing_is_recorded() {
    let place = Place::with(&site_with_proxy());
    for (kind, first, last) in KINDS {
        let proxy = kind.ends_with("PROXY");
        let more = if proxy { json!({"bk_cloud_id": 2, "outer_ip": "127.0.1.1"}) } else { json!({}) };
        let mut body = job(kind, &[with(host("127.0.0.9"), more)]);
        if kind == "REPLACE_PROXY" {
            body["replace_host_id"] = json!(100);
        }
        let over_http = place.server.post("/api/job/install/", &with(body.clone(), json!({"dry_run": true}))).data();
        place.desk.job(&body);
        let by_terminal = place.desk.landfall("plan job.json --site site.toml --output json").exits(0).last();
        assert_eq!(over_http, by_terminal, "{kind}");
        let planned = &over_http["list"][0];
        let steps: Vec<&str> = planned["steps"].as_array().unwrap().iter().map(|step| step["step"].as_str().unwrap()).collect();
        assert_eq!((&over_http["job_type"], steps.first(), steps.last()), (&json!(kind), Some(&first), Some(&last)), "{kind}");
        assert_eq!((&planned["status"], &planned["exception"]), (&json!("PENDING"), &Value::Null), "{kind}");
        let page = place.desk.landfall("plan job.json --site site.toml").exits(0).out;
        assert!(page.contains(first) && !page.contains("unsupported"), "{kind}: {page}");
    }
    assert_eq!(place.server.post("/api/job/job_list/", &json!({})).data()["total"], 0);
}

#[test]
fn a_proxy_that_is_replaced_has_to_be_known() {
    let place = Place::with(&site_with_proxy());
    place.installed(&[with(host("127.0.0.9"), json!({"bk_host_id": 17}))]);
    let replace = |kind: &str, id: Value, more: Value| {
        let new = with(host("127.0.0.6"), json!({"bk_cloud_id": 2, "outer_ip": "127.0.1.6"}));
        let body = with(job(kind, &[with(new, more)]), json!({"replace_host_id": id, "dry_run": true}));
        place.server.ask("POST", "/api/job/install/", &[("accept-language", "en")], body.to_string().into())
    };
    for kind in ["REPLACE_PROXY", "INSTALL_PROXY"] {
        for (id, message) in [(99, "there is no host 99 in the inventory"), (17, "host 17 (127.0.0.9) is an agent, no proxy")] {
            let reply = replace(kind, json!(id), json!({}));
            assert_eq!(reply.refusal(), (200, 3_801_010), "{kind} {id}");
            assert_eq!(reply.envelope()["errors"], json!([{"path": "replace_host_id", "message": message}]));
        }
        // To install a proxy instead of another one is to replace that.
        assert_eq!(replace(kind, json!("100"), json!({})).data()["job_type"], "REPLACE_PROXY");
        // Told with everything else that is wrong; the code is the first one's.
        let reply = replace(kind, json!(99), json!({"port": 0}));
        let errors = reply.envelope()["errors"].clone();
        assert_eq!(reply.refusal(), (200, 3_800_001));
        assert_eq!((&errors[0]["path"], &errors[1]["path"]), (&json!("hosts[0].port"), &json!("replace_host_id")));
    }
    assert_eq!(replace("REPLACE_PROXY", json!(0), json!({})).refusal(), (200, 3_800_001));
    assert_eq!(replace("INSTALL_PROXY", json!(0), json!({})).data()["job_type"], "INSTALL_PROXY");
    assert_eq!(replace("RESTART_PROXY", json!(99), json!({})).data()["job_type"], "RESTART_PROXY");
}

#[test]
fn an_operation_finds_known_hosts_by_number_and_by_place() {
    let place = Place::new();
    let port = nonsense();
    let known = |ip: &str, number: i64| with(host(ip), json!({"port": port, "bk_host_id": number, "retention": 3}));
    place.installed(&[known("127.0.0.9", 17), known("127.0.0.10", 18)]);
    let operate = |body: Value| place.server.post("/api/job/operate/", &body);

    let data = operate(json!({"job_type": "UNINSTALL_AGENT", "bk_host_id": [17, 18]})).data();
    let details = place.server.becomes(data["job_id"].as_i64().unwrap(), "FAILED");
    assert_eq!(details["total"], 2);
    // Its login was the kept one: it got as far as the port that belongs to it.
    assert_eq!(details["list"][0]["failure"]["step"], "connect");
    assert_eq!(details["list"][0]["instance_id"], "host|instance|host|17");

    let at = json!([{"bk_cloud_id": 0, "inner_ip": "127.0.0.10"}]);
    let id = operate(json!({"job_type": "REMOVE_AGENT", "hosts": at, "bk_username": "admin"})).data()["job_id"].as_i64().unwrap();
    assert_eq!(place.server.becomes(id, "SUCCESS")["list"][0]["status"], "REMOVED");
    // Nobody knows it any more.
    let gone = operate(json!({"job_type": "RESTART_AGENT", "bk_host_id": [17, 18]}));
    assert_eq!(gone.refusal(), (200, 3_801_010));
    assert_eq!(gone.envelope()["errors"][0]["path"], "bk_host_id[1]");
}

#[test]
fn an_operation_reaches_over_all_pages_what_is_chosen_and_not_left_out() {
    let place = Place::with(
        "[[cloud]]\nid = 2\n[[proxy]]\ncloud = 2\nhost_id = 5\ninner_ip = \"127.0.0.5\"\nouter_ip = \"127.0.1.5\"\nbusiness = 2\n",
    );
    let known = |n: i64, business: i64| with(host(&format!("127.0.0.{n}")), json!({"bk_host_id": n, "bk_biz_id": business}));
    let hosts = [known(11, 2), known(12, 2), known(13, 3), known(14, 2)];
    place.installed(&hosts);
    let reached = |more: Value| {
        let body = with(with(json!({"job_type": "RESTART_AGENT", "dry_run": true}), json!({"exclude_hosts": []})), more);
        let data = place.server.post("/api/job/operate/", &body).data();
        let ips: Vec<String> =
            data["list"].as_array().unwrap().iter().map(|host| host["ip"].as_str().unwrap()[8..].to_owned()).collect();
        ips.join(" ")
    };
    for (more, ips) in [
        (json!({}), "11 12 13 14"),
        (json!({"exclude_hosts": [12, "14", 99]}), "11 13"),
        (json!({"bk_biz_id": [2], "exclude_hosts": [11]}), "12 14"),
        (json!({"bk_biz_id": 3}), "13"),
        (json!({"version": ["1.0.0"], "conditions": [{"key": "ip", "value": ["127.0.0.12", "127.0.0.13"]}]}), "12 13"),
        (json!({"conditions": [{"key": "bk_biz_id", "value": 2}, {"key": "bk_host_id", "value": [11, 12, 13]}]}), "11 12"),
    ] {
        assert_eq!(reached(more.clone()), ips, "{more}");
    }
    // Proxies are reached by kinds for proxies only.
    for body in [
        json!({"exclude_hosts": []}),
        json!({"bk_host_id": [5]}),
        json!({"hosts": [{"bk_cloud_id": 2, "inner_ip": "127.0.0.5"}]}),
    ] {
        let more = json!({"job_type": "RESTART_PROXY"});
        let reply = place.server.post("/api/job/operate/", &with(body.clone(), more));
        let entries = reply.envelope()["data"]["ip_filter"].clone();
        assert_eq!(entries.as_array().map(Vec::len), Some(1), "{body} {}", reply.text);
        // The record has no login of it, and the request brings none.
        assert_eq!((&entries[0]["ip"], &entries[0]["exception"]), (&json!("127.0.0.5"), &json!("not_installed")), "{body}");
    }
    let gone = place.server.post("/api/job/operate/", &json!({"job_type": "REMOVE_AGENT", "exclude_hosts": [13]})).data();
    let details = place.server.becomes(gone["job_id"].as_i64().unwrap(), "SUCCESS");
    assert_eq!(details["total"], 3);
    assert_eq!(place.server.get("/api/host/?node_type=AGENT").data()["total"], 1);
    let none = place.server.post("/api/job/operate/", &json!({"job_type": "REMOVE_AGENT", "exclude_hosts": [13]}));
    assert_eq!((none.refusal(), &none.envelope()["errors"][0]["path"]), ((200, 3_801_010), &json!("exclude_hosts")));
}

#[test]
fn an_operation_that_cannot_be_meant_is_refused_with_every_reason() {
    let place = Place::new();
    for (body, paths) in [
        (json!({"job_type": "INSTALL_AGENT", "bk_host_id": [1]}), &["job_type", "bk_host_id[0]"][..]),
        (json!({"job_type": "RESTART_AGENT"}), &["hosts"]),
        (json!({"job_type": "RESTART_AGENT", "bk_host_id": [1], "hosts": []}), &["hosts"]),
        (
            json!({"job_type": "RESTART_AGENT", "exclude_hosts": [1], "hosts": [{"inner_ip": "10.0.0.1"}]}),
            &["exclude_hosts", "hosts[0]"],
        ),
        (
            json!({"job_type": "RESTART_AGENT", "exclude_hosts": [], "version": "1", "bk_host_id": [1]}),
            &["exclude_hosts", "version", "bk_host_id[0]"],
        ),
        // Whoever lost the hosts on the way does not reach them all.
        (json!({"job_type": "UNINSTALL_AGENT", "bk_biz_id": [2], "conditions": []}), &["conditions", "bk_biz_id", "hosts"]),
        (
            json!({"job_type": "RESTART_AGENT", "exclude_hosts": ["x"], "bk_biz_id": "two", "conditions": [
                {"key": "colour", "value": 1}, {"key": "ip", "value": ["here", "127.0.0.1"]}, 7]}),
            &["bk_biz_id[0]", "conditions[0].key", "conditions[1].value[0]", "conditions[2].key", "exclude_hosts[0]"],
        ),
        (json!({"job_type": "RESTART_AGENT", "exclude_hosts": [], "conditions": "all"}), &["conditions"]),
        (json!({"job_type": "RESTART_AGENT", "exclude_hosts": []}), &["exclude_hosts"]),
    ] {
        let reply = place.server.post("/api/job/operate/", &body).envelope();
        let errors = reply["errors"].as_array().unwrap_or_else(|| panic!("{reply}"));
        let told: Vec<&str> = errors.iter().map(|error| error["path"].as_str().unwrap()).collect();
        assert_eq!(told, paths, "{reply}");
    }
}
