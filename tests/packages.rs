//! The package repository: what it takes, what it refuses, what it notices.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails must say where"
)]

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use landfall::domain::plan::Form;
use landfall::packages::repository::Repository;
use landfall::packages::{PackageError, PackageSource, archive};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

const MANIFEST: &str = r#"
name = "node-exporter"
version = "1.5.0"
role = "agent"
os = "linux"
cpu = "x86_64"
vars = { port = 9100 }
[process]
start = "bin/node_exporter"
[[config]]
template = "etc/agent.conf.j2"
to = "etc/agent.conf"
[health]
tcp = "127.0.0.1:9100"
"#;

/// An archive in the making. Names are written as they are given, so that nothing is corrected on the way.
struct Pack(Builder<GzEncoder<Vec<u8>>>);

impl Pack {
    fn empty() -> Self {
        Self(Builder::new(GzEncoder::new(Vec::new(), Compression::fast())))
    }

    fn with_manifest(manifest: &str) -> Self {
        Self::empty().file("./package.toml", manifest.as_bytes())
    }

    /// A sound package.
    fn sound() -> Self {
        Self::with_manifest(MANIFEST)
            .file("bin/node_exporter", &[7; 100_000])
            .file("./etc/agent.conf.j2", b"port = {{ vars.port }}\n")
    }

    fn file(self, name: &str, data: &[u8]) -> Self {
        self.entry(name, EntryType::Regular, "", data)
    }

    fn link(self, name: &str, target: &str) -> Self {
        self.entry(name, EntryType::Symlink, target, b"")
    }

    fn entry(mut self, name: &str, kind: EntryType, target: &str, data: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        let old = header.as_old_mut();
        old.name[..name.len()].copy_from_slice(name.as_bytes());
        old.linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_entry_type(kind);
        if kind == EntryType::GNUSparse {
            header.as_gnu_mut().unwrap().realsize = *b"00000000000\0";
        }
        header.set_mode(0o755);
        header.set_size(data.len() as u64);
        header.set_cksum();
        self.0.append(&header, data).unwrap();
        self
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap().finish().unwrap()
    }
}

fn faults(bytes: &[u8]) -> Vec<String> {
    match archive::inspect("some.tgz", bytes) {
        Err(PackageError::Invalid { file, faults }) => {
            assert_eq!(file, "some.tgz");
            assert!(!faults.is_empty());
            faults
        }
        other => panic!("{other:?}"),
    }
}

fn saved(directory: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

struct World {
    directory: TempDir,
    repository: Repository,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let repository = Repository::open(&directory.path().join("packages")).unwrap();
        Self { directory, repository }
    }

    fn stored(&self, below: &str) -> PathBuf {
        self.directory.path().join("packages").join(below)
    }

    async fn add(&self, bytes: &[u8]) -> Result<landfall::domain::package::PackageEntry, PackageError> {
        self.repository.add(&saved(&self.directory, "added.tgz", bytes)).await
    }
}

fn of_version(version: &str) -> Vec<u8> {
    Pack::with_manifest(&MANIFEST.replace("1.5.0", version)).file("etc/agent.conf.j2", b"x").bytes()
}

#[tokio::test]
async fn what_was_added_is_listed_and_fetched_byte_for_byte() {
    let world = World::new();
    let bytes = Pack::sound().bytes();
    let entry = world.add(&bytes).await.unwrap();
    assert_eq!((entry.size, entry.unpacked), (bytes.len() as u64, 100_000 + 23 + MANIFEST.len() as u64));
    assert_eq!(entry.sha256, archive::digest(&bytes));
    assert_eq!(entry.manifest.config[0].to, "etc/agent.conf");
    assert_eq!(world.repository.list().await.unwrap(), std::slice::from_ref(&entry));
    assert_eq!(world.repository.fetch(&entry).await.unwrap(), bytes);
    assert_eq!(std::fs::read(world.stored(&format!("archives/{}.tgz", entry.sha256))).unwrap(), bytes);
}

