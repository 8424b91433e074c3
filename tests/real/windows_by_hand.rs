//! Windows hosts that a person installs: the offered command, pasted into cmd.exe of a host (wine, with stand-ins:
//! `tests/world/README.md`, `docs/os-support.md`).

use std::process::Output;
use std::thread;

use landfall::domain::codepage;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::by_hand::{Way, again, offered};
use crate::landfall::Landfall;
use crate::target::until;
use crate::windows::{add, is_there, quoted, says, scene, service};
use crate::world::World;

/// A setup path whose name cmd.exe must not change.
const SETUP: &str = "C:\\my agents\\100% a&b ^x!中";

const PROFILE: &str = "/C:/users/Administrator";

fn by_hand(kind: &str, ip: &str, paths: &Value) -> Value {
    json!({"job_type": kind, "hosts": [{"bk_biz_id": 2, "bk_cloud_id": 0, "inner_ip": ip, "is_manual": true,
        "os_type": "WINDOWS", "paths": paths, "vars": {"greeting": "你好 \"q\""}}]})
}

/// What the login shell of the host makes of a line, as a person types it there.
fn typed(world: &World, host: &str, line: &str) -> Output {
    world.output(host, &format!("runuser -u Administrator -- /usr/local/sbin/winsh -c {}", quoted(line)))
}

fn said(output: &Output) -> String {
    let bytes = [&output.stdout[..], &output.stderr[..]].concat();
    codepage::decoded(&bytes, 936)
}

/// Pastes the command of a job and gives what the record has then.
fn carried_out(world: &World, landfall: &Landfall, (job, url): (&Value, &str)) -> (Value, String) {
    let (id, command) = offered(landfall, job, url);
    let told = said(&typed(world, "w", &command));
    let view = landfall.show(id);
    assert_eq!(view["status"], "SUCCESS", "{view}\n{told}");
    (view, command)
}

fn steps(view: &Value) -> Vec<&str> {
    view["list"][0]["steps"].as_array().unwrap().iter().map(|step| step["step"].as_str().unwrap()).collect()
}

#[test]
fn a_pasted_command_installs_restarts_and_uninstalls() {
    let (world, landfall) = scene(&[("w", "windows")]);
    let ip = world.hosts()[0].ip.clone();
    let way = Way::to(&landfall, &ip);
    let paths = json!({"setup_path": SETUP, "log_path": "C:\\log (1)\\日志"});
    let (view, command) = carried_out(&world, &landfall, (&by_hand("INSTALL_AGENT", &ip, &paths), &way.url));
    assert_eq!(steps(&view), ["probe", "upload_package", "upload_files", "run_script", "verify", "register", "cleanup"]);
    assert!(view["list"][0]["bytes_sent"].as_u64() > Some(10_000), "{view}");
    assert_eq!(says(&world, "w", 9100), "ok 1.0");
    let config = world.exec("w", "cat '/C:/my agents/100% a&b ^x!中/win-agent/current/etc/agent.conf'");
    assert!(config.contains("greeting = 你好 \"q\"\n"), "{config}");
    // The record has the host's log, whole.
    let log = landfall.call(&["job", "log", &view["id"].to_string(), &ip]).stdout;
    let there = world.bytes("w", "cat /C:/ProgramData/landfall/runs/*/log");
    let whole = codepage::decoded(&there, 936);
    assert!(log.contains(&whole) && whole.contains(SETUP), "{log}\n---\n{whole}");
    // Nothing of the script is left, and its token was good once.
    assert!(
        !is_there(&world, "w", &format!("{PROFILE}/landfall-1-0")),
        "{}",
        world.exec("w", &format!("find {PROFILE}/landfall*"))
    );
    let second = said(&typed(&world, "w", &command));
    assert!(second.contains("refuses") && !is_there(&world, "w", &format!("{PROFILE}/landfall-1-0/manual.bat")), "{second}");
    let closed = world.exec("w", "cat /C:/windows/icacls.log");
    assert!(closed.matches("S-1-5-32-544").count() >= 3, "{closed}");

    let (restarted, _) = carried_out(&world, &landfall, (&by_hand("RESTART_AGENT", &ip, &paths), &way.url));
    assert_eq!(steps(&restarted), ["probe", "run_script", "verify"]);
    let (gone, _) = carried_out(&world, &landfall, (&by_hand("UNINSTALL_AGENT", &ip, &paths), &way.url));
    assert_eq!(steps(&gone), ["probe", "run_script", "verify_gone", "register", "cleanup"]);
    assert!(!is_there(&world, "w", "/C:/my agents"), "{}", world.exec("w", "ls -R '/C:/my agents'"));
    way.server.end(Signal::SIGTERM);
}

