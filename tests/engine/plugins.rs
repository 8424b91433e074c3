//! Plugins: each in a step of its own, once, after the agent has answered; whatever fails, and wherever an executor dies.

use std::sync::Arc;
use std::time::Duration;

use landfall::domain::event::EventKind;
use landfall::domain::host::Address;
use landfall::domain::job::JobKind;
use landfall::domain::outcome::Outcome;
use landfall::domain::plan::{PluginName, StepKind};
use landfall::engine::Ended;
use landfall::store::Store;
use tokio::time::sleep;

use crate::asked::{cancel, retry, why};
use crate::fake::{Agent, Ask, Ends, Script, Trouble};
use crate::order::Shelf;
use crate::world::World;

fn shelf() -> Shelf {
    Shelf::of(300_000).plugin("a.plugin", "1.2", (9201, 600_000)).plugin("b", "3.0", (9202, 50_000))
}

fn step(name: &str) -> StepKind {
    StepKind::InstallPlugins(PluginName::new(name).unwrap())
}

fn removal(name: &str) -> StepKind {
    StepKind::RemovePlugins(PluginName::new(name).unwrap())
}

async fn world(hosts: usize) -> World {
    let mut world = World::install(hosts).await;
    world.shelf = Arc::new(shelf());
    world
}

/// Steps that were begun, in that order.
fn went(world: &World, host: usize) -> Vec<String> {
    world.record(host).steps.iter().map(|step| step.step.to_string()).collect()
}

/// Both plugins run, beside the agent.
fn has_all(world: &World, host: usize) {
    let names = ["aDplugin", "b"].map(str::to_owned).to_vec();
    assert_eq!(world.host(host).plugins(), (names.clone(), names), "host {host}");
    assert_eq!(world.host(host).has_agent(), (true, true), "host {host}");
}

async fn is_registered(world: &World, host: usize) -> bool {
    let row = world.store.host(Address { cloud: 0, ip: world.host(host).ip }).await.unwrap();
    row.is_some_and(|row| row.package == "agent")
}

