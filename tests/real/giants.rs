//! Scripts that print without measure: what the record keeps of it, in which order, and what it costs meanwhile.

use std::time::Instant;

use serde_json::Value;

use crate::landfall::install;
use crate::package::Package;
use crate::scene::Scene;
use crate::target::runs_started;
use crate::world::World;

const MIB: usize = 1 << 20;

/// Bytes at either end that are no plain text.
const ODD: usize = 64 * 1024;

/// From now on the host's tar prints 100 lines of 1 MB each, told apart by their numbers, between bytes that are none of
/// UTF-8: every byte there is, GBK, and a progress bar that returns its carriage.
fn make_talkative(world: &World, name: &str) {
    world.exec(
        name,
        r#"{
            odd() {
                i=0; while [ $i -lt 256 ]; do printf "\\$(printf %o $i)"; i=$((i + 1)); done
                printf '\260\262\327\260\300\241\262\273\n'
                i=0; while [ $i -lt 100 ]; do printf '%3d %%\r' $i; i=$((i + 1)); done
            }
            odd
            x=$(head -c 999996 /dev/zero | tr '\0' x)
            i=100; while [ $i -lt 200 ]; do printf '%s%s\n' $i "$x"; i=$((i + 1)); done
            odd
            echo
        } >/var/lib/giant
        mv /usr/bin/tar /usr/bin/tar.real
        printf '#!/bin/sh\ncat /var/lib/giant >&2\nexec /usr/bin/tar.real "$@"\n' >/usr/bin/tar
        chmod 755 /usr/bin/tar"#,
    );
}

/// Highest resident memory of a process so far.
fn peak(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// What the script of the host printed.
fn printed(world: &World, name: &str) -> Vec<u8> {
    let run = runs_started(world, name).pop().unwrap();
    let log = world.output(name, &format!("cat /var/lib/landfall/runs/{run}/log"));
    assert!(log.status.success());
    log.stdout
}

/// Fails unless the text is the first MiB and the last nine of the log, or a little more, and the count of what lies between.
#[track_caller]
fn assert_head_and_tail(text: &str, log: &[u8]) {
    let (head, rest) = text.split_once("\n... ").expect("nothing is left out");
    let (count, tail) = rest.split_once(" bytes left out ...\n").unwrap();
    assert!(!tail.contains(" bytes left out ..."), "more than one gap");
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let from = log.len() - ODD;
    let head_size = head.len() + ODD - lossy(&log[..ODD]).len();
    let tail_size = tail.len() + ODD - lossy(&log[from..]).len();
    assert_eq!(head_size + count.parse::<usize>().unwrap() + tail_size, log.len());
    assert!((MIB..MIB + MIB / 8).contains(&head_size), "{head_size} bytes of the head");
    assert!((9 * MIB..9 * MIB + MIB / 8).contains(&tail_size), "{tail_size} bytes of the tail");
    assert!(head == lossy(&log[..head_size]), "the head is another one");
    assert!(tail == lossy(&log[log.len() - tail_size..]), "the tail is another one");
}

#[test]
fn measured_100_mb_of_a_script_reach_the_record_as_head_and_tail_in_order_and_fill_no_memory() {
    // Through a channel of its own, and through a terminal, where the pieces are counted.
    let scene = Scene::new(World::up(&[("plain", "password"), ("terminal", "sudo-tty")]), Package::tiny("tiny"));
    for host in scene.world.hosts() {
        make_talkative(&scene.world, &host.name);
        let mut running = scene.landfall.begin(&install([host]));
        running.step_started(&host.ip, "run_script");
        let (before, begun) = (peak(running.pid()), Instant::now());
        running.wait_for("the end of the script", |event| event["kind"] == "step_finished" && event["step"] == "run_script");
        let grown = peak(running.pid()) - before;
        eprintln!("{}: 100 MB in {:?}, {} MiB of memory", host.name, begun.elapsed(), grown / MIB);
        let report = running.report().succeeded();
        assert_eq!(report.events_of(&host.ip, "attempt_failed").count(), 0, "{}", report.result);
        assert!(grown < 100 * MIB, "{} grew by {} MiB", host.name, grown / MIB);

        let told = scene.landfall.call(&["job", "log", &report.job().to_string(), &host.ip, "--output", "json"]);
        let steps: Value = serde_json::from_str(&told.stdout).unwrap();
        let script = steps.as_array().unwrap().iter().find(|step| step["step"] == "run_script").unwrap();
        // What Landfall itself says of the step comes first.
        let text = script["log"].as_str().unwrap();
        let text = text.strip_prefix("[landfall] ").and_then(|text| text.split_once('\n')).map_or(text, |(_, text)| text);
        let log = printed(&scene.world, &host.name);
        assert!(log.len() > 100_000_000);
        assert_head_and_tail(text, &log);
    }
}
