//! The script on the host: it outlives sessions, is started once per run id, and its end is told as it was.

use std::time::Duration;

use landfall::domain::failure::FailureClass;
use landfall::domain::outcome::{Outcome, StepOutcome};
use landfall::domain::plan::StepKind;
use tokio::time::Instant;

use crate::fake::{Ask, Ends, Host, Script, Sudo, Trouble};
use crate::world::World;

const SECOND: Duration = Duration::from_secs(1);

/// The record has the whole log of the host's only run.
async fn log_is_whole(world: &World) {
    let run_id = world.record(0).step(StepKind::RunScript).unwrap().run_id.clone().unwrap();
    let log = world.host(0).log(run_id.as_str());
    assert_eq!(String::from_utf8(world.output(0).await), String::from_utf8(log));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_lost_while_following_leads_back_to_the_same_run() {
    let world = World::install(1).await;
    let host = world.host(0).runs([Script::takes(30)]);
    host.fault(Ask::Follow, ..1, Trouble::LostIn(4 * SECOND)).fault(Ask::Follow, 1..6, Trouble::LostIn(SECOND));
    world.run().await.unwrap();
    world.all_succeeded().await;
    assert_eq!(world.host(0).history().len(), 1);
    assert_eq!((world.host(0).count(Ask::Start), world.host(0).count(Ask::Kill)), (7, 0));
    assert_eq!(world.record(0).step(StepKind::RunScript).unwrap().attempts, 1, "reconnecting is no new attempt");
    log_is_whole(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_link_that_stands_and_says_nothing_is_replaced_after_six_missed_beats() {
    let world = World::install(1).await;
    world.host(0).runs([Script::takes(120)]).fault(Ask::Follow, ..1, Trouble::SilentIn(2 * SECOND));
    let begun = Instant::now();
    world.run().await.unwrap();
    world.all_succeeded().await;
    assert!(begun.elapsed() < 125 * SECOND, "{:?}", begun.elapsed());
    assert_eq!((world.host(0).history().len(), world.host(0).count(Ask::Follow)), (1, 2));
    log_is_whole(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_never_begins_is_replaced_as_well() {
    let world = World::install(1).await;
    world.host(0).runs([Script::takes(120)]).fault(Ask::Follow, ..1, Trouble::Silence);
    let begun = Instant::now();
    world.run().await.unwrap();
    world.all_succeeded().await;
    assert!(begun.elapsed() < 125 * SECOND, "{:?}", begun.elapsed());
    log_is_whole(&world).await;
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_log_is_not_lost_when_the_exit_code_overtakes_it() {
    let world = World::install(1).await;
    world.host(0).fault(Ask::Follow, .., Trouble::WordFirst);
    world.run().await.unwrap();
    world.all_succeeded().await;
    log_is_whole(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_not_seen_to_start_is_followed_all_the_same() {
    let world = World::install(1).await;
    world.host(0).fault(Ask::Start, ..1, Trouble::LostAfter);
    world.run().await.unwrap();
    world.all_succeeded().await;
    assert_eq!(world.host(0).history().len(), 1);
    log_is_whole(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_vanished_gets_one_new_attempt() {
    let vanishes = Script::takes(3).ends(Ends::Vanishes);
    for (scripts, good) in [(vec![vanishes, Script::takes(3)], true), (vec![vanishes], false)] {
        let world = World::install(1).await;
        world.host(0).runs(scripts);
        world.run().await.unwrap();
        assert_eq!(world.host(0).history().len(), 2);
        assert_eq!(world.retries(0, StepKind::RunScript).len(), 1);
        if good {
            world.all_succeeded().await;
        } else {
            assert_eq!(world.failure(0).code, "run_lost");
        }
        assert_eq!(world.host(0).count(Ask::Kill), 1, "what the first one left is ended before the second begins");
        world.laws();
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_restarted_during_its_run_gets_one_new_attempt_when_it_is_back() {
    let reboots = Script::takes(3).ends(Ends::Reboots(90 * SECOND));
    for (scripts, good) in [(vec![reboots, Script::takes(3)], true), (vec![reboots], false)] {
        let world = World::install(1).await;
        world.host(0).runs(scripts);
        world.run().await.unwrap();
        assert_eq!(world.host(0).history().len(), 2, "{:?}", world.outcome(0));
        if good {
            world.all_succeeded().await;
        } else {
            assert_eq!(world.failure(0).code, "rebooted");
        }
        world.laws();
    }
}

#[tokio::test(start_paused = true)]
async fn lost_connections_do_not_use_up_the_attempts_of_a_run() {
    let world = World::install(1).await;
    let host = world.host(0).runs([Script::takes(20).ends(Ends::Vanishes), Script::takes(20)]);
    host.fault(Ask::Follow, ..3, Trouble::LostIn(SECOND));
    world.run().await.unwrap();
    world.all_succeeded().await;
    assert_eq!(world.host(0).history().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_exit_code_of_the_table_is_told_by_its_name_and_obeyed_as_to_retries() {
    for (exit, code, class, starts) in [
        (21, "disk_full", FailureClass::Transfer, 1),
        (27, "blob_missing", FailureClass::Transfer, 2),
        (32, "start_failed", FailureClass::ScriptFailed, 1),
        (143, "terminated", FailureClass::Lost, 2),
        (99, "script_unknown_exit", FailureClass::ScriptFailed, 1),
    ] {
        let world = World::install(1).await;
        world.host(0).runs([Script::takes(2).ends(Ends::Exit(exit))]);
        world.run().await.unwrap();
        let failure = world.failure(0);
        assert_eq!((failure.code.as_ref(), failure.class, failure.step), (code, class, Some(StepKind::RunScript)));
        assert!(failure.tail.contains(&format!("it ended with {exit}")), "{}", failure.tail);
        assert_eq!(world.host(0).history().len(), starts, "{code}");
        world.laws();
    }
}

#[tokio::test(start_paused = true)]
async fn the_reason_of_a_failure_is_told_when_its_last_line_came_over_an_earlier_connection() {
    let world = World::install(1).await;
    world.host(0).runs([Script::takes(5).ends(Ends::Exit(21))]).fault(Ask::Follow, ..2, Trouble::LostAfter);
    world.run().await.unwrap();
    let failure = world.failure(0);
    assert_eq!(failure.code, "disk_full");
    assert!(failure.tail.contains("it ended with 21") && failure.message.contains("it ended with 21"), "{failure:?}");
    assert_eq!(world.host(0).count(Ask::Follow), 3);
    log_is_whole(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_script_past_its_deadline_is_killed_and_then_called_late() {
    let world = World::install(1).await;
    world.host(0).runs([Script::takes(1).ends(Ends::Never)]);
    let begun = Instant::now();
    world.run().await.unwrap();
    let failure = world.failure(0);
    assert_eq!((failure.class, failure.code.as_ref()), (FailureClass::TimedOut, "step_timeout"));
    assert!(matches!(world.outcome(0), Outcome::Failed { .. }));
    assert_eq!((world.host(0).count(Ask::Kill), world.host(0).history().len()), (1, 1));
    assert!((600 * SECOND..620 * SECOND).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    world.laws();
}

#[tokio::test(start_paused = true)]
async fn a_script_past_its_deadline_that_cannot_be_killed_is_unknown() {
    for (unkillable, trouble) in [(true, None), (false, Some(Trouble::Silence)), (false, Some(Trouble::Lost))] {
        let world = World::install(1).await;
        let script = Script::takes(1).ends(Ends::Never);
        world.host(0).runs([if unkillable { script.unkillable() } else { script }]);
        if let Some(trouble) = trouble {
            world.host(0).fault(Ask::Kill, .., trouble);
        }
        world.run().await.unwrap();
        assert!(matches!(world.outcome(0), Outcome::Unknown { .. }), "{trouble:?}: {:?}", world.outcome(0));
        let step = world.record(0).step(StepKind::RunScript).unwrap().outcome.clone();
        assert!(matches!(step, Some(StepOutcome::Failed { .. })), "{step:?}");
        world.laws();
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_out_of_reach_while_its_script_runs_is_waited_for_until_the_deadline_of_the_run() {
    let world = World::install(1).await;
    world.host(0).fault(Ask::Follow, .., Trouble::LostIn(SECOND)).fault(Ask::Connect, 1.., Trouble::Refused);
    let begun = Instant::now();
    world.run().await.unwrap();
    let Outcome::Unknown { failure } = world.outcome(0) else { panic!("{:?}", world.outcome(0)) };
    assert_eq!(failure.class, FailureClass::Unreachable);
    assert!((600 * SECOND..625 * SECOND).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    let tries = world.host(0).count(Ask::Connect);
    assert!((40..80).contains(&tries), "{tries} tries");
    assert_eq!(world.host(0).history().len(), 1);
    world.laws();
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_back_before_the_deadline_tells_how_its_run_ended() {
    for (scripts, good) in [([Script::takes(60)], true), ([Script::takes(60).ends(Ends::Exit(30))], false)] {
        let world = World::install(1).await;
        let host = world.host(0).runs(scripts);
        host.fault(Ask::Follow, ..1, Trouble::LostIn(SECOND)).fault(Ask::Connect, 1..30, Trouble::Refused);
        world.run().await.unwrap();
        if good {
            world.all_succeeded().await;
        } else {
            assert_eq!(world.failure(0).code, "setup_failed");
        }
        assert_eq!(world.host(0).history().len(), 1);
        log_is_whole(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_lets_nobody_in_any_more_while_the_script_runs_leaves_the_run_unknown() {
    for (closes, code) in [
        ((|host| _ = host.password("changed")) as fn(&Host), "password_refused"),
        (|host| _ = host.sudo(Sudo::Refused), "sudo_refused"),
        (|host| _ = host.sudo(Sudo::Password("changed")), "sudo_password_refused"),
    ] {
        let world = World::install(1).await;
        world.host(0).sudo(Sudo::Free).runs([Script::takes(60)]).fault(Ask::Follow, ..1, Trouble::LostIn(SECOND));
        let changed = async {
            tokio::time::sleep(Duration::from_millis(900)).await;
            closes(world.host(0));
        };
        let (ended, ()) = tokio::join!(world.run(), changed);
        ended.unwrap();
        assert!(matches!(world.outcome(0), Outcome::Unknown { .. }), "{:?}", world.outcome(0));
        assert_eq!((world.failure(0).code.as_ref(), world.host(0).count(Ask::Connect)), (code, 2), "tried once");
        world.laws();
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_lost_before_a_new_attempt_begins_makes_it_no_other_attempt() {
    let world = World::install(1).await;
    let host = world.host(0).runs([Script::takes(3).ends(Ends::Vanishes), Script::takes(3)]);
    host.fault(Ask::Kill, ..2, Trouble::Lost);
    world.run().await.unwrap();
    world.all_succeeded().await;
    assert_eq!((world.host(0).history().len(), world.host(0).count(Ask::Kill)), (2, 3));
    assert_eq!(world.record(0).step(StepKind::RunScript).unwrap().attempts, 2);
}
