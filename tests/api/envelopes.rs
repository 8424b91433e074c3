//! Secrets that a caller sealed with our public key: what comes out is what the host gets, and what does not open says no
//! more than that.

use aws_lc_rs::rsa::{Pkcs1PublicEncryptingKey, PublicEncryptingKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use landfall::domain::credential::Auth;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::place::{Place, bare, deaf, host, job, nonsense, start_on, with};
use crate::server::Server;

const PATHS: [&str; 2] = ["/api/encrypt_rsa/fetch_public_keys/", "/api/encrypt_asymmetric/fetch_public_keys/"];
const PREFIX: &str = "REVGQVVMVA==";
const REFUSAL: &str = "is an envelope that does not open: seal it with the key of fetch_public_keys";

/// What upstream's clients do, with code of our own.
struct Sealer(Pkcs1PublicEncryptingKey);

impl Sealer {
    fn of(server: &Server) -> Self {
        Self::with(server.post(PATHS[0], &json!({"names": ["DEFAULT"]})).data()[0]["content"].as_str().unwrap())
    }

    fn with(pem: &str) -> Self {
        let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let key = PublicEncryptingKey::from_der(&STANDARD.decode(base64).unwrap()).unwrap();
        Self(Pkcs1PublicEncryptingKey::new(key).unwrap())
    }

    fn seal(&self, secret: &str) -> String {
        let mut sealed = Vec::new();
        for piece in secret.as_bytes().chunks(self.0.max_plaintext_size()) {
            let mut block = vec![0; self.0.ciphertext_size()];
            self.0.encrypt(piece, &mut block).unwrap();
            sealed.extend(block);
        }
        format!("{PREFIX}{}", STANDARD.encode(sealed))
    }
}

fn text(secret: &Option<landfall::domain::credential::Secret>) -> &str {
    secret.as_ref().unwrap().expose_secret()
}

#[test]
fn the_public_key_is_at_both_paths_and_stays() {
    let place = Place::new();
    let fetch = |path: &str, names: Value| place.server.post(path, &json!({"names": names}));
    let key = fetch(PATHS[0], json!(["DEFAULT", "OTHER"])).data();
    let keys: Vec<&str> = key[0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!((key.as_array().unwrap().len(), keys), (1, vec!["block_size", "cipher_type", "content", "description", "name"]));
    assert_eq!((&key[0]["name"], &key[0]["cipher_type"], &key[0]["block_size"]), (&json!("DEFAULT"), &json!("RSA"), &json!(245)));
    assert_eq!(fetch(PATHS[1], json!(["DEFAULT"])).data(), key);
    assert_eq!(fetch(PATHS[0], json!(["OTHER"])).data(), json!([]));
    for names in [json!([]), Value::Null, json!([7])] {
        assert_eq!(fetch(PATHS[0], names.clone()).refusal(), (200, 3_800_001), "{names}");
    }
    place.desk.landfall("key rotate").exits(0);
    let again = crate::place::start(&place.desk);
    assert_eq!(again.post(PATHS[0], &json!({"names": ["DEFAULT"]})).data(), key, "it outlives the server and a change of keys");
}

#[test]
fn servers_over_one_database_have_one_key_pair() {
    let place = Place::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let url = runtime.block_on(async { crate::postgres::Server::shared().await.database().await });
    let servers = [start_on(&place.desk, &url), start_on(&place.desk, &url), start_on(&place.desk, &url)];
    let keys: Vec<Value> = std::thread::scope(|scope| {
        let fetch = |server: &Server| server.post(PATHS[0], &json!({"names": ["DEFAULT"]})).data();
        let asked: Vec<_> = servers.iter().map(|server| scope.spawn(move || fetch(server))).collect();
        asked.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    // What is sealed with what one gave, another one opens.
    let sealer = Sealer::of(&servers[0]);
    let body = job("INSTALL_AGENT", &[with(host("127.0.0.9"), json!({"port": nonsense(), "password": sealer.seal("x")}))]);
    let id = servers[2].submit(&body);
    servers[2].becomes(id, "FAILED");
}

#[test]
fn every_secret_may_come_in_an_envelope_and_is_kept_as_what_was_in_it() {
    let place = Place::new();
    let sealer = Sealer::of(&place.server);
    let (_door, port) = deaf();
    let at = |ip: &str, more: Value| with(with(bare(ip), json!({"port": port})), more);
    let pem = "-----BEGIN KEY-----\n".to_owned() + &"测试 line\n".repeat(300);
    let hosts = [
        at("127.0.0.1", json!({"password": sealer.seal("测试密码"), "sudo_password": sealer.seal("of sudo")})),
        at("127.0.0.2", json!({"auth_type": "KEY", "key": sealer.seal(&pem), "passphrase": sealer.seal("opens it")})),
        at("127.0.0.3", json!({"password": sealer.seal(&sealer.seal("sealed twice"))})),
        at("127.0.0.4", json!({"password": "as it is"})),
        at("127.0.0.5", json!({"password": "REVGQVVMVA="})),
    ];
    let id = place.server.submit(&job("INSTALL_AGENT", &hosts));
    let logins = place.logins(id);
    let password = |index: usize| match &logins[index].as_ref().unwrap().auth {
        Auth::Password(password) => password.expose_secret().to_owned(),
        _ => panic!("a key"),
    };
    assert_eq!(password(0), "测试密码");
    assert_eq!(text(&logins[0].as_ref().unwrap().sudo_password), "of sudo");
    let Auth::Key { pem: kept, passphrase } = &logins[1].as_ref().unwrap().auth else { panic!("a password") };
    assert_eq!((kept.expose_secret(), text(passphrase)), (pem.as_str(), "opens it"));
    assert_eq!([password(2), password(3), password(4)], ["sealed twice", "as it is", "REVGQVVMVA="]);
}

#[test]
fn an_operation_takes_envelopes_too() {
    let place = Place::new();
    let sealer = Sealer::of(&place.server);
    place.installed(&[with(host("127.0.0.9"), json!({"bk_host_id": 17, "retention": 0}))]);
    let entry = json!({"bk_host_id": 17, "port": nonsense(), "account": "root", "password": sealer.seal("anew"), "retention": 1});
    let body = json!({"job_type": "RESTART_AGENT", "hosts": [entry]});
    let id = place.server.post("/api/job/operate/", &body).data()["job_id"].as_i64().unwrap();
    place.server.becomes(id, "FAILED");
    let login = place.logins(id).remove(0).unwrap();
    let Auth::Password(password) = login.auth else { panic!("a key") };
    assert_eq!(password.expose_secret(), "anew");
}

#[test]
fn whatever_is_wrong_with_an_envelope_is_told_in_one_sentence_at_one_place() {
    let place = Place::new();
    let sealer = Sealer::of(&place.server);
    let other = Place::new();
    let foreign = Sealer::of(&other.server).seal("hunter2");
    let good = sealer.seal("hunter2");
    let mut cut = STANDARD.decode(&good[PREFIX.len()..]).unwrap();
    cut.truncate(200);
    let three = sealer.seal(&sealer.seal(&sealer.seal("deep")));
    let wrong = [
        PREFIX.to_owned(),
        format!("{PREFIX}not base64!"),
        format!("{PREFIX}{}", STANDARD.encode(cut)),
        foreign,
        sealer.seal("a\0b"),
        three,
    ];
    let errors = |hosts: &[Value]| {
        let reply = place.server.post("/api/job/install/", &job("INSTALL_AGENT", hosts));
        assert_eq!(reply.refusal(), (200, 3_800_001), "{}", reply.text);
        reply.envelope()["errors"].clone()
    };
    for (index, envelope) in wrong.iter().enumerate() {
        let told = errors(&[with(host("127.0.0.1"), json!({"password": envelope}))]);
        assert_eq!(told, json!([{"path": "hosts[0].password", "message": REFUSAL}]), "number {index}");
    }
    // Of several the first is told, beside everything else that is wrong.
    let hosts = [
        with(host("127.0.0.1"), json!({"password": good, "sudo_password": wrong[3]})),
        with(host("127.0.0.2"), json!({"password": wrong[1]})),
        with(host("127.0.0.3"), json!({"password": wrong[2], "port": 70_000})),
    ];
    let told = errors(&hosts);
    let paths: Vec<&str> = told.as_array().unwrap().iter().map(|error| error["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["hosts[0].sudo_password", "hosts[2].port"], "{told}");
    assert_eq!(place.server.post("/api/job/job_list/", &json!({})).data()["total"], 0);
}

#[test]
fn more_blocks_than_a_request_may_have_are_refused_at_once() {
    let place = Place::new();
    // A key of 400 blocks for each of 260 hosts, none of them worth opening.
    let envelope = format!("{PREFIX}{}", "A".repeat(400 * 256 / 3 * 4));
    let hosts: Vec<Value> = (0..260)
        .map(|index| {
            let unlike = format!("{envelope}{index:04}");
            with(bare(&format!("10.0.{}.{}", index / 200, index % 200 + 1)), json!({"auth_type": "KEY", "key": unlike}))
        })
        .collect();
    let reply = place.server.post("/api/job/install/", &job("INSTALL_AGENT", &hosts));
    assert_eq!(reply.refusal(), (200, 3_800_001), "{:.300}", reply.text);
    assert_eq!(reply.envelope()["errors"][0]["path"], "hosts");
}

#[test]
fn a_job_file_may_have_envelopes_and_what_a_reference_leads_to_may_not_be_one() {
    let place = Place::new();
    let sealer = Sealer::of(&place.server);
    let port = nonsense();
    let sealed = sealer.seal("hunter2");
    place.desk.job(&job("INSTALL_AGENT", &[with(host("127.0.0.9"), json!({"port": port, "password": sealed}))]));
    // It got as far as the host.
    place.desk.landfall("run job.json").exits(1);
    place.desk.file("secret", &sealed);
    place.desk.job(&job("INSTALL_AGENT", &[with(host("127.0.0.9"), json!({"port": port, "password": {"file": "secret"}}))]));
    place.desk.landfall("run job.json").exits(2).complains(&["hosts[0].password: leads to an envelope"]);
    let list = format!("inner_ip,port,password\n127.0.0.8,{port},{sealed}\n");
    place.desk.file("hosts.csv", &list).landfall("run --hosts hosts.csv --kind INSTALL_AGENT --biz 2").exits(1);
}
