//! Pages of lists: what a filter means, what comes first, and that a page and its count are of one mind.

use landfall::domain::event::EventKind;
use landfall::domain::failure::{Code, Failure};
use landfall::domain::host::Address;
use landfall::domain::id::{JobId, Seq};
use landfall::domain::job::{JobKind, Status};
use landfall::domain::outcome::Outcome;
use landfall::store::page::{Counted, JobFilter, JobOrder, Page, Standing, TaskFilter, TaskName};
use landfall::store::{Store, Take, Write};

use crate::fixture::{
    address, again, at, claim_of, claimed, commit, end, ended, host, host_write, interrupted, job, job_of, left_out,
};

const ALL: Page = Page { offset: 0, limit: None };

async fn ids(store: &dyn Store, filter: JobFilter, order: JobOrder, page: Page) -> (u64, Vec<JobId>) {
    let (total, rows) = store.job_page(&filter, order, page).await.unwrap();
    (total, rows.iter().map(|row| row.id).collect())
}

/// One job in every state that a job can be in.
async fn every_state(store: &dyn Store) -> Vec<JobId> {
    let terminated = || ended(Outcome::Terminated { why: "cancelled".into() });
    let (one, _) = claimed(store, job(0..2)).await;
    let (two, claims) = claimed(store, job_of(vec![host(2), host(3), left_out(2)])).await;
    end(store, claims[0], 1).await;
    let (three, claims) = claimed(store, job(4..5)).await;
    end(store, claims[0], 2).await;
    let (four, claims) = claimed(store, job(5..7)).await;
    end(store, claims[0], 2).await;
    commit(store, host_write(claims[1], 2, vec![terminated()])).await;
    let (five, claims) = claimed(store, job(7..8)).await;
    commit(store, host_write(claims[0], 2, vec![terminated()])).await;
    let finished = |job, status| Write::Job { job, at: at(3), events: vec![EventKind::JobFinished { status }] };
    commit(store, finished(five, Status::Terminated)).await;
    let (six, claims) = claimed(store, job(8..9)).await;
    commit(store, host_write(claims[0], 2, vec![EventKind::HostStarted, interrupted()])).await;
    vec![one, two, three, four, five, six]
}

pub(crate) async fn a_filter_by_status_means_what_the_list_shows(store: &dyn Store) {
    every_state(store).await;
    let rows = store.jobs(100).await.unwrap();
    let statuses = [Status::Pending, Status::Running, Status::Success, Status::Failed, Status::PartFailed, Status::Terminated];
    for status in statuses {
        let expected: Vec<JobId> = rows.iter().filter(|row| row.status == status).map(|row| row.id).collect();
        assert!(!expected.is_empty() || status == Status::Failed, "no job is {status:?}");
        let filter = JobFilter { statuses: Some(vec![status]), ..JobFilter::default() };
        assert_eq!(ids(store, filter, JobOrder::Newest, ALL).await, (expected.len() as u64, expected), "{status:?}");
    }
    let none = JobFilter { statuses: Some(Vec::new()), ..JobFilter::default() };
    assert_eq!(ids(store, none, JobOrder::Newest, ALL).await, (0, Vec::new()));
}

pub(crate) async fn every_filter_of_jobs_narrows_the_list(store: &dyn Store) {
    let all = every_state(store).await;
    let mut other = job(20..21);
    (other.created_by, other.spec.kind, other.spec.businesses) = ("ann".into(), JobKind::RestartAgent, vec![3, 4]);
    let seven = store.create_job(other, at(50)).await.unwrap();
    let only = |filter: JobFilter| ids(store, filter, JobOrder::Newest, ALL);
    let some = JobFilter::default;
    assert_eq!(only(JobFilter { ids: Some(vec![all[1], seven, JobId(99)]), ..some() }).await, (2, vec![seven, all[1]]));
    assert_eq!(only(JobFilter { created_by: Some(vec!["ann".into()]), ..some() }).await, (1, vec![seven]));
    assert_eq!(only(JobFilter { businesses: Some(vec![4, 9]), ..some() }).await, (1, vec![seven]));
    assert_eq!(only(JobFilter { kinds: Some(vec![JobKind::RestartAgent]), ..some() }).await, (1, vec![seven]));
    // Of these businesses and no other.
    assert_eq!(only(JobFilter { within: Some(vec![3, 4, 5]), ..some() }).await, (1, vec![seven]));
    assert_eq!(only(JobFilter { within: Some(vec![2, 4]), ..some() }).await.0, 6);
    assert_eq!(only(JobFilter { within: Some(vec![3]), ..some() }).await.0, 0);
    assert_eq!(only(JobFilter { within: Some(Vec::new()), ..some() }).await.0, 0);
    assert_eq!(only(JobFilter { ips: Some(vec![address(3).ip, address(0).ip]), ..some() }).await, (2, vec![all[1], all[0]]));
    assert_eq!(only(JobFilter { from: Some(at(50)), ..some() }).await, (1, vec![seven]));
    assert_eq!(only(JobFilter { until: Some(at(49)), ..some() }).await.0, 6);
    let both = JobFilter { until: Some(at(49)), statuses: Some(vec![Status::PartFailed]), ..some() };
    assert_eq!(only(both).await, (1, vec![all[3]]));
}