#[tokio::test]
async fn packages_are_listed_by_name_and_version() {
    let world = World::new();
    for version in ["1.10.0", "1.9.3", "1.9.3-rc1", "2.0"] {
        world.add(&of_version(version)).await.unwrap();
    }
    let listed = world.repository.list().await.unwrap();
    assert_eq!(
        listed.iter().map(|entry| entry.manifest.version.as_str()).collect::<Vec<_>>(),
        ["1.9.3", "1.9.3-rc1", "1.10.0", "2.0"]
    );
}

#[tokio::test]
async fn adding_the_same_archive_again_changes_nothing() {
    let world = World::new();
    let bytes = Pack::sound().bytes();
    let entry = world.add(&bytes).await.unwrap();
    assert_eq!(world.add(&bytes).await.unwrap(), entry);
    assert_eq!(world.repository.list().await.unwrap().len(), 1);
    assert_eq!(std::fs::read_dir(world.stored("archives")).unwrap().count(), 1, "nothing half-written is left");
}

#[tokio::test]
async fn the_same_release_with_other_bytes_is_taken() {
    let world = World::new();
    let first = world.add(&Pack::sound().bytes()).await.unwrap();
    let refusal = world.add(&Pack::sound().file("more", b"x").bytes()).await.unwrap_err();
    assert!(
        matches!(&refusal, PackageError::Taken { what, sha256 } if *sha256 == first.sha256 && what == "node-exporter 1.5.0 for linux x86_64"),
        "{refusal}"
    );
    assert_eq!(world.repository.list().await.unwrap(), [first]);
    // For another CPU it is another release.
    world
        .add(&Pack::with_manifest(&MANIFEST.replace("x86_64", "aarch64")).file("etc/agent.conf.j2", b"x").bytes())
        .await
        .unwrap();
}

#[tokio::test]
async fn an_archive_that_is_no_package_is_not_stored() {
    let world = World::new();
    let refusal = world.add(b"not a package").await.unwrap_err();
    assert!(matches!(refusal, PackageError::Invalid { .. }), "{refusal}");
    assert!(world.repository.list().await.unwrap().is_empty());
    assert!(!world.stored("archives").exists());
    let missing = world.repository.add(Path::new("/nowhere/at/all.tgz")).await.unwrap_err();
    assert!(matches!(missing, PackageError::Unavailable { .. }), "{missing}");
}

#[tokio::test]
async fn damage_is_found_when_it_is_looked_for_and_when_it_is_fetched() {
    let world = World::new();
    let bytes = Pack::sound().bytes();
    let entry = world.add(&bytes).await.unwrap();
    let sound = world.add(&of_version("2.0")).await.unwrap();
    let stored = world.stored(&format!("archives/{}.tgz", entry.sha256));
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    for (damaged, fault) in
        [(&flipped[..], "SHA-256"), (&bytes[..bytes.len() - 1], "bytes instead of"), (&[], "bytes instead of")]
    {
        std::fs::write(&stored, damaged).unwrap();
        let refusal = world.repository.fetch(&entry).await.unwrap_err();
        assert!(
            matches!(&refusal, PackageError::Damaged { sha256, what } if *sha256 == entry.sha256 && what.contains(fault)),
            "{refusal}"
        );
        let checked = world.repository.verify().await.unwrap();
        assert_eq!(checked.len(), 2);
        for one in checked {
            assert_eq!(one.damage.is_some(), one.sha256 == entry.sha256, "{one:?}");
        }
    }
    std::fs::remove_file(&stored).unwrap();
    assert!(matches!(world.repository.fetch(&entry).await, Err(PackageError::Damaged { .. })));
    assert_eq!(world.repository.fetch(&sound).await.unwrap().len() as u64, sound.size);
    // Adding it again repairs it.
    world.add(&bytes).await.unwrap();
    assert_eq!(world.repository.fetch(&entry).await.unwrap(), bytes);
    assert!(world.repository.verify().await.unwrap().iter().all(|one| one.damage.is_none()));
}

