//! Values are data: whatever a request or a site file says reaches a rendered file, a command and the record as the same bytes,
//! or is refused with the path of its field before anything is touched. Nothing in it is ever executed.
//!
//! Commands run in real shells here; over SSH: `tests/real/values.rs`. To add a field of free text: a line in [`FREE_TEXT`].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use landfall::domain::host::{Address, Os, System};
use landfall::domain::installed::Installed;
use landfall::domain::package::{Manifest, PackageEntry};
use landfall::domain::site::{HostPaths, Site};
use landfall::plan::render::{self, RenderedFile, Templates, Values};
use landfall::plan::settle;
use landfall::plan::task::{self, Place};
use landfall::service::request::{self, HOST_FIELDS, Request, SecretSources};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// What shells, unit files, TOML, JSON and templates stumble over. `MARK` is a file that is made when one of them executes it.
const NASTY: [&str; 24] = [
    "two words",
    "it's",
    "say \"hi\"",
    "$(touch MARK)",
    "`touch MARK`",
    "; touch MARK;",
    "| touch MARK",
    "& touch MARK &",
    "'; touch MARK; '",
    "\"; touch MARK; \"",
    "$HOME ${IFS} $$",
    "中文 ü 🦀",
    "back\\slash\\",
    "100% %n %i %%",
    "{{ 7*7 }} {% raw %}",
    "* ? [a-z] ~root",
    "!! !$ #hash",
    "> MARK",
    "-n --version",
    "@@lf:end@@ @@lf:fail=x@@",
    " leading and trailing ",
    "tab\there",
    "new\nline\ntouch MARK\n",
    "carriage\rreturn \u{1b}[31mred\u{7f}",
];

/// The shells that a target's `sh` may be.
const SHELLS: [&[&str]; 4] = [&["dash"], &["bash"], &["busybox", "sh"], &["ksh"]];

fn long() -> String {
    "x'$(touch MARK) ".repeat(256)
}

fn nasty() -> impl Iterator<Item = String> {
    NASTY.into_iter().map(str::to_owned).chain([long(), "nul\0byte".into()])
}

fn parse(kind: &str, host: &Value, job: &Value, site: &Site) -> Result<Request, Vec<request::Fault>> {
    let mut entry = json!({
        "bk_biz_id": 2, "bk_cloud_id": 0, "inner_ip": "10.0.0.1", "outer_ip": "192.0.2.7", "password": "x",
    });
    let mut body = json!({"job_type": kind});
    for (onto, from) in [(&mut entry, host), (&mut body, job)] {
        onto.as_object_mut().unwrap().extend(from.as_object().unwrap().clone());
    }
    body["hosts"] = json!([entry]);
    request::parse(&body, site, &SecretSources { references: true, ..SecretSources::default() })
}

/// A package whose one file is made of `template`.
fn entry(start: &str, template: &str) -> (PackageEntry, Templates) {
    let manifest: Manifest = toml::from_str(&format!(
        "name = \"tiny\"\nversion = \"1.0\"\nrole = \"agent\"\nos = \"any\"\ncpu = \"any\"\n[process]\nstart = {start:?}\n\
         [[config]]\ntemplate = \"a.j2\"\nto = \"a\"\n[health]\ntcp = \"127.0.0.1:1\"\n"
    ))
    .unwrap();
    assert_eq!(manifest.faults(), [""; 0]);
    let templates = BTreeMap::from([("a.j2".to_owned(), template.as_bytes().to_vec())]);
    (PackageEntry { sha256: "0".repeat(64), size: 1, unpacked: 1, manifest }, templates)
}

/// What a request makes of a package on its first host: the files, and what `landfall.toml` will say.
fn rendered(request: &Request, site: &Site, (entry, templates): &(PackageEntry, Templates)) -> (Vec<RenderedFile>, Installed) {
    let host = request.hosts[0].spec.clone();
    let carrying: Vec<Address> = site.proxies().collect();
    let task = task::spec(&Place { site, kind: request.spec.kind, carrying: &carrying }, host, &[]);
    let paths = settle::paths(&request.spec, &task, Os::Linux);
    let vars = render::vars(&entry.manifest.vars, &request.spec, &task);
    let values = Values::of(&task, entry, &paths, &vars, &task.upstream);
    let installed = render::installed(entry, &paths, &values).unwrap();
    (render::stage(&entry.manifest, &installed, &values, templates, System { os: Os::Linux, codepage: None }).unwrap(), installed)
}

