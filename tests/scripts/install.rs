//! agent.sh with service.sh, under init.d: an agent comes, stays, changes and goes, and the machine is as it was.

use crate::sandbox::{Sandbox, under_every_shell};
use crate::target::{Agent, CHILD, STATE, exit_code, file, noise, package, through};

const HOME: &str = "/opt/land/agents/demo";

fn pid(host: &Sandbox) -> String {
    host.sh("cut -d ' ' -f 1 /var/run/land/demo.pid")
}

/// The line that `status` prints, which must be the process that is really there.
fn status(host: &Sandbox, agent: &Agent) -> String {
    let log = agent.does(host, "status");
    let start = host.sh(&format!("sed 's/.*) //' /proc/{}/stat | cut -d ' ' -f 20", pid(host)));
    assert_eq!(log, format!("process=pid {} {start}\n", pid(host)));
    assert_eq!(host.sh("cat /var/run/land/demo.pid"), format!("{} {start}", pid(host)));
    log
}

#[test]
fn install_makes_a_running_agent_and_current() {
    under_every_shell(|host| {
        let agent = Agent::default();
        let log = agent.does(host, "install");
        let steps = [
            "check_env START",
            "check_env DONE",
            "unpack_pkg START",
            "unpack_pkg DONE",
            "remove_agent START",
            "remove_agent DONE",
            "setup_agent START",
            "setup_agent DONE",
            "setup_startup_scripts START",
            "setup_startup_scripts DONE",
            "start_agent START",
            "start_agent DONE",
        ];
        let said: Vec<_> = log.lines().map(|line| line.get(20..).unwrap_or(line)).collect();
        for (line, step) in said.iter().zip(steps) {
            assert!(line.starts_with(&format!("INFO {step} ")), "{log}");
        }
        assert!(log.trim().lines().last().unwrap()[20..].starts_with("INFO check_deploy_result DONE demo runs (pid "), "{log}");
        assert_eq!(host.sh(&format!("readlink {HOME}/current")), "releases/1.0-abcdef");
        assert_eq!(
            host.sh(&format!("ls -l {HOME}/current/etc/agent.conf {HOME}/landfall.toml | cut -c 1-10")),
            "-rw-r-----\n-rw-------"
        );
        assert_eq!(host.sh("cat /var/log/land/demo.log"), "motto: it's \"fine\" $HOME");
        status(host, &agent);
        assert!(
            host.sh(&format!("cat /proc/{}/environ | tr '\\0' '\\n'", pid(host))).lines().all(|line| !line.starts_with("SSH_"))
        );
        assert_eq!(host.sh(&format!("ls -l /proc/{}/cwd | sed 's/.* -> //'", pid(host))), format!("{HOME}/releases/1.0-abcdef"));
        assert_eq!(host.sh("ls /etc/rc[0-6].d | grep -c S99demo; ls /etc/rc[0-6].d | grep -c K01demo"), "4\n3");
    });
}

#[test]
fn install_twice_keeps_the_process_healthy() {
    under_every_shell(|host| {
        let agent = Agent::default();
        agent.does(host, "install");
        let first = status(host, &agent);
        let log = agent.does(host, "install");
        assert!(log.contains("is there already"), "{log}");
        assert_ne!(status(host, &agent), first);
        assert_eq!(host.processes("bin/agent").len(), 1);
        assert_eq!(host.processes(CHILD).len(), 1);
        agent.does(host, "restart");
        agent.does(host, "reload");
        status(host, &agent);
        assert_eq!(host.processes("bin/agent").len(), 1);
    });
}

