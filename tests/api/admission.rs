//! F1 to F10 of the contract and ours, each by what the record knows of the host, in both languages.

use std::collections::BTreeSet;

use landfall::domain::host::AuthType;
use serde_json::{Value, json};

use crate::place::{Place, auth, bare, host, job, left_out, with};

/// What a submission of one host is answered, with the message in both languages.
#[track_caller]
fn refused(place: &Place, kind: &str, host: Value) -> (String, [String; 2]) {
    let body = job(kind, &[host]).to_string();
    let say = |language: &str| {
        let reply = place.server.ask("POST", "/api/job/install/", &[("accept-language", language)], body.clone().into());
        let envelope = reply.envelope();
        let entry = envelope["data"]["ip_filter"].as_array().unwrap_or_else(|| panic!("{envelope}"))[0].clone();
        let keys: BTreeSet<&String> = entry.as_object().unwrap().keys().collect();
        let published = ["bk_biz_id", "bk_biz_name", "ip", "inner_ip", "inner_ipv6", "bk_host_id", "bk_cloud_name"];
        let published = published.into_iter().chain(["bk_cloud_id", "status", "job_id", "exception", "msg"]);
        assert_eq!(keys.into_iter().map(String::as_str).collect::<BTreeSet<_>>(), published.collect());
        (entry["exception"].as_str().unwrap().to_owned(), entry["msg"].as_str().unwrap().to_owned())
    };
    let ((word, zh), (_, en)) = (say("zh"), say("en"));
    (word, [zh, en])
}

#[track_caller]
fn assert_refused(place: &Place, (kind, host): (&str, Value), word: &str, texts: [&str; 2]) {
    let (told, messages) = refused(place, kind, host);
    assert_eq!(told, word);
    for (message, text) in messages.iter().zip(texts) {
        assert!(message.contains(text), "{word}: `{text}` is not in `{message}`");
    }
}

#[test]
fn an_install_is_held_against_what_is_at_the_address() {
    let place = Place::with("[[business]]\nid = 2\nname = \"蓝鲸\"\n[[business]]\nid = 3\n");
    let v6 = json!({"inner_ipv6": "fd00::9"});
    place.installed(&[with(host("127.0.0.9"), v6)]);
    let install = |more: Value| ("INSTALL_AGENT", with(host("127.0.0.9"), more));
    assert_refused(
        &place,
        install(json!({"bk_biz_id": 3})),
        "ip_in_use",
        ["IP 已被业务 蓝鲸 (2) 占用", "business 蓝鲸 (2) has this address"],
    );
    assert_refused(
        &place,
        install(json!({"inner_ipv6": "fd00::10"})),
        "ipv6_rebound",
        ["已绑定 IPv6 地址 fd00::9", "IPv6 address fd00::9"],
    );
    assert_refused(&place, install(json!({"bk_addressing": 1})), "agent_alive", ["请使用重装", "reinstall it instead"]);
    // The same business at the same address installs again.
    let again = with(job("INSTALL_AGENT", &[install(json!({"inner_ipv6": "fd00::9"})).1]), json!({"dry_run": true}));
    assert_eq!(place.server.post("/api/job/install/", &again).data()["list"][0]["status"], "PENDING");
}