fn file<'a>(files: &'a [RenderedFile], name: &str) -> &'a str {
    let file = files.iter().find(|file| file.name == name).unwrap_or_else(|| panic!("no {name}"));
    std::str::from_utf8(&file.bytes).unwrap()
}

/// What one expression is in a file.
fn shown(request: &Request, site: &Site, expression: &str) -> String {
    file(&rendered(request, site, &entry("x", expression)).0, "config/a").to_owned()
}

/// The fields of a host in the published contract, but for its two secrets: another value than the default, what stands in a file
/// then, and what stands there by default.
const PUBLISHED: [(&str, &str, &str, &str); 22] = [
    ("bk_biz_id", "7", "7", "2"),
    ("bk_cloud_id", "2", "2", "0"),
    ("bk_host_id", "1001", "1001", ""),
    ("bk_addressing", "1", "dynamic", "static"),
    ("ap_id", "3", "3", "1"),
    ("install_channel_id", "5", "5", ""),
    ("inner_ip", "\"10.0.0.9\"", "10.0.0.9", "10.0.0.1"),
    ("outer_ip", "\"192.0.2.8 , 2001:db8::8\"", "192.0.2.8,2001:db8::8", "192.0.2.7"),
    ("login_ip", "\"192.0.2.9\"", "192.0.2.9", ""),
    ("data_ip", "\"fd00::9\"", "fd00::9", ""),
    ("inner_ipv6", "\"fd00::1\"", "fd00::1", ""),
    ("outer_ipv6", "\"2001:db8::1\"", "2001:db8::1", ""),
    ("os_type", "\"LINUX\"", "LINUX", ""),
    ("auth_type", "\"AGENT\"", "AGENT", "PASSWORD"),
    ("account", "\"ops\"", "ops", "root"),
    ("port", "\"2222\"", "2222", "22"),
    ("is_manual", "true", "true", "false"),
    ("retention", "7", "7", "1"),
    ("peer_exchange_switch_for_agent", "0", "false", "true"),
    ("bt_speed_limit", "\"12\"", "12", "0"),
    ("enable_compression", "true", "true", "false"),
    ("data_path", "\"/data/gse\"", "/data/gse", ""),
];

fn site() -> Site {
    let site: Site = toml::from_str(
        "[[cloud]]\nid = 2\nname = \"zone\"\naccess_point = 1\n\
         [[access_point]]\nid = 1\n[access_point.servers]\ncluster = [\"192.0.2.1:28668\", \"[2001:db8::1]:28668\"]\n\
         data = [\"192.0.2.1:28625\"]\nfile = [\"gse.example:28925\"]\n[[access_point]]\nid = 3\n\
         [[install_channel]]\nid = 5\ncloud = 2\njump = [{ ip = \"192.0.2.20\" }]\n\
         [[proxy]]\ncloud = 2\ninner_ip = \"10.2.0.1\"\n[[proxy]]\ncloud = 2\ninner_ipv6 = \"fd00::2\"\n",
    )
    .unwrap();
    assert_eq!(site.faults(), [""; 0]);
    site
}

