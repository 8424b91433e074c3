//! The course of a host: its steps in order, each durable before it is done, no host waiting for another.

use std::sync::atomic::Ordering;
use std::time::Duration;

use landfall::domain::event::EventKind;
use landfall::domain::host::Address;
use landfall::domain::job::{JobKind, Status};
use landfall::domain::outcome::{Outcome, StepOutcome};
use landfall::domain::plan::{StepKind, Work};
use landfall::engine::Ended;
use landfall::store::Store;

use crate::fake::{Ask, Sudo, Trouble};
use crate::world::World;

/// What a journal says of steps and the plan, in order.
fn milestones(events: &[EventKind]) -> Vec<String> {
    let milestone = |event: &EventKind| match event {
        EventKind::StepStarted { step, .. } => Some(format!("{step} begins")),
        EventKind::StepFinished { step, .. } => Some(format!("{step} ends")),
        EventKind::PlanSettled { .. } => Some("the plan is settled".into()),
        _ => None,
    };
    events.iter().filter_map(milestone).collect()
}

#[tokio::test(start_paused = true)]
async fn an_install_goes_through_its_steps_in_order_and_settles_its_plan_before_the_first_change() {
    let world = World::install(1).await;
    assert_eq!(world.run().await.unwrap(), Ended::Finished);
    world.all_succeeded().await;
    let mut expected = Vec::new();
    for step in ["connect", "probe", "upload_package", "upload_files", "run_script", "verify", "register", "cleanup"] {
        expected.push(format!("{step} begins"));
        if step == "probe" {
            expected.push("the plan is settled".into());
        }
        expected.push(format!("{step} ends"));
    }
    assert_eq!(milestones(&world.events(0)), expected);
    assert_eq!(world.host(0).has_agent(), (true, true));
    let row = world.store.host(Address { cloud: 0, ip: world.host(0).ip }).await.unwrap().unwrap();
    assert_eq!((row.package.as_str(), row.version.as_str(), row.job), ("agent", "1.0", world.job));
}

#[tokio::test(start_paused = true)]
async fn one_session_and_one_exec_per_step_are_enough() {
    let world = World::install(1).await;
    world.run().await.unwrap();
    for ask in [Ask::Connect, Ask::Probe, Ask::Put, Ask::Bundle, Ask::Start, Ask::Follow, Ask::Forward, Ask::Cleanup] {
        assert_eq!(world.host(0).count(ask), 1, "{ask:?}");
    }
    assert_eq!(world.fleet.sessions.now(), 0, "the session is closed");
}

#[tokio::test(start_paused = true)]
async fn a_second_install_sends_the_package_only_where_it_is_missing() {
    let mut world = World::install(2).await;
    world.run().await.unwrap();
    world.submit(JobKind::InstallAgent).await;
    world.run().await.unwrap();
    world.all_succeeded().await;
    assert!(world.hosts().all(|host| host.transfers().len() == 1));
    let record = world.record(0);
    let upload = record.step(StepKind::UploadPackage).unwrap();
    assert!(matches!(upload.outcome, Some(StepOutcome::Skipped { .. })), "{:?}", upload.outcome);
    assert_eq!(upload.figures.bytes_sent, Some(0));
}

#[tokio::test(start_paused = true)]
async fn an_uninstall_leaves_nothing_on_the_host_and_nothing_in_the_inventory() {
    let world = World::uninstall(2).await;
    assert_eq!(world.run().await.unwrap(), Ended::Finished);
    world.all_succeeded().await;
    for host in world.hosts() {
        assert_eq!((host.has_agent(), host.leftovers()), ((false, false), Vec::new()));
        assert_eq!(world.store.host(Address { cloud: 0, ip: host.ip }).await.unwrap(), None);
    }
    assert!(matches!(world.record(0).plan.unwrap().work, Work::Uninstall { .. }));
}

#[tokio::test(start_paused = true)]
async fn an_uninstall_where_nothing_is_installed_is_skipped() {
    let mut world = World::install(2).await;
    world.host(0).fault(Ask::Connect, .., Trouble::Panic);
    world.run().await.unwrap();
    world.host(0).heal();
    world.submit(JobKind::UninstallAgent).await;
    world.run().await.unwrap();
    assert!(matches!(world.outcome(0), Outcome::Skipped { .. }), "{:?}", world.outcome(0));
    assert_eq!(world.outcome(1), Outcome::Succeeded);
    assert_eq!(world.status().await, Status::Success);
    assert_eq!(world.host(0).count(Ask::Start), 0);
    world.laws();
}

