//! `landfall serve` as a caller sees it: a process with an address, asked over a real socket by a client that shares no code
//! with it. What is still running when its value is dropped is killed.

#![allow(dead_code, reason = "every test binary uses its own part of this")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// Longest wait for one answer, and for something that has to come by itself.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running server.
pub struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    address: String,
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

/// One server-sent event.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub id: i64,
    pub name: String,
    pub data: Value,
}

impl Reply {
    /// The envelope; it has its five keys and no other.
    #[track_caller]
    pub fn envelope(&self) -> Value {
        let envelope: Value =
            serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.text));
        let keys: Vec<&String> = envelope.as_object().expect("an object").keys().collect();
        assert_eq!(keys.len(), 5, "{envelope}");
        for key in ["result", "code", "data", "message", "errors"] {
            assert!(envelope.get(key).is_some(), "no {key}: {envelope}");
        }
        assert_eq!(self.headers["content-type"], "application/json");
        assert_eq!(envelope["result"], envelope["code"] == 0, "{envelope}");
        if envelope["code"] != 0 {
            let message = envelope["message"].as_str().expect("text");
            assert!(message.ends_with(&format!("（{}）", envelope["code"])), "{envelope}");
        }
        envelope
    }

    /// The data of an answer that says yes.
    #[track_caller]
    pub fn data(&self) -> Value {
        let envelope = self.envelope();
        assert_eq!((self.status, &envelope["code"]), (200, &json!(0)), "{envelope}");
        envelope["data"].clone()
    }

    /// HTTP status and code of an answer that says no.
    #[track_caller]
    pub fn refusal(&self) -> (u16, i64) {
        let envelope = self.envelope();
        assert_eq!(envelope["result"], false, "{envelope}");
        (self.status, envelope["code"].as_i64().expect("a number"))
    }
}

impl Server {
    /// Starts `landfall … serve` on a free port; `command` is the binary with what makes it an installation.
    #[track_caller]
    pub fn start(command: Command) -> Self {
        Self::start_as(&[], command)
    }

    /// The same with more flags of `serve`.
    #[track_caller]
    pub fn start_as(flags: &[&str], mut command: Command) -> Self {
        command.args(["serve", "--listen", "127.0.0.1:0", "--output", "json"]).args(flags);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the binary runs");
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a line");
        let told: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no address: {line:?}"));
        let address = told["listening"].as_str().and_then(|url| url.strip_prefix("http://")).expect("an address").to_owned();
        Self { child, stdout, address }
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Reply {
        self.ask("POST", path, &[], body.to_string().into_bytes())
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &[], Vec::new())
    }

    /// Any request, on a connection of its own.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Reply {
        let answer = async {
            let response = self.send(method, path, headers, body).await;
            let (head, body) = response.into_parts();
            let bytes = body.collect().await.expect("a whole answer").to_bytes();
            Reply { status: head.status.as_u16(), headers: head.headers, text: String::from_utf8(bytes.into()).expect("UTF-8") }
        };
        blocking(answer)
    }

    /// The events of a job after `last`, until the stream ends or there are `most`.
    #[track_caller]
    pub fn events(&self, job: i64, last: Option<i64>, most: usize) -> Vec<Told> {
        let last = last.map(|last| last.to_string());
        let headers: Vec<(&str, &str)> = last.iter().map(|last| ("last-event-id", last.as_str())).collect();
        blocking(async {
            let response = self.send("GET", &format!("/api/job/{job}/events/"), &headers, Vec::new()).await;
            if response.status() == 204 {
                return Vec::new();
            }
            assert_eq!(
                (response.status().as_u16(), &response.headers()["content-type"]),
                (200, &"text/event-stream".parse().unwrap())
            );
            let (mut body, mut text) = (response.into_body(), String::new());
            while text.matches("\n\n").count() < most {
                let Some(frame) = body.frame().await else { break };
                let frame = frame.expect("a whole frame");
                text.push_str(std::str::from_utf8(frame.data_ref().expect("data")).expect("UTF-8"));
            }
            text.split("\n\n").filter(|event| event.contains("data:")).take(most).map(Told::read).collect()
        })
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Response<Incoming> {
        let stream = TcpStream::connect(&self.address).await.expect("a connection");
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header("host", &self.address);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        sender.send_request(request.body(Full::new(Bytes::from(body))).expect("a request")).await.expect("an answer")
    }

    /// Submits a job that must be accepted, and gives its number.
    #[track_caller]
    pub fn submit(&self, job: &Value) -> i64 {
        self.post("/api/job/install/", job).data()["job_id"].as_i64().expect("a number")
    }

    #[track_caller]
    pub fn details(&self, job: i64) -> Value {
        self.post(&format!("/api/job/{job}/details/"), &json!({"pagesize": -1})).data()
    }

    /// Waits until a job has that status, and gives its details.
    #[track_caller]
    pub fn becomes(&self, job: i64, status: &str) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let details = self.details(job);
            if details["status"] == status {
                return details;
            }
            assert!(Instant::now() < end, "job {job} does not become {status}: {details}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")), signal).expect("the process is there");
    }

    /// Sends a signal and waits for the end.
    pub fn end(self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        self.wait()
    }

    /// Waits for the end.
    pub fn wait(mut self) -> ExitStatus {
        let mut rest = String::new();
        let _ = self.stdout.read_to_string(&mut rest);
        self.child.wait().expect("the process ends")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Told {
    fn read(text: &str) -> Self {
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.unwrap_or_else(|| panic!("no {name}: {text}")).trim_start().to_owned()
        };
        Self {
            id: field("id").parse().expect("a number"),
            name: field("event"),
            data: serde_json::from_str(&field("data")).expect("JSON"),
        }
    }
}

#[track_caller]
fn blocking<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(PATIENCE, work).await.expect("an answer in time") })
}
