//! Every kind of host that real fleets have: what its shell, its sshd, its sudo or its missing tools do to us.

use crate::landfall::{Landfall, Report, install, job, uninstall};
use crate::package::{self, Package};
use crate::scene::Scene;
use crate::target::{assert_answers, assert_gone, assert_no_run_twice, difference, listing, metrics};
use crate::world::World;

/// node_exporter goes onto every host of these kinds in one job, answers, and is taken away again by another.
#[track_caller]
pub fn comes_and_goes(kinds: &[&str]) -> (World, Report) {
    comes_and_goes_where("", kinds)
}

/// The same with a site file.
#[track_caller]
fn comes_and_goes_where(site: &str, kinds: &[&str]) -> (World, Report) {
    let hosts: Vec<(&str, &str)> = kinds.iter().map(|kind| (*kind, *kind)).collect();
    let world = World::up(&hosts);
    let landfall = Landfall::with(&package::node_exporter());
    landfall.site(site);
    let installed = landfall.succeed(&install(world.hosts()));
    for host in world.hosts() {
        assert_answers(host);
        assert_eq!(assert_no_run_twice(&world, &host.name).len(), 1, "{}", host.name);
    }
    landfall.succeed(&uninstall(world.hosts()));
    for host in world.hosts() {
        assert_gone(&world, host);
        let left = world.exec(
            &host.name,
            "ls -d /usr/local/gse /var/lib/gse /etc/init.d/node-exporter /etc/rc*.d/*node-exporter 2>/dev/null || :",
        );
        assert_eq!(left, "", "{}", host.name);
    }
    (world, installed)
}

/// Restarts the agents and takes them away: no run was made twice, and every host is as its listing says it was.
#[track_caller]
pub fn restarts_and_goes(landfall: &Landfall, world: &World, before: &[String]) {
    landfall.succeed(&job("RESTART_AGENT", world.hosts()));
    world.hosts().iter().for_each(assert_answers);
    landfall.succeed(&uninstall(world.hosts()));
    for (host, before) in world.hosts().iter().zip(before) {
        assert_gone(world, host);
        assert_eq!(assert_no_run_twice(world, &host.name).len(), 3, "{}", host.name);
        assert_eq!(difference(before, &listing(world, &host.name)), [""; 0], "{}", host.name);
    }
}

#[test]
fn login_shells_that_are_not_posix_do_not_matter() {
    comes_and_goes(&["csh", "tcsh", "fish", "ksh", "zsh", "rbash"]);
}

#[test]
fn a_noisy_bashrc_is_no_answer_and_busybox_is_enough() {
    comes_and_goes(&["noisy", "busybox"]);
}

#[test]
fn what_a_shell_exports_opens_no_file_to_others_and_a_home_is_not_needed() {
    let (world, _) = comes_and_goes(&["odd-env"]);
    assert_eq!(world.exec("odd-env", "find /var/lib/landfall -perm -002 ! -type l"), "");
}

#[test]
fn an_old_ssh_server_that_is_allowed_and_one_that_talks_before_its_version_are_as_good() {
    comes_and_goes_where("[ssh]\nlegacy_algorithms = [\"10.77.*\"]\n", &["sha1", "talkative"]);
}

#[test]
fn an_old_server_that_nobody_allowed_is_told_and_gets_no_password() {
    let world = World::up(&[("a", "sha1")]);
    let landfall = Landfall::with(&package::node_exporter());
    let report = landfall.run(&install(world.hosts()));
    assert_eq!(report.failure(&world.host("a").ip), ("incompatible", "no_common_algorithm", "connect"));
    assert_eq!(crate::target::sshd_said(&world, "a", "password for"), 0);
}

#[test]
fn a_login_that_runs_something_else_is_told_with_what_that_said() {
    // Kind, class, code, and what the operator is shown of it.
    let table = [
        ("no-login", "unauthenticated", "account_unavailable", "This account is currently not available"),
        ("rc-exits", "incompatible", "no_shell", "maintenance until Monday"),
        ("rc-execs", "incompatible", "no_shell", "uid=0(root)"),
        ("rc-asks", "incompatible", "no_shell", "Which project do you work for?"),
        ("forced", "incompatible", "no_shell", "1) status  2) logs"),
    ];
    let world = World::up(&table.map(|(kind, ..)| (kind, kind)));
    let landfall = Landfall::with(&package::node_exporter());
    let report = landfall.run(&install(world.hosts()));
    for (kind, class, code, words) in table {
        let ip = &world.host(kind).ip;
        assert_eq!(report.failure(ip), (class, code, "probe"), "{kind}");
        assert_eq!(report.events_of(ip, "attempt_failed").count(), 0, "{kind} was tried again");
        let told = report.host(ip)["failure"].to_string();
        assert!(told.contains(words), "{kind}: {told}");
    }
}

#[test]
fn what_an_sshd_refuses_is_not_needed() {
    comes_and_goes(&["no-sftp", "no-forwarding", "one-session", "dropbear", "kbdint"]);
}