#[tokio::test(start_paused = true)]
async fn a_restart_and_a_reload_act_on_what_is_installed() {
    let mut world = World::install(2).await;
    world.run().await.unwrap();
    for (kind, steps) in [
        (JobKind::RestartAgent, &["connect", "probe", "run_script", "verify"][..]),
        (JobKind::ReloadAgent, &["connect", "probe", "upload_files", "run_script", "verify"]),
    ] {
        world.submit(kind).await;
        assert_eq!(world.run().await.unwrap(), Ended::Finished);
        world.all_succeeded().await;
        let went: Vec<_> = world.record(0).steps.iter().map(|step| step.step.word()).collect();
        assert_eq!(went, steps);
        assert!(world.hosts().all(|host| host.has_agent() == (true, true)));
        let known = world.store.host(Address { cloud: 0, ip: world.host(0).ip }).await.unwrap();
        assert!(known.is_some(), "the inventory keeps it");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_installed_cannot_be_restarted_or_reloaded() {
    for kind in [JobKind::RestartAgent, JobKind::ReloadAgent, JobKind::UpgradeAgent] {
        let mut world = World::install(1).await;
        world.host(0).fault(Ask::Connect, .., Trouble::Panic);
        world.run().await.unwrap();
        world.host(0).heal();
        world.submit(kind).await;
        world.run().await.unwrap();
        assert_eq!(world.failure(0).code, "not_installed", "{kind:?}");
        assert_eq!(world.host(0).count(Ask::Start), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_removed_host_is_forgotten_and_the_machine_is_not_touched() {
    let mut world = World::install(2).await;
    world.run().await.unwrap();
    let (ip, asks) = (world.host(0).ip, world.host(0).count(Ask::Connect));
    world.submit(JobKind::RemoveAgent).await;
    assert_eq!(world.run().await.unwrap(), Ended::Finished);
    assert_eq!((world.outcome(0), world.status().await), (Outcome::Removed, Status::Success));
    assert_eq!(world.store.host(Address { cloud: 0, ip }).await.unwrap(), None);
    assert_eq!(world.store.kept_logins(&[Address { cloud: 0, ip }]).await.unwrap().len(), 0);
    assert_eq!((world.host(0).count(Ask::Connect), world.host(0).has_agent()), (asks, (true, true)));
}

#[tokio::test(start_paused = true)]
async fn a_slow_host_delays_no_other() {
    let world = World::install(8).await;
    world.host(0).latency(Duration::from_secs(25));
    world.run().await.unwrap();
    world.all_succeeded().await;
    let took = |host| {
        let record = world.record(host);
        record.finished.unwrap().duration_since(record.started.unwrap()).unsigned_abs()
    };
    assert!(took(0) > Duration::from_secs(150), "{:?}", took(0));
    assert!((1..8).all(|host| took(host) < Duration::from_secs(5)), "{:?}", (1..8).map(took).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn the_archive_is_opened_once_for_fifty_hosts() {
    let world = World::install(50).await;
    world.run().await.unwrap();
    world.all_succeeded().await;
    assert_eq!(world.shelf.fetched.load(Ordering::Relaxed), 1);
    assert!(world.hosts().all(|host| host.transfers().iter().map(|transfer| transfer.bytes).sum::<u64>() == world.shelf.size()));
}

#[tokio::test(start_paused = true)]
async fn a_host_task_that_breaks_off_takes_no_other_with_it() {
    for ask in [Ask::Connect, Ask::Put, Ask::Follow, Ask::Forward] {
        let world = World::install(4).await;
        world.host(2).fault(ask, .., Trouble::Panic);
        assert_eq!(world.run().await.unwrap(), Ended::Finished);
        assert_eq!(world.failure(2).code, "internal", "{ask:?}");
        assert!([0, 1, 3].iter().all(|host| world.outcome(*host) == Outcome::Succeeded));
        assert_eq!(world.status().await, Status::PartFailed);
        world.laws();
    }
}

#[tokio::test(start_paused = true)]
async fn root_is_reached_by_sudo_and_its_password_goes_out_at_its_prompt() {
    for sudo in [Sudo::Free, Sudo::Password(crate::fake::PASSWORD)] {
        let world = World::install(1).await;
        world.host(0).sudo(sudo);
        world.run().await.unwrap();
        world.all_succeeded().await;
        // The first probe finds out that the account is not root.
        assert_eq!(world.host(0).count(Ask::Probe), 2, "{sudo:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_sudo_is_final_and_changes_nothing_on_the_host() {
    for (sudo, code) in [(Sudo::Password("another"), "sudo_password_refused"), (Sudo::Refused, "sudo_refused")] {
        let world = World::install(1).await;
        world.host(0).sudo(sudo);
        world.run().await.unwrap();
        assert_eq!(world.failure(0).code, code);
        assert_eq!(world.host(0).count(Ask::Connect), 1);
        assert_eq!(world.host(0).count(Ask::Put), 0);
        world.laws();
    }
}
