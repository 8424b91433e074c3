//! Rules of a record: the journal, outputs, inventory and pinned keys.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::future::join_all;
use landfall::domain::admission::{Exception, Exclusion};
use landfall::domain::event::EventKind;
use landfall::domain::failure::{Code, Failure};
use landfall::domain::id::{JobId, Seq, TaskId};
use landfall::domain::job::Status;
use landfall::domain::outcome::{Outcome, StepOutcome};
use landfall::domain::plan::StepKind;
use landfall::domain::state::HostState;
use landfall::store::{Claim, HostRow, OUTPUT_HEAD, OUTPUT_TAIL, OutputChunk, PinnedKey, Store, Take, Write, Written};

use crate::fixture::{address, at, claimed, commit, ended, folded, good_course, host_write, interrupted, job, known};

pub(crate) async fn what_was_committed_folds_to_what_the_lists_show(store: &dyn Store) {
    let (id, claims) = claimed(store, job(0..40)).await;
    // Every host stands at another place of its course.
    let courses = claims.iter().map(|claim| {
        let events = good_course().into_iter().take(claim.index as usize % 10).collect();
        host_write(*claim, 1, events)
    });
    store.commit(courses.collect()).await.unwrap();
    let tasks = store.tasks(id).await.unwrap();
    for (record, task) in folded(store, id).await.iter().zip(&tasks) {
        assert_eq!(record.state.status(), task.status, "host {}", task.index);
    }
    let busy = store.busy(&tasks.iter().map(|task| task.address).collect::<Vec<_>>()).await.unwrap();
    let unfinished = tasks.iter().filter(|task| task.index % 10 < 9).map(|task| (task.address, id)).collect::<Vec<_>>();
    assert_eq!(busy, unfinished);
}

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

pub(crate) async fn any_legal_course_keeps_lists_and_fold_alike(store: &dyn Store) {
    let (id, claims) = claimed(store, job(0..60)).await;
    let step = StepKind::RunScript;
    let failure = Failure::new(Code::NoSpace, "full");
    let all = [
        EventKind::HostStarted,
        EventKind::StepStarted { step, attempt: 1, run_id: None },
        EventKind::StepFinished { step, attempt: 1, outcome: StepOutcome::Done { changed: true }, figures: Default::default() },
        EventKind::AttemptFailed { step, failure: failure.clone(), retry_in_ms: 5 },
        EventKind::AttemptStarted { attempt: 2 },
        EventKind::CancelAsked { reason: "x".into() },
        EventKind::HostIgnored { exclusion: Exclusion::new(Exception::Unsupported, "x") },
        interrupted(),
        ended(Outcome::Succeeded),
        ended(Outcome::Skipped { why: "x".into() }),
        ended(Outcome::Failed { failure: failure.clone() }),
        ended(Outcome::Unknown { failure }),
    ];
    let mut dice = Dice(7);
    let mut states = vec![HostState::Pending; claims.len()];
    for round in 0..40 {
        let mut batch = Vec::new();
        for (claim, state) in claims.iter().zip(&mut states) {
            let mut events = Vec::new();
            for _ in 0..dice.below(4) {
                let event = &all[dice.below(if round < 20 { 8 } else { all.len() })];
                if let Ok(next) = state.next(event) {
                    *state = next;
                    events.push(event.clone());
                }
            }
            batch.push(host_write(*claim, round, events));
        }
        store.commit(batch).await.unwrap();
        let tasks = store.tasks(id).await.unwrap();
        let busy = store.busy(&tasks.iter().map(|task| task.address).collect::<Vec<_>>()).await.unwrap();
        for (state, task) in states.iter().zip(&tasks) {
            assert_eq!(state.status(), task.status, "host {} in round {round}", task.index);
            assert_eq!(!state.is_terminal(), busy.contains(&(task.address, id)), "host {} in round {round}", task.index);
        }
        assert_eq!(store.job(id).await.unwrap().unwrap().status, Status::fold(states.iter().map(HostState::status)));
    }
    assert!(states.iter().any(HostState::is_terminal) && states.iter().any(|state| matches!(state, HostState::LeftOut { .. })));
    for (record, state) in folded(store, id).await.iter().zip(&states) {
        assert_eq!(&record.state, state);
    }
}

