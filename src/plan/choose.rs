//! Which package a job gets (DESIGN 10): the job's choice, else the site's default, else the only one there is.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::failure::{Code, Failure};
use crate::domain::host::Os;
use crate::domain::package::{PackageChoice, PackageEntry, Role, version_key};

/// Settles name and version as far as that can be known before the host is; a version stays open for `latest`.
///
/// # Errors
/// A sentence that says what to do.
pub fn settle(
    index: &[PackageEntry],
    role: Role,
    choice: &PackageChoice,
    default: Option<&str>,
) -> Result<PackageChoice, String> {
    let of_role: Vec<&PackageEntry> = index.iter().filter(|entry| entry.manifest.role == role).collect();
    let names: BTreeSet<&str> = of_role.iter().map(|entry| entry.manifest.name.as_str()).collect();
    let name = match (choice.name.as_deref().or(default), names.iter().next()) {
        (Some(name), _) if names.contains(name) => name,
        (Some(name), _) => {
            return Err(format!("there is no {} package named `{name}`: see `landfall package list`", role.word()));
        }
        (None, None) => return Err(format!("there is no {} package: add one with `landfall package add`", role.word())),
        (None, Some(only)) if names.len() == 1 => only,
        (None, Some(_)) => {
            let names: Vec<_> = names.into_iter().collect();
            return Err(format!(
                "there are several {} packages ({}): name one with `package`, or as `default_package` of the site",
                role.word(),
                names.join(", ")
            ));
        }
    };
    let version = choice.version.clone().filter(|version| version != "latest");
    if let Some(version) = &version
        && !of_role.iter().any(|entry| entry.manifest.name == name && entry.manifest.version == *version)
    {
        return Err(format!("there is no version {version} of package `{name}`: see `landfall package list`"));
    }
    Ok(PackageChoice { name: Some(name.to_owned()), version })
}

/// What a job may install, for hosts of which nothing is known: the newest of each system and CPU.
#[must_use]
pub fn newest_of_each<'a>(index: &'a [PackageEntry], role: Role, choice: &PackageChoice) -> Vec<&'a PackageEntry> {
    let mut newest: BTreeMap<(&str, &str), &PackageEntry> = BTreeMap::new();
    for entry in named(index, role, choice) {
        let kind = (entry.manifest.os.as_str(), entry.manifest.cpu.as_str());
        let best = newest.entry(kind).or_insert(entry);
        if version_key(&entry.manifest.version) > version_key(&best.manifest.version) {
            *best = entry;
        }
    }
    newest.into_values().collect()
}

/// The plugins that every host of that system and CPU gets: of each name the newest that fits, in the order of their names.
#[must_use]
pub fn plugins<'a>(index: &'a [PackageEntry], (os, cpu): (Os, &str)) -> Vec<&'a PackageEntry> {
    let mut newest: BTreeMap<&str, &PackageEntry> = BTreeMap::new();
    for entry in index.iter().filter(|entry| entry.manifest.role == Role::Plugin && entry.manifest.auto_install) {
        let best = newest.get(entry.manifest.name.as_str());
        if entry.fits(os, cpu) && best.is_none_or(|best| entry.rank(os, cpu) > best.rank(os, cpu)) {
            newest.insert(&entry.manifest.name, entry);
        }
    }
    newest.into_values().collect()
}

/// The plugins that hosts get, for those of which nothing is known: the newest of each name, system and CPU.
#[must_use]
pub fn plugins_of_each(index: &[PackageEntry]) -> Vec<&PackageEntry> {
    let mut newest: BTreeMap<(&str, &str, &str), &PackageEntry> = BTreeMap::new();
    for entry in index.iter().filter(|entry| entry.manifest.role == Role::Plugin && entry.manifest.auto_install) {
        let manifest = &entry.manifest;
        let best = newest.entry((&manifest.name, &manifest.os, &manifest.cpu)).or_insert(entry);
        if version_key(&manifest.version) > version_key(&best.manifest.version) {
            *best = entry;
        }
    }
    newest.into_values().collect()
}

/// The packages that a choice leaves.
fn named<'a>(index: &'a [PackageEntry], role: Role, choice: &PackageChoice) -> impl Iterator<Item = &'a PackageEntry> {
    index
        .iter()
        .filter(move |entry| entry.manifest.role == role)
        .filter(move |entry| choice.name.as_ref().is_none_or(|name| *name == entry.manifest.name))
        .filter(move |entry| choice.version.as_ref().is_none_or(|version| *version == entry.manifest.version))
}

