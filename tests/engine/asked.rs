//! What others ask of a job while it runs, or after: a cancel, a retry. They write it into the record.

use std::time::Duration;

use landfall::domain::Timestamp;
use landfall::domain::audit::{Action, Asker};
use landfall::domain::credential::{Auth, Credential};
use landfall::domain::event::EventKind;
use landfall::domain::failure::FailureClass;
use landfall::domain::id::TaskId;
use landfall::domain::job::Status;
use landfall::domain::outcome::Outcome;
use landfall::domain::plan::StepKind;
use landfall::engine::Ended;
use landfall::engine::cancel::Stop;
use landfall::store::{Cancel, NewLogin, Retry, Store};
use tokio::time::{Instant, sleep};

use crate::fake::{Agent, Ask, Ends, Script, Trouble};
use crate::world::World;

const SECOND: Duration = Duration::from_secs(1);

fn now() -> Timestamp {
    Timestamp::from_second(1_764_000_500).unwrap()
}

pub async fn cancel(world: &World) {
    let by = Asker::at_terminal("ops").asks(Action::Cancel);
    assert!(world.store.ask_cancel(Cancel { job: world.job, tasks: None, by: &by, at: now() }).await.unwrap() > 0);
}

async fn cancel_hosts(world: &World, hosts: &[usize]) -> u64 {
    let tasks = world.store.tasks(world.job).await.unwrap();
    let ids: Vec<TaskId> = hosts.iter().map(|host| tasks[*host].id).collect();
    let by = Asker::at_terminal("ops").asks(Action::Cancel);
    world.store.ask_cancel(Cancel { job: world.job, tasks: Some(&ids), by: &by, at: now() }).await.unwrap()
}

pub async fn retry(world: &World, hosts: &[usize]) -> usize {
    ask_again(world, hosts, false).await
}

async fn ask_again(world: &World, hosts: &[usize], from_start: bool) -> usize {
    let tasks = world.store.tasks(world.job).await.unwrap();
    let ids: Vec<TaskId> = hosts.iter().map(|host| tasks[*host].id).collect();
    let by = Asker::at_terminal("ops").asks(Action::Retry);
    let retry = Retry { tasks: ids, logins: Vec::new(), from_start, by, at: now() };
    world.store.ask_retry(world.job, &retry).await.unwrap().len()
}

