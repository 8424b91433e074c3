//! A site file: what has no fault can be asked everything that admission asks it.
#![no_main]

use landfall::domain::host::Address;
use landfall::domain::site::{Site, matches_pattern};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some((pattern, text)) = text.split_once('\n') {
        let _ = matches_pattern(pattern, text);
    }
    let Ok(site) = toml::from_str::<Site>(text) else { return };
    if site.faults().is_empty() {
        let address = Address { cloud: 2, ip: [10, 0, 0, 1].into() };
        let _ = (site.access_points(), site.blacklisted(address), site.allows_legacy(address.ip), site.cloud(2));
    }
});
