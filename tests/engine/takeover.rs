//! The death of an executor, anywhere: the next one finds the record as it was left, goes on, and starts no run twice.

use std::time::Duration;

use landfall::domain::event::EventKind;
use landfall::domain::job::JobKind;
use landfall::domain::outcome::{Outcome, StepOutcome};
use landfall::domain::plan::StepKind;
use landfall::engine::Ended;
use landfall::plan::outline::outline;

use crate::fake::{Ask, Ends, Script, Trouble};
use crate::world::World;

/// Where in a step the executor dies.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// The step is in the record; nothing of it was done.
    Begun,
    /// It was done on the host; the record does not know.
    Done,
    /// The record knows; the executor does not know that.
    Recorded,
}

const MOMENTS: [Moment; 3] = [Moment::Begun, Moment::Done, Moment::Recorded];

/// The executor dies when host 1 is at that moment of that step.
fn dies_at(world: &World, step: StepKind, moment: Moment) {
    let begins =
        move |host, event: &EventKind| host == 1 && matches!(event, EventKind::StepStarted { step: begun, .. } if *begun == step);
    let ends = move |host, event: &EventKind| {
        host == 1 && matches!(event, EventKind::StepFinished { step: ended, .. } if *ended == step)
    };
    match moment {
        Moment::Begun => world.store.die_after(begins),
        Moment::Done => world.store.die_before(ends),
        Moment::Recorded => world.store.die_after(ends),
    }
}

/// Every run was started once, and no host needed two.
fn one_start_per_host(world: &World, runs: usize) {
    for host in world.hosts() {
        assert_eq!(host.history().len(), runs, "{:?}", host.history());
    }
}

