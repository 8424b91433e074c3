//! `landfall hostkey forget`: a host that was reinstalled shows a new key, and somebody says that this is right.

use std::net::IpAddr;

use serde_json::json;

use super::open;
use crate::cli::args::Output;
use crate::cli::exit::{CliError, ExitStatus};
use crate::cli::{Context, text};
use crate::domain::host::Address;

pub(crate) async fn forget(ip: IpAddr, cloud: i64, port: Option<u16>, context: &mut Context) -> Result<ExitStatus, CliError> {
    let host = Address { cloud, ip };
    let forgotten = open(context).await?.service.forget_host_keys(host, port).await?;
    match context.output {
        Output::Json => context.out.json(&json!({"ip": ip, "bk_cloud_id": cloud, "port": port, "forgotten": forgotten})),
        Output::Text => context
            .out
            .line(format!("{host}: {} forgotten", text::count(usize::try_from(forgotten).unwrap_or(usize::MAX), "pinned key"))),
    }
    if forgotten == 0 {
        return Err(CliError::Usage(format!("no host key of {host} is pinned")));
    }
    Ok(ExitStatus::Success)
}
