//! Who may do what: the apps that the site file declares, and the decision whether one of them may see or do something.
//!
//! What an app leaves out it does not get: without `businesses` nothing at all, without `kinds` it may look and start
//! nothing. Where no app is declared at all, everybody who reaches the door may do everything ([`Grant::Everything`]).
//!
//! Never here: finding out who asks (the doors'). To add a right: its key of [`App`], its reason in [`Denied`].

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde::de::{DeserializeOwned, SeqAccess, Visitor, value::SeqAccessDeserializer};
use serde::{Deserialize, Deserializer};

use super::job::JobKind;
use super::secret_hash::SecretHash;
use super::site::Language;

/// An app that may call the API.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// `bk_app_code`.
    pub code: String,
    /// What `bk_app_secret` is held against.
    pub secret_hash: SecretHash,
    /// Whose hosts and jobs it may see and touch.
    #[serde(default)]
    pub businesses: Allowed<i64>,
    /// Jobs it may submit, try again and cancel.
    #[serde(default)]
    pub kinds: Allowed<JobKind>,
    /// Where it may call from; none given = anywhere.
    #[serde(default)]
    pub sources: Vec<IpNet>,
}

/// What of something is allowed: `"*"` or a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed<T> {
    /// All of it.
    All,
    /// These.
    These(Vec<T>),
}

impl<T> Default for Allowed<T> {
    /// What is left out is not allowed.
    fn default() -> Self {
        Self::These(Vec::new())
    }
}

impl<T: PartialEq> Allowed<T> {
    /// Is it among them?
    #[must_use]
    pub fn has(&self, item: &T) -> bool {
        match self {
            Self::All => true,
            Self::These(items) => items.contains(item),
        }
    }

    /// The list, where it is one.
    #[must_use]
    pub fn these(&self) -> Option<&[T]> {
        match self {
            Self::All => None,
            Self::These(items) => Some(items),
        }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Allowed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(std::marker::PhantomData<T>);
        impl<'de, T: DeserializeOwned> Visitor<'de> for Reader<T> {
            type Value = Allowed<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list, or \"*\" for all")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                if text == "*" { Ok(Allowed::All) } else { Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)) }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(items)).map(Allowed::These)
            }
        }
        deserializer.deserialize_any(Reader(std::marker::PhantomData))
    }
}

/// What a caller may do.
#[derive(Clone, Debug)]
pub enum Grant {
    /// Everything: a person at the terminal, or a door without apps.
    Everything,
    /// What the app may.
    App(Arc<App>),
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.message(Language::En))]
pub struct Denied {
    /// Who asked.
    pub app: String,
    /// What it may not.
    pub what: Forbidden,
}

/// What an app may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forbidden {
    /// Hosts and jobs of that business.
    Business(i64),
    /// A job that says nothing of its businesses.
    NoBusiness,
    /// Jobs of that kind.
    Kind(JobKind),
    /// To call from there.
    Source(IpAddr),
}

impl Denied {
    /// For people.
    #[must_use]
    pub fn message(&self, language: Language) -> String {
        let app = &self.app;
        match (language, self.what) {
            (Language::Zh, Forbidden::Business(id)) => format!("应用 {app} 无权操作业务 {id}"),
            (Language::En, Forbidden::Business(id)) => format!("app {app} is not allowed business {id}"),
            (Language::Zh, Forbidden::NoBusiness) => format!("应用 {app} 无权操作不属于任何业务的任务"),
            (Language::En, Forbidden::NoBusiness) => format!("app {app} is not allowed jobs without a business"),
            (Language::Zh, Forbidden::Kind(kind)) => format!("应用 {app} 无权执行 {}", kind.wire_name()),
            (Language::En, Forbidden::Kind(kind)) => format!("app {app} is not allowed {}", kind.wire_name()),
            (Language::Zh, Forbidden::Source(ip)) => format!("应用 {app} 不允许从 {ip} 调用"),
            (Language::En, Forbidden::Source(ip)) => format!("app {app} is not allowed to call from {ip}"),
        }
    }
}

impl Grant {
    /// May it call from there?
    ///
    /// # Errors
    /// [`Denied`].
    pub fn may_call_from(&self, source: IpAddr) -> Result<(), Denied> {
        self.unless(|app| {
            let is_known = app.sources.is_empty() || app.sources.iter().any(|network| network.contains(&source));
            (!is_known).then_some(Forbidden::Source(source))
        })
    }

    /// May it see something of these businesses: all of them?
    ///
    /// # Errors
    /// [`Denied`], with the first one that it may not.
    pub fn may_see(&self, businesses: &[i64]) -> Result<(), Denied> {
        self.unless(|app| match businesses {
            // Nothing to decide by is no yes.
            [] => (app.businesses != Allowed::All).then_some(Forbidden::NoBusiness),
            some => some.iter().find(|id| !app.businesses.has(id)).copied().map(Forbidden::Business),
        })
    }

    /// May it do a job of that kind on hosts of these businesses: all of them?
    ///
    /// # Errors
    /// [`Denied`], with the first thing that it may not.
    pub fn may_do(&self, kind: JobKind, businesses: &[i64]) -> Result<(), Denied> {
        self.unless(|app| (!app.kinds.has(&kind)).then_some(Forbidden::Kind(kind)))?;
        self.may_see(businesses)
    }

