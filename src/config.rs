//! What the machine tells us: environment variables, the site file, places. Every variable name stands here.
//!
//! Never here: defaults of the site's values ([`crate::domain::site`]). To add a variable: a constant below and its line in
//! `--help`.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::domain::credential::Secret;
use crate::domain::site::{Given, Site};

/// Data directory.
pub const DATA_DIR: &str = "LANDFALL_DATA_DIR";
/// Site file.
pub const SITE: &str = "LANDFALL_SITE";
/// Database of the job record.
pub const DATABASE_URL: &str = "LANDFALL_DATABASE_URL";
/// Key file of sealed credentials.
pub const KEY_FILE: &str = "LANDFALL_KEY_FILE";

/// The address of a database. It may hold a password, so nothing shows it as it is.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// As it is, password and all: for the database alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for DatabaseUrl {
    fn from(url: &str) -> Self {
        Self(url.into())
    }
}

impl std::fmt::Display for DatabaseUrl {
    /// Without what may be a password: whatever stands between the first colon and the last `@`, and every option.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some((kind, rest)) = self.0.split_once("://") else {
            return f.write_str(self.0.split(['?', '@']).next().unwrap_or_default());
        };
        let (user, place) = match rest.rsplit_once('@') {
            Some((login, place)) => (login.split([':', '@', '/', '?']).next(), place),
            None => (None, rest),
        };
        write!(f, "{kind}://")?;
        if let Some(user) = user {
            write!(f, "{user}@")?;
        }
        f.write_str(place.split('?').next().unwrap_or_default())
    }
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// Where the job record is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// A file.
    Sqlite(PathBuf),
    /// A server.
    Postgres(DatabaseUrl),
}

/// Where everything of this process is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Job record, packages, key, locks.
    pub data_dir: PathBuf,
    /// The site file, when there is one.
    pub site_file: Option<PathBuf>,
    /// `sqlite:PATH` or `postgres://…`; the data directory's `landfall.db` without it.
    pub database_url: Option<DatabaseUrl>,
    /// Key file of sealed credentials.
    pub key_file: PathBuf,
}

/// What was given by flags; the environment fills in, then the built-in places.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// `--site`.
    pub site: Option<PathBuf>,
    /// `--database-url`.
    pub database_url: Option<DatabaseUrl>,
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that was named is not there or cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The site file is not TOML of the documented form.
    #[error("{} is not a site file", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// The database is of a kind that this release does not know.
    #[error("`{url}` is neither sqlite:PATH nor postgres://USER@HOST/DATABASE")]
    Database {
        /// What was given.
        url: DatabaseUrl,
    },
    /// The site file contradicts itself; every fault.
    #[error("{} is not valid: {}", path.display(), faults.join("; "))]
    Site {
        /// The file.
        path: PathBuf,
        /// Everything wrong with it.
        faults: Vec<String>,
    },
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A variable of the caller's environment that a job file refers to by `{"env": NAME}`.
#[must_use]
pub fn caller_variable(name: &str) -> Option<String> {
    variable(name)
}

/// Where the ssh-agent of whoever started this process listens (`SSH_AUTH_SOCK`).
#[must_use]
pub fn agent_socket() -> Option<PathBuf> {
    variable("SSH_AUTH_SOCK").map(PathBuf::from)
}

/// The account that runs this process, for the audit.
#[must_use]
pub fn caller_name() -> String {
    nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten().map_or_else(|| "unknown".into(), |user| user.name)
}

/// Does the terminal speak Chinese?
#[must_use]
pub fn speaks_chinese() -> bool {
    ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().find_map(variable).is_some_and(|locale| locale.starts_with("zh"))
}

/// A file that holds a secret, at most `cap` bytes long.
///
/// # Errors
/// When it cannot be read, is longer, or is not UTF-8.
pub fn secret_file(path: &Path, cap: u64) -> io::Result<String> {
    let mut text = String::new();
    let read = std::fs::File::open(path)?.take(cap + 1).read_to_string(&mut text)?;
    if read as u64 > cap { Err(io::Error::other(format!("longer than {cap} bytes"))) } else { Ok(text) }
}

/// Largest secret that the site file refers to, in bytes: a key of any kind is far smaller.
pub const SECRET_CAP: u64 = 64 * 1024;

/// A secret of the site file, wherever it is.
///
/// # Errors
/// Why it cannot be had; never its text.
pub fn given(given: &Given) -> Result<Secret, String> {
    match given {
        Given::Text(secret) => Ok(secret.clone()),
        Given::Env(name) => caller_variable(name).map(Secret::from).ok_or_else(|| format!("the environment has no {name}")),
        Given::File(path) => match secret_file(path, SECRET_CAP) {
            Ok(text) => Ok(text.into()),
            Err(error) => Err(format!("{}: {error}", path.display())),
        },
    }
}

/// The files of a certificate, as they are now. The key is wiped when it is dropped.
#[derive(PartialEq, Eq)]
pub struct TlsFiles {
    /// The file of the chain.
    pub cert_file: PathBuf,
    /// The file of the key.
    pub key_file: PathBuf,
    /// The chain, PEM.
    pub chain: Vec<u8>,
    /// The key, PEM.
    pub key: Zeroizing<Vec<u8>>,
}

