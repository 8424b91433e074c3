//! What starts the agent at boot: systemd, init.d or rc.local; and whose services are never touched.

use crate::sandbox::{Sandbox, under_every_shell};
use crate::target::{Agent, CHILD, file};

/// As much of systemctl as the scripts use. It keeps its units' pids in /run/stub and a list of its calls in /run/calls.
const SYSTEMCTL: &str = r#"#!/bin/bash
echo "systemctl $*" >>/run/calls
words=()
for word in "$@"; do case $word in -q | --quiet | --no-block | -p | MainPID) ;; *) words+=("$word") ;; esac; done
verb=${words[0]} unit=${words[1]} file=/etc/systemd/system/${words[1]} pid=/run/stub/${words[1]}
wants=/etc/systemd/system/multi-user.target.wants
alive() { [ -s "$pid" ] && [ -d "/proc/$(cat "$pid")" ] && ! grep -q '^State:.Z' "/proc/$(cat "$pid")/status"; }
case $verb in
    enable) ln -sf "$file" $wants/$unit ;;
    disable) rm -f $wants/$unit ;;
    start)
        alive && exit 0
        setsid bash -c "echo \$\$ >$pid; exec $(sed -n 's/^ExecStart=//p' "$file")" </dev/null >/run/unit.log 2>&1 &
        for i in 1 2 3 4 5 6 7 8 9 10; do alive && exit 0; sleep 0.1; done ;;
    stop)
        alive || exit 0
        stop=$(sed -n 's/^ExecStop=-//p' "$file" | sed 's/[$][$]/$/g')
        MAINPID=$(cat "$pid") bash -c "$stop"
        kill -TERM "-$(cat "$pid")"
        for i in 1 2 3 4 5 6 7 8 9 10; do alive || break; sleep 0.3; done
        rm -f "$pid" ;;
    is-active) alive ;;
    show) echo "MainPID=$(cat "$pid" 2>/dev/null || echo 0)" ;;
esac
"#;

const SYSTEMD_RUN: &str = r#"#!/bin/bash
echo "systemd-run $*" >>/run/calls
while [ "${1#-}" != "$1" ]; do
    if [ "$1" = --collect ] && [ -e /run/old ]; then exit 1; fi
    shift
done
[ -e /run/broken ] && exit 1
env -i setsid "$@" </dev/null >/dev/null 2>&1 &
"#;

pub fn with_systemd(host: &Sandbox) {
    host.write("/usr/sbin/systemctl", SYSTEMCTL.as_bytes(), 0o755);
    host.write("/usr/sbin/systemd-run", SYSTEMD_RUN.as_bytes(), 0o755);
    host.sh("mkdir -p /run/systemd/system /run/stub /etc/systemd/system/multi-user.target.wants; touch /run/calls /run/unit.log");
}

#[test]
fn under_systemd_the_agent_is_a_unit_and_the_run_another() {
    under_every_shell(|host| {
        with_systemd(host);
        let before = host.listing();
        let agent = Agent { extra: vec![file("stop", 0o755, "#!/bin/sh\necho stopping $MAINPID\n")], ..Agent::default() };
        let log = agent.does(host, "install");
        assert!(log.contains("INFO setup_startup_scripts DONE by systemd"), "{log}");
        assert_eq!(host.sh("ls /etc/init.d; ls /etc/systemd/system/multi-user.target.wants"), "demo.service");
        let calls = host.sh("cat /run/calls");
        assert!(calls.contains("systemd-run --quiet --collect --unit=landfall-task-run_script-"), "{calls}");
        assert!(calls.contains("systemctl start demo.service"), "{calls}");
        let first = agent.does(host, "status");
        assert!(first.starts_with("process=unit demo "), "{first}");
        agent.does(host, "restart");
        assert_ne!(agent.does(host, "status"), first);
        let agents = host.processes("bin/agent").len();
        assert_eq!(agents, 1);
        agent.does(host, "uninstall");
        assert_eq!(host.listing(), before);
        assert!(host.processes("bin/agent").is_empty());
        assert!(agent.does(host, "uninstall").contains("is not installed"));
    });
}

#[test]
fn a_systemd_run_that_is_old_or_broken_does_not_stop_a_run() {
    under_every_shell(|host| {
        with_systemd(host);
        for flag in ["/run/old", "/run/broken"] {
            host.sh(&format!("touch {flag}"));
            Agent::default().does(host, "install");
        }
        assert_eq!(host.processes("bin/agent").len(), 1);
    });
}

#[test]
fn a_unit_of_the_package_manager_is_refused() {
    under_every_shell(|host| {
        with_systemd(host);
        for dir in ["/etc/systemd/system", "/usr/lib/systemd/system"] {
            let unit = format!("{dir}/demo.service");
            host.write(&unit, b"[Unit]\n", 0o644);
            let before = host.listing();
            assert!(Agent::default().fails(host, "install", "foreign_service").contains(&unit[dir.len()..]));
            Agent::default().does(host, "uninstall");
            assert_eq!(host.listing(), before);
            assert_eq!(host.sh(&format!("cat {unit}; rm {unit}")), "[Unit]");
        }
    });
}

