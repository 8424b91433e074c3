//! The request's rules as stories: what is accepted, and what each mistake is answered with.

use serde_json::{Value, json};

use super::*;
use crate::domain::host::{AuthType, Os};

fn check(body: &Value) -> Result<Request, Vec<Fault>> {
    parse(body, &Site::default(), &SecretSources { references: true, ..SecretSources::default() })
}

fn host(extra: Value) -> Value {
    let mut host = json!({"bk_biz_id": 2, "bk_cloud_id": 0, "inner_ip": "127.0.0.1", "password": "p"});
    for (key, value) in extra.as_object().unwrap() {
        host[key] = value.clone();
    }
    host
}

fn job(hosts: &[Value]) -> Value {
    json!({"job_type": "INSTALL_AGENT", "hosts": hosts})
}

fn paths(faults: &[Fault]) -> Vec<&str> {
    faults.iter().map(|fault| fault.path.as_str()).collect()
}

#[test]
fn the_published_example_is_read_as_it_is() {
    let host = json!({
        "bk_cloud_id": 0, "ap_id": 1, "bk_biz_id": 2, "os_type": "LINUX", "inner_ip": "127.0.0.1", "outer_ip": "127.0.0.2",
        "login_ip": "127.0.0.3", "data_ip": "127.0.0.4", "account": "root", "port": 22, "auth_type": "PASSWORD",
        "password": "password", "key": "key", "retention": 1
    });
    let body = json!({
        "bk_app_code": "esb_test", "bk_app_secret": "xxx", "bk_username": "admin", "bk_token": "xxx",
        "job_type": "INSTALL_AGENT", "actions": {"agent": "INSTALL_AGENT"}, "hosts": [host]
    });
    let request = check(&body).unwrap();
    assert_eq!(request.username.as_deref(), Some("admin"));
    let spec = &request.hosts[0].spec;
    assert_eq!((spec.os_type, spec.auth_type, spec.port), (Some(Os::Linux), AuthType::Password, 22));
    assert_eq!(spec.login_address().unwrap().to_string(), "127.0.0.3");
}

#[test]
fn quirks_of_real_clients_are_accepted() {
    let quirks = json!({
        "port": "2222", "bt_speed_limit": "3", "bk_addressing": 1, "enable_compression": 1, "peer_exchange_switch_for_agent": 0,
        "auth_type": "", "account": "", "os_type": "", "unknown": {"x": 1}, "outer_ip": "1.2.3.4, ::1", "is_manual": "false"
    });
    let request = check(&job(&[host(quirks)])).unwrap();
    let spec = &request.hosts[0].spec;
    assert_eq!((spec.port, spec.bt_speed_limit, spec.account.as_str()), (2222, 3, "root"));
    assert!(spec.enable_compression && !spec.peer_exchange_switch_for_agent && !spec.is_manual);
    assert_eq!(spec.os_type, None);
}

#[test]
fn every_fault_of_every_host_is_reported_at_once_with_its_path() {
    let hosts = [
        host(json!({"port": "many", "inner_ip": "300.1.1.1"})),
        host(json!({"port": 70_000, "password": null, "bk_biz_id": "two", "os_type": "BEOS"})),
        json!({"bk_cloud_id": 0, "auth_type": "KEY"}),
        json!(7),
    ];
    let faults = check(&job(&hosts)).unwrap_err();
    let found = paths(&faults);
    for path in [
        "hosts[0].port",
        "hosts[0].inner_ip",
        "hosts[1].port",
        "hosts[1].password",
        "hosts[1].bk_biz_id",
        "hosts[1].os_type",
        "hosts[2].bk_biz_id",
        "hosts[2].inner_ip",
        "hosts[2].key",
        "hosts[3]",
    ] {
        assert!(found.contains(&path), "{path} in {found:?}");
    }
}

#[test]
fn what_the_site_does_not_know_is_a_fault_with_its_own_code() {
    let site: Site = toml::from_str("[[business]]\nid = 2\n[[access_point]]\nid = 1\n[[access_point]]\nid = 3\n").unwrap();
    let hosts = [host(json!({"bk_biz_id": 9, "ap_id": 1})), host(json!({"bk_cloud_id": 7, "ap_id": 5})), host(json!({}))];
    let faults = parse(&job(&hosts), &site, &SecretSources::default()).unwrap_err();
    let codes: Vec<_> = faults.iter().map(|fault| (fault.path.as_str(), fault.code)).collect();
    assert_eq!(
        codes,
        [
            ("hosts[0].bk_biz_id", code::BUSINESS),
            ("hosts[1].bk_cloud_id", code::CLOUD),
            ("hosts[1].ap_id", code::ACCESS_POINT),
            ("hosts[2].ap_id", code::ACCESS_POINT),
        ]
    );
}