#[tokio::test(start_paused = true)]
async fn each_plugin_is_a_step_with_a_run_of_its_own_after_the_agent_has_answered() {
    let world = world(2).await;
    world.run().await.unwrap();
    world.all_succeeded().await;
    for host in 0..2 {
        has_all(&world, host);
        let expected = [
            "connect",
            "probe",
            "upload_package",
            "upload_files",
            "run_script",
            "verify",
            "install_plugins a.plugin",
            "install_plugins b",
            "register",
            "cleanup",
        ];
        assert_eq!(went(&world, host), expected);
        let history = world.host(host).history();
        assert!(
            history[1].ends_with("-install_plugins-aDplugin-1") && history[2].ends_with("-install_plugins-b-1"),
            "{history:?}"
        );
        let record = world.record(host);
        let told = record.step(step("a.plugin")).unwrap();
        assert!(told.figures.detail.as_deref().unwrap().starts_with("a.plugin 1.2 answered"), "{:?}", told.figures);
        assert_eq!(told.figures.bytes_sent, Some(600_000));
        assert_eq!(record.plan.unwrap().name_of(step("b")), "install_plugins b 3.0");
        // The package of each stays for the next time.
        assert_eq!(world.host(host).leftovers().len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_wants_none_and_a_shelf_that_has_none_have_no_such_step() {
    for wanted in [false, true] {
        let mut world = World::install(1).await;
        world.run().await.unwrap();
        world.wants_plugins = wanted;
        world.shelf = Arc::new(if wanted { Shelf::of(300_000) } else { shelf() });
        world.submit(JobKind::ReinstallAgent).await;
        world.run().await.unwrap();
        world.all_succeeded().await;
        assert_eq!(went(&world, 0).len(), 8);
    }
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_fails_fails_the_host_and_a_retry_goes_on_with_it_alone() {
    let world = world(1).await;
    world.host(0).plugin("aDplugin", Agent::Silent);
    world.run().await.unwrap();
    let failure = world.failure(0);
    assert_eq!((failure.code.as_ref(), failure.step), ("agent_silent", Some(step("a.plugin"))));
    // The agent runs, and the inventory knows; the plugin behind the one that failed was not begun.
    assert_eq!(world.host(0).has_agent(), (true, true));
    assert!(is_registered(&world, 0).await);
    assert_eq!(went(&world, 0)[6..], ["install_plugins a.plugin", "register"]);
    world.laws();

    world.host(0).well_again("aDplugin");
    assert_eq!(retry(&world, &[0]).await, 1);
    world.run().await.unwrap();

    assert_eq!(world.outcome(0), Outcome::Succeeded);
    has_all(&world, 0);
    let record = world.record(0);
    let tries = [StepKind::RunScript, StepKind::Verify, step("a.plugin"), step("b"), StepKind::Register];
    assert_eq!(tries.map(|step| record.step(step).unwrap().attempts), [1, 1, 2, 1, 1]);
    assert_eq!(world.host(0).count(Ask::Probe), 1);
}

#[tokio::test(start_paused = true)]
async fn a_plugin_whose_script_fails_or_that_does_not_live_is_named_the_same_way() {
    let world = world(2).await;
    world.host(0).runs([Script::takes(3), Script::takes(3), Script::takes(3).ends(Ends::Exit(21))]);
    world.host(1).plugin("b", Agent::Dead);
    world.run().await.unwrap();
    for (host, code) in [(0, "disk_full"), (1, "agent_died")] {
        let failure = world.failure(host);
        assert_eq!((failure.code.as_ref(), failure.step), (code, Some(step("b"))), "host {host}");
        assert!(is_registered(&world, host).await && world.record(host).is_done(step("a.plugin")), "host {host}");
    }
    world.laws();
}

#[tokio::test(start_paused = true)]
async fn an_executor_that_dies_anywhere_in_a_plugin_is_replaced_and_nothing_is_done_twice() {
    for name in ["a.plugin", "b"] {
        for moment in 0..3 {
            let world = world(2).await;
            let its = step(name);
            let begins =
                move |host, event: &EventKind| host == 1 && matches!(event, EventKind::StepStarted { step, .. } if *step == its);
            let ends =
                move |host, event: &EventKind| host == 1 && matches!(event, EventKind::StepFinished { step, .. } if *step == its);
            match moment {
                0 => world.store.die_after(begins),
                1 => world.store.die_before(ends),
                _ => world.store.die_after(ends),
            }
            assert!(world.run_until_death(std::future::pending()).await, "{name} {moment}");
            assert_eq!(world.run().await.unwrap(), Ended::Finished, "{name} {moment}");
            world.all_succeeded().await;
            for host in 0..2 {
                has_all(&world, host);
                assert_eq!(world.host(host).history().len(), 3, "{name} {moment}: {:?}", world.host(host).history());
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_in_flight_is_followed_again_and_nothing_is_brought_under_its_feet() {
    let world = world(1).await;
    world.host(0).runs([Script::takes(3), Script::takes(120)]);
    // In the middle of the plugin's script.
    assert!(world.run_until_death(sleep(Duration::from_secs(60))).await);
    assert_eq!(world.host(0).history().len(), 2);
    let (puts, bundles) = (world.host(0).count(Ask::Put), world.host(0).count(Ask::Bundle));
    world.host(0).runs([Script::takes(3)]);
    world.run().await.unwrap();
    world.all_succeeded().await;
    has_all(&world, 0);
    // Those of `b` only.
    assert_eq!((world.host(0).count(Ask::Put), world.host(0).count(Ask::Bundle)), (puts + 1, bundles + 1));
    assert_eq!(world.record(0).step(step("a.plugin")).unwrap().attempts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_breaks_in_an_upload_goes_on_where_it_was_and_one_that_breaks_in_the_run_at_the_same_run() {
    let world = world(1).await;
    world.host(0).fault(Ask::Put, 1..2, Trouble::LostAt(300_000));
    world.host(0).fault(Ask::Follow, 1..2, Trouble::LostIn(Duration::from_secs(1)));
    world.run().await.unwrap();
    world.all_succeeded().await;
    has_all(&world, 0);
    let transfers = world.host(0).transfers();
    assert!(transfers[2].offset >= 300_000 && transfers[1].bytes + transfers[2].bytes == 600_000, "{transfers:?}");
    assert_eq!(world.host(0).history().len(), 3, "{:?}", world.host(0).history());
}

#[tokio::test(start_paused = true)]
async fn a_cancel_ends_the_script_of_a_plugin_and_the_agent_stays_known() {
    for dies in [false, true] {
        let world = world(1).await;
        world.host(0).runs([Script::takes(3), Script::takes(500)]);
        if dies {
            assert!(world.run_until_death(sleep(Duration::from_secs(60))).await);
            cancel(&world).await;
            world.run().await.unwrap();
        } else {
            let asking = async {
                sleep(Duration::from_secs(60)).await;
                cancel(&world).await;
            };
            let (ended, ()) = tokio::join!(world.run(), asking);
            ended.unwrap();
        }
        let outcome = world.outcome(0);
        assert_eq!(why(&outcome), "cancelled during install_plugins a.plugin; the script was ended on the host", "{dies}");
        assert_eq!((world.host(0).count(Ask::Kill), world.host(0).plugins().0.len()), (1, 0), "{dies}");
        assert!(is_registered(&world, 0).await, "{dies}");
        world.laws();
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_lost_in_the_run_of_a_plugin_is_unknown_and_its_agent_known() {
    let world = world(1).await;
    world.host(0).runs([Script::takes(3), Script::takes(100)]).fault(Ask::Follow, 1.., Trouble::LostIn(Duration::from_secs(1)));
    world.host(0).fault(Ask::Connect, 1.., Trouble::Refused);
    world.run().await.unwrap();
    let Outcome::Unknown { failure } = world.outcome(0) else { panic!("{:?}", world.outcome(0)) };
    assert_eq!(failure.code, "connection_refused");
    assert!(is_registered(&world, 0).await);
    world.host(0).heal();
    assert_eq!(retry(&world, &[0]).await, 1);
    world.run().await.unwrap();
    assert_eq!(world.outcome(0), Outcome::Succeeded);
    has_all(&world, 0);
}

#[tokio::test(start_paused = true)]
async fn an_uninstall_takes_the_plugins_away_before_the_agent() {
    let mut world = world(1).await;
    world.run().await.unwrap();
    world.submit(JobKind::UninstallAgent).await;
    let gone = removal("a.plugin");
    world.store.die_after(move |_, event: &EventKind| matches!(event, EventKind::StepStarted { step, .. } if *step == gone));
    assert!(world.run_until_death(std::future::pending()).await);
    world.run().await.unwrap();
    world.all_succeeded().await;
    assert_eq!((world.host(0).plugins().0.len(), world.host(0).has_agent()), (0, (false, false)));
    let expected =
        ["connect", "probe", "remove_plugins a.plugin", "remove_plugins b", "run_script", "verify_gone", "register", "cleanup"];
    assert_eq!(went(&world, 0), expected);
    assert_eq!(world.host(0).history().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn other_kinds_act_on_the_agent_whatever_plugins_are_beside_it() {
    let mut world = world(1).await;
    world.run().await.unwrap();
    world.submit(JobKind::RestartAgent).await;
    world.run().await.unwrap();
    world.all_succeeded().await;
    assert_eq!(went(&world, 0), ["connect", "probe", "run_script", "verify"]);
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_has_the_agents_name_is_refused_before_anything_is_touched() {
    let mut world = World::install(1).await;
    world.shelf = Arc::new(Shelf::of(300_000).plugin("agent", "1.0", (9201, 10_000)));
    world.run().await.unwrap();
    assert_eq!((world.failure(0).code.as_ref(), world.failure(0).step), ("bad_package", Some(StepKind::Probe)));
    assert_eq!(world.host(0).count(Ask::Put), 0);
}
