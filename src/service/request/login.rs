//! How to log in to a host: what an entry says of it, its secrets, and what that makes with a login that is kept already.
//!
//! A secret is text, an envelope ([`crate::service::envelope`]), or in a file of the terminal `{"env": NAME}` or
//! `{"file": PATH}`.

use std::path::Path;

use secrecy::ExposeSecret;
use serde_json::Value;

use super::SecretSources;
use super::fields::Fields;
use crate::domain::credential::{Auth, Credential, Secret};
use crate::domain::host::{AuthType, HostSpec};
use crate::domain::job::JobKind;
use crate::domain::site::Site;
use crate::service::envelope::{self, Found};
use crate::service::request::Envelopes;

/// The keys of a host that are secrets.
pub const SECRETS: [&str; 6] = ["password", "second_password", "key", "certificate", "passphrase", "sudo_password"];

/// The words of `auth_type`, for a fault.
pub(super) const AUTH_TYPES: &str = "PASSWORD, KEY, AGENT, TJJ_PASSWORD";

/// The secrets that are typed on the host.
const TYPED: [&str; 3] = ["password", "second_password", "sudo_password"];

/// Largest file a secret is read from: a private key with comments stays far below.
const SECRET_FILE_CAP: u64 = 64 * 1024;

/// The port of sshd, where one is named.
pub(super) fn port(fields: &mut Fields<'_>) -> Option<u16> {
    let number = fields.integer("port")?;
    let port = u16::try_from(number).ok().filter(|port| *port > 0);
    if port.is_none() {
        fields.fault("port", format!("{number} must be between 1 and 65535"));
    }
    port
}

/// The secrets of an entry.
struct Secrets {
    password: Option<Secret>,
    second_password: Option<Secret>,
    key: Option<Secret>,
    certificate: Option<Secret>,
    passphrase: Option<Secret>,
    sudo_password: Option<Secret>,
}

impl Secrets {
    fn read(fields: &mut Fields<'_>, sources: &SecretSources) -> Self {
        let mut read = |key: &str| secret(fields, key, sources);
        Self {
            password: read("password"),
            second_password: read("second_password"),
            key: read("key"),
            certificate: read("certificate"),
            passphrase: read("passphrase"),
            sudo_password: read("sudo_password"),
        }
    }
}

/// The login that a submission brings. `None` with a fault when one is needed and not there; `None` without a fault when a
/// kept one may stand in.
pub(super) fn credential(
    fields: &mut Fields<'_>,
    auth_type: AuthType,
    (kind, site): (JobKind, &Site),
    sources: &SecretSources,
) -> Option<Credential> {
    let mut given = Secrets::read(fields, sources);
    if auth_type == AuthType::Password {
        given.password = given.password.or_else(|| sources.asked.clone());
    }
    let missing = |fields: &mut Fields<'_>, name: &str| {
        if kind.needs_login() && fields.value(name).is_none() {
            fields.fault(name, format!("is required when auth_type is {}", if name == "key" { "KEY" } else { "PASSWORD" }));
        }
    };
    match auth_type {
        AuthType::Password => {
            let credential = by_password(given, None);
            if credential.is_none() {
                missing(fields, "password");
            }
            credential
        }
        AuthType::Key => {
            let credential = by_key(given, None);
            if credential.is_none() {
                missing(fields, "key");
            }
            credential
        }
        AuthType::Vault => {
            needs_vault(fields, site);
            Some(by_vault(given, None))
        }
        AuthType::Agent => {
            needs_agent(fields, sources);
            Some(by_agent(given, None))
        }
    }
}

/// By password: the one that is given, else the one that is kept. sudo's is `password`, unless there is one of its own.
fn by_password(given: Secrets, kept: Option<&Credential>) -> Option<Credential> {
    let kept_password = kept.and_then(|kept| match kept.auth.parts().0 {
        Auth::Password(password) => Some(password),
        _ => None,
    });
    // Beside a key it was another kind of proof.
    let kept_second = kept.filter(|_| kept_password.is_some()).and_then(|kept| kept.auth.parts().1);
    let second = given.second_password.or_else(|| kept_second.cloned());
    let password = given.password.or_else(|| kept_password.cloned())?;
    let of_its_own = kept.and_then(|kept| kept.sudo_password.as_ref()).filter(|sudo| {
        // What was the same before follows the new one.
        kept_password.is_none_or(|password| password.expose_secret() != sudo.expose_secret())
    });
    let sudo_password = given.sudo_password.or_else(|| of_its_own.cloned()).or_else(|| Some(password.clone()));
    Some(Credential { auth: Auth::Password(password).and(second), sudo_password })
}

