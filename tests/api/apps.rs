//! Apps for the stories: their secrets, their tables in a site file, and how they say who they are.

use serde_json::{Value, json};

use crate::desk::Desk;
use crate::package::Package;
use crate::place::{start, with};
use crate::server::{Reply, Server};

/// The secret of every app here.
pub const SECRET: &str = "kept-by-the-caller-alone";

/// The header of an app that comes with a secret.
pub fn header(code: &str, secret: &str) -> String {
    json!({"bk_app_code": code, "bk_app_secret": secret, "bk_username": "ann"}).to_string()
}

/// A body with an app's code and secret in it.
pub fn signed(code: &str, body: Value) -> Value {
    with(body, json!({"bk_app_code": code, "bk_app_secret": SECRET}))
}

/// An installation whose site declares apps.
pub struct Company {
    pub desk: Desk,
    pub server: Server,
}

/// One table, with the keys beside code and hash; the hash is made by the program itself.
pub fn app(desk: &Desk, code: &str, keys: &str) -> String {
    let hash = desk.landfall_reads("site hash-secret", &format!("{SECRET}\n")).exits(0).out;
    format!("[[app]]\ncode = \"{code}\"\nsecret_hash = \"{}\"\n{keys}\n", hash.trim())
}

impl Company {
    /// With these apps, each code and keys, and more of the site.
    pub fn with(apps: &[(&str, &str)], site: &str) -> Self {
        let desk = Desk::new();
        let archive = Package::tiny("tiny").build(desk.dir.path());
        desk.landfall(&format!("package add {}", archive.file.display())).exits(0);
        let tables: String = apps.iter().map(|(code, keys)| app(&desk, code, keys)).collect();
        let server = start(desk.file("site.toml", &format!("{site}\n{tables}")));
        Self { desk, server }
    }

    /// As an app asks, by the header.
    #[track_caller]
    pub fn post(&self, code: &str, path: &str, body: &Value) -> Reply {
        self.ask(code, "POST", path, body)
    }

    #[track_caller]
    pub fn get(&self, code: &str, path: &str) -> Reply {
        self.ask(code, "GET", path, &Value::Null)
    }

    #[track_caller]
    pub fn ask(&self, code: &str, method: &str, path: &str, body: &Value) -> Reply {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.server.ask(method, path, &[("x-bkapi-authorization", &header(code, SECRET))], body)
    }

    /// A job of an app that must be accepted.
    #[track_caller]
    pub fn submit(&self, code: &str, job: &Value) -> i64 {
        self.post(code, "/api/job/install/", job).data()["job_id"].as_i64().expect("a number")
    }

    /// Waits until a job has that status.
    #[track_caller]
    pub fn becomes(&self, code: &str, job: i64, status: &str) -> Value {
        let end = std::time::Instant::now() + crate::server::PATIENCE;
        loop {
            let details = self.post(code, &format!("/api/job/{job}/details/"), &json!({})).data();
            if details["status"] == status {
                return details;
            }
            assert!(std::time::Instant::now() < end, "job {job} does not become {status}: {details}");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}
