//! What is asked of a job from outside: cancel, retry; and what is read by those who look on.

use bytes::Bytes;
use landfall::domain::audit::{Action, Asker, AuditLine, Detail, Source};
use landfall::domain::credential::{Auth, Credential};
use landfall::domain::event::EventKind;
use landfall::domain::failure::{Code, Failure};
use landfall::domain::id::{Epoch, JobId, Seq, TaskId};
use landfall::domain::job::Status;
use landfall::domain::outcome::Outcome;
use landfall::domain::plan::StepKind;
use landfall::store::news::Topic;
use landfall::store::{
    Asked, Cancel, Claim, NewLogin, OutputChunk, PinnedKey, Retry, Store, StoreError, Take, TaskRow, Which, Write, Written,
};
use secrecy::ExposeSecret;

use crate::fixture::{
    DAY_S, PASSWORD, address, again, at, by, claim_of, claimed, commit, end, ended, folded, host_write, job, kept, left_out,
};

async fn fail(store: &dyn Store, claim: Claim, seconds: i64) {
    let failure = Failure::new(Code::NoSpace, "full");
    commit(store, host_write(claim, seconds, vec![EventKind::HostStarted, ended(Outcome::Failed { failure })])).await;
}

async fn finish(store: &dyn Store, job: JobId) -> Written {
    let write = Write::Job { job, at: at(9), events: vec![EventKind::JobFinished { status: Status::Failed }] };
    store.commit(vec![write]).await.unwrap()[0]
}

async fn ids(store: &dyn Store, job: JobId) -> Vec<TaskId> {
    store.tasks(job).await.unwrap().iter().map(|row| row.id).collect()
}

pub(crate) async fn a_cancel_is_seen_by_whoever_looks_and_is_an_event(store: &dyn Store) {
    let (id, _) = claimed(store, job(0..2)).await;
    assert_eq!(store.asked(id).await.unwrap(), Asked::default());
    assert_eq!(store.ask_cancel(Cancel { job: id, tasks: None, by: &by("ops", Action::Cancel), at: at(1) }).await.unwrap(), 2);
    assert_eq!(store.asked(id).await.unwrap(), Asked { count: 1, cancel: true });
    let events = store.events(id, Seq(1), 10).await.unwrap();
    assert!(
        matches!(&events[..], [event] if event.host.is_none()
        && event.kind == EventKind::CancelAsked { reason: "asked by ops".into() }),
        "{events:?}"
    );
}

pub(crate) async fn some_hosts_of_a_job_are_cancelled_and_only_they_are_claimed_for_that(store: &dyn Store) {
    let id = store.create_job(job(0..4), at(0)).await.unwrap();
    let all = ids(store, id).await;
    let some = [all[3], all[1]];
    assert_eq!(
        store.ask_cancel(Cancel { job: id, tasks: Some(&some), by: &by("ops", Action::Cancel), at: at(1) }).await.unwrap(),
        2
    );
    assert_eq!(store.asked(id).await.unwrap(), Asked { count: 1, cancel: false });
    assert_eq!(store.cancelled(id).await.unwrap(), [all[1], all[3]]);
    let told: Vec<(Option<u32>, EventKind)> =
        store.events(id, Seq(1), 10).await.unwrap().into_iter().map(|event| (event.host_index, event.kind)).collect();
    let asked = EventKind::CancelAsked { reason: "asked by ops".into() };
    assert_eq!(told, [(Some(1), asked.clone()), (Some(3), asked)]);

    let rows = store.claim(Take { which: Which::Cancelled, ..Take::all(id, "executor") }).await.unwrap();
    assert_eq!(rows.iter().map(|row| (row.index, row.cancel_asked)).collect::<Vec<_>>(), [(1, true), (3, true)]);
    for row in &rows {
        commit(store, host_write(claim_of(row), 2, vec![ended(Outcome::Terminated { why: "cancelled".into() })])).await;
    }
    assert_eq!(store.cancelled(id).await.unwrap(), []);
    assert_eq!(store.ask_retry(id, &again(&some, 3)).await.unwrap(), [all[1], all[3]]);
    assert_eq!(store.cancelled(id).await.unwrap(), [], "a retry goes before an older cancel");
}

pub(crate) async fn hosts_are_claimed_piece_by_piece(store: &dyn Store) {
    let id = store.create_job(job(0..5), at(0)).await.unwrap();
    let mut mine = Vec::new();
    for piece in [&[0, 1][..], &[2, 3], &[4], &[]] {
        let take = Take { mine: &mine, which: Which::Next(2), ..Take::all(id, "executor") };
        let rows = store.claim(take).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.index).collect::<Vec<_>>(), piece);
        mine.extend(rows.iter().map(|row| row.id));
    }
}