#[test]
fn every_published_field_of_a_host_is_there_for_templates_with_its_default() {
    let known: Vec<&str> = PUBLISHED.iter().map(|(field, ..)| *field).collect();
    for field in ["accept_new_host_key", "password", "second_password", "key", "certificate", "passphrase", "sudo_password"] {
        assert!(!known.contains(&field) && HOST_FIELDS.contains(&field));
    }
    // What is no secret, no extension and no room of its own is published.
    assert_eq!(HOST_FIELDS.len(), PUBLISHED.len() + 7 + ["paths", "vars"].len());
    let site = site();
    let ap = json!({"ap_id": 1});
    for (field, value, in_file, by_default) in PUBLISHED {
        assert!(HOST_FIELDS.contains(&field), "{field}");
        let expression = format!("{{{{ host.{field} }}}}");
        let given: Value = serde_json::from_str(value).unwrap();
        for (kind, cloud, lasts) in [("INSTALL_AGENT", 0, "1"), ("INSTALL_PROXY", 2, "-1")] {
            let channel = field == "install_channel_id";
            let cloud = if channel { 2 } else { cloud };
            let mut host = json!({"bk_cloud_id": cloud, "ap_id": 1});
            let unsaid = parse(kind, &host, &json!({}), &site).unwrap();
            let default = match (field, cloud) {
                ("bk_cloud_id", _) => cloud.to_string(),
                ("retention", _) => lasts.to_owned(),
                _ => by_default.to_owned(),
            };
            assert_eq!(shown(&unsaid, &site, &expression), default, "{field} of {kind} by default");
            host[field] = given.clone();
            let said = parse(kind, &host, &json!({}), &site).unwrap_or_else(|faults| panic!("{field}: {faults:?}"));
            assert_eq!(shown(&said, &site, &expression), in_file, "{field} of {kind}");
        }
    }
    // No secret is among them.
    let all = shown(&parse("INSTALL_AGENT", &ap, &json!({}), &site).unwrap(), &site, "{{ host|tojson }}");
    let all: Map<String, Value> = serde_json::from_str(&all).unwrap();
    let mut names: Vec<&str> = all.keys().map(String::as_str).filter(|name| *name != "accept_new_host_key").collect();
    let mut published = known;
    names.sort_unstable();
    published.sort_unstable();
    assert_eq!(names, published);
}

#[test]
fn servers_come_apart_and_an_agent_behind_proxies_is_led_to_them_on_the_same_ports() {
    let site = site();
    let agent = |cloud: i64| parse("INSTALL_AGENT", &json!({"bk_cloud_id": cloud, "ap_id": 1}), &json!({}), &site).unwrap();
    for (expression, direct, behind) in [
        ("{{ upstream.addresses|join(',') }}", "", "10.2.0.1,fd00::2"),
        ("{{ upstream.servers.cluster|join(',') }}", "192.0.2.1:28668,[2001:db8::1]:28668", "10.2.0.1:28668,[fd00::2]:28668"),
        ("{{ upstream.servers.data|join(',') }}", "192.0.2.1:28625", "10.2.0.1:28625,[fd00::2]:28625"),
        ("{{ upstream.servers.file|first|address }}", "gse.example", "10.2.0.1"),
        (
            "{% for s in upstream.servers.cluster %}{{ s|address }} {{ s|port + 1 }};{% endfor %}",
            "192.0.2.1 28669;2001:db8::1 28669;",
            "10.2.0.1 28669;fd00::2 28669;",
        ),
        ("{{ ap.servers.cluster|last|address }} {{ ap.id }} {{ cloud.name }}", "2001:db8::1 1 ", "2001:db8::1 1 zone"),
    ] {
        assert_eq!(shown(&agent(0), &site, expression), direct, "{expression}");
        assert_eq!(shown(&agent(2), &site, expression), behind, "{expression}");
    }
    // Without servers the lists are there and empty.
    let bare = parse("INSTALL_AGENT", &json!({"ap_id": 3}), &json!({}), &site).unwrap();
    assert_eq!(shown(&bare, &site, "{{ ap.servers.cluster|length }}{{ upstream.servers.file|length }}"), "00");
}

/// A package of `examples/gse-agent` as its templates are now.
fn gse(role: &str) -> (PackageEntry, Templates) {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/gse-agent");
    let read = |path: &str| std::fs::read(example.join(path)).unwrap();
    let names: &[&str] = if role == "proxy" { &["gse_agent", "gse_data_proxy", "gse_file_proxy"] } else { &["gse_agent"] };
    let mut manifest = String::from_utf8(read("package.toml.in")).unwrap();
    for name in &names[1..] {
        manifest.push_str(&format!("[[config]]\ntemplate = \"etc/{name}.conf.j2\"\nto = \"etc/{name}.conf\"\n"));
    }
    let manifest = manifest.replace("@ROLE@", role).replace("@VERSION@", "1.0").replace("@CPU@", "any");
    let manifest: Manifest = toml::from_str(&manifest).unwrap();
    assert_eq!(manifest.faults(), [""; 0]);
    let templates = names.iter().map(|name| format!("etc/{name}.conf.j2")).map(|path| (path.clone(), read(&path))).collect();
    (PackageEntry { sha256: "0".repeat(64), size: 1, unpacked: 1, manifest }, templates)
}