#[tokio::test]
async fn a_damaged_index_is_noticed_named_and_repaired() {
    let world = World::new();
    let bytes = Pack::sound().bytes();
    let entry = world.add(&bytes).await.unwrap();
    let index = world.stored(&format!("index/{}.json", entry.sha256));
    let text = std::fs::read_to_string(&index).unwrap();
    for (changed, listed) in
        [("{", false), (&text.replace(&entry.sha256, &"0".repeat(64)), false), (&text.replace("9100", "9101"), true)]
    {
        std::fs::write(&index, changed).unwrap();
        assert_eq!(world.repository.list().await.is_ok(), listed, "{changed}");
        let checked = world.repository.verify().await.unwrap();
        assert_eq!((checked.len(), checked[0].entry.is_some()), (1, listed));
        assert!(checked[0].damage.is_some(), "{changed}");
    }
    world.add(&bytes).await.unwrap();
    assert_eq!(world.repository.list().await.unwrap(), [entry]);
    // Files that are none of ours are no packages.
    std::fs::write(world.stored("index/README.json"), "x").unwrap();
    assert_eq!(world.repository.list().await.unwrap().len(), 1);
}

#[test]
fn every_fault_of_a_manifest_is_told_at_once() {
    let manifest = r#"
        name = "Node Exporter"
        version = "one two"
        role = "agent"
        os = "plan9"
        cpu = ""
        [process]
        start = " "
        [[config]]
        template = "../etc/passwd"
        to = "/etc/passwd"
        mode = "99"
        [[config]]
        template = "etc/none.j2"
        to = "etc/none"
        [health]
        http = "ftp://x"
        tcp = "127.0.0.1:1"
    "#;
    let faults = faults(&Pack::with_manifest(manifest).file("/abs", b"").bytes());
    for part in [
        "`/abs` is an absolute path",
        "name: ",
        "version: ",
        "os: ",
        "cpu: ",
        "process.start: ",
        "config[0].template: ",
        "config[0].to: ",
        "config[0].mode: ",
        "config[1].template: there is no file `etc/none.j2`",
        "health: ",
        "health.http: ",
    ] {
        assert!(faults.iter().any(|fault| fault.starts_with(part)), "{part}: {faults:#?}");
    }
    assert_eq!(faults.len(), 12, "{faults:#?}");
}

#[test]
fn a_manifest_that_is_none_is_told_with_its_line() {
    for (manifest, fault) in [
        (&MANIFEST.replace("version = \"1.5.0\"", "version = 1.5"), "package.toml, line 3: "),
        (&MANIFEST.replace("cpu =", "cpus ="), "package.toml, line 6: unknown field `cpus`"),
        (&format!("{MANIFEST}\n[[["), "package.toml, line "),
        (&MANIFEST.replace("[process]", "[processes]"), "package.toml, line "),
    ] {
        let faults = faults(&Pack::with_manifest(manifest).bytes());
        assert!(faults.len() == 1 && faults[0].starts_with(fault), "{faults:?}");
    }
    assert_eq!(faults(&Pack::empty().file("package.toml", b"\xff\xfe").bytes()), ["package.toml is not UTF-8"]);
    assert_eq!(
        faults(&Pack::empty().file("package.toml", &vec![b'#'; (1 << 20) + 1]).bytes()),
        ["package.toml has more than 1048576 bytes"]
    );
}

#[test]
fn a_package_without_a_manifest_at_its_root_is_refused() {
    assert_eq!(faults(&Pack::empty().file("bin/x", b"").bytes()), ["there is no package.toml at its root"]);
    assert_eq!(
        faults(&Pack::empty().file("node-1.5/package.toml", MANIFEST.as_bytes()).bytes()),
        ["there is no package.toml at its root (but `node-1.5/package.toml`: pack from inside that directory)"]
    );
    let linked = Pack::empty().file("real.toml", MANIFEST.as_bytes()).link("package.toml", "real.toml");
    assert_eq!(faults(&linked.bytes()), ["there is no package.toml at its root"]);
}

#[test]
fn a_template_must_be_a_file_of_the_package_and_small_enough_to_render() {
    let absent = Pack::with_manifest(MANIFEST).bytes();
    assert_eq!(faults(&absent), ["config[0].template: there is no file `etc/agent.conf.j2`"]);
    let linked = Pack::with_manifest(MANIFEST).link("etc/agent.conf.j2", "other").file("etc/other", b"x").bytes();
    assert_eq!(faults(&linked), ["config[0].template: there is no file `etc/agent.conf.j2`"]);
    let large = Pack::with_manifest(MANIFEST).file("etc/agent.conf.j2", &vec![0; (1 << 20) + 1]).bytes();
    assert_eq!(faults(&large), ["config[0].template: `etc/agent.conf.j2` has more than 1048576 bytes"]);
}

