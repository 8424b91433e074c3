//! `landfall site check`: every fault of the site file, or what applies.

use serde::Serialize;

use crate::app;
use crate::cli::args::Output;
use crate::cli::exit::{CliError, ExitStatus};
use crate::cli::{Context, chain, text};
use crate::config::{self, ConfigError, Settings};
use crate::domain::caller::{Allowed, App};
use crate::domain::site::{HostKeyPolicy, HostPaths, Language, Site};

/// The answer for programs.
#[derive(Serialize)]
struct Answer<'a> {
    ok: bool,
    site_file: Option<String>,
    data_dir: String,
    database_url: String,
    key_file: String,
    faults: &'a [String],
    /// Declared, but not carried out by this release.
    unused: Vec<&'static str>,
}

pub(crate) fn check(context: &mut Context) -> Result<ExitStatus, CliError> {
    let (site, faults) = match context.settings.site() {
        Ok(site) => match app::certificate(&site) {
            Ok(_) => (Some(site), Vec::new()),
            Err(error) => (None, vec![chain(&error)]),
        },
        Err(ConfigError::Site { faults, .. }) => (None, faults),
        Err(error @ (ConfigError::Read { .. } | ConfigError::Syntax { .. } | ConfigError::Database { .. })) => {
            (None, vec![chain(&error)])
        }
    };
    if context.output == Output::Json {
        context.out.json(&answer(site.as_ref(), &faults, &context.settings));
    }
    let Some(site) = site else {
        let file = context.settings.site_file.as_ref().map_or_else(String::new, |file| file.display().to_string());
        context.out.error(format!("{file} is not valid: {}", text::count(faults.len(), "fault")));
        faults.iter().for_each(|fault| context.out.told(fault));
        return Ok(ExitStatus::Usage);
    };
    if context.output == Output::Text {
        let text = render(&site, &context.settings);
        context.out.data(&text);
    }
    for warning in powerless(&site) {
        context.out.warning(warning);
    }
    for (place, why) in unreadable(&site) {
        context.out.warning(format!("{place} cannot be had here: {why}"));
    }
    for name in unused(&site) {
        context.out.warning(format!("`{name}` is declared, but this release does not carry it out"));
    }
    Ok(ExitStatus::Success)
}

fn answer<'a>(site: Option<&Site>, faults: &'a [String], settings: &Settings) -> Answer<'a> {
    Answer {
        ok: site.is_some(),
        site_file: settings.site_file.as_ref().map(|file| file.display().to_string()),
        data_dir: settings.data_dir.display().to_string(),
        database_url: database(settings),
        key_file: settings.key_file.display().to_string(),
        faults,
        unused: site.map(unused).unwrap_or_default(),
    }
}

fn database(settings: &Settings) -> String {
    let file = || format!("sqlite:{}", settings.data_dir.join("landfall.db").display());
    settings.database_url.as_ref().map_or_else(file, ToString::to_string)
}

/// Apps that can do less than whoever declared them may believe.
fn powerless(site: &Site) -> Vec<String> {
    let of_app = |app: &App| match (app.businesses.these(), app.kinds.these()) {
        (Some([]), _) => Some(format!("app {} names no `businesses`: it may do nothing", app.code)),
        (_, Some([])) => Some(format!("app {} names no `kinds`: it may look at jobs and start none", app.code)),
        _ => None,
    };
    site.app.iter().filter_map(of_app).collect()
}

/// Tables that a later release carries out: whoever relies on one must know.
fn unused(site: &Site) -> Vec<&'static str> {
    let tables = [("agent_defaults", site.agent_defaults.is_some())];
    tables.into_iter().filter(|(_, is_declared)| *is_declared).map(|(name, _)| name).collect()
}

/// Secrets of gateways that this process cannot get at, with the reason. No fault of the file: another machine may have them.
fn unreadable(site: &Site) -> Vec<(String, String)> {
    let of_proxies = site
        .proxy
        .iter()
        .enumerate()
        .flat_map(|(index, proxy)| proxy.secrets().map(move |(key, given)| (format!("proxy[{index}].{key}"), given)));
    let jumps = site.install_channel.iter().flat_map(|channel| channel.jump.iter().map(move |jump| (channel.id, jump)));
    let of_jumps = jumps.flat_map(|(id, jump)| {
        jump.secrets().map(move |(key, given)| (format!("install_channel {id}: {}: {key}", jump.ip), given))
    });
    of_proxies.chain(of_jumps).filter_map(|(key, given)| Some((key, config::given(given).err()?))).collect()
}