/// Reads the files of a certificate.
///
/// # Errors
/// When one of them cannot be read.
pub fn tls_files(cert: &Path, key: &Path) -> Result<TlsFiles, ConfigError> {
    let read = |path: &Path| std::fs::read(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source });
    Ok(TlsFiles { chain: read(cert)?, key: Zeroizing::new(read(key)?), cert_file: cert.into(), key_file: key.into() })
}

impl Settings {
    /// Settles where everything is: flags, else the environment, else the built-in places (DESIGN 7).
    #[must_use]
    pub fn settle(flags: Flags) -> Self {
        let root = nix::unistd::geteuid().is_root();
        let home = || PathBuf::from(variable("HOME").unwrap_or_else(|| "/".into()));
        let xdg = |name: &str, below_home: &str| variable(name).map_or_else(|| home().join(below_home), PathBuf::from);
        let data_dir = flags.data_dir.or_else(|| variable(DATA_DIR).map(PathBuf::from)).unwrap_or_else(|| {
            if root { "/var/lib/landfall-server".into() } else { xdg("XDG_DATA_HOME", ".local/share").join("landfall") }
        });
        let site_file = flags.site.or_else(|| variable(SITE).map(PathBuf::from)).or_else(|| {
            let places = [PathBuf::from("/etc/landfall/site.toml"), xdg("XDG_CONFIG_HOME", ".config").join("landfall/site.toml")];
            places.into_iter().find(|place| place.exists())
        });
        Self {
            site_file,
            database_url: flags.database_url.or_else(|| variable(DATABASE_URL).map(DatabaseUrl)),
            key_file: variable(KEY_FILE).map_or_else(|| data_dir.join("key"), PathBuf::from),
            data_dir,
        }
    }

    /// Where the job record is.
    ///
    /// # Errors
    /// When `database_url` is neither `sqlite:PATH` nor `postgres://…`.
    pub fn database(&self) -> Result<Database, ConfigError> {
        let Some(url) = &self.database_url else { return Ok(Database::Sqlite(self.data_dir.join("landfall.db"))) };
        if ["postgres://", "postgresql://"].iter().any(|kind| url.0.starts_with(kind)) {
            return Ok(Database::Postgres(url.clone()));
        }
        let path = url.0.strip_prefix("sqlite:").map(|path| path.strip_prefix("//").unwrap_or(path));
        let file = path.filter(|path| !path.is_empty()).map(|path| Database::Sqlite(path.into()));
        file.ok_or_else(|| ConfigError::Database { url: url.clone() })
    }

    /// Reads and checks the site file; the built-in site without one.
    ///
    /// # Errors
    /// When the file cannot be read or is wrong.
    pub fn site(&self) -> Result<Site, ConfigError> {
        let Some(path) = self.site_file.clone() else { return Ok(Site::default()) };
        let text = std::fs::read_to_string(&path).map_err(|source| ConfigError::Read { path: path.clone(), source })?;
        let mut site: Site =
            toml::from_str(&text).map_err(|source| ConfigError::Syntax { path: path.clone(), source: Box::new(source) })?;
        site.look_in(path.parent().unwrap_or(Path::new("")));
        let faults = site.faults();
        if faults.is_empty() { Ok(site) } else { Err(ConfigError::Site { path, faults }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_form_of_an_address_shows_its_password() {
        for (url, shown) in [
            ("postgres://ops:geheim@db/landfall", "postgres://ops@db/landfall"),
            ("postgres://ops:ge@heim@db:5433/landfall?sslmode=disable", "postgres://ops@db:5433/landfall"),
            ("postgres://ops:ge?geheim/x@db/landfall", "postgres://ops@db/landfall"),
            ("postgres://:geheim@db/landfall", "postgres://@db/landfall"),
            ("postgres:///landfall?host=/run/postgresql&password=geheim", "postgres:///landfall"),
            ("postgres://db/landfall", "postgres://db/landfall"),
            ("mysql:ops?geheim", "mysql:ops"),
            ("sqlite:/var/lib/x.db", "sqlite:/var/lib/x.db"),
        ] {
            let address = DatabaseUrl::from(url);
            assert_eq!((address.to_string().as_str(), format!("{address:?}").as_str()), (shown, shown), "{url}");
            assert_eq!(address.expose(), url);
        }
    }

    #[test]
    fn the_kind_of_a_database_is_told_by_its_address() {
        let settings = |url: &str| Settings {
            data_dir: "/d".into(),
            site_file: None,
            database_url: Some(DatabaseUrl::from(url)),
            key_file: "/k".into(),
        };
        assert!(matches!(settings("sqlite://x.db").database(), Ok(Database::Sqlite(path)) if path.as_os_str() == "x.db"));
        assert!(matches!(settings("postgresql://h/x").database(), Ok(Database::Postgres(_))));
        for wrong in ["sqlite:", "mysql://ops:geheim@h/x", "geheim", "postgres:x"] {
            assert!(matches!(settings(wrong).database(), Err(ConfigError::Database { .. })), "{wrong}");
        }
    }
}