#[test]
fn a_new_release_leaves_one_old_one_beside_it() {
    under_every_shell(|host| {
        let mut plain = through(&["gzip", "-dc"], &Agent::default().blob);
        // Padding that tar does not read must not make the decompressor look broken.
        plain.extend(vec![0; 3_000_000]);
        let zstd = Agent { release: "2", form: "zstd", blob: through(&["zstd", "-cq"], &plain), ..Agent::default() };
        let tar = Agent { release: "3", form: "tar", blob: plain, ..Agent::default() };
        for agent in [&Agent::default(), &zstd, &tar] {
            agent.does(host, "install");
            assert_eq!(host.sh(&format!("readlink {HOME}/current")), format!("releases/{}", agent.release));
        }
        assert_eq!(
            host.sh(&format!("ls {HOME}/releases; ls -A {HOME}")),
            "2\n3\ncurrent\nlandfall.toml\nreleases\nservice\nstart"
        );
    });
}

#[test]
fn uninstall_leaves_nothing_and_can_be_repeated() {
    under_every_shell(|host| {
        let agent = Agent::default();
        host.sh("rm -rf /var/log && mkdir -p /var/log/theirs");
        let before = host.listing();
        agent.does(host, "install");
        host.sh("echo x >/var/lib/land/data/written-by-the-agent");
        let log = agent.does(host, "uninstall");
        assert!(log.trim().lines().last().unwrap()[20..].starts_with("INFO remove_agent DONE "), "{log}");
        assert_eq!(host.listing(), before);
        assert!(host.processes("agent").is_empty() && host.processes(CHILD).is_empty());
        assert!(agent.does(host, "uninstall").contains("WARN remove_agent - demo is not installed"));
        assert_eq!(host.listing(), before);
        assert_eq!(host.sh(&format!("ls {STATE}")), "blobs\nhistory.log\nlock.3\nruns\nstage");
        agent.fails(host, "status", "not_installed");
        agent.fails(host, "restart", "not_installed");
        agent.fails(host, "reload", "not_installed");
        agent.fails(host, "upgrade", "not_installed");
        agent.fails(host, "switch_back", "not_installed");
    });
}

#[test]
fn uninstall_spares_what_was_there_before_and_what_others_use() {
    under_every_shell(|host| {
        host.sh("mkdir -p /var/log/land && echo theirs >/var/log/land/theirs.log");
        let before = host.listing();
        let (first, second) = (Agent::default(), Agent { name: "other", task: "task2", ..Agent::default() });
        first.does(host, "install");
        second.does(host, "install");
        host.sh("echo x >/var/lib/land/data/shared");
        first.does(host, "uninstall");
        assert_eq!(host.sh("ls /opt/land/agents /var/lib/land/data /var/log/land | tr '\\n' ' '"), {
            "/opt/land/agents: other  /var/lib/land/data: shared  /var/log/land: other.log theirs.log"
        });
        second.does(host, "status");
        second.does(host, "uninstall");
        assert_eq!(host.listing(), before);
    });
}

#[test]
fn uninstall_takes_what_was_made_although_another_package_lives_elsewhere() {
    under_every_shell(|host| {
        let before = host.listing();
        let agent = Agent::default();
        agent.does(host, "install");
        host.sh("echo x >/var/lib/land/data/mine");
        host.write("/var/lib/landfall/packages/other", b"/opt/other\n/var/lib/other\n", 0o600);
        let log = agent.does(host, "uninstall");
        host.sh("rm -r /var/lib/landfall/packages");
        assert_eq!(host.listing(), before, "{log}");
    });
}

#[test]
fn a_pid_file_that_the_agents_user_wrote_ends_nobody() {
    under_every_shell(|host| {
        let agent = Agent { user: "daemon", ..Agent::default() };
        agent.does(host, "install");
        // Somebody else's process, which leads a group: its pid and start time as the service script would write them.
        host.sh("setsid sleep 1234 </dev/null >/dev/null 2>&1 & sleep 0.5");
        let forged = host.sh("pid=$(pgrep -x -f 'sleep 1234'); set -- $(sed 's/.*) //' /proc/$pid/stat); echo $pid ${20}");
        host.sh(&format!("rm /var/run/land/demo.pid; su -s /bin/sh -c 'echo {forged} >/var/run/land/demo.pid' daemon"));
        assert_eq!(host.sh("cat /var/run/land/demo.pid"), forged);
        agent.does(host, "restart");
        assert_eq!(host.processes("sleep 1234").len(), 1, "{:?}", host.processes(""));
        agent.does(host, "uninstall");
        assert_eq!(host.processes("sleep 1234").len(), 1);
    });
}

