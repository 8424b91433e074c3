//! The door itself: what is no request is answered in the envelope too, and nobody from outside is let in.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use crate::desk::Desk;
use crate::place::Place;

#[test]
fn what_is_no_request_is_answered_in_the_envelope() {
    let place = Place::new();
    let server = &place.server;
    for (method, path, status) in [
        ("GET", "/", 404),
        ("POST", "/api/job/nothing/", 404),
        ("POST", "/api/job/1/nothing/", 404),
        ("GET", "/api/job/install/", 405),
        ("DELETE", "/api/job/install", 405),
        ("POST", "/api/job/1/log/", 405),
        ("POST", "/healthz", 405),
    ] {
        let reply = server.ask(method, path, &[], Vec::new());
        assert_eq!(reply.refusal(), (status, 3_800_000 + i64::from(status)), "{method} {path}");
    }
    for path in ["install", "operate", "job_list", "1/details", "1/retry", "1/revoke", "1/retry_node", "1/collect_log"] {
        for body in ["{", "[]", "\"text\"", "{\"hosts\": [}", "\u{0}", "nonsense"] {
            let reply = server.ask("POST", &format!("/api/job/{path}/"), &[], body.into());
            assert_eq!(reply.refusal(), (200, 3_800_001), "{path} {body}: {}", reply.text);
            assert!(reply.envelope()["errors"][0]["message"].is_string(), "{}", reply.text);
        }
    }
    assert_eq!(server.ask("POST", "/api/job/install/", &[], "[".repeat(200_000).into()).refusal(), (200, 3_800_001));
}

#[test]
fn an_unknown_job_is_its_own_code_everywhere() {
    let place = Place::new();
    for id in ["7", "0", "-1", "seven", "99999999999999999999"] {
        for path in ["details", "retry", "revoke"] {
            assert_eq!(
                place.server.post(&format!("/api/job/{id}/{path}/"), &json!({})).refusal(),
                (200, 3_801_012),
                "{id} {path}"
            );
        }
        let name = json!({"instance_id": "host|instance|host|10.0.0.1-0-0"});
        for path in ["retry_node", "collect_log"] {
            assert_eq!(place.server.post(&format!("/api/job/{id}/{path}/"), &name).refusal(), (200, 3_801_012), "{id} {path}");
        }
        for path in ["log/?instance_id=x", "log/?instance_id=x&offset=0", "events/"] {
            assert_eq!(place.server.get(&format!("/api/job/{id}/{path}")).refusal(), (200, 3_801_012), "{id} {path}");
        }
    }
}

#[test]
fn a_body_over_64_mib_is_refused_whether_its_length_is_told_or_not() {
    let place = Place::new();
    for (head, rest) in [("content-length: 67108865\r\n\r\n", String::new()), ("transfer-encoding: chunked\r\n\r\n", endless())] {
        let mut stream = TcpStream::connect(place.server.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let _ = write!(stream, "POST /api/job/install/ HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{head}");
        // The server stops reading somewhere in between.
        for _ in 0..80 {
            if rest.is_empty() || stream.write_all(rest.as_bytes()).is_err() {
                break;
            }
        }
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        assert!(answer.contains("\"code\":3800413"), "{answer}");
    }
}

/// One chunk of a mebibyte.
fn endless() -> String {
    format!("{:x}\r\n{}\r\n", 1 << 20, " ".repeat(1 << 20))
}

#[test]
fn it_is_alive_and_ready() {
    let place = Place::new();
    for path in ["/healthz", "/healthz/", "/readyz"] {
        place.server.get(path).data();
    }
}

#[test]
fn a_page_of_another_site_may_not_ask() {
    let place = Place::new();
    let body = || json!({}).to_string().into_bytes();
    for headers in [[("origin", "http://evil.example")], [("origin", "null")]] {
        for path in ["/api/job/job_list/", "/nowhere"] {
            assert_eq!(place.server.ask("POST", path, &headers, body()).refusal(), (403, 3_800_403), "{headers:?} {path}");
        }
    }
    let own = format!("http://{}", place.server.address());
    place.server.ask("POST", "/api/job/job_list/", &[("origin", &own)], body()).data();
}

#[test]
fn nobody_from_outside_is_let_in() {
    let desk = Desk::new();
    for address in ["0.0.0.0:0", "192.0.2.1:8420", "[::]:0", "[::ffff:192.0.2.1]:8420"] {
        desk.landfall(&format!("serve --listen {address}")).exits(2).complains(&[
            "can be reached from other machines",
            "neither apps nor TLS",
            "loopback only",
        ]);
    }
    assert!(!desk.dir.path().join("data/landfall.db").exists(), "a wrong address touched the record");
    desk.landfall("serve --listen nowhere").exits(2);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    desk.landfall(&format!("serve --listen {}", taken.local_addr().unwrap())).exits(4).complains(&["cannot listen on"]);
}