pub(crate) async fn a_job_of_serve_is_left_over_until_its_end_is_written(store: &dyn Store) {
    let mut own = job(10..11);
    own.served = false;
    let own = store.create_job(own, at(0)).await.unwrap();
    let (id, claims) = claimed(store, job(0..2)).await;
    assert_eq!(store.left_over(&[]).await.unwrap(), [id]);
    let lease = store.hold(id).await.unwrap();
    assert_eq!(store.left_over(&[]).await.unwrap(), [], "somebody has it for himself");
    lease.release().await;
    assert_eq!(store.left_over(&[]).await.unwrap(), [id]);
    store.hand_over(own).await.unwrap();
    assert_eq!(store.left_over(&[]).await.unwrap(), [own, id]);
    end(store, claims[0], 1).await;
    end(store, claims[1], 1).await;
    assert_eq!(store.left_over(&[]).await.unwrap(), [own, id]);
    finish(store, id).await;
    assert_eq!(store.left_over(&[]).await.unwrap(), [own]);
    let twice = Write::Job { job: id, at: at(9), events: vec![EventKind::JobFinished { status: Status::Failed }] };
    assert_eq!(store.commit(vec![twice]).await.unwrap(), [Written::Stale], "a job ends once");
}

pub(crate) async fn whoever_waits_is_told_what_is_written_and_what_is_asked(store: &dyn Store) {
    const SOON: std::time::Duration = std::time::Duration::from_secs(3);
    let mut news = store.news();
    // Whoever listens through a server is told first that he does.
    let _ = tokio::time::timeout(SOON, news.next(|topic| topic == Topic::Anything)).await;
    let (id, claims) = claimed(store, job(0..1)).await;
    tokio::time::timeout(SOON, news.next(|topic| topic == Topic::Asked(id))).await.unwrap();
    commit(store, host_write(claims[0], 1, vec![EventKind::HostStarted])).await;
    tokio::time::timeout(SOON, news.next(|topic| topic == Topic::Written(id))).await.unwrap();
    store.ask_cancel(Cancel { job: id, tasks: None, by: &by("x", Action::Cancel), at: at(2) }).await.unwrap();
    tokio::time::timeout(SOON, news.next(|topic| topic == Topic::Asked(id))).await.unwrap();
}

pub(crate) async fn there_is_nothing_to_cancel_in_a_job_that_ended(store: &dyn Store) {
    let (id, claims) = claimed(store, job(0..1)).await;
    end(store, claims[0], 1).await;
    let before = store.events(id, Seq(0), 100).await.unwrap().len();
    assert_eq!(store.ask_cancel(Cancel { job: id, tasks: None, by: &by("x", Action::Cancel), at: at(2) }).await.unwrap(), 0);
    assert_eq!(
        store.ask_cancel(Cancel { job: JobId(99), tasks: None, by: &by("x", Action::Cancel), at: at(2) }).await.unwrap(),
        0
    );
    assert_eq!(store.asked(id).await.unwrap(), Asked::default());
    assert_eq!(store.events(id, Seq(0), 100).await.unwrap().len(), before);
}

pub(crate) async fn a_retry_opens_hosts_that_failed_and_no_others(store: &dyn Store) {
    let (id, claims) = claimed(store, job(0..4)).await;
    fail(store, claims[0], 1).await;
    end(store, claims[1], 1).await;
    commit(store, host_write(claims[2], 1, vec![ended(Outcome::Terminated { why: "cancelled".into() })])).await;
    let all = ids(store, id).await;
    assert_eq!(store.ask_retry(id, &again(&all, 2)).await.unwrap(), [all[0], all[2]]);
    let statuses: Vec<Status> = store.tasks(id).await.unwrap().iter().map(|row| row.status).collect();
    assert_eq!(statuses, [Status::Pending, Status::Success, Status::Pending, Status::Pending]);
    assert_eq!(store.busy(&[address(0)]).await.unwrap(), [(address(0), id)]);
    assert_eq!(store.ask_retry(id, &again(&all, 3)).await.unwrap(), [], "they are open already");
    let records = folded(store, id).await;
    assert!(records[0].outcome().is_none() && records[1].outcome().is_some());
}