#[test]
fn job_type_and_hosts_are_checked_before_anything_else_can_be() {
    for (body, path) in [
        (json!([]), ""),
        (json!({"hosts": [host(json!({}))]}), "job_type"),
        (json!({"job_type": "INSTALL_MOON", "hosts": [host(json!({}))]}), "job_type"),
        (json!({"job_type": "INSTALL_AGENT"}), "hosts"),
        (json!({"job_type": "INSTALL_AGENT", "hosts": []}), "hosts"),
        (json!({"job_type": "REPLACE_PROXY", "hosts": [host(json!({"bk_cloud_id": 0}))]}), "replace_host_id"),
    ] {
        assert!(paths(&check(&body).unwrap_err()).contains(&path), "{body}");
    }
}

#[test]
fn secrets_come_as_text_from_a_file_or_from_the_environment_and_never_show() {
    use secrecy::ExposeSecret;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), "from file\n").unwrap();
    let sources = SecretSources { references: true, base: dir.path().into(), ..SecretSources::default() };
    let body = job(&[host(json!({"password": {"file": "secret"}}))]);
    let request = parse(&body, &Site::default(), &sources).unwrap();
    let Some(Credential { auth: crate::domain::credential::Auth::Password(password), .. }) = &request.hosts[0].credential else {
        panic!("no password")
    };
    assert_eq!(password.expose_secret(), "from file");
    assert!(!format!("{request:?}").contains("from file"));

    let missing = job(&[host(json!({"password": {"file": "nowhere"}})), host(json!({"password": {"env": "LANDFALL_NO_SUCH"}}))]);
    let faults = parse(&missing, &Site::default(), &sources).unwrap_err();
    assert_eq!(paths(&faults), ["hosts[0].password", "hosts[1].password"]);

    let over_http = parse(&body, &Site::default(), &SecretSources::default()).unwrap_err();
    assert_eq!(paths(&over_http), ["hosts[0].password"]);
}

#[test]
fn a_secret_in_clear_is_a_fault_on_a_line_that_others_can_read() {
    let sources = SecretSources { exposed: true, ..SecretSources::default() };
    let body = job(&[
        host(json!({"sudo_password": "s"})),
        host(json!({"auth_type": "KEY", "key": "PEM", "password": null, "passphrase": "p"})),
    ]);
    let faults = parse(&body, &Site::default(), &sources).unwrap_err();
    let places = ["hosts[0].password", "hosts[0].sudo_password", "hosts[1].key", "hosts[1].passphrase"];
    assert_eq!(paths(&faults).into_iter().collect::<BTreeSet<_>>(), BTreeSet::from(places));
    assert!(faults.iter().all(|fault| fault.message.contains("TLS")), "{faults:?}");
    // What brings none is taken as ever.
    let bare = json!({"job_type": "REMOVE_AGENT", "hosts": [host(json!({"password": null}))]});
    assert!(parse(&bare, &Site::default(), &sources).is_ok());
}

#[test]
fn an_asked_password_stands_in_where_a_host_gives_none() {
    let sources = SecretSources { asked: Some("typed".into()), ..SecretSources::default() };
    let body = job(&[host(json!({"password": null}))]);
    assert!(parse(&body, &Site::default(), &sources).unwrap().hosts[0].credential.is_some());
}

#[test]
fn with_a_key_the_password_is_for_sudo_and_for_the_passphrase_only() {
    let body = job(&[host(json!({"auth_type": "KEY", "key": "PEM", "password": "p"}))]);
    let request = check(&body).unwrap();
    let Some(Credential { auth: crate::domain::credential::Auth::Key { passphrase, .. }, sudo_password }) =
        &request.hosts[0].credential
    else {
        panic!("no key")
    };
    assert!(passphrase.is_some() && sudo_password.is_some());
}

#[test]
fn a_second_proof_is_a_field_of_its_own_and_no_other_secret_becomes_one() {
    use secrecy::ExposeSecret;
    let second = |extra: Value| {
        let request = check(&job(&[host(extra)])).unwrap();
        let auth = &request.hosts[0].credential.as_ref().unwrap().auth;
        auth.parts().1.map(|secret| secret.expose_secret().to_owned())
    };
    let key = json!({"auth_type": "KEY", "key": "PEM", "passphrase": "opens it", "sudo_password": "sudo"});
    assert_eq!(second(key.clone()), None);
    let mut both = key;
    both["second_password"] = "beside it".into();
    assert_eq!(second(both), Some("beside it".into()));
    assert_eq!(second(json!({"second_password": "246810"})), Some("246810".into()));
    assert_eq!(second(json!({"second_password": ""})), None);
}