pub fn why(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Terminated { why } => why,
        other => panic!("not cancelled: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_job_ends_what_runs_on_its_hosts_and_begins_no_other() {
    let mut world = World::install(6).await;
    world.site.limits.concurrency = 3;
    world.host(1).runs([Script::takes(300)]);
    world.host(2).runs([Script::takes(300)]);
    let asking = async {
        sleep(10 * SECOND).await;
        cancel(&world).await;
        // What runs then keeps its place, so the others have not begun.
        Instant::now()
    };
    for host in 3..6 {
        world.host(host).runs([Script::takes(300)]);
    }
    let (ended, asked) = tokio::join!(world.run(), asking);
    assert_eq!(ended.unwrap(), Ended::Finished);
    assert!(asked.elapsed() < 5 * SECOND, "{:?}", asked.elapsed());
    assert_eq!(world.outcome(0), Outcome::Succeeded, "a host's own result stays");
    for host in [1, 2, 3] {
        assert!(why(&world.outcome(host)).contains("was ended on the host"), "{:?}", world.outcome(host));
        assert_eq!(world.host(host).count(Ask::Kill), 1);
    }
    for host in [4, 5] {
        assert!(why(&world.outcome(host)).contains("before it began"));
        assert_eq!(world.host(host).count(Ask::Connect), 0);
    }
    assert_eq!(world.status().await, Status::Terminated);
    world.laws();
}

#[tokio::test(start_paused = true)]
async fn a_cancel_of_a_host_that_cannot_be_reached_says_that_the_script_may_go_on() {
    let world = World::install(1).await;
    world.host(0).runs([Script::takes(5_000).unkillable()]);
    world.host(0).fault(Ask::Follow, .., Trouble::Silence);
    let asking = async {
        sleep(40 * SECOND).await;
        world.host(0).fault(Ask::Kill, .., Trouble::Silence);
        world.host(0).fault(Ask::Connect, .., Trouble::Refused);
        cancel(&world).await;
        Instant::now()
    };
    let (ended, asked) = tokio::join!(world.run(), asking);
    assert_eq!(ended.unwrap(), Ended::Finished);
    assert!(asked.elapsed() < 120 * SECOND, "{:?}", asked.elapsed());
    assert!(why(&world.outcome(0)).contains("may still be running"), "{:?}", world.outcome(0));
    world.laws();
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_executor_died_is_cancelled_by_whoever_takes_it_up() {
    let world = World::install(3).await;
    world.host(0).runs([Script::takes(900)]);
    assert!(world.run_until_death(sleep(20 * SECOND)).await);
    cancel(&world).await;
    assert_eq!(world.run().await.unwrap(), Ended::Finished);
    assert!(why(&world.outcome(0)).contains("was ended on the host"), "{:?}", world.outcome(0));
    assert_eq!(world.host(0).count(Ask::Kill), 1);
    assert_eq!(world.status().await, Status::Terminated);
    world.laws();
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_host_with_nothing_running_is_cancelled_without_a_visit() {
    let world = World::install(1).await;
    world.host(0).fault(Ask::Connect, .., Trouble::Refused);
    world.run_and_stop_after(1).await;
    let calls = world.host(0).count(Ask::Connect);
    cancel(&world).await;
    assert_eq!(world.run().await.unwrap(), Ended::Finished);
    assert!(matches!(world.outcome(0), Outcome::Terminated { .. }));
    assert_eq!(world.host(0).count(Ask::Connect), calls);
}

#[tokio::test(start_paused = true)]
async fn a_retry_begins_at_the_first_step_that_is_not_known_to_be_done() {
    let world = World::install(3).await;
    world.host(1).runs([Script::takes(1).ends(Ends::Exit(21)), Script::takes(1)]);
    world.host(2).fault(Ask::Put, .., Trouble::Says("fail=no_space /var/lib has 3 kB free"));
    world.run().await.unwrap();
    assert_eq!(world.status().await, Status::PartFailed);
    assert_eq!((world.failure(1).code.as_ref(), world.failure(2).code.as_ref()), ("disk_full", "no_space"));
    world.host(2).heal();
    assert_eq!(retry(&world, &[0, 1, 2]).await, 2, "the one that succeeded is left alone");
    assert_eq!(world.run().await.unwrap(), Ended::Finished);
    assert!((0..3).all(|host| world.outcome(host) == Outcome::Succeeded));
    assert_eq!((world.record(0).attempts, world.record(1).attempts, world.record(2).attempts), (1, 2, 2));
    assert_eq!(world.host(1).count(Ask::Put), 1, "its package was there already");
    assert_eq!(world.host(1).history().len(), 2, "the run that failed is not run again under its id");
    let finished = |event: &EventKind| matches!(event, EventKind::JobFinished { .. });
    let events: Vec<EventKind> = world.store.journal(world.job).into_iter().map(|event| event.kind).collect();
    assert_eq!(events.iter().filter(|event| finished(event)).count(), 2, "the job ended twice");
    assert_eq!(world.status().await, Status::Success);
}

/// How often each step of a host began.
fn begun(world: &World, host: usize, step: StepKind) -> usize {
    let is_it = |event: &EventKind| matches!(event, EventKind::StepStarted { step: begun, .. } if *begun == step);
    world.events(host).iter().filter(|event| is_it(event)).count()
}

#[tokio::test(start_paused = true)]
async fn a_retry_from_the_first_step_does_all_of_them_again_and_no_run_twice() {
    let world = World::install(1).await;
    world.host(0).runs([Script::takes(1), Script::takes(1).ends(Ends::Exit(21)), Script::takes(1)]);
    world.host(0).agent(Agent::Silent);
    world.run().await.unwrap();
    assert_eq!(world.failure(0).code, "agent_silent");
    assert_eq!(ask_again(&world, &[0], true).await, 1);
    assert!(world.record(0).plan.is_none(), "what was found then is not what is there now");
    world.run().await.unwrap();
    assert_eq!(world.failure(0).code, "disk_full");
    world.host(0).agent(Agent::Well);
    // Without it the next one goes on where that one failed.
    assert_eq!(retry(&world, &[0]).await, 1);
    world.run().await.unwrap();
    assert_eq!(world.outcome(0), Outcome::Succeeded);
    for (step, times) in
        [(StepKind::Probe, 2), (StepKind::UploadPackage, 2), (StepKind::UploadFiles, 2), (StepKind::RunScript, 3)]
    {
        assert_eq!(begun(&world, 0, step), times, "{step}");
    }
    let runs = world.host(0).history();
    assert_eq!(runs.len(), 3);
    let attempts: Vec<&str> = runs.iter().map(|run| run.rsplit('-').next().unwrap()).collect();
    assert_eq!(attempts, ["1", "2", "3"], "{runs:?}");
    assert_eq!(world.record(0).attempts, 3);
}

#[tokio::test(start_paused = true)]
async fn a_script_that_may_still_run_is_ended_before_a_retry_from_the_first_step_starts_another() {
    let world = World::install(1).await;
    world.host(0).runs([Script::takes(5_000), Script::takes(1)]);
    // The host is out of reach for longer than the script may take.
    world.host(0).fault(Ask::Follow, .., Trouble::LostIn(SECOND)).fault(Ask::Connect, 1.., Trouble::Refused);
    world.run().await.unwrap();
    assert!(matches!(world.outcome(0), Outcome::Unknown { .. }), "{:?}", world.outcome(0));
    world.host(0).heal();
    assert_eq!(ask_again(&world, &[0], true).await, 1);
    world.run().await.unwrap();
    assert_eq!(world.outcome(0), Outcome::Succeeded);
    assert_eq!(world.host(0).count(Ask::Kill), 1);
    let runs = world.host(0).history();
    assert!(runs.len() == 2 && runs[1].ends_with("-2"), "{runs:?}");
    assert_eq!(world.host(0).breaches(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn an_executor_that_dies_after_a_retry_from_the_first_step_starts_nothing_twice() {
    let world = World::install(1).await;
    world.host(0).runs([Script::takes(1).ends(Ends::Exit(21)), Script::takes(30)]);
    world.run().await.unwrap();
    assert_eq!(ask_again(&world, &[0], true).await, 1);
    assert!(world.run_until_death(sleep(10 * SECOND)).await);
    assert_eq!(begun(&world, 0, StepKind::RunScript), 2, "it died during the script");
    world.run().await.unwrap();
    assert_eq!(world.outcome(0), Outcome::Succeeded);
    assert_eq!(world.host(0).history().len(), 2);
    assert_eq!(begun(&world, 0, StepKind::UploadPackage), 2, "what was done after the retry is done");
}

#[tokio::test(start_paused = true)]
async fn another_password_comes_with_a_retry_and_is_offered_instead_of_the_first() {
    let world = World::install(2).await;
    world.host(0).password("changed");
    world.run().await.unwrap();
    assert_eq!(world.failure(0).code, "password_refused");
    let row = world.store.tasks(world.job).await.unwrap().remove(0);
    let credential = Credential { auth: Auth::Password("changed".into()), sudo_password: None };
    let login = NewLogin { task: row.id, spec: row.spec, credential: Some(credential) };
    let (by, at) = (Asker::at_terminal("ops").asks(Action::Retry), now());
    let retry = Retry { tasks: vec![row.id], logins: vec![login], from_start: false, by, at };
    world.store.ask_retry(world.job, &retry).await.unwrap();
    world.run().await.unwrap();
    assert!((0..2).all(|host| world.outcome(host) == Outcome::Succeeded));
    assert_eq!(world.host(0).count(Ask::Connect), 2, "each password was offered once");
}

#[tokio::test(start_paused = true)]
async fn a_host_whose_login_is_kept_no_more_says_how_to_give_it_another() {
    let world = World::install(1).await;
    world.host(0).runs([Script::takes(1).ends(Ends::Exit(21)), Script::takes(1)]);
    world.run().await.unwrap();
    let day = Duration::from_secs(86_400);
    assert_eq!(world.store.purge_credentials(now() + 2 * day).await.unwrap(), 1);
    assert_eq!(retry(&world, &[0]).await, 1);
    world.run().await.unwrap();
    let failure = world.failure(0);
    assert_eq!((failure.class, failure.code.as_ref()), (FailureClass::Unauthenticated, "credential_expired"));
    assert!(failure.remedy.contains("--credentials FILE"), "{}", failure.remedy);
    assert_eq!(world.host(0).count(Ask::Connect), 1, "nobody was called without a login");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_to_be_tried_again_is_taken_up_by_the_executor_that_still_works() {
    let world = World::install(2).await;
    world.host(0).runs([Script::takes(1).ends(Ends::Exit(21)), Script::takes(1)]);
    world.host(1).runs([Script::takes(60)]);
    let asking = async {
        sleep(20 * SECOND).await;
        assert_eq!(world.failure(0).code, "disk_full");
        assert_eq!(retry(&world, &[0]).await, 1);
        sleep(10 * SECOND).await;
        assert_eq!(world.outcome(0), Outcome::Succeeded, "it waited for no other host");
    };
    let (ended, ()) = tokio::join!(world.run(), asking);
    assert_eq!(ended.unwrap(), Ended::Finished);
    world.all_succeeded().await;
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_job_goes_on_when_it_is_retried() {
    let world = World::install(3).await;
    world.host(0).runs([Script::takes(300), Script::takes(1)]);
    let asking = async {
        sleep(10 * SECOND).await;
        cancel(&world).await;
    };
    let (ended, ()) = tokio::join!(world.run(), asking);
    assert_eq!(ended.unwrap(), Ended::Finished);
    let step = world.record(0).step(StepKind::RunScript).cloned().unwrap();
    assert!(step.outcome.is_some_and(|outcome| !outcome.is_done()));
    assert_eq!(retry(&world, &[0, 1, 2]).await, 1);
    assert_eq!(world.run_until_stop(&Stop::new()).await.unwrap(), Ended::Finished);
    assert!((0..3).all(|host| world.outcome(host) == Outcome::Succeeded));
    assert_eq!(world.status().await, Status::Success);
    assert_eq!(world.host(0).history().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn hosts_are_cancelled_one_by_one_and_the_others_go_on() {
    let mut world = World::install(4).await;
    world.site.limits.concurrency = 2;
    world.host(0).runs([Script::takes(60)]);
    world.host(1).runs([Script::takes(300)]);
    let asking = async {
        sleep(10 * SECOND).await;
        assert_eq!(cancel_hosts(&world, &[1, 2]).await, 2);
    };
    let (ended, ()) = tokio::join!(world.run(), asking);
    assert_eq!(ended.unwrap(), Ended::Finished);
    assert_eq!((world.outcome(0), world.outcome(3)), (Outcome::Succeeded, Outcome::Succeeded));
    assert!(why(&world.outcome(1)).contains("was ended on the host"), "{:?}", world.outcome(1));
    assert!(why(&world.outcome(2)).contains("before it began"), "{:?}", world.outcome(2));
    assert_eq!(world.host(2).count(Ask::Connect), 0);
    assert_eq!(world.status().await, Status::PartFailed, "the job itself was not cancelled");
    world.laws();

    assert_eq!(retry(&world, &[1, 2]).await, 2);
    world.host(1).runs([]);
    world.run().await.unwrap();
    assert_eq!((world.outcome(1), world.outcome(2)), (Outcome::Succeeded, Outcome::Succeeded));
    assert_eq!(world.status().await, Status::Success);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_was_cancelled_while_nobody_worked_on_it_is_ended_by_the_next_executor() {
    let world = World::install(2).await;
    for host in world.hosts() {
        host.runs([Script::takes(300)]);
    }
    assert!(world.run_until_death(sleep(20 * SECOND)).await);
    assert_eq!(cancel_hosts(&world, &[0]).await, 1);
    assert_eq!(world.run().await.unwrap(), Ended::Finished);
    assert!(why(&world.outcome(0)).contains("was ended on the host"), "{:?}", world.outcome(0));
    assert_eq!(world.outcome(1), Outcome::Succeeded);
    world.laws();
}
