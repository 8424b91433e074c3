//! Limits of the process, of a job and of a host: how many at once, and how fast.

use std::sync::atomic::Ordering;
use std::time::Duration;

use landfall::domain::event::EventKind;
use landfall::domain::plan::StepKind;
use landfall::engine::Ended;

use crate::fake::{Ask, Script};
use crate::world::World;

/// The most hosts that were between HostStarted and HostFinished at once.
fn most_at_once(world: &World) -> usize {
    let mut counts = (0_usize, 0_usize);
    for event in world.store.journal(world.job) {
        match event.kind {
            EventKind::HostStarted => counts.0 += 1,
            EventKind::HostFinished { .. } => counts.0 -= 1,
            _ => {}
        }
        counts.1 = counts.1.max(counts.0);
    }
    counts.1
}

#[tokio::test(start_paused = true)]
async fn no_more_hosts_are_worked_on_than_allowed_and_no_fewer() {
    let mut world = World::install(20).await;
    world.site.limits.concurrency = 4;
    for host in world.hosts() {
        host.latency(Duration::from_millis(300));
    }
    world.run().await.unwrap();
    world.all_succeeded().await;
    assert_eq!(most_at_once(&world), 4);
    assert_eq!(world.fleet.sessions.most(), 4);
}

#[tokio::test(start_paused = true)]
async fn no_more_uploads_are_on_their_way_than_allowed_and_no_fewer() {
    let mut world = World::with(12, 1_000_000, |host| host.bt_speed_limit = 1).await;
    world.site.limits.uploads = 3;
    world.run().await.unwrap();
    world.all_succeeded().await;
    assert_eq!(world.fleet.uploads.most(), 3);
    assert_eq!(world.fleet.sessions.most(), 12, "the limit holds for the upload only");
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_place_counts_against_no_deadline() {
    // The last host waits four minutes for its turn to connect; a connect may take 90 s.
    let mut world = World::install(120).await;
    world.site.limits.connects_per_second = 1;
    world.run().await.unwrap();
    world.all_succeeded().await;
    assert!(world.hosts().all(|host| host.count(Ask::Connect) == 1));

    // The last upload begins ten minutes after the first.
    let mut world = World::with(12, 1_000_000, |host| host.bt_speed_limit = 1).await;
    world.site.limits.uploads = 1;
    for host in world.hosts() {
        host.latency(Duration::from_secs(50)).runs([Script::takes(1)]);
    }
    world.run().await.unwrap();
    world.all_succeeded().await;
}

#[tokio::test(start_paused = true)]
async fn a_package_that_is_slow_to_open_counts_against_no_deadline() {
    let world = World::install(3).await;
    world.shelf.opening.store(200_000, Ordering::Relaxed);
    // The second executor opens it for the files.
    world.store.die_after(|_, event| matches!(event, EventKind::StepStarted { step: StepKind::UploadFiles, .. }));
    assert!(world.run_until_death(std::future::pending()).await);
    world.run().await.unwrap();
    world.all_succeeded().await;
    assert_eq!(world.shelf.fetched.load(Ordering::Relaxed), 2);
}

/// Bytes per second of the payload of a host.
fn rate(world: &World, host: usize) -> f64 {
    let transfer = world.host(host).transfers()[0];
    assert_eq!(transfer.bytes, world.shelf.size());
    transfer.bytes as f64 / (transfer.ended - transfer.begun).as_secs_f64()
}

#[tokio::test(start_paused = true)]
async fn the_speed_limit_of_a_host_is_kept() {
    let world = World::with(1, 10_000_000, |host| host.bt_speed_limit = 1).await;
    world.run().await.unwrap();
    world.all_succeeded().await;
    let rate = rate(&world, 0) / 1e6;
    assert!((0.99..=1.01).contains(&rate), "{rate} MB/s");
}

#[tokio::test(start_paused = true)]
async fn a_high_speed_limit_is_not_lost_to_the_grain_of_timers() {
    let world = World::with(1, 20_000_000, |host| host.bt_speed_limit = 100).await;
    world.run().await.unwrap();
    let rate = rate(&world, 0) / 1e6;
    assert!((98.0..=102.0).contains(&rate), "{rate} MB/s");
}

#[tokio::test(start_paused = true)]
async fn the_budget_of_the_process_is_shared_by_all_hosts() {
    let mut world = World::with(8, 1_000_000, |_| {}).await;
    world.site.limits.upload_mb_per_s = 2;
    world.run().await.unwrap();
    world.all_succeeded().await;
    let transfers: Vec<_> = world.hosts().map(|host| host.transfers()[0]).collect();
    let begun = transfers.iter().map(|transfer| transfer.begun).min().unwrap();
    let took = transfers.iter().map(|transfer| transfer.ended).max().unwrap() - begun;
    assert!((3.9..=4.1).contains(&took.as_secs_f64()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_job_without_hosts_left_to_do_ends_at_once() {
    let world = World::install(2).await;
    world.run().await.unwrap();
    let before = world.store.journal(world.job).len();
    assert_eq!(world.run().await.unwrap(), Ended::Finished);
    assert_eq!(world.store.journal(world.job).len(), before, "nothing is written twice");
}
