//! Who may ask: apps say who they are, and see and do what the site file allows them.

use serde_json::{Value, json};

use crate::apps::{Company, SECRET, app, header, signed};
use crate::desk::Desk;
use crate::place::{Place, bare, host, job, start, with};

const ALL: &str = "businesses = \"*\"\nkinds = \"*\"";

/// A host of business 3 that nobody logs in to.
fn of_three(ip: &str) -> Value {
    with(bare(ip), json!({"bk_biz_id": 3}))
}

fn instance(ip: &str) -> String {
    format!("host|instance|host|{ip}-0-0")
}

#[test]
fn an_app_says_who_it_is_in_the_header_the_body_or_the_query() {
    let company = Company::with(&[("esb_test", ALL)], "");
    let server = &company.server;
    let list =
        |headers: &[(&str, &str)], body: Value| server.ask("POST", "/api/job/job_list/", headers, body.to_string().into_bytes());
    let id = company.submit("esb_test", &job("REMOVE_AGENT", &[bare("127.0.0.1")]));
    company.becomes("esb_test", id, "SUCCESS");
    list(&[], signed("esb_test", json!({"pagesize": 3}))).data();
    list(&[("X-Bkapi-Authorization", &header("esb_test", SECRET))], json!({})).data();
    server.get(&format!("/api/job/{id}/details/?bk_app_code=esb_test&bk_app_secret={SECRET}")).data();
    server
        .get(&format!("/api/job/{id}/log/?bk_app_code=esb_test&bk_app_secret={SECRET}&instance_id={}", instance("127.0.0.1")))
        .data();
    // What the header says goes before.
    let right = header("esb_test", SECRET);
    list(&[("X-Bkapi-Authorization", &right)], json!({"bk_app_code": "nobody", "bk_app_secret": "x"})).data();

    // An unknown code and a wrong secret are one and the same.
    let wrong = [
        list(&[], with(signed("esb_test", json!({})), json!({"bk_app_secret": "wrong"}))),
        list(&[], signed("nobody", json!({}))),
        list(&[("X-Bkapi-Authorization", &header("esb_test", "wrong"))], signed("esb_test", json!({}))),
        server.get(&format!("/api/job/{id}/details/?bk_app_code=nobody&bk_app_secret=x")),
    ];
    for reply in &wrong {
        assert_eq!((reply.refusal(), &reply.text), ((401, 3_800_401), &wrong[0].text));
        assert!(reply.headers.contains_key("www-authenticate"));
    }
    let missing = [
        list(&[], json!({})),
        list(&[], json!({"bk_app_code": "esb_test"})),
        list(&[], json!({"bk_app_code": "esb_test", "bk_app_secret": 7})),
        list(&[("X-Bkapi-Authorization", "not JSON")], json!({})),
        // A query is no place for the secret of a POST.
        server.post(&format!("/api/job/job_list/?bk_app_code=esb_test&bk_app_secret={SECRET}"), &json!({})),
        server.ask("POST", "/api/job/install/", &[], "{\"broken".into()),
    ];
    for reply in &missing {
        assert_eq!((reply.refusal(), &reply.text), ((401, 3_800_401), &missing[0].text));
    }
    assert_ne!(missing[0].text, wrong[0].text);
}

#[test]
fn nothing_of_the_api_is_open_to_nobody() {
    let company = Company::with(&[("esb_test", ALL)], "");
    let source = include_str!("../../src/api/mod.rs");
    let routes = source.split(".route(\"").skip(1).filter_map(|rest| rest.split_once('"'));
    let (mut open, mut closed) = (Vec::new(), 0);
    for (path, rest) in routes {
        let place = path.replace("{id}", "1");
        for (method, word) in [("GET", "get("), ("POST", "post(")] {
            let handlers = rest.split("\n").next().unwrap();
            if !handlers.contains(word) {
                continue;
            }
            match company.server.ask(method, &place, &[], Vec::new()).status {
                401 => closed += 1,
                200 => open.push(path),
                // Those have tokens of their own.
                400 | 403 if path.starts_with("/backend/") => closed += 1,
                // So many attempts of nobody in particular are too many in the end.
                429 => closed += 1,
                other => panic!("{method} {path}: {other}"),
            }
        }
    }
    open.sort_unstable();
    open.dedup();
    assert_eq!(open, ["/healthz", "/metrics", "/openapi.json", "/readyz"]);
    assert!(closed >= 10, "{closed}");
}