pub(crate) async fn a_host_that_is_opened_again_is_lost_to_who_had_it(store: &dyn Store) {
    let (id, claims) = claimed(store, job(0..1)).await;
    fail(store, claims[0], 1).await;
    store.ask_retry(id, &again(&ids(store, id).await, 2)).await.unwrap();
    let late = store.commit(vec![host_write(claims[0], 3, vec![EventKind::HostStarted])]).await.unwrap();
    assert_eq!(late, [Written::Stale]);
    let rows = store.claim(Take::all(id, "executor")).await.unwrap();
    assert_eq!(rows[0].epoch, Epoch(3));
    end(store, claim_of(&rows[0]), 4).await;
    assert_eq!(store.job(id).await.unwrap().unwrap().status, Status::Success);
}

pub(crate) async fn a_retry_ends_a_cancel_and_keeps_the_credential(store: &dyn Store) {
    let (id, claims) = claimed(store, crate::fixture::job_of(vec![kept(0, 1)])).await;
    store.ask_cancel(Cancel { job: id, tasks: None, by: &by("x", Action::Cancel), at: at(1) }).await.unwrap();
    commit(store, host_write(claims[0], 2, vec![ended(Outcome::Terminated { why: "cancelled".into() })])).await;
    assert!(matches!(finish(store, id).await, Written::Done(_)));
    store.ask_retry(id, &again(&ids(store, id).await, 3)).await.unwrap();
    assert_eq!(store.asked(id).await.unwrap(), Asked { count: 2, cancel: false });
    let row = store.job(id).await.unwrap().unwrap();
    assert_eq!((row.status, row.finished_at), (Status::Pending, None));
    // A day was its retention; an unfinished host keeps it for seven.
    assert_eq!(store.purge_credentials(at(2 * 86_400)).await.unwrap(), 0);
    assert!(store.credential(claims[0].task).await.unwrap().is_some());
    assert_eq!(store.purge_credentials(at(8 * 86_400)).await.unwrap(), 1);
}

fn password(credential: Option<Credential>) -> String {
    match credential.map(|credential| credential.auth) {
        Some(Auth::Password(password)) => password.expose_secret().to_owned(),
        other => panic!("{other:?}"),
    }
}

/// Another account, port and password for a host.
fn login(row: &TaskRow, password: &str) -> NewLogin {
    let mut spec = row.spec.clone();
    (spec.host.account, spec.host.port) = ("ops".into(), 2222);
    let credential = Some(Credential { auth: Auth::Password(password.into()), sudo_password: None });
    NewLogin { task: row.id, spec, credential }
}

pub(crate) async fn a_login_that_comes_with_a_retry_takes_the_place_of_the_old_one(store: &dyn Store) {
    let (id, claims) = claimed(store, crate::fixture::job_of(vec![kept(0, 3), kept(1, 3), kept(2, 0)])).await;
    for claim in &claims {
        fail(store, *claim, 1).await;
    }
    let rows = store.tasks(id).await.unwrap();
    // One of the three keeps its own; the login of another one is gone already.
    let mut port = login(&rows[1], "unused");
    port.credential = None;
    let logins = vec![login(&rows[0], "better"), port, login(&rows[2], "new")];
    let retry = Retry { logins, ..again(&ids(store, id).await, 2) };
    assert_eq!(store.ask_retry(id, &retry).await.unwrap().len(), 3);
    let claims: Vec<Claim> = store.claim(Take::all(id, "executor")).await.unwrap().iter().map(claim_of).collect();
    let rows = store.tasks(id).await.unwrap();
    let at_host = |index: usize| (rows[index].spec.host.account.as_str(), rows[index].spec.host.port);
    assert_eq!([at_host(0), at_host(1), at_host(2)], [("ops", 2222); 3]);
    for (row, expected) in rows.iter().zip(["better", PASSWORD, "new"]) {
        assert_eq!(password(store.credential(row.id).await.unwrap()), expected);
    }
    // Its retention is the host's, from its end on.
    for claim in &claims {
        fail(store, *claim, 100).await;
    }
    assert!(store.credential(rows[2].id).await.unwrap().is_none());
    assert_eq!(store.purge_credentials(at(100 + 3 * DAY_S - 1)).await.unwrap(), 0);
    assert_eq!(password(store.credential(rows[0].id).await.unwrap()), "better");
    assert_eq!(store.purge_credentials(at(100 + 3 * DAY_S)).await.unwrap(), 2);
}

pub(crate) async fn a_login_for_a_host_that_is_not_tried_again_changes_nothing(store: &dyn Store) {
    let (id, claims) = claimed(store, crate::fixture::job_of(vec![kept(0, 3), kept(1, 3)])).await;
    fail(store, claims[0], 1).await;
    end(store, claims[1], 1).await;
    let rows = store.tasks(id).await.unwrap();
    let retry = Retry { logins: vec![login(&rows[1], "better")], ..again(&ids(store, id).await, 2) };
    assert_eq!(store.ask_retry(id, &retry).await.unwrap(), [rows[0].id]);
    let after = store.tasks(id).await.unwrap();
    assert_eq!(after[1].spec, rows[1].spec);
    assert_eq!(password(store.credential(rows[1].id).await.unwrap()), PASSWORD);
}

