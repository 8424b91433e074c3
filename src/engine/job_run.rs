//! What all hosts of a job share in this process.

use std::sync::Arc;

use super::bucket::Bucket;
use super::cancel::Stop;
use super::clock::Clock;
use super::gateways::Gateways;
use super::journal::Journal;
use super::limits::Limits;
use super::payload::Payloads;
use super::progress::Board;
use super::steps::connect::Ways;
use crate::domain::id::JobId;
use crate::domain::site::Site;
use crate::domain::spec::JobSpec;
use crate::store::Store;
use crate::transport::Transport;

/// What all hosts of a job share.
pub(super) struct JobRun {
    pub(super) job: JobId,
    pub(super) spec: JobSpec,
    pub(super) payloads: Payloads,
    pub(super) bandwidth: Option<Bucket>,
    pub(super) store: Arc<dyn Store>,
    pub(super) journal: Journal,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) limits: Arc<Limits>,
    pub(super) gateways: Arc<Gateways>,
    /// Of these clouds only; none: of all.
    pub(super) clouds: Arc<[i64]>,
    pub(super) board: Board,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) site: Arc<Site>,
    pub(super) stop: Stop,
}

impl JobRun {
    /// The ways to its hosts.
    pub(super) fn ways(&self) -> Ways<'_> {
        Ways {
            transport: &self.transport,
            limits: &self.limits,
            site: &self.site,
            gateways: &self.gateways,
            store: &self.store,
            accepts_new_key: false,
            role: self.spec.kind.role(),
        }
    }
}