#[test]
fn an_operation_is_held_against_what_is_known_of_the_host() {
    let place = Place::with("[[cloud]]\nid = 2\n[[proxy]]\ncloud = 2\nhost_id = 5\ninner_ip = \"127.0.0.5\"\n");
    place.installed(&[with(host("127.0.0.9"), json!({"bk_host_id": 17}))]);
    let nothing = ["主机尚未安装", "nothing is installed there"];
    assert_refused(&place, ("UNINSTALL_AGENT", bare("127.0.0.8")), "not_installed", nothing);
    let other = with(host("127.0.0.9"), json!({"bk_host_id": 18}));
    assert_refused(&place, ("RESTART_AGENT", other), "host_id_mismatch", ["已知为 17", "number 17"]);
    let as_proxy = with(host("127.0.0.9"), json!({"outer_ip": "127.0.1.9"}));
    // In the direct zone there are no proxies: the body itself is wrong there, so the mismatch shows for agents only.
    assert_eq!(place.server.post("/api/job/install/", &job("RESTART_PROXY", &[as_proxy])).refusal(), (200, 3_801_006));
    let proxy = |more: Value| with(with(host("127.0.0.5"), json!({"bk_cloud_id": 2, "outer_ip": "127.0.1.5"})), more);
    assert_refused(&place, ("RESTART_AGENT", proxy(json!({}))), "node_type_mismatch", ["主机为 PROXY", "type PROXY"]);
    let other = proxy(json!({"bk_host_id": 6}));
    assert_refused(&place, ("RESTART_PROXY", other), "host_id_mismatch", ["已知为 5", "number 5"]);
    // A host that nobody knows, with a login: it may be one of another record.
    let stranger = with(job("UNINSTALL_AGENT", &[host("127.0.0.8")]), json!({"dry_run": true}));
    assert_eq!(place.server.post("/api/job/install/", &stranger).data()["list"][0]["status"], "PENDING");
}

#[test]
fn a_number_is_that_of_one_host() {
    let place = Place::with("[[cloud]]\nid = 2\n[[proxy]]\ncloud = 2\nhost_id = 5\ninner_ip = \"127.0.0.5\"\n");
    place.installed(&[with(host("127.0.0.9"), json!({"bk_host_id": 17}))]);
    let numbered = |ip: &str, id: i64| with(host(ip), json!({"bk_host_id": id}));
    for (kind, id, whose) in
        [("INSTALL_AGENT", 17, "127.0.0.9"), ("RESTART_AGENT", 17, "127.0.0.9"), ("INSTALL_AGENT", 5, "127.0.0.5")]
    {
        assert_refused(&place, (kind, numbered("127.0.0.8", id)), "host_id_mismatch", [whose, whose]);
    }
    // Its own it may say, or another one that is nobody's; 0 is none, and any number of hosts may say it.
    let hosts = [numbered("127.0.0.9", 17), numbered("127.0.0.10", 18), numbered("127.0.0.11", 18), numbered("127.0.0.12", 0)];
    let hosts = [&hosts[..], &[numbered("127.0.0.13", 0)]].concat();
    let data = place.server.post("/api/job/install/", &with(job("INSTALL_AGENT", &hosts), json!({"dry_run": true}))).data();
    let statuses: Vec<&Value> = data["list"].as_array().unwrap().iter().map(|host| &host["status"]).collect();
    assert_eq!(statuses, ["PENDING", "PENDING", "IGNORED", "PENDING", "PENDING"], "{data}");
    assert_eq!(data["list"][2]["exception"], "host_id_mismatch");
}

#[test]
fn a_channel_has_to_be_known_and_of_the_hosts_cloud() {
    let channel = "[[install_channel]]\nid = 5\ncloud = 2\njump = [{ ip = \"127.0.0.6\", password = \"x\" }]\n";
    let proxy = "[[cloud]]\nid = 2\n[[proxy]]\ncloud = 2\ninner_ip = \"127.0.0.5\"\n";
    let place = Place::with(&format!("{proxy}{channel}"));
    let through = |cloud: i64, channel: i64| {
        let host = with(host("127.0.0.9"), json!({"bk_cloud_id": cloud, "install_channel_id": channel}));
        with(job("INSTALL_AGENT", &[host]), json!({"dry_run": true}))
    };
    for (cloud, channel) in [(2, 6), (0, 5)] {
        let refused = place.server.post("/api/job/install/", &through(cloud, channel));
        assert_eq!(refused.refusal(), (200, 3_801_037), "{}", refused.text);
        assert_eq!(refused.envelope()["errors"][0]["path"], "hosts[0].install_channel_id");
    }
    for channel in [5, -1] {
        let planned = place.server.post("/api/job/install/", &through(2, channel)).data();
        assert_eq!(planned["list"][0]["exception"], Value::Null, "{planned}");
    }
}

