//! AIX and Solaris hosts: what those systems lack is not there or refuses, and what starts services there keeps its books
//! (`tests/world/README.md`, `docs/os-support.md`). Their `sh` knows no `local`, that of Solaris not even `$(`.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::by_hand::{Way, offered};
use crate::landfall::{Landfall, Report, Running, job};
use crate::package::Package;
use crate::windows::{add, quoted};
use crate::world::{Host, World};

/// Each system, new and old: SRC, inittab, SMF, rc3.d start the agent.
const ALL: [(&str, &str); 4] = [("a", "aix"), ("ao", "aix-old"), ("s", "solaris"), ("so", "solaris-old")];

const HOME: &str = "/usr/local/gse/unix-agent";

/// The agent that the test world has for such hosts.
pub fn agent(world: &World, name: &str, version: &str) -> Package {
    Package::unix("unix-agent", world.bytes(name, "cat /opt/landfall-world/agent")).version(version)
}

/// The site of hosts whose sshd is as old as these.
fn legacy() -> String {
    "[ssh]\nlegacy_algorithms = [\"10.77.*\"]\n".into()
}

/// A world and an installation that has the agent's first release.
fn scene(hosts: &[(&str, &str)]) -> (World, Landfall) {
    let world = World::up(hosts);
    let landfall = Landfall::new();
    landfall.site(&legacy());
    add(&landfall, agent(&world, hosts[0].0, "1.0"));
    (world, landfall)
}

/// A request that says what its hosts are.
fn request<'a>(kind: &str, hosts: impl IntoIterator<Item = &'a Host> + Clone) -> Value {
    let mut job = job(kind, hosts.clone());
    for (entry, host) in job["hosts"].as_array_mut().unwrap().iter_mut().zip(hosts) {
        entry["os_type"] = if host.kind.starts_with("aix") { "AIX" } else { "SOLARIS" }.into();
    }
    job
}

fn steps(report: &Report, ip: &str) -> Vec<String> {
    report.events_of(ip, "step_started").map(|event| event["step"].as_str().unwrap().to_owned()).collect()
}

