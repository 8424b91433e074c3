//! connect: one session for everything that follows.

use crate::domain::credential::{Credential, Secret};
use crate::domain::event::{EventKind, Figures};
use crate::domain::failure::{Code, Failure};
use crate::domain::host::HostSpec;
use crate::domain::plan::Step;
use crate::domain::site::Site;
use crate::engine::host_task::{Halt, HostTask, Went, within};
use crate::engine::limits::Limits;
use crate::engine::vault;
use crate::transport::{Login, ReplacedKey, Session, Target, Transport};

pub(in crate::engine) async fn carry_out(task: &mut HostTask, step: Step) -> Result<Went, Halt> {
    let credential = task.access.credential.clone();
    let credential = credential
        .ok_or_else(|| Failure::new(Code::CredentialExpired, "the login of this host was purged at the end of its retention"))?;
    let ways = Ways {
        transport: &*task.job.transport,
        limits: &task.job.limits,
        site: &task.job.site,
        accepts_new_key: task.row.spec.host.accept_new_host_key && !task.record.key_replaced,
    };
    let LoggedIn { session, sudo_password, detail } = ways.log_in(&task.row.spec.host, credential, step).await?;
    if let Some(ReplacedKey { pinned, shown }) = session.replaced_key() {
        task.append(vec![EventKind::HostKeyReplaced { pinned, shown }]).await?;
    }
    task.session = Some(session);
    task.access.sudo_password = sudo_password;
    Ok(Went::changed(Figures::detail(detail)))
}

/// What a host task knows of its login.
#[derive(Default)]
pub(in crate::engine) struct Access {
    /// As it is kept.
    pub(in crate::engine) credential: Option<Credential>,
    /// What sudo is answered with, known since the login.
    pub(in crate::engine) sudo_password: Option<Secret>,
}

/// A host that was logged in to.
pub(in crate::engine) struct LoggedIn {
    pub(in crate::engine) session: Box<dyn Session>,
    /// What sudo is answered with there.
    pub(in crate::engine) sudo_password: Option<Secret>,
    /// How it was had.
    pub(in crate::engine) detail: String,
}

/// The way to hosts, within the limits of this process.
pub(in crate::engine) struct Ways<'a> {
    pub(in crate::engine) transport: &'a dyn Transport,
    pub(in crate::engine) limits: &'a Limits,
    pub(in crate::engine) site: &'a Site,
    /// May another host key take the place of the pinned one?
    pub(in crate::engine) accepts_new_key: bool,
}

impl Ways<'_> {
    /// A session with a host.
    pub(in crate::engine) async fn log_in(&self, host: &HostSpec, credential: Credential, step: Step) -> Result<LoggedIn, Halt> {
        let unaddressed = || Failure::new(Code::Internal, "the host has no address");
        let (address, dial) = host.address().zip(host.login_address()).ok_or_else(unaddressed)?;
        let (legacy, accepts_new_key) = (self.site.allows_legacy(dial), self.accepts_new_key);
        let target = Target { address, dial, port: host.port, legacy, accepts_new_key };
        let method = credential.auth.word();
        // Before the permit: a slow vault holds up nobody's handshake.
        let credential = vault::open(self.site.vault.as_ref(), host, credential).await?;
        let login = Login { account: host.account.clone(), auth: credential.auth };
        let detail = format!("{} at {} by {method}", login.account, std::net::SocketAddr::new(dial, host.port));
        let permit = self.limits.handshake(dial, host.port).await;
        let session = within(step, self.transport.connect(&target, &login)).await?;
        drop(permit);
        Ok(LoggedIn { session, sudo_password: credential.sudo_password, detail })
    }
}
