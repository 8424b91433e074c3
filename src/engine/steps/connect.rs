//! connect: one session for everything that follows.

use std::net::IpAddr;
use std::sync::Arc;

use crate::domain::credential::{Credential, Secret};
use crate::domain::event::{EventKind, Figures};
use crate::domain::failure::{Code, Failure};
use crate::domain::host::HostSpec;
use crate::domain::package::Role;
use crate::domain::plan::Step;
use crate::domain::site::Site;
use crate::engine::gateways::{Bandwidth, Chosen, Gateways, Leads, blames_gateway};
use crate::engine::host_task::{Halt, HostTask, Went, within};
use crate::engine::limits::Limits;
use crate::engine::renewed::{Again, Renewed};
use crate::engine::vault;
use crate::store::Store;
use crate::transport::{Login, ReplacedKey, Session, Target, Transport, TransportError};

pub(in crate::engine) async fn carry_out(task: &mut HostTask, step: Step) -> Result<Went, Halt> {
    let credential = task.access.credential.clone();
    let credential = credential
        .ok_or_else(|| Failure::new(Code::CredentialExpired, "the login of this host was purged at the end of its retention"))?;
    let accepts_new_key = task.row.spec.host.accept_new_host_key && !task.record.key_replaced;
    let ways = Ways { accepts_new_key, ..task.job.ways() };
    let Reached { session, sudo_password, how, bandwidth } = ways.log_in(&task.row.spec.host, credential, step).await?;
    if let Some(ReplacedKey { pinned, shown }) = session.replaced_key() {
        task.append(vec![EventKind::HostKeyReplaced { pinned, shown }]).await?;
    }
    task.session = Some(session);
    task.access = Access { credential: task.access.credential.take(), sudo_password, gateway_bandwidth: bandwidth };
    Ok(Went::changed(Figures::detail(how)))
}

/// What a host task knows of its login and of the way.
#[derive(Default)]
pub(in crate::engine) struct Access {
    /// As it is kept.
    pub(in crate::engine) credential: Option<Credential>,
    /// What sudo is answered with, known since the login.
    pub(in crate::engine) sudo_password: Option<Secret>,
    /// Payload budgets of the gateways that the session goes through.
    pub(in crate::engine) gateway_bandwidth: Bandwidth,
}

/// A host that was logged in to.
pub(in crate::engine) struct Reached {
    pub(in crate::engine) session: Box<dyn Session>,
    /// What sudo is answered with there.
    pub(in crate::engine) sudo_password: Option<Secret>,
    /// How it was had, for people.
    pub(in crate::engine) how: String,
    /// Payload budgets of the gateways that the session goes through.
    pub(in crate::engine) bandwidth: Bandwidth,
}

/// The way to hosts, within the limits of this process.
pub(in crate::engine) struct Ways<'a> {
    pub(in crate::engine) transport: &'a Arc<dyn Transport>,
    pub(in crate::engine) limits: &'a Arc<Limits>,
    pub(in crate::engine) site: &'a Site,
    pub(in crate::engine) gateways: &'a Gateways,
    pub(in crate::engine) store: &'a Arc<dyn Store>,
    /// May another host key take the place of the pinned one?
    pub(in crate::engine) accepts_new_key: bool,
    /// What the hosts are, or become: proxies are dialled from outside.
    pub(in crate::engine) role: Role,
}

impl Ways<'_> {
    /// Logs in to a host: directly, or through a gateway that leads to it; one that fails is left for another.
    pub(in crate::engine) async fn log_in(&self, host: &HostSpec, credential: Credential, step: Step) -> Result<Reached, Halt> {
        let unaddressed = || Failure::new(Code::Internal, "the host has no address");
        let (address, dial) = host.address().zip(host.dial(self.role)).ok_or_else(unaddressed)?;
        let (legacy, accepts_new_key) = (self.site.allows_legacy(dial), self.accepts_new_key);
        let mut target = Target { address, dial, port: host.port, legacy, accepts_new_key, via: None };
        let method = credential.auth.word();
        // Before the permit: a slow vault holds up nobody's handshake.
        let Credential { auth, sudo_password } = vault::open(self.site.vault.as_ref(), host, credential).await?;
        let login = Login { account: host.account.clone(), auth };
        let (session, bandwidth) = match Leads::of(host, self.role) {
            None => (self.directly(&host.dials(self.role), (&mut target, &login), step).await?, Bandwidth::default()),
            Some(leads) => {
                let (session, chosen) = self.through(leads, (&mut target, &login)).await?;
                let bandwidth = chosen.bandwidth.clone();
                (chosen.carry(session), bandwidth)
            }
        };
        let how = format!("{} at {} by {method}", login.account, target.endpoint());
        let again = Again { transport: self.transport.clone(), limits: self.limits.clone(), target, login };
        let session = Box::new(Renewed::new(session, again));
        Ok(Reached { session, sudo_password, how, bandwidth })
    }

    /// At the first of its addresses where anybody answers.
    async fn directly(
        &self,
        dials: &[IpAddr],
        (target, login): (&mut Target, &Login),
        step: Step,
    ) -> Result<Box<dyn Session>, Halt> {
        let mut dials = dials.iter().peekable();
        while let Some(dial) = dials.next() {
            (target.dial, target.legacy) = (*dial, self.site.allows_legacy(*dial));
            let _permit = self.limits.handshake(target.dial, target.port).await;
            let connecting = async { Ok::<_, Halt>(self.transport.connect(target, login).await) };
            match within(step, connecting).await? {
                Err(error) if error.is_nobody_there() && dials.peek().is_some() => {
                    tracing::info!(host = %target.address, %error, "another of its addresses is dialled");
                }
                connected => return Ok(connected?),
            }
        }
        Err(Failure::new(Code::Internal, "the host has no address").into())
    }

    /// Through the gateways that lead there, one after the other until one is no obstacle.
    async fn through(&self, leads: Leads, (target, login): (&mut Target, &Login)) -> Result<(Box<dyn Session>, Chosen), Halt> {
        self.gateways.look(self.store, self.site).await?;
        let mut tried = Vec::new();
        while let Some(mut chosen) = self.gateways.choose(leads, &tried) {
            self.limits.start().await;
            if !self.gateways.is_well(&chosen) {
                continue;
            }
            target.via = Some(chosen.gateway.clone());
            // Its deadlines are the transport's: how long it waits for its turn at the gateway does not count.
            let done = self.transport.connect(target, login).await;
            match done.as_ref().err().map(|error| (error, blames_gateway(error))) {
                // Whoever dials a host that does not answer may hang as well as the host.
                Some((TransportError::TimedOut { .. }, None)) => {}
                Some((_, Some(cause))) => {
                    self.gateways.failed(&chosen, cause);
                    tried.push(chosen.known());
                    continue;
                }
                _ => self.gateways.works(&mut chosen),
            }
            return Ok((done?, chosen));
        }
        Err(self.gateways.none(leads).into())
    }
}