fn conf(files: &[RenderedFile], name: &str) -> Value {
    let text = file(files, &format!("config/etc/{name}.conf"));
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error} in\n{text}"))
}

#[test]
fn the_gse_configs_say_what_the_request_says() {
    let site = site();
    let host = json!({"bk_cloud_id": 2, "ap_id": 1, "bt_speed_limit": "7", "enable_compression": 1, "data_path": "/data/g"});
    let agent = parse("INSTALL_AGENT", &host, &json!({}), &site).unwrap();
    let config = conf(&rendered(&agent, &site, &gse("agent")).0, "gse_agent");
    let at = |pointer: &str| config.pointer(pointer).unwrap_or_else(|| panic!("no {pointer}")).clone();
    assert_eq!((at("/run_mode"), at("/cloud_id"), at("/enable_static_access")), (json!("agent"), json!(2), json!(false)));
    assert_eq!(at("/access/cluster_endpoints"), "10.2.0.1:28668,[fd00::2]:28668");
    assert_eq!(at("/access/data_endpoints"), "10.2.0.1:28625,[fd00::2]:28625");
    assert_eq!(at("/access/file_endpoints"), "10.2.0.1:28925,[fd00::2]:28925");
    assert_eq!((at("/file/max_transfer_speed_mb_per_sec"), at("/data/enable_compression")), (json!(7), json!(true)));

    let proxy = parse("INSTALL_PROXY", &host, &json!({}), &site).unwrap();
    let mut of_proxy = rendered(&proxy, &Site { proxy: Vec::new(), ..site.clone() }, &gse("proxy")).0;
    let config = conf(&of_proxy, "gse_agent");
    assert_eq!(
        (&config["run_mode"], &config["proxy"]["bind_ip"], &config["proxy"]["bind_port"]),
        (&json!("proxy"), &json!("::"), &json!(28668))
    );
    assert_eq!(config["access"]["cluster_endpoints"], "192.0.2.1:28668,[2001:db8::1]:28668", "it reports to the access point");
    assert_eq!(conf(&of_proxy, "gse_file_proxy")["cache"], json!({"dirs": ["/data/g/file_cache"], "expired_time_sec": 3600}));
    assert_eq!(conf(&of_proxy, "gse_data_proxy")["dataflow"]["exporter"][0]["port"], 28625);

    // What nothing was said about.
    let plain = parse("INSTALL_PROXY", &json!({"bk_cloud_id": 2, "ap_id": 3}), &json!({}), &site).unwrap();
    of_proxy = rendered(&plain, &site, &gse("proxy")).0;
    let config = conf(&of_proxy, "gse_agent");
    assert_eq!(config["file"]["max_transfer_speed_mb_per_sec"], 100);
    assert_eq!((&config["data"]["enable_compression"], &config["access"]["file_endpoints"]), (&json!(false), &json!("")));
    assert_eq!(conf(&of_proxy, "gse_file_proxy")["cache"]["dirs"], json!(["/var/lib/gse/file_cache"]));
}

#[test]
fn the_gse_configs_are_json_whatever_the_values_are() {
    let site = site();
    for value in NASTY {
        let path = format!("/opt/{}", value.replace(char::is_control, "_").replace('/', "_"));
        let vars = json!({"zone_id": value, "log_level": value, "extra_config_directory": {value: [value, 1.5, true]}, "tls": {value: value}, "metric": {value: {value: value}}});
        let host =
            json!({"ap_id": 1, "bk_cloud_id": 2, "data_path": path, "paths": {"log_path": path, "run_path": path}, "vars": vars});
        let request = parse("INSTALL_PROXY", &host, &json!({}), &site).unwrap_or_else(|faults| panic!("{faults:?}"));
        let files = rendered(&request, &site, &gse("proxy")).0;
        let config = conf(&files, "gse_agent");
        assert_eq!(
            (&config["zone_id"], &config["base"][value], &config["logger"]["path"]),
            (&json!(value), &json!(value), &json!(path))
        );
        assert_eq!(config["extra_config_directory"], vars["extra_config_directory"]);
        assert_eq!(conf(&files, "gse_file_proxy")["cache"]["dirs"][0], format!("{path}/file_cache"));
        assert_eq!(conf(&files, "gse_data_proxy")["metric"], vars["metric"]);
    }
}