pub(crate) async fn a_commit_that_was_broken_off_leaves_the_next_one_alone(store: &dyn Store) {
    let (id, claims) = claimed(store, job(0..50)).await;
    for round in 0..30u64 {
        let batch =
            claims.iter().map(|claim| host_write(*claim, 1, vec![EventKind::CancelAsked { reason: "x".into() }; 20])).collect();
        let _ = tokio::time::timeout(std::time::Duration::from_micros(400 * round), store.commit(batch)).await;
        let last = commit(store, host_write(claims[0], 2, vec![EventKind::CancelAsked { reason: "y".into() }])).await.unwrap();
        // Either the whole batch of a thousand is before it, or nothing of it.
        assert_eq!((last.0 - 2 - round as i64) % 1000, 0, "{last:?} in round {round}");
    }
    let seqs: Vec<i64> = store.events(id, Seq(0), 100_000).await.unwrap().iter().map(|event| event.seq.0).collect();
    assert_eq!(seqs, (1..=seqs.len() as i64).collect::<Vec<_>>());
}

pub(crate) async fn events_come_back_as_they_were_written_page_by_page(store: &dyn Store) {
    let (id, claims) = claimed(store, job(0..2)).await;
    let written = good_course();
    let last = commit(store, host_write(claims[1], 7, written.clone())).await.unwrap();
    let mut read = Vec::new();
    let mut after = Seq(1);
    loop {
        let page = store.events(id, after, 2).await.unwrap();
        assert!(page.len() <= 2);
        let Some(event) = page.last() else { break };
        after = event.seq;
        read.extend(page);
    }
    assert_eq!(after, last);
    assert!(read.iter().all(|event| event.at == at(7) && event.job_id == id && event.host_index == Some(1)));
    assert!(read.iter().all(|event| event.host == Some(address(1).into())));
    assert_eq!(read.into_iter().map(|event| event.kind).collect::<Vec<_>>(), written);
}

pub(crate) async fn a_stale_epoch_is_refused_alone_in_its_batch(store: &dyn Store) {
    let (id, old) = claimed(store, job(0..3)).await;
    let new: Vec<Claim> = store.claim(Take::all(id, "executor")).await.unwrap().iter().map(crate::fixture::claim_of).collect();
    let start = |claim: Claim| host_write(claim, 1, vec![EventKind::HostStarted]);
    let answers = store.commit(vec![start(new[0]), start(old[1]), start(new[2])]).await.unwrap();
    assert_eq!(answers, [Written::Done(Some(Seq(2))), Written::Stale, Written::Done(Some(Seq(3)))]);
    let hosts: Vec<_> = store.events(id, Seq(1), 10).await.unwrap().iter().map(|event| event.host_index).collect();
    assert_eq!(hosts, [Some(0), Some(2)]);
    assert_eq!(store.tasks(id).await.unwrap()[1].status, Status::Pending);
}

pub(crate) async fn writes_for_what_is_not_there_are_refused_alone(store: &dyn Store) {
    let (id, claims) = claimed(store, job(0..1)).await;
    let nobody = TaskId(uuid::Uuid::now_v7());
    let started = || vec![EventKind::HostStarted];
    let batch = vec![
        host_write(Claim { task: nobody, ..claims[0] }, 1, started()),
        host_write(Claim { job: JobId(99), ..claims[0] }, 1, started()),
        host_write(Claim { index: 5, ..claims[0] }, 1, started()),
        Write::Job { job: JobId(99), at: at(1), events: vec![EventKind::CancelAsked { reason: "x".into() }] },
        Write::Output(chunk(nobody, 0, b"lost")),
        host_write(claims[0], 1, started()),
        host_write(claims[0], 1, Vec::new()),
    ];
    let [first @ .., good, empty] = &store.commit(batch).await.unwrap()[..] else { panic!("too few answers") };
    assert_eq!(first, [Written::Stale; 5]);
    assert_eq!((*good, *empty), (Written::Done(Some(Seq(2))), Written::Done(None)));
    assert_eq!(store.events(id, Seq(0), 100).await.unwrap().len(), 2);
}

