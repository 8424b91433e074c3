//! Hosts whose first process is systemd: the agent and a run are units of their own, so that neither the end of a session nor
//! that of sshd is theirs, and the next boot finds the agent.

use std::process::{Command, Stdio};

use crate::landfall::{Landfall, install, uninstall};
use crate::package::{self, Package};
use crate::scene::Scene;
use crate::target::{
    assert_answers, assert_gone, assert_no_run_twice, await_held, hold_scripts, holds, let_go, metrics, run_id, until,
};
use crate::world::World;

/// The process that systemd takes for the agent.
#[track_caller]
fn main_pid(world: &World) -> String {
    world.exec("a", "systemctl show --property MainPID --value node-exporter.service").trim().to_owned()
}

/// The unit, by its cgroup, that a process of the host belongs to.
#[track_caller]
fn unit_of(world: &World, pid: &str) -> String {
    world.exec("a", &format!("sed -n 's/^0:://p' /proc/{pid}/cgroup")).trim().to_owned()
}

/// Waits until logind knows of nobody who is logged in.
#[track_caller]
fn await_nobody(world: &World) {
    until("the end of every session", || world.exec("a", "loginctl list-sessions --no-legend").is_empty());
}

/// Lets the host shut down in order, as `reboot` does, and start again.
#[track_caller]
fn reboot(world: &World) {
    world.output("a", "systemctl reboot");
    until("the end of the host", || !holds(world, "a", "true"));
    world.stop("a");
    world.start("a");
}

#[test]
fn the_agent_is_a_unit_of_its_own_that_needs_no_session_and_no_sshd() {
    let world = World::up(&[("a", "logind")]);
    let landfall = Landfall::with(&package::node_exporter());
    landfall.succeed(&install(world.hosts()));
    let pid = main_pid(&world);
    assert_eq!(unit_of(&world, &pid), "/system.slice/node-exporter.service");
    assert_eq!(world.exec("a", "systemctl is-enabled node-exporter.service").trim(), "enabled");

    await_nobody(&world);
    assert_answers(world.host("a"));
    world.exec("a", "systemctl stop ssh.service");
    assert_answers(world.host("a"));
    assert_eq!(main_pid(&world), pid);
    world.exec("a", "systemctl start ssh.service");

    landfall.succeed(&uninstall(world.hosts()));
    assert_gone(&world, world.host("a"));
    let unit = world.output("a", "systemctl cat node-exporter.service");
    assert!(!unit.status.success(), "{}", String::from_utf8_lossy(&unit.stdout));
    assert_eq!(world.exec("a", "systemctl list-units --all --plain --no-legend 'landfall-*' 'node-exporter*'").trim(), "");
}

#[test]
fn an_agent_that_is_killed_is_started_again_by_its_unit() {
    let world = World::up(&[("a", "systemd")]);
    Landfall::with(&package::node_exporter()).succeed(&install(world.hosts()));
    let first = main_pid(&world);
    world.exec("a", &format!("kill -KILL {first}"));
    until("another agent", || !["0", first.as_str()].contains(&main_pid(&world).as_str()) && metrics(world.host("a")).is_some());
    assert_eq!(world.exec("a", "systemctl show --property NRestarts --value node-exporter.service").trim(), "1");
    assert_answers(world.host("a"));
}

#[test]
fn after_a_reboot_and_after_a_power_cut_the_agent_answers_with_nobody_logged_in() {
    let world = World::up(&[("a", "logind")]);
    let landfall = Landfall::with(&package::node_exporter());
    landfall.succeed(&install(world.hosts()));
    let boot_id = || world.exec("a", "cat /proc/sys/kernel/random/boot_id");
    let power_cut = |world: &World| {
        world.stop("a");
        world.start("a");
    };
    for begin_anew in [reboot as fn(&World), power_cut] {
        let before = boot_id();
        begin_anew(&world);
        assert_ne!(boot_id(), before);
        // Asked on the host itself, beside SSH.
        let healthy = "wget -q -O - http://127.0.0.1:9100/metrics | grep -q '^node_exporter_build_info'";
        until("the agent after the boot", || holds(&world, "a", healthy));
        assert_eq!(unit_of(&world, &main_pid(&world)), "/system.slice/node-exporter.service");
        assert_eq!(world.exec("a", "loginctl list-sessions --no-legend; journalctl -u ssh -o cat | grep Accepted || :"), "");
    }
    // What systemd started is what was installed: nothing is sent again, and it can be taken away.
    let again = landfall.succeed(&install(world.hosts()));
    assert_eq!(again.host(&world.host("a").ip)["bytes_sent"], 0, "{}", again.result);
    landfall.succeed(&uninstall(world.hosts()));
    assert_gone(&world, world.host("a"));
}

/// Starts a process in a session as detached as a session allows, and gives its pid when the session has ended.
#[track_caller]
fn left_behind(world: &World) -> String {
    let output = Command::new("ssh")
        .arg("-F")
        .arg(world.dir().join("ssh_config"))
        .args(["a", "setsid nohup sleep 600 </dev/null >/dev/null 2>&1 & echo $!"])
        .stdin(Stdio::null())
        .output()
        .expect("ssh runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn a_script_outlives_a_session_of_which_logind_kills_whatever_is_left() {
    let Scene { world, landfall, .. } = Scene::new(World::up(&[("a", "logind")]), Package::tiny("tiny"));
    let ip = &world.host("a").ip;
    hold_scripts(&world, "a");
    let mut running = landfall.begin(&install(world.hosts()));
    let number = running.accepted();
    let run = run_id(&running.step_started(ip, "run_script"));
    await_held(&world, "a");
    let pid = world.exec("a", &format!("cut -d' ' -f1 /var/lib/landfall/runs/{run}/pid"));
    assert_eq!(unit_of(&world, pid.trim()), format!("/system.slice/landfall-{run}.service"));

    running.kill();
    await_nobody(&world);
    // This host does kill: a process of its own session that nobody waits for is gone with the session.
    let other = left_behind(&world);
    until("logind's kill", || !holds(&world, "a", &format!("kill -0 {other}")));
    assert!(holds(&world, "a", &format!("kill -0 {pid}")), "the script went with its session");
    assert!(!holds(&world, "a", "test -e /usr/local/gse/tiny/current"), "the script had ended already");
    let_go(&world, "a");
    until("the end of the script", || holds(&world, "a", &format!("test -e /var/lib/landfall/runs/{run}/exit")));

    let report = landfall.resume(number).succeeded();

    assert_eq!(report.host(ip)["attempts"], 1, "a takeover is not a new attempt");
    assert_eq!(assert_no_run_twice(&world, "a"), [run]);
    assert_eq!(world.exec("a", "systemctl is-active tiny.service").trim(), "active");
}