pub(crate) async fn a_retry_from_the_first_step_says_so_in_the_journal(store: &dyn Store) {
    let (id, claims) = claimed(store, job(0..1)).await;
    fail(store, claims[0], 1).await;
    let last = store.events(id, Seq(0), 100).await.unwrap().last().unwrap().seq;
    store.ask_retry(id, &Retry { from_start: true, ..again(&ids(store, id).await, 2) }).await.unwrap();
    let asked = store.events(id, last, 10).await.unwrap().remove(0).kind;
    assert_eq!(asked, EventKind::RetryAsked { reason: "asked by ops".into(), from_start: true });
}

pub(crate) async fn unfinished_hosts_without_a_login_are_given_one_and_no_others(store: &dyn Store) {
    let (id, claims) = claimed(store, crate::fixture::job_of(vec![kept(0, 3), kept(1, 3)])).await;
    commit(store, host_write(claims[0], 1, vec![EventKind::HostStarted, crate::fixture::interrupted()])).await;
    end(store, claims[1], 1).await;
    let rows = store.tasks(id).await.unwrap();
    let logins = [login(&rows[0], "new"), login(&rows[1], "new")];
    assert_eq!(store.give_logins(id, &logins, at(2)).await.unwrap(), [], "it has one");
    assert_eq!(store.purge_credentials(at(7 * DAY_S)).await.unwrap(), 2);
    assert_eq!(store.give_logins(id, &logins, at(7 * DAY_S)).await.unwrap(), [rows[0].id]);
    assert_eq!(password(store.credential(rows[0].id).await.unwrap()), "new");
    assert!(store.credential(rows[1].id).await.unwrap().is_none());
    let after = store.tasks(id).await.unwrap();
    assert_eq!((after[0].spec.host.port, after[1].spec.host.port), (2222, 22));
    // The claim that there is goes on.
    end(store, claims[0], 8 * DAY_S).await;
}

pub(crate) async fn a_host_that_another_job_has_cannot_be_opened_again(store: &dyn Store) {
    let (first, claims) = claimed(store, job(0..2)).await;
    fail(store, claims[0], 1).await;
    fail(store, claims[1], 1).await;
    let second = store.create_job(job(1..2), at(2)).await.unwrap();
    let refusal = store.ask_retry(first, &again(&ids(store, first).await, 3)).await.unwrap_err();
    assert!(matches!(&refusal, StoreError::Conflict(text) if text.contains(&format!("job {second}"))), "{refusal}");
    assert!(store.tasks(first).await.unwrap().iter().all(|row| row.status == Status::Failed), "nothing was opened");
}

pub(crate) async fn a_job_with_an_unfinished_host_cannot_be_finished(store: &dyn Store) {
    let (id, claims) = claimed(store, job(0..2)).await;
    end(store, claims[0], 1).await;
    assert_eq!(finish(store, id).await, Written::Stale);
    assert!(store.job(id).await.unwrap().unwrap().finished_at.is_none());
    end(store, claims[1], 2).await;
    assert!(matches!(finish(store, id).await, Written::Done(Some(_))));
}

pub(crate) async fn a_claim_spares_what_is_mine_already(store: &dyn Store) {
    let (id, claims) = claimed(store, job(0..3)).await;
    let rows = store.claim(Take { mine: &[claims[0].task, claims[2].task], ..Take::all(id, "executor") }).await.unwrap();
    assert_eq!(rows.iter().map(|row| (row.index, row.epoch)).collect::<Vec<_>>(), [(1, Epoch(2))]);
    commit(store, host_write(claims[0], 1, vec![EventKind::HostStarted])).await;
}

pub(crate) async fn a_removed_host_takes_its_kept_logins_with_it(store: &dyn Store) {
    let (_, claims) = claimed(store, crate::fixture::job_of(vec![kept(0, -1), kept(1, -1)])).await;
    end(store, claims[0], 1).await;
    end(store, claims[1], 1).await;
    assert_eq!(store.kept_logins(&[address(0), address(1)]).await.unwrap().len(), 2);
    store.commit(vec![Write::Remove(address(0))]).await.unwrap();
    let left: Vec<_> = store.kept_logins(&[address(0), address(1)]).await.unwrap().into_iter().map(|(host, ..)| host).collect();
    assert_eq!(left, [address(1)]);
}