#[test]
fn guards_refuse_system_directories_and_crooked_paths() {
    under_every_shell(|host| {
        let before = host.listing();
        let refused = [
            "/",
            "//",
            "/usr",
            "/usr/",
            "/etc",
            "/opt",
            "/data",
            "/usr/local",
            "/var/lib/",
            "/var/log",
            "/usr/lib",
            "/opt/../etc/x",
            "/opt/x/..",
            "/opt//x",
            "/opt/./x",
            "opt/x",
            "",
            "/proc/1/x",
            "/bin/x",
            "/var/run",
        ];
        for setup in refused {
            let agent = Agent { setup, ..Agent::default() };
            for action in ["install", "uninstall", "restart"] {
                assert_eq!(Some(agent.judged(host, action)), exit_code("unsafe_path"), "{action} in '{setup}'");
            }
        }
        host.sh("mkdir -p /opt/land/agents /opt/victim && touch /opt/victim/x && ln -s /opt/victim /opt/land/agents/demo");
        Agent::default().fails(host, "uninstall", "unsafe_path");
        Agent::default().fails(host, "install", "unsafe_path");
        assert_eq!(host.sh("ls /opt/victim; rm -r /opt/victim /opt/land"), "x");
        for agent in [
            Agent { name: "../x", ..Agent::default() },
            Agent { name: "", ..Agent::default() },
            Agent { release: "../x", ..Agent::default() },
            Agent { form: "rar", ..Agent::default() },
            Agent { process: "maybe", ..Agent::default() },
        ] {
            assert_eq!(Some(agent.judged(host, "install")), exit_code("bad_params"));
        }
        assert_eq!(Some(Agent::default().judged(host, "dance")), exit_code("unsupported_action"));
        host.sh("rm -r /tmp/judged");
        assert_eq!(host.listing(), before);
    });
}

#[test]
fn a_full_disk_is_told_and_leaves_a_machine_that_can_be_cleaned() {
    under_every_shell(|host| {
        host.sh("mkdir /opt/small && mount -t tmpfs -o size=1m small /opt/small");
        let blob = package("#!/bin/sh\nexec sleep 1000\n", &[("ballast", &noise(3_000_000))]);
        let agent = Agent { setup: "/opt/small/agents", need_kb: 0, blob, ..Agent::default() };
        let log = agent.fails(host, "install", "disk_full");
        assert!(log.contains("ERROR unpack_pkg FAILED "), "{log}");
        assert_eq!(host.sh("ls -A /opt/small/agents/demo/releases"), "");
        let asked = Agent { need_kb: 5000, ..agent.clone() };
        assert!(asked.fails(host, "install", "disk_full").contains("1024 kB free, 5000 kB are needed"));
        agent.does(host, "uninstall");
        assert_eq!(host.sh("ls -A /opt/small"), "");
    });
}

#[test]
fn a_package_that_cannot_be_unpacked_stops_nothing_that_runs() {
    under_every_shell(|host| {
        let agent = Agent::default();
        agent.does(host, "install");
        let running = status(host, &agent);
        for blob in [agent.blob[..100].to_vec(), b"no archive".to_vec()] {
            Agent { release: "2", blob, ..agent.clone() }.fails(host, "install", "unpack_failed");
        }
        host.sh("mv /usr/bin/tar /usr/bin/tar.away");
        Agent { release: "2", ..agent.clone() }.fails(host, "install", "tool_missing");
        host.sh("mv /usr/bin/tar.away /usr/bin/tar");
        host.sh(&format!("umask 077; mkdir {STATE}/empty"));
        assert_eq!(status(host, &agent), running);
        assert_eq!(host.sh(&format!("ls -A {HOME}/releases")), ".1.0-abcdef.digest\n1.0-abcdef");
    });
}

