//! `job_list/` and `details/`: filters, order, pages.

use serde_json::{Value, json};

use crate::place::{Place, bare, deaf, host, job, nonsense, with};

/// Numbers of the jobs that a list has, in order.
#[track_caller]
fn listed(place: &Place, query: Value) -> (i64, Vec<i64>) {
    let data = place.server.post("/api/job/job_list/", &query).data();
    let ids = data["list"].as_array().unwrap().iter().map(|job| job["id"].as_i64().unwrap());
    (data["total"].as_i64().unwrap(), ids.collect())
}

#[test]
fn jobs_are_filtered_ordered_and_paged() {
    let place = Place::new();
    let port = nonsense();
    let failing = |ip: &str| with(host(ip), json!({"port": port}));
    let removal = |ips: &[&str], who: &str| {
        let hosts: Vec<Value> = ips.iter().map(|ip| with(bare(ip), json!({"bk_biz_id": 3}))).collect();
        with(job("REMOVE_AGENT", &hosts), json!({"bk_username": who}))
    };
    let one = place.server.submit(&job("INSTALL_AGENT", &[failing("127.0.0.1"), failing("127.0.0.2")]));
    let two = place.server.submit(&removal(&["127.0.0.3"], "ann"));
    let three = place.server.submit(&removal(&["127.0.0.1", "127.0.0.4", "127.0.0.5"], "bob"));
    for (id, status) in [(one, "FAILED"), (two, "SUCCESS")] {
        place.server.becomes(id, status);
    }
    // The first of its hosts may have been busy still.
    place.server.becomes(three, "SUCCESS");
    let list = |query: Value| listed(&place, query).1;
    assert_eq!(listed(&place, json!({})), (3, vec![three, two, one]));
    for (query, found) in [
        (json!({"job_id": [one, two]}), vec![two, one]),
        (json!({"job_id": one}), vec![one]),
        (json!({"job_id": []}), vec![]),
        (json!({"status": ["FAILED"]}), vec![one]),
        (json!({"status": ["SUCCESS", "FAILED"]}), vec![three, two, one]),
        (json!({"status": ["RUNNING"]}), vec![]),
        (json!({"created_by": ["ann", "bob"]}), vec![three, two]),
        (json!({"bk_biz_id": [2]}), vec![one]),
        (json!({"inner_ip_list": ["127.0.0.4", "127.0.0.2"]}), vec![three, one]),
        (json!({"job_type": ["REMOVE_AGENT"]}), vec![three, two]),
        (json!({"op_type": ["INSTALL"], "step_type": ["AGENT"]}), vec![one]),
        (json!({"step_type": ["PROXY"]}), vec![]),
        (json!({"start_time": "2001-01-01 00:00:00"}), vec![three, two, one]),
        (json!({"end_time": "2001-01-01T00:00:00Z"}), vec![]),
        (json!({"sort": {"head": "total_count", "sort_type": "ASC"}}), vec![two, one, three]),
        (json!({"sort": {"head": "total_count", "sort_type": "DEC"}}), vec![three, one, two]),
        (json!({"sort": {"head": "failed_count", "sort_type": "DEC"}}), vec![one, three, two]),
    ] {
        assert_eq!(list(query.clone()), found, "{query}");
    }
    assert_eq!(listed(&place, json!({"page": 2, "pagesize": 2})), (3, vec![one]));
    assert_eq!(listed(&place, json!({"pagesize": "1"})), (3, vec![three]));
    assert_eq!(listed(&place, json!({"pagesize": -1})), (3, vec![three, two, one]));
    let wrong = json!({"page": 0, "pagesize": 0, "status": ["DONE"], "inner_ip_list": ["x"], "sort": {"head": "id"}, "start_time": "soon"});
    let errors = place.server.post("/api/job/job_list/", &wrong).envelope()["errors"].clone();
    let paths: Vec<&str> = errors.as_array().unwrap().iter().map(|error| error["path"].as_str().unwrap()).collect();
    for path in ["page", "pagesize", "status[0]", "inner_ip_list[0]", "sort.head", "sort.sort_type", "start_time"] {
        assert!(paths.contains(&path), "{path} is not in {paths:?}");
    }
}