/// What applies, one line each.
fn render(site: &Site, settings: &Settings) -> String {
    let limits = &site.limits;
    let or_none = |figure: u32, unit: &str| if figure == 0 { "none".into() } else { format!("{figure} {unit}") };
    let site_file =
        settings.site_file.as_ref().map_or_else(|| "none: built-in values apply".into(), |file| file.display().to_string());
    let mut lines = vec![
        ("site file", site_file),
        ("data directory", settings.data_dir.display().to_string()),
        ("job record", database(settings)),
        ("key file", settings.key_file.display().to_string()),
        ("language", language(site.language).into()),
        ("hosts at once", limits.concurrency.to_string()),
        ("uploads at once", limits.uploads.to_string()),
        ("connects", or_none(limits.connects_per_second, "per second")),
        ("handshakes", format!("{} at once per endpoint", limits.handshakes_per_endpoint)),
        ("upload budget", or_none(limits.upload_mb_per_s, "MB/s")),
        ("script timeout", format!("{} s", limits.script_timeout_s)),
        ("host keys", host_keys(site.ssh.host_keys).into()),
        ("connect timeout", format!("{} s", site.ssh.connect_timeout_s)),
    ];
    if !site.ssh.legacy_algorithms.is_empty() {
        lines.push(("old algorithms", site.ssh.legacy_algorithms.join(", ")));
    }
    let businesses: Vec<String> = site.business.iter().map(|business| format!("{} {}", business.id, business.name)).collect();
    lines.push(("businesses", if businesses.is_empty() { "every one".into() } else { businesses.join(", ") }));
    lines.extend(site.cloud.iter().map(|cloud| ("cloud", format!("{} {}", cloud.id, cloud.name))));
    lines.extend(site.access_points().iter().map(|point| {
        let paths = HostPaths::linux(&point.linux);
        ("access point", format!("{} {}: agents in {}", point.id, point.name, paths.setup_path))
    }));
    lines.extend(site.proxy.iter().filter_map(|proxy| {
        let number = proxy.host_id.map_or_else(String::new, |id| format!(", number {id}"));
        Some(("proxy", format!("{}: {} at port {}{number}", proxy.address()?, proxy.account, proxy.port)))
    }));
    lines.extend(site.install_channel.iter().map(|channel| {
        let jumps: Vec<String> =
            channel.jump.iter().map(|jump| format!("{} at {} port {}", jump.account, jump.ip, jump.port)).collect();
        let behind = if channel.behind_proxy { ", behind the proxies" } else { "" };
        ("install channel", format!("{} {} (cloud {}): {}{behind}", channel.id, channel.name, channel.cloud, jumps.join(", ")))
    }));
    lines.extend(site.privilege.iter().map(|rule| ("privilege", format!("{} by {}", rule.hosts.join(", "), rule.method.word()))));
    lines.extend(site.vault.iter().map(|vault| {
        // The arguments and the address may hold what is nobody's business.
        ("vault", vault.command.first().map_or_else(|| "an HTTP service".to_owned(), |program| format!("asks {program}")))
    }));
    lines.extend(site.default_package.iter().map(|(role, name)| ("default package", format!("{role}: {name}"))));
    lines.extend(door(site));
    lines.iter().map(|(name, value)| format!("{name:<16} {}\n", text::one_line(value).trim_end())).collect()
}

/// Who may call, and how.
fn door(site: &Site) -> Vec<(&'static str, String)> {
    let api = &site.api;
    let tls = match (api.tls(), api.behind_tls_proxy) {
        (Some((cert, _)), _) => format!("certificate {cert}"),
        (None, true) => "a proxy in front speaks it".into(),
        (None, false) => "none: loopback only".into(),
    };
    let rate = match api.rate(!site.app.is_empty()) {
        Some((rate, burst)) => format!("{rate} per second of one caller, {burst} at once"),
        None => "no limit".into(),
    };
    let mut lines = vec![("requests", rate), ("TLS", tls)];
    lines.extend(site.app.iter().map(|app| {
        let businesses = list(&app.businesses, ToString::to_string);
        let kinds = list(&app.kinds, |kind| kind.wire_name().into());
        let sources: Vec<String> = app.sources.iter().map(ToString::to_string).collect();
        let sources = if sources.is_empty() { "anywhere".into() } else { sources.join(", ") };
        ("app", format!("{}: businesses {businesses}; kinds {kinds}; from {sources}", app.code))
    }));
    if site.app.is_empty() {
        lines.push(("app", "none: whoever is on this machine may do everything".into()));
    }
    lines
}