#[test]
fn a_directory_from_which_nothing_can_be_run_is_refused() {
    under_every_shell(|host| {
        host.sh("mkdir /opt/noexec && mount -t tmpfs -o noexec,size=9m noexec /opt/noexec");
        Agent { setup: "/opt/noexec/agents", ..Agent::default() }.fails(host, "install", "setup_noexec");
        host.sh("mkdir /opt/ro && mount -t tmpfs -o ro ro /opt/ro");
        Agent { setup: "/opt/ro/agents", need_kb: 0, ..Agent::default() }.fails(host, "install", "setup_unwritable");
    });
}

#[test]
fn an_agent_that_does_not_stay_alive_fails_with_its_last_words() {
    under_every_shell(|host| {
        for start in ["echo one; echo port taken; exit 3", "sleep 0.5; echo port taken; exit 3"] {
            let agent = Agent { start, ..Agent::default() };
            agent.fails(host, "install", "start_failed");
            let log = agent.fails(host, "install", "start_failed");
            assert_eq!(log.matches(" - port taken\n").count(), 1, "{log}");
            agent.fails(host, "status", "not_running");
            agent.does(host, "uninstall");
        }
    });
}

#[test]
fn a_package_without_a_process_is_only_files() {
    under_every_shell(|host| {
        let agent = Agent { process: "none", ..Agent::default() };
        agent.does(host, "install");
        assert_eq!(agent.does(host, "status"), "process=none\n");
        agent.does(host, "reload");
        agent.does(host, "restart");
        assert!(host.processes("bin/agent").is_empty());
        assert_eq!(host.sh("ls /etc/init.d"), "");
    });
}

#[test]
fn own_stop_and_reload_commands_are_used() {
    under_every_shell(|host| {
        let extra = vec![
            file("stop", 0o755, "#!/bin/sh\necho stop $MAINPID >>/tmp/said\n"),
            file("reload", 0o755, "#!/bin/sh\necho reload $MAINPID in $PWD >>/tmp/said\n"),
        ];
        let agent = Agent { extra, ..Agent::default() };
        agent.does(host, "install");
        let (first, port) = (pid(host), format!("{HOME}/current/etc/agent.conf"));
        host.sh(&format!("echo changed >{port}"));
        agent.does(host, "reload");
        assert_eq!(host.sh(&format!("cat {port}")), "port = 1", "the configuration comes anew");
        assert_eq!(pid(host), first, "it was told, not restarted");
        agent.does(host, "restart");
        assert_ne!(pid(host), first);
        let said = host.sh(&format!("cat /tmp/said; cd {HOME}/current && pwd -P"));
        assert_eq!(said, format!("reload {first} in {HOME}/current\nstop {first}\n{HOME}/releases/1.0-abcdef"));
        Agent { extra: vec![file("reload", 0o755, "exit 4\n")], ..agent }.fails(host, "reload", "reload_failed");
    });
}

#[test]
fn whatever_an_agent_leaves_running_is_ended() {
    under_every_shell(|host| {
        let sleep = std::fs::read("/usr/bin/sleep").unwrap();
        let stubborn = package("#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1; done\n", &[("doze", &sleep)]);
        let agent = Agent { blob: stubborn, ..Agent::default() };
        agent.does(host, "install");
        host.sh(&format!("chmod 755 {HOME}/current/doze; setsid {HOME}/current/doze 1000 </dev/null >/dev/null 2>&1 &"));
        let log = agent.does(host, "uninstall");
        assert!(log.contains("WARN remove_agent - still running from /opt/land/agents/demo: "), "{log}");
        assert!(host.processes("bin/agent").is_empty() && host.processes("doze").is_empty());
        // The leader died, its child did not: the group is still ours.
        let agent = Agent::default();
        agent.does(host, "install");
        host.sh(&format!("kill -KILL {}", pid(host)));
        assert_eq!(host.processes(CHILD).len(), 1);
        agent.does(host, "restart");
        assert_eq!(host.processes(CHILD).len(), 1);
        host.sh(&format!("kill -KILL {}", pid(host)));
        agent.does(host, "uninstall");
        assert!(host.processes(CHILD).is_empty());
    });
}