/// A site that leaves a host alone.
fn barring(ip: &str) -> String {
    format!("[[blacklist]]\nnetworks = [\"{ip}/32\"]\nreason = \"production\"\n")
}

#[test]
fn the_hosts_of_a_job_are_filtered_and_paged_and_those_left_out_come_once() {
    let place = Place::with(&barring("127.0.0.5"));
    let port = nonsense();
    let mut hosts: Vec<Value> = (1..=4).map(|n| with(bare(&format!("127.0.0.{n}")), json!({"bk_host_id": 100 + n}))).collect();
    hosts.push(bare("127.0.0.4"));
    hosts.push(bare("127.0.0.5"));
    hosts.push(bare("127.0.0.6"));
    let id = place.server.submit(&job("REMOVE_AGENT", &hosts));
    place.server.becomes(id, "SUCCESS");
    let page = |query: Value| {
        let data = place.server.post(&format!("/api/job/{id}/details"), &query).data();
        let ips: Vec<String> =
            data["list"].as_array().unwrap().iter().map(|host| host["ip"].as_str().unwrap()[8..].to_owned()).collect();
        (data["total"].as_i64().unwrap(), ips.join(" "))
    };
    assert_eq!(page(json!({})), (7, "1 2 3 4 4 5 6".into()));
    let pages: Vec<String> = (1..=4).map(|number| page(json!({"page": number, "pagesize": 2})).1).collect();
    assert_eq!(pages, ["1 2", "3 4", "4 5", "6"]);
    assert_eq!(page(json!({"start": 6, "page": 1, "pagesize": 2})), (7, "5 6".into()));
    let by = |key: &str, value: Value| json!({"conditions": [{"key": key, "value": value}]});
    for (query, found) in [
        (by("ip", json!(["127.0.0.2", "127.0.0.5"])), "2 5"),
        (by("ip", json!("127.0.0.2")), "2"),
        (by("ip", json!([])), ""),
        (by("status", json!(["REMOVED"])), "1 2 3 4 6"),
        (by("status", json!(["IGNORED", "FILTERED"])), "4 5"),
        (by("instance_id", json!(["host|instance|host|103", "host|instance|host|127.0.0.6-0-0", "x"])), "3 6"),
        (by("exclude_instance_ids", json!(["host|instance|host|103", "host|instance|host|127.0.0.6-0-0"])), "1 2 4 4 5"),
        (
            json!({"conditions": [{"key": "status", "value": ["IGNORED"]}, {"key": "ip", "value": ["127.0.0.4", "127.0.0.3"]}]}),
            "4",
        ),
    ] {
        assert_eq!(page(query.clone()).1, found, "{query}");
    }
    let details = place.server.details(id);
    let counts = json!({"total_count": 7, "success_count": 0, "failed_count": 0, "ignored_count": 7, "pending_count": 0, "running_count": 0});
    assert_eq!(details["statistics"], counts);
    assert_eq!(details["ip_filter_list"], json!(["127.0.0.4", "127.0.0.5"]));
    assert_eq!((&details["meta"]["op_type"], &details["meta"]["step_type"]), (&json!("REMOVE"), &json!("AGENT")));
    let left_out: Vec<bool> =
        details["list"].as_array().unwrap().iter().map(|host| host["filter_host"].as_bool().unwrap()).collect();
    assert_eq!(left_out, [false, false, false, false, true, true, false]);
    let wrong = place.server.post(&format!("/api/job/{id}/details/"), &by("colour", json!("red")));
    assert_eq!(wrong.envelope()["errors"][0]["path"], "conditions[0].key");

    // A job of the terminal is shown as any other.
    place.desk.job(&job("INSTALL_AGENT", &[with(host("127.0.0.77"), json!({"port": port}))]));
    place.desk.landfall("run job.json").exits(1);
    assert_eq!(place.server.details(id + 1)["list"][0]["status"], "FAILED");
}

