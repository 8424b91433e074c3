//! runner.sh, start.sh, follow.sh and cleanup.sh: a run starts once, outlives its session, is followed to its end, and can be
//! killed; one run at a time works on a machine.

use std::time::{Duration, Instant};

use crate::sandbox::{Sandbox, under_every_shell};
use crate::target::{
    Followed, Run, STATE, bundle, cleanup, collect, exit_code, file, follow, follow_in, kill, put, put_as, sha256, simple,
};

/// Ends at once.
const QUICK: &str = "printf begun; exit 7";
/// Runs until somebody ends it.
const SLOW: &str = "echo begun; sleep 300";
/// Runs until somebody kills it.
const STUBBORN: &str = "trap '' TERM; echo begun; sleep 300 & while :; do sleep 1; done";

fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Starts a run and waits until its script works.
fn begin(host: &Sandbox, run: &Run<'_>) {
    assert_eq!(run.start(host), ["ready", "started"]);
    until("the script begins", || host.sh(&format!("cat {}/runs/{}/log", run.state, run.id)).contains("begun"));
}

fn runner_pid(host: &Sandbox, id: &str) -> String {
    host.sh(&format!("cut -d ' ' -f 1 {STATE}/runs/{id}/pid"))
}

#[test]
fn a_run_starts_once_however_often_it_is_asked_for() {
    under_every_shell(|host| {
        let answers: Vec<_> = std::thread::scope(|scope| {
            let callers: Vec<_> = (0..4).map(|_| scope.spawn(|| simple("a-1", "a", QUICK).start(host))).collect();
            callers.into_iter().map(|caller| caller.join().unwrap()).collect()
        });
        assert_eq!(answers.iter().filter(|words| **words == ["ready", "started"]).count(), 1, "{answers:?}");
        assert_eq!(answers.iter().filter(|words| **words == ["ready", "attached"]).count(), 3, "{answers:?}");
        assert_eq!(simple("a-1", "a", QUICK).start(host), ["ready", "attached"]);
        assert_eq!(follow(host, "a-1", 0), Followed { bytes: b"begun".to_vec(), end: "exit=7 5".to_owned() });
        // A main that comes late, as after a systemd-run that failed only in part, goes away again.
        let late =
            host.sh(&format!("sh {STATE}/runs/a-1/runner.sh main {STATE} a-1 go a 1 30; echo $?; cat {STATE}/runs/a-1/log"));
        assert_eq!(late, "0\nbegun");
        assert_eq!(host.sh(&format!("cat {STATE}/history.log; ls -A {STATE}/stage")), "run START a-1");
    });
}

#[test]
fn the_session_ends_while_the_run_goes_on() {
    under_every_shell(|host| {
        let begun = Instant::now();
        begin(host, &simple("a-1", "a", SLOW));
        // `start` came back although its output is a pipe, so nobody of the run holds it.
        assert!(begun.elapsed() < Duration::from_secs(15));
        assert_eq!(host.processes("runs/a-1/agent.sh").len(), 1);
    });
}

#[test]
fn following_from_an_offset_gives_exactly_the_rest() {
    under_every_shell(|host| {
        let script = r#"i=0; while [ $i -lt 3000 ]; do echo "line $i of a log that is longer than one block"; i=$((i + 1)); done
            printf '\377\000raw'; sleep 1; echo end; exit 3"#;
        assert_eq!(simple("a-1", "a", script).start(host), ["ready", "started"]);
        let whole = follow(host, "a-1", 0);
        assert!(whole.bytes.len() > 140_000 && whole.bytes.ends_with(b"\xff\0rawend\n"), "{}", whole.bytes.len());
        assert_eq!(whole.end, format!("exit=3 {}", whole.bytes.len()));
        for offset in [1, 65_535, 65_536, 65_537, 131_072, whole.bytes.len() - 1, whole.bytes.len()] {
            let rest = follow(host, "a-1", offset);
            assert!(rest.bytes == whole.bytes[offset..], "from {offset}: {} bytes", rest.bytes.len());
            assert_eq!(rest.end, whole.end);
        }
        assert_eq!(follow(host, "never-1", 0).end, "missing");
    });
}

