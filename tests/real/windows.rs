//! Windows hosts: cmd.exe behind a real sshd (wine, with stand-ins: `tests/world/README.md`, `docs/os-support.md`). Their agent is a
//! service, their output GBK with CRLF, and no path of theirs begins with a slash.

use std::time::{Duration, Instant};

use landfall::domain::codepage;
use landfall::domain::shell::cmd;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::landfall::{Landfall, Report, job};
use crate::package::Package;
use crate::world::{Host, World};

const HOME: &str = "/C:/gse/win-agent";

/// An agent that is a service, of the program that the test world has for that.
pub fn service(world: &World, version: &str) -> Package {
    let program = world.bytes(&world.hosts()[0].name, "cat /opt/landfall-world/agent.exe");
    Package::windows("win-agent", program).version(version)
}

/// A world and an installation that has the agent's first release.
pub fn scene(hosts: &[(&str, &str)]) -> (World, Landfall) {
    let world = World::up(hosts);
    let landfall = Landfall::new();
    add(&landfall, service(&world, "1.0"));
    (world, landfall)
}

pub fn add(landfall: &Landfall, package: Package) {
    let dir = tempfile::tempdir().unwrap();
    landfall.add(&package.build(dir.path()).file);
}

/// A request for Windows hosts.
fn request<'a>(kind: &str, hosts: impl IntoIterator<Item = &'a Host>) -> Value {
    let mut job = job(kind, hosts);
    for host in job["hosts"].as_array_mut().unwrap() {
        host["os_type"] = "WINDOWS".into();
    }
    job
}

fn steps(report: &Report, ip: &str) -> Vec<String> {
    report.events_of(ip, "step_started").map(|event| event["step"].as_str().unwrap().to_owned()).collect()
}

/// What the agent answers to a request from its own host.
pub fn says(world: &World, name: &str, port: u16) -> String {
    let asked = format!("exec 3<>/dev/tcp/127.0.0.1/{port} && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3");
    String::from_utf8_lossy(&world.output(name, &format!("bash -c {}", quoted(&asked))).stdout)
        .lines()
        .last()
        .unwrap_or_default()
        .trim()
        .to_owned()
}

pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

pub fn is_there(world: &World, name: &str, path: &str) -> bool {
    world.output(name, &format!("test -e {}", quoted(path))).status.success()
}

#[test]
fn an_agent_is_installed_kept_reloaded_restarted_and_removed() {
    let (world, landfall) = scene(&[("w", "windows"), ("old", "windows-old")]);
    let first = landfall.succeed(&request("INSTALL_AGENT", world.hosts()));
    for host in world.hosts() {
        let expected = ["connect", "probe", "upload_package", "upload_files", "run_script", "verify", "register", "cleanup"];
        assert_eq!(steps(&first, &host.ip), expected, "{}", host.name);
        assert_eq!(says(&world, &host.name, 9100), "ok 1.0", "{}", host.name);
        assert!(first.host(&host.ip)["bytes_sent"].as_u64() > Some(10_000), "{}", first.result);
    }
    let again = landfall.succeed(&request("REINSTALL_AGENT", world.hosts()));
    for host in world.hosts() {
        assert_eq!(again.host(&host.ip)["bytes_sent"], 0, "{}", host.name);
        assert_eq!(says(&world, &host.name, 9100), "ok 1.0", "{}", host.name);
    }
    let mut reload = request("RELOAD_AGENT", world.hosts());
    reload["hosts"].as_array_mut().unwrap().iter_mut().for_each(|host| host["vars"] = json!({"greeting": "你好"}));
    landfall.succeed(&reload);
    for host in world.hosts() {
        let config = world.exec(&host.name, &format!("cat {HOME}/current/etc/agent.conf"));
        assert!(config.contains("greeting = 你好"), "{}: {config}", host.name);
    }
    let restarted = landfall.succeed(&request("RESTART_AGENT", world.hosts()));
    let expected = ["connect", "probe", "run_script", "verify"];
    world.hosts().iter().for_each(|host| assert_eq!(steps(&restarted, &host.ip), expected));
    landfall.succeed(&request("UNINSTALL_AGENT", world.hosts()));
    for host in world.hosts() {
        assert!(!is_there(&world, &host.name, "/C:/gse"), "{}", world.exec(&host.name, "ls -R /C:/gse"));
        assert_eq!(says(&world, &host.name, 9100), "", "{}", host.name);
        let history = world.exec(&host.name, "cat /C:/ProgramData/landfall/history.log");
        let runs: std::collections::BTreeSet<_> = history.lines().collect();
        assert_eq!((history.lines().count(), runs.len()), (5, 5), "{history}");
    }
    let nothing = landfall.succeed(&request("UNINSTALL_AGENT", world.hosts()));
    assert!(world.hosts().iter().all(|host| nothing.host(&host.ip)["outcome"] == "skipped"));
}