/// A field of free text: where it stands, and how a fault names it.
const FREE_TEXT: [(&str, &str); 24] = [
    ("/hosts/0/account", "hosts[0].account"),
    ("/hosts/0/password", "hosts[0].password"),
    ("/hosts/0/second_password", "hosts[0].second_password"),
    ("/hosts/0/sudo_password", "hosts[0].sudo_password"),
    ("/hosts/0/passphrase", "hosts[0].passphrase"),
    ("/hosts/0/key", "hosts[0].key"),
    ("/hosts/0/certificate", "hosts[0].certificate"),
    ("/hosts/0/data_path", "hosts[0].data_path"),
    ("/hosts/0/paths/setup_path", "hosts[0].paths.setup_path"),
    ("/hosts/0/paths/data_path", "hosts[0].paths.data_path"),
    ("/hosts/0/paths/run_path", "hosts[0].paths.run_path"),
    ("/hosts/0/paths/log_path", "hosts[0].paths.log_path"),
    ("/hosts/0/paths/temp_path", "hosts[0].paths.temp_path"),
    ("/hosts/0/vars/text", "hosts[0].vars.text"),
    ("/hosts/0/vars/list/0/inner", "hosts[0].vars.list[0].inner"),
    ("/hosts/0/outer_ip", "hosts[0].outer_ip"),
    ("/hosts/0/os_type", "hosts[0].os_type"),
    ("/paths/setup_path", "paths.setup_path"),
    ("/paths/log_path", "paths.log_path"),
    ("/vars/text", "vars.text"),
    ("/bk_username", "bk_username"),
    ("/package/name", "package"),
    ("/package/version", "package"),
    ("/job_type", "job_type"),
];

#[test]
fn a_text_is_taken_as_it_is_or_refused_with_the_path_of_its_field() {
    let mut taken = 0;
    for (pointer, path) in FREE_TEXT {
        for text in nasty().flat_map(|text| [format!("/opt/{text}"), text]) {
            let mut body = json!({
                "job_type": "INSTALL_AGENT", "bk_username": "x", "package": {"name": "x", "version": "x"},
                "vars": {"text": "x"}, "paths": {"setup_path": "/opt/x", "log_path": "/opt/x"},
                "hosts": [{
                    "bk_biz_id": 2, "bk_cloud_id": 0, "inner_ip": "10.0.0.1", "outer_ip": "192.0.2.1", "os_type": "LINUX",
                    "account": "x", "password": "x", "second_password": "x", "sudo_password": "x", "passphrase": "x", "key": "x",
                    "certificate": "x", "data_path": "/opt/x", "vars": {"text": "x", "list": [{"inner": "x"}]},
                    "paths": {"setup_path": "/opt/x", "data_path": "/opt/x", "run_path": "/opt/x", "log_path": "/opt/x", "temp_path": "/opt/x"},
                }],
            });
            *body.pointer_mut(pointer).unwrap() = text.clone().into();
            match request::parse(&body, &Site::default(), &SecretSources::default()) {
                Err(faults) => {
                    let told: Vec<&str> = faults.iter().map(|fault| fault.path.as_str()).collect();
                    assert_eq!(told, [path], "{text:?}");
                    assert!(!faults[0].message.contains("MARK") || !path.contains("pass"), "a secret is not quoted");
                }
                Ok(request) => {
                    taken += 1;
                    let Request { spec, username, hosts } = request;
                    let kept = json!({
                        "bk_username": username, "package": spec.package, "vars": spec.vars, "paths": spec.paths,
                        "hosts": [serde_json::to_value(&hosts[0].spec).unwrap()],
                    });
                    if let Some(kept) = kept.pointer(pointer) {
                        assert_eq!(kept, &json!(text), "{path}");
                    }
                }
            }
        }
    }
    assert!(taken > 300, "{taken} were taken");
}