#[test]
fn a_log_is_collected_as_it_is_or_its_end() {
    under_every_shell(|host| {
        let script = r#"i=0; while [ $i -lt 3000 ]; do echo "line $i of a log that is longer than one block"; i=$((i + 1)); done
            printf '\377\000raw'"#;
        assert_eq!(simple("a-1", "a", script).start(host), ["ready", "started"]);
        let whole = follow(host, "a-1", 0).bytes;
        assert!(whole.len() > 140_000, "{}", whole.len());
        for most in [0, 1, 65_536, whole.len() - 1, whole.len(), 16 << 20] {
            let collected = collect(host, "a-1", most);
            assert!(collected.bytes == whole[whole.len().saturating_sub(most)..], "{most}: {} bytes", collected.bytes.len());
            assert_eq!(collected.end, format!("size={}", whole.len()));
        }
        assert_eq!(collect(host, "never-1", 100), Followed { bytes: Vec::new(), end: "missing".to_owned() });
        // Nothing waits for a run that goes on.
        begin(host, &simple("b-1", "b", SLOW));
        assert_eq!(collect(host, "b-1", 100), Followed { bytes: b"begun\n".to_vec(), end: "size=6".to_owned() });
        assert_eq!(kill(host, "b-1"), ["ready", "killed"]);
        host.sh(&format!("rm {STATE}/runs/a-1/log"));
        assert_eq!(collect(host, "a-1", 100).end, "size=0");
    });
}

#[test]
fn a_follower_that_nobody_reads_ends() {
    under_every_shell(|host| {
        begin(host, &simple("a-1", "a", SLOW));
        host.write("/tmp/follow.sh", landfall::assets::FOLLOW.as_bytes(), 0o755);
        host.sh(&format!("(sh /tmp/follow.sh {STATE} a-1 0 2>&1 | head -n 2 >/dev/null) </dev/null >/dev/null 2>&1 &"));
        until("it notices at its next beat", || host.processes("/tmp/follow.sh").is_empty());
        assert_eq!(host.processes("runs/a-1/agent.sh").len(), 1);
    });
}

#[test]
fn a_runner_that_was_killed_is_lost_and_what_it_left_can_be_ended() {
    under_every_shell(|host| {
        begin(host, &simple("a-1", "a", SLOW));
        host.sh(&format!("kill -KILL {}", runner_pid(host, "a-1")));
        let begun = Instant::now();
        assert_eq!(follow(host, "a-1", 0), Followed { bytes: b"begun\n".to_vec(), end: "lost".to_owned() });
        assert!(begun.elapsed() >= Duration::from_secs(4), "a second look comes 5 s later");
        assert_eq!(host.processes("runs/a-1/agent.sh").len(), 1);
        assert_eq!(kill(host, "a-1"), ["ready", "killed"]);
        assert_eq!(kill(host, "a-1"), ["ready", "gone"]);
        assert!(host.processes("sleep 300").is_empty());
    });
}

#[test]
fn a_run_of_another_boot_is_told_as_rebooted_unless_it_had_ended() {
    under_every_shell(|host| {
        begin(host, &simple("a-1", "a", SLOW));
        assert_eq!(simple("b-1", "b", QUICK).start(host), ["ready", "started"]);
        host.sh(&format!("echo another >{STATE}/runs/a-1/boot"));
        assert_eq!(follow(host, "a-1", 2), Followed { bytes: b"gun\n".to_vec(), end: "rebooted".to_owned() });
        assert_eq!(kill(host, "a-1"), ["ready", "gone"]);
        host.sh(&format!("kill -TERM -{}; echo another >{STATE}/runs/b-1/boot", runner_pid(host, "a-1")));
        until("the second run ends", || host.sh(&format!("cat {STATE}/runs/b-1/exit")) == "7");
        assert_eq!(follow(host, "b-1", 0).exit(), 7);
    });
}

#[test]
fn kill_ends_the_whole_group() {
    under_every_shell(|host| {
        begin(host, &simple("a-1", "a", SLOW));
        assert_eq!(kill(host, "a-1"), ["ready", "killed"]);
        assert_eq!(follow(host, "a-1", 0).exit(), exit_code("terminated").unwrap());
        begin(host, &simple("a-2", "a", STUBBORN));
        assert_eq!(kill(host, "a-2"), ["ready", "killed"]);
        assert_eq!(kill(host, "a-2"), ["ready", "gone"]);
        assert_eq!(kill(host, "never-1"), ["ready", "gone"]);
        // A start of it that was still on its way starts nothing any more.
        assert_eq!(simple("never-1", "a", SLOW).start(host), ["ready", "attached"]);
        assert_eq!(follow(host, "never-1", 0).exit(), exit_code("terminated").unwrap());
        assert!(host.sh(&format!("cat {STATE}/lock.*")).starts_with("released"), "the next run waits for nobody");
        assert!(host.processes("sleep 300").is_empty() && host.processes("/runs/").is_empty());
    });
}

