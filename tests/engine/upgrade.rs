//! An upgrade: the new release proves itself, or the old one runs again; wherever an executor dies, and whoever cancels.

use std::time::Duration;

use landfall::domain::event::EventKind;
use landfall::domain::host::Address;
use landfall::domain::outcome::{Outcome, StepOutcome};
use landfall::domain::plan::StepKind;
use landfall::engine::Ended;
use landfall::store::Store;
use tokio::time::sleep;

use crate::asked::{cancel, retry, why};
use crate::fake::{Agent, Ask, Ends, Script, Trouble};
use crate::world::World;

const GOOD: [&str; 8] = ["connect", "probe", "upload_package", "upload_files", "run_script", "verify", "register", "cleanup"];
const IN_VAIN: [&str; 7] = ["connect", "probe", "upload_package", "upload_files", "run_script", "verify", "switch_back"];

/// Steps that were begun, in that order.
fn went(world: &World) -> Vec<&'static str> {
    world.record(0).steps.iter().map(|step| step.step.word()).collect()
}

/// The old release runs, and everybody knows.
async fn is_back(world: &World, host: usize) {
    assert!(world.host(host).installed().contains("version = \"1.0\""), "{}", world.host(host).installed());
    assert_eq!(world.host(host).has_agent(), (true, true));
    let row = world.store.host(Address { cloud: 0, ip: world.host(host).ip }).await.unwrap().unwrap();
    assert_eq!(row.version, "1.0");
    world.laws();
}

