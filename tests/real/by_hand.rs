//! Hosts that a person installs: the offered command, pasted into a shell of the host, with each tool that can fetch.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Output;
use std::thread;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::landfall::Landfall;
use crate::package::Package;
use crate::scene::Scene;
use crate::server::Server;
use crate::target::{assert_no_run_twice, await_held, hold_scripts, holds, let_go, until};
use crate::world::World;

/// Hosts have no name of this machine that is a loopback one: the server asks for an app then, and scripts for their token.
const SITE: &str = "[[app]]\ncode = \"a\"\nsecret_hash = \"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4\"\nbusinesses = \"*\"\nkinds = \"*\"\n";

/// A setup path whose name no shell and no JSON may change.
const SETUP: &str = r#"/opt/it's "中文" \n $(id)"#;

/// A server, and a way to it for the hosts of a world.
pub struct Way {
    pub server: Server,
    pub url: String,
}

impl Way {
    fn open(scene: &Scene) -> Self {
        Self::to(&scene.landfall, scene.ip())
    }

    /// For the world that has this host.
    pub fn to(landfall: &Landfall, ip: &str) -> Self {
        landfall.site(SITE);
        let server = Server::start(landfall.command(&[]));
        let to: SocketAddr = server.address().parse().unwrap();
        // The address of this machine in that world.
        let look = UdpSocket::bind("0.0.0.0:0").unwrap();
        look.connect((ip.parse::<IpAddr>().unwrap(), 9)).unwrap();
        let listener = TcpListener::bind((look.local_addr().unwrap().ip(), 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || relay(&stream, to));
            }
        });
        Self { server, url }
    }
}