pub(crate) async fn seq_has_no_gaps_over_concurrent_commits_to_several_jobs(store: &dyn Store) {
    let (first, one) = claimed(store, job(0..8)).await;
    let (second, two) = claimed(store, job(8..16)).await;
    let writers = one.iter().zip(&two).map(|(one, two)| async move {
        for round in 0..20 {
            let reason = |text: &str| vec![EventKind::CancelAsked { reason: text.into() }; 3];
            let batch = vec![
                host_write(*one, round, reason("a")),
                host_write(*two, round, reason("b")),
                host_write(*one, round, reason("c")),
            ];
            let answers = store.commit(batch).await.unwrap();
            assert!(
                matches!(answers[..], [Written::Done(Some(a)), Written::Done(Some(_)), Written::Done(Some(c))] if c.0 == a.0 + 3)
            );
        }
    });
    join_all(writers).await;
    for (job, each) in [(first, 6), (second, 3)] {
        let seqs: Vec<i64> = store.events(job, Seq(0), 10_000).await.unwrap().iter().map(|event| event.seq.0).collect();
        assert_eq!(seqs, (1..=1 + 8 * 20 * each).collect::<Vec<_>>());
    }
}

fn chunk(task: TaskId, offset: u64, data: &[u8]) -> OutputChunk {
    OutputChunk { task, step: StepKind::RunScript, attempt: 1, offset, data: Bytes::copy_from_slice(data) }
}

pub(crate) async fn output_is_listed_in_the_order_its_steps_began(store: &dyn Store) {
    let (_, claims) = claimed(store, job(0..2)).await;
    let task = claims[0].task;
    let of = |step, attempt, offset, data: &'static [u8]| {
        Write::Output(OutputChunk { task, step, attempt, offset, data: Bytes::from_static(data) })
    };
    let batch = vec![
        of(StepKind::Verify, 1, 0, b"v"),
        of(StepKind::Probe, 2, 3, b"late"),
        of(StepKind::Probe, 2, 0, b"pro"),
        of(StepKind::Connect, 1, 0, b"c"),
        Write::Output(chunk(claims[1].task, 0, b"another host")),
    ];
    store.commit(batch).await.unwrap();
    store.commit(vec![of(StepKind::Verify, 1, 1, b"w")]).await.unwrap();
    let read = store.output(task).await.unwrap();
    let seen: Vec<_> = read.iter().map(|chunk| (chunk.step, chunk.attempt, chunk.offset, &chunk.data[..])).collect();
    let expected: [(_, _, _, &[u8]); 5] = [
        (StepKind::Verify, 1, 0, b"v"),
        (StepKind::Verify, 1, 1, b"w"),
        (StepKind::Probe, 2, 0, b"pro"),
        (StepKind::Probe, 2, 3, b"late"),
        (StepKind::Connect, 1, 0, b"c"),
    ];
    assert_eq!(seen, expected);
}

pub(crate) async fn where_an_output_ends_is_known_though_its_middle_is_gone(store: &dyn Store) {
    let (_, claims) = claimed(store, job(0..1)).await;
    let task = claims[0].task;
    assert_eq!(store.output_end(task, StepKind::RunScript, 1).await.unwrap(), 0);
    commit(store, Write::Output(chunk(task, 0, b"hello"))).await;
    assert_eq!(store.output_end(task, StepKind::RunScript, 1).await.unwrap(), 5);
    commit(store, Write::Output(chunk(task, 5, &vec![7; 12 << 20]))).await;
    assert_eq!(store.output_end(task, StepKind::RunScript, 1).await.unwrap(), 5 + (12 << 20));
    assert_eq!(store.output_end(task, StepKind::RunScript, 2).await.unwrap(), 0);
    assert_eq!(store.output_end(task, StepKind::Verify, 1).await.unwrap(), 0);
}

pub(crate) async fn output_that_is_sent_again_is_kept_once_and_the_longer_one(store: &dyn Store) {
    let (_, claims) = claimed(store, job(0..1)).await;
    let task = claims[0].task;
    for data in [&b"hel"[..], b"hello", b"he"] {
        commit(store, Write::Output(chunk(task, 0, data))).await;
    }
    let read = store.output(task).await.unwrap();
    assert_eq!(read.len(), 1);
    assert_eq!(&read[0].data[..], b"hello");
}

/// Pieces go as a whole, so one at each edge may be kept too much.
const KEPT: std::ops::RangeInclusive<u64> = OUTPUT_HEAD + OUTPUT_TAIL..=OUTPUT_HEAD + OUTPUT_TAIL + (128 << 10);