/// A line of shell on the host beside its guards, by tools of Debian.
fn beside(world: &World, name: &str, line: &str) -> String {
    let output = world.output(name, &format!("/.real/bin/env PATH=/.real/bin /.real/bin/dash -c {}", quoted(line)));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What the agent answers to a request from its own host.
fn says(world: &World, name: &str) -> String {
    beside(world, name, "curl -s -m 5 http://127.0.0.1:9100/").trim().to_owned()
}

fn is_there(world: &World, name: &str, path: &str) -> bool {
    beside(world, name, &format!("test -e {path} && echo yes")).contains("yes")
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(90);
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Waits until every host is at that step, in whatever order they get there.
fn all_at(running: &mut Running, world: &World, step: &str) {
    let left = RefCell::new(world.hosts().iter().map(|host| host.ip.as_str()).collect::<BTreeSet<_>>());
    running.wait_for(&format!("{step} on every host"), |event| {
        if event["kind"] == "step_started" && event["step"] == step {
            left.borrow_mut().remove(event["host"]["ip"].as_str().unwrap_or_default());
        }
        left.borrow().is_empty()
    });
}

#[test]
fn an_agent_is_installed_kept_reloaded_restarted_and_removed() {
    let (world, landfall) = scene(&ALL);
    let first = landfall.succeed(&request("INSTALL_AGENT", world.hosts()));
    for host in world.hosts() {
        let expected = ["connect", "probe", "upload_package", "upload_files", "run_script", "verify", "register", "cleanup"];
        assert_eq!(steps(&first, &host.ip), expected, "{}", host.name);
        assert_eq!(says(&world, &host.name), "ok 1.0", "{}", host.name);
    }
    let again = landfall.succeed(&request("REINSTALL_AGENT", world.hosts()));
    for host in world.hosts() {
        assert_eq!(again.host(&host.ip)["bytes_sent"], 0, "{}", host.name);
        assert_eq!(says(&world, &host.name), "ok 1.0", "{}", host.name);
    }
    let mut reload = request("RELOAD_AGENT", world.hosts());
    reload["hosts"].as_array_mut().unwrap().iter_mut().for_each(|host| host["vars"] = json!({"greeting": "你好"}));
    landfall.succeed(&reload);
    for host in world.hosts() {
        let config = beside(&world, &host.name, &format!("cat {HOME}/current/etc/agent.conf"));
        assert!(config.contains("greeting = 你好"), "{}: {config}", host.name);
    }
    let restarted = landfall.succeed(&request("RESTART_AGENT", world.hosts()));
    world.hosts().iter().for_each(|host| assert_eq!(steps(&restarted, &host.ip), ["connect", "probe", "run_script", "verify"]));
    landfall.succeed(&request("UNINSTALL_AGENT", world.hosts()));
    for host in world.hosts() {
        assert!(!is_there(&world, &host.name, "/usr/local/gse"), "{}", beside(&world, &host.name, "ls -R /usr/local/gse"));
        assert_eq!(says(&world, &host.name), "", "{}", host.name);
        let history = beside(&world, &host.name, "cat /var/lib/landfall/history.log");
        let runs: BTreeSet<_> = history.lines().collect();
        assert_eq!((history.lines().count(), runs.len()), (5, 5), "{}: {history}", host.name);
    }
    let nothing = landfall.succeed(&request("UNINSTALL_AGENT", world.hosts()));
    assert!(world.hosts().iter().all(|host| nothing.host(&host.ip)["outcome"] == "skipped"));
}

#[test]
fn a_release_that_does_not_answer_is_switched_back_and_the_next_one_comes() {
    let (world, landfall) = scene(&ALL);
    landfall.succeed(&request("INSTALL_AGENT", world.hosts()));
    for host in world.hosts() {
        beside(&world, &host.name, &format!("echo greeting = mine >{HOME}/current/etc/agent.conf"));
    }
    for (version, word, why) in [
        ("2.0", "--fail", ("script_failed", "start_failed", "run_script")),
        ("3.0", "--silent", ("unconfirmed", "agent_silent", "verify")),
    ] {
        let broken = agent(&world, "a", version);
        add(&landfall, broken.start(&format!("exec bin/agent {word}")).health("tcp = \"127.0.0.1:9100\"\ntimeout_s = 3"));
        let report = landfall.run(&request("UPGRADE_AGENT", world.hosts()));
        for host in world.hosts() {
            assert_eq!(report.failure(&host.ip), why, "{}: {}", host.name, report.host(&host.ip));
            let told = report.host(&host.ip)["failure"]["message"].as_str().unwrap();
            assert!(told.ends_with("unix-agent 1.0 answers again"), "{}: {told}", host.name);
            assert_eq!(says(&world, &host.name), "ok 1.0", "{}", host.name);
        }
    }
    add(&landfall, agent(&world, "a", "4.0"));
    landfall.succeed(&request("UPGRADE_AGENT", world.hosts()));
    for host in world.hosts() {
        assert_eq!(says(&world, &host.name), "ok 4.0", "{}", host.name);
        assert_eq!(beside(&world, &host.name, &format!("cat {HOME}/current/etc/agent.conf")), "greeting = mine\n");
    }
}

#[test]
fn a_run_outlives_its_executor_and_is_followed_to_its_end_by_the_next() {
    let (world, landfall) = scene(&ALL);
    let mut running = landfall.begin(&request("INSTALL_AGENT", world.hosts()));
    let number = running.accepted();
    all_at(&mut running, &world, "run_script");
    running.kill();
    landfall.resume(number).succeeded();
    for host in world.hosts() {
        assert_eq!(says(&world, &host.name), "ok 1.0", "{}", host.name);
        let history = beside(&world, &host.name, "cat /var/lib/landfall/history.log");
        assert_eq!(history.lines().count(), 1, "{}: {history}", host.name);
    }
}

#[test]
fn a_cancel_ends_the_run_with_all_that_it_started() {
    let (world, landfall) = scene(&ALL);
    landfall.succeed(&request("INSTALL_AGENT", world.hosts()));
    add(&landfall, agent(&world, "a", "1.1").stop("sleep 61"));
    landfall.succeed(&request("UPGRADE_AGENT", world.hosts()));
    let mut running = landfall.begin(&request("RESTART_AGENT", world.hosts()));
    let number = running.accepted();
    let sleeps = |host: &Host| beside(&world, &host.name, "ps -ef").contains("sleep 61");
    all_at(&mut running, &world, "run_script");
    world.hosts().iter().for_each(|host| until("the stop command", || sleeps(host)));
    let done = landfall.call(&["job", "cancel", &number.to_string()]);
    assert_eq!(done.exit, 0, "{}", done.stderr);
    let report = running.report();
    assert_eq!(report.result["status"], "TERMINATED", "{}", report.result);
    for host in world.hosts() {
        if host.name == "s" {
            // SMF runs it, and gives it its 10 s.
            until("the stop command to end", || !sleeps(host));
        }
        assert!(!sleeps(host), "{}: {}", host.name, beside(&world, &host.name, "ps -ef"));
    }
}

#[test]
fn the_host_starts_its_agent_when_it_starts_and_again_when_it_dies() {
    let (world, landfall) = scene(&ALL);
    landfall.succeed(&request("INSTALL_AGENT", world.hosts()));
    for host in world.hosts() {
        world.stop(&host.name);
        world.start(&host.name);
    }
    for host in world.hosts() {
        until(&format!("{} starts it", host.name), || says(&world, &host.name) == "ok 1.0");
    }
    let pid = |name: &str| beside(&world, name, "pgrep -o -f '^bin/agent --port'").trim().to_owned();
    for name in ["a", "s"] {
        let before = pid(name);
        beside(&world, name, &format!("kill -9 {before}"));
        let is_another = |now: String| !now.is_empty() && now != before;
        until(&format!("{name} starts it again"), || is_another(pid(name)) && says(&world, name) == "ok 1.0");
    }
    landfall.succeed(&request("RESTART_AGENT", world.hosts()));
    landfall.succeed(&request("UNINSTALL_AGENT", world.hosts()));
    let registered = "ls -d /etc/init.d/unix-agent /etc/rc?.d/*unix-agent /etc/objrepos/SRCsubsys/unix-agent \
        /var/svc/manifest/site/*unix-agent* 2>/dev/null; grep unix-agent /etc/inittab 2>/dev/null";
    for host in world.hosts() {
        assert_eq!(beside(&world, &host.name, registered), "", "{}", host.name);
        world.stop(&host.name);
        world.start(&host.name);
        assert_eq!(says(&world, &host.name), "", "{}", host.name);
    }
}

#[test]
fn a_key_opens_these_hosts_too_and_what_their_sshd_lacks_is_named_where_no_pattern_allows_it() {
    let (world, landfall) = scene(&[("a", "aix"), ("s", "solaris")]);
    let mut install = request("INSTALL_AGENT", world.hosts());
    let key = std::fs::read_to_string(&world.key_file).unwrap();
    for host in install["hosts"].as_array_mut().unwrap() {
        let entry = host.as_object_mut().unwrap();
        entry.remove("password");
        entry.insert("auth_type".into(), "KEY".into());
        entry.insert("key".into(), key.clone().into());
    }
    landfall.succeed(&install);
    landfall.site("");
    let report = landfall.run(&request("RESTART_AGENT", world.hosts()));
    let (old, new) = (&world.host("s").ip, &world.host("a").ip);
    assert_eq!(report.failure(old).2, "connect");
    assert!(report.host(old)["failure"].to_string().contains("legacy_algorithms"), "{}", report.host(old));
    assert_eq!(report.host(new)["status"], "SUCCESS");
}

#[test]
fn one_job_has_hosts_of_all_four_systems_and_two_of_them_are_behind_a_proxy() {
    let world =
        World::up(&[("a", "aix"), ("s", "solaris"), ("w", "windows"), ("l", "password"), ("proxy", "key"), ("behind", "aix")]);
    world.hide(&["s", "behind"]);
    let landfall = Landfall::new();
    landfall.site(&format!(
        "{}[[cloud]]\nid = 2\n[[proxy]]\ncloud = 2\ninner_ip = \"{}\"\nkey = {{ file = \"{}\" }}\n",
        legacy(),
        world.host("proxy").ip,
        world.key_file.display()
    ));
    let program = world.bytes("a", "cat /opt/landfall-world/agent");
    for (os, cpu) in [("aix", "powerpc"), ("aix", "ppc64"), ("solaris", "sparc"), ("linux", "x86_64")] {
        add(&landfall, Package::unix("agent", program.clone()).version("1.0").built_for(os, cpu));
    }
    let windows = world.bytes("w", "cat /opt/landfall-world/agent.exe");
    add(&landfall, Package::windows("agent", windows).version("1.0"));
    let mut install = job("INSTALL_AGENT", ["a", "s", "w", "l", "behind"].map(|name| world.host(name)));
    for (at, cloud) in [(1, 2), (4, 2)] {
        install["hosts"][at]["bk_cloud_id"] = cloud.into();
    }
    for (at, os) in [(0, "AIX"), (1, "SOLARIS"), (2, "WINDOWS"), (3, "LINUX")] {
        install["hosts"][at]["os_type"] = os.into();
    }
    // What is not said is found.
    install["hosts"][4].as_object_mut().unwrap().remove("os_type");
    let report = landfall.succeed(&install);
    let view = landfall.show(report.job());
    for (name, told) in
        [("a", "AIX 7.2"), ("s", "Solaris 10 sparc, smf, zone global"), ("w", ""), ("l", "x86_64"), ("behind", "AIX")]
    {
        let host = view["list"].as_array().unwrap().iter().find(|host| host["ip"] == world.host(name).ip.as_str()).unwrap();
        let step = |wanted: &str| host["steps"].as_array().unwrap().iter().find(|step| step["step"] == wanted).unwrap().clone();
        assert!(step("probe")["detail"].as_str().unwrap().contains(told), "{name}: {host}");
        let is_behind = name == "s" || name == "behind";
        assert_eq!(step("connect")["detail"].as_str().unwrap().contains(" via "), is_behind, "{name}: {host}");
    }
    let built_for = beside(&world, "a", "cat /usr/local/gse/agent/current/package.toml");
    assert!(built_for.contains("ppc64"), "{built_for}");

    let mut lie = request("RESTART_AGENT", [world.host("a")]);
    lie["hosts"][0]["os_type"] = "LINUX".into();
    let mut other = job("RESTART_AGENT", [world.host("l")]);
    other["hosts"][0]["os_type"] = "AIX".into();
    for (lie, name) in [(lie, "a"), (other, "l")] {
        let report = landfall.run(&lie);
        assert_eq!(report.failure(&world.host(name).ip).1, "os_mismatch");
        let message = report.host(&world.host(name).ip)["failure"]["message"].as_str().unwrap();
        assert!(message.contains("AIX") && message.contains("LINUX"), "{message}");
    }
    let proxy = landfall.run(&{
        let mut job = request("INSTALL_PROXY", [world.host("a")]);
        job["hosts"][0]["bk_cloud_id"] = 2.into();
        job["hosts"][0]["outer_ip"] = "192.0.2.1".into();
        job
    });
    let left_out = &proxy.result["data"]["ip_filter"][0]["exception"];
    assert_eq!((proxy.exit, left_out), (3, &"unsupported".into()), "{}", proxy.result);
}

#[test]
fn nasty_values_arrive_as_they_are() {
    let (world, landfall) = scene(&ALL);
    let nasty = "it's \"100%\" a&b `id` $(id) \\n 中文 \\";
    let mut install = request("INSTALL_AGENT", world.hosts());
    for host in install["hosts"].as_array_mut().unwrap() {
        host["paths"] = json!({"setup_path": "/opt/my agents/it's $(id) & <中>", "log_path": "/var/log/a b"});
        host["vars"] = json!({"greeting": nasty});
    }
    let report = landfall.run(&install);
    // An entry of inittab can quote no quote; its host has another path then.
    assert_eq!(report.failure(&world.host("ao").ip), ("script_failed", "unsafe_path", "run_script"));
    install["hosts"][1]["paths"]["setup_path"] = "/opt/my agents/its $(id) & <中>".into();
    let report = landfall.succeed(&install);
    let log = landfall.call(&["job", "log", &report.job().to_string()]).stdout;
    assert!(log.contains("s $(id) & <中>"), "{log}");
    for host in world.hosts() {
        let config = beside(&world, &host.name, "cat /opt/my*/it*/unix-agent/current/etc/agent.conf");
        assert_eq!(config, format!("greeting = {nasty}\n"), "{}", host.name);
        assert_eq!(says(&world, &host.name), "ok 1.0", "{}", host.name);
    }
    landfall.succeed(&request("RESTART_AGENT", world.hosts()));
    landfall.succeed(&request("UNINSTALL_AGENT", world.hosts()));
    for host in world.hosts() {
        assert!(!is_there(&world, &host.name, "/opt/my*"), "{}", beside(&world, &host.name, "ls -R /opt"));
    }
}

#[test]
fn plugins_come_with_an_agent_and_go_with_it_and_the_nearest_access_point_is_measured() {
    let (world, landfall) = scene(&[("a", "aix"), ("s", "solaris")]);
    let plugin = agent(&world, "a", "1.0").named("good").plugin_too().start("exec bin/agent --port 9201");
    add(&landfall, plugin.health("tcp = \"127.0.0.1:9201\""));
    landfall.site(&format!(
        "{}[[access_point]]\nid = 1\nname = \"far\"\nservers = {{ cluster = [\"{}:9\"] }}\n\
         [[access_point]]\nid = 2\nname = \"near\"\nservers = {{ cluster = [\"{}:22\"] }}\n",
        legacy(),
        world.closed,
        world.host("a").ip
    ));
    let mut install = request("INSTALL_AGENT", world.hosts());
    install["hosts"].as_array_mut().unwrap().iter_mut().for_each(|host| host["ap_id"] = (-1).into());
    let report = landfall.succeed(&install);
    for host in world.hosts() {
        let step =
            |name: &str| report.events_of(&host.ip, "step_finished").find(|event| event["step"] == name).unwrap().to_string();
        assert!(step("choose_access_point").contains("2 of"), "{}", step("choose_access_point"));
        step("install_plugins");
        assert!(is_there(&world, &host.name, "/usr/local/gse/good/current"));
    }
    landfall.succeed(&request("UNINSTALL_AGENT", world.hosts()));
    assert!(world.hosts().iter().all(|host| !is_there(&world, &host.name, "/usr/local/gse")));
}

#[test]
fn measured_bt_speed_limit_holds_and_compression_needs_gzip() {
    let (world, landfall) = scene(&[("a", "aix"), ("s", "solaris"), ("so", "solaris-old")]);
    add(&landfall, agent(&world, "a", "2.0").with_noise(9_000_000));
    let mut limited = request("INSTALL_AGENT", [world.host("a"), world.host("s")]);
    limited["hosts"].as_array_mut().unwrap().iter_mut().for_each(|host| host["bt_speed_limit"] = 1.into());
    let size = |name: &str| {
        let told = beside(&world, name, "cat /var/lib/landfall/blobs/.*.part 2>/dev/null | wc -c");
        (Instant::now(), told.trim().parse::<f64>().unwrap_or_else(|_| panic!("{name}: {told}")))
    };
    let running = landfall.begin(&limited);
    for name in ["a", "s"] {
        until("the upload", || size(name).1 > 5e5);
    }
    let before = ["a", "s"].map(size);
    std::thread::sleep(Duration::from_secs(6));
    for ((begun, before), (at, after)) in before.into_iter().zip(["a", "s"].map(size)) {
        let rate = (after - before) / 1e6 / (at - begun).as_secs_f64();
        assert!((0.95..=1.05).contains(&rate), "{rate} MB/s");
    }
    running.report().succeeded();

    landfall.succeed(&request("UNINSTALL_AGENT", [world.host("a"), world.host("s")]));
    add(&landfall, agent(&world, "a", "3.0").with_text(2_000_000));
    let mut small = request("INSTALL_AGENT", world.hosts());
    small["hosts"].as_array_mut().unwrap().iter_mut().for_each(|host| host["enable_compression"] = true.into());
    let report = landfall.succeed(&small);
    for (name, is_smaller) in [("a", true), ("s", true), ("so", false)] {
        let ip = &world.host(name).ip;
        let upload = report.events_of(ip, "step_finished").find(|event| event["step"] == "upload_package").unwrap();
        let figures = &upload["figures"];
        let (sent, stored) = (figures["payload_bytes"].as_u64().unwrap(), figures["stored_bytes"].as_u64().unwrap());
        assert_eq!(sent < stored / 2, is_smaller, "{name}: {figures}");
    }
}

#[test]
fn a_person_installs_by_a_ksh_command_or_is_told_that_there_is_no_http_client() {
    let (world, landfall) = scene(&ALL);
    for host in world.hosts() {
        let way = Way::to(&landfall, &host.ip);
        let request = |kind: &str| {
            let mut job = request(kind, [host]);
            job["hosts"] = json!([{"bk_biz_id": 2, "bk_cloud_id": 0, "inner_ip": host.ip, "is_manual": true,
                "os_type": job["hosts"][0]["os_type"]}]);
            job
        };
        let (number, command) = offered(&landfall, &request("INSTALL_AGENT"), &way.url);
        assert!(command.starts_with("ksh -c "), "{command}");
        // As a person's login shell does it.
        let pasted = |command: &str| {
            let line =
                format!("cd /root; env -i HOME=/root PATH=/usr/bin:/usr/sbin /usr/bin/su root -c {} 2>&1", quoted(command));
            beside(&world, &host.name, &line)
        };
        let said = pasted(&command);
        if host.kind.ends_with("-old") {
            assert!(said.contains("no HTTP client on this host"), "{}: {said}", host.name);
            assert_eq!(landfall.show(number)["status"], "PENDING");
            continue;
        }
        let view = landfall.show(number);
        assert_eq!(view["status"], "SUCCESS", "{}: {view}\n{said}", host.name);
        assert_eq!(says(&world, &host.name), "ok 1.0", "{}", host.name);
        let (number, command) = offered(&landfall, &request("UNINSTALL_AGENT"), &way.url);
        let said = pasted(&command);
        assert_eq!(landfall.show(number)["status"], "SUCCESS", "{}: {said}", host.name);
        assert_eq!(says(&world, &host.name), "", "{}", host.name);
    }
}

/// What a person runs on a real machine: no check fails where the scripts are known to work.
#[test]
fn the_self_test_finds_nothing_wrong_and_leaves_nothing_behind() {
    let world = World::up(&[("s", "solaris")]);
    let tar = std::process::Command::new("tar")
        .args(["-C", env!("CARGO_MANIFEST_DIR"), "--format=ustar", "-cf", "-", "scripts", "templates"])
        .output()
        .unwrap();
    world.put("s", "/var/tmp/lf.tar", &tar.stdout);
    let done = world.output("s", "cd /var/tmp && tar xof lf.tar && sh scripts/solaris/selftest.sh");
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.contains(" 0 FAIL"), "{said}");
    assert_eq!(beside(&world, "s", "ls -d /var/tmp/lf-selftest* /usr/local/gse 2>/dev/null"), "");
}