fn relay(client: &TcpStream, to: SocketAddr) {
    let Ok(server) = TcpStream::connect(to) else { return };
    let (from_client, to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let up = thread::spawn(move || pump(from_client, to_server));
    pump(server, client.try_clone().unwrap());
    let _ = up.join();
}

fn pump(mut from: TcpStream, mut to: TcpStream) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

fn by_hand(kind: &str, ip: &str) -> Value {
    json!({"job_type": kind, "hosts": [{"bk_biz_id": 2, "bk_cloud_id": 0, "inner_ip": ip, "is_manual": true,
        "paths": {"setup_path": SETUP}}]})
}

/// Records a job and gives the command for its only host.
pub fn offered(landfall: &Landfall, job: &Value, url: &str) -> (i64, String) {
    let file = landfall.job_file(job).display().to_string();
    let done = landfall.call(&["manual", &file, "--url", url, "--output", "json"]);
    assert_eq!(done.exit, 0, "{}{}", done.stdout, done.stderr);
    let told: Value = serde_json::from_str(done.stdout.lines().last().unwrap()).unwrap();
    (told["job_id"].as_i64().unwrap(), told["list"][0]["command"].as_str().unwrap().to_owned())
}

pub fn again(landfall: &Landfall, job: i64, url: &str) -> String {
    let done = landfall.call(&["job", "commands", &job.to_string(), "--url", url, "--output", "json"]);
    let told: Value = serde_json::from_str(&done.stdout).unwrap();
    told["list"][0]["command"].as_str().unwrap().to_owned()
}

fn pasted(world: &World, command: &str) -> Output {
    world.output("a", &format!("export HOME=/root; cd /; {command}"))
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[track_caller]
fn installs_and_uninstalls(scene: &Scene, prepare: &str) {
    let Scene { world, landfall, .. } = scene;
    world.exec("a", prepare);
    let way = Way::open(scene);
    let (job, command) = offered(landfall, &by_hand("INSTALL_AGENT", scene.ip()), &way.url);
    let done = pasted(world, &command);
    assert!(done.status.success(), "{}", said(&done));
    let view = landfall.show(job);
    assert_eq!(view["status"], "SUCCESS", "{view}\n{}", said(&done));
    let steps: Vec<&str> =
        view["list"][0]["steps"].as_array().unwrap().iter().map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["probe", "upload_package", "upload_files", "run_script", "verify", "register", "cleanup"]);
    assert_eq!(view["list"][0]["bytes_sent"], scene.archive.size, "{view}");
    let log = landfall.call(&["job", "log", &job.to_string(), scene.ip()]).stdout;
    let whole = world.exec("a", "cat /var/lib/landfall/runs/*/log");
    assert!(log.contains(&whole), "the record has another log:\n{log}\n---\n{whole}");
    assert!(log.contains(&format!("in {SETUP}\n")), "{log}");
    // The agent lives, and nothing of the script is left.
    assert!(holds(world, "a", "grep -q '[b]in/agent' /proc/[0-9]*/cmdline"), "the agent does not run");
    assert!(!holds(world, "a", "ls /root | grep landfall-"), "{}", world.exec("a", "find /root"));
    // The token was good once.
    let second = pasted(world, &command);
    assert!(!second.status.success(), "{}", said(&second));
    assert!(!holds(world, "a", "test -s /root/landfall-1-0/manual.sh"), "{}", said(&second));

    let (gone, command) = offered(landfall, &by_hand("UNINSTALL_AGENT", scene.ip()), &way.url);
    let done = pasted(world, &command);
    assert_eq!(landfall.show(gone)["status"], "SUCCESS", "{}", said(&done));
    assert!(!holds(world, "a", "grep -q '[b]in/agent' /proc/[0-9]*/cmdline"), "the agent runs");
    assert!(!holds(world, "a", "ls /opt | grep 中文"), "its files are there");
    assert_no_run_twice(world, "a");
    way.server.end(Signal::SIGTERM);
}

#[test]
fn a_pasted_command_installs_with_curl() {
    let scene = Scene::one_host(Package::tiny("tiny"));
    installs_and_uninstalls(&scene, "rm -f /usr/bin/wget; command -v curl");
}

#[test]
fn a_pasted_command_installs_with_wget_where_there_is_no_curl() {
    let scene = Scene::one_host(Package::tiny("tiny"));
    installs_and_uninstalls(&scene, "rm -f /usr/bin/curl; wget --version | grep -q GNU");
}

#[test]
fn a_pasted_command_installs_with_busybox_alone() {
    let scene = Scene::new(World::up(&[("a", "busybox")]), Package::tiny("tiny"));
    installs_and_uninstalls(&scene, "rm -f /usr/bin/curl; wget --help 2>&1 | grep -q BusyBox");
}

#[test]
fn without_curl_and_wget_it_says_so_and_the_token_stays() {
    let scene = Scene::one_host(Package::tiny("tiny"));
    let way = Way::open(&scene);
    let (job, command) = offered(&scene.landfall, &by_hand("INSTALL_AGENT", scene.ip()), &way.url);
    scene.world.exec("a", "mkdir /away; mv /usr/bin/curl /usr/bin/wget /away");
    let done = pasted(&scene.world, &command);
    assert!(!done.status.success() && said(&done).contains("neither curl nor wget"), "{}", said(&done));
    assert_eq!(scene.landfall.show(job)["status"], "PENDING");
    scene.world.exec("a", "mv /away/* /usr/bin");
    assert!(pasted(&scene.world, &command).status.success());
    assert_eq!(scene.landfall.show(job)["status"], "SUCCESS");
}

#[test]
fn a_script_that_was_killed_is_begun_again_and_finds_its_run() {
    let scene = Scene::one_host(Package::tiny("tiny"));
    let Scene { world, landfall, .. } = &scene;
    let way = Way::open(&scene);
    hold_scripts(world, "a");
    let (job, command) = offered(landfall, &by_hand("INSTALL_AGENT", scene.ip()), &way.url);
    thread::scope(|scope| {
        let first = scope.spawn(|| pasted(world, &command));
        until("the script to run", || landfall.show(job)["list"][0]["step"] == "run_script");
        await_held(world, "a");
        world.exec(
            "a",
            "for p in /proc/[0-9]*; do case $(tr '\\0' ' ' <$p/cmdline) in 'sh ./manual.sh '*) kill -9 ${p#/proc/} ;; esac; done",
        );
        assert!(!first.join().unwrap().status.success());
        let second = scope.spawn(|| pasted(world, "sh ~/landfall-1-0/manual.sh"));
        let_go(world, "a");
        let done = second.join().unwrap();
        assert!(done.status.success(), "{}", said(&done));
    });
    let view = landfall.show(job);
    assert_eq!((&view["status"], &view["list"][0]["attempts"]), (&json!("SUCCESS"), &json!(1)), "{view}");
    assert_eq!(assert_no_run_twice(world, "a").len(), 1);
    drop(way);
}

#[test]
fn a_cancel_ends_what_the_script_started() {
    let scene = Scene::one_host(Package::tiny("tiny"));
    let Scene { world, landfall, .. } = &scene;
    let way = Way::open(&scene);
    hold_scripts(world, "a");
    let (job, command) = offered(landfall, &by_hand("INSTALL_AGENT", scene.ip()), &way.url);
    thread::scope(|scope| {
        let script = scope.spawn(|| pasted(world, &command));
        until("the script to run", || landfall.show(job)["list"][0]["step"] == "run_script");
        await_held(world, "a");
        landfall.call(&["job", "cancel", &job.to_string()]);
        let done = script.join().unwrap();
        assert!(said(&done).contains("cancelled"), "{}", said(&done));
    });
    let view = landfall.show(job);
    assert_eq!(view["status"], "TERMINATED", "{view}");
    assert!(view["list"][0]["status_display"].as_str().unwrap().contains("its script was ended"), "{view}");
    // Opened again it is another attempt.
    let_go(world, "a");
    landfall.call(&["job", "retry", &job.to_string()]);
    let done = pasted(world, &again(landfall, job, &way.url));
    assert!(done.status.success(), "{}", said(&done));
    assert_eq!(landfall.show(job)["status"], "SUCCESS");
}
