//! What others ask of a job while this process works on it: a cancel, a retry.
//!
//! They write it into the record, from whatever process. News of that wake us; where another process's are not heard, the
//! record is looked at again and again.
//!
//! Never here: obeying (the dispatcher's).

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::domain::id::JobId;
use crate::store::{Asked, Store, StoreError};

/// Looks at what is asked of one job until it is dropped.
pub(super) struct Orders {
    asked: watch::Receiver<Asked>,
    looking: AbortHandle,
}

impl Orders {
    /// Looks once, then again and again.
    pub(super) async fn watch(store: Arc<dyn Store>, job: JobId) -> Result<Self, StoreError> {
        let mut news = store.news();
        let (sender, asked) = watch::channel(store.asked(job).await?);
        let looking = tokio::spawn(async move {
            loop {
                news.next(|topic| topic.concerns(job) && topic.calls()).await;
                match store.asked(job).await {
                    Ok(now) => drop(sender.send_if_modified(|last| std::mem::replace(last, now) != now)),
                    // Whoever cannot write the record finds out by himself; a missed look is made good by the next.
                    Err(error) => tracing::warn!(%job, %error, "cannot look at what was asked"),
                }
            }
        });
        Ok(Self { asked, looking: looking.abort_handle() })
    }

    /// What is asked right now.
    pub(super) fn now(&mut self) -> Asked {
        *self.asked.borrow_and_update()
    }

    /// Waits until something else is asked. Drop-safe.
    pub(super) async fn changed(&mut self) -> Asked {
        if self.asked.changed().await.is_err() {
            // Nobody looks any more: nothing will ever be asked.
            std::future::pending::<()>().await;
        }
        self.now()
    }
}

impl Drop for Orders {
    fn drop(&mut self) {
        self.looking.abort();
    }
}
