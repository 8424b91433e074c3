//! The package of `examples/gse-agent` on real hosts: the layout and the configuration of the original agent, with programs of
//! ours in it.

use serde_json::{Value, json};

use crate::landfall::{Landfall, entry};
use crate::package;
use crate::world::World;

const CONFIG: &str = "/usr/local/gse/gse_agent/current/etc/gse_agent.conf";
const STATE: &str = "/var/run/gse/gse_agent.agent.state";

fn job(kind: &str, world: &World, speed: &str) -> Value {
    let hosts: Vec<Value> = world
        .hosts()
        .iter()
        .map(|host| {
            let mut entry = entry(host);
            entry["bt_speed_limit"] = speed.into();
            entry["enable_compression"] = 1.into();
            entry["vars"] = json!({"zone_id": "it's \"中文\" $(id)"});
            entry
        })
        .collect();
    json!({"job_type": kind, "hosts": hosts})
}

fn config(world: &World, name: &str) -> Value {
    serde_json::from_str(&world.exec(name, &format!("cat {CONFIG}"))).expect("a configuration in JSON")
}

#[test]
fn a_package_of_the_gse_layout_is_installed_reloaded_restarted_and_taken_away() {
    let world = World::up(&[("a", "password"), ("box", "busybox"), ("unit", "systemd"), ("sudo", "sudo")]);
    let landfall = Landfall::with(&package::gse("agent"));
    landfall.site(
        "[[access_point]]\nid = 1\nservers = { cluster = [\"192.0.2.1:28668\", \"[2001:db8::1]:28668\"], data = [\"192.0.2.1:28625\"] }\n",
    );
    landfall.succeed(&job("INSTALL_AGENT", &world, "7"));
    for host in world.hosts() {
        let config = config(&world, &host.name);
        assert_eq!(config["file"]["max_transfer_speed_mb_per_sec"], 7, "{}", host.name);
        assert_eq!((&config["data"]["enable_compression"], &config["run_mode"]), (&json!(true), &json!("agent")));
        assert_eq!(config["access"]["cluster_endpoints"], "192.0.2.1:28668,[2001:db8::1]:28668");
        assert_eq!(config["zone_id"], "it's \"中文\" $(id)");
    }
    // The program that runs takes the new configuration over, and stays the same process.
    let states = |world: &World| -> Vec<(String, String)> {
        let of = |name: &str| {
            world.exec(name, &format!("head -n 1 {STATE}; sed 1d {STATE} | cmp - {CONFIG} && echo as it lies there"))
        };
        world.hosts().iter().map(|host| (host.name.clone(), of(&host.name))).collect()
    };
    let before = states(&world);
    landfall.succeed(&job("RELOAD_AGENT", &world, "9"));
    assert_eq!(states(&world), before);
    assert!(before.iter().all(|(_, state)| state.ends_with("as it lies there\n")), "{before:?}");
    assert_eq!(config(&world, "a")["file"]["max_transfer_speed_mb_per_sec"], 9);
    landfall.succeed(&job("RESTART_AGENT", &world, ""));
    assert!(states(&world).iter().zip(&before).all(|(now, before)| now != before));
    landfall.succeed(&job("UNINSTALL_AGENT", &world, ""));
    for host in world.hosts() {
        let left = world.exec(
            &host.name,
            "ls -d /usr/local/gse 2>/dev/null; cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c '[g]se_agent' || :",
        );
        assert_eq!(left, "0\n", "{}", host.name);
    }
}
