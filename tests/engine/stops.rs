//! Stopping: softly (finish the step, within 30 s), then hard (let go now). What was let go of is taken up by the next run.

use std::sync::Arc;
use std::time::Duration;

use landfall::domain::event::EventKind;
use landfall::domain::job::Status;
use landfall::domain::outcome::Outcome;
use landfall::domain::plan::StepKind;
use landfall::domain::state::HostState;
use landfall::engine::Ended;
use landfall::engine::cancel::Stop;
use landfall::service::Service;
use landfall::store::{Lease, Store};
use tokio::time::Instant;

use crate::fake::{Ask, Script, Trouble};
use crate::world::World;

const SECOND: Duration = Duration::from_secs(1);

async fn statuses(world: &World) -> Vec<Status> {
    world.store.tasks(world.job).await.unwrap().iter().map(|task| task.status).collect()
}

/// The next executor finishes the job, and nothing was started twice.
async fn is_taken_up(world: &World) {
    assert_eq!(world.run().await.unwrap(), Ended::Finished);
    world.all_succeeded().await;
    assert!(world.hosts().all(|host| host.history().len() == 1));
}

#[tokio::test(start_paused = true)]
async fn a_soft_stop_lets_the_step_finish_and_begins_no_other_host() {
    let mut world = World::install(5).await;
    world.site.limits.concurrency = 2;
    for host in world.hosts() {
        host.runs([Script::takes(12)]);
    }
    let (ended, after) = world.run_and_stop_after(3).await;
    assert_eq!(ended, Ended::Interrupted);
    assert!((8 * SECOND..11 * SECOND).contains(&after), "{after:?}");
    assert_eq!(statuses(&world).await, [Status::Running, Status::Running, Status::Pending, Status::Pending, Status::Pending]);
    for host in 0..2 {
        assert!(matches!(world.outcome(host), Outcome::Interrupted { .. }));
        assert!(world.record(host).is_done(StepKind::RunScript), "the step was finished");
        assert!(world.record(host).step(StepKind::Verify).is_none(), "the next one was not begun");
    }
    assert!((2..5).all(|host| world.record(host).state == HostState::Pending && world.events(host).is_empty()));
    is_taken_up(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_script_that_outlasts_the_grace_of_a_soft_stop_is_left_running() {
    let world = World::install(3).await;
    world.host(0).runs([Script::takes(100)]);
    let (ended, after) = world.run_and_stop_after(4).await;
    assert_eq!(ended, Ended::Interrupted);
    assert!((30 * SECOND..31 * SECOND).contains(&after), "{after:?}");
    let Outcome::Interrupted { why } = world.outcome(0) else { panic!("{:?}", world.outcome(0)) };
    assert!(why.contains("Ctrl-C") && why.contains("run_script"), "{why}");
    assert_eq!(world.host(0).count(Ask::Kill), 0);
    is_taken_up(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_second_stop_ends_at_once() {
    let world = World::install(3).await;
    for host in world.hosts() {
        host.runs([Script::takes(100)]);
    }
    let stop = Stop::new();
    let asking = async {
        tokio::time::sleep(4 * SECOND).await;
        stop.soft("Ctrl-C");
        tokio::time::sleep(2 * SECOND).await;
        stop.hard("Ctrl-C twice");
        Instant::now()
    };
    let (ended, hard) = tokio::join!(world.run_until_stop(&stop), asking);
    assert_eq!(ended.unwrap(), Ended::Interrupted);
    assert!(hard.elapsed() < Duration::from_millis(1100), "{:?}", hard.elapsed());
    assert!((0..3).all(|host| matches!(world.outcome(host), Outcome::Interrupted { .. })));
    is_taken_up(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_being_connected_or_waits_for_another_try_is_let_go_at_once() {
    let world = World::install(2).await;
    world.host(0).fault(Ask::Connect, .., Trouble::Silence);
    world.host(1).fault(Ask::Connect, .., Trouble::Refused);
    let (ended, after) = world.run_and_stop_after(2).await;
    assert_eq!(ended, Ended::Interrupted);
    assert!(after < SECOND, "{after:?}");
    for host in world.hosts() {
        host.heal();
    }
    is_taken_up(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_host_that_waits_for_its_turn_is_let_go_at_once() {
    let mut world = World::with(4, 100_000_000, |host| host.bt_speed_limit = 1).await;
    (world.site.limits.uploads, world.site.limits.connects_per_second) = (1, 1);
    world.host(0).fault(Ask::Put, .., Trouble::LostAt(1_000_000));
    let (_, after) = world.run_and_stop_after(2).await;
    assert!(after < 31 * SECOND, "{after:?}");
    assert!((0..4).all(|host| !world.record(host).state.is_terminal()));
}

#[tokio::test(start_paused = true)]
async fn a_stop_before_the_first_host_leaves_everything_pending() {
    let world = World::install(3).await;
    let stop = Stop::new();
    stop.soft("Ctrl-C");
    assert_eq!(world.run_until_stop(&stop).await.unwrap(), Ended::Interrupted);
    assert_eq!(statuses(&world).await, [Status::Pending; 3]);
    assert!(!world.store.journal(world.job).iter().any(|event| matches!(event.kind, EventKind::HostStarted)));
    is_taken_up(&world).await;
}

#[tokio::test(start_paused = true)]
async fn stops_at_any_moment_never_fail_a_host_and_never_start_a_run_twice() {
    for hard in [false, true] {
        for moment in (0..=6_000).step_by(150) {
            let world = World::install(3).await;
            world.host(1).latency(Duration::from_millis(230));
            world.host(2).fault(Ask::Connect, ..1, Trouble::Refused);
            let stop = Stop::new();
            let asking = async {
                tokio::time::sleep(Duration::from_millis(moment)).await;
                if hard { stop.hard("Ctrl-C twice") } else { stop.soft("Ctrl-C") }
            };
            let (ended, ()) = tokio::join!(world.run_until_stop(&stop), asking);
            let open = (0..3).filter(|host| !world.record(*host).state.is_terminal()).count();
            assert_eq!(ended.unwrap(), if open == 0 { Ended::Finished } else { Ended::Interrupted }, "at {moment} ms");
            is_taken_up(&world).await;
        }
    }
}

/// A hold that is lost after some time.
#[derive(Debug)]
struct Fleeting(Duration);

#[async_trait::async_trait]
impl Lease for Fleeting {
    fn owner(&self) -> &str {
        "fleeting"
    }

    async fn lost(&self) {
        tokio::time::sleep(self.0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_lost_the_hold_of_a_job_lets_go_of_its_hosts_at_once() {
    let world = World::install(3).await;
    for host in world.hosts() {
        host.runs([Script::takes(60)]);
    }
    let (store, packages) = (Arc::new(world.store.clone()), world.shelf.clone());
    let service = Service::new(store, packages, Arc::new(world.engine()), Arc::new(world.site.clone()));
    let begun = Instant::now();
    let ended = service.run(world.job, Box::new(Fleeting(5 * SECOND)), Stop::new()).await.unwrap();
    assert_eq!(ended, Ended::Interrupted);
    assert!((5 * SECOND..6 * SECOND).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    for host in 0..3 {
        let Outcome::Interrupted { why } = world.outcome(host) else { panic!("{:?}", world.outcome(host)) };
        assert!(why.contains("another process may have it"), "{why}");
        assert_eq!(world.host(host).count(Ask::Kill), 0, "what runs there goes on");
    }
    is_taken_up(&world).await;
}