#[test]
fn a_package_comes_file_by_file_where_nothing_unpacks_it() {
    let (world, landfall) = scene(&[("w", "windows")]);
    world.exec("w", "rm /C:/windows/system32/tar.exe");
    add(&landfall, service(&world, "2.0").with_noise(3_000_000).health("tcp = \"127.0.0.1:9100\""));
    let ip = world.hosts()[0].ip.clone();
    let way = Way::to(&landfall, &ip);
    let (view, _) = carried_out(&world, &landfall, (&by_hand("INSTALL_AGENT", &ip, &json!({})), &way.url));
    assert!(view["list"][0]["bytes_sent"].as_u64() > Some(3_000_000), "{view}");
    assert_eq!(says(&world, "w", 9100), "ok 2.0");
    let (again, _) = carried_out(&world, &landfall, (&by_hand("REINSTALL_AGENT", &ip, &json!({})), &way.url));
    assert_eq!(again["list"][0]["bytes_sent"], 0, "{again}");
    way.server.end(Signal::SIGTERM);
}

#[test]
fn a_script_that_was_begun_without_its_rights_can_be_begun_again() {
    let (world, landfall) = scene(&[("w", "windows")]);
    let ip = world.hosts()[0].ip.clone();
    let way = Way::to(&landfall, &ip);
    world.exec("w", "touch /C:/windows/filtered");
    let (job, command) = offered(&landfall, &by_hand("INSTALL_AGENT", &ip, &json!({})), &way.url);
    let first = typed(&world, "w", &command);
    assert!(said(&first).contains("as administrator") && said(&first).contains("begin it again with"), "{}", said(&first));
    assert!(!is_there(&world, "w", "/C:/ProgramData/landfall"));
    world.exec("w", "rm /C:/windows/filtered");
    let second = typed(&world, "w", &format!("%USERPROFILE%\\landfall-{job}-0\\manual.bat"));
    assert_eq!(landfall.show(job)["status"], "SUCCESS", "{}", said(&second));
    assert!(second.status.success());
    way.server.end(Signal::SIGTERM);
}

#[test]
fn a_cancel_ends_what_the_script_started() {
    let (world, landfall) = scene(&[("w", "windows")]);
    add(&landfall, service(&world, "1.1").stop("ping -n 60 127.0.0.1"));
    let ip = world.hosts()[0].ip.clone();
    let way = Way::to(&landfall, &ip);
    carried_out(&world, &landfall, (&by_hand("INSTALL_AGENT", &ip, &json!({})), &way.url));
    let (job, command) = offered(&landfall, &by_hand("RESTART_AGENT", &ip, &json!({})), &way.url);
    thread::scope(|scope| {
        let script = scope.spawn(|| typed(&world, "w", &command));
        until("the agent to be stopped", || world.exec("w", "ps -ef").contains("ping -n 60"));
        landfall.call(&["job", "cancel", &job.to_string()]);
        let done = script.join().unwrap();
        assert!(said(&done).contains("cancelled"), "{}", said(&done));
    });
    let view = landfall.show(job);
    assert_eq!(view["status"], "TERMINATED", "{view}");
    assert!(!world.exec("w", "ps -ef").contains("ping -n 60"), "{}", world.exec("w", "ps -ef"));
    let done = typed(&world, "w", &{
        landfall.call(&["job", "retry", &job.to_string()]);
        again(&landfall, job, &way.url)
    });
    assert_eq!(landfall.show(job)["status"], "SUCCESS", "{}", said(&done));
    way.server.end(Signal::SIGTERM);
}

#[test]
fn a_host_without_any_http_client_says_so() {
    let (world, landfall) = scene(&[("w", "windows-old")]);
    let ip = world.hosts()[0].ip.clone();
    let way = Way::to(&landfall, &ip);
    let (job, command) = offered(&landfall, &by_hand("INSTALL_AGENT", &ip, &json!({})), &way.url);
    let told = said(&typed(&world, "w", &command));
    assert!(told.contains("no HTTP client on this host"), "{told}");
    assert_eq!(landfall.show(job)["status"], "PENDING", "the token is there for another machine");
    way.server.end(Signal::SIGTERM);
}
