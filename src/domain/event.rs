//! Events: everything that happens to a job, one by one. The record is the journal of them; state is their fold.
//!
//! Every change of state is an event and is journaled before it is shown. Output and progress are not events: they may be
//! thinned or lost, and state never depends on them.
//!
//! To add a kind: a variant here and an arm in [`super::state`]; readers ignore kinds they do not know.

use serde::{Deserialize, Serialize};

use super::Timestamp;
use super::admission::Exclusion;
use super::failure::Failure;
use super::host::Address;
use super::id::{JobId, RunId, Seq};
use super::job::{JobKind, Status};
use super::outcome::{Outcome, StepOutcome};
use super::plan::{Plan, StepKind};
use super::step_fields;

/// Version of the stored form of events. A fold refuses others.
pub const EVENT_VERSION: u32 = 1;

/// One entry of a job's journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Position in the job's journal; order by this only.
    pub seq: Seq,
    /// When the executor saw it.
    pub at: Timestamp,
    /// The job.
    pub job_id: JobId,
    /// Which host of the job, by its position in the request; `None` for the job itself.
    #[serde(skip)]
    pub host_index: Option<u32>,
    /// The same host by address.
    pub host: Option<HostRef>,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// A host in an event line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRef {
    /// Inner address.
    pub ip: std::net::IpAddr,
    /// Its cloud.
    pub bk_cloud_id: i64,
}

impl From<Address> for HostRef {
    fn from(address: Address) -> Self {
        Self { ip: address.ip, bk_cloud_id: address.cloud }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventKind {
    /// The job is in the record: from here on nothing of it can be lost.
    JobAccepted {
        /// Its kind.
        job_type: JobKind,
        /// Hosts that will be worked on.
        hosts: u64,
        /// Hosts left out.
        ignored: u64,
    },
    /// A host was left out.
    HostIgnored {
        /// Why.
        #[serde(flatten)]
        exclusion: Exclusion,
    },
    /// An executor took the host.
    HostStarted,
    /// A try of the host task begins (a takeover is not a new one).
    AttemptStarted {
        /// 1, 2, 3 ...
        attempt: u32,
    },
    /// The plan is settled; nothing on the host was changed before this.
    PlanSettled {
        /// The plan.
        plan: Box<Plan>,
    },
    /// A step that the outline did not have joins the plan. Durable with what made it necessary.
    StepAdded {
        /// Which.
        #[serde(flatten, with = "step_fields::step")]
        step: StepKind,
        /// Deadline of one attempt, seconds.
        timeout_s: u64,
        /// The step that it comes after; none of a plugin.
        after: StepKind,
    },
    /// A step begins. Durable before the step's first byte.
    StepStarted {
        /// Which.
        #[serde(flatten, with = "step_fields::step")]
        step: StepKind,
        /// 1, 2, 3 ... of this step.
        attempt: u32,
        /// The run it will start on the target, where it does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run_id: Option<RunId>,
    },
    /// A step ended. Durable before the next one begins.
    StepFinished {
        /// Which.
        #[serde(flatten, with = "step_fields::step")]
        step: StepKind,
        /// Its attempt.
        attempt: u32,
        /// How.
        #[serde(flatten)]
        outcome: StepOutcome,
        /// Figures worth keeping.
        #[serde(default, skip_serializing_if = "Figures::is_empty")]
        figures: Figures,
    },
    /// A try failed and another follows.
    AttemptFailed {
        /// Which step.
        #[serde(flatten, with = "step_fields::step")]
        step: StepKind,
        /// Why.
        failure: Failure,
        /// Pause before the next try, milliseconds.
        retry_in_ms: u64,
    },
    /// The host showed another key than the pinned one, as it was allowed to: that one is pinned now. Once a job.
    HostKeyReplaced {
        /// SHA-256 fingerprint of the key before.
        pinned: String,
        /// That of the new one.
        shown: String,
    },
    /// Somebody asked for the job to be cancelled.
    CancelAsked {
        /// Who or why.
        reason: String,
    },
    /// Somebody asked for a host that failed to be tried again: it is open once more.
    RetryAsked {
        /// Who or why.
        reason: String,
        /// Every step again from the first; else those that are done stay so.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        from_start: bool,
    },
    /// The host task ended, or its executor let go of it (Interrupted).
    HostFinished {
        /// How.
        #[serde(flatten)]
        outcome: Outcome,
    },
    /// All hosts ended.
    JobFinished {
        /// The job's status.
        status: Status,
    },
    /// A kind of a later version.
    #[serde(other)]
    Unknown,
}

/// Figures of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Figures {
    /// Payload bytes sent in this attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_sent: Option<u64>,
    /// Bytes of the stored archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_bytes: Option<u64>,
    /// Bytes of the form that travels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_bytes: Option<u64>,
    /// One line of detail for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Figures {
    /// Nothing to keep?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// One line of detail only.
    #[must_use]
    pub fn detail(text: impl Into<String>) -> Self {
        Self { detail: Some(text.into()), ..Self::default() }
    }
}

impl EventKind {
    /// Did somebody log in to the host?
    #[must_use]
    pub fn is_login(&self) -> bool {
        matches!(self, Self::StepFinished { step: StepKind::Connect, outcome, .. } if outcome.is_done())
    }

    /// The word in JSON.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::JobAccepted { .. } => "job_accepted",
            Self::HostIgnored { .. } => "host_ignored",
            Self::HostStarted => "host_started",
            Self::AttemptStarted { .. } => "attempt_started",
            Self::PlanSettled { .. } => "plan_settled",
            Self::StepAdded { .. } => "step_added",
            Self::StepStarted { .. } => "step_started",
            Self::StepFinished { .. } => "step_finished",
            Self::AttemptFailed { .. } => "attempt_failed",
            Self::HostKeyReplaced { .. } => "host_key_replaced",
            Self::CancelAsked { .. } => "cancel_asked",
            Self::RetryAsked { .. } => "retry_asked",
            Self::HostFinished { .. } => "host_finished",
            Self::JobFinished { .. } => "job_finished",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_a_later_version_is_read_as_unknown() {
        let kind: EventKind = serde_json::from_str(r#"{"kind": "moon_phase", "phase": 3}"#).unwrap();
        assert_eq!(kind, EventKind::Unknown);
    }

    #[test]
    fn a_retry_of_an_earlier_release_leaves_done_what_is_done() {
        let kind: EventKind = serde_json::from_str(r#"{"kind": "retry_asked", "reason": "x"}"#).unwrap();
        assert_eq!(kind, EventKind::RetryAsked { reason: "x".into(), from_start: false });
        assert!(!serde_json::to_string(&kind).unwrap().contains("from_start"));
    }

    #[test]
    fn an_event_line_carries_its_kind_and_step_at_the_top() {
        let event = Event {
            seq: Seq(7),
            at: Timestamp::UNIX_EPOCH,
            job_id: JobId(1),
            host_index: Some(0),
            host: Some(HostRef { ip: [10, 0, 0, 1].into(), bk_cloud_id: 0 }),
            kind: EventKind::StepFinished {
                step: StepKind::UploadPackage,
                attempt: 1,
                outcome: StepOutcome::Done { changed: true },
                figures: Figures { bytes_sent: Some(3), ..Figures::default() },
            },
        };
        let line = serde_json::to_value(&event).unwrap();
        assert_eq!(line["kind"], "step_finished");
        assert_eq!(line["step"], "upload_package");
        assert_eq!(line["host"]["ip"], "10.0.0.1");
        assert_eq!(line["result"], "done");
        let read: EventKind = serde_json::from_value(line).unwrap();
        assert_eq!(read, event.kind);
    }
}
