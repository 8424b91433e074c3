//! A thread of their own for the sessions of hosts that may use old algorithms, so that nobody else waits for them.
//!
//! Classic Diffie-Hellman computes with big integers in russh's task of the session, again at every rekeying: 10 ms with
//! group14, 76 ms with group16, 587 ms with a group of 8192 bits that an old server may insist on
//! (`reference/performance.md` 1), while a handshake on an elliptic curve takes less than one. A fleet of such hosts would
//! hold all workers of the runtime, and every deadline, heartbeat and lease on them. Which exchange comes is known too late
//! to move a session that runs; so what counts is who may: hosts of `[ssh] legacy_algorithms`. Others offer a curve, or cost
//! 10 to 14 ms once.
//!
//! Here run the handshake, the login and russh's task. Dial, records, gateways' tunnels and channels stay where the caller
//! is; a test that stops its clock does not stop this one. The thread is started at the first need and never ended: sessions
//! outlive their transport, and a session that is dropped ends its own task by hanging up.

use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};
use tokio_util::task::AbortOnDropHandle;

static THREAD: OnceLock<Option<Runtime>> = OnceLock::new();

/// Does `work` there; dropped, it is dropped there too. Where no thread is to be had it is done here.
pub(super) async fn run<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T, String> {
    match THREAD.get_or_init(start) {
        Some(thread) => AbortOnDropHandle::new(thread.spawn(work)).await.map_err(|error| error.to_string()),
        None => Ok(work.await),
    }
}

fn start() -> Option<Runtime> {
    let built = Builder::new_multi_thread().worker_threads(1).thread_name("landfall-old-ssh").enable_all().build();
    built.inspect_err(|error| tracing::warn!(%error, "hosts with old algorithms get no thread of their own")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_on_one_thread_of_its_own() {
        let name = || async { std::thread::current().name().map(str::to_owned) };
        for _ in 0..2 {
            assert_eq!(run(name()).await.unwrap().as_deref(), Some("landfall-old-ssh"));
        }
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_any_more_is_dropped() {
        let (held, dropped) = tokio::sync::oneshot::channel::<()>();
        let waiting = run(async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        assert!(tokio::time::timeout(std::time::Duration::from_millis(20), waiting).await.is_err());
        assert!(dropped.await.is_err());
    }
}