/// By a password that nobody knows yet: it serves sudo, too, where no other is given.
fn by_vault(given: Secrets, kept: Option<&Credential>) -> Credential {
    let kept = kept.filter(|kept| matches!(kept.auth.parts().0, Auth::Vault));
    let second = given.second_password.or_else(|| kept.and_then(|kept| kept.auth.parts().1.cloned()));
    let sudo_password = given.sudo_password.or_else(|| kept.and_then(|kept| kept.sudo_password.clone()));
    Credential { auth: Auth::Vault.and(second), sudo_password }
}

/// By a key of ssh-agent, which `key` names. What serves sudo is given with it: there is no password that could.
fn by_agent(given: Secrets, kept: Option<&Credential>) -> Credential {
    let (kept_name, kept_second) = match kept.map(|kept| kept.auth.parts()) {
        Some((Auth::Agent(name), second)) => (Some(name), second),
        _ => (None, None),
    };
    let name = given.key.map(|name| name.expose_secret().trim().to_owned()).or_else(|| kept_name.cloned());
    let second = given.second_password.or_else(|| kept_second.cloned());
    let kept_sudo = kept.and_then(|kept| kept.sudo_password.clone());
    let sudo_password = given.sudo_password.or(given.password).or(kept_sudo);
    Credential { auth: Auth::Agent(name.unwrap_or_default()).and(second), sudo_password }
}

/// The agent is that of the person at the terminal; nobody else may sign with it.
fn needs_agent(fields: &mut Fields<'_>, sources: &SecretSources) {
    if !sources.references {
        fields.fault("auth_type", "AGENT is for job files: it means the ssh-agent of whoever runs `landfall run`");
    }
}

fn needs_vault(fields: &mut Fields<'_>, site: &Site) {
    if site.vault.is_none() {
        fields.fault("auth_type", "TJJ_PASSWORD needs [vault] in the site file");
    }
}

/// By key. `password` serves as passphrase and for sudo where those are not given.
fn by_key(given: Secrets, kept: Option<&Credential>) -> Option<Credential> {
    let (kept_pem, kept_passphrase, kept_second) = match kept.map(|kept| kept.auth.parts()) {
        Some((Auth::Key { pem, passphrase }, second)) => (Some(pem), passphrase.as_ref(), second),
        _ => (None, None, None),
    };
    let second = given.second_password.or_else(|| kept_second.cloned());
    let passphrase = given.passphrase.or_else(|| given.password.clone());
    let (pem, passphrase) = match given.key {
        Some(pem) => (pem, passphrase),
        None => (kept_pem?.clone(), passphrase.or_else(|| kept_passphrase.cloned())),
    };
    // It stands behind its key wherever that goes.
    let pem = given
        .certificate
        .map_or(pem.clone(), |certificate| Secret::from(format!("{}\n{}\n", pem.expose_secret(), certificate.expose_secret())));
    let kept_sudo = kept.and_then(|kept| kept.sudo_password.clone());
    let sudo_password = given.sudo_password.or(given.password).or(kept_sudo);
    Some(Credential { auth: Auth::Key { pem, passphrase }.and(second), sudo_password })
}

/// What an entry says of how to log in to a host of a recorded job.
pub(crate) struct GivenLogin {
    account: Option<String>,
    port: Option<u16>,
    auth_type: Option<AuthType>,
    secrets: Secrets,
}

impl GivenLogin {
    /// Reads an entry; its faults are noted.
    pub(crate) fn read(fields: &mut Fields<'_>, site: &Site, sources: &SecretSources) -> Self {
        let auth_type: Option<AuthType> = fields.word("auth_type", AUTH_TYPES);
        match auth_type {
            Some(AuthType::Vault) => needs_vault(fields, site),
            Some(AuthType::Agent) => needs_agent(fields, sources),
            Some(AuthType::Password | AuthType::Key) | None => {}
        }
        let given =
            Self { account: fields.text("account"), port: port(fields), auth_type, secrets: Secrets::read(fields, sources) };
        if !["account", "port", "auth_type"].iter().chain(&SECRETS).any(|key| fields.value(key).is_some()) {
            fields.fault("", format!("brings no login: {}, account, port or auth_type", SECRETS.join(", ")));
        }
        given
    }

    fn brings_secrets(&self) -> bool {
        let Secrets { password, second_password, key, certificate, passphrase, sudo_password } = &self.secrets;
        [password, second_password, key, certificate, passphrase, sudo_password].into_iter().any(Option::is_some)
    }