/// A request whose variables are all of `value`, and whose paths lie in `room` below a directory of that name.
fn request_of(room: &Path, value: &str) -> (Request, String) {
    let name = value.replace(char::is_control, "_").replace('/', "_");
    let name = name.chars().take(60).collect::<String>();
    let base = format!("{}/{name}", room.display());
    let at = |dir: &str| format!("{base}/{dir}");
    let host = json!({
        "data_path": at("data"),
        "paths": {"setup_path": at("setup"), "run_path": at("run"), "log_path": at("log"), "temp_path": at("temp")},
        "vars": {"text": value, "list": [value, 7], "table": {value: true}, "number": 1.5, "on": true, value: "named"},
    });
    (parse("INSTALL_AGENT", &host, &json!({}), &Site::default()).unwrap_or_else(|faults| panic!("{value:?}: {faults:?}")), base)
}

#[test]
fn a_command_gets_every_value_as_one_word_in_every_shell_and_executes_none() {
    let start = "/usr/bin/printf '%s\\0' {{ vars.text }} {{ vars.list[0] }} {{ vars.number }} {{ vars.on }} {{ paths.data_path }} x{{ vars.text }}y";
    let (entry, templates) = entry(start, "{{ vars.text }}|{{ vars.list|tojson }}|{{ vars.table|tojson }}|{{ paths.data_path }}");
    for value in nasty().filter(|value| !value.contains('\0')) {
        for shell in SHELLS {
            let room = tempfile::tempdir().unwrap();
            let (request, base) = request_of(room.path(), &value);
            let (files, installed) = rendered(&request, &Site::default(), &(entry.clone(), templates.clone()));
            assert_eq!(Installed::parse(file(&files, "landfall.toml")).unwrap(), installed);
            assert_eq!(installed.vars["text"], value.as_str());
            let in_file = format!("{value}|{}|{}|{base}/data", json!([value, 7]), json!({&*value: true}));
            let told = file(&files, "config/a");
            let json_part = told.strip_prefix(&format!("{value}|")).and_then(|rest| rest.strip_suffix(&format!("|{base}/data")));
            assert!(json_part.is_some(), "{told:?} is not {in_file:?}");

            let home = format!("{base}/setup/tiny");
            std::fs::create_dir_all(format!("{home}/current")).unwrap();
            std::fs::write(room.path().join("start"), file(&files, "start")).unwrap();
            std::fs::write(room.path().join("init"), file(&files, "init")).unwrap();
            let run = |words: &[&str]| {
                Command::new(shell[0])
                    .args(&shell[1..])
                    .args(words)
                    .current_dir(room.path())
                    .env("HOME", room.path())
                    .output()
                    .unwrap()
            };
            let output = run(&["start"]);
            assert!(output.stderr.is_empty(), "{shell:?} {value:?}: {}", String::from_utf8_lossy(&output.stderr));
            let words: Vec<&[u8]> = output.stdout.split(|byte| *byte == 0).collect();
            let (data, glued) = (format!("{base}/data"), format!("x{value}y"));
            let expected: [&str; 7] = [&value, &value, "1.5", "true", &data, &glued, ""];
            assert_eq!(words, expected.map(str::as_bytes), "{shell:?}");
            for made in ["data", "run", "log", "temp"] {
                assert!(Path::new(&format!("{base}/{made}")).is_dir(), "{shell:?} {value:?}: {made}");
            }
            let asked = run(&["init", "status"]);
            assert_eq!(
                (asked.status.code(), &*String::from_utf8_lossy(&asked.stdout)),
                (Some(3), "tiny is not running\n"),
                "{value:?}"
            );
            let marks = Command::new("find").arg(room.path()).args(["-name", "MARK"]).output().unwrap();
            assert!(marks.stdout.is_empty(), "{shell:?} executed {value:?}");
        }
    }
}