#[test]
fn an_app_sees_and_does_what_it_is_allowed_and_nothing_else() {
    let apps = [
        ("full", ALL),
        ("two", "businesses = [2]\nkinds = [\"REMOVE_AGENT\"]"),
        ("looks", "businesses = [2, 3]"),
        ("away", "businesses = \"*\"\nkinds = \"*\"\nsources = [\"192.0.2.0/24\"]"),
        ("here", "businesses = \"*\"\nkinds = \"*\"\nsources = [\"192.0.2.0/24\", \"127.0.0.0/8\"]"),
    ];
    let company = Company::with(&apps, "language = \"en\"");
    let mine = company.submit("two", &job("REMOVE_AGENT", &[bare("127.0.0.1")]));
    let theirs = company.submit("full", &job("REMOVE_AGENT", &[of_three("127.0.0.2")]));
    let both = company.submit("here", &job("REMOVE_AGENT", &[bare("127.0.0.3"), of_three("127.0.0.4")]));
    for id in [mine, theirs, both] {
        company.becomes("full", id, "SUCCESS");
    }

    let install = "/api/job/install/";
    for (code, body, why) in [
        ("two", job("REMOVE_AGENT", &[of_three("127.0.0.5")]), "app two is not allowed business 3"),
        ("two", job("REMOVE_AGENT", &[bare("127.0.0.5"), of_three("127.0.0.6")]), "app two is not allowed business 3"),
        ("two", job("INSTALL_AGENT", &[host("127.0.0.5")]), "app two is not allowed INSTALL_AGENT"),
        (
            "two",
            with(job("INSTALL_AGENT", &[host("127.0.0.5")]), json!({"dry_run": true})),
            "app two is not allowed INSTALL_AGENT",
        ),
        ("looks", job("REMOVE_AGENT", &[bare("127.0.0.5")]), "app looks is not allowed REMOVE_AGENT"),
        ("away", job("REMOVE_AGENT", &[bare("127.0.0.5")]), "app away is not allowed to call from 127.0.0.1"),
    ] {
        let reply = company.post(code, install, &body);
        assert_eq!(reply.refusal(), (403, 3_800_403), "{code}: {}", reply.text);
        assert!(reply.text.contains(why), "{why}: {}", reply.text);
    }

    let refused = |code: &str, method: &str, path: &str, body: Value| {
        let reply = company.ask(code, method, path, &body);
        reply.status == 403 && reply.refusal() == (403, 3_800_403)
    };
    for (id, is_mine) in [(mine, true), (theirs, false), (both, false)] {
        let at = |word: &str| format!("/api/job/{id}/{word}");
        let name = instance("127.0.0.1");
        assert_eq!(refused("two", "POST", &at("details/"), json!({})), !is_mine);
        assert_eq!(refused("two", "GET", &at("details/"), Value::Null), !is_mine);
        assert_eq!(refused("two", "GET", &at(&format!("log/?instance_id={name}")), Value::Null), !is_mine);
        assert_eq!(refused("two", "GET", &at("events/"), Value::Null), !is_mine);
        for (word, body) in [("retry/", json!({})), ("retry_node/", json!({"instance_id": name})), ("revoke/", json!({}))] {
            assert_eq!(refused("two", "POST", &at(word), body.clone()), !is_mine, "{word}");
            // Who may look only changes nothing, whosever it is.
            assert!(refused("looks", "POST", &at(word), body), "{word}");
        }
        assert!(!refused("looks", "POST", &at("details/"), json!({})));
    }
    // There is no such job, for everybody.
    assert_eq!(company.post("two", "/api/job/99/details/", &json!({})).refusal(), (200, 3_801_012));

    let listed = |code: &str, query: Value| {
        let data = company.post(code, "/api/job/job_list/", &query).data();
        let ids: Vec<i64> = data["list"].as_array().unwrap().iter().map(|job| job["id"].as_i64().unwrap()).collect();
        (data["total"].as_i64().unwrap(), ids)
    };
    assert_eq!(listed("two", json!({})), (1, vec![mine]));
    assert_eq!(listed("two", json!({"bk_biz_id": [3]})), (0, vec![]));
    assert_eq!(listed("two", json!({"pagesize": 1})), (1, vec![mine]));
    assert_eq!(listed("looks", json!({})), (3, vec![both, theirs, mine]));
    assert_eq!(listed("full", json!({"pagesize": 1})), (3, vec![both]));
}

