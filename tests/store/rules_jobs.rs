//! Rules of a record: creating, holding, claiming, listing.

use futures_util::future::join;
use landfall::domain::event::EventKind;
use landfall::domain::host::Address;
use landfall::domain::id::{Epoch, JobId, Seq, TaskId};
use landfall::domain::job::Status;
use landfall::domain::outcome::Outcome;
use landfall::domain::plan::StepKind;
use landfall::store::{OutputChunk, Store, StoreError, Take, Write, Written};

use crate::fixture::{
    address, at, claim_of, claimed, commit, end, ended, folded, host, host_write, interrupted, job, job_of, left_out,
};

pub(crate) async fn a_job_is_read_back_as_it_was_recorded(store: &dyn Store) {
    let new = job_of(vec![host(0), left_out(1), host(2)]);
    let id = store.create_job(new.clone(), at(5)).await.unwrap();
    let row = store.job(id).await.unwrap().unwrap();
    assert_eq!((row.id, &row.spec, row.created_by.as_str(), row.created_at), (id, &new.spec, "operator", at(5)));
    assert_eq!((row.status, row.finished_at), (Status::Pending, None));
    assert_eq!((row.statistics.total_count, row.statistics.pending_count, row.statistics.ignored_count), (3, 2, 1));
    let tasks = store.tasks(id).await.unwrap();
    for (index, (task, host)) in tasks.iter().zip(&new.hosts).enumerate() {
        assert_eq!((task.id, task.index as usize, task.job), (host.id, index, id));
        assert_eq!((task.address, &task.spec, task.epoch), (address(index as u32), &host.spec, Epoch(0)));
    }
    assert_eq!(tasks.iter().map(|task| task.status).collect::<Vec<_>>(), [Status::Pending, Status::Ignored, Status::Pending]);
}

