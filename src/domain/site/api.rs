//! The HTTP door as the site declares it: its certificate, its limits, and what contradicts itself in who may call.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use serde::Deserialize;

use super::Site;

/// Requests per second of an app: customary for a platform that polls a hundred jobs.
const REQUESTS_PER_SECOND: u32 = 100;
/// Requests at once, where the site does not say: so many seconds' worth.
const BURST_S: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);

/// The HTTP door.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiPolicy {
    /// Certificate chain, a PEM file; the door speaks TLS with it.
    pub tls_cert: Option<String>,
    /// Its private key, a PEM file.
    pub tls_key: Option<String>,
    /// A proxy in front of the door speaks TLS, and tells by `X-Forwarded-For` who calls.
    pub behind_tls_proxy: bool,
    /// Where hosts find the door that a person installs: `https://landfall.example:8420`. Without it, as whoever asks for the
    /// command reached it.
    pub url: Option<String>,
    /// Requests per second of one app, or of one source address where no apps are; 0 = no limit.
    pub requests_per_second: Option<u32>,
    /// Requests at once that are within it still.
    pub burst: Option<u32>,
}

impl ApiPolicy {
    /// Requests per second and at once of one caller; `None`: as many as it likes. Without apps only this machine can call:
    /// it is limited when the site says so.
    #[must_use]
    pub fn rate(&self, has_apps: bool) -> Option<(NonZeroU32, NonZeroU32)> {
        let rate = self.requests_per_second.unwrap_or(if has_apps { REQUESTS_PER_SECOND } else { 0 });
        let rate = NonZeroU32::new(rate)?;
        Some((rate, self.burst.and_then(NonZeroU32::new).unwrap_or(rate.saturating_mul(BURST_S))))
    }

    /// Certificate and key, where both are declared.
    #[must_use]
    pub fn tls(&self) -> Option<(&str, &str)> {
        self.tls_cert.as_deref().zip(self.tls_key.as_deref())
    }
}

/// Everything in apps and door that contradicts itself or the rest of the site.
pub(super) fn faults(site: &Site) -> Vec<String> {
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, app) in site.app.iter().enumerate() {
        let code = &app.code;
        if code.is_empty() || code.contains(char::is_control) {
            faults.push(format!("app[{index}]: code must be one line of text"));
        } else if !seen.insert(code) {
            faults.push(format!("app: code {code} stands there twice"));
        }
        let unknown = app.businesses.these().unwrap_or_default().iter().filter(|id| !site.knows_business(**id));
        faults.extend(unknown.map(|id| format!("app {code}: there is no business {id}")));
    }
    let api = &site.api;
    if api.tls_cert.is_some() != api.tls_key.is_some() {
        faults.push("api: tls_cert and tls_key belong together".into());
    }
    if api.behind_tls_proxy && site.app.is_empty() {
        faults.push("api.behind_tls_proxy: needs an [[app]]: whoever reaches the proxy could do everything".into());
    }
    let is_url = |url: &String| {
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte)))
    };
    if api.url.as_ref().is_some_and(|url| !is_url(url)) {
        faults.push("api.url: must be http:// or https:// with a host, and no query".into());
    }
    if api.burst == Some(0) {
        faults.push("api.burst: must be at least 1".into());
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: &str = "[[app]]\ncode = \"a\"\nsecret_hash = \"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4\"\n";

    fn told(text: &str) -> Vec<String> {
        toml::from_str::<Site>(text).unwrap().faults()
    }

    #[test]
    fn what_contradicts_itself_is_told() {
        assert_eq!(told(APP), Vec::<String>::new());
        assert_eq!(told(&format!("{APP}[api]\nbehind_tls_proxy = true\n")), Vec::<String>::new());
        for (text, fault) in [
            (format!("{APP}{APP}"), "app: code a stands there twice"),
            (APP.replace("\"a\"", "\"\""), "app[0]: code must be one line of text"),
            (APP.replace("\"a\"", "\"a\\nb\""), "app[0]: code must be one line of text"),
            (format!("{APP}businesses = [2, 3]\n[[business]]\nid = 2\n"), "app a: there is no business 3"),
            ("[api]\ntls_key = \"k\"\n".into(), "api: tls_cert and tls_key belong together"),
            (
                "[api]\nbehind_tls_proxy = true\n".into(),
                "api.behind_tls_proxy: needs an [[app]]: whoever reaches the proxy could do everything",
            ),
            ("[api]\nurl = \"landfall.example\"\n".into(), "api.url: must be http:// or https:// with a host, and no query"),
            ("[api]\nburst = 0\n".into(), "api.burst: must be at least 1"),
        ] {
            assert_eq!(told(&text), [fault], "{text}");
        }
    }

    #[test]
    fn apps_are_limited_and_this_machine_alone_is_when_the_site_says_so() {
        let rate = |toml: &str, has_apps| {
            let api: ApiPolicy = toml::from_str(toml).unwrap();
            api.rate(has_apps).map(|(rate, burst)| (rate.get(), burst.get()))
        };
        for (toml, with_apps, without) in [
            ("", Some((100, 200)), None),
            ("requests_per_second = 5", Some((5, 10)), Some((5, 10))),
            ("requests_per_second = 5\nburst = 1", Some((5, 1)), Some((5, 1))),
            ("burst = 7", Some((100, 7)), None),
            ("requests_per_second = 0\nburst = 7", None, None),
        ] {
            assert_eq!((rate(toml, true), rate(toml, false)), (with_apps, without), "{toml}");
        }
    }
}
