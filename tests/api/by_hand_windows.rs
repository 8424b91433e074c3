//! Windows hosts that a person installs: the sheet, and what the batch file asks and tells, played here byte for byte. A real
//! cmd.exe runs the real file in `tests/real/windows_by_hand.rs`.

use serde_json::{Value, json};

use crate::package::Package;
use crate::place::{Place, bare, job, with};
use crate::server::Reply;

const IP: &str = "127.0.0.5";
const DIR: &str = "%USERPROFILE%\\landfall-1-0";

fn place() -> Place {
    let place = Place::new();
    let archive = Package::windows("tiny", b"MZ".to_vec()).version("1.0.1").build(place.desk.dir.path());
    place.desk.landfall(&format!("package add {}", archive.file.display())).exits(0);
    place
}

fn submitted(place: &Place) -> i64 {
    let host = with(bare(IP), json!({"is_manual": true, "os_type": "WINDOWS", "paths": {"setup_path": "C:\\gse"}}));
    place.server.submit(&job("INSTALL_AGENT", &[host]))
}

/// What is offered, in a language.
fn offered(place: &Place, id: i64, language: &str) -> Value {
    let path = format!("/api/job/{id}/get_job_commands/?instance_id=host%7Cinstance%7Chost%7C{IP}-0-0");
    let step =
        place.server.ask("GET", &path, &[("accept-language", language)], Vec::new()).data()["solutions"][0]["steps"][0].clone();
    assert!(step["contents"][0]["text"].is_string(), "{step}");
    step
}

/// A batch file that was fetched.
struct Batch<'a> {
    place: &'a Place,
    text: String,
}

impl<'a> Batch<'a> {
    fn fetch(place: &'a Place, id: i64) -> Self {
        let step = offered(place, id, "en");
        let url =
            step["contents"][0]["text"].as_str().unwrap().split('"').find(|word| word.starts_with("http://")).unwrap().to_owned();
        let path = format!("/{}", url.splitn(4, '/').nth(3).unwrap());
        let reply = place.server.get(&path);
        assert_eq!((reply.status, place.server.get(&path).status), (200, 403), "a token works once");
        Self { place, text: reply.text }
    }

    fn after(&self, start: &str) -> &str {
        self.text.lines().find_map(|line| line.split_once(start)).unwrap_or_else(|| panic!("no {start}")).1
    }

    fn ask(&self, path: &str, head: &[&str], rest: &[u8]) -> Reply {
        let task = self.after("set \"lf_task=").trim_end_matches('"');
        let token = self.after("echo token=").split('&').next().unwrap();
        let lines =
            [format!("task_id={task}"), format!("token={token}")].into_iter().chain(head.iter().map(|line| (*line).to_owned()));
        let head: String = lines.map(|line| format!("{line}\r\n")).collect();
        let body = [head.as_bytes(), b"\r\n", rest].concat();
        self.place.server.ask("POST", path, &[("content-type", "text/x-landfall")], body)
    }

    fn part(&self, head: &[&str]) -> String {
        let reply = self.ask("/backend/fetch/", head, b"");
        assert_eq!(reply.status, 200, "{head:?}: {}", reply.text);
        reply.text
    }

    fn tell(&self, step: &str, status: &str, text: &str) -> String {
        let (step, status) = (format!("step={step}"), format!("status={status}"));
        let reply = self.ask("/backend/report_log/", &[&step, &status, "codepage=936", "text=log"], text.as_bytes());
        assert_eq!(reply.status, 200, "{step} {status}: {}", reply.text);
        reply.text.trim_end().to_owned()
    }
}

/// What the probe says of a Windows where nothing is installed, in code page 936.
fn facts() -> Vec<u8> {
    let words = [
        "ready",
        "begin",
        "os=Windows_NT",
        "release=10.0.20348",
        "distro=Windows Server 2022 Standard",
        "cpu=x86_64",
        "boot=0x1",
        "init=scm",
        "codepage=936",
        "uid=0",
        "groups=admin",
        "user=w\\",
        "home=C:\\Users\\a\"b",
        "tools=tar certutil sc curl",
        "setup=C:\\ 9999999 rw",
        "temp=C:\\Windows 9999999 rw",
        "place=C:\\ProgramData\\landfall 9999999 ok",
        "end",
    ];
    // 张 as GBK has it, for a user whose name no UTF-8 is.
    let name = |word: &str| if word == "user=w\\" { &b"\xd5\xc5"[..] } else { b"" };
    words.map(|word| [b"@@lf:", word.as_bytes(), name(word), b"@@\r\n"].concat()).concat()
}