#[test]
fn a_host_whose_login_is_left_out_needs_a_kept_one_of_the_kind_that_is_asked_for() {
    let place = Place::new();
    let key = json!({"auth_type": "KEY", "key": "PRIVATE", "password": ""});
    place.installed(&[host("127.0.0.1"), with(host("127.0.0.2"), key), with(host("127.0.0.3"), json!({"retention": 0}))]);
    let restart = |ip: &str, more: Value| ("RESTART_AGENT", with(bare(ip), more));
    assert_refused(&place, restart("127.0.0.1", auth(AuthType::Key)), "key_required", ["未提供密钥", "is no key"]);
    assert_refused(&place, restart("127.0.0.2", auth(AuthType::Password)), "password_required", ["未提供密码", "is no password"]);
    assert_refused(&place, restart("127.0.0.3", json!({})), "credential_expired", ["凭据已过期", "send it again"]);
    let fine = job("RESTART_AGENT", &[bare("127.0.0.1"), bare("127.0.0.2")]);
    let data = place.server.post("/api/job/install/", &with(fine, json!({"dry_run": true}))).data();
    let logins: Vec<&str> = data["list"].as_array().unwrap().iter().map(|host| host["login"].as_str().unwrap()).collect();
    assert_eq!(logins, ["root at 127.0.0.1:22 by password", "root at 127.0.0.2:22 by key"]);
}

#[test]
fn hosts_that_cannot_be_taken_are_left_out_and_the_others_are_taken() {
    let place = Place::with("[[blacklist]]\nnetworks = [\"127.0.9.0/24\"]\nreason = \"production\"\n[[cloud]]\nid = 2\n");
    let (_door, port) = crate::place::deaf();
    let at = |ip: &str| with(host(ip), json!({"port": port}));
    let first = place.server.submit(&job("INSTALL_AGENT", &[at("127.0.0.1")]));
    let hosts = [at("127.0.0.1"), at("127.0.0.2"), at("127.0.0.2"), at("127.0.9.3")];
    let reply = place.server.post("/api/job/install/", &job("INSTALL_AGENT", &hosts));
    let words = [("127.0.0.1", "busy"), ("127.0.0.2", "duplicate"), ("127.0.9.3", "blacklisted")];
    let expected = words.map(|(ip, word)| (ip.to_owned(), word.to_owned()));
    assert_eq!(left_out(&reply.data()), expected.into(), "{}", reply.text);
    let busy = &reply.data()["ip_filter"][0];
    assert!(busy["msg"].as_str().unwrap().contains(&format!("任务 {first} 占用（3801020）")), "{busy}");
    let details = place.server.details(reply.data()["job_id"].as_i64().unwrap());
    let statuses: Vec<&str> = details["list"].as_array().unwrap().iter().map(|host| host["status"].as_str().unwrap()).collect();
    assert_eq!(statuses[2..], ["IGNORED", "FILTERED"], "{details}");
    assert_eq!(statuses[0], "IGNORED");

    let all = place.server.post("/api/job/install/", &job("INSTALL_AGENT", &[at("127.0.0.1")]));
    assert_eq!((all.refusal(), &all.envelope()["data"]["job_id"]), ((200, 3_801_018), &json!("")));
    let no_proxy = place
        .server
        .post("/api/job/install/", &job("INSTALL_AGENT", &[at("127.0.0.7"), with(at("127.0.0.8"), json!({"bk_cloud_id": 2}))]));
    assert_eq!(no_proxy.refusal(), (200, 3_801_013));
    assert_eq!(left_out(&no_proxy.envelope()["data"]), [("127.0.0.8".to_owned(), "no_proxy".to_owned())].into());
}