#[test]
fn an_agent_may_run_as_another_user() {
    under_every_shell(|host| {
        let blob = package("#!/bin/sh\ntouch /var/lib/land/data/mine && id -un\nexec sleep 1000\n", &[]);
        let agent = Agent { user: "daemon", blob, ..Agent::default() };
        agent.does(host, "install");
        assert_eq!(host.sh("cat /var/log/land/demo.log"), "daemon");
        agent.does(host, "uninstall");
        assert!(host.processes("sleep 1000").is_empty());
        Agent { user: "nobody-knows", ..agent }.fails(host, "install", "setup_failed");
    });
}

#[test]
fn an_install_that_was_killed_anywhere_is_finished_by_the_next() {
    under_every_shell(|host| {
        let before = host.listing();
        let mut last = Agent::default();
        for (release, wait) in [("a", 0), ("b", 30), ("c", 60), ("d", 100), ("e", 150), ("f", 250), ("g", 400), ("h", 700)] {
            last = Agent { release, ..Agent::default() };
            let id = last.begin(host, "install");
            std::thread::sleep(std::time::Duration::from_millis(wait));
            host.sh(&format!("kill -KILL -$(cut -d ' ' -f 1 {STATE}/runs/{id}/pid)"));
        }
        last.does(host, "install");
        status(host, &last);
        assert_eq!(host.processes("bin/agent").len(), 1);
        let kept = host.sh(&format!("ls -A {HOME}/releases | grep -v digest"));
        assert!(kept.lines().count() <= 3 && kept.lines().all(|name| !name.starts_with('.')), "{kept}");
        last.does(host, "uninstall");
        assert_eq!(host.listing(), before);
        assert!(exit_code("terminated").is_some());
    });
}

#[test]
fn releases_of_installs_that_ended_before_the_switch_do_not_pile_up() {
    under_every_shell(|host| {
        let last = Agent { release: "c", ..Agent::default() };
        host.sh(&format!("mkdir -p {HOME}/releases/a {HOME}/releases/b"));
        last.does(host, "install");
        assert_eq!(host.sh(&format!("ls {HOME}/releases")), "c");
        // Killed between the switch and what comes after it: the release to go back to is still there.
        Agent { release: "d", ..Agent::default() }.does(host, "install");
        Agent { release: "d", ..Agent::default() }.does(host, "install");
        assert_eq!(host.sh(&format!("ls {HOME}/releases")), "c\nd");
        last.does(host, "uninstall");
    });
}

#[test]
fn a_proxy_comes_and_goes_by_its_own_name_and_says_when_its_sshd_will_not_forward() {
    under_every_shell(|host| {
        let proxy = Agent { role: "proxy", ..Agent::default() };
        host.write("/usr/sbin/sshd", b"#!/bin/sh\necho port 22\necho allowtcpforwarding no\necho disableforwarding no\n", 0o755);
        let log = proxy.does(host, "install");
        assert!(log.contains("WARN check_env - sshd has allowtcpforwarding no"), "{log}");
        host.write("/usr/sbin/sshd", b"#!/bin/sh\necho allowtcpforwarding yes\n", 0o755);
        for (action, stages) in [
            ("install", &["remove_proxy", "setup_proxy", "start_proxy"][..]),
            ("upgrade", &["setup_proxy"]),
            ("reload", &["reload_proxy"]),
            ("restart", &["stop_proxy", "start_proxy"]),
            ("uninstall", &["remove_proxy"]),
        ] {
            let log = proxy.does(host, action);
            assert!(stages.iter().all(|stage| log.contains(&format!(" {stage} DONE "))), "{action}: {log}");
            assert!(!log.contains("_agent ") && !log.contains("forward"), "{action}: {log}");
        }
    });
}
