//! The composition root: the one place that names concrete backends and joins the parts.
//!
//! Never here: a use case (the service's) or a flag (the terminal's).

mod gateways;
mod serve;

use std::sync::Arc;
use std::time::Duration;

use crate::config::{self, Database, Settings};
use crate::domain::site::{Proxy, Site};
use crate::engine::clock::{Clock, SystemClock};
use crate::engine::{Engine, Parts};
use crate::packages::repository::Repository;
use crate::service::Service;
use crate::store::Store;
use crate::store::page::Known;
use crate::store::postgres::PostgresStore;
use crate::store::seal::Seal;
use crate::store::sqlite::SqliteStore;
use crate::transport::ssh::{self, SshSettings, SshTransport};

pub use serve::{ListenError, Listening, Part, certificate, listen};

/// Everything joined.
pub struct App {
    /// The use cases.
    pub service: Service,
    /// The package repository, for `landfall package`.
    pub packages: Arc<Repository>,
    /// The site as checked.
    pub site: Arc<Site>,
}

/// Opens the package repository alone.
///
/// # Errors
/// When its directory cannot be made.
pub fn repository(settings: &Settings) -> anyhow::Result<Repository> {
    Ok(Repository::open(&settings.data_dir.join("packages"))?)
}

/// A pinned key as ssh-keygen names it; `None` when it is no key.
#[must_use]
pub fn fingerprint(openssh: &str) -> Option<String> {
    ssh::fingerprint_of(openssh)
}

/// Opens the job record, wherever it is.
async fn record(settings: &Settings, site: &Site, seal: Seal) -> anyhow::Result<Arc<dyn Store>> {
    Ok(match settings.database()? {
        Database::Sqlite(path) => Arc::new(SqliteStore::open(&path, &settings.data_dir, seal).await?),
        Database::Postgres(url) => {
            let lease = Duration::from_secs(site.limits.lease_s);
            Arc::new(PostgresStore::open(url.expose(), lease, seal).await?)
        }
    })
}

/// The numbers that the site gives its proxies are nobody else's.
async fn reserve_numbers(store: &dyn Store, site: &Site) -> anyhow::Result<()> {
    let declared: Vec<i64> = site.proxy.iter().filter_map(|proxy| proxy.host_id).collect();
    let Some(largest) = declared.iter().max() else { return Ok(()) };
    store.reserve_host_ids(*largest).await?;
    for (host, id) in store.host_ids(Known::Numbered(&declared)).await? {
        if site.proxy_numbered(id).and_then(Proxy::address) != Some(host) {
            tracing::warn!(%host, id, "the number of a declared proxy is a host's already: give the proxy another `host_id`");
        }
    }
    Ok(())
}

impl App {
    /// Opens the record and the repository, joins the engine, and removes the credentials whose time has come.
    ///
    /// # Errors
    /// When the site file is wrong, or a place cannot be opened.
    pub async fn open(settings: &Settings) -> anyhow::Result<Self> {
        Self::open_for(settings, Vec::new()).await
    }

    /// [`App::open`] whose executor works on hosts of these clouds only; none given: of all.
    ///
    /// # Errors
    /// When the site file is wrong, or a place cannot be opened.
    pub async fn open_for(settings: &Settings, clouds: Vec<i64>) -> anyhow::Result<Self> {
        let app = Self::join_for(settings, clouds).await?;
        app.service.purge_credentials().await?;
        Ok(app)
    }

    /// [`App::open`] that removes nothing.
    ///
    /// # Errors
    /// When the site file is wrong, or a place cannot be opened.
    pub async fn join(settings: &Settings) -> anyhow::Result<Self> {
        Self::join_for(settings, Vec::new()).await
    }

    async fn join_for(settings: &Settings, clouds: Vec<i64>) -> anyhow::Result<Self> {
        let site = Arc::new(settings.site()?);
        let seal = Seal::open(&settings.key_file)?;
        let store = record(settings, &site, seal).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        reserve_numbers(&*store, &site).await?;
        let packages = Arc::new(repository(settings)?);
        let engine = Arc::new(Engine::new(Parts {
            store: store.clone(),
            packages: packages.clone(),
            site: site.clone(),
            clock,
            gateways: gateways::of(site.clone()),
            clouds,
            transport: Box::new({
                let settings = SshSettings {
                    host_keys: site.ssh.host_keys,
                    known_hosts: site.ssh.known_hosts.clone().map(Into::into),
                    connect_timeout: Duration::from_secs(site.ssh.connect_timeout_s),
                    handshakes_per_gateway: site.limits.handshakes_per_endpoint,
                    agent: config::agent_socket(),
                    ..SshSettings::default()
                };
                move |keys| Arc::new(SshTransport::new(settings, keys))
            }),
        }));
        Ok(Self { service: Service::new(store, packages.clone(), engine, site.clone()), packages, site })
    }
}