#[test]
fn nothing_in_an_archive_may_reach_out_of_it() {
    use EntryType::{Block, Char, Directory, Fifo, GNUSparse, Link, Regular, Symlink};
    for (name, kind, target, fault) in [
        ("/etc/passwd", Regular, "", "`/etc/passwd` is an absolute path"),
        ("//etc/passwd", Regular, "", "`//etc/passwd` is an absolute path"),
        ("../evil", Regular, "", "`../evil` leaves the package by `..`"),
        ("./a/../../evil", Regular, "", "`./a/../../evil` leaves the package by `..`"),
        ("a/..", Directory, "", "`a/..` leaves the package by `..`"),
        ("/", Directory, "", "`/` is an absolute path"),
        (".", Symlink, "bin", "`.` has no name"),
        ("l", Symlink, "/etc", "link `l` -> `/etc` is absolute"),
        ("l", Symlink, "..", "link `l` -> `..` points out of the package"),
        ("a/l", Symlink, "../../x", "link `a/l` -> `../../x` points out of the package"),
        ("a/l", Symlink, "b/../../../x", "link `a/l` -> `b/../../../x` goes up after it went down"),
        ("h", Link, "/etc/shadow", "hard link `h` -> `/etc/shadow` points to no file before it"),
        ("h", Link, "../x", "hard link `h` -> `../x` points to no file before it"),
        ("h", Link, "none", "hard link `h` -> `none` points to no file before it"),
        ("c", Char, "", "`c` is a device"),
        ("b", Block, "", "`b` is a device"),
        ("f", Fifo, "", "`f` is a device"),
        ("s", GNUSparse, "", "`s` is stored sparse, which few tars can unpack"),
        ("v", EntryType::new(b'V'), "", "`v` is neither file, directory nor link"),
        ("a\nb", Regular, "", "`a\\nb` has control characters in its name"),
        ("./package.toml", Regular, "", "`package.toml` stands twice"),
        ("bin", Regular, "", "`bin/node_exporter` lies below `bin`, which is no directory"),
        ("bin", Symlink, "etc", "`bin/node_exporter` lies below `bin`, which is no directory"),
    ] {
        let found = faults(&Pack::sound().entry(name, kind, target, b"").bytes());
        assert_eq!(found, [fault], "{name} {kind:?}");
    }
}

#[test]
fn a_path_through_a_link_is_refused_in_whatever_order_they_stand() {
    let first = Pack::sound().link("d", "etc").file("d/x", b"");
    let last = Pack::sound().file("d/x", b"").link("d", "etc");
    for pack in [first, last] {
        assert_eq!(faults(&pack.bytes()), ["`d/x` lies below `d`, which is no directory"]);
    }
}

#[test]
fn links_that_stay_inside_are_welcome() {
    let bytes = Pack::sound()
        .link("lib/libx.so", "libx.so.1")
        .file("lib/libx.so.1", b"x")
        .link("a/b/up", "../../etc/agent.conf.j2")
        .entry("lib/hard", EntryType::Link, "lib/libx.so.1", b"")
        .entry("etc/", EntryType::Directory, "", b"")
        .entry("./", EntryType::Directory, "", b"")
        .bytes();
    archive::inspect("x", &bytes).unwrap();
}

#[test]
fn long_names_of_both_tar_dialects_are_read() {
    let mut pack = Pack::sound();
    let long = format!("share/{}file", "long/".repeat(60));
    let mut header = Header::new_gnu();
    header.set_size(3);
    pack.0.append_data(&mut header, &long, &b"gnu"[..]).unwrap();
    let mut header = Header::new_ustar();
    header.set_size(3);
    header.set_cksum();
    pack.0.append_pax_extensions([("path", format!("{long}.pax").as_bytes())]).unwrap();
    pack.0.append(&header, &b"pax"[..]).unwrap();
    let bytes = pack.bytes();
    archive::inspect("x", &bytes).unwrap();
    let pax = format!("{long}.pax");
    let files = archive::read_files(&bytes, &[&long, &pax]).unwrap();
    assert_eq!((files[&long].as_slice(), files[&pax].as_slice()), (&b"gnu"[..], &b"pax"[..]));
}