pub(crate) async fn jobs_are_ordered_and_cut_into_pages(store: &dyn Store) {
    let all = every_state(store).await;
    let by = |counted, ascending| ids(store, JobFilter::default(), JobOrder::Hosts { counted, ascending }, ALL);
    let order = |places: [usize; 6]| (6, places.map(|place| all[place]).to_vec());
    assert_eq!(by(None, false).await, order([1, 3, 0, 5, 4, 2]));
    assert_eq!(by(None, true).await, order([5, 4, 2, 3, 0, 1]));
    assert_eq!(by(Some(Counted::Failed), false).await, order([4, 3, 5, 2, 1, 0]));
    assert_eq!(by(Some(Counted::Succeeded), false).await, order([3, 2, 1, 5, 4, 0]));
    let page = |offset, limit| ids(store, JobFilter::default(), JobOrder::Newest, Page { offset, limit });
    assert_eq!(page(1, Some(2)).await, (6, vec![all[4], all[3]]));
    assert_eq!(page(5, Some(2)).await, (6, vec![all[0]]));
    assert_eq!(page(4, None).await, (6, vec![all[1], all[0]]));
    assert_eq!(page(6, Some(2)).await, (6, Vec::new()));
}

pub(crate) async fn the_hosts_of_a_job_are_filtered_and_cut_into_pages(store: &dyn Store) {
    let mut numbered = host(3);
    numbered.spec.host.bk_host_id = Some(17);
    let (id, claims) = claimed(store, job_of(vec![host(0), host(1), left_out(0), numbered, host(4)])).await;
    end(store, claims[1], 1).await;
    let places = async |filter: TaskFilter, page: Page| {
        let (total, rows) = store.task_page(id, &filter, page).await.unwrap();
        (total, rows.iter().map(|row| row.index).collect::<Vec<_>>())
    };
    let some = TaskFilter::default;
    assert_eq!(places(some(), ALL).await, (5, vec![0, 1, 2, 3, 4]));
    assert_eq!(places(some(), Page { offset: 3, limit: Some(1) }).await, (5, vec![3]));
    assert_eq!(places(TaskFilter { ips: Some(vec![address(0).ip, address(4).ip]), ..some() }, ALL).await, (3, vec![0, 2, 4]));
    assert_eq!(
        places(TaskFilter { statuses: Some(vec![Status::Success, Status::Ignored]), ..some() }, ALL).await,
        (2, vec![1, 2])
    );
    let names = vec![TaskName::At(address(1)), TaskName::Numbered(17), TaskName::Numbered(-1)];
    assert_eq!(places(TaskFilter { named: Some(names.clone()), ..some() }, ALL).await.1, [1, 3]);
    assert_eq!(places(TaskFilter { excluded: names, ..some() }, ALL).await.1, [0, 2, 4]);
    let elsewhere = Address { cloud: 2, ..address(1) };
    assert_eq!(places(TaskFilter { named: Some(vec![TaskName::At(elsewhere)]), ..some() }, ALL).await.0, 0);
    assert_eq!(places(TaskFilter { named: Some(Vec::new()), ..some() }, ALL).await, (0, Vec::new()));
    assert_eq!(store.task_page(JobId(99), &some(), ALL).await.unwrap().0, 0);
}

pub(crate) async fn the_journal_of_some_hosts_is_that_part_of_the_journal(store: &dyn Store) {
    let (id, claims) = claimed(store, job(0..4)).await;
    for claim in [claims[2], claims[0], claims[3]] {
        end(store, claim, 1).await;
    }
    let whole = store.events(id, Seq(0), 1_000).await.unwrap();
    let part: Vec<_> = whole.into_iter().filter(|event| matches!(event.host_index, Some(0 | 2))).collect();
    assert_eq!(store.host_events(id, &[2, 0, 1, 9]).await.unwrap(), part);
    assert_eq!(store.host_events(id, &[]).await.unwrap(), []);
}

pub(crate) async fn what_is_unfinished_is_counted_by_kind_and_status_and_who_waits_longest_is_known(store: &dyn Store) {
    assert_eq!(store.standing().await.unwrap(), Standing::default());
    let (one, first) = claimed(store, job_of(vec![host(0), host(1), left_out(1)])).await;
    let mut other = job(10..12);
    other.spec.kind = JobKind::RestartAgent;
    let two = store.create_job(other, at(50)).await.unwrap();
    end(store, first[0], 1).await;
    let install = vec![(Status::Ignored, 1), (Status::Pending, 1), (Status::Success, 1)];
    let restart = (JobKind::RestartAgent, vec![(Status::Pending, 2)]);
    let jobs = vec![(JobKind::InstallAgent, install), restart.clone()];
    assert_eq!(store.standing().await.unwrap(), Standing { jobs, waits_since: Some(at(0)) });

    let failure = Failure::new(Code::NoSpace, "full");
    commit(store, host_write(first[1], 2, vec![EventKind::HostStarted, ended(Outcome::Failed { failure })])).await;
    let finished = EventKind::JobFinished { status: Status::PartFailed };
    commit(store, Write::Job { job: one, at: at(3), events: vec![finished] }).await;
    assert_eq!(store.standing().await.unwrap(), Standing { jobs: vec![restart.clone()], waits_since: Some(at(50)) });

    // Opened again: it waits since then, not since it was recorded.
    assert_eq!(store.ask_retry(one, &again(&[first[1].task], 70)).await.unwrap(), [first[1].task]);
    assert_eq!(store.standing().await.unwrap().waits_since, Some(at(50)));
    for row in store.claim(Take::all(two, "executor")).await.unwrap() {
        end(store, claim_of(&row), 80).await;
    }
    let standing = store.standing().await.unwrap();
    assert_eq!((standing.jobs.len(), standing.waits_since), (2, Some(at(70))));
    assert_eq!(standing.jobs[1], (JobKind::RestartAgent, vec![(Status::Success, 2)]));
}