    /// The kind of login that is meant for a host: a key that comes alone says so by itself, and so does a password where
    /// none was.
    fn kind(&self, host: &HostSpec) -> AuthType {
        let by_secret = match (&self.secrets.key, &self.secrets.password) {
            // With an agent it is the name of one.
            (Some(_), None) if host.auth_type != AuthType::Agent => Some(AuthType::Key),
            (None, Some(_)) if host.auth_type == AuthType::Vault => Some(AuthType::Password),
            _ => None,
        };
        self.auth_type.or(by_secret).unwrap_or(host.auth_type)
    }

    /// Has what is kept of the host's login to be known to make the new one?
    pub(crate) fn builds_on_kept(&self, host: &HostSpec) -> bool {
        self.brings_secrets() || self.kind(host) != host.auth_type
    }

    /// The host with this login, and its credential where that is another one. What is kept fills in what is not said.
    pub(crate) fn over(
        self,
        mut host: HostSpec,
        kept: Option<&Credential>,
        fields: &mut Fields<'_>,
    ) -> (HostSpec, Option<Credential>) {
        let (kind, changes) = (self.kind(&host), self.builds_on_kept(&host));
        host.account = self.account.unwrap_or(host.account);
        host.port = self.port.unwrap_or(host.port);
        host.auth_type = kind;
        if !changes {
            return (host, None);
        }
        let (name, credential) = match kind {
            AuthType::Password => ("password", by_password(self.secrets, kept)),
            AuthType::Key => ("key", by_key(self.secrets, kept)),
            AuthType::Vault => ("auth_type", Some(by_vault(self.secrets, kept))),
            AuthType::Agent => ("auth_type", Some(by_agent(self.secrets, kept))),
        };
        if credential.is_none() && fields.value(name).is_none() {
            fields.fault(name, "is required: none is kept of this host");
        }
        (host, credential)
    }
}

/// One secret.
fn secret(fields: &mut Fields<'_>, key: &str, sources: &SecretSources) -> Option<Secret> {
    let read = match fields.value(key)? {
        Value::String(text) if envelope::is_one(text) => match &sources.envelopes {
            Envelopes::Unread => Ok(Secret::from(text.clone())),
            Envelopes::Closed => Err(envelope::REFUSAL.into()),
            Envelopes::Opened(opened) => match opened.find(text) {
                Found::Secret(secret) => Ok(secret.clone()),
                Found::Refused => Err(envelope::REFUSAL.into()),
                Found::Untold => return None,
            },
        },
        Value::String(_) if sources.exposed => {
            Err("may not be sent in clear: call over TLS, or seal it with the key of fetch_public_keys".into())
        }
        Value::String(text) => Ok(Secret::from(text.clone())),
        Value::Object(reference) if reference.len() == 1 && sources.references => {
            match (reference.get("env"), reference.get("file")) {
                (Some(Value::String(name)), None) => from_env(name),
                (None, Some(Value::String(path))) => from_file(&sources.base.join(path)),
                _ => Err("must be text, {\"env\": NAME} or {\"file\": PATH}".into()),
            }
            .and_then(clear)
        }
        Value::Object(_) if !sources.references => Err("must be text: references are for job files only".into()),
        _ => Err("must be text, {\"env\": NAME} or {\"file\": PATH}".into()),
    };
    let checked = read.and_then(|secret| match secret.expose_secret() {
        "" => Err("is empty".into()),
        text if text.contains('\0') => Err("must not contain a NUL byte".into()),
        // A line that is typed, at sudo's prompt or at sshd's: what follows a newline would be typed somewhere else.
        text if TYPED.contains(&key) && text.contains(|c: char| c.is_control() && c != '\t') => {
            Err("must be one line without control characters".into())
        }
        _ => Ok(secret),
    });
    checked.map_err(|message| fields.fault(key, message)).ok()
}

/// What a reference leads to is taken as it is.
fn clear(secret: Secret) -> Result<Secret, String> {
    if envelope::is_one(secret.expose_secret()) {
        return Err("leads to an envelope: put the envelope itself here".into());
    }
    Ok(secret)
}

fn from_env(name: &str) -> Result<Secret, String> {
    crate::config::caller_variable(name).map(Secret::from).ok_or_else(|| format!("the environment has no variable {name}"))
}

/// A file's text without the newline an editor puts at its end.
fn from_file(path: &Path) -> Result<Secret, String> {
    crate::config::secret_file(path, SECRET_FILE_CAP)
        .map(|text| {
            Secret::from(text.strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text)).unwrap_or(&text).to_owned())
        })
        .map_err(|error| format!("cannot read {}: {error}", path.display()))
}