#[test]
fn a_release_that_does_not_answer_is_switched_back_and_the_next_one_comes() {
    let (world, landfall) = scene(&[("w", "windows")]);
    let ip = world.hosts()[0].ip.clone();
    landfall.succeed(&request("INSTALL_AGENT", world.hosts()));
    world.exec("w", &format!("echo 'greeting = mine' >{HOME}/current/etc/agent.conf"));
    for (version, word, why) in [
        ("2.0", "--fail", ("script_failed", "start_failed", "run_script")),
        ("3.0", "--silent", ("unconfirmed", "agent_silent", "verify")),
    ] {
        let broken =
            service(&world, version).start(&format!("bin/agent.exe {word}")).health("tcp = \"127.0.0.1:9100\"\ntimeout_s = 3");
        add(&landfall, broken);
        let report = landfall.run(&request("UPGRADE_AGENT", world.hosts()));
        assert_eq!(report.failure(&ip), why, "{}", report.host(&ip));
        let told = report.host(&ip)["failure"]["message"].as_str().unwrap();
        assert!(told.ends_with("win-agent 1.0 answers again"), "{told}");
        assert_eq!(says(&world, "w", 9100), "ok 1.0");
    }
    add(&landfall, service(&world, "4.0"));
    landfall.succeed(&request("UPGRADE_AGENT", world.hosts()));
    assert_eq!(says(&world, "w", 9100), "ok 4.0");
    assert_eq!(world.exec("w", &format!("cat {HOME}/current/etc/agent.conf")), "greeting = mine\n");
}

#[test]
fn a_run_outlives_its_executor_and_is_followed_to_its_end_by_the_next() {
    let (world, landfall) = scene(&[("w", "windows")]);
    let mut running = landfall.begin(&request("INSTALL_AGENT", world.hosts()));
    let number = running.accepted();
    running.step_started(&world.hosts()[0].ip, "run_script");
    std::thread::sleep(Duration::from_millis(1500));
    running.kill();
    landfall.resume(number).succeeded();
    assert_eq!(says(&world, "w", 9100), "ok 1.0");
    let history = world.exec("w", "cat /C:/ProgramData/landfall/history.log");
    assert_eq!(history.lines().count(), 1, "{history}");
}

#[test]
fn a_cancel_ends_the_run_and_gives_the_host_back() {
    let (world, landfall) = scene(&[("w", "windows")]);
    landfall.succeed(&request("INSTALL_AGENT", world.hosts()));
    add(&landfall, service(&world, "1.1").stop("ping -n 60 127.0.0.1"));
    landfall.succeed(&request("UPGRADE_AGENT", world.hosts()));
    let mut running = landfall.begin(&request("RESTART_AGENT", world.hosts()));
    let number = running.accepted();
    running.step_started(&world.hosts()[0].ip, "run_script");
    let until = Instant::now() + Duration::from_secs(90);
    while !world.exec("w", "ps -ef").contains("ping -n 60") && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(100));
    }
    let done = landfall.call(&["job", "cancel", &number.to_string()]);
    assert_eq!(done.exit, 0, "{}", done.stderr);
    let report = running.report();
    assert_eq!(report.result["status"], "TERMINATED", "{}", report.result);
    assert!(!world.exec("w", "ps -ef").contains("ping -n 60"), "{}", world.exec("w", "ps -ef"));
}

#[test]
fn where_nothing_runs_apart_from_the_session_the_run_is_part_of_it_and_the_record_warns() {
    let (world, landfall) = scene(&[("w", "windows")]);
    let ip = world.hosts()[0].ip.clone();
    world.exec("w", "rm /C:/windows/system32/wbem/wmic.exe /C:/windows/system32/schtasks.exe");
    let report = landfall.succeed(&request("INSTALL_AGENT", world.hosts()));
    let run = report.events_of(&ip, "step_finished").find(|event| event["step"] == "run_script").unwrap().to_string();
    assert!(run.contains("within the session"), "{run}");
    assert_eq!(says(&world, "w", 9100), "ok 1.0");
}

