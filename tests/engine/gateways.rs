//! Hosts behind gateways: which one is taken, when another, and what becomes of a host that none leads to.

use std::time::Duration;

use landfall::domain::failure::FailureClass;
use landfall::domain::host::HostSpec;
use landfall::domain::plan::StepKind;

use crate::fake::{Ask, Trouble};
use crate::world::World;

const ZONE: i64 = 2;

fn in_zone(host: &mut HostSpec) {
    host.bk_cloud_id = ZONE;
}

/// The attempts of every host.
fn attempts(world: &World) -> Vec<u32> {
    (0..world.hosts().count()).map(|host| world.record(host).attempts).collect()
}

#[tokio::test(start_paused = true)]
async fn hosts_are_spread_over_the_gateways_of_their_cloud_and_no_other() {
    let world = World::with(20, 100_000, in_zone).await;
    let (first, second, elsewhere) = (world.fleet.gateway(ZONE), world.fleet.gateway(ZONE), world.fleet.gateway(3));
    world.run().await.unwrap();
    world.all_succeeded().await;
    assert_eq!([&first, &second, &elsewhere].map(|gateway| gateway.count(Ask::Connect)), [10, 10, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_fails_costs_no_host_an_attempt_where_there_is_another() {
    for trouble in [Trouble::Refused, Trouble::NotAllowed, Trouble::Busy] {
        let world = World::with(20, 100_000, in_zone).await;
        let (broken, whole) = (world.fleet.gateway(ZONE), world.fleet.gateway(ZONE));
        broken.fault(Ask::Connect, .., trouble);
        world.run().await.unwrap();
        world.all_succeeded().await;
        assert_eq!(attempts(&world), [1; 20], "{trouble:?}");
        assert_eq!(whole.count(Ask::Connect), 20, "{trouble:?}");
        // Those who were on their way at once, and then one at a time.
        assert!(broken.count(Ask::Connect) <= 8 + 3, "{trouble:?}: {}", broken.count(Ask::Connect));
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_goes_on_through_another_gateway_where_its_own_was_lost() {
    let world = World::with(4, 300_000, in_zone).await;
    let (first, second) = (world.fleet.gateway(ZONE), world.fleet.gateway(ZONE));
    for host in world.hosts() {
        host.fault(Ask::Put, ..1, Trouble::LostAt(100_000));
    }
    first.fault(Ask::Connect, 2.., Trouble::Refused);
    world.run().await.unwrap();
    world.all_succeeded().await;
    assert_eq!(second.count(Ask::Connect), 2 + 4);
    for host in world.hosts() {
        let [begun, taken_up] = host.transfers()[..] else { panic!("{:?}", host.transfers()) };
        assert_eq!((begun.offset, taken_up.offset), (0, begun.bytes), "at the byte");
    }
}

#[tokio::test(start_paused = true)]
async fn with_no_gateway_left_hosts_wait_some_minutes_and_name_each_cause_and_dial_seldom() {
    let world = World::with(50, 100_000, in_zone).await;
    let gateways = [world.fleet.gateway(ZONE), world.fleet.gateway(ZONE)];
    for gateway in &gateways {
        gateway.fault(Ask::Connect, .., Trouble::Refused);
    }
    world.run().await.unwrap();
    for host in 0..50 {
        let failure = world.failure(host);
        assert_eq!((failure.class, failure.code.as_ref()), (FailureClass::Unreachable, "gateways_refused"));
        assert_eq!(failure.causes.len(), 2, "{failure}");
        assert!(failure.to_string().contains("192.0.2.1:22") && failure.to_string().contains("192.0.2.2:22"), "{failure}");
    }
    for gateway in &gateways {
        // Fifty hosts with nine tries each knocked no more often than that.
        assert!(gateway.count(Ask::Connect) <= 8 + 8, "{}", gateway.count(Ask::Connect));
    }
    let waited: Duration = world.retries(0, StepKind::Connect).iter().map(|(_, pause)| *pause).sum();
    assert!(waited > Duration::from_secs(120), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn the_only_gateway_may_be_started_again_or_be_full_for_a_while() {
    let world = World::with(30, 100_000, in_zone).await;
    let gateway = world.fleet.gateway(ZONE);
    gateway.fault(Ask::Connect, ..12, Trouble::Busy).fault(Ask::Connect, 12..14, Trouble::Refused);
    world.run().await.unwrap();
    world.all_succeeded().await;
    assert!(gateway.count(Ask::Connect) <= 14 + 30, "{}", gateway.count(Ask::Connect));
}

#[tokio::test(start_paused = true)]
async fn a_full_gateway_costs_no_host_an_attempt() {
    let world = World::with(30, 100_000, in_zone).await;
    world.fleet.gateway(ZONE).fault(Ask::Connect, ..12, Trouble::Busy);
    world.run().await.unwrap();
    world.all_succeeded().await;
    assert_eq!(attempts(&world), [1; 30]);
    assert!(world.retries(29, StepKind::Connect).iter().all(|(code, _)| code == "server_busy"));
}

#[tokio::test(start_paused = true)]
async fn the_budget_of_a_gateway_is_shared_by_its_hosts_and_by_no_others() {
    let mut world = World::with(8, 1_000_000, in_zone).await;
    world.fleet.gateway(ZONE);
    world.fleet.gateway(ZONE);
    world.site.limits.gateway_mb_per_s = 2;
    world.run().await.unwrap();
    world.all_succeeded().await;
    let transfers: Vec<_> = world.hosts().map(|host| host.transfers()[0]).collect();
    let begun = transfers.iter().map(|transfer| transfer.begun).min().unwrap();
    let took = transfers.iter().map(|transfer| transfer.ended).max().unwrap() - begun;
    // Four hosts each.
    assert!((1.9..=2.1).contains(&took.as_secs_f64()), "{took:?}");
}
