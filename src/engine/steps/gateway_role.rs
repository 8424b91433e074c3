//! What makes a host a proxy: it carries connections to hosts of its zone. Asked of its own sshd, in the host's session, as the
//! gateway will be asked later.
//!
//! Never here: whether the proxy's process lives (`verify`).

use std::net::IpAddr;
use std::time::Duration;

use tokio::io::AsyncReadExt;

use crate::domain::failure::{Code, Failure};
use crate::domain::package::Role;
use crate::engine::host_task::{Halt, HostTask};
use crate::store::page::{HostFilter, Page};
use crate::transport::ForwardError;

/// Hosts of the zone that are tried, one after the other.
const TRIED: u32 = 8;
/// A host of the zone answers within that, or does not.
const ANSWER: Duration = Duration::from_secs(5);
/// What an SSH server says first (RFC 4253, 4.2).
const BANNER: &[u8] = b"SSH-";

/// Does it forward to a host of its zone? To one that is known; to itself while none is. What was reached, for people.
pub(in crate::engine) async fn proved(task: &mut HostTask) -> Result<String, Halt> {
    let cloud = task.row.address.cloud;
    let filter = HostFilter { clouds: Some(vec![cloud]), roles: Some(vec![Role::Agent]), ..HostFilter::default() };
    let (known, agents) = task.job.store.host_page(&filter, Page { offset: 0, limit: Some(TRIED) }).await?;
    let mut hosts: Vec<(IpAddr, u16)> = agents.iter().map(|row| (row.address.ip, row.spec.port)).collect();
    if hosts.is_empty() {
        hosts.push((task.row.address.ip, task.row.spec.host.port));
    }
    let mut last = String::new();
    for (ip, port) in &hosts {
        match reach(task, *ip, *port).await? {
            Ok(()) => return Ok(format!("it forwards to {ip} port {port}")),
            Err(why) => last = format!("{ip} port {port}: {why}"),
        }
    }
    let message = match known {
        0 => format!("it does not forward to itself in its zone ({last})"),
        _ => format!("it reaches none of {} known host(s) of its zone ({last})", hosts.len()),
    };
    Err(Failure::new(Code::ZoneUnreached, message).into())
}

/// `Ok(Err)`: that host does not answer through it.
async fn reach(task: &mut HostTask, ip: IpAddr, port: u16) -> Result<Result<(), String>, Halt> {
    let asked = tokio::time::timeout(ANSWER, task.session()?.forward(&ip.to_string(), port)).await;
    let mut stream = match asked {
        Ok(Ok(stream)) => stream,
        Ok(Err(ForwardError::NotYet)) => return Ok(Err("nobody listens there, or there is no way".into())),
        Ok(Err(ForwardError::NotAllowed(why))) => {
            return Err(Failure::new(Code::NotForwarding, format!("its sshd does not forward connections: {why}")).into());
        }
        Ok(Err(ForwardError::Transport(error))) => return Err(error.into()),
        Err(_) => return Ok(Err(format!("no answer within {} s", ANSWER.as_secs()))),
    };
    let mut first = [0; BANNER.len()];
    Ok(match tokio::time::timeout(ANSWER, stream.read_exact(&mut first)).await {
        Ok(Ok(_)) if first == *BANNER => Ok(()),
        Ok(Ok(_)) => Err("what answers is no SSH server".into()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("it said nothing within {} s", ANSWER.as_secs())),
    })
}
