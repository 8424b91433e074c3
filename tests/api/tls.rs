//! The door beyond loopback: TLS, asked by a client that others wrote, and the refusals to listen without it.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::apps::{SECRET, app, header};
use crate::desk::Desk;
use crate::place::{bare, job, start};
use crate::server::Server;

const ALL: &str = "businesses = \"*\"\nkinds = \"*\"";
const TLS: &str = "[api]\ntls_cert = \"cert.pem\"\ntls_key = \"key.pem\"\n";

/// A certificate for this machine, and its key.
fn certificate(directory: &Path, cert: &str, key: &str) {
    let output = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=landfall", "-addext", "subjectAltName=IP:127.0.0.1,IP:::1,DNS:localhost"])
        .args(["-out", cert, "-keyout", key])
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What curl says to a request over TLS, and its exit code.
fn curl(desk: &Desk, server: &Server, path: &str, more: &[&str]) -> (i32, String) {
    let output = Command::new("curl")
        .args(["-sS", "--max-time", "30", "--cacert", "cert.pem"])
        .args(more)
        .arg(format!("https://{}{path}", server.address()))
        .current_dir(desk.dir.path())
        .output()
        .unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn the_api_is_asked_over_tls_1_2_and_1_3_and_nothing_older_or_in_clear() {
    let desk = Desk::new();
    certificate(desk.dir.path(), "cert.pem", "key.pem");
    let server = start(desk.file("site.toml", &format!("{TLS}{}", app(&desk, "esb_test", ALL))));
    let secret = format!("X-Bkapi-Authorization: {}", header("esb_test", SECRET));
    let body = job("REMOVE_AGENT", &[bare("127.0.0.1")]).to_string();
    for version in [&["--tlsv1.3"][..], &["--tlsv1.2", "--tls-max", "1.2"]] {
        let (code, text) = curl(&desk, &server, "/healthz", version);
        assert_eq!(code, 0, "{version:?}: {text}");
    }
    let old = ["--tlsv1.0", "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0"];
    assert_ne!(curl(&desk, &server, "/healthz", &old).0, 0);
    let (code, text) = curl(&desk, &server, "/api/job/install/", &["-H", &secret, "-d", &body]);
    assert_eq!(code, 0);
    let envelope: Value = serde_json::from_str(&text).unwrap();
    let url = envelope["data"]["job_url"].as_str().unwrap_or_else(|| panic!("{text}"));
    assert_eq!(url, format!("https://{}/api/job/1/details/", server.address()));
    assert_eq!(curl(&desk, &server, "/api/job/1/details/", &[]).1.matches("3800401").count(), 2, "code and message");
    let events = curl(&desk, &server, "/api/job/1/events/", &["-N", "-H", &secret]).1;
    assert!(events.contains("event: job_finished"), "{events}");
    // A caller who is not shown a certificate that it trusts goes away.
    assert_ne!(curl(&desk, &server, "/healthz", &["--capath", "/nowhere", "--cacert", "/dev/null"]).0, 0);
    // And who speaks in clear is not understood.
    let clear = Command::new("curl").args(["-sS", "--max-time", "30", &format!("http://{}/healthz", server.address())]).output();
    assert!(!clear.unwrap().status.success());
}

#[test]
fn with_apps_and_tls_or_a_proxy_before_it_the_door_opens_to_everybody() {
    for api in [TLS, "[api]\nbehind_tls_proxy = true\n"] {
        let desk = Desk::new();
        certificate(desk.dir.path(), "cert.pem", "key.pem");
        desk.file("site.toml", &format!("{api}{}", app(&desk, "esb_test", ALL)));
        let mut command = desk.command("");
        command.env("LANDFALL_SITE", desk.dir.path().join("site.toml"));
        let server = Server::start_on("0.0.0.0:0", command);
        assert!(server.address().starts_with("0.0.0.0:"), "{}", server.address());
        let port = server.address().rsplit_once(':').unwrap().1;
        let scheme = if api == TLS { "https" } else { "http" };
        let output = Command::new("curl")
            .args(["-sS", "--max-time", "30", "--cacert", "cert.pem", &format!("{scheme}://127.0.0.1:{port}/api/host/")])
            .current_dir(desk.dir.path())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("3800401"), "{text}{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn without_apps_or_tls_the_door_stays_on_this_machine() {
    let desk = Desk::new();
    certificate(desk.dir.path(), "cert.pem", "key.pem");
    let esb = app(&desk, "esb_test", ALL);
    for (site, lacks) in [(String::new(), "neither apps nor TLS"), (TLS.to_owned(), "no apps"), (esb.clone(), "no TLS")] {
        desk.file("site.toml", &site);
        for address in ["0.0.0.0:0", "192.0.2.1:8420", "[::]:0", "[::ffff:192.0.2.1]:8420"] {
            desk.landfall(&format!("--site site.toml serve --listen {address}")).exits(2).complains(&[
                "can be reached from other machines",
                lacks,
                "loopback only",
            ]);
        }
    }
    assert!(!desk.dir.path().join("data/landfall.db").exists(), "a wrong address touched the record");
}

#[test]
fn a_certificate_that_cannot_be_used_is_told_by_check_and_by_serve() {
    let desk = Desk::new();
    certificate(desk.dir.path(), "cert.pem", "key.pem");
    certificate(desk.dir.path(), "other.pem", "other-key.pem");
    desk.file("nothing.pem", "");
    desk.file("site.toml", &format!("{TLS}{}", app(&desk, "esb_test", ALL)));
    let said = desk.landfall("--site site.toml site check").exits(0);
    assert!(said.out.contains("certificate cert.pem") && said.out.contains("esb_test: businesses every one"), "{}", said.out);
    for (cert, key, told) in [
        ("cert.pem", "other-key.pem", "the key does not fit the certificate"),
        ("nothing.pem", "key.pem", "there is no certificate in it"),
        ("cert.pem", "nothing.pem", "there is no private key"),
        ("nowhere.pem", "key.pem", "cannot read nowhere.pem"),
    ] {
        desk.file("site.toml", &format!("[api]\ntls_cert = \"{cert}\"\ntls_key = \"{key}\"\n"));
        desk.landfall("--site site.toml site check").exits(2).complains(&[told]);
        desk.landfall("--site site.toml serve --listen 127.0.0.1:0").exits(2).complains(&[told]);
        let answer = desk.landfall("--site site.toml site check --output json").exits(2).last();
        assert_eq!((&answer["ok"], answer["faults"].as_array().unwrap().len()), (&json!(false), 1), "{answer}");
    }
}
