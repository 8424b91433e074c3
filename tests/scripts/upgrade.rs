//! agent.sh with upgrade.sh: a new release comes beside the old, keeps its configuration, and can be gone back from.

use std::time::Duration;

use crate::boot::with_systemd;
use crate::sandbox::{Sandbox, under_every_shell};
use crate::target::{Agent, STATE, exit_code, file};

const HOME: &str = "/opt/land/agents/demo";

/// The release that is installed before each story.
fn old() -> Agent {
    Agent { release: "1", extra: vec![file("stop", 0o755, "#!/bin/sh\necho stop 1 >>/tmp/said\n")], ..Agent::default() }
}

/// The one that follows, brought by a task of its own.
fn new(task: &'static str, release: &'static str) -> Agent {
    Agent { task, release, ..Agent::default() }
}

fn current(host: &Sandbox) -> String {
    host.sh(&format!("readlink {HOME}/current"))
}

/// Everything that tells the releases apart, as it is right now.
fn installed(host: &Sandbox) -> String {
    host.sh(&format!("cd {HOME}; readlink current; cat landfall.toml start service; cat stop 2>/dev/null || :"))
}

fn pid(host: &Sandbox) -> String {
    host.sh("cut -d ' ' -f 1 /var/run/land/demo.pid")
}

/// One agent runs, and it is that of `current`.
fn assert_runs(host: &Sandbox) {
    let cwd = host.sh(&format!("ls -l /proc/{}/cwd | sed 's/.* -> //'", pid(host)));
    assert_eq!(cwd, format!("{HOME}/{}", current(host)));
    assert_eq!(host.processes("bin/agent").len(), 1);
}

#[test]
fn an_upgrade_keeps_configuration_and_data_and_the_old_release_beside_the_new() {
    under_every_shell(|host| {
        old().does(host, "install");
        host.sh(&format!(
            "cd {HOME}/current; echo edited >>etc/agent.conf; chmod 600 etc/agent.conf; chown daemon etc/agent.conf; rm empty; \
             echo x >/var/lib/land/data/mine"
        ));
        let before = installed(host);
        let log = new("task2", "2").does(host, "upgrade");
        let order = ["unpack_pkg DONE", "stop_agent START", "setup_agent DONE", "start_agent DONE", "check_deploy_result DONE"];
        let places: Vec<_> = order.iter().map(|step| log.find(step).unwrap_or_else(|| panic!("{step}: {log}"))).collect();
        assert!(places.is_sorted(), "{log}");
        assert!(log.contains("etc/agent.conf is that of 1"), "{log}");
        assert_eq!(current(host), "releases/2");
        assert_eq!(host.sh(&format!("cat {HOME}/current/etc/agent.conf; ls -l {HOME}/current/etc/agent.conf | cut -c 1-10")), {
            "port = 1\nedited\n-rw-------"
        });
        assert_eq!(
            host.sh(&format!("find {HOME}/current/etc/agent.conf -user daemon | wc -l; ls {HOME}/current/empty | wc -l")),
            { "1\n1" }
        );
        assert_eq!(host.sh(&format!("ls {HOME}/releases; cat /var/lib/land/data/mine /tmp/said")), "1\n2\nx\nstop 1");
        assert!(installed(host).contains("release = \"2\"") && !host.sh(&format!("ls {HOME}")).contains("stop"));
        assert_runs(host);
        // What started the old one is kept, and readable by root alone.
        assert_eq!(host.sh(&format!("ls -ld {HOME}/previous | cut -c 1-10; cat {HOME}/previous/release")), "drwx------\n1");
        assert!(before.contains(&host.sh(&format!("cat {HOME}/previous/landfall.toml"))));
        new("task2", "2").does(host, "uninstall");
        assert_eq!(host.sh("ls /opt"), "");
    });
}

#[test]
fn the_next_upgrade_takes_away_the_release_before_the_last() {
    under_every_shell(|host| {
        old().does(host, "install");
        for (task, release, kept) in [("task2", "2", "1\n2"), ("task3", "3", "2\n3"), ("task4", "2", "2\n3")] {
            new(task, release).does(host, "upgrade");
            assert_eq!(host.sh(&format!("ls {HOME}/releases")), kept);
            assert_eq!(current(host), format!("releases/{release}"));
            assert_runs(host);
        }
        // An install is not gone back from.
        new("task5", "5").does(host, "install");
        assert_eq!(host.sh(&format!("ls {HOME}/releases; ls {HOME} | grep previous || :")), "2\n5");
    });
}

#[test]
fn an_upgrade_to_what_runs_already_leaves_it_alone_and_starts_it_when_it_does_not() {
    under_every_shell(|host| {
        let agent = new("task", "1");
        agent.does(host, "install");
        host.sh(&format!("echo edited >>{HOME}/current/etc/agent.conf"));
        let first = pid(host);
        let again = new("task2", "1");
        let log = again.does(host, "upgrade");
        assert!(log.contains("1 runs already and is left alone"), "{log}");
        assert_eq!(pid(host), first);
        // The package itself is not needed for that.
        host.sh(&format!("rm -r {STATE}/blobs"));
        assert_eq!(again.judged(host, "upgrade"), 0);
        host.sh(&format!("sh {HOME}/service stop"));
        again.does(host, "upgrade");
        assert_runs(host);
        // Other values of the same release.
        let other = Agent { start: "exec bin/agent --loud", ..new("task3", "1") };
        other.does(host, "upgrade");
        assert!(host.sh(&format!("cat {HOME}/start")).contains("--loud"));
        other.does(host, "switch_back");
        assert!(!host.sh(&format!("cat {HOME}/start")).contains("--loud"));
        assert_runs(host);
        assert_eq!(host.sh(&format!("cat {HOME}/current/etc/agent.conf; ls {HOME}/releases")), "port = 1\nedited\n1");
    });
}