#[test]
fn nasty_values_arrive_as_they_are_and_what_the_code_page_lacks_is_refused() {
    let (world, landfall) = scene(&[("w", "windows")]);
    let nasty = "100% a&b ^x! (中) %PATH% 'q' $(id) `x`";
    let mut install = request("INSTALL_AGENT", world.hosts());
    install["hosts"][0]["paths"] = json!({"setup_path": "C:\\my agents\\100% a&b ^x!中", "log_path": "C:\\log (1)\\日志"});
    install["hosts"][0]["vars"] = json!({"greeting": nasty});
    let report = landfall.succeed(&install);
    let log = landfall.call(&["job", "log", &report.job().to_string()]).stdout;
    assert!(log.contains("100% a&b ^x!中") && !log.contains('\u{fffd}'), "{log}");
    let config = world.exec("w", "cat '/C:/my agents/100% a&b ^x!中/win-agent/current/etc/agent.conf'");
    assert!(config.contains(&format!("greeting = {nasty}\n")), "{config}");
    assert_eq!(says(&world, "w", 9100), "ok 1.0");
    landfall.succeed(&request("UNINSTALL_AGENT", world.hosts()));
    assert!(!is_there(&world, "w", "/C:/my agents"));

    add(&landfall, service(&world, "1.1").start("bin/agent.exe --port {{ vars.port }} --log {{ vars.greeting }}"));
    install["hosts"][0]["vars"] = json!({"greeting": "x\nshutdown /s"});
    let two_lines = landfall.run(&install);
    assert_eq!(two_lines.failure(&world.hosts()[0].ip), ("incompatible", "template_error", "probe"));

    install["hosts"][0]["vars"] = json!({});
    install["hosts"][0]["paths"] = json!({"setup_path": "C:\\agents\\ñandú"});
    let refused = landfall.run(&install);
    assert_eq!(refused.failure(&world.hosts()[0].ip).1, "not_in_codepage");
    install["hosts"][0]["paths"] = json!({"setup_path": "/opt/agents"});
    assert_eq!(landfall.run(&install).exit, 2);
    install["hosts"][0].as_object_mut().unwrap().remove("os_type");
    assert_eq!(landfall.run(&install).failure(&world.hosts()[0].ip).1, "bad_host_path");
}

/// Words with everything in them that cmd.exe or a program's own reading of its command line might take for something else.
fn words() -> impl Strategy<Value = Vec<String>> {
    let piece = select(vec![
        "a", "B", " ", "  ", "\t", "\"", "\\", "\\\\", "%", "%PATH%", "%1", "!", "!x!", "^", "&", "|", "<", ">", "(", ")", "'",
        "`", "$(id)", ",", ";", "=", "*", "?", "@", "~", "-", "/", ":", "中文", "100%",
    ]);
    proptest::collection::vec(proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat()), 1..5)
}

#[test]
fn every_word_of_a_batch_file_reaches_a_program_as_it_is() {
    let world = World::up(&[("w", "windows")]);
    let mut runner = TestRunner::deterministic();
    let cases: Vec<Vec<String>> = (0..300).map(|_| words().new_tree(&mut runner).unwrap().current()).collect();
    let line = |words: &Vec<String>| {
        format!("C:\\words.exe {}\r\n", words.iter().map(|word| cmd::quote(word)).collect::<Vec<_>>().join(" "))
    };
    let batch: String = std::iter::once("@echo off\r\n".to_owned()).chain(cases.iter().map(line)).collect();
    let bytes = codepage::encoded(&batch, 936).unwrap();
    world.exec("w", "cp /opt/landfall-world/words.exe /C:/words.exe && chmod 755 /C:/words.exe");
    world.put("w", "/C:/words.cmd", &bytes);
    let told = world.exec("w", "su Administrator -s /usr/local/sbin/winsh -c 'cmd /d /c C:\\words.cmd' </dev/null");
    let told: Vec<Vec<&str>> =
        told.split(".\r\n").map(|told| told.lines().filter_map(|line| line.strip_prefix('=')).collect()).collect();
    for (case, told) in cases.iter().zip(&told) {
        assert_eq!(told, case, "{}", line(case));
    }
    assert_eq!(told.len(), cases.len() + 1);
}