/// The package for one host: the newest that fits its OS and CPU.
///
/// # Errors
/// [`Code::NoPackage`], naming what there is.
pub fn pick<'a>(
    index: &'a [PackageEntry],
    role: Role,
    choice: &PackageChoice,
    host: (Os, &str),
) -> Result<&'a PackageEntry, Failure> {
    let named: Vec<&PackageEntry> = named(index, role, choice).collect();
    let (os, cpu) = host;
    named.iter().copied().filter(|entry| entry.fits(os, cpu)).max_by_key(|entry| entry.rank(os, cpu)).ok_or_else(|| {
        let there: Vec<_> = named.iter().map(|entry| format!("{} {}", entry.manifest.os, entry.manifest.cpu)).collect();
        let name = choice.name.as_deref().unwrap_or("the package");
        Failure::new(
            Code::NoPackage,
            format!("{name} is not there for {} {cpu} (it is for: {})", os.word().to_lowercase(), there.join(", ")),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, version: &str, cpu: &str) -> PackageEntry {
        let manifest = format!(
            "name = \"{name}\"\nversion = \"{version}\"\nrole = \"agent\"\nos = \"linux\"\ncpu = \"{cpu}\"\n[process]\nstart = \"a\"\n[health]\ntcp = \"a:1\"\n"
        );
        PackageEntry {
            sha256: format!("{name}{version}{cpu}"),
            size: 1,
            unpacked: 1,
            manifest: toml::from_str(&manifest).unwrap(),
        }
    }

    #[test]
    fn the_only_package_needs_no_name_and_several_do() {
        let one = [entry("a", "1", "any")];
        assert_eq!(settle(&one, Role::Agent, &PackageChoice::default(), None).unwrap().name.as_deref(), Some("a"));
        let two = [entry("a", "1", "any"), entry("b", "1", "any")];
        assert!(settle(&two, Role::Agent, &PackageChoice::default(), None).unwrap_err().contains("a, b"));
        assert_eq!(settle(&two, Role::Agent, &PackageChoice::default(), Some("b")).unwrap().name.as_deref(), Some("b"));
        assert!(settle(&[], Role::Agent, &PackageChoice::default(), None).unwrap_err().contains("package add"));
    }

    #[test]
    fn a_host_gets_what_is_closest_to_its_cpu_of_the_newest_version() {
        let built = |os: &str, cpu: &str, version: &str| {
            let mut entry = entry("a", version, cpu);
            entry.manifest.os = os.into();
            entry
        };
        let index = [
            built("any", "any", "1.0"),
            built("aix", "powerpc", "1.0"),
            built("aix", "ppc64", "1.0"),
            built("aix", "powerpc", "1.1"),
            built("solaris", "i386", "1.0"),
            built("solaris", "any", "1.0"),
        ];
        let picked = |host| {
            let manifest = &pick(&index, Role::Agent, &PackageChoice::default(), host).unwrap().manifest;
            format!("{} {} {}", manifest.os, manifest.cpu, manifest.version)
        };
        assert_eq!(picked((Os::Aix, "ppc64")), "aix powerpc 1.1");
        assert_eq!(picked((Os::Aix, "powerpc")), "aix powerpc 1.1");
        assert_eq!(picked((Os::Solaris, "x86_64")), "solaris i386 1.0");
        assert_eq!(picked((Os::Solaris, "sparc")), "solaris any 1.0");
        assert_eq!(picked((Os::Linux, "x86_64")), "any any 1.0");
        let old = pick(&index[..3], Role::Agent, &PackageChoice::default(), (Os::Aix, "ppc64")).unwrap();
        assert_eq!(old.manifest.cpu, "ppc64");
    }

    #[test]
    fn a_host_gets_the_newest_of_each_plugin_that_is_marked_for_it() {
        let plugin = |name, version, cpu, marked| {
            let mut entry = entry(name, version, cpu);
            (entry.manifest.role, entry.manifest.auto_install) = (Role::Plugin, marked);
            entry
        };
        let index = [
            plugin("b", "1.9", "x86_64", true),
            plugin("b", "1.10", "any", true),
            plugin("b", "2.0", "aarch64", true),
            plugin("b", "3.0", "x86_64", false),
            plugin("a", "1", "x86_64", true),
            plugin("c", "1", "aarch64", true),
            entry("agent", "9", "any"),
        ];
        let chosen = |cpu| -> Vec<String> {
            let named = |entry: &&PackageEntry| format!("{} {}", entry.manifest.name, entry.manifest.version);
            plugins(&index, (Os::Linux, cpu)).iter().map(named).collect()
        };
        assert_eq!(chosen("x86_64"), ["a 1", "b 1.10"]);
        assert_eq!(chosen("aarch64"), ["b 2.0", "c 1"]);
        assert_eq!(chosen("riscv64"), ["b 1.10"]);
    }

    #[test]
    fn a_host_gets_the_newest_that_fits_it() {
        let index = [entry("a", "1.9", "x86_64"), entry("a", "1.10", "x86_64"), entry("a", "2.0", "aarch64")];
        let choice = PackageChoice { name: Some("a".into()), version: None };
        assert_eq!(pick(&index, Role::Agent, &choice, (Os::Linux, "x86_64")).unwrap().manifest.version, "1.10");
        let failure = pick(&index, Role::Agent, &choice, (Os::Linux, "riscv64")).unwrap_err();
        assert!(failure.message.contains("riscv64") && failure.message.contains("aarch64"), "{}", failure.message);
    }
}
