//! Several executors on one job: each takes the hosts that it can begin, none is worked on twice, and what a dead one had is
//! taken over by the others.

use std::time::Duration;

use landfall::domain::Timestamp;
use landfall::domain::audit::{Action, Asker};
use landfall::domain::event::EventKind;
use landfall::domain::job::Status;
use landfall::domain::outcome::Outcome;
use landfall::engine::Ended;
use landfall::engine::cancel::Stop;
use landfall::store::{Cancel, Store};
use tokio::time::sleep;

use crate::fake::{Ask, Script};
use crate::world::World;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn executors_share_the_hosts_of_a_job() {
    let mut world = World::install(200).await;
    world.site.limits.concurrency = 20;
    world.site.limits.connects_per_second = 0;
    for host in world.hosts() {
        host.runs([Script::takes(30)]);
    }
    let (one, other) = (Stop::new(), Stop::new());
    let (first, second) = tokio::join!(world.join(&one), world.join(&other));
    let ended = [first.unwrap(), second.unwrap()];
    assert!(ended.contains(&Ended::Finished), "{ended:?}");
    world.all_succeeded().await;
    // 200 hosts of half a minute, 20 at a time: one executor alone takes five minutes.
    let journal = world.store.journal(world.job);
    let took = journal.last().unwrap().at.duration_since(journal.first().unwrap().at);
    assert!(took.as_secs() < 240, "nothing was shared: {took}");
    assert!(world.hosts().all(|host| host.count(Ask::Connect) == 1));
}

#[tokio::test(start_paused = true)]
async fn the_hosts_of_an_executor_that_let_go_are_taken_over_by_one_that_is_at_work() {
    let mut world = World::install(60).await;
    world.site.limits.concurrency = 30;
    world.site.limits.connects_per_second = 0;
    for host in world.hosts() {
        host.runs([Script::takes(40)]);
    }
    let (one, other) = (Stop::new(), Stop::new());
    let stopping = async {
        sleep(10 * SECOND).await;
        one.hard("killed");
    };
    let (first, second, ()) = tokio::join!(world.join(&one), world.join(&other), stopping);
    assert_eq!((first.unwrap(), second.unwrap()), (Ended::Interrupted, Ended::Finished));
    world.all_succeeded().await;
    for host in world.hosts() {
        assert_eq!(host.history().len(), 1, "a takeover starts nothing twice");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancel_reaches_the_hosts_of_every_executor() {
    let mut world = World::install(80).await;
    world.site.limits.concurrency = 30;
    world.site.limits.connects_per_second = 0;
    for host in world.hosts() {
        host.runs([Script::takes(500)]);
    }
    let cancelling = async {
        sleep(20 * SECOND).await;
        let at = Timestamp::from_second(1_764_000_500).unwrap();
        let by = Asker::at_terminal("ops").asks(Action::Cancel);
        let asked = Cancel { job: world.job, tasks: None, by: &by, at };
        assert_eq!(world.store.ask_cancel(asked).await.unwrap(), 80);
    };
    let (one, other) = (Stop::new(), Stop::new());
    let (first, second, ()) = tokio::join!(world.join(&one), world.join(&other), cancelling);
    assert!([first.unwrap(), second.unwrap()].contains(&Ended::Finished));
    for host in 0..80 {
        assert!(matches!(world.outcome(host), Outcome::Terminated { .. }), "{host}: {:?}", world.outcome(host));
    }
    assert_eq!(world.status().await, Status::Terminated);
    let finished = |event: &&landfall::domain::event::Event| matches!(event.kind, EventKind::JobFinished { .. });
    assert_eq!(world.store.journal(world.job).iter().filter(finished).count(), 1);
    world.laws();
}
