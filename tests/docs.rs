//! What is written about Landfall against what Landfall does: every key of its files is documented, every example is taken,
//! the schema of the job file says yes and no where the program does.
//!
//! To add a key: its row in `docs`, for a job its line in `docs/job.schema.json`; these tests name what is missing.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at what it did not expect"
)]

#[path = "support/schema.rs"]
mod schema;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use landfall::domain::job::JobKind;
use landfall::domain::package::{Manifest, PackageChoice};
use landfall::domain::site::{Paths, Site};
use landfall::service::host_list;
use landfall::service::request::{self, FIELDS, HOST_FIELDS, SecretSources};
use schema::Schema;
use serde_json::{Value, json};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn job_schema() -> Schema {
    Schema::new(serde_json::from_str(&text("docs/job.schema.json")).unwrap())
}

fn set<T: Into<String>>(words: impl IntoIterator<Item = T>) -> BTreeSet<String> {
    words.into_iter().map(Into::into).collect()
}

fn backticked(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// What the first cells of the tables of a document name, below one heading or all of them.
fn documented(file: &str, heading: Option<&str>) -> BTreeSet<String> {
    let text = text(file);
    let mut here = heading.is_none();
    let mut found = BTreeSet::new();
    for line in text.lines() {
        if let (Some(wanted), Some(begins)) = (heading, line.strip_prefix("## ")) {
            here = begins == wanted;
        } else if here && line.starts_with("| `") {
            found.extend(set(backticked(line.split('|').nth(1).unwrap())));
        }
    }
    found
}

/// The keys that a form takes, as its refusal of an unknown one lists them.
fn keys_of<T: serde::de::DeserializeOwned>(toml: &str) -> BTreeSet<String> {
    let refusal = match toml::from_str::<T>(&toml.replace("???", "zzz = 0")) {
        Ok(_) => panic!("an unknown key was taken in {toml}"),
        Err(error) => error.message().to_owned(),
    };
    assert!(refusal.contains("unknown field `zzz`"), "{refusal}");
    set(backticked(&refusal).into_iter().filter(|word| *word != "zzz"))
}

fn below(prefix: &str, keys: &BTreeSet<String>) -> BTreeSet<String> {
    keys.iter().map(|key| format!("{prefix}.{key}")).collect()
}

/// An app with what it must have.
const APP: &str = "[[app]]\ncode = \"a\"\nsecret_hash = \"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4\"\n???";

#[test]
fn every_key_of_the_site_file_is_documented_and_no_other() {
    let mut keys = keys_of::<Site>("???");
    for (table, toml) in [
        ("limits", "[limits]\n???"),
        ("ssh", "[ssh]\n???"),
        ("business", "[[business]]\nid = 1\n???"),
        ("cloud", "[[cloud]]\nid = 1\n???"),
        ("access_point", "[[access_point]]\nid = 1\n???"),
        ("blacklist", "[[blacklist]]\n???"),
        ("vault", "[vault]\n???"),
        ("proxy", "[[proxy]]\ncloud = 2\n???"),
        ("install_channel", "[[install_channel]]\nid = 1\njump = []\n???"),
        ("privilege", "[[privilege]]\nhosts = []\nmethod = \"su\"\n???"),
        ("app", APP),
        ("api", "[api]\n???"),
    ] {
        assert!(keys.remove(table), "{table}");
        let name = if toml.starts_with("[[") { format!("{table}[]") } else { table.to_owned() };
        keys.extend(below(&name, &keys_of::<Site>(toml)));
    }
    keys.extend(below("access_point[].linux", &keys_of::<Site>("[[access_point]]\nid = 1\n[access_point.linux]\n???")));
    assert_eq!(documented("docs/site.md", None), keys);
}

#[test]
fn every_key_of_the_manifest_is_documented_and_no_other() {
    const HEAD: &str = "name = \"a\"\nversion = \"1\"\nrole = \"agent\"\nos = \"any\"\ncpu = \"any\"\n";
    let mut keys = keys_of::<Manifest>("???");
    for (table, toml) in [
        ("process", "[process]\nstart = \"a\"\n???"),
        ("config", "[[config]]\ntemplate = \"a\"\nto = \"a\"\n???"),
        ("health", "[health]\n???"),
    ] {
        assert!(keys.remove(table), "{table}");
        let name = if toml.starts_with("[[") { format!("{table}[]") } else { table.to_owned() };
        keys.extend(below(&name, &keys_of::<Manifest>(&format!("{HEAD}{toml}"))));
    }
    assert_eq!(documented("docs/package.md", Some("package.toml")), keys);
}

#[test]
fn every_key_of_a_job_file_is_documented_and_in_the_schema_and_no_other() {
    let schema = job_schema();
    let known = |pointer: &str| {
        let properties = schema.root().pointer(pointer).and_then(Value::as_object).unwrap_or_else(|| panic!("no {pointer}"));
        set(properties.keys().map(String::as_str))
    };
    assert_eq!(known("/properties"), set(FIELDS));
    assert_eq!(documented("docs/job.md", Some("The job")), set(FIELDS));
    assert_eq!(known("/$defs/host/properties"), set(HOST_FIELDS));
    assert_eq!(documented("docs/job.md", Some("A host")), set(HOST_FIELDS));
    assert_eq!(known("/$defs/paths/properties"), set(Paths::KEYS));
    assert_eq!(known("/$defs/package/properties"), keys_of::<PackageChoice>("???"));
    assert_eq!(known("/$defs/limits/properties"), set(["upload_mb_per_s"]));

    let kinds = set(JobKind::ALL.map(JobKind::wire_name));
    let listed = schema.root()["properties"]["job_type"]["enum"].as_array().unwrap().iter();
    assert_eq!(set(listed.map(|kind| kind.as_str().unwrap())), kinds);
    let mut told = documented("docs/job.md", Some("Kinds"));
    assert!(told.remove("job_type"), "the heading of the table");
    assert_eq!(told, kinds);
    for kind in JobKind::ALL {
        let text = text("docs/job.md");
        let row = text.lines().find(|line| line.starts_with("| `") && line.split('|').nth(1).unwrap().contains(kind.wire_name()));
        let row = row.unwrap();
        assert!(!row.contains("`unsupported`"), "{row}");
    }
}

/// Something of every kind that a client might send.
fn samples() -> Vec<Value> {
    let mut samples = Vec::from([0, 1, 2, -1, 22, 70_000, 5_000_000_000_i64].map(Value::from));
    samples.extend([
        Value::Null,
        json!(1.5),
        json!(true),
        json!([]),
        json!(["10.0.0.1"]),
        json!({}),
        json!({"env": "PATH"}),
        json!({"env": 7}),
        json!({"file": "Cargo.toml"}),
        json!({"env": "PATH", "file": "Cargo.toml"}),
        json!({"setup_path": "/opt", "log_path": null}),
        json!({"setup_path": "opt"}),
        json!({"name": "tiny", "version": null}),
        json!({"name": 7}),
        json!({"upload_mb_per_s": "7"}),
        json!({"upload_mb_per_s": -7}),
        json!({"zzz": 1}),
    ]);
    let words = [
        "",
        " ",
        "0",
        "1",
        " 22 ",
        "-5",
        "+5",
        "22.5",
        "x",
        "True",
        "FALSE",
        "yes",
        "10.0.0.1",
        "::1",
        "LINUX",
        "linux",
        "KEY",
        "PASSWORD",
        "TJJ_PASSWORD",
        "AGENT",
        "static",
        "dynamic",
        "/opt/a",
        "C:\\gse",
        "C:/gse",
        "/opt/../etc",
        "/..",
        "/opt/..a",
        "opt",
        "two\nlines",
        "a\u{0}b",
    ];
    samples.extend(words.map(Value::from));
    samples
}

/// What only the program can tell: addresses, what the site knows, what is in the environment, numbers in texts, and a
/// password that may be asked for.
fn only_landfall_can_tell(path: &str, value: &Value) -> bool {
    let field = path.rsplit('.').next().unwrap();
    match field {
        "inner_ip" | "inner_ipv6" | "outer_ip" | "outer_ipv6" | "login_ip" | "data_ip" => value.is_string(),
        "bk_cloud_id" | "ap_id" | "install_channel_id" | "accept_new_host_key" => true,
        "password" => value.is_null() || value == "" || value.is_object(),
        "second_password" | "sudo_password" => value.is_object(),
        "port" | "bt_speed_limit" => value.is_string(),
        _ => false,
    }
}

#[test]
fn the_schema_says_yes_and_no_where_the_program_does() {
    let schema = job_schema();
    let site: Site = toml::from_str("[[cloud]]\nid = 2\n[vault]\ncommand = [\"/a\"]\n").unwrap();
    let sources = SecretSources { references: true, base: root().into(), ..SecretSources::default() };
    let mut wrong = Vec::new();
    let mut judge = |body: &Value, value: &Value| {
        let faults = request::parse(body, &site, &sources).err().unwrap_or_default();
        match (schema.takes(body), faults.first()) {
            (true, Some(fault)) if !only_landfall_can_tell(&fault.path, value) => {
                wrong.push(format!("the schema takes what is a fault: {} {}: {body}", fault.path, fault.message));
            }
            (false, None) => wrong.push(format!("the schema refuses what is taken: {body}")),
            _ => {}
        }
    };
    let host = |cloud: i64, auth: &str| {
        json!({"bk_biz_id": 2, "bk_cloud_id": cloud, "inner_ip": "10.0.0.1", "outer_ip": "192.0.2.1", "auth_type": auth,
            "password": "p", "key": "k"})
    };
    for (kind, cloud) in
        [("INSTALL_AGENT", 0), ("UNINSTALL_AGENT", 0), ("INSTALL_PROXY", 2), ("RELOAD_PROXY", 2), ("REPLACE_PROXY", 2)]
    {
        for auth in ["PASSWORD", "KEY"] {
            let body = json!({"job_type": kind, "replace_host_id": 7, "hosts": [host(cloud, auth)], "bk_token": "t"});
            judge(&body, &Value::Null);
            for value in samples() {
                for field in FIELDS {
                    let mut body = body.clone();
                    body[field] = value.clone();
                    judge(&body, &value);
                }
                for field in HOST_FIELDS {
                    let mut body = body.clone();
                    body["hosts"][0][field] = value.clone();
                    judge(&body, &value);
                }
            }
            for field in FIELDS {
                let mut body = body.clone();
                body.as_object_mut().unwrap().remove(field);
                judge(&body, &Value::Null);
            }
            for field in HOST_FIELDS {
                let mut body = body.clone();
                body["hosts"][0].as_object_mut().unwrap().remove(field);
                judge(&body, &Value::Null);
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "{} differences\n{}", wrong.len(), wrong[..wrong.len().min(40)].join("\n"));
}

/// All files with this ending in the places that people read.
fn written(ending: &str) -> Vec<PathBuf> {
    let mut open: Vec<PathBuf> = ["README.md", "docs", "examples", "scripts", "tests/world"].map(|name| root().join(name)).into();
    let mut found = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The fenced blocks of a language in a Markdown file.
fn blocks(file: &Path, language: &str) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("\n```").next().unwrap().to_owned()).collect()
}

/// The request with every secret written down: the environment and the files of an example are somebody else's.
fn with_secrets(mut body: Value) -> Value {
    for host in body["hosts"].as_array_mut().into_iter().flatten() {
        for field in request::SECRETS {
            if host.get(field).is_some_and(Value::is_object) {
                host[field] = "a secret".into();
            }
        }
    }
    body
}

/// The site file that comes with an example, if one does.
fn site_beside(file: &Path) -> Site {
    let site = std::fs::read_to_string(file.with_file_name("site.toml"))
        .map_or_else(|_| Site::default(), |text| toml::from_str(&text).unwrap());
    assert_eq!(site.faults(), Vec::<String>::new(), "beside {}", file.display());
    site
}

#[track_caller]
fn is_a_job(file: &Path, body: &Value) {
    let name = file.display();
    assert!(job_schema().takes(body), "{name}: the schema refuses {body}");
    let request = request::parse(&with_secrets(body.clone()), &site_beside(file), &SecretSources::default());
    assert!(request.is_ok(), "{name}: {:?}", request.err());
}

#[test]
fn every_job_that_is_shown_is_taken() {
    let mut shown = 0;
    let mut take = |file: &Path, text: &str| {
        let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{}: {error}: {text}", file.display()));
        if value.get("job_type").is_some() {
            shown += 1;
            is_a_job(file, &value);
        }
    };
    for file in written("md") {
        blocks(&file, "json").iter().for_each(|block| take(&file, block));
    }
    for file in written("json") {
        take(&file, &std::fs::read_to_string(&file).unwrap());
    }
    assert!(shown >= 2, "only {shown} jobs are shown");
}

#[test]
fn the_host_list_that_is_shown_is_taken() {
    let given = host_list::Given {
        kind: JobKind::InstallAgent,
        business: Some(2),
        access_point: None,
        package: PackageChoice::default(),
        sheet: None,
    };
    let list = host_list::read(text("examples/hosts/hosts.csv").as_bytes(), &given).unwrap();
    assert!(!list.places.is_faulty(), "{:?}", list.places);
    is_a_job(Path::new("examples/hosts/hosts.csv"), &list.body);
}

#[test]
fn the_site_files_and_manifests_that_are_shown_are_taken() {
    let site = blocks(&root().join("docs/site.md"), "toml");
    let site: Site = toml::from_str(&site[0]).unwrap();
    assert_eq!(site.faults(), Vec::<String>::new());
    let manifest = blocks(&root().join("docs/package.md"), "toml");
    let smallest = text("examples/heartbeat/package.toml");
    let example = text("examples/node-exporter/package.toml.in").replace("@VERSION@", "1.5.0").replace("@CPU@", "x86_64");
    let gse =
        text("examples/gse-agent/package.toml.in").replace("@ROLE@", "agent").replace("@VERSION@", "1").replace("@CPU@", "any");
    for text in [&manifest[0], &smallest, &example, &gse] {
        let manifest: Manifest = toml::from_str(text).unwrap();
        assert_eq!(manifest.faults(), Vec::<String>::new());
    }
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let mut broken = Vec::new();
    for file in written("md") {
        let text = std::fs::read_to_string(&file).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap();
            if !link.contains("://") && !path.is_empty() && !file.parent().unwrap().join(path).exists() {
                broken.push(format!("{}: {link}", file.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