#[test]
fn kill_finds_the_family_where_no_group_can_be_had() {
    under_every_shell(|host| {
        host.sh("rm -f /usr/bin/setsid");
        for (id, script) in [("a-1", SLOW), ("a-2", STUBBORN)] {
            begin(host, &simple(id, "a", script));
            assert_eq!(kill(host, id), ["ready", "killed"]);
            assert!(host.processes("sleep 300").is_empty() && host.processes("/runs/").is_empty(), "{id}");
        }
        assert_eq!(follow(host, "a-1", 0).exit(), exit_code("terminated").unwrap());
    });
}

#[test]
fn a_run_that_was_killed_before_it_began_never_begins() {
    under_every_shell(|host| {
        host.sh(&format!("mkdir -p {STATE}/runs/a-1"));
        assert_eq!(kill(host, "a-1"), ["ready", "gone"]);
        host.write(&format!("{STATE}/runs/a-1/agent.sh"), b"touch /tmp/ran\n", 0o600);
        host.write("/tmp/runner.sh", landfall::assets::RUNNER.as_bytes(), 0o600);
        assert_eq!(host.sh(&format!("sh /tmp/runner.sh main {STATE} a-1 go a 1 30; echo $?; ls /tmp")), "0\nrunner.sh");
    });
}

#[test]
fn a_second_run_waits_for_the_first_and_gives_up_at_its_deadline() {
    under_every_shell(|host| {
        begin(host, &simple("a-1", "a", SLOW));
        let holder = format!("INFO lock - waiting for a-1 (pid {})", runner_pid(host, "a-1"));
        assert_eq!(Run { deadline: 1, ..simple("b-1", "b", QUICK) }.start(host), ["ready", "started"]);
        let busy = follow(host, "b-1", 0);
        assert_eq!(busy.exit(), exit_code("host_busy").unwrap());
        assert!(busy.text().contains(&holder) && busy.text().contains("the host is held by a-1"), "{}", busy.text());
        assert_eq!(simple("b-2", "b", QUICK).start(host), ["ready", "started"]);
        until("it waits", || host.sh(&format!("cat {STATE}/runs/b-2/log")).contains(&holder));
        assert_eq!(kill(host, "a-1"), ["ready", "killed"]);
        let waited = follow(host, "b-2", 0);
        assert_eq!(waited.exit(), 7);
        assert!(waited.text().ends_with("begun"), "{}", waited.text());
        assert_eq!(host.sh(&format!("cat {STATE}/lock.*; ls {STATE} | grep -c lock")), "released b-2\n1");
    });
}

#[test]
fn ten_runs_at_once_work_one_after_another() {
    under_every_shell(|host| {
        let script = "mkdir /tmp/alone || exit 9; sleep 0.2; rm -r /tmp/alone";
        let ids: Vec<_> = (0..10).map(|number| format!("t{number}-1")).collect();
        std::thread::scope(|scope| {
            for id in &ids {
                scope
                    .spawn(|| assert_eq!(Run { deadline: 60, ..simple(id, &id[..2], script) }.start(host), ["ready", "started"]));
            }
        });
        for id in &ids {
            let followed = follow(host, id, 0);
            assert_eq!(followed.exit(), 0, "{id}: {}", followed.text());
        }
        assert_eq!(host.sh(&format!("ls {STATE} | grep -c lock")), "1");
    });
}

#[test]
fn the_lock_of_a_dead_owner_is_taken_over_with_what_it_left() {
    under_every_shell(|host| {
        begin(host, &simple("a-1", "a", SLOW));
        host.sh(&format!("kill -KILL {}", runner_pid(host, "a-1")));
        assert_eq!(simple("b-1", "b", QUICK).start(host), ["ready", "started"]);
        assert_eq!(follow(host, "b-1", 0), Followed { bytes: b"begun".to_vec(), end: "exit=7 5".to_owned() });
        assert!(host.processes("sleep 300").is_empty(), "two scripts would work on one machine");
        // One of another boot is dead, whoever has its pid now.
        begin(host, &simple("c-1", "c", SLOW));
        host.sh(&format!("lock=$(ls {STATE}/lock.*); sed 's/ [^ ]*$/ another/' $lock >{STATE}/x; mv {STATE}/x $lock"));
        assert_eq!(simple("d-1", "d", QUICK).start(host), ["ready", "started"]);
        assert_eq!(follow(host, "d-1", 0).exit(), 7);
    });
}