#[test]
fn tools_that_may_be_missing_are_not_needed() {
    let (world, report) = comes_and_goes(&["no-tools", "no-gzip", "no-sha256sum", "no-digest"]);
    let upload = |name: &str| {
        let mut steps = report.events_of(&world.host(name).ip, "step_finished");
        steps.find(|event| event["step"] == "upload_package").unwrap_or_else(|| panic!("{name}: no upload"))
    };
    // Without gzip the bare archive travels, which is larger than the stored one.
    let figures = &upload("no-gzip")["figures"];
    assert!(figures["payload_bytes"].as_u64() > figures["stored_bytes"].as_u64(), "{figures}");
    assert_eq!(upload("no-sha256sum")["result"], "done");
}

#[test]
fn a_host_without_tar_is_told_so_before_anything_changes() {
    let world = World::up(&[("a", "no-tar")]);
    let landfall = Landfall::with(&package::node_exporter());
    let before = listing(&world, "a");
    let report = landfall.run(&install(world.hosts()));
    assert_eq!(report.exit, 1);
    assert_eq!(report.failure(&world.host("a").ip), ("incompatible", "missing_tool", "probe"));
    assert_eq!(difference(&before, &listing(&world, "a")), [""; 0]);
}

#[test]
fn a_full_disk_is_named_and_nothing_is_half_installed() {
    let world = World::up(&[("setup", "full-disk"), ("state", "full-state")]);
    let landfall = Landfall::with(&package::node_exporter());
    let before: Vec<String> = world.hosts().iter().map(|host| listing(&world, &host.name)).collect();
    let mut job = install(world.hosts());
    // There is room for the agent, and none for what brings it there.
    job["hosts"][1]["paths"] = serde_json::json!({"setup_path": "/srv/gse"});
    let report = landfall.run(&job);
    assert_eq!(report.exit, 1);
    for (host, before) in world.hosts().iter().zip(&before) {
        let (class, code, _) = report.failure(&host.ip);
        assert_eq!((class, code), ("transfer", "no_space"), "{}", host.name);
        assert_eq!(difference(before, &listing(&world, &host.name)), [""; 0], "{}", host.name);
        assert!(metrics(host).is_none());
    }
    let told = report.host(&world.host("setup").ip)["failure"]["message"].to_string();
    assert!(told.contains("/usr/local"), "{told}");
    let told = report.host(&world.host("state").ip)["failure"]["message"].to_string();
    assert!(told.contains("/var/lib/landfall") && told.contains("/root/.landfall"), "{told}");
}

#[test]
fn state_goes_to_the_first_place_that_takes_it_and_without_one_each_is_named_with_its_reason() {
    let world = World::up(&[("odd", "odd-places"), ("none", "no-places")]);
    let landfall = Landfall::with(&package::node_exporter());
    let mut job = install(world.hosts());
    job["paths"] = serde_json::json!({"setup_path": "/srv/gse", "data_path": "/srv/gse-data"});
    let report = landfall.run(&job);
    let odd = world.host("odd");
    assert_eq!(report.host(&odd.ip)["status"], "SUCCESS", "{}", report.stdout);
    assert_answers(odd);
    world.exec("odd", "test -f /usr/local/landfall/history.log");
    let none = &world.host("none").ip;
    assert_eq!(report.failure(none), ("transfer", "no_space", "probe"));
    let told = report.host(none)["failure"]["message"].to_string();
    for (place, why) in [("/var/lib", "no_inodes"), ("/opt", "ro"), ("/usr/local", "link"), ("/root/.", "ro")] {
        let (_, after) = told.split_once(place).unwrap_or_else(|| panic!("{place} is missing: {told}"));
        let (reason, _) = after.split_once(')').unwrap();
        assert!(reason.ends_with(why), "{place}: {told}");
    }
    let mut uninstall = uninstall([odd]);
    uninstall["paths"] = job["paths"].clone();
    landfall.succeed(&uninstall);
    assert_gone(&world, odd);
}

#[test]
fn a_disk_that_fills_while_the_script_works_is_a_full_disk_too() {
    let Scene { world, landfall, .. } = Scene::one_host(Package::tiny("tiny").with_noise(3_000_000));
    // Room enough by what df says before, none by the time tar writes.
    crate::target::hold_scripts(&world, "a");
    world.exec("a", "mkdir -p /usr/local/gse && mount -t tmpfs -o size=8m,mode=755 small /usr/local/gse");
    let running = landfall.begin(&install(world.hosts()));
    crate::target::await_held(&world, "a");
    world.exec("a", "cat /dev/zero >/usr/local/gse/.filler 2>/dev/null || :");
    crate::target::let_go(&world, "a");
    let report = running.report();
    assert_eq!(report.failure(&world.host("a").ip), ("transfer", "disk_full", "run_script"));
    assert_eq!(world.exec("a", "ls /usr/local/gse/tiny/releases 2>/dev/null || :"), "");
}