#[test]
fn a_certificate_goes_where_its_key_goes() {
    use secrecy::ExposeSecret;
    let body = job(&[host(json!({"auth_type": "KEY", "key": "PEM", "certificate": "CERT"}))]);
    let request = check(&body).unwrap();
    let auth = &request.hosts[0].credential.as_ref().unwrap().auth;
    assert!(matches!(auth, crate::domain::credential::Auth::Key { pem, .. } if pem.expose_secret() == "PEM\nCERT\n"));
}

#[test]
fn an_agent_is_that_of_whoever_runs_the_job_and_nobody_signs_with_it_over_http() {
    use crate::domain::credential::Auth;
    let body = job(&[host(json!({"auth_type": "AGENT", "key": " laptop\n", "password": null}))]);
    let request = check(&body).unwrap();
    assert!(matches!(&request.hosts[0].credential.as_ref().unwrap().auth, Auth::Agent(name) if name == "laptop"));
    let faults = parse(&body, &Site::default(), &SecretSources::default()).unwrap_err();
    assert_eq!(paths(&faults), ["hosts[0].auth_type"]);
}

#[test]
fn a_vault_is_asked_later_and_has_to_be_declared() {
    use crate::domain::credential::Auth;
    let body = job(&[host(json!({"auth_type": "TJJ_PASSWORD", "password": null}))]);
    assert_eq!(paths(&check(&body).unwrap_err()), ["hosts[0].auth_type"]);
    let site: Site = toml::from_str("[vault]\ncommand = [\"/usr/bin/vault-read\"]\n").unwrap();
    let request = parse(&body, &site, &SecretSources::default()).unwrap();
    let credential = request.hosts[0].credential.as_ref().unwrap();
    assert!(matches!(credential.auth, Auth::Vault) && credential.sudo_password.is_none());
}

#[test]
fn a_new_host_key_is_for_a_reinstall_and_never_against_the_word_of_the_site() {
    let body = |kind: &str| json!({"job_type": kind, "hosts": [host(json!({"accept_new_host_key": true}))]});
    assert!(check(&body("REINSTALL_AGENT")).unwrap().hosts[0].spec.accept_new_host_key);
    assert_eq!(paths(&check(&body("INSTALL_AGENT")).unwrap_err()), ["hosts[0].accept_new_host_key"]);
    let strict: Site = toml::from_str("[ssh]\nhost_keys = \"strict\"\n").unwrap();
    let faults = parse(&body("REINSTALL_AGENT"), &strict, &SecretSources::default()).unwrap_err();
    assert_eq!(paths(&faults), ["hosts[0].accept_new_host_key"]);
}

#[test]
fn paths_must_be_absolute_and_stay_where_they_are() {
    let faults =
        check(&job(&[host(json!({"data_path": "var/lib", "paths": {"setup_path": "/opt/../etc", "log_path": "/l\nog"}}))]))
            .unwrap_err();
    assert_eq!(paths(&faults), ["hosts[0].data_path", "hosts[0].paths.setup_path", "hosts[0].paths.log_path"]);
}

#[test]
fn the_published_lists_of_fields_are_those_that_are_read() {
    let limits = json!({"upload_mb_per_s": 1});
    check(&json!({"job_type": "INSTALL_AGENT", "limits": limits, "hosts": [host(json!({}))]})).unwrap();
    let sorted = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(fields::asked::of("hosts[0]"), sorted(&HOST_FIELDS));
    let mut top = fields::asked::of("");
    top.insert("hosts".into());
    assert_eq!(top, sorted(&FIELDS));
    assert_eq!(fields::asked::of("limits"), sorted(&["upload_mb_per_s"]));
    assert!(SECRETS.iter().all(|name| HOST_FIELDS.contains(name)));
}

#[test]
fn a_list_does_not_pass_for_an_object() {
    let body = json!({"job_type": "INSTALL_AGENT", "package": ["tiny"], "paths": [], "vars": [], "limits": [],
        "hosts": [host(json!({"paths": ["/opt"], "vars": []}))]});
    let faults = check(&body).unwrap_err();
    assert_eq!(paths(&faults), ["package", "paths", "vars", "limits", "hosts[0].paths", "hosts[0].vars"]);
}