#[test]
fn a_claim_that_was_overtaken_is_refused() {
    under_every_shell(|host| {
        begin(host, &Run { epoch: 10, ..simple("a-1", "a", SLOW) });
        let begun = Instant::now();
        assert_eq!(Run { epoch: 9, ..simple("a-2", "a", QUICK) }.start(host), ["ready", "started"]);
        assert_eq!(follow(host, "a-2", 0).exit(), exit_code("stale_epoch").unwrap());
        assert!(begun.elapsed() < Duration::from_secs(10), "it does not wait for that");
        // Another task's epochs say nothing.
        assert_eq!(Run { epoch: 1, deadline: 0, ..simple("b-1", "b", QUICK) }.start(host), ["ready", "started"]);
        assert_eq!(follow(host, "b-1", 0).exit(), exit_code("host_busy").unwrap());
    });
}

#[test]
fn a_run_that_fills_the_disk_of_the_state_still_tells_its_exit_code() {
    under_every_shell(|host| {
        host.sh("mkdir /opt/small && mount -t tmpfs -o size=400k small /opt/small");
        let script = "dd if=/dev/zero of=/opt/small/fill bs=1k 2>/dev/null; echo lost words; exit 21";
        let run = Run { state: "/opt/small/state", ..simple("a-1", "a", script) };
        assert_eq!(run.start(host), ["ready", "started"]);
        let followed = follow_in(host, "/opt/small/state", "a-1", 0);
        assert_eq!(followed.exit(), 21, "{followed:?}");
        assert_eq!(host.sh("cat /opt/small/state/lock.*"), "released a-1");
        let words = Run { state: "/opt/small/state", ..simple("a-2", "a", script) }.start(host);
        assert!(words[1].starts_with("fail=no_space "), "{words:?}");
        assert_eq!(host.sh("ls /opt/small/state/runs; ls -A /opt/small/state/stage"), "a-1");
    });
}

#[test]
fn cleanup_keeps_what_lives_and_what_it_is_told_to() {
    under_every_shell(|host| {
        for number in 1..=6 {
            let id = format!("old-{number}");
            assert_eq!(simple(&id, "old", QUICK).start(host), ["ready", "started"]);
            assert_eq!(follow(host, &id, 0).exit(), 7);
            host.sh(&format!("touch -d '2020-01-0{number} 00:00:00' {STATE}/runs/{id}"));
        }
        begin(host, &simple("live-1", "live", SLOW));
        host.sh(&format!("touch -d '2019-01-01 00:00:00' {STATE}/runs/live-1"));
        for blob in ["one", "two", "three"] {
            assert_eq!(put(host, STATE, blob.as_bytes()).code, 0);
        }
        put_as(host, STATE, (&sha256(b"broken"), 6, "sha256sum"), b"bro");
        for task in ["old", "older"] {
            assert_eq!(bundle(host, &format!("{STATE}/stage/{task}"), &[file("x", 0o600, "")]).code, 0);
        }
        host.sh(&format!("mkdir {STATE}/stage/old-9.123 {STATE}/stage/old.new-77"));
        let kept = format!("{} {}", sha256(b"one"), sha256(b"three"));
        assert_eq!(cleanup(host, "old", 2, &kept, "keep"), ["ready", "done"]);
        assert_eq!(
            host.sh(&format!("ls {STATE}/runs {STATE}/stage")),
            format!("{STATE}/runs:\nlive-1\nold-5\nold-6\n\n{STATE}/stage:\nolder")
        );
        let blobs = host.sh(&format!("ls -A {STATE}/blobs"));
        assert!(
            blobs.contains(".part") && kept.split(' ').all(|blob| blobs.contains(blob)) && blobs.lines().count() == 3,
            "{blobs}"
        );
        // An upload that broke before a later one went through will not be resumed.
        host.sh(&format!("touch -d '2020-01-01 00:00:00' {STATE}/blobs/.*.part"));
        cleanup(host, "old", 2, &kept, "keep");
        assert!(!host.sh(&format!("ls -A {STATE}/blobs")).contains(".part"));
        // Purged only when nobody works there any more.
        assert_eq!(cleanup(host, "old", 0, "", "purge"), ["ready", "done"]);
        assert_eq!(host.sh(&format!("ls {STATE}/runs; ls -d {STATE}/blobs")), format!("live-1\n{STATE}/blobs"));
        kill(host, "live-1");
        assert_eq!(cleanup(host, "old", 0, "", "purge"), ["ready", "done"]);
        assert_eq!(host.sh(&format!("ls {STATE}; wc -l <{STATE}/history.log")).replace(' ', ""), "history.log\nlock.7\nruns\n7");
        for words in [["", "0", "", "keep"], ["a/..", "0", "", "keep"], ["a", "x", "", "keep"], ["a", "0", "", "all"]] {
            let words = [STATE, words[0], words[1], words[2], words[3]];
            let answer = host.script(&landfall::assets::CLEANUP, &words, b"").words();
            assert!(answer[1].starts_with("fail=bad_argument "), "{answer:?}");
        }
    });
}