#[test]
fn the_sheet_says_what_to_do_in_cmd_and_what_is_needed_there() {
    let place = place();
    let id = submitted(&place);
    for (language, words) in
        [("en", ["Run as administrator", "no HTTP client"]), ("zh", ["以管理员身份运行", "没有 HTTP 客户端"])]
    {
        let step = offered(&place, id, language);
        let (text, about) = (step["contents"][0]["text"].as_str().unwrap(), step["contents"][0]["description"].as_str().unwrap());
        assert!(step["description"].as_str().unwrap().contains(words[0]) && about.contains(words[1]), "{step}");
        assert!(about.contains(&format!("{DIR}\\manual.bat")) && text.contains(&format!("md \"{DIR}\"")), "{step}");
        assert!(!text.trim_end().contains('\n') && !text.contains("sh -c"), "{text}");
    }
}

#[test]
fn a_batch_file_that_tells_its_steps_fills_the_record_as_ssh_does() {
    let place = place();
    let id = submitted(&place);
    let script = Batch::fetch(&place, id);
    assert_eq!(script.part(&["part=places"]), "C:\\gse\r\nC:\\tmp\r\n");
    let names: Vec<&str> = script.after("set \"lf_programs=").trim_end_matches('"').split(' ').collect();
    let probe = names.iter().position(|name| *name == "probe.bat").unwrap();
    assert!(script.part(&["part=program", &format!("at={probe}")]).starts_with("@echo off\r\n"));
    assert_eq!(script.ask("/backend/fetch/", &["part=program", "at=99"], b"").status, 409);
    assert_eq!(script.ask("/backend/fetch/", &["part=params"], b"").status, 409, "there is no plan");

    let sheet = script.ask("/backend/settle/", &["codepage=936", "text=facts"], &facts());
    assert_eq!(sheet.status, 200, "{}", sheet.text);
    let value =
        |key: &str| sheet.text.split("\r\n").find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap().to_owned();
    assert_eq!((value("state"), value("action")), ("C:\\ProgramData\\landfall".into(), "install".into()));
    assert!(sheet.text.contains("\r\nfile=config\\etc\\agent.conf\r\n") && !sheet.text.contains("run_file="), "{}", sheet.text);
    assert!(script.part(&["part=params"]).contains("\r\nsetup_path=C:\\gse\r\n"));
    assert!(script.part(&["part=file", "at=0"]).len() > 1);
    assert!(script.part(&["part=health"]).starts_with("http://127.0.0.1:9100/"));
    let size = value("package").split_once(' ').unwrap().1.to_owned();

    for (step, word) in [("upload_package", format!("stored {size}")), ("upload_files", "stored".into())] {
        assert_eq!(
            (script.tell(step, "START", ""), script.tell(step, "DONE", &word)),
            ("told=go_on".into(), "told=go_on".into())
        );
    }
    script.tell("run_script", "START", "");
    let raw = b"2026-11-24 10:00:00 INFO check_env START C:\\gse \"\xd6\xd0\"\r\nstep=verify\r\n";
    for (offset, piece) in [("offset=0", &raw[..30]), ("offset=30", &raw[30..])] {
        assert_eq!(script.ask("/backend/report_log/", &[offset], piece).text, "told=go_on\r\n");
    }
    script.tell("run_script", "DONE", "exit=0 64");
    script.tell("verify", "START", "");
    script.tell("verify", "DONE", "healthy service win-agent 7");
    script.tell("cleanup", "START", "");
    assert_eq!(script.tell("cleanup", "DONE", "done"), "told=ended");
    let details = place.server.becomes(id, "SUCCESS");
    let log = place.server.get(&format!("/api/job/{id}/log/?instance_id=host%7Cinstance%7Chost%7C{IP}-0-0")).data();
    let run = log.as_array().unwrap().iter().find(|step| step["step"] == "run_script").unwrap()["log"].as_str().unwrap();
    assert!(run.contains("check_env START C:\\gse \"中\"\r\nstep=verify\r\n"), "{run}");
    assert_eq!(details["list"][0]["is_manual"], true);
}

#[test]
fn what_is_no_body_of_a_batch_file_is_refused() {
    let place = place();
    let script = Batch::fetch(&place, submitted(&place));
    let asked = |body: &[u8]| place.server.ask("POST", "/backend/settle/", &[("content-type", "text/x-landfall")], body.to_vec());
    assert_eq!(asked(b"task_id=1\r\n").status, 400);
    assert_eq!(asked(b"{}\r\n\r\n").status, 400);
    assert_eq!(asked(b"task_id=1\r\ntoken=2\r\nfacts=x\r\n\r\n").refusal(), (403, 3_800_403));
    let filtered = String::from_utf8_lossy(&facts()).replace("uid=0", "uid=1");
    let refused = script.ask("/backend/settle/", &["text=facts"], filtered.as_bytes());
    assert!(refused.text.starts_with("end=FAILED ") && refused.text.contains("elevated"), "{}", refused.text);
}
