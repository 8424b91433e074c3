//! `host/`: the inventory, of finished jobs and of the site file.

use serde_json::{Value, json};

use crate::place::{Place, host, with};

const SITE: &str = "[[business]]\nid = 2\nname = \"蓝鲸\"\n[[business]]\nid = 3\n[[cloud]]\nid = 2\nname = \"far\"\n\
    [[proxy]]\ncloud = 2\nhost_id = 100\ninner_ip = \"127.0.0.5\"\npassword = \"geheim\"\n\
    [[proxy]]\ncloud = 2\ninner_ipv6 = \"fd00::5\"\nbusiness = 3\n";

/// Numbers of a page, and how many there are.
#[track_caller]
fn numbers(place: &Place, query: &str) -> (i64, Vec<Option<i64>>) {
    let data = place.server.get(&format!("/api/host/?{query}")).data();
    (data["total"].as_i64().unwrap(), data["list"].as_array().unwrap().iter().map(|host| host["bk_host_id"].as_i64()).collect())
}

#[test]
fn the_inventory_shows_what_is_known_of_a_host_and_no_secret() {
    let place = Place::with(SITE);
    let v6 = json!({"bk_host_id": 17, "inner_ipv6": "fd00::9", "retention": 3});
    place.installed(&[with(host("127.0.0.9"), v6), with(host("127.0.0.10"), json!({"retention": 0}))]);
    let reply = place.server.get("/api/host");
    let data = reply.data();
    assert_eq!(data["total"], 4);
    let [declared, _, known, given] = data["list"].as_array().unwrap().as_slice() else { panic!("{data}") };
    let mut known = known.clone();
    for key in ["registered_at", "credential_until"] {
        assert!(known[key].take().as_str().unwrap().ends_with('Z'), "{key}: {data}");
    }
    let expected = json!({
        "bk_host_id": 17, "bk_cloud_id": 0, "bk_cloud_name": "", "bk_biz_id": 2, "bk_biz_name": "蓝鲸",
        "inner_ip": "127.0.0.9", "inner_ipv6": "fd00::9", "os_type": "LINUX", "cpu_arch": "x86_64", "node_type": "AGENT",
        "ap_id": 1, "package": "tiny", "version": "1.0.0", "job_id": 1, "registered_at": null,
        "has_credential": true, "credential_until": null,
    });
    assert_eq!(known, expected);
    // Beyond the numbers that the site gives itself.
    assert_eq!((&given["bk_host_id"], &given["has_credential"]), (&json!(101), &json!(false)));
    let declared_as = json!({
        "bk_host_id": 100, "bk_cloud_id": 2, "bk_cloud_name": "far", "bk_biz_id": null, "bk_biz_name": "",
        "inner_ip": "127.0.0.5", "inner_ipv6": null, "os_type": null, "cpu_arch": null, "node_type": "PROXY",
        "ap_id": null, "package": null, "version": null, "job_id": null, "registered_at": null,
        "has_credential": true, "credential_until": null,
    });
    assert_eq!(*declared, declared_as);
    assert!(!reply.text.contains("geheim") && !reply.text.contains("hunter2"), "{}", reply.text);
}

#[test]
fn hosts_are_filtered_and_paged_proxies_first() {
    let place = Place::with(SITE);
    let known = |n: i64| with(host(&format!("127.0.0.{n}")), json!({"bk_host_id": n, "bk_biz_id": if n > 22 { 3 } else { 2 }}));
    place.installed(&(21..=24).map(known).collect::<Vec<Value>>());
    let (first, second) = (Some(100), None);
    let some = |ids: &[i64]| ids.iter().copied().map(Some).collect::<Vec<_>>();
    assert_eq!(numbers(&place, ""), (6, vec![first, second, Some(21), Some(22), Some(23), Some(24)]));
    assert_eq!(numbers(&place, "pagesize=3"), (6, vec![first, second, Some(21)]));
    assert_eq!(numbers(&place, "page=2&pagesize=3"), (6, some(&[22, 23, 24])));
    assert_eq!(numbers(&place, "start=2&pagesize=2"), (6, vec![second, Some(21)]));
    assert_eq!(numbers(&place, "pagesize=-1&page=1").0, 6);
    for (query, found) in [
        ("node_type=AGENT", some(&[21, 22, 23, 24])),
        ("node_type=PROXY", vec![first, second]),
        ("bk_biz_id=3", vec![second, Some(23), Some(24)]),
        ("bk_biz_id=3&node_type=AGENT,PROXY&bk_cloud_id=0", some(&[23, 24])),
        ("bk_cloud_id=2", vec![first, second]),
        ("bk_host_id=22,100", vec![first, Some(22)]),
        ("bk_host_id=22&bk_host_id=23", some(&[22, 23])),
        ("ip=127.0.0.5,fd00::5,127.0.0.24", vec![first, second, Some(24)]),
        ("version=1.0.0&package=tiny", some(&[21, 22, 23, 24])),
        ("version=2", vec![]),
        ("os_type=AIX", vec![]),
        ("ip=", vec![first, second, Some(21), Some(22), Some(23), Some(24)]),
    ] {
        assert_eq!(numbers(&place, query), (found.len() as i64, found), "{query}");
    }
    let wrong = place.server.get("/api/host/?bk_host_id=1,x&node_type=PLUGIN&ip=here&page=0&os_type=BEOS").envelope();
    let paths: Vec<&str> = wrong["errors"].as_array().unwrap().iter().map(|error| error["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["node_type[0]", "bk_host_id[1]", "ip[0]", "os_type[0]", "page"]);
}