pub(crate) async fn of_a_long_output_the_head_and_the_tail_are_kept(store: &dyn Store) {
    let (_, claims) = claimed(store, job(0..1)).await;
    let task = claims[0].task;
    let block = 300_000;
    let total = 80 * block as u64;
    for round in 0..20u64 {
        let batch = (0..4).map(|i| {
            let number = round * 4 + i;
            Write::Output(chunk(task, number * block as u64, &vec![number as u8; block]))
        });
        store.commit(batch.collect()).await.unwrap();
    }
    let mut at_offset: BTreeMap<u64, u8> = BTreeMap::new();
    let mut kept = 0;
    for piece in store.output(task).await.unwrap() {
        kept += piece.data.len() as u64;
        for (offset, byte) in (piece.offset..).zip(&piece.data) {
            assert_eq!(u64::from(*byte), offset / block as u64);
            if offset % 4096 == 0 {
                at_offset.insert(offset, *byte);
            }
        }
    }
    let present = |range: std::ops::Range<u64>| range.step_by(4096).all(|offset| at_offset.contains_key(&offset));
    assert!(present(0..OUTPUT_HEAD), "the head");
    assert!(present((total - OUTPUT_TAIL).next_multiple_of(4096)..total), "the tail");
    assert!(KEPT.contains(&kept), "{kept}");
}

pub(crate) async fn one_giant_piece_of_output_is_cut_like_many_small_ones(store: &dyn Store) {
    let (_, claims) = claimed(store, job(0..1)).await;
    commit(store, Write::Output(chunk(claims[0].task, 0, &vec![7; 30 << 20]))).await;
    let kept: u64 = store.output(claims[0].task).await.unwrap().iter().map(|piece| piece.data.len() as u64).sum();
    assert!(KEPT.contains(&kept), "{kept}");
}

pub(crate) async fn the_inventory_keeps_the_last_word_of_a_batch(store: &dyn Store) {
    let (id, _) = claimed(store, job(0..1)).await;
    let row = |index: u32, version: &str| HostRow { version: version.into(), ..known(index, Some(i64::from(index) + 1), id) };
    let register = |index, version| Write::Register(Box::new(row(index, version)));
    store.commit(vec![register(0, "1"), register(1, "1"), register(2, "1")]).await.unwrap();
    assert_eq!(store.host(address(0)).await.unwrap(), Some(row(0, "1")));
    let batch = vec![
        register(0, "2"),
        Write::Forget(address(1)),
        Write::Forget(address(2)),
        register(2, "3"),
        register(3, "1"),
        Write::Forget(address(3)),
        Write::Forget(address(9)),
    ];
    store.commit(batch).await.unwrap();
    assert_eq!(store.host(address(0)).await.unwrap(), Some(row(0, "2")));
    assert_eq!(store.host(address(1)).await.unwrap(), None);
    assert_eq!(store.host(address(2)).await.unwrap(), Some(row(2, "3")));
    assert_eq!(store.host(address(3)).await.unwrap(), None);
}

pub(crate) async fn the_key_that_was_seen_first_stays_pinned(store: &dyn Store) {
    let key =
        |cloud, port, text: &str, seconds| PinnedKey { cloud, address: address(0).ip, port, key: text.into(), at: at(seconds) };
    let first = key(0, 22, "ssh-ed25519 AAAA", 1);
    let batch =
        vec![first.clone(), key(0, 22, "ssh-ed25519 BBBB", 1), key(0, 2222, "ssh-ed25519 CCCC", 1), key(2, 22, "ssh-rsa D", 1)];
    store.commit(batch.into_iter().map(Write::PinKey).collect()).await.unwrap();
    commit(store, Write::PinKey(key(0, 22, "ssh-ed25519 EEEE", 2))).await;
    assert_eq!(store.pinned_key(0, address(0).ip, 22).await.unwrap(), Some(first));
    assert_eq!(store.pinned_key(0, address(0).ip, 2222).await.unwrap().unwrap().key, "ssh-ed25519 CCCC");
    assert_eq!(store.pinned_key(2, address(0).ip, 22).await.unwrap().unwrap().key, "ssh-rsa D");
    assert_eq!(store.pinned_key(0, address(1).ip, 22).await.unwrap(), None);
    // Somebody said that the next one is right: the last one of a batch counts.
    let last = key(0, 22, "ssh-ed25519 GGGG", 3);
    let batch = vec![key(0, 22, "ssh-ed25519 FFFF", 3), last.clone(), key(2, 2222, "ssh-ed25519 HHHH", 3)];
    store.commit(batch.into_iter().map(Write::ReplaceKey).collect()).await.unwrap();
    assert_eq!(store.pinned_key(0, address(0).ip, 22).await.unwrap(), Some(last));
    assert_eq!(store.pinned_key(2, address(0).ip, 2222).await.unwrap().unwrap().key, "ssh-ed25519 HHHH");
}
