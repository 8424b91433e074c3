//! The whole log of a script, fetched from the host by whoever asks: while it runs, later, through sudo, and when it is gone.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::landfall::install;
use crate::package::Package;
use crate::scene::Scene;
use crate::server::{Reply, Server};
use crate::target::{await_held, hold_scripts, let_go, runs_started, until};
use crate::world::World;

fn collect(server: &Server, id: i64, ip: &str) -> Reply {
    let body = json!({"instance_id": format!("host|instance|host|{ip}-0-0")}).to_string();
    server.ask("POST", &format!("/api/job/{id}/collect_log/"), &[("accept-language", "en")], body.into())
}

/// The log of the host's only run, as it is there.
fn log(world: &World, name: &str) -> (String, String) {
    let run = runs_started(world, name).pop().expect("a run");
    let text = world.exec(name, &format!("cat /var/lib/landfall/runs/{run}/log"));
    (run, text)
}

#[test]
fn the_log_of_a_script_is_fetched_from_the_host_while_it_runs_and_until_it_is_gone() {
    let scene = Scene::new(World::up(&[("a", "password"), ("b", "sudo")]), Package::tiny("tiny"));
    let (world, a, b) = (&scene.world, &scene.world.host("a").ip, &scene.world.host("b").ip);
    hold_scripts(world, "a");
    let server = Server::start(scene.landfall.command(&[]));
    let id = server.submit(&install(world.hosts()));
    await_held(world, "a");
    let running = collect(&server, id, a).data();
    let so_far = running["log"].as_str().unwrap();
    assert!(so_far.contains("check_env DONE") && !so_far.contains("check_deploy_result DONE"), "{so_far}");
    let_go(world, "a");
    server.becomes(id, "SUCCESS");

    // What a tool printed in the encoding of its own country can be read, too.
    let run = runs_started(world, "a").pop().unwrap();
    world.exec("a", &format!("printf '\\264\\305\\305\\314\\n' >>/var/lib/landfall/runs/{run}/log"));
    let whole = collect(&server, id, a).data();
    let size = world.exec("a", &format!("wc -c </var/lib/landfall/runs/{run}/log")).trim().parse::<u64>().unwrap();
    assert_eq!(
        (&whole["run_id"], &whole["size"], &whole["truncated"], &whole["instance_id"]),
        (&json!(run), &json!(size), &json!(false), &json!(format!("host|instance|host|{a}-0-0")))
    );
    let text = whole["log"].as_str().unwrap();
    assert!(text.starts_with(so_far) && text.ends_with("磁盘\n"), "{text}");

    // Through sudo, and by the terminal beside the server.
    let (run, text) = log(world, "b");
    let told = collect(&server, id, b).data();
    assert_eq!((&told["run_id"], &told["log"]), (&json!(run), &json!(text)));
    let by_terminal = scene.landfall.call(&["job", "log", &id.to_string(), b, "--from-target"]);
    assert_eq!((by_terminal.exit, by_terminal.stdout), (0, text), "{}", by_terminal.stderr);
    let json = scene.landfall.call(&["job", "log", &id.to_string(), b, "--from-target", "--output", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&json.stdout).unwrap(), told);

    // Another server over the same record has the login, too.
    server.end(Signal::SIGTERM);
    let server = Server::start(scene.landfall.command(&[]));
    assert_eq!(collect(&server, id, b).data()["log"], told["log"]);

    world.exec("b", &format!("rm -r /var/lib/landfall/runs/{run}"));
    let gone = collect(&server, id, b);
    assert_eq!(gone.refusal(), (200, 3_800_013));
    assert!(gone.text.contains(&format!("has the log of run {run} no more")), "{}", gone.text);

    world.exec("a", "echo root:another | chpasswd");
    let refused = collect(&server, id, a);
    assert_eq!(
        (refused.refusal(), &refused.envelope()["data"]["failure"]["code"]),
        ((200, 3_803_005), &json!("password_refused"))
    );
    world.stop("a");
    until("the host to be unreachable", || matches!(collect(&server, id, a).refusal().1, 3_803_007 | 3_803_008));
}
