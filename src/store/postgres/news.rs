//! News between processes: NOTIFY with the commit that makes something durable, LISTEN in every process.
//!
//! A connection that breaks is made again; what was told meanwhile is made good by waking everybody.
//!
//! Never here: what news mean (`store::news`).

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::time::sleep;

use crate::domain::id::JobId;
use crate::store::news::{Teller, Topic};

/// The channel.
pub(super) const CHANNEL: &str = "landfall";
/// News are heard at once; this is for what a broken connection swallows.
pub(super) const PERIOD: Duration = Duration::from_secs(5);
/// Pause between two tries to listen.
const PAUSE: Duration = Duration::from_secs(1);

/// A piece of news as it crosses the server; what is not about a job does not.
pub(super) fn word(topic: Topic) -> Option<String> {
    match topic {
        Topic::Written(job) => Some(format!("written {job}")),
        Topic::Asked(job) => Some(format!("asked {job}")),
        Topic::Anything => None,
    }
}

/// Reads [`word`]; what a later release may say stands for anything.
fn topic(word: &str) -> Topic {
    let job = |number: &str| number.parse().ok().map(JobId);
    let known = match word.split_once(' ') {
        Some(("written", number)) => job(number).map(Topic::Written),
        Some(("asked", number)) => job(number).map(Topic::Asked),
        _ => None,
    };
    known.unwrap_or(Topic::Anything)
}

/// Listens for ever. `pool` is for this connection alone.
pub(super) async fn listen(pool: PgPool, teller: Teller) {
    loop {
        if let Err(error) = hear(&pool, &teller).await {
            tracing::debug!(%error, "cannot listen to the job record");
        }
        sleep(PAUSE).await;
    }
}

/// Until the connection breaks.
async fn hear(pool: &PgPool, teller: &Teller) -> sqlx::Result<()> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    teller.tell(Topic::Anything);
    while let Some(heard) = listener.try_recv().await? {
        teller.tell(topic(heard.payload()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_read_as_it_was_meant() {
        for told in [Topic::Written(JobId(7)), Topic::Asked(JobId(12))] {
            assert_eq!(topic(&word(told).unwrap()), told);
        }
        for strange in ["", "asked", "asked x", "renamed 5"] {
            assert_eq!(topic(strange), Topic::Anything, "{strange}");
        }
    }
}
