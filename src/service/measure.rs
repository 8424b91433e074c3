//! How the record stands, for the meters.

use std::time::Duration;

use super::Service;
use crate::domain::job::Status;
use crate::meters::{self, Standing};

impl Service {
    /// Looks how the unfinished jobs stand. What can be counted as it happens is not looked for here.
    pub async fn measure(&self) {
        let found = match self.store.standing().await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "the record cannot be measured");
                meters::unreadable();
                return;
            }
        };
        let (mut jobs, mut hosts) = (Standing::new(), Standing::new());
        for (kind, counts) in found.jobs {
            let each =
                counts.iter().flat_map(|(status, count)| std::iter::repeat_n(*status, usize::try_from(*count).unwrap_or(0)));
            *jobs.entry((kind, Status::fold(each))).or_default() += 1;
            for (status, count) in counts {
                *hosts.entry((kind, status)).or_default() += count;
            }
        }
        let waits = found
            .waits_since
            .map_or(Duration::ZERO, |since| self.engine.now().duration_since(since).try_into().unwrap_or_default());
        meters::standing(&jobs, &hosts, waits);
    }
}