fn list<T: PartialEq>(allowed: &Allowed<T>, name: impl Fn(&T) -> String) -> String {
    match allowed.these() {
        None => "every one".into(),
        Some([]) => "none".into(),
        Some(items) => items.iter().map(name).collect::<Vec<_>>().join(", "),
    }
}

fn language(language: Language) -> &'static str {
    match language {
        Language::Zh => "zh",
        Language::En => "en",
    }
}

fn host_keys(policy: HostKeyPolicy) -> &'static str {
    match policy {
        HostKeyPolicy::AcceptNew => "accept-new",
        HostKeyPolicy::Strict => "strict",
        HostKeyPolicy::KnownHosts => "known_hosts",
        HostKeyPolicy::Off => "off: NOT CHECKED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_applies_without_a_site_file_is_shown() {
        let settings = Settings { data_dir: "/d".into(), site_file: None, database_url: None, key_file: "/d/key".into() };
        let text = render(&Site::default(), &settings);
        for line in [
            "site file        none: built-in values apply",
            "job record       sqlite:/d/landfall.db",
            "hosts at once    200",
            "connects         50 per second",
            "upload budget    none",
            "host keys        accept-new",
            "businesses       every one",
            "access point     1 default: agents in /usr/local/gse",
            "requests         no limit",
            "TLS              none: loopback only",
            "app              none: whoever is on this machine may do everything",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
        }
    }

    #[test]
    fn a_proxy_is_shown_and_a_secret_of_it_that_is_not_there_is_named() {
        let text = "[[proxy]]\ncloud = 2\nhost_id = 100\ninner_ip = \"192.0.2.10\"\n\
            password = { env = \"LANDFALL_TEST_NO_SUCH_VARIABLE\" }\nkey = { file = \"/no/such/key\" }\npassphrase = \"geheim\"\n";
        let site: Site = toml::from_str(text).unwrap();
        let settings = Settings { data_dir: "/d".into(), site_file: None, database_url: None, key_file: "/d/key".into() };
        let shown = render(&site, &settings);
        assert!(shown.contains("proxy            192.0.2.10 (cloud 2): root at port 22, number 100\n"), "{shown}");
        let missing = unreadable(&site);
        let places: Vec<&str> = missing.iter().map(|(place, _)| place.as_str()).collect();
        assert_eq!(places, ["proxy[0].password", "proxy[0].key"]);
        assert!(missing[1].1.starts_with("/no/such/key: "), "{missing:?}");
    }

    #[test]
    fn a_declared_table_that_nothing_carries_out_is_named() {
        let site: Site = toml::from_str("[agent_defaults]\nbt_speed_limit = 2\n").unwrap();
        assert_eq!(unused(&site), ["agent_defaults"]);
    }

    #[test]
    fn what_an_app_may_is_shown_and_what_it_surprisingly_may_not_is_warned_of() {
        let app = |code: &str, keys: &str| {
            let hash = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
            format!("[[app]]\ncode = \"{code}\"\nsecret_hash = \"{hash}\"\n{keys}\n")
        };
        let text = [
            app("full", "businesses = \"*\"\nkinds = [\"INSTALL_AGENT\", \"RESTART_AGENT\"]\nsources = [\"10.0.0.0/8\"]"),
            app("looks", "businesses = [2, 3]"),
            app("idle", "kinds = \"*\""),
        ];
        let site: Site = toml::from_str(&text.concat()).unwrap();
        let lines: Vec<String> = door(&site).into_iter().map(|(name, value)| format!("{name}: {value}")).collect();
        assert_eq!(
            lines,
            [
                "requests: 100 per second of one caller, 200 at once",
                "TLS: none: loopback only",
                "app: full: businesses every one; kinds INSTALL_AGENT, RESTART_AGENT; from 10.0.0.0/8",
                "app: looks: businesses 2, 3; kinds none; from anywhere",
                "app: idle: businesses none; kinds every one; from anywhere",
            ]
        );
        assert_eq!(
            powerless(&site),
            [
                "app looks names no `kinds`: it may look at jobs and start none",
                "app idle names no `businesses`: it may do nothing"
            ]
        );
    }
}