#[test]
fn a_mixed_job_has_the_steps_of_each_system_and_every_host_its_own_outcome() {
    let world = World::up(&[("w", "windows"), ("l", "password"), ("wrong", "windows")]);
    let landfall = Landfall::new();
    add(&landfall, service(&world, "1.0"));
    add(&landfall, Package::tiny("win-agent").version("1.0.1"));
    let mut job = request("INSTALL_AGENT", world.hosts());
    job["hosts"][1]["os_type"] = "LINUX".into();
    job["hosts"][2]["password"] = "not this one".into();
    // What is not said is found.
    job["hosts"][0].as_object_mut().unwrap().remove("os_type");
    let report = landfall.run(&job);
    let ip = |name: &str| world.host(name).ip.clone();
    assert_eq!((report.exit, report.result["status"].as_str()), (1, Some("PART_FAILED")));
    assert_eq!(report.failure(&ip("wrong")), ("unauthenticated", "password_refused", "connect"));
    assert_eq!((&report.host(&ip("w"))["status"], &report.host(&ip("l"))["status"]), (&"SUCCESS".into(), &"SUCCESS".into()));
    let mut lie = request("RESTART_AGENT", [world.host("l"), world.host("w")]);
    lie["hosts"][1]["os_type"] = "LINUX".into();
    let report = landfall.run(&lie);
    for name in ["l", "w"] {
        assert_eq!(report.failure(&ip(name)).1, "os_mismatch");
        assert!(report.host(&ip(name))["failure"]["message"].as_str().unwrap().contains("WINDOWS"));
        assert!(report.host(&ip(name))["failure"]["message"].as_str().unwrap().contains("LINUX"));
    }
}

#[test]
fn an_account_without_its_rights_changes_nothing_and_uac_is_named() {
    let (world, landfall) = scene(&[("w", "windows")]);
    world.exec("w", "touch /C:/windows/filtered");
    let report = landfall.run(&request("INSTALL_AGENT", world.hosts()));
    assert_eq!(report.failure(&world.hosts()[0].ip), ("unprivileged", "not_elevated", "probe"));
    assert!(report.host(&world.hosts()[0].ip)["failure"]["message"].as_str().unwrap().contains("UAC"));
    assert!(!is_there(&world, "w", "/C:/ProgramData/landfall"));
}

#[test]
fn a_state_directory_of_somebody_else_is_refused_and_an_empty_one_is_made_anew() {
    let (world, landfall) = scene(&[("w", "windows")]);
    let ip = world.hosts()[0].ip.clone();
    world.exec("w", "mkdir -p /C:/ProgramData/landfall && echo evil >/C:/ProgramData/landfall/x");
    assert_eq!(landfall.run(&request("INSTALL_AGENT", world.hosts())).failure(&ip).1, "state_refused");
    world.exec("w", "rm /C:/ProgramData/landfall/x");
    landfall.succeed(&request("INSTALL_AGENT", world.hosts()));
    // What we made is closed to others, and so is the place of the agent, on a drive where anybody may write.
    let closed = world.exec("w", "iconv -f GBK -t UTF-8 /C:/windows/icacls.log");
    for place in ["C:\\ProgramData\\landfall", "C:\\gse"] {
        let is_closed = |line: &str| line.starts_with(&format!("{place} /inheritance:r /grant *S-1-5-32-544:(OI)(CI)F "));
        assert!(closed.lines().any(is_closed), "{place}: {closed}");
    }
    // Taken away and made again by somebody: the mark in the registry is that of another directory.
    let anew = "cd /C:/ProgramData && mkdir new && echo evil >new/x && rm -r landfall && mv new landfall";
    world.exec("w", anew);
    assert_eq!(landfall.run(&request("RESTART_AGENT", world.hosts())).failure(&ip).1, "state_refused");
}

#[test]
fn an_agent_that_is_no_service_is_a_task_also_below_a_path_with_blanks() {
    let world = World::up(&[("w", "windows")]);
    let landfall = Landfall::new();
    add(&landfall, service(&world, "1.0").no_service());
    let mut install = request("INSTALL_AGENT", world.hosts());
    install["paths"] = json!({"setup_path": "C:\\my agents\\100% (a&b)"});
    landfall.succeed(&install);
    assert_eq!(says(&world, "w", 9100), "ok 1.0");
    landfall.succeed(&request("RESTART_AGENT", world.hosts()));
    world.stop("w");
    world.start("w");
    let until = Instant::now() + Duration::from_secs(90);
    while says(&world, "w", 9100) != "ok 1.0" && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(says(&world, "w", 9100), "ok 1.0", "the task starts it with the host");
    landfall.succeed(&request("UNINSTALL_AGENT", world.hosts()));
    assert!(!is_there(&world, "w", "/C:/my agents") && says(&world, "w", 9100).is_empty());
}