#[tokio::test(start_paused = true)]
async fn an_executor_that_dies_at_any_step_of_an_install_is_replaced() {
    for step in outline(JobKind::InstallAgent, 600) {
        for moment in MOMENTS {
            let world = World::install(3).await;
            world.host(2).latency(Duration::from_millis(170));
            dies_at(&world, step.kind, moment);
            assert!(world.run_until_death(std::future::pending()).await, "{} {moment:?}", step.kind);
            assert_eq!(world.run().await.unwrap(), Ended::Finished, "{} {moment:?}", step.kind);
            world.all_succeeded().await;
            one_start_per_host(&world, 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_executor_that_dies_at_any_step_of_an_uninstall_is_replaced() {
    for step in outline(JobKind::UninstallAgent, 600) {
        for moment in MOMENTS {
            let world = World::uninstall(3).await;
            world.host(2).latency(Duration::from_millis(170));
            dies_at(&world, step.kind, moment);
            assert!(world.run_until_death(std::future::pending()).await, "{} {moment:?}", step.kind);
            assert_eq!(world.run().await.unwrap(), Ended::Finished, "{} {moment:?}", step.kind);
            world.all_succeeded().await;
            one_start_per_host(&world, 2);
            assert!(world.hosts().all(|host| host.has_agent() == (false, false)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_executor_that_dies_between_steps_is_replaced() {
    type Is = fn(u32, &EventKind) -> bool;
    let moments: [(&str, Is); 4] = [
        ("host started", |_, event| matches!(event, EventKind::HostStarted)),
        ("plan settled", |_, event| matches!(event, EventKind::PlanSettled { .. })),
        ("attempt failed", |_, event| matches!(event, EventKind::AttemptFailed { .. })),
        ("host finished", |_, event| matches!(event, EventKind::HostFinished { .. })),
    ];
    for (name, is) in moments {
        for after in [false, true] {
            let world = World::install(3).await;
            world.host(0).fault(Ask::Connect, ..1, Trouble::Refused);
            if after {
                world.store.die_after(is)
            } else {
                world.store.die_before(is)
            }
            assert!(world.run_until_death(std::future::pending()).await, "{name} {after}");
            assert_eq!(world.run().await.unwrap(), Ended::Finished, "{name} {after}");
            world.all_succeeded().await;
            one_start_per_host(&world, 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_executor_that_dies_at_any_moment_is_replaced() {
    for moment in (0..6_000).step_by(70) {
        let world = World::with(4, 300_000, |host| host.bt_speed_limit = 1).await;
        world.host(1).latency(Duration::from_millis(230)).fault(Ask::Follow, ..1, Trouble::LostIn(Duration::from_millis(900)));
        world.host(2).fault(Ask::Put, ..1, Trouble::LostAt(150_000));
        world.host(3).fault(Ask::Connect, ..2, Trouble::Refused);
        world.run_until_death(tokio::time::sleep(Duration::from_millis(moment))).await;
        assert_eq!(world.run().await.unwrap(), Ended::Finished, "at {moment} ms");
        world.all_succeeded().await;
        one_start_per_host(&world, 1);
        log_is_whole(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn thirty_hosts_survive_an_executor_that_is_killed_again_and_again() {
    for pause in [190, 420, 1_130] {
        let mut world = World::with(30, 300_000, |host| host.bt_speed_limit = 1).await;
        world.site.limits.concurrency = 8;
        for (host, index) in world.hosts().zip(0..) {
            host.latency(Duration::from_millis(10 + 7 * index)).runs([Script::takes(1 + index % 5)]);
        }
        let mut deaths = 0;
        while world.run_until_death(tokio::time::sleep(Duration::from_millis(pause + 13 * deaths))).await {
            deaths += 1;
            assert!(deaths < 1_000, "the job gets nowhere");
        }
        assert!(deaths > 3, "{deaths}");
        world.all_succeeded().await;
        one_start_per_host(&world, 1);
    }
}

/// The record has the whole log of every run.
async fn log_is_whole(world: &World) {
    for (index, host) in world.hosts().enumerate() {
        let run_id = world.record(index).step(StepKind::RunScript).unwrap().run_id.clone().unwrap();
        assert_eq!(String::from_utf8(world.output(index).await), String::from_utf8(host.log(run_id.as_str())));
    }
}

#[tokio::test(start_paused = true)]
async fn a_script_that_ended_while_nobody_looked_is_asked_for_its_result() {
    for (script, good) in [(Script::takes(60), true), (Script::takes(60).ends(Ends::Exit(21)), false)] {
        let world = World::install(1).await;
        world.host(0).runs([script]);
        assert!(world.run_until_death(tokio::time::sleep(Duration::from_secs(20))).await);
        // Far beyond the deadline of the run.
        tokio::time::sleep(Duration::from_secs(86_400)).await;
        world.run().await.unwrap();
        if good {
            world.all_succeeded().await;
        } else {
            assert_eq!(world.failure(0).code, "disk_full");
        }
        one_start_per_host(&world, 1);
        log_is_whole(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_refused_connection_a_day_later_does_not_make_the_run_unknown() {
    let world = World::install(1).await;
    world.host(0).runs([Script::takes(60)]).fault(Ask::Connect, 1..3, Trouble::Refused);
    assert!(world.run_until_death(tokio::time::sleep(Duration::from_secs(20))).await);
    tokio::time::sleep(Duration::from_secs(86_400)).await;
    world.run().await.unwrap();
    world.all_succeeded().await;
    one_start_per_host(&world, 1);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_stays_out_of_reach_a_day_later_is_unknown_after_the_usual_tries() {
    let world = World::install(1).await;
    world.host(0).runs([Script::takes(60)]).fault(Ask::Connect, 1.., Trouble::Refused);
    assert!(world.run_until_death(tokio::time::sleep(Duration::from_secs(20))).await);
    tokio::time::sleep(Duration::from_secs(86_400)).await;
    world.run().await.unwrap();
    assert!(matches!(world.outcome(0), Outcome::Unknown { .. }), "{:?}", world.outcome(0));
    assert_eq!(world.host(0).count(Ask::Connect), 5);
    world.laws();
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_out_of_reach_when_only_its_cleanup_is_left_has_its_agent_all_the_same() {
    for moment in [Moment::Begun, Moment::Done] {
        let world = World::install(3).await;
        dies_at(&world, StepKind::Cleanup, moment);
        assert!(world.run_until_death(std::future::pending()).await);
        world.host(1).fault(Ask::Connect, 1.., Trouble::Refused);
        world.run().await.unwrap();
        world.all_succeeded().await;
        let cleanup = world.record(1).step(StepKind::Cleanup).unwrap().outcome.clone();
        assert!(matches!(cleanup, Some(StepOutcome::Warned { .. })), "{cleanup:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_password_is_not_tried_again_by_the_next_executor() {
    let refused = |_: u32, event: &EventKind| matches!(event, EventKind::StepFinished { step: StepKind::Connect, .. });
    let finished = |_: u32, event: &EventKind| matches!(event, EventKind::HostFinished { .. });
    for again in [false, true] {
        let world = World::install(1).await;
        world.host(0).password("another");
        if again {
            world.store.die_after(refused)
        } else {
            world.store.die_after(finished)
        }
        assert!(world.run_until_death(std::future::pending()).await);
        world.run().await.unwrap();
        assert_eq!(world.failure(0).code, "password_refused");
        assert_eq!(world.host(0).count(Ask::Connect), 1);
        world.laws();
    }
}