#[test]
fn a_host_of_another_business_is_not_got_at_by_calling_it_ones_own() {
    let apps = [("three", "businesses = [3]\nkinds = \"*\""), ("two", "businesses = [2]\nkinds = \"*\"")];
    let company = Company::with(&apps, "");
    let place = Place { desk: company.desk, server: company.server };
    // Two hosts of business 2 with kept logins.
    let known = |ip: &str, number: i64| with(host(ip), json!({"bk_host_id": number, "port": 9}));
    place.installed(&[known("127.0.0.8", 17), known("127.0.0.9", 18)]);
    let company = Company { desk: place.desk, server: place.server };
    let refused = |path: &str, body: &Value| company.post("three", path, body).refusal() == (403, 3_800_403);
    for kind in ["UNINSTALL_AGENT", "RESTART_AGENT", "REMOVE_AGENT", "REINSTALL_AGENT"] {
        let login = if kind == "REINSTALL_AGENT" { host("127.0.0.8") } else { bare("127.0.0.8") };
        assert!(refused("/api/job/install/", &job(kind, &[with(login, json!({"bk_biz_id": 3}))])), "{kind}");
        for entry in [json!({"bk_host_id": 17, "bk_biz_id": 3}), json!({"bk_host_id": 17})] {
            assert!(refused("/api/job/operate/", &job(kind, &[entry])), "{kind}");
        }
        assert!(refused("/api/job/operate/", &json!({"job_type": kind, "bk_host_id": [17]})), "{kind}");
    }
    // A choice over all pages means what the app can see: here nothing, there both.
    let all = json!({"job_type": "REMOVE_AGENT", "exclude_hosts": []});
    assert_eq!(company.post("three", "/api/job/operate/", &all).refusal(), (200, 3_801_010));
    let hosts = |code: &str, query: &str| company.get(code, &format!("/api/host/{query}")).data()["total"].as_i64().unwrap();
    assert_eq!(
        [hosts("three", ""), hosts("three", "?bk_biz_id=2"), hosts("two", ""), hosts("two", "?bk_biz_id=2,3")],
        [0, 0, 2, 2]
    );
    let id = company.post("two", "/api/job/operate/", &all).data()["job_id"].as_i64().unwrap();
    company.becomes("two", id, "SUCCESS");
    assert_eq!(hosts("two", ""), 0);
}

#[test]
fn too_many_requests_are_told_when_to_come_again_and_no_other_app_suffers() {
    let company = Company::with(&[("busy", ALL), ("calm", ALL)], "[api]\nrequests_per_second = 1\nburst = 3\n");
    let ask = |code: &str| company.post(code, "/api/job/job_list/", &json!({}));
    // Verifying the first secret takes longer than a request, and a bucket fills meanwhile.
    ask("busy").data();
    let replies: Vec<_> = (0..20).map(|_| ask("busy")).collect();
    let late: Vec<_> = replies.iter().filter(|reply| reply.status != 200).collect();
    assert!(late.len() >= 10, "{} of 20", late.len());
    for reply in late {
        assert_eq!(reply.refusal(), (429, 3_800_429));
        assert_eq!(reply.headers["retry-after"], "1");
    }
    ask("calm").data();
    // What anybody may ask is counted by where they ask from.
    assert!((0..20).any(|_| company.server.get("/healthz").status == 429));
}

#[test]
fn without_apps_this_machine_asks_as_it_likes_unless_the_site_says_otherwise() {
    let place = Place::new();
    for _ in 0..300 {
        assert_eq!(place.server.get("/healthz").status, 200);
    }
    // What is said of an app is passed over.
    let nobody = json!({"bk_app_code": "nobody", "bk_app_secret": "x"});
    place.server.post("/api/job/job_list/", &nobody).data();
    place.server.ask("POST", "/api/job/job_list/", &[("x-bkapi-authorization", "{")], Vec::new()).data();
    let limited = Place::with("[api]\nrequests_per_second = 1\nburst = 2\n");
    let late = (0..20).map(|_| limited.server.post("/api/job/job_list/", &json!({}))).find(|reply| reply.status != 200);
    assert_eq!(late.unwrap().refusal(), (429, 3_800_429));
}

