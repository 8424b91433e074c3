//! Values are data, on real hosts: what a request says arrives byte for byte, and nothing of it is ever executed.
//!
//! The same without SSH, for every field and many more values: `tests/values.rs`.

use ::landfall::domain::shell::quote_str;
use serde_json::{Value, json};

use crate::landfall::{Landfall, Report};
use crate::package::Package;
use crate::scene::Scene;
use crate::world::{Host, World};

/// For one line: passwords, paths.
const LINE: &str = "it's $(touch MARK) `touch MARK` ; touch MARK; \"q\" 中文 100% %n {{ 7*7 }} | * $HOME -n \\";

/// For variables.
const TEXT: &str = "-n it's $(touch MARK) `touch MARK`\n\ttouch MARK\n'; touch MARK; '\"; touch MARK; \"\r\n@@lf:end@@\n中文 🦀 100%n {{ 7*7 }} > MARK \\";

/// Tells its words and where it runs; its check tells what it was asked with.
fn teller() -> Package {
    Package::tiny("teller")
        .start(
            "printf '%s\\0' {{ vars.text }} {{ vars.table|tojson }} {{ host.account }} {{ paths.log_path }} \
             >{{ paths.data_path }}/words; exec sh bin/agent",
        )
        .health("command = \"printf '%s\\\\0' {{ vars.text }} {{ vars.list[1] }} >{{ paths.data_path }}/asked\"")
        .config("etc/it's 中文 $(touch MARK).conf", "{{ vars.text }}|{{ vars.table|tojson }}|{{ host.data_path }}")
}

fn place(kind: &str) -> String {
    format!("/opt/{kind} {}", LINE.replace('/', ""))
}

fn request(kind: &str, host: &Host, text: &str) -> Value {
    let mut entry = crate::landfall::entry(host);
    entry["password"] = LINE.into();
    entry.as_object_mut().unwrap().remove("sudo_password");
    entry["data_path"] = place("data").into();
    entry["paths"] =
        json!({"setup_path": place("setup"), "log_path": place("log"), "run_path": place("run"), "temp_path": place("temp")});
    entry["vars"] = json!({"text": text, "list": [1, LINE], "table": {LINE: [true, 1.5, {"x": TEXT}]}, "a b": false});
    json!({"job_type": kind, "hosts": [entry]})
}

fn read(world: &World, host: &Host, path: &str) -> String {
    world.exec(&host.name, &format!("cat {}", quote_str(path)))
}

#[track_caller]
fn assert_nothing_ran(world: &World, host: &Host) {
    let found = world.exec(&host.name, "find / -xdev -name MARK -o -xdev -name 'MARK;'; :");
    assert_eq!(found, "", "{}: a value was executed", host.name);
}

#[track_caller]
fn assert_arrived(world: &World, host: &Host, text: &str) {
    let (home, data) = (format!("{}/teller", place("setup")), place("data"));
    let table = json!({LINE: [true, 1.5, {"x": TEXT}]});
    let told = read(world, host, &format!("{data}/words"));
    let words: Vec<&str> = told.split('\0').collect();
    assert_eq!((words[0], words[2], words[3]), (text, &*host.user, &*place("log")), "{}", host.name);
    assert_eq!(serde_json::from_str::<Value>(words[1]).unwrap(), table, "{}", host.name);
    assert_eq!(read(world, host, &format!("{data}/asked")), format!("{text}\0{LINE}\0"), "{}", host.name);
    let config = read(world, host, &format!("{home}/current/etc/it's 中文 $(touch MARK).conf"));
    let inner = config.strip_prefix(&format!("{text}|")).and_then(|rest| rest.strip_suffix(&format!("|{data}")));
    assert_eq!(inner.map(|inner| serde_json::from_str(inner).unwrap()), Some(table), "{}: {config}", host.name);
}

