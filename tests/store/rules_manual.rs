//! Hosts that a person installs: tokens that work once, whoever brings them, and the claim that comes with each.

use std::time::Duration;

use futures_util::future::join_all;
use landfall::domain::audit::Action;
use landfall::domain::event::EventKind;
use landfall::domain::id::{JobId, TaskId};
use landfall::domain::outcome::Outcome;
use landfall::store::manual::{Offer, Overdue, Revoke, Spend, TOKEN_LIFE};
use landfall::store::{Cancel, NewJob, Store, Take, TaskRow, Write, Written};

use crate::fixture::{DAY_S, again, at, by, claim_of, job};

const MINUTE: Duration = Duration::from_secs(60);

fn by_hand(hosts: std::ops::Range<u32>) -> NewJob {
    let mut job = job(hosts);
    job.served = true;
    job.hosts.iter_mut().for_each(|host| host.spec.host.is_manual = true);
    job
}

async fn recorded(store: &dyn Store, hosts: std::ops::Range<u32>) -> (JobId, Vec<TaskRow>) {
    let id = store.create_job(by_hand(hosts), at(0)).await.unwrap();
    (id, store.tasks(id).await.unwrap())
}

fn offer(task: TaskId, token: &str, seconds: i64) -> Offer {
    Offer { task, token: token.into(), until: at(seconds) }
}

async fn offered(store: &dyn Store, task: TaskId, token: &str) {
    assert_eq!(store.offer(&[offer(task, token, 100)], at(0)).await.unwrap(), [task]);
}

async fn spend(store: &dyn Store, task: TaskId, token: &str, seconds: i64) -> Option<TaskRow> {
    let run = format!("run of {token}");
    store.spend(Spend { task, token, run: &run, at: at(seconds) }).await.unwrap()
}

async fn appends(store: &dyn Store, row: &TaskRow, events: Vec<EventKind>) -> Written {
    let write = Write::Host { claim: claim_of(row), at: at(10), events };
    store.commit(vec![write]).await.unwrap().remove(0)
}

fn failed() -> EventKind {
    let failure = landfall::domain::failure::Failure::new(landfall::domain::failure::Code::ManualExpired, "late");
    EventKind::HostFinished { outcome: Outcome::Failed { failure } }
}

pub(crate) async fn no_executor_gets_a_host_that_a_person_installs(store: &dyn Store) {
    let (id, _) = recorded(store, 0..2).await;
    assert_eq!(store.left_over(&[]).await.unwrap(), []);
    assert_eq!(store.left_over(&[0]).await.unwrap(), []);
    let lease = store.hold(id).await.unwrap();
    assert!(store.claim(Take::all(id, lease.owner())).await.unwrap().is_empty());
    lease.release().await;
    // It holds its hosts all the same.
    assert!(store.create_job(job(0..1), at(1)).await.is_err());
}

pub(crate) async fn a_token_is_spent_once_however_many_bring_it_together(store: &dyn Store) {
    let (_, tasks) = recorded(store, 0..1).await;
    let task = tasks[0].id;
    offered(store, task, "t").await;
    assert_eq!(store.offered(task, at(1)).await.unwrap(), ["t"]);
    let spent: Vec<TaskRow> = join_all((0..8).map(|_| spend(store, task, "t", 1))).await.into_iter().flatten().collect();
    assert_eq!(spent.len(), 1);
    assert_eq!(spent[0].epoch.0, tasks[0].epoch.0 + 1);
    assert!(store.offered(task, at(1)).await.unwrap().is_empty() && spend(store, task, "t", 2).await.is_none());
    let host = store.manual_host(task).await.unwrap().unwrap();
    assert_eq!(host.run.map(|run| (run.token, run.seen)), Some(("run of t".into(), at(1))));
}

pub(crate) async fn a_token_is_of_its_host_and_of_its_time(store: &dyn Store) {
    let (id, tasks) = recorded(store, 0..3).await;
    for task in &tasks {
        offered(store, task.id, &format!("t{}", task.index)).await;
    }
    assert!(spend(store, tasks[1].id, "t0", 1).await.is_none(), "another host's");
    assert!(spend(store, tasks[0].id, "t0", 100).await.is_none(), "over");
    let revoke = |tasks| Revoke { job: id, tasks, at: at(2) };
    let first = [tasks[0].id];
    assert_eq!(store.revoke_offers(revoke(Some(&first))).await.unwrap(), 1);
    assert!(spend(store, tasks[0].id, "t0", 3).await.is_none(), "revoked");
    assert!(spend(store, tasks[1].id, "t1", 3).await.is_some());
    assert_eq!(store.revoke_offers(revoke(None)).await.unwrap(), 1, "the one that was not spent");
    assert!(spend(store, tasks[2].id, "t2", 3).await.is_none());
    // Of what an executor works on there is none, nor of what does not exist.
    let other = store.create_job(job(7..8), at(0)).await.unwrap();
    let other = store.tasks(other).await.unwrap()[0].id;
    assert!(store.offer(&[offer(other, "x", 100)], at(0)).await.unwrap().is_empty());
    assert!(store.manual_host(other).await.unwrap().is_none());
    assert!(spend(store, TaskId(uuid::Uuid::now_v7()), "t1", 3).await.is_none());
}

