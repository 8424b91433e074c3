//! `landfall hostkey list`: the host keys that were pinned on first sight.

use jiff::tz::TimeZone;
use serde::Serialize;

use super::open;
use crate::app;
use crate::cli::args::Output;
use crate::cli::exit::{CliError, ExitStatus};
use crate::cli::report::table::Table;
use crate::cli::{Context, text};
use crate::domain::Timestamp;

/// One pinned key.
#[derive(Serialize)]
struct Line {
    ip: std::net::IpAddr,
    bk_cloud_id: i64,
    port: u16,
    /// As ssh-keygen prints it.
    fingerprint: Option<String>,
    key: String,
    pinned_at: Timestamp,
}

pub(crate) async fn list(context: &mut Context) -> Result<ExitStatus, CliError> {
    let keys = open(context).await?.service.host_keys().await?;
    let lines: Vec<Line> = keys
        .into_iter()
        .map(|pinned| Line {
            ip: pinned.address,
            bk_cloud_id: pinned.cloud,
            port: pinned.port,
            fingerprint: app::fingerprint(&pinned.key),
            key: pinned.key,
            pinned_at: pinned.at,
        })
        .collect();
    match context.output {
        Output::Json => context.out.json(&lines),
        Output::Text if lines.is_empty() => context.out.note("no host key is pinned yet: the first login to a host pins its key"),
        Output::Text => context.out.data(&render(&lines, &TimeZone::system())),
    }
    Ok(ExitStatus::Success)
}

fn render(lines: &[Line], zone: &TimeZone) -> String {
    let mut table = Table::new(&["ADDRESS", ">CLOUD", ">PORT", "ALGORITHM", "FINGERPRINT", "PINNED"]);
    for line in lines {
        let algorithm = line.key.split(' ').next().unwrap_or_default();
        table.row([
            line.ip.to_string(),
            line.bk_cloud_id.to_string(),
            line.port.to_string(),
            algorithm.to_owned(),
            line.fingerprint.clone().unwrap_or_else(|| "unreadable".into()),
            text::moment(line.pinned_at, zone),
        ]);
    }
    table.render("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::report::sample;

    #[test]
    fn a_key_is_shown_by_its_fingerprint() {
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ".to_owned();
        let fingerprint = app::fingerprint(&key);
        assert!(fingerprint.as_deref().is_some_and(|print| print.starts_with("SHA256:")), "{fingerprint:?}");
        let line = Line { ip: [10, 0, 0, 1].into(), bk_cloud_id: 0, port: 22, fingerprint, key, pinned_at: sample::at(0.0) };
        let table = render(&[line], &TimeZone::UTC);
        assert!(table.contains("10.0.0.1") && table.contains("ssh-ed25519") && table.contains("1970-01-01"), "{table}");
    }
}
