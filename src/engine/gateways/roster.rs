//! Which proxies there are beside those of the site file: what jobs installed and replaced, as the record has it.
//!
//! Every executor looks at the record anew when it takes a host into a zone and its last look is older than [`LIFE`]. What
//! has not changed since costs one query.
//!
//! Never here: which of them a host goes through (`gateways`).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Gateways, KnownGateway};
use crate::domain::credential::Credential;
use crate::domain::host::{Address, HostSpec};
use crate::domain::id::TaskId;
use crate::domain::site::Site;
use crate::engine::vault;
use crate::store::{Proxies, Store, StoreError};
use crate::transport::Login;

/// So old may be what an executor knows of the proxies. Whoever takes a proxy out of service waits that long before nobody
/// can choose it any more.
pub const LIFE: Duration = Duration::from_secs(1);

/// The proxies of the record.
#[derive(Clone, Debug, Default)]
pub struct Roster {
    /// Those that jobs installed.
    pub installed: Vec<Installed>,
    /// Those that carry nobody any more.
    pub retired: Vec<Address>,
}

/// A proxy that a job installed.
#[derive(Clone, Debug)]
pub struct Installed {
    /// How it was described.
    pub spec: HostSpec,
    /// Whose login it is.
    pub version: Option<TaskId>,
    /// Who to be there, or why that is not known.
    pub login: Result<Login, String>,
}

/// Makes the gateways: those of the site file, and those of the record.
pub type MakeGateways = Box<dyn Fn(&Roster) -> Vec<KnownGateway> + Send + Sync>;

/// The last look at the record.
#[derive(Default)]
pub(super) struct Seen {
    at: Option<Instant>,
    proxies: Proxies,
}

impl Gateways {
    /// Looks at the record, unless that was just done.
    pub(in crate::engine) async fn look(&self, store: &Arc<dyn Store>, site: &Site) -> Result<(), StoreError> {
        // Many hosts begin at once: one looks, the others wait for it.
        let mut seen = self.seen.lock().await;
        if seen.at.is_some_and(|at| at.elapsed() < LIFE) {
            return Ok(());
        }
        let began = Instant::now();
        let proxies = store.proxies().await?;
        if proxies != seen.proxies {
            self.are(&roster(&proxies, store, site).await?);
            seen.proxies = proxies;
        }
        seen.at = Some(began);
        Ok(())
    }
}

async fn roster(proxies: &Proxies, store: &Arc<dyn Store>, site: &Site) -> Result<Roster, StoreError> {
    let places: Vec<Address> = proxies.known.iter().map(|row| row.address).collect();
    let mut kept = store.kept_logins(&places).await?;
    let mut installed = Vec::with_capacity(places.len());
    for row in &proxies.known {
        let place = kept.iter().position(|(address, ..)| *address == row.address);
        let login = match place.map(|place| kept.swap_remove(place)) {
            Some((_, spec, credential)) => login(&spec, credential, site).await,
            None => Err("no login of it is kept".into()),
        };
        let login = login.map_err(|why| format!("proxy {}: {why}", row.address));
        let version = proxies.logins.iter().find(|(address, _)| *address == row.address).map(|(_, task)| *task);
        installed.push(Installed { spec: row.spec.clone(), version, login });
    }
    Ok(Roster { installed, retired: proxies.retired.clone() })
}

async fn login(spec: &HostSpec, credential: Credential, site: &Site) -> Result<Login, String> {
    let credential = vault::open(site.vault.as_ref(), spec, credential).await.map_err(|failure| failure.to_string())?;
    Ok(Login { account: spec.account.clone(), auth: credential.auth })
}