/// Fails unless an object has these keys.
#[track_caller]
fn has(object: &Value, keys: &str) {
    for key in keys.split_whitespace() {
        assert!(object.get(key).is_some(), "no {key}: {object}");
    }
}

#[test]
fn every_documented_key_is_there_in_the_callers_language() {
    let place = Place::with(&format!("[[business]]\nid = 2\nname = \"蓝鲸\"\n{}", barring("127.0.0.2")));
    let (_door, port) = deaf();
    let at = |ip: &str| with(host(ip), json!({"port": port}));
    let id = place.server.submit(&job("INSTALL_AGENT", &[at("127.0.0.1"), at("127.0.0.2")]));
    place.server.becomes(id, "RUNNING");
    let ask =
        |path: &str, language: &str| place.server.ask("POST", path, &[("accept-language", language)], b"{}".to_vec()).data();
    let details = |language: &str| ask(&format!("/api/job/{id}/details/"), language);
    let zh = details("zh");
    has(
        &zh,
        "job_id created_by job_type job_type_display ip_filter_list total list statistics status start_time end_time cost_time meta",
    );
    has(&zh["meta"], "type step_type op_type op_type_display step_type_display");
    has(&zh["statistics"], "total_count failed_count ignored_count pending_count running_count success_count");
    let item = "instance_id ip inner_ip inner_ipv6 bk_host_id bk_cloud_id bk_cloud_name bk_biz_id bk_biz_name status start_time end_time \
        cost_time op_type op_type_display node_id status_display step is_manual ap_id filter_host job_id";
    for host in zh["list"].as_array().unwrap() {
        has(host, item);
    }
    let [running, left_out] = zh["list"].as_array().unwrap().as_slice() else { panic!("{zh}") };
    assert_eq!((&running["step"], &running["node_id"], &running["job_id"]), (&json!("connect"), &json!(0), &json!(id)));
    assert_eq!(
        (&left_out["step"], &left_out["node_id"], &left_out["exception"]),
        (&Value::Null, &json!(-1), &json!("blacklisted"))
    );
    let told = |details: &Value| {
        let list = &details["list"];
        [
            &details["job_type_display"],
            &details["meta"]["op_type_display"],
            &list[0]["status_display"],
            &list[1]["status_display"],
        ]
        .map(|text| text.as_str().unwrap().to_owned())
    };
    assert_eq!(told(&zh), ["安装Agent", "安装", "正在执行 connect", "主机在站点黑名单中：production"]);
    assert_eq!(told(&details("en")), ["install agent", "install", "connect", "the site's blacklist names this host: production"]);

    let line = ask("/api/job/job_list/", "zh")["list"][0].clone();
    has(&line, "id created_by job_type start_time end_time status statistics bk_biz_scope step_type op_type cost_time");
    assert_eq!((&line["bk_biz_scope_display"], &line["job_type_display"]), (&json!(["蓝鲸"]), &json!("安装Agent")));

    // Steps that did not begin are there, and have said nothing.
    let log = place.server.get(&format!("/api/job/{id}/log/?instance_id=host%7Cinstance%7Chost%7C127.0.0.1-0-0")).data();
    let steps = log.as_array().unwrap();
    for step in steps {
        has(step, "step status log start_time finish_time");
    }
    assert_eq!((&steps[0]["step"], &steps[0]["status"]), (&json!("connect"), &json!("RUNNING")));
    assert!(steps.len() > 5, "{log}");
    for step in &steps[1..] {
        assert_eq!((&step["status"], &step["log"], &step["start_time"]), (&json!("PENDING"), &json!(""), &Value::Null), "{step}");
    }
}