#[test]
fn what_cmd_says_in_gbk_is_read_in_the_record() {
    let (world, landfall) = scene(&[("w", "windows")]);
    add(&landfall, service(&world, "2.0").no_service().start("no-such-program"));
    let report = landfall.run(&request("INSTALL_AGENT", world.hosts()));
    assert_eq!(report.failure(&world.hosts()[0].ip).1, "start_failed");
    let log = landfall.call(&["job", "log", &report.job().to_string()]).stdout;
    assert!(log.contains("识别为内部或外部命令") && !log.contains('\u{fffd}'), "{log}");
}

#[test]
fn measured_bt_speed_limit_and_compression_hold_over_sftp() {
    let world = World::up(&[("w", "windows")]);
    let landfall = Landfall::new();
    add(&landfall, service(&world, "1.0").with_noise(12_000_000));
    let mut limited = request("INSTALL_AGENT", world.hosts());
    limited["hosts"][0]["bt_speed_limit"] = 1.into();
    let mut running = landfall.begin(&limited);
    // The step also asks what is there and has it proved; what is limited is what lies between.
    let size =
        || world.exec("w", "cat /C:/ProgramData/landfall/blobs/.*.part 2>/dev/null | wc -c").trim().parse::<f64>().unwrap();
    running.step_started(&world.hosts()[0].ip, "upload_package");
    let until = Instant::now() + Duration::from_secs(90);
    while size() < 1e6 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
    }
    let (begun, before) = (Instant::now(), size());
    std::thread::sleep(Duration::from_secs(8));
    let rate = (size() - before) / 1e6 / begun.elapsed().as_secs_f64();
    assert!((0.95..=1.05).contains(&rate), "{rate} MB/s");
    running.report().succeeded();

    let upload = |report: &Report, kind: &str| {
        let mut events = report.events_of(&world.hosts()[0].ip, kind);
        events.find(|event| event["step"] == "upload_package").unwrap().clone()
    };
    landfall.succeed(&request("UNINSTALL_AGENT", world.hosts()));
    add(&landfall, service(&world, "2.0").with_text(2_000_000));
    let mut small = request("INSTALL_AGENT", world.hosts());
    small["hosts"][0]["enable_compression"] = true.into();
    let figures = upload(&landfall.succeed(&small), "step_finished")["figures"].clone();
    assert!(figures["payload_bytes"].as_u64() < figures["stored_bytes"].as_u64().map(|stored| stored / 2), "{figures}");
}

#[test]
fn plugins_come_with_an_agent_and_go_with_it_and_the_nearest_access_point_is_measured() {
    let (world, landfall) = scene(&[("w", "windows"), ("old", "windows-old")]);
    let port = |name: &str| format!("bin/agent.exe --port {}", if name == "good" { 9201 } else { 9202 });
    for (name, answers) in [("good", 9201), ("other", 9202)] {
        let health = format!("tcp = \"127.0.0.1:{answers}\"");
        add(&landfall, service(&world, "1.0").named(name).plugin_too().start(&port(name)).health(&health));
    }
    let reached = format!("{}:22", world.host("old").ip);
    landfall.site(&format!(
        "[[access_point]]\nid = 1\nname = \"far\"\nservers = {{ cluster = [\"{}:9\"] }}\n\
         [[access_point]]\nid = 2\nname = \"near\"\nservers = {{ cluster = [\"{reached}\"] }}\nwindows = {{ setup_path = 'D:\\unused' }}\n",
        world.closed
    ));
    let mut job = request("INSTALL_AGENT", [world.host("w")]);
    job["hosts"][0]["ap_id"] = (-1).into();
    job["hosts"][0]["paths"] = json!({"setup_path": "C:\\gse"});
    let report = landfall.succeed(&job);
    let ip = &world.host("w").ip;
    let expected = [
        "connect",
        "probe",
        "choose_access_point",
        "upload_package",
        "upload_files",
        "run_script",
        "verify",
        "install_plugins",
        "install_plugins",
        "register",
        "cleanup",
    ];
    assert_eq!(steps(&report, ip), expected);
    let chosen = report.events_of(ip, "step_finished").find(|event| event["step"] == "choose_access_point").unwrap().to_string();
    assert!(chosen.contains("2 of"), "{chosen}");
    assert_eq!((says(&world, "w", 9201), says(&world, "w", 9202)), ("ok 1.0".into(), "ok 1.0".into()));
    landfall.succeed(&request("UNINSTALL_AGENT", [world.host("w")]));
    assert_eq!((says(&world, "w", 9201), says(&world, "w", 9202), says(&world, "w", 9100)), Default::default());
    assert!(!is_there(&world, "w", "/C:/gse"));
}