#[test]
fn nasty_logins_paths_and_variables_arrive_on_every_kind_of_host_and_nothing_is_executed() {
    let kinds =
        [("a", "password"), ("box", "busybox"), ("unit", "systemd"), ("sudo", "sudo"), ("tty", "sudo-tty"), ("csh", "tcsh")];
    let Scene { world, archive, .. } = &Scene::new(World::up(&kinds), teller());
    // Each host has jobs of its own, one after the other: they wait for it, not for each other.
    std::thread::scope(|scope| {
        for host in world.hosts() {
            scope.spawn(move || {
                world.exec(&host.name, &format!("printf '%s\\n' {} | chpasswd", quote_str(&format!("{}:{LINE}", host.user))));
                assert_course(&Landfall::with(&archive.file), world, host);
            });
        }
    });
}

/// From the install to the uninstall of one host.
fn assert_course(landfall: &Landfall, world: &World, host: &Host) {
    let succeed = |kind: &str, text: &str| -> Report { landfall.succeed(&request(kind, host, text)) };
    succeed("INSTALL_AGENT", TEXT);
    assert_arrived(world, host, TEXT);
    if host.name == "box" {
        assert_stray_is_ended(landfall, world, host);
    }
    // It is known again by what the host tells of it.
    succeed("RESTART_AGENT", "x");
    assert_arrived(world, host, TEXT);
    succeed("REINSTALL_AGENT", LINE);
    assert_arrived(world, host, LINE);
    succeed("UNINSTALL_AGENT", LINE);
    for kind in ["setup", "data", "run", "log", "temp"] {
        let left = world.output(&host.name, &format!("ls -d {}", quote_str(&place(kind))));
        assert!(!left.status.success(), "{}: {kind} is still there", host.name);
    }
    assert_nothing_ran(world, host);
}

/// A program that went away from the service is found by where it runs from, also where `ls` cannot write that name.
fn assert_stray_is_ended(landfall: &Landfall, world: &World, host: &Host) {
    let bin = quote_str(&format!("{}/teller/current/bin", place("setup")));
    let stray = format!("cp /bin/busybox {bin}/busybox && {{ setsid {bin}/busybox sleep 1000 </dev/null >/dev/null 2>&1 & }}");
    world.exec(&host.name, &stray);
    let count = || world.exec(&host.name, "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c '[s]leep 1000' || :");
    assert_ne!(count(), "0\n");
    landfall.succeed(&request("RESTART_AGENT", host, "x"));
    assert_eq!(count(), "0\n");
}

#[test]
fn what_cannot_arrive_is_refused_with_its_field_before_anybody_is_called() {
    let scene = Scene::one_host(teller());
    let host = scene.world.host("a");
    for (pointer, value, path) in [
        ("/hosts/0/data_path", json!("/opt/a\nb"), "hosts[0].data_path"),
        ("/hosts/0/paths/log_path", json!("/opt/\u{1b}[31m"), "hosts[0].paths.log_path"),
        ("/hosts/0/password", json!("two\nlines"), "hosts[0].password"),
        ("/hosts/0/vars/text", json!("nul\0"), "hosts[0].vars.text"),
        ("/hosts/0/vars/list/1", json!(null), "hosts[0].vars.list[1]"),
        ("/hosts/0/account", json!("\u{1b}]0;x\u{7}"), "hosts[0].account"),
    ] {
        let mut job = request("INSTALL_AGENT", host, TEXT);
        *job.pointer_mut(pointer).unwrap() = value;
        let report = scene.landfall.run(&job);
        assert_eq!((report.exit, report.result["errors"][0]["path"].as_str()), (2, Some(path)), "{}", report.result);
        assert!(!report.stderr.contains('\u{1b}') && !report.stderr.contains('\u{7}'), "{:?}", report.stderr);
    }
    let contacted = scene.world.exec("a", "ls /var/lib/landfall 2>/dev/null; ls /opt | grep -v ^openssh; :");
    assert_eq!(contacted, "", "nobody was there");
}