    /// The only businesses that it may see; `None`: all.
    #[must_use]
    pub fn businesses(&self) -> Option<&[i64]> {
        match self {
            Self::Everything => None,
            Self::App(app) => app.businesses.these(),
        }
    }

    /// The app that was authenticated, if apps are.
    #[must_use]
    pub fn app(&self) -> Option<&str> {
        match self {
            Self::Everything => None,
            Self::App(app) => Some(&app.code),
        }
    }

    fn unless(&self, forbidden: impl FnOnce(&App) -> Option<Forbidden>) -> Result<(), Denied> {
        match self {
            Self::Everything => Ok(()),
            Self::App(app) => match forbidden(app) {
                None => Ok(()),
                Some(what) => Err(Denied { app: app.code.clone(), what }),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Forbidden::{Business, Kind, NoBusiness, Source};
    use JobKind::{InstallAgent, RemoveAgent};

    const HASH: &str = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

    fn read(keys: &str) -> Result<App, String> {
        toml::from_str(&format!("code = \"a\"\nsecret_hash = '{HASH}'\n{keys}")).map_err(|error| error.to_string())
    }

    fn app(keys: &str) -> Grant {
        Grant::App(Arc::new(read(keys).unwrap()))
    }

    fn no(result: Result<(), Denied>) -> Option<Forbidden> {
        result.err().map(|denied| denied.what)
    }

    #[test]
    fn a_job_is_done_when_its_kind_and_all_its_businesses_are_allowed() {
        for (keys, kind, businesses, forbidden) in [
            ("businesses = \"*\"\nkinds = \"*\"", InstallAgent, &[2, 3][..], None),
            ("businesses = \"*\"\nkinds = \"*\"", InstallAgent, &[], None),
            ("businesses = [2, 3]\nkinds = [\"INSTALL_AGENT\"]", InstallAgent, &[2, 3], None),
            ("businesses = [2]\nkinds = \"*\"", InstallAgent, &[2, 3], Some(Business(3))),
            ("businesses = [2]\nkinds = \"*\"", InstallAgent, &[], Some(NoBusiness)),
            ("businesses = \"*\"\nkinds = [\"INSTALL_AGENT\"]", RemoveAgent, &[2], Some(Kind(RemoveAgent))),
            // What is left out is not allowed.
            ("businesses = \"*\"", InstallAgent, &[2], Some(Kind(InstallAgent))),
            ("kinds = \"*\"", InstallAgent, &[2], Some(Business(2))),
            ("", InstallAgent, &[2], Some(Kind(InstallAgent))),
        ] {
            assert_eq!(no(app(keys).may_do(kind, businesses)), forbidden, "{keys} {kind:?} {businesses:?}");
        }
        assert_eq!(Grant::Everything.may_do(InstallAgent, &[]), Ok(()));
    }

    #[test]
    fn looking_needs_the_businesses_only() {
        let grant = app("businesses = [2]");
        assert_eq!(no(grant.may_see(&[2])), None);
        assert_eq!(no(grant.may_see(&[2, 3])), Some(Business(3)));
        assert_eq!(grant.businesses(), Some(&[2][..]));
        assert_eq!(app("").businesses(), Some(&[][..]));
        assert_eq!(app("businesses = \"*\"").businesses(), None);
        assert_eq!((Grant::Everything.may_see(&[3]), Grant::Everything.businesses()), (Ok(()), None));
    }

    #[test]
    fn an_app_with_sources_calls_from_there_only() {
        let grant = app("sources = [\"10.0.0.0/8\", \"fd00::/8\", \"192.0.2.7/32\"]");
        for (from, forbidden) in
            [("10.1.2.3", false), ("fd00::1", false), ("192.0.2.7", false), ("192.0.2.8", true), ("::1", true)]
        {
            let from: IpAddr = from.parse().unwrap();
            assert_eq!(no(grant.may_call_from(from)), forbidden.then_some(Source(from)), "{from}");
        }
        assert_eq!(no(app("").may_call_from("198.51.100.1".parse().unwrap())), None);
    }

    #[test]
    fn all_or_a_list_and_nothing_else_is_read_and_a_wrong_word_is_told() {
        for (keys, told) in [
            ("businesses = \"2\"", "a list, or \"*\" for all"),
            ("businesses = 2", "a list, or \"*\" for all"),
            ("businesses = [\"two\"]", "invalid type: string \"two\""),
            ("kinds = [\"INSTALL_MOON\"]", "unknown variant `INSTALL_MOON`"),
            ("sources = [\"nowhere\"]", "invalid"),
            ("businesses = [2]\nbusyness = 3", "unknown field `busyness`"),
        ] {
            let fault = read(keys).unwrap_err();
            assert!(fault.contains(told), "{fault}");
        }
    }

    #[test]
    fn a_refusal_is_told_in_both_languages() {
        let denied = app("").may_see(&[3]).unwrap_err();
        assert_eq!(denied.to_string(), "app a is not allowed business 3");
        assert_eq!(denied.message(Language::Zh), "应用 a 无权操作业务 3");
    }
}
