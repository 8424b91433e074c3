//! Submissions that come again: with the same `Idempotency-Key` and the same body they are answered with the first job,
//! whatever became of its hosts since. What was rejected is not kept: it may come again.
//!
//! Never here: how long a key counts and how twins wait for each other (the record's).

use serde_json::{Value, json};

use super::request::{Fault, code};
use super::submit::{Caller, Recorded, Rejection};
use super::{Service, ServiceError};
use crate::domain::id::JobId;
use crate::store::StoreError;
use crate::store::once::{Created, First, Once};

/// Longest key.
const LONGEST: usize = 255;

/// Where a key stands, in faults.
const PATH: &str = "Idempotency-Key";

/// What a submission asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A job as the body describes it.
    Install,
    /// An operation on known hosts.
    Operate,
}

/// The key of a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// Reads a key: 1 to 255 printable characters of ASCII, blanks excepted.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &[u8]) -> Result<Self, Vec<Fault>> {
        let is_key = (1..=LONGEST).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic);
        match std::str::from_utf8(text) {
            Ok(text) if is_key => Ok(Self(text.to_owned())),
            _ => Err(vec![fault(code::INVALID, format!("must be 1 to {LONGEST} printable characters of ASCII without blanks"))]),
        }
    }
}

/// A submission that is in the record.
#[derive(Clone, Debug, PartialEq)]
pub struct Submitted {
    /// Its job.
    pub job: JobId,
    /// Hosts that were left out.
    pub ip_filter: Value,
    /// Was it recorded just now?
    pub is_new: bool,
}

fn fault(code: i64, message: impl Into<String>) -> Fault {
    Fault { path: PATH.into(), message: message.into(), code }
}

impl Operation {
    fn word(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Operate => "operate",
        }
    }
}

impl Service {
    /// Checks a body, admits its hosts and records the job; what was recorded with the same key is told again instead.
    ///
    /// # Errors
    /// [`Rejection`]; nothing was recorded then. The key's own fault among them when another body came with it.
    pub async fn submit_once(
        &self,
        (operation, body): (Operation, &Value),
        caller: &Caller,
        key: Option<&Key>,
    ) -> Result<Submitted, Rejection> {
        let Some(key) = key else { return self.submit_new((operation, body), caller, None).await };
        let fingerprint = self.store.fingerprint(operation.word(), body)?;
        if let Some(first) = self.first(caller, key).await? {
            return self.again(first, (operation, body));
        }
        let once = Once { app: caller.app().to_owned(), key: key.0.clone(), fingerprint, answer: String::new() };
        match self.submit_new((operation, body), caller, Some(once)).await {
            // A twin that was recorded meanwhile has the hosts, or has taken them out of the inventory.
            Err(rejection) => match self.first(caller, key).await? {
                Some(first) => self.again(first, (operation, body)),
                None => Err(rejection),
            },
            done => done,
        }
    }

    async fn first(&self, caller: &Caller, key: &Key) -> Result<Option<First>, StoreError> {
        self.store.first_with_key(caller.app(), &key.0, self.engine.now()).await
    }

    async fn submit_new(
        &self,
        (operation, body): (Operation, &Value),
        caller: &Caller,
        once: Option<Once>,
    ) -> Result<Submitted, Rejection> {
        let asked = body;
        let expanded = match operation {
            Operation::Install => None,
            Operation::Operate => Some(self.expand(body, &caller.grant).await?),
        };
        let body = expanded.as_ref().unwrap_or(body);
        let Some(once) = once else {
            let Recorded { job, filtered } = self.record(body, caller).await?;
            return Ok(Submitted { job, ip_filter: json!(filtered), is_new: true });
        };
        let admitted = self.examine(body, caller).await?;
        let ip_filter = json!(admitted.filtered);
        let once = Once { answer: ip_filter.to_string(), ..once };
        let job = self.new_job(admitted, caller);
        match self.store.create_job_once(job, once, self.engine.now()).await? {
            Created::New(job) => Ok(Submitted { job, ip_filter, is_new: true }),
            Created::Before(first) => self.again(first, (operation, asked)),
        }
    }

    /// What a submission is answered that came before.
    fn again(&self, first: First, (operation, body): (Operation, &Value)) -> Result<Submitted, Rejection> {
        if !self.store.is_same(&first.fingerprint, operation.word(), body)? {
            let message = format!("another request came with this key before, and became job {}", first.job);
            return Err(Rejection::Faults(vec![fault(code::CONFLICT, message)]));
        }
        let corrupt = |_| StoreError::Corrupt { what: format!("what was answered with job {} cannot be read", first.job) };
        let ip_filter = serde_json::from_str(&first.answer).map_err(corrupt)?;
        Ok(Submitted { job: first.job, ip_filter, is_new: false })
    }

    /// Removes the keys of submissions that count no more; how many.
    ///
    /// # Errors
    /// When the record fails.
    pub async fn purge_keys(&self) -> Result<u64, ServiceError> {
        Ok(self.store.purge_keys(self.engine.now()).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_short_and_printable() {
        for (text, taken) in [
            ("8e03978e-40d5-43e8-bc93-6894a57f9324", true),
            ("\"quoted\"", true),
            (&*"k".repeat(255), true),
            (&*"k".repeat(256), false),
            ("", false),
            ("two words", false),
            ("tab\t", false),
            ("schlüssel", false),
        ] {
            assert_eq!(Key::parse(text.as_bytes()).is_ok(), taken, "{text}");
        }
    }
}
