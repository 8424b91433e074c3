//! The one writer of the record: it groups what all hosts want written into few transactions.
//!
//! While one transaction is on its way to the disk, the next batch gathers by itself. Disks are quicker than hundreds of hosts
//! need them to be, so a batch also gathers for as long after the last one as there are hosts to write for: 10,000 hosts cost
//! hundreds of transactions, one host is written at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;

use super::limits::Limits;
use crate::meters;
use crate::store::{OutputChunk, Store, Write, Written};

/// Writes in one transaction at most.
const BATCH: usize = 512;

/// Writes that wait at most; a full queue holds hosts up, which is right when the disk cannot follow.
const QUEUE: usize = 1_024;

/// A transaction begins so long after the last one, for each host in flight ...
const PER_HOST: Duration = Duration::from_millis(2);

/// ... but no longer: a host waits for its record before each of its steps.
const LONGEST: Duration = Duration::from_millis(125);

/// Why a write did not happen.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// Another executor claimed the host task: stop working on it.
    #[error("another executor took the host over")]
    Stale,
    /// The record failed.
    #[error("{0}")]
    Failed(Arc<str>),
}

struct Request {
    write: Write,
    answer: Option<oneshot::Sender<Result<Written, JournalError>>>,
}

/// A way to the writer.
#[derive(Clone, Debug)]
pub struct Journal {
    queue: mpsc::Sender<Request>,
}

impl Journal {
    /// Starts the writer; it ends when the last `Journal` is dropped.
    #[must_use]
    pub fn start(store: Arc<dyn Store>, limits: Arc<Limits>, tracker: &TaskTracker) -> Self {
        let (queue, requests) = mpsc::channel(QUEUE);
        tracker.spawn(write(store, limits, requests));
        Self { queue }
    }

    /// Writes and waits until it is durable.
    ///
    /// # Errors
    /// [`JournalError`]; nothing of this write is in the record then.
    pub async fn write(&self, write: Write) -> Result<(), JournalError> {
        let (answer, answered) = oneshot::channel();
        let gone = || JournalError::Failed("the writer of the record is gone".into());
        self.queue.send(Request { write, answer: Some(answer) }).await.map_err(|_| gone())?;
        match answered.await.map_err(|_| gone())?? {
            Written::Done(_) => Ok(()),
            Written::Stale => Err(JournalError::Stale),
        }
    }

    /// Hands over a piece of output without waiting for the disk. Losing it never changes state.
    pub async fn output(&self, chunk: OutputChunk) {
        let _ = self.queue.send(Request { write: Write::Output(chunk), answer: None }).await;
    }
}

async fn write(store: Arc<dyn Store>, limits: Arc<Limits>, mut requests: mpsc::Receiver<Request>) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut due = Instant::now();
    while requests.recv_many(&mut batch, BATCH).await > 0 {
        gather(&mut requests, &mut batch, (due, limits.hosts_in_flight())).await;
        let pause = u32::try_from(limits.hosts_in_flight()).map_or(LONGEST, |hosts| PER_HOST.saturating_mul(hosts));
        due = Instant::now() + pause.min(LONGEST);
        let (writes, answers): (Vec<_>, Vec<_>) = batch.drain(..).map(|request| (request.write, request.answer)).unzip();
        let (count, begun) = (writes.len(), Instant::now());
        let committed = store.commit(writes).await;
        meters::committed(count, begun.elapsed());
        let results = match committed {
            Ok(written) => written.into_iter().map(Ok).collect::<Vec<_>>(),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the record could not be written");
                let text: Arc<str> = chain(&error).into();
                vec![Err(JournalError::Failed(text)); answers.len()]
            }
        };
        for (answer, result) in answers.into_iter().zip(results) {
            if let Some(answer) = answer {
                // Whoever asked may have been stopped since.
                let _ = answer.send(result);
            }
        }
    }
}

/// Lets more writes come until the batch is due, or until each host in flight waits for one.
async fn gather(requests: &mut mpsc::Receiver<Request>, batch: &mut Vec<Request>, (due, hosts): (Instant, usize)) {
    let waits = |requests: &[Request]| requests.iter().filter(|request| request.answer.is_some()).count();
    let mut waiting = waits(batch);
    while waiting < hosts && batch.len() < BATCH {
        let before = batch.len();
        match timeout_at(due, requests.recv_many(batch, BATCH - before)).await {
            Ok(0) | Err(_) => return,
            Ok(_) => waiting += waits(batch.get(before..).unwrap_or_default()),
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