#[test]
fn whoever_guesses_secrets_is_slowed_down_and_those_who_are_known_are_not() {
    let company = Company::with(&[("esb_test", ALL)], "");
    company.post("esb_test", "/api/job/job_list/", &json!({})).data();
    let guess = |n: usize| {
        let body = json!({"bk_app_code": if n.is_multiple_of(2) { "esb_test" } else { "nobody" }, "bk_app_secret": format!("guess {n}")});
        company.server.post("/api/job/job_list/", &body)
    };
    let replies: Vec<_> = (0..40).map(guess).collect();
    let count = |status: u16| replies.iter().filter(|reply| reply.status == status).count();
    assert_eq!(count(401) + count(429), 40);
    assert!(count(401) >= 19 && count(429) >= 1, "{} {}", count(401), count(429));
    let late = replies.iter().find(|reply| reply.status == 429).unwrap();
    let wait: u64 = late.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=3).contains(&wait), "{wait}");
    assert_eq!(company.server.post("/api/job/job_list/", &json!({})).status, 429);
    // A secret that was verified lately needs no trying.
    company.post("esb_test", "/api/job/job_list/", &json!({})).data();
}

#[test]
fn with_apps_the_door_has_any_name_and_pages_of_other_sites_stay_out() {
    let company = Company::with(&[("esb_test", ALL)], "");
    let secret = header("esb_test", SECRET);
    let ask = |more: &[(&str, &str)]| {
        let headers: Vec<_> = [("x-bkapi-authorization", secret.as_str())].into_iter().chain(more.iter().copied()).collect();
        company.server.ask("POST", "/api/job/job_list/", &headers, b"{}".to_vec())
    };
    ask(&[("host", "landfall.example:8420")]).data();
    ask(&[("host", "landfall.example:8420"), ("origin", "https://landfall.example:8420")]).data();
    for origin in ["https://evil.example", "null", "http://landfall.example"] {
        assert_eq!(ask(&[("host", "landfall.example:8420"), ("origin", origin)]).refusal(), (403, 3_800_403), "{origin}");
    }
}

#[test]
fn behind_a_proxy_the_caller_is_whom_the_proxy_names_and_clear_passwords_need_its_tls() {
    let desk = Desk::new();
    let keys = "businesses = \"*\"\nkinds = \"*\"\nsources = [\"192.0.2.0/24\"]";
    let site = format!("[api]\nbehind_tls_proxy = true\n{}", app(&desk, "esb_test", keys));
    let server = start(desk.file("site.toml", &site));
    let secret = header("esb_test", SECRET);
    let ask = |path: &str, more: &[(&str, &str)], body: &Value| {
        let headers: Vec<_> = [("x-bkapi-authorization", secret.as_str())].into_iter().chain(more.iter().copied()).collect();
        server.ask("POST", path, &headers, body.to_string().into_bytes())
    };
    let list = |more: &[(&str, &str)]| ask("/api/job/job_list/", more, &json!({}));
    list(&[("x-forwarded-for", "203.0.113.9, 192.0.2.7")]).data();
    for from in ["192.0.2.7, 203.0.113.9", "203.0.113.9", "unknown"] {
        assert_eq!(list(&[("x-forwarded-for", from)]).refusal(), (403, 3_800_403), "{from}");
    }
    assert_eq!(list(&[]).refusal(), (403, 3_800_403), "the proxy itself is not in the sources");

    let from = ("x-forwarded-for", "192.0.2.7");
    let install = job("RESTART_AGENT", &[host("127.0.0.1"), with(bare("127.0.0.2"), json!({"auth_type": "KEY", "key": "PEM"}))]);
    let clear = ask("/api/job/install/", &[from, ("x-forwarded-proto", "http")], &install);
    assert_eq!(clear.refusal(), (200, 3_800_001));
    let faults = clear.envelope()["errors"].clone();
    assert_eq!([&faults[0]["path"], &faults[1]["path"]], ["hosts[0].password", "hosts[1].key"]);
    assert!(!clear.text.contains("hunter2"));
    for more in [vec![from], vec![from, ("x-forwarded-proto", "https")]] {
        let dry = with(install.clone(), json!({"dry_run": true}));
        ask("/api/job/install/", &more, &dry).data();
    }
    let removal = job("REMOVE_AGENT", &[bare("127.0.0.3")]);
    let accepted = ask("/api/job/install/", &[from], &removal).data();
    assert!(accepted["job_url"].as_str().unwrap().starts_with("https://"), "{accepted}");
    let shown = desk.landfall("job show 1 --output json").exits(0).last();
    assert_eq!(shown["audit"][0]["source"], "192.0.2.7", "{shown}");
}