/// The upgrade failed because the new release did not answer, and the old one does.
async fn was_in_vain(world: &World, host: usize) {
    let failure = world.failure(host);
    assert_eq!((failure.code.as_ref(), failure.step), ("agent_silent", Some(StepKind::Verify)));
    assert!(failure.message.ends_with("; agent 1.0 answers again"), "{}", failure.message);
    assert!(world.record(host).is_done(StepKind::SwitchBack));
    is_back(world, host).await;
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_that_answers_is_registered_and_has_no_way_back_in_its_record() {
    let world = World::upgrade(2).await;
    assert_eq!(world.run().await.unwrap(), Ended::Finished);
    world.all_succeeded().await;
    assert_eq!(went(&world), GOOD);
    assert!(world.host(0).installed().contains("version = \"2.0\""));
    let row = world.store.host(Address { cloud: 0, ip: world.host(0).ip }).await.unwrap().unwrap();
    assert_eq!(row.version, "2.0");
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_to_what_is_there_sends_nothing() {
    let mut world = World::install(1).await;
    world.run().await.unwrap();
    world.submit(landfall::domain::job::JobKind::UpgradeAgent).await;
    world.run().await.unwrap();
    world.all_succeeded().await;
    let record = world.record(0);
    let upload = record.step(StepKind::UploadPackage).unwrap();
    assert!(matches!(upload.outcome, Some(StepOutcome::Skipped { .. })), "{:?}", upload.outcome);
    assert_eq!(world.host(0).count(Ask::Put), 1);
}

#[tokio::test(start_paused = true)]
async fn a_release_that_does_not_answer_is_gone_back_from() {
    let world = World::upgrade(1).await;
    world.host(0).upgraded(Agent::Silent);
    world.run().await.unwrap();
    was_in_vain(&world, 0).await;
    assert_eq!(went(&world), IN_VAIN);
    let events = world.events(0);
    let added = events.iter().position(|event| matches!(event, EventKind::StepAdded { .. })).unwrap();
    // One transaction: whoever comes between them finds both or none.
    assert!(matches!(&events[added - 1], EventKind::StepFinished { step: StepKind::Verify, .. }), "{:?}", events[added - 1]);
    let planned: Vec<_> = world.record(0).plan.unwrap().steps.iter().map(|step| step.kind.word()).collect();
    assert_eq!(planned[5..], ["verify", "switch_back", "register", "cleanup"]);
}

#[tokio::test(start_paused = true)]
async fn a_script_that_fails_is_gone_back_from_unless_it_touched_nothing() {
    for (code, goes_back) in [(32, true), (99, true), (28, false), (40, false)] {
        let world = World::upgrade(1).await;
        world.host(0).runs([Script::takes(3), Script::takes(3).ends(Ends::Exit(code)), Script::takes(3)]);
        world.run().await.unwrap();
        assert_eq!(world.failure(0).step, Some(StepKind::RunScript), "{code}");
        assert_eq!(world.record(0).step(StepKind::SwitchBack).is_some(), goes_back, "{code}");
        assert_eq!(world.failure(0).message.contains("agent 1.0 answers again"), goes_back, "{code}");
        is_back(&world, 0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_way_back_that_fails_is_told_behind_the_cause() {
    let world = World::upgrade(1).await;
    world.host(0).upgraded(Agent::Silent).agent(Agent::Silent);
    world.run().await.unwrap();
    let failure = world.failure(0);
    assert_eq!((failure.code.as_ref(), failure.step), ("agent_silent", Some(StepKind::Verify)));
    assert!(failure.message.contains("; agent 1.0 does not answer again: "), "{}", failure.message);
    let record = world.record(0);
    assert!(matches!(record.step(StepKind::SwitchBack).unwrap().outcome, Some(StepOutcome::Failed { .. })));
    world.laws();
}

#[tokio::test(start_paused = true)]
async fn a_link_that_breaks_on_the_way_back_leads_back_to_the_same_run() {
    let world = World::upgrade(1).await;
    world.host(0).upgraded(Agent::Silent).fault(Ask::Follow, 2..3, Trouble::LostIn(Duration::from_secs(1)));
    world.run().await.unwrap();
    was_in_vain(&world, 0).await;
    assert_eq!(world.host(0).history().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_lost_for_good_says_nothing_of_the_new_release() {
    let world = World::upgrade(1).await;
    world.host(0).fault(Ask::Forward, 1.., Trouble::Lost);
    world.run().await.unwrap();
    assert!(world.record(0).step(StepKind::SwitchBack).is_none(), "{:?}", world.outcome(0));
    assert!(world.host(0).installed().contains("version = \"2.0\""));
    // Asked again when the link is back, it answers.
    world.host(0).heal();
    assert_eq!(retry(&world, &[0]).await, 1);
    world.run().await.unwrap();
    assert_eq!((world.outcome(0), world.host(0).history().len()), (Outcome::Succeeded, 2));
}

#[tokio::test(start_paused = true)]
async fn an_executor_that_dies_anywhere_in_an_upgrade_in_vain_is_replaced() {
    for step in [StepKind::UploadPackage, StepKind::UploadFiles, StepKind::RunScript, StepKind::Verify, StepKind::SwitchBack] {
        for moment in 0..3 {
            let world = World::upgrade(2).await;
            for host in world.hosts() {
                host.upgraded(Agent::Silent);
            }
            let begins = move |host, event: &EventKind| {
                host == 1 && matches!(event, EventKind::StepStarted { step: begun, .. } if *begun == step)
            };
            let ends = move |host, event: &EventKind| {
                host == 1 && matches!(event, EventKind::StepFinished { step: ended, .. } if *ended == step)
            };
            match moment {
                0 => world.store.die_after(begins),
                1 => world.store.die_before(ends),
                _ => world.store.die_after(ends),
            }
            assert!(world.run_until_death(std::future::pending()).await, "{step} {moment}");
            assert_eq!(world.run().await.unwrap(), Ended::Finished, "{step} {moment}");
            for host in 0..2 {
                was_in_vain(&world, host).await;
                assert_eq!(world.host(host).history().len(), 3, "{step} {moment}: {:?}", world.host(host).history());
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_upgrade_leaves_the_old_release_running_unless_the_new_one_proved_itself() {
    // In the script, while the new one is asked, on the way back.
    for (after, phase) in [(5, "run_script"), (25, "verify"), (46, "switch_back")] {
        let world = World::upgrade(1).await;
        world.host(0).upgraded(Agent::Silent).runs([Script::takes(3), Script::takes(20), Script::takes(20)]);
        let asking = async {
            sleep(Duration::from_secs(after)).await;
            cancel(&world).await;
        };
        let (ended, ()) = tokio::join!(world.run(), asking);
        assert_eq!(ended.unwrap(), Ended::Finished, "{phase}");
        let outcome = world.outcome(0);
        assert!(why(&outcome).starts_with(&format!("cancelled during {phase}")), "{outcome:?}");
        assert!(why(&outcome).ends_with("; agent 1.0 answers again"), "{outcome:?}");
        is_back(&world, 0).await;
        assert_eq!(world.host(0).history().len(), 3, "{phase}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancel_after_the_executor_died_goes_back_too() {
    for step in [StepKind::RunScript, StepKind::Verify, StepKind::SwitchBack] {
        let world = World::upgrade(1).await;
        world.host(0).upgraded(Agent::Silent);
        world.store.die_after(move |_, event| matches!(event, EventKind::StepStarted { step: begun, .. } if *begun == step));
        assert!(world.run_until_death(std::future::pending()).await);
        cancel(&world).await;
        world.run().await.unwrap();
        assert!(why(&world.outcome(0)).ends_with("agent 1.0 answers again"), "{step}: {:?}", world.outcome(0));
        is_back(&world, 0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_upgrades_anew() {
    let world = World::upgrade(1).await;
    world.host(0).upgraded(Agent::Silent);
    world.run().await.unwrap();
    was_in_vain(&world, 0).await;
    world.host(0).upgraded(Agent::Well);
    assert_eq!(retry(&world, &[0]).await, 1);
    world.run().await.unwrap();
    assert_eq!(world.outcome(0), Outcome::Succeeded);
    let record = world.record(0);
    assert!(!record.goes_back() && !record.is_done(StepKind::SwitchBack));
    assert_eq!(record.step(StepKind::RunScript).unwrap().attempts, 2);
    assert!(world.host(0).installed().contains("version = \"2.0\""));
}
