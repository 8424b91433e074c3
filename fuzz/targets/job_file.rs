//! A job: what it asks for, or every fault of it; and the same as a list of hosts in CSV.
#![no_main]

use std::sync::LazyLock;

use landfall::domain::job::JobKind;
use landfall::domain::package::PackageChoice;
use landfall::domain::site::Site;
use landfall::service::host_list::{self, Given};
use landfall::service::request::{self, SecretSources};
use libfuzzer_sys::fuzz_target;

static SITE: LazyLock<Site> = LazyLock::new(Site::default);

fuzz_target!(|data: &[u8]| {
    if let Ok(body) = serde_json::from_slice(data) {
        match request::parse(&body, &SITE, &SecretSources::default()) {
            Ok(request) => assert!(request.hosts.len() <= data.len(), "a host is at least a byte"),
            Err(faults) => assert!(!faults.is_empty(), "who refuses says why"),
        }
    }
    let given = Given {
        kind: JobKind::InstallAgent,
        business: Some(2),
        access_point: None,
        package: PackageChoice::default(),
        sheet: None,
    };
    let _ = host_list::read(data, &given);
});