#[test]
fn a_release_that_does_not_start_is_gone_back_from() {
    under_every_shell(|host| {
        old().does(host, "install");
        host.sh(&format!("echo edited >>{HOME}/current/etc/agent.conf"));
        let before = installed(host);
        let bad = Agent { start: "echo port taken; exit 3", ..new("task2", "2") };
        let log = bad.fails(host, "upgrade", "start_failed");
        assert!(log.contains(" - port taken"), "{log}");
        assert_eq!(current(host), "releases/2");
        let log = bad.does(host, "switch_back");
        assert!(log.contains("switch_back DONE current is 1"), "{log}");
        assert_eq!(installed(host), before);
        assert_eq!(host.sh(&format!("cat {HOME}/current/etc/agent.conf; ls {HOME}/releases")), "port = 1\nedited\n1\n2");
        assert_runs(host);
        // Once more changes nothing, nor does a way back from an upgrade that never began.
        let first = pid(host);
        for task in ["task2", "task9"] {
            assert!(Agent { task, ..bad.clone() }.does(host, "switch_back").contains("nothing was switched"));
        }
        assert_eq!((pid(host), installed(host)), (first, before.clone()));
        host.sh(&format!("sh {HOME}/service stop"));
        bad.does(host, "switch_back");
        assert_runs(host);
        // The same task once more, with a release that starts.
        let good = new("task2", "2b");
        good.does(host, "upgrade");
        assert_eq!(host.sh(&format!("ls {HOME}/releases; cat {HOME}/current/etc/agent.conf")), "1\n2b\nport = 1\nedited");
        assert_runs(host);
        good.does(host, "switch_back");
        assert_eq!(installed(host), before);
    });
}

#[test]
fn what_fails_before_the_switch_touches_nothing() {
    under_every_shell(|host| {
        old().does(host, "install");
        let (before, first) = (installed(host), pid(host));
        let broken = Agent { blob: b"no archive".to_vec(), ..new("task2", "2") };
        broken.fails(host, "upgrade", "unpack_failed");
        Agent { form: "rar", ..new("task2", "2") }.fails(host, "upgrade", "bad_params");
        Agent { need_kb: 900_000_000, ..new("task2", "2") }.fails(host, "upgrade", "disk_full");
        assert_eq!((installed(host), pid(host)), (before, first));
    });
}

/// Kills the run `id` and whatever it started in its group, after some time.
fn kill_after(host: &Sandbox, id: &str, wait: u64) {
    std::thread::sleep(Duration::from_millis(wait));
    host.sh(&format!("kill -KILL -$(cut -d ' ' -f 1 {STATE}/runs/{id}/pid)"));
}

#[test]
fn an_upgrade_and_a_way_back_that_were_killed_anywhere_are_finished_by_the_next() {
    const WAITS: [u64; 5] = [0, 60, 130, 300, 700];
    under_every_shell(|host| {
        old().does(host, "install");
        host.sh(&format!("echo edited >>{HOME}/current/etc/agent.conf"));
        let before = installed(host);
        for (wait, task) in WAITS.into_iter().zip(["t0", "t1", "t2", "t3", "t4"]) {
            let agent = new(task, "2");
            kill_after(host, &agent.begin(host, "upgrade"), wait);
            if wait % 20 == 0 {
                agent.does(host, "upgrade");
                assert_eq!(current(host), "releases/2", "{wait}");
                assert_eq!(host.sh(&format!("cat {HOME}/current/etc/agent.conf")), "port = 1\nedited");
                assert_runs(host);
            }
            kill_after(host, &agent.begin(host, "switch_back"), wait);
            agent.does(host, "switch_back");
            assert_eq!(installed(host), before, "{wait}");
            assert_runs(host);
        }
        assert_eq!(host.sh(&format!("ls -A {HOME} | grep '^[.p]' || :")), "");
        assert!(exit_code("terminated").is_some());
    });
}

#[test]
fn under_systemd_the_unit_comes_and_goes_back_with_its_release() {
    under_every_shell(|host| {
        with_systemd(host);
        let unit = || host.sh("cat /etc/systemd/system/demo.service; ls /etc/systemd/system/multi-user.target.wants");
        old().does(host, "install");
        host.sh("sed -i 's/^Description=.*/Description=the old one/' /etc/systemd/system/demo.service");
        let before = unit();
        let agent = new("task2", "2");
        agent.does(host, "upgrade");
        assert_ne!(unit(), before);
        assert!(agent.does(host, "status").starts_with("process=unit demo "));
        agent.does(host, "switch_back");
        assert_eq!(unit(), before);
        assert_eq!((current(host).as_str(), host.processes("bin/agent").len()), ("releases/1", 1));
    });
}
