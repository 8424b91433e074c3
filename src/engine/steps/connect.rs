//! connect: one session for everything that follows.

use std::sync::Arc;

use crate::domain::credential::{Auth, Credential};
use crate::domain::event::Figures;
use crate::domain::failure::{Code, Failure};
use crate::domain::host::HostSpec;
use crate::domain::plan::Step;
use crate::domain::site::Site;
use crate::engine::bucket::Bucket;
use crate::engine::gateways::{Gateways, Leads, blames_gateway};
use crate::engine::host_task::{Halt, HostTask, Went, within};
use crate::engine::limits::Limits;
use crate::transport::{Login, Session, Target, Transport, TransportError};

pub(in crate::engine) async fn carry_out(task: &mut HostTask, step: Step) -> Result<Went, Halt> {
    let credential = task.credential.clone();
    let credential = credential
        .ok_or_else(|| Failure::new(Code::CredentialExpired, "the login of this host was purged at the end of its retention"))?;
    let Reached { session, how, bandwidth } = task.job.ways().log_in(&task.row.spec.host, credential, step).await?;
    task.session = Some(session);
    task.gateway_bandwidth = bandwidth;
    Ok(Went::changed(Figures::detail(how)))
}

/// A session with a host.
pub(in crate::engine) struct Reached {
    /// The session.
    pub(in crate::engine) session: Box<dyn Session>,
    /// How it was had, for people.
    pub(in crate::engine) how: String,
    /// Payload budget of the gateway that it goes through.
    pub(in crate::engine) bandwidth: Option<Arc<Bucket>>,
}

/// The way to hosts, within the limits of this process.
pub(in crate::engine) struct Ways<'a> {
    pub(in crate::engine) transport: &'a dyn Transport,
    pub(in crate::engine) limits: &'a Limits,
    pub(in crate::engine) site: &'a Site,
    pub(in crate::engine) gateways: &'a Gateways,
}

impl Ways<'_> {
    /// Logs in to a host: directly, or through a gateway that leads to it; one that fails is left for another.
    pub(in crate::engine) async fn log_in(&self, host: &HostSpec, credential: Credential, step: Step) -> Result<Reached, Halt> {
        let unaddressed = || Failure::new(Code::Internal, "the host has no address");
        let (address, dial) = host.address().zip(host.login_address()).ok_or_else(unaddressed)?;
        let mut target = Target { address, dial, port: host.port, legacy: self.site.allows_legacy(dial), via: None };
        let method = match &credential.auth {
            Auth::Password(_) => "password",
            Auth::Key { .. } => "key",
        };
        let login = Login { account: host.account.clone(), auth: credential.auth };
        let how = |target: &Target| format!("{} at {} by {method}", login.account, target.endpoint());
        let Some(leads) = Leads::of(host) else {
            let session = self.connect(&target, &login, step).await??;
            return Ok(Reached { session, how: how(&target), bandwidth: None });
        };
        let mut tried = Vec::new();
        while let Some(chosen) = self.gateways.choose(leads, &tried) {
            target.via = Some(chosen.gateway.clone());
            let session = match self.connect(&target, &login, step).await? {
                Ok(session) => session,
                Err(error) => match blames_gateway(&error) {
                    Some(cause) => {
                        self.gateways.failed(&chosen, cause);
                        tried.push(chosen.index());
                        continue;
                    }
                    // Of the gateway it says that it works.
                    None => return Err(error.into()),
                },
            };
            self.gateways.works(&chosen);
            let bandwidth = chosen.bandwidth.clone();
            return Ok(Reached { session: chosen.carry(session), how: how(&target), bandwidth });
        }
        Err(self.gateways.none(leads).into())
    }

    /// One try within the step's deadline. Behind a gateway it is the gateway that must not see too many handshakes at once.
    async fn connect(
        &self,
        target: &Target,
        login: &Login,
        step: Step,
    ) -> Result<Result<Box<dyn Session>, TransportError>, Halt> {
        let before = target.via.as_ref().map_or(target, |gateway| &gateway.target);
        let _permit = self.limits.handshake(before.dial, before.port).await;
        within(step, async { Ok::<_, Halt>(self.transport.connect(target, login).await) }).await
    }
}