#[test]
fn what_is_no_command_and_no_address_any_more_is_refused_before_anything_is_touched() {
    let refusal = |manifest: &str, value: Value| {
        let text = format!("name = \"tiny\"\nversion = \"1\"\nrole = \"agent\"\nos = \"any\"\ncpu = \"any\"\n{manifest}");
        let manifest: Manifest = toml::from_str(&text).unwrap();
        let entry = PackageEntry { sha256: "0".repeat(64), size: 1, unpacked: 1, manifest };
        let request = parse("INSTALL_AGENT", &json!({"vars": {"v": value}}), &json!({}), &Site::default()).unwrap();
        let vars = request.hosts[0].spec.vars.clone();
        let place = Place { site: &Site::default(), kind: request.spec.kind, carrying: &[] };
        let task = task::spec(&place, request.hosts[0].spec.clone(), &[]);
        let paths = HostPaths::linux(&task.host.paths);
        let values = Values::of(&task, &entry, &paths, &vars, &[]);
        render::installed(&entry, &paths, &values).err().map(|failure| failure.message)
    };
    let tcp = "[process]\nstart = \"x\"\n[health]\ntcp = \"{{ vars.v }}\"\n";
    let http = "[process]\nstart = \"x\"\n[health]\nhttp = \"http://{{ vars.v }}\"\n";
    let start = "[process]\nstart = \"{{ vars.v }} x\"\n[health]\ntcp = \"127.0.0.1:1\"\n";
    let command = "[process]\nstart = \"x\"\n[health]\ncommand = \"echo {{ vars.v }}\"\n";
    for (manifest, value, refused) in [
        (tcp, json!("127.0.0.1:9"), None),
        (tcp, json!("[::1]:9"), None),
        (tcp, json!("-e sh:9"), Some("health.tcp")),
        (tcp, json!("-e:9"), Some("health.tcp")),
        (tcp, json!("a b:9"), Some("health.tcp")),
        (http, json!("127.0.0.1:9/x?a=1&b=%20"), None),
        (http, json!("127.0.0.1:9/\r\nHost: x"), Some("health.http")),
        (http, json!("127.0.0.1:9/$(id) x"), Some("health.http")),
        (start, json!("-c"), Some("process.start")),
        (start, json!("a -c"), None),
        (command, json!("x".repeat(4096)), None),
        (command, json!("x".repeat(30_000)), Some("health.command")),
    ] {
        let told = refusal(manifest, value.clone());
        assert_eq!(told.is_some(), refused.is_some(), "{value} {told:?}");
        assert!(told.is_none_or(|told| told.contains(refused.unwrap())), "{value}");
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        proptest::sample::select(&NASTY[..]).prop_map(str::to_owned),
        any::<String>().prop_map(|text| text.replace('\0', "")),
        "[\\x01-\\x7f]{0,40}",
    ];
    let leaf = prop_oneof![
        text.clone().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(|number| json!(f64::from(number) / 8.0)),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(text.clone(), inner, 0..4)
                .prop_map(|table| Value::Object(table.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn variables_of_every_kind_come_back_from_the_host_as_they_went(value in any_value(), name in "[^\\x00]{1,12}") {
        prop_assume!(name != "$__toml_private_datetime");
        let host = json!({"vars": {name.clone(): value.clone()}});
        let request = parse("INSTALL_AGENT", &host, &json!({}), &Site::default()).map_err(|faults| TestCaseError::fail(format!("{faults:?}")))?;
        let (files, _) = rendered(&request, &Site::default(), &entry("x", "{{ vars|tojson }}"));
        let text = file(&files, "landfall.toml");
        // As the probe tells it: line by line, each between marks.
        let told: String = text.split('\n').map(|line| format!("@@lf:toml={line}@@\n")).collect();
        let output = format!("@@lf:begin@@\n@@lf:os=Linux@@\n@@lf:uid=0@@\n@@lf:installed=/x@@\n{told}@@lf:end@@\n");
        let facts = landfall::domain::facts::Facts::parse(&output).map_err(|error| TestCaseError::fail(format!("{error}: {text}")))?;
        prop_assert_eq!(&facts.root.unwrap().installed[0].vars[&name], &value);
        let in_file: Value = serde_json::from_str(file(&files, "config/a")).unwrap();
        prop_assert_eq!(&in_file[&name], &value);
    }
}