/// It may die between the two, and whoever takes the host up has to tidy up there.
pub(crate) async fn who_removes_a_host_can_log_in_to_it_until_that_is_done(store: &dyn Store) {
    let (_, claims) = claimed(store, crate::fixture::job_of(vec![kept(0, -1)])).await;
    store.commit(vec![Write::Remove(address(0))]).await.unwrap();
    assert!(store.credential(claims[0].task).await.unwrap().is_some());
    commit(store, host_write(claims[0], 1, vec![ended(Outcome::Removed)])).await;
    assert!(store.credential(claims[0].task).await.unwrap().is_none());
}

pub(crate) async fn output_is_read_once_from_a_cursor_on(store: &dyn Store) {
    let (_, claims) = claimed(store, job(0..2)).await;
    let piece = |offset: u64, data: &'static str| {
        let (task, step) = (claims[0].task, StepKind::RunScript);
        Write::Output(OutputChunk { task, step, attempt: 1, offset, data: Bytes::from_static(data.as_bytes()) })
    };
    let text =
        |chunks: &[OutputChunk]| chunks.iter().map(|chunk| String::from_utf8_lossy(&chunk.data).into_owned()).collect::<String>();
    store.commit(vec![piece(0, "one "), piece(4, "two ")]).await.unwrap();
    let (first, cursor) = store.output_after(claims[0].task, 0, 1).await.unwrap();
    assert_eq!(text(&first), "one ");
    let (second, cursor) = store.output_after(claims[0].task, cursor, 10).await.unwrap();
    assert_eq!(text(&second), "two ");
    assert_eq!(store.output_after(claims[0].task, cursor, 10).await.unwrap(), (Vec::new(), cursor));
    store.commit(vec![piece(8, "three")]).await.unwrap();
    assert_eq!(text(&store.output_after(claims[0].task, cursor, 10).await.unwrap().0), "three");
    assert_eq!(store.output_after(claims[1].task, 0, 10).await.unwrap(), (Vec::new(), 0));
}

pub(crate) async fn pinned_keys_are_listed_in_order(store: &dyn Store) {
    let key = |index: u32, port: u16| PinnedKey {
        cloud: 0,
        address: address(index).ip,
        port,
        key: format!("k{index}-{port}"),
        at: at(1),
    };
    let pins = [key(2, 22), key(1, 2222), key(1, 22)].map(Write::PinKey);
    store.commit(pins.into()).await.unwrap();
    let keys: Vec<String> = store.pinned_keys().await.unwrap().into_iter().map(|pinned| pinned.key).collect();
    assert_eq!(keys, ["k1-22", "k1-2222", "k2-22"]);
}

pub(crate) async fn who_asked_for_what_is_kept_with_the_job(store: &dyn Store) {
    let app = |user: &str| Asker {
        app: Some("esb_test".into()),
        user: user.into(),
        source: Source::Address("fd00::7".parse().unwrap()),
    };
    let mut new = job(0..3);
    new.by = app("ann").asks(Action::Install);
    new.hosts.push(left_out(2));
    let (id, claims) = claimed(store, new).await;
    end(store, claims[0], 1).await;
    fail(store, claims[1], 1).await;
    let cancel = Cancel { job: id, tasks: None, by: &app("bob").asks(Action::Revoke), at: at(2) };
    assert_eq!(store.ask_cancel(cancel).await.unwrap(), 1);
    let tasks = [claims[1].task];
    let by_root = |seconds: i64| Retry { by: by("root", Action::Retry), ..again(&tasks, seconds) };
    assert_eq!(store.ask_retry(id, &by_root(3)).await.unwrap(), tasks);
    let line = |seconds: i64, asker: Asker, action: Action, hosts: u64| AuditLine {
        at: at(seconds),
        action,
        app: asker.app,
        user: asker.user,
        source: asker.source.to_string(),
        detail: Detail { hosts },
    };
    let told = [
        line(0, app("ann"), Action::Install, 3),
        line(2, app("bob"), Action::Revoke, 1),
        line(3, Asker::at_terminal("root"), Action::Retry, 1),
    ];
    assert_eq!(store.audit(id).await.unwrap(), told);

    // What nothing came of leaves no line.
    assert_eq!(store.ask_retry(id, &by_root(4)).await.unwrap(), []);
    store.create_job(job(1..2), at(4)).await.unwrap_err();
    let nowhere = Cancel { job: JobId(99), tasks: None, by: &by("root", Action::Cancel), at: at(4) };
    assert_eq!(store.ask_cancel(nowhere).await.unwrap(), 0);
    assert_eq!(store.audit(id).await.unwrap(), told);
    assert_eq!(store.audit(JobId(99)).await.unwrap(), []);
}
