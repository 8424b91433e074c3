//! What is tried again, how often, after which pause, and what is not.

use std::collections::BTreeSet;
use std::time::Duration;

use landfall::domain::failure::FailureClass;
use landfall::domain::outcome::{Outcome, StepOutcome};
use landfall::domain::plan::StepKind;
use tokio::time::Instant;

use crate::fake::{Ask, PASSWORD, Sudo, Trouble};
use crate::world::{World, pauses};

#[tokio::test(start_paused = true)]
async fn a_refused_connection_is_tried_again_after_growing_pauses() {
    let world = World::install(1).await;
    world.host(0).fault(Ask::Connect, ..3, Trouble::Refused);
    world.run().await.unwrap();
    world.all_succeeded().await;
    let retries = world.retries(0, StepKind::Connect);
    assert!(retries.iter().all(|(code, _)| code == "connection_refused"), "{retries:?}");
    let announced: Vec<Duration> = retries.into_iter().map(|(_, pause)| pause).collect();
    assert!(announced.len() == 3 && announced.windows(2).all(|pair| pair[0] < pair[1]), "{announced:?}");
    let kept = pauses(world.host(0), Ask::Connect);
    for (kept, announced) in kept.iter().zip(&announced) {
        assert!(*kept >= *announced && *kept < *announced + Duration::from_millis(100), "{kept:?} {announced:?}");
    }
    assert_eq!(world.record(0).step(StepKind::Connect).unwrap().attempts, 4);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_refuses_for_good_fails_after_four_tries() {
    let world = World::install(2).await;
    world.host(0).fault(Ask::Connect, .., Trouble::Refused);
    world.run().await.unwrap();
    let failure = world.failure(0);
    assert_eq!((failure.class, failure.step), (FailureClass::Unreachable, Some(StepKind::Connect)));
    assert_eq!((world.host(0).count(Ask::Connect), world.retries(0, StepKind::Connect).len()), (4, 3));
    let last = world.record(0).step(StepKind::Connect).unwrap().outcome.clone();
    assert!(matches!(last, Some(StepOutcome::Failed { .. })), "{last:?}");
    assert_eq!(world.outcome(1), Outcome::Succeeded);
    world.laws();
}

#[tokio::test(start_paused = true)]
async fn a_full_server_is_waited_for_and_that_is_no_attempt() {
    let world = World::install(1).await;
    // Eight refused tries are more than an unreachable host gets, and those come on top.
    world.host(0).fault(Ask::Connect, ..8, Trouble::Busy).fault(Ask::Connect, 8..11, Trouble::Refused);
    world.run().await.unwrap();
    world.all_succeeded().await;
    let retries = world.retries(0, StepKind::Connect);
    let waits: Vec<Duration> = retries.iter().filter(|(code, _)| code == "server_busy").map(|(_, pause)| *pause).collect();
    assert_eq!((retries.len(), waits.len()), (11, 8), "{retries:?}");
    // Not hammered.
    assert!(waits.iter().sum::<Duration>() > Duration::from_secs(100), "{waits:?}");
    assert_eq!(world.record(0).attempts, 4, "the three refused tries and the last one");
}

#[tokio::test(start_paused = true)]
async fn hosts_that_fail_together_do_not_come_back_together() {
    let world = World::install(40).await;
    for host in world.hosts() {
        host.fault(Ask::Connect, ..1, Trouble::Refused);
    }
    world.run().await.unwrap();
    let pauses: BTreeSet<Duration> = (0..40).map(|host| world.retries(host, StepKind::Connect)[0].1).collect();
    assert!(pauses.len() > 20, "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_password_is_tried_exactly_once() {
    let world = World::install(1).await;
    world.host(0).password("another");
    world.run().await.unwrap();
    assert_eq!(world.failure(0).code, "password_refused");
    assert_eq!(world.host(0).count(Ask::Connect), 1);
    // Nor does anybody who takes the job up later.
    world.run().await.unwrap();
    assert_eq!(world.host(0).count(Ask::Connect), 1);
    world.laws();
}

#[tokio::test(start_paused = true)]
async fn bytes_that_arrive_changed_are_sent_once_more_and_no_third_time() {
    let world = World::install(2).await;
    world.host(0).fault(Ask::Put, ..1, Trouble::Corrupt);
    world.host(1).fault(Ask::Put, .., Trouble::Corrupt);
    world.run().await.unwrap();
    assert_eq!(world.outcome(0), Outcome::Succeeded);
    assert_eq!(world.failure(1).code, "checksum_mismatch");
    assert_eq!((world.host(0).count(Ask::Put), world.host(1).count(Ask::Put)), (2, 2));
    assert_eq!(world.retries(0, StepKind::UploadPackage)[0].0, "checksum_mismatch");
    world.laws();
}

#[tokio::test(start_paused = true)]
async fn an_upload_goes_on_where_the_connection_was_lost() {
    let world = World::install(1).await;
    world.host(0).fault(Ask::Put, ..1, Trouble::LostAt(100_000)).fault(Ask::Put, 1..2, Trouble::LostAt(50_000));
    world.run().await.unwrap();
    world.all_succeeded().await;
    let transfers = world.host(0).transfers();
    let mut expected = 0;
    for transfer in &transfers {
        assert_eq!(transfer.offset, expected, "{transfers:?}");
        expected += transfer.bytes;
    }
    assert_eq!((expected, transfers.len()), (world.shelf.size(), 3));
    let upload = world.record(0).step(StepKind::UploadPackage).unwrap().clone();
    assert_eq!(upload.attempts, 3);
    assert!(upload.figures.detail.unwrap().contains("taken up at"));
}

/// Everything that is asked of a host during an install, in order.
const ASKS: [Ask; 9] =
    [Ask::Connect, Ask::Probe, Ask::Put, Ask::Bundle, Ask::Start, Ask::Follow, Ask::Status, Ask::Forward, Ask::Cleanup];

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_lost_once_at_any_ask_fails_no_host() {
    for ask in ASKS {
        for trouble in [Trouble::Lost, Trouble::LostAfter] {
            let world = World::install(1).await;
            world.host(0).fault(ask, ..1, trouble);
            world.run().await.unwrap();
            assert_eq!(world.outcome(0), Outcome::Succeeded, "{ask:?} {trouble:?}");
            world.all_succeeded().await;
            assert_eq!(world.host(0).history().len(), 1, "{ask:?} {trouble:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_always_lost_at_an_ask_ends_with_the_truth() {
    for ask in ASKS {
        let world = World::install(1).await;
        world.host(0).fault(ask, .., Trouble::Lost);
        world.run().await.unwrap();
        match (ask, world.outcome(0)) {
            // It runs, or ran, and nobody can say how it went.
            (Ask::Start | Ask::Follow, Outcome::Unknown { .. }) | (Ask::Cleanup, Outcome::Succeeded) => {}
            (Ask::Connect, Outcome::Failed { failure }) => assert_eq!(failure.class, FailureClass::Unreachable),
            (Ask::Probe | Ask::Put | Ask::Bundle | Ask::Status | Ask::Forward, Outcome::Failed { failure }) => {
                assert_eq!(failure.class, FailureClass::Lost, "{ask:?}");
            }
            (ask, outcome) => panic!("{ask:?}: {outcome:?}"),
        }
        assert!(world.host(0).history().len() <= 1);
        world.laws();
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_never_answers_at_an_ask_is_given_up_in_time() {
    let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3_600));
    // It may run for all we know, so it is asked again until the run's own deadline: that, or the last try, comes first.
    let in_flight = ["step_timeout", "connection_lost"].as_slice();
    for (ask, codes) in [
        (Ask::Connect, ["step_timeout"].as_slice()),
        // A shell that hangs now may do better on another connection.
        (Ask::Probe, &["connection_lost"]),
        (Ask::Put, &["connection_lost"]),
        (Ask::Bundle, &["connection_lost"]),
        (Ask::Start, in_flight),
        (Ask::Follow, in_flight),
        (Ask::Status, &["connection_lost"]),
        (Ask::Forward, &["agent_silent"]),
    ] {
        let world = World::install(1).await;
        world.host(0).fault(ask, .., Trouble::Silence);
        let begun = Instant::now();
        world.run().await.unwrap();
        assert!(codes.contains(&world.failure(0).code.as_ref()), "{ask:?}: {}", world.failure(0).code);
        let limit = if codes == ["connection_lost"] { 4 * minute } else { hour };
        assert!(begun.elapsed() < limit, "{ask:?} {:?}", begun.elapsed());
        world.laws();
    }
}

#[tokio::test(start_paused = true)]
async fn a_program_that_is_ended_from_outside_says_nothing_about_the_host_and_is_run_again() {
    for (ask, sudo) in [
        (Ask::Probe, Sudo::NotNeeded),
        (Ask::Put, Sudo::NotNeeded),
        (Ask::Put, Sudo::Free),
        (Ask::Put, Sudo::Password(PASSWORD)),
        (Ask::Bundle, Sudo::NotNeeded),
        (Ask::Start, Sudo::NotNeeded),
        (Ask::Follow, Sudo::Free),
        (Ask::Status, Sudo::NotNeeded),
        (Ask::Cleanup, Sudo::NotNeeded),
    ] {
        let world = World::install(1).await;
        world.host(0).sudo(sudo).fault(ask, ..1, Trouble::Killed);
        world.run().await.unwrap();
        assert_eq!(world.outcome(0), Outcome::Succeeded, "{ask:?} {sudo:?}");
        let codes: Vec<String> = ask.steps().iter().flat_map(|step| world.retries(0, *step)).map(|(code, _)| code).collect();
        assert_eq!(codes, ["no_exit_status"], "{ask:?} {sudo:?}");
        assert_eq!(world.host(0).history().len(), 1, "{ask:?}");
        world.all_succeeded().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_tells_no_exit_status_is_believed_by_its_words() {
    for ask in [Ask::Probe, Ask::Put, Ask::Bundle, Ask::Start, Ask::Follow, Ask::Cleanup] {
        let world = World::install(1).await;
        world.host(0).fault(ask, .., Trouble::NoStatus);
        world.run().await.unwrap();
        world.all_succeeded().await;
        assert_eq!(world.host(0).count(ask), 1, "{ask:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_whose_status_cannot_be_had_is_neither_dead_nor_still_there() {
    for trouble in [Trouble::NoStatus, Trouble::Killed] {
        let world = World::install(1).await;
        world.host(0).fault(Ask::Status, .., trouble);
        world.run().await.unwrap();
        let failure = world.failure(0);
        assert_eq!((failure.class, failure.code.as_ref()), (FailureClass::Lost, "no_exit_status"), "{trouble:?}");
        let world = World::uninstall(1).await;
        let before = world.host(0).count(Ask::Status) as u64;
        world.host(0).fault(Ask::Status, before.., trouble);
        world.run().await.unwrap();
        assert_eq!(world.failure(0).code, "no_exit_status", "{trouble:?}");
        world.laws();
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_cannot_be_tidied_up_has_its_agent_all_the_same() {
    for trouble in [Trouble::Lost, Trouble::Silence, Trouble::Says("fail=state_refused /var/lib/landfall is a link")] {
        let world = World::install(1).await;
        world.host(0).fault(Ask::Cleanup, .., trouble);
        world.run().await.unwrap();
        assert_eq!(world.outcome(0), Outcome::Succeeded, "{trouble:?}");
        let cleanup = world.record(0).step(StepKind::Cleanup).unwrap().outcome.clone();
        assert!(matches!(cleanup, Some(StepOutcome::Warned { .. })), "{trouble:?}: {cleanup:?}");
        world.laws();
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_program_on_the_host_refuses_is_told_and_not_tried_again() {
    for (ask, says, code) in [
        (Ask::Put, "fail=no_space /opt/landfall/blobs has 3 kB free, 9 kB are needed", "no_space"),
        (Ask::Put, "fail=state_refused /opt/landfall is a symbolic link", "state_refused"),
        (Ask::Bundle, "fail=write_failed /opt/landfall/stage", "write_failed"),
        (Ask::Start, "fail=no_space /opt/landfall/stage has 3 kB free", "no_space"),
    ] {
        let world = World::install(1).await;
        world.host(0).fault(ask, .., Trouble::Says(says));
        world.run().await.unwrap();
        assert_eq!((world.failure(0).code.as_ref(), world.host(0).count(ask)), (code, 1), "{says}");
        world.laws();
    }
}