#[test]
fn bytes_that_cannot_be_unpacked_are_refused() {
    let sound = Pack::sound().bytes();
    let mut flipped = sound.clone();
    let at = sound.len() - 6;
    flipped[at] ^= 1;
    let mut trailed = sound.clone();
    trailed.extend_from_slice(b"trailing bytes");
    for (what, bytes) in [
        ("empty", &b""[..]),
        ("text", b"hello"),
        ("cut", &sound[..sound.len() / 2]),
        ("cut in the checksum", &sound[..sound.len() - 4]),
        ("wrong checksum", &flipped),
        ("with something behind it", &trailed),
    ] {
        let found = faults(bytes);
        assert!(
            found.iter().any(|fault| fault.starts_with("it cannot be read as a gzip-compressed tar archive: ")),
            "{what}: {found:?}"
        );
    }
}

#[test]
fn what_the_tar_of_this_system_packs_is_a_package() {
    let directory = tempfile::tempdir().unwrap();
    for (name, data) in [("package.toml", MANIFEST), ("etc/agent.conf.j2", "x"), ("bin/node_exporter", "#!")] {
        let path = directory.path().join("root").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, data).unwrap();
    }
    std::os::unix::fs::symlink("node_exporter", directory.path().join("root/bin/exporter")).unwrap();
    for arguments in [
        &["-czf", "a.tgz", "-C", "root", "."][..],
        &["-czf", "a.tgz", "--format=pax", "-C", "root", "package.toml", "etc", "bin"],
    ] {
        let status = std::process::Command::new("tar").args(arguments).current_dir(directory.path()).status().unwrap();
        assert!(status.success());
        let entry = archive::inspect("a.tgz", &std::fs::read(directory.path().join("a.tgz")).unwrap()).unwrap();
        assert_eq!(entry.unpacked, MANIFEST.len() as u64 + 3);
    }
}

#[test]
fn templates_are_read_by_name() {
    let bytes = Pack::sound().bytes();
    let files = archive::read_files(&bytes, &["etc/agent.conf.j2", "package.toml"]).unwrap();
    assert_eq!(files["etc/agent.conf.j2"], b"port = {{ vars.port }}\n");
    assert_eq!(files["package.toml"], MANIFEST.as_bytes());
    assert!(archive::read_files(&bytes, &[]).unwrap().is_empty());
    let refusal = archive::read_files(&bytes, &["etc/agent.conf.j2", "none"]).unwrap_err();
    assert!(refusal.to_string().contains("`none` is not in it"), "{refusal}");
}

#[test]
fn every_form_unpacks_to_the_same_archive() {
    let bytes = Pack::sound().bytes();
    let plain = archive::recompress(&bytes, Form::Tar).unwrap();
    let mut expected = Vec::new();
    flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut expected).unwrap();
    assert_eq!(plain, expected);
    let gzip = archive::recompress(&bytes, Form::Gzip).unwrap();
    assert_eq!(archive::recompress(&gzip, Form::Tar).unwrap(), plain);
    let zstd = archive::recompress(&bytes, Form::Zstd).unwrap();
    assert_eq!(zstd::decode_all(&zstd[..]).unwrap(), plain);
    assert!(archive::pays(bytes.len() as u64, zstd.len() as u64));
    for form in [Form::Tar, Form::Gzip, Form::Zstd] {
        assert!(archive::recompress(&bytes[..bytes.len() / 2], form).is_err(), "{form:?} of half an archive");
    }
}

#[test]
fn an_archive_in_several_gzip_members_is_one_archive() {
    let plain = archive::recompress(&Pack::sound().bytes(), Form::Tar).unwrap();
    let (front, back) = plain.split_at(plain.len() / 3);
    let mut bytes = Vec::new();
    for part in [front, back] {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(part).unwrap();
        bytes.extend(encoder.finish().unwrap());
    }
    archive::inspect("x", &bytes).unwrap();
    assert_eq!(archive::recompress(&bytes, Form::Tar).unwrap(), plain);
}
