//! connect: one session for everything that follows.

use crate::domain::credential::Auth;
use crate::domain::event::Figures;
use crate::domain::failure::{Code, Failure};
use crate::domain::plan::Step;
use crate::engine::host_task::{Halt, HostTask, Went, within};
use crate::transport::{Login, Target};

pub(in crate::engine) async fn carry_out(task: &mut HostTask, step: Step) -> Result<Went, Halt> {
    let host = &task.row.spec.host;
    let dial = host.login_address().ok_or_else(|| Failure::new(Code::Internal, "the host has no address"))?;
    let credential = task.credential.clone();
    let credential = credential
        .ok_or_else(|| Failure::new(Code::CredentialExpired, "the login of this host was purged at the end of its retention"))?;
    let target = Target { address: task.row.address, dial, port: host.port, legacy: task.job.site.allows_legacy(dial) };
    let method = match &credential.auth {
        Auth::Password(_) => "password",
        Auth::Key { .. } => "key",
    };
    let login = Login { account: host.account.clone(), auth: credential.auth };
    let detail = format!("{} at {} by {method}", login.account, std::net::SocketAddr::new(dial, host.port));
    let permit = task.job.limits.handshake(dial, host.port).await;
    let session = within(step, task.job.transport.connect(&target, &login)).await?;
    drop(permit);
    task.session = Some(session);
    Ok(Went::changed(Figures::detail(detail)))
}