#[test]
fn a_foreign_init_script_or_pid_file_is_refused() {
    under_every_shell(|host| {
        host.write("/etc/init.d/demo", b"#!/bin/sh\necho theirs\n", 0o755);
        let before = host.listing();
        let log = Agent::default().fails(host, "install", "foreign_service");
        assert!(log.contains("ERROR check_env FAILED /etc/init.d/demo is not ours"), "{log}");
        Agent::default().does(host, "uninstall");
        assert_eq!(host.listing(), before);
        assert_eq!(host.sh("/etc/init.d/demo stop; rm /etc/init.d/demo"), "theirs");
        host.write("/var/run/land/demo.pid", b"1\n", 0o644);
        Agent::default().fails(host, "install", "foreign_service");
    });
}

#[test]
fn the_boot_script_works_without_the_executor() {
    under_every_shell(|host| {
        let agent = Agent::default();
        agent.does(host, "install");
        // A reboot: the processes and the tmpfs are gone.
        host.sh("kill -KILL -$(cut -d ' ' -f 1 /var/run/land/demo.pid); rm -rf /var/run/land /var/lib/landfall");
        assert_eq!(host.sh("/etc/init.d/demo status; echo $?"), "demo is not running\n3");
        host.sh("/etc/rc2.d/S99demo start");
        assert!(host.sh("/etc/init.d/demo status; echo $?").ends_with(")\n0"));
        let first = host.sh("cat /var/run/land/demo.pid");
        host.sh("/etc/init.d/demo start");
        assert_eq!(host.sh("cat /var/run/land/demo.pid"), first, "a second start changes nothing");
        host.sh("/etc/init.d/demo restart");
        assert_ne!(host.sh("cat /var/run/land/demo.pid"), first);
        assert!(agent.does(host, "status").starts_with("process=pid "));
        host.sh("/etc/rc0.d/K01demo stop");
        agent.fails(host, "status", "not_running");
        assert!(host.processes("bin/agent").is_empty() && host.processes(CHILD).is_empty());
        // A process that has got the old pid is not the agent.
        host.sh("sleep 500 </dev/null >/dev/null 2>&1 & echo $! 12345 >/var/run/land/demo.pid; /etc/init.d/demo stop; sleep 0.2");
        assert_eq!(host.processes("sleep 500").len(), 1);
        assert_eq!(host.sh("/etc/init.d/demo 2>/dev/null; echo $?"), "2");
    });
}

#[test]
fn without_init_d_a_line_in_rc_local_starts_it() {
    under_every_shell(|host| {
        host.sh("rm -r /etc/init.d");
        let before = host.listing();
        let agent = Agent::default();
        agent.does(host, "install");
        agent.does(host, "install");
        let line =
            "[ ! -x '/opt/land/agents/demo/service' ] || '/opt/land/agents/demo/service' start # Installed by landfall (demo)";
        assert_eq!(host.sh("cat /etc/rc.local"), format!("#!/bin/sh\n{line}\n# Installed by landfall"));
        host.sh("/opt/land/agents/demo/service stop");
        agent.fails(host, "status", "not_running");
        host.sh("/etc/rc.local");
        agent.does(host, "status");
        agent.does(host, "uninstall");
        assert_eq!(host.listing(), before);
        // A file of theirs keeps its lines, its mode, and its last word.
        let theirs = "#!/bin/sh -e\n# mine\nexit 0\n";
        host.write("/etc/rc.local", theirs.as_bytes(), 0o750);
        agent.does(host, "install");
        Agent { name: "demo-2", task: "task2", ..Agent::default() }.does(host, "install");
        assert_eq!(host.sh("grep -c landfall /etc/rc.local; sed -n '1p;2p;$p' /etc/rc.local | cut -c 1-12"), {
            "2\n#!/bin/sh -e\n[ ! -x '/opt\nexit 0"
        });
        agent.does(host, "uninstall");
        assert!(host.sh("cat /etc/rc.local").contains("(demo-2)"));
        Agent { name: "demo-2", task: "task2", ..Agent::default() }.does(host, "uninstall");
        assert_eq!(host.sh("cat /etc/rc.local; ls -l /etc/rc.local | cut -c 1-10"), format!("{theirs}-rwxr-x---"));
    });
}

#[test]
fn an_init_d_without_run_levels_is_helped_by_rc_local() {
    under_every_shell(|host| {
        host.sh("rm -r /etc/rc?.d");
        let before = host.listing();
        Agent::default().does(host, "install");
        assert!(host.sh("cat /etc/rc.local").contains("(demo)"));
        assert!(host.sh("/etc/init.d/demo status").contains("is running"));
        Agent::default().does(host, "uninstall");
        assert_eq!(host.listing(), before);
    });
}
