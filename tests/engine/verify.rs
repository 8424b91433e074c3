//! "Installed" means that the agent answered, and that its process lived before and after.

use std::time::Duration;

use landfall::domain::failure::FailureClass;
use landfall::domain::plan::StepKind;
use tokio::time::Instant;

use crate::fake::{Agent, Ask, Trouble};
use crate::world::World;

async fn ends_with(agent: Agent, code: &str) -> Duration {
    let world = World::install(1).await;
    world.host(0).agent(agent);
    let begun = Instant::now();
    world.run().await.unwrap();
    let failure = world.failure(0);
    assert_eq!((failure.class, failure.code.as_ref()), (FailureClass::Unconfirmed, code), "{agent:?}: {failure:?}");
    assert_eq!(failure.step, Some(StepKind::Verify));
    assert!(world.record(0).step(StepKind::Register).is_none(), "what is not proved is not registered");
    assert_eq!(world.retries(0, StepKind::Verify), []);
    world.laws();
    begun.elapsed()
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_gives_no_good_answer_in_its_time_is_unconfirmed() {
    for agent in [Agent::Silent, Agent::Mute, Agent::Unwell] {
        let took = ends_with(agent, "agent_silent").await;
        assert!(took < Duration::from_secs(35), "{agent:?} {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_ends_or_is_started_again_while_it_is_asked_has_died() {
    for agent in [Agent::Dead, Agent::DiesWhenAsked, Agent::RestartsWhenAsked] {
        ends_with(agent, "agent_died").await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_takes_its_time_is_waited_for() {
    let world = World::install(1).await;
    world.host(0).agent(Agent::WellAfter(Duration::from_secs(15)));
    world.run().await.unwrap();
    world.all_succeeded().await;
}

#[tokio::test(start_paused = true)]
async fn a_port_that_swallows_connections_is_a_silent_agent() {
    let world = World::install(1).await;
    world.host(0).fault(Ask::Forward, .., Trouble::Silence);
    let begun = Instant::now();
    world.run().await.unwrap();
    assert_eq!(world.failure(0).code, "agent_silent");
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn where_sshd_does_not_forward_the_host_asks_itself() {
    let world = World::install(3).await;
    for host in world.hosts() {
        host.fault(Ask::Forward, .., Trouble::NotAllowed);
    }
    world.host(1).agent(Agent::Silent);
    world.host(2).fault(Ask::Health, .., Trouble::Says("cannot=neither curl nor wget nor bash is on the machine"));
    world.run().await.unwrap();
    assert_eq!(world.outcome(0), landfall::domain::outcome::Outcome::Succeeded);
    assert_eq!((world.failure(1).code.as_ref(), world.failure(2).code.as_ref()), ("agent_silent", "cannot_ask"));
    assert!(world.hosts().all(|host| host.count(Ask::Health) == 1));
    world.laws();
}

#[tokio::test(start_paused = true)]
async fn an_uninstall_that_left_the_agent_is_not_believed() {
    let world = World::uninstall(1).await;
    world.host(0).fault(Ask::Status, 2.., Trouble::Says("fail=x"));
    world.run().await.unwrap();
    assert_eq!(world.failure(0).code, "agent_still_there");
}
