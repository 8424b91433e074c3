//! The nearest access point: measured from the host, chosen once, and in all that follows.

use std::collections::BTreeMap;

use landfall::domain::event::EventKind;
use landfall::domain::host::Address;
use landfall::domain::plan::StepKind;
use landfall::domain::site::{AccessPoint, Paths};
use landfall::engine::Ended;
use landfall::store::Store;

use crate::fake::{Ask, Trouble};
use crate::world::World;

fn point(id: i64, name: &str, groups: &[(&str, &str)]) -> AccessPoint {
    let servers: BTreeMap<_, _> = groups.iter().map(|(purpose, server)| ((*purpose).into(), vec![(*server).into()])).collect();
    let linux = Paths { setup_path: Some(format!("/opt/ap{id}")), ..Paths::default() };
    AccessPoint { id, name: name.into(), servers, linux, ..AccessPoint::default() }
}

/// Hosts that ask for the nearest of three: 1 is far, 2 is near, one port of 3 is not reached.
async fn world(hosts: usize) -> World {
    let mut world = World::with(hosts, 300_000, |spec| spec.ap_id = -1).await;
    world.site.access_point = vec![
        point(1, "far", &[("cluster", "192.0.2.1:28668"), ("file", "192.0.2.1:28925")]),
        point(2, "near", &[("cluster", "192.0.2.2:28668"), ("file", "192.0.2.2:28925")]),
        point(3, "", &[("cluster", "192.0.2.3:28668"), ("file", "192.0.2.3:28925")]),
    ];
    for host in world.hosts() {
        host.reaches("192.0.2.1:28668", 90).reaches("192.0.2.1:28925", 80);
        host.reaches("192.0.2.2:28668", 12).reaches("192.0.2.2:28925", 7);
        host.reaches("192.0.2.3:28668", 1);
    }
    world
}

/// The host has access point 2 wherever that is told.
async fn has_the_near_one(world: &World, host: usize) {
    let plan = world.record(host).plan.unwrap();
    assert_eq!((plan.access_point.unwrap().id, plan.paths.setup_path.as_str()), (2, "/opt/ap2"));
    let row = world.store.host(Address { cloud: 0, ip: world.host(host).ip }).await.unwrap().unwrap();
    assert_eq!(row.spec.ap_id, 2);
    assert!(world.host(host).installed().contains("setup_path = \"/opt/ap2\""), "{}", world.host(host).installed());
}

#[tokio::test(start_paused = true)]
async fn the_nearest_that_is_reached_is_chosen_with_all_figures_in_the_record() {
    let world = world(2).await;
    world.run().await.unwrap();
    world.all_succeeded().await;
    for host in 0..2 {
        has_the_near_one(&world, host).await;
        let record = world.record(host);
        let steps: Vec<_> = record.steps.iter().map(|step| step.step.word()).collect();
        assert_eq!(steps[..4], ["connect", "probe", "choose_access_point", "upload_package"]);
        // The way to the host itself, 20 ms of every time, is taken off.
        let told = record.step(StepKind::ChooseAccessPoint).unwrap().figures.detail.clone().unwrap();
        let why = "3: file 192.0.2.3:28925 refused or unreachable";
        assert_eq!(told, format!("2 of 1 (far): 90.0 ms; 2 (near): 12.0 ms; {why}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_whose_sshd_does_not_forward_measures_by_itself() {
    // Not at all, and not everywhere.
    for (which, asked) in [(0, 2), (4, 5)] {
        let world = world(1).await;
        world.host(0).fault(Ask::Measure, which..=which, Trouble::NotAllowed);
        world.run().await.unwrap();
        world.all_succeeded().await;
        has_the_near_one(&world, 0).await;
        assert!(world.host(0).count(Ask::Measure) >= asked, "{}", world.host(0).count(Ask::Measure));
        let record = world.record(0);
        let told = record.step(StepKind::ChooseAccessPoint).unwrap().figures.detail.clone().unwrap();
        assert!(told.starts_with("2 of ") && told.ends_with("3: file 192.0.2.3:28925 Connection refused"), "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_reaches_none_fails_with_each_named_and_nothing_was_changed() {
    let mut world = world(1).await;
    world.site.access_point.truncate(2);
    for server in ["192.0.2.1:28925", "192.0.2.2:28668"] {
        world.host(0).reaches_no_more(server);
    }
    world.run().await.unwrap();
    let failure = world.failure(0);
    assert_eq!((failure.code.as_ref(), failure.step), ("no_access_point", Some(StepKind::ChooseAccessPoint)));
    let told = "1 (far): file 192.0.2.1:28925 refused or unreachable; 2 (near): cluster 192.0.2.2:28668 refused or unreachable";
    assert_eq!(failure.message, format!("the host reaches no access point: {told}"));
    assert!(failure.remedy.contains("ap_id"));
    assert_eq!((world.host(0).count(Ask::Put), world.host(0).leftovers()), (0, Vec::new()));
    world.laws();
}

#[tokio::test(start_paused = true)]
async fn what_was_chosen_stays_chosen_whoever_goes_on() {
    for after in [StepKind::ChooseAccessPoint, StepKind::UploadFiles, StepKind::RunScript] {
        let world = world(1).await;
        world
            .store
            .die_after(move |_, event: &EventKind| matches!(event, EventKind::StepFinished { step, .. } if *step == after));
        assert!(world.run_until_death(std::future::pending()).await, "{after}");
        // The other one comes near.
        world.host(0).reaches("192.0.2.1:28668", 1).reaches("192.0.2.1:28925", 1);
        assert_eq!(world.run().await.unwrap(), Ended::Finished);
        world.all_succeeded().await;
        has_the_near_one(&world, 0).await;
        assert_eq!(world.record(0).step(StepKind::ChooseAccessPoint).unwrap().attempts, 1, "{after}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_was_not_chosen_yet_is_measured_again() {
    let world = world(1).await;
    world
        .store
        .die_after(|_, event: &EventKind| matches!(event, EventKind::StepStarted { step: StepKind::ChooseAccessPoint, .. }));
    assert!(world.run_until_death(std::future::pending()).await);
    assert_eq!(world.run().await.unwrap(), Ended::Finished);
    world.all_succeeded().await;
    has_the_near_one(&world, 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_link_that_breaks_while_it_is_measured_says_nothing_of_the_servers() {
    for moment in [0, 5] {
        let world = world(1).await;
        world.host(0).fault(Ask::Measure, moment..=moment, Trouble::Lost);
        world.run().await.unwrap();
        world.all_succeeded().await;
        has_the_near_one(&world, 0).await;
        assert_eq!(world.retries(0, StepKind::ChooseAccessPoint).len(), 1);
    }
}