pub(crate) async fn a_new_job_begins_its_journal_with_who_was_taken_and_who_was_not(store: &dyn Store) {
    let id = store.create_job(job_of(vec![left_out(0), host(1), left_out(2)]), at(0)).await.unwrap();
    let events = store.events(id, Seq(0), 10).await.unwrap();
    assert_eq!(events.iter().map(|event| event.seq.0).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(matches!(events[0].kind, EventKind::JobAccepted { hosts: 1, ignored: 2, .. }), "{:?}", events[0]);
    assert_eq!((events[0].host_index, events[0].host), (None, None));
    assert!(matches!(events[2].kind, EventKind::HostIgnored { .. }), "{:?}", events[2]);
    assert_eq!((events[2].host_index, events[2].host), (Some(2), Some(address(2).into())));
}

pub(crate) async fn what_does_not_exist_is_nothing_and_no_error(store: &dyn Store) {
    let task = TaskId(uuid::Uuid::now_v7());
    assert!(store.job(JobId(1)).await.unwrap().is_none());
    assert!(store.jobs(10).await.unwrap().is_empty());
    assert!(store.tasks(JobId(1)).await.unwrap().is_empty());
    assert!(store.claim(Take::all(JobId(1), "executor")).await.unwrap().is_empty());
    assert!(store.events(JobId(1), Seq(0), 10).await.unwrap().is_empty());
    assert!(store.output(task).await.unwrap().is_empty());
    assert!(store.credential(task).await.unwrap().is_none());
    assert!(store.host(address(0)).await.unwrap().is_none());
    assert!(store.pinned_key(0, address(0).ip, 22).await.unwrap().is_none());
    assert!(store.busy(&[address(0)]).await.unwrap().is_empty() && store.busy(&[]).await.unwrap().is_empty());
    assert!(store.kept_logins(&[address(0)]).await.unwrap().is_empty());
    assert_eq!(store.purge_credentials(at(0)).await.unwrap(), 0);
    assert_eq!(store.commit(Vec::new()).await.unwrap(), []);
}

pub(crate) async fn no_host_is_in_two_unfinished_jobs(store: &dyn Store) {
    let (first, claims) = claimed(store, job(0..3)).await;
    let refusal = store.create_job(job(2..5), at(1)).await.unwrap_err();
    assert!(
        matches!(&refusal, StoreError::Conflict(text) if text.contains("10.0.0.3") && text.contains(&format!("job {first}"))),
        "{refusal}"
    );
    assert_eq!(store.jobs(10).await.unwrap().len(), 1, "nothing of the refused job is there");
    assert!(store.busy(&[address(3)]).await.unwrap().is_empty());

    end(store, claims[2], 2).await;
    let second = store.create_job(job(2..5), at(3)).await.unwrap();
    let busy = store.busy(&[address(4), address(2), address(9), address(0)]).await.unwrap();
    assert_eq!(busy, [(address(4), second), (address(2), second), (address(0), first)]);
}

pub(crate) async fn the_same_address_in_another_cloud_is_another_host(store: &dyn Store) {
    let mut elsewhere = host(0);
    elsewhere.spec.host.bk_cloud_id = 2;
    let id = store.create_job(job_of(vec![host(0), elsewhere]), at(0)).await.unwrap();
    let there = Address { cloud: 2, ..address(0) };
    assert_eq!(store.busy(&[there]).await.unwrap(), [(there, id)]);
    assert!(store.busy(&[Address { cloud: 3, ..there }]).await.unwrap().is_empty());
}

pub(crate) async fn a_host_with_an_ipv6_address_only_is_held_like_any_other(store: &dyn Store) {
    let mut six = host(0);
    (six.spec.host.inner_ip, six.spec.host.inner_ipv6) = (None, Some("2001:db8::a".parse().unwrap()));
    let address = six.spec.host.address().unwrap();
    let id = store.create_job(job_of(vec![six.clone()]), at(0)).await.unwrap();
    assert_eq!(store.busy(&[address]).await.unwrap(), [(address, id)]);
    six.id = TaskId(uuid::Uuid::now_v7());
    assert!(matches!(store.create_job(job_of(vec![six]), at(0)).await, Err(StoreError::Conflict(_))));
}

pub(crate) async fn the_same_host_twice_in_one_job_is_a_conflict_unless_one_is_left_out(store: &dyn Store) {
    let refusal = store.create_job(job_of(vec![host(0), host(0)]), at(0)).await.unwrap_err();
    assert!(matches!(&refusal, StoreError::Conflict(text) if text.contains("10.0.0.1")), "{refusal}");
    store.create_job(job_of(vec![host(0), left_out(0)]), at(0)).await.unwrap();
}

pub(crate) async fn a_host_that_is_left_out_is_held_by_nobody(store: &dyn Store) {
    store.create_job(job_of(vec![left_out(0), host(1)]), at(0)).await.unwrap();
    assert!(store.busy(&[address(0)]).await.unwrap().is_empty());
    store.create_job(job(0..1), at(0)).await.unwrap();
}

pub(crate) async fn an_interrupted_host_is_running_and_keeps_its_host_busy(store: &dyn Store) {
    let (id, claims) = claimed(store, job(0..2)).await;
    commit(store, host_write(claims[0], 1, vec![EventKind::HostStarted, interrupted()])).await;
    let tasks = store.tasks(id).await.unwrap();
    assert_eq!((tasks[0].status, tasks[1].status), (Status::Running, Status::Pending));
    assert_eq!(store.busy(&[address(0)]).await.unwrap(), [(address(0), id)]);
    assert_eq!(store.job(id).await.unwrap().unwrap().status, Status::Running);
    // And somebody can take it up again.
    let rows = store.claim(Take::all(id, "executor")).await.unwrap();
    assert_eq!(rows.iter().map(|row| (row.index, row.epoch)).collect::<Vec<_>>(), [(0, Epoch(2)), (1, Epoch(2))]);
    end(store, claim_of(&rows[0]), 2).await;
    assert_eq!(folded(store, id).await[0].outcome(), Some(&Outcome::Succeeded));
}

pub(crate) async fn a_claim_raises_the_epochs_of_unfinished_hosts_only(store: &dyn Store) {
    let (id, claims) = claimed(store, job_of(vec![host(0), left_out(1), host(2)])).await;
    assert_eq!(claims.iter().map(|claim| (claim.index, claim.epoch)).collect::<Vec<_>>(), [(0, Epoch(1)), (2, Epoch(1))]);
    end(store, claims[0], 1).await;
    let again = store.claim(Take::all(id, "executor")).await.unwrap();
    assert_eq!(again.iter().map(|row| (row.index, row.epoch)).collect::<Vec<_>>(), [(2, Epoch(2))]);
    let epochs: Vec<_> = store.tasks(id).await.unwrap().iter().map(|row| row.epoch.0).collect();
    assert_eq!(epochs, [1, 0, 2]);
}

pub(crate) async fn jobs_are_listed_newest_first_with_their_own_statistics(store: &dyn Store) {
    let (first, claims) = claimed(store, job(0..3)).await;
    let second = store.create_job(job(3..5), at(1)).await.unwrap();
    end(store, claims[1], 2).await;
    let list = store.jobs(10).await.unwrap();
    assert_eq!(
        list.iter().map(|row| (row.id, row.status)).collect::<Vec<_>>(),
        [(second, Status::Pending), (first, Status::Running)]
    );
    assert_eq!((list[1].statistics.success_count, list[1].statistics.pending_count, list[1].statistics.total_count), (1, 2, 3));
    assert_eq!(store.jobs(1).await.unwrap().len(), 1);
}

pub(crate) async fn the_status_of_a_job_is_the_fold_of_its_hosts_until_its_journal_says_it(store: &dyn Store) {
    let (id, claims) = claimed(store, job(0..2)).await;
    for claim in claims {
        end(store, claim, 1).await;
    }
    let row = store.job(id).await.unwrap().unwrap();
    assert_eq!((row.status, row.finished_at), (Status::Success, None));
    let finished = vec![EventKind::JobFinished { status: Status::Terminated }];
    commit(store, Write::Job { job: id, at: at(9), events: finished }).await;
    let row = store.job(id).await.unwrap().unwrap();
    assert_eq!((row.status, row.finished_at), (Status::Terminated, Some(at(9))));
    assert_eq!(row.statistics.success_count, 2);
}

pub(crate) async fn a_job_is_held_by_one_at_a_time(store: &dyn Store) {
    let lease = store.hold(JobId(1)).await.unwrap();
    let refusal = store.hold(JobId(1)).await.unwrap_err();
    assert!(matches!(refusal, StoreError::Held { job: JobId(1), pid } if pid == std::process::id()), "{refusal}");
    let other = store.hold(JobId(2)).await.unwrap();
    drop(lease);
    store.hold(JobId(1)).await.unwrap();
    drop(other);
}

pub(crate) async fn who_holds_a_job_can_be_asked_without_disturbing_those_who_take_it(store: &dyn Store) {
    assert_eq!(store.holder(JobId(1)).await.unwrap(), None);
    let lease = store.hold(JobId(1)).await.unwrap();
    assert_eq!(store.holder(JobId(1)).await.unwrap(), Some(std::process::id()));
    assert_eq!(store.holder(JobId(2)).await.unwrap(), None);
    drop(lease);
    assert_eq!(store.holder(JobId(1)).await.unwrap(), None);

    let look = || async {
        for _ in 0..300 {
            store.holder(JobId(1)).await.unwrap();
        }
    };
    let take = async {
        for _ in 0..300 {
            drop(store.hold(JobId(1)).await.unwrap());
        }
    };
    join(join(look(), look()), take).await;
}

pub(crate) async fn a_host_that_has_ended_takes_output_but_no_more_events(store: &dyn Store) {
    let (id, claims) = claimed(store, job(0..2)).await;
    end(store, claims[0], 1).await;
    let before = store.events(id, Seq(0), 100).await.unwrap();
    let late = OutputChunk { task: claims[0].task, step: StepKind::Verify, attempt: 1, offset: 0, data: "late".into() };
    let again = |claim| host_write(claim, 2, vec![EventKind::HostStarted]);
    let answers = store.commit(vec![again(claims[0]), Write::Output(late), again(claims[1])]).await.unwrap();
    assert_eq!(answers, [Written::Stale, Written::Done(None), Written::Done(Some(Seq(before.len() as i64 + 1)))]);
    assert_eq!(store.tasks(id).await.unwrap()[0].status, Status::Success);
    assert_eq!(store.output(claims[0].task).await.unwrap().len(), 1);
    assert!(store.busy(&[address(0)]).await.unwrap().is_empty());
}

pub(crate) async fn a_host_may_end_before_it_began(store: &dyn Store) {
    let (id, claims) = claimed(store, job(0..1)).await;
    let failure = landfall::domain::failure::Failure::new(landfall::domain::failure::Code::Internal, "no");
    commit(store, host_write(claims[0], 1, vec![ended(Outcome::Failed { failure })])).await;
    assert_eq!(store.tasks(id).await.unwrap()[0].status, Status::Failed);
    assert_eq!(store.job(id).await.unwrap().unwrap().status, Status::Failed);
}

pub(crate) async fn a_job_whose_recording_was_broken_off_is_there_whole_or_not_at_all(store: &dyn Store) {
    for (round, patience_ms) in [0, 1, 3, 10, 30, 60, 100, 150].into_iter().enumerate() {
        let from = round as u32 * 1000;
        let creating = store.create_job(job(from..from + 1000), at(0));
        let _ = tokio::time::timeout(std::time::Duration::from_millis(patience_ms), creating).await;
        for row in store.jobs(100).await.unwrap() {
            assert_eq!(row.statistics.total_count, 1000);
        }
    }
    // The next one finds the record as it should be.
    let id = store.create_job(job(100_000..100_010), at(1)).await.unwrap();
    assert_eq!(store.claim(Take::all(id, "executor")).await.unwrap().len(), 10);
}

pub(crate) async fn an_executor_of_some_clouds_takes_the_hosts_of_those_and_is_called_for_no_others(store: &dyn Store) {
    let mut far = host(1);
    far.spec.host.bk_cloud_id = 2;
    let id = store.create_job(job_of(vec![host(0), far]), at(0)).await.unwrap();
    for (clouds, called) in [([2, 3], true), ([3, 4], false)] {
        assert_eq!(store.left_over(&clouds).await.unwrap().contains(&id), called, "{clouds:?}");
    }
    let rows = store.claim(Take { clouds: &[2, 3], ..Take::all(id, "far") }).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.index).collect::<Vec<_>>(), [1]);
    end(store, claim_of(&rows[0]), 1).await;
    assert_eq!(store.left_over(&[2]).await.unwrap(), [], "its own have ended, and another one is open");
    assert_eq!(store.left_over(&[0]).await.unwrap(), [id]);
    let rows = store.claim(Take::all(id, "near")).await.unwrap();
    end(store, claim_of(&rows[0]), 1).await;
    assert_eq!(store.left_over(&[2]).await.unwrap(), [id], "its end can be written by anybody");
}
