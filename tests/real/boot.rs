//! Boot without systemd. The test world starts nothing but an SSH server on its hosts, so each story runs what the host's own
//! init would, in the environment it would, and nothing of Landfall.

use std::time::{Duration, Instant};

use crate::landfall::{Landfall, install, uninstall};
use crate::package;
use crate::target::{assert_answers, assert_gone, holds, metrics};
use crate::world::{Host, World};

/// As init runs its scripts: nothing in the environment but a path and the run level.
const INIT: &str = "env -i PATH=/sbin:/usr/sbin:/bin:/usr/bin RUNLEVEL=2 PREVLEVEL=N runlevel=2 previous=N";

/// Installs on every host and takes its power away and gives it back: the agents are gone.
#[track_caller]
fn installed_and_rebooted(world: &World) -> Landfall {
    let landfall = Landfall::with(&package::node_exporter());
    landfall.succeed(&install(world.hosts()));
    for host in world.hosts() {
        world.stop(&host.name);
        world.start(&host.name);
        assert!(metrics(host).is_none(), "{}: somebody started the agent already", host.name);
    }
    landfall
}

/// An init script is through before the agent listens.
#[track_caller]
fn soon_answers(host: &Host) {
    let until = Instant::now() + Duration::from_secs(60);
    while metrics(host).is_none() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_answers(host);
}

#[test]
fn the_rc_links_start_the_agent_at_boot_and_end_it_at_shutdown() {
    let world = World::up(&[("plain", "password"), ("busybox", "busybox"), ("bare", "no-tools")]);
    let landfall = installed_and_rebooted(&world);
    for host in world.hosts() {
        // The others' scripts are run, too, and may grumble: this is no real boot for them.
        world.exec(
            &host.name,
            &format!("for script in /etc/rc2.d/S*; do {INIT} \"$script\" start; done >/run/boot.log 2>&1 || :"),
        );
        soon_answers(host);
    }
    // Landfall takes what init started for what it is.
    landfall.succeed(&install(world.hosts()));
    for host in world.hosts() {
        world.exec(&host.name, &format!("for script in /etc/rc0.d/K*node-exporter; do {INIT} \"$script\" stop; done"));
        assert_gone(&world, host);
    }
    landfall.succeed(&uninstall(world.hosts()));
}

#[test]
fn where_there_is_no_init_d_rc_local_starts_the_agent() {
    let world = World::up(&[("a", "password")]);
    world.exec("a", "rm -r /etc/init.d /etc/rc?.d");
    let landfall = installed_and_rebooted(&world);
    world.exec("a", &format!("[ -x /etc/rc.local ] && {INIT} /etc/rc.local start"));
    soon_answers(world.host("a"));
    landfall.succeed(&uninstall(world.hosts()));
    assert_gone(&world, world.host("a"));
    assert!(!holds(&world, "a", "test -e /etc/rc.local"), "it was made for the agent alone");
}