pub(crate) async fn who_fetched_the_script_last_has_the_host(store: &dyn Store) {
    let (_, tasks) = recorded(store, 0..1).await;
    let task = tasks[0].id;
    offered(store, task, "one").await;
    offered(store, task, "two").await;
    let one = spend(store, task, "one", 1).await.unwrap();
    assert!(matches!(appends(store, &one, vec![EventKind::HostStarted]).await, Written::Done(_)));
    let two = spend(store, task, "two", 2).await.unwrap();
    assert_eq!(appends(store, &one, vec![EventKind::HostStarted]).await, Written::Stale);
    assert!(matches!(appends(store, &two, vec![EventKind::HostStarted]).await, Written::Done(_)));
    let run = async || store.manual_host(task).await.unwrap().unwrap().run.unwrap();
    assert_eq!(run().await.token, "run of two");
    store.heard(task, "run of one", at(50)).await.unwrap();
    assert_eq!(run().await.seen, at(2), "the first one counts no more");
    assert!(store.turn(task, "run of one", at(50)).await.unwrap().is_none());
    store.heard(task, "run of two", at(50)).await.unwrap();
    assert_eq!(run().await.seen, at(50));
}

pub(crate) async fn of_two_requests_of_one_run_the_later_appends(store: &dyn Store) {
    let (_, tasks) = recorded(store, 0..1).await;
    let task = tasks[0].id;
    offered(store, task, "t").await;
    let spent = spend(store, task, "t", 1).await.unwrap();
    let turns = join_all((0..4).map(|_| store.turn(task, "run of t", at(2)))).await;
    let mut turns: Vec<TaskRow> = turns.into_iter().map(|turn| turn.unwrap().unwrap()).collect();
    turns.sort_by_key(|row| row.epoch);
    let last = turns.pop().unwrap();
    assert_eq!(last.epoch.0, spent.epoch.0 + 4, "each has an epoch of its own");
    for row in turns.iter().chain([&spent]) {
        assert_eq!(appends(store, row, vec![EventKind::HostStarted]).await, Written::Stale);
    }
    assert!(matches!(appends(store, &last, vec![EventKind::HostStarted, failed()]).await, Written::Done(_)));
    assert!(store.turn(task, "run of t", at(3)).await.unwrap().is_none(), "the host has ended");
}

pub(crate) async fn a_host_that_ended_has_no_run_and_a_retry_waits_anew(store: &dyn Store) {
    let (id, tasks) = recorded(store, 0..1).await;
    let task = tasks[0].id;
    offered(store, task, "t").await;
    offered(store, task, "u").await;
    let row = spend(store, task, "t", 1).await.unwrap();
    assert!(matches!(appends(store, &row, vec![EventKind::HostStarted, failed()]).await, Written::Done(_)));
    assert!(store.manual_host(task).await.unwrap().is_none() && spend(store, task, "u", 2).await.is_none());
    assert!(store.offer(&[offer(task, "x", 100)], at(2)).await.unwrap().is_empty());
    assert_eq!(store.ask_retry(id, &again(&[task], DAY_S)).await.unwrap(), [task]);
    let host = store.manual_host(task).await.unwrap().unwrap();
    assert_eq!((host.run, host.until), (None, at(DAY_S) + TOKEN_LIFE));
    assert_eq!(appends(store, &row, vec![EventKind::HostStarted]).await, Written::Stale, "the run of before");
}

pub(crate) async fn hosts_that_nobody_came_for_are_found_when_their_time_is_over(store: &dyn Store) {
    let (id, tasks) = recorded(store, 0..3).await;
    let due = async |seconds: i64| {
        let overdue = Overdue { now: at(seconds), silent: at(seconds - 1_800), deaf: at(seconds) - MINUTE, most: 10 };
        let hosts = store.overdue(overdue).await.unwrap();
        hosts.iter().map(|host| host.row.index).collect::<Vec<_>>()
    };
    assert!(due(DAY_S - 1).await.is_empty());
    // A command is waited for as long as it works.
    assert_eq!(store.offer(&[offer(tasks[1].id, "late", DAY_S + 50)], at(0)).await.unwrap(), [tasks[1].id]);
    offered(store, tasks[2].id, "t").await;
    spend(store, tasks[2].id, "t", 10).await.unwrap();
    assert_eq!(due(DAY_S + 1).await, [0, 2], "one was never fetched, the other is silent");
    assert_eq!(due(DAY_S + 50).await, [0, 1, 2]);
    assert!(due(100).await.is_empty());
    let who = by("ann", Action::Cancel);
    let cancel = Cancel { job: id, tasks: None, by: &who, at: at(11) };
    assert_eq!(store.ask_cancel(cancel).await.unwrap(), 3);
    assert_eq!(due(12).await, [0, 1], "the script may still hear of it");
    assert_eq!(due(71).await, [0, 1, 2]);
    assert!(spend(store, tasks[1].id, "late", 12).await.is_none(), "nothing begins any more");
}
