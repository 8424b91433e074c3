//! Package archives as bytes: looked through once when they are added, read for their templates, recompressed for the way.
//!
//! All of it only computes, some of it for seconds: call it under `spawn_blocking`.
//!
//! Never here: storage (`repository`), and filling templates (`plan`). To add a form to travel in: `domain::plan::Form` and
//! its arm in [`recompress`].

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::ops::ControlFlow;

use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use tar::{Archive, Entry};

use super::PackageError;
use super::contents::{Contents, Found};
use crate::domain::package::{Manifest, PackageEntry, is_inner_path};
use crate::domain::plan::Form;

/// Where the manifest stands.
const MANIFEST: &str = "package.toml";
/// Largest manifest or template, bytes: they are held in memory and rendered for every host.
const TEXT_CAP: u64 = 1 << 20;
/// Most bytes an archive may unpack to: a small file that unpacks without end must not fill a target's disk, or our memory.
const UNPACKED_CAP: u64 = 4 << 30;
/// zstd's best level that decodes in 8 MiB, so that the smallest targets can unpack it.
const ZSTD_LEVEL: i32 = 19;

/// Looks through a `.tgz`, called `file` in messages.
///
/// # Errors
/// [`PackageError::Invalid`] with every fault: of the archive, its paths, its manifest, its templates.
pub fn inspect(file: &str, bytes: &[u8]) -> Result<PackageEntry, PackageError> {
    let mut contents = Contents::default();
    let mut text = None;
    let walked = walk(bytes, |entry| {
        if look(&mut contents, entry).as_deref() == Some(MANIFEST) {
            text = Some(read_text(entry)?);
        }
        Ok(ControlFlow::Continue(()))
    });
    if let Err(error) = walked {
        contents.fault(format!("it cannot be read as a gzip-compressed tar archive: {error}"));
    }
    let manifest = match text {
        Some(text) => parse(&mut contents, &text),
        None => {
            let below = contents.ending("/package.toml").map(|path| format!(" (but `{path}`: pack from inside that directory)"));
            contents.fault(format!("there is no {MANIFEST} at its root{}", below.unwrap_or_default()));
            None
        }
    };
    let invalid = |faults| PackageError::Invalid { file: file.to_owned(), faults };
    match (contents.close(), manifest) {
        (Ok(unpacked), Some(manifest)) => {
            Ok(PackageEntry { sha256: digest(bytes), size: bytes.len() as u64, unpacked, manifest })
        }
        (Ok(_), None) => Err(invalid(Vec::new())),
        (Err(faults), _) => Err(invalid(faults)),
    }
}

/// The named files of an archive.
///
/// # Errors
/// [`PackageError::Invalid`] when one is not there or the archive cannot be read.
pub fn read_files(bytes: &[u8], names: &[&str]) -> Result<BTreeMap<String, Vec<u8>>, PackageError> {
    let mut contents = Contents::default();
    let mut files = BTreeMap::new();
    let mut missing: std::collections::BTreeSet<&str> = names.iter().copied().collect();
    let walked = walk(bytes, |entry| {
        if let Some(path) = look(&mut contents, entry).filter(|path| missing.remove(path.as_str())) {
            files.insert(path, read_text(entry)?);
        }
        Ok(if missing.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    });
    let mut faults: Vec<String> = missing.into_iter().map(|name| format!("`{name}` is not in it")).collect();
    faults.extend(walked.err().map(|error| error.to_string()));
    if faults.is_empty() { Ok(files) } else { Err(PackageError::Invalid { file: "the stored archive".into(), faults }) }
}

/// The archive in another form, in the best compression of that form.
///
/// # Errors
/// [`PackageError::Invalid`] when the archive cannot be unpacked.
pub fn recompress(bytes: &[u8], form: Form) -> Result<Vec<u8>, PackageError> {
    let mut tar = unpacked(bytes);
    let made = match form {
        Form::Tar | Form::Tree => {
            let mut plain = Vec::new();
            tar.read_to_end(&mut plain).map(|_| plain)
        }
        Form::Gzip => through(GzEncoder::new(Vec::with_capacity(bytes.len()), Compression::best()), &mut tar, GzEncoder::finish),
        Form::Zstd => zstd::Encoder::new(Vec::with_capacity(bytes.len()), ZSTD_LEVEL)
            .and_then(|encoder| through(encoder, &mut tar, zstd::Encoder::finish)),
    };
    let invalid = |error: io::Error| PackageError::Invalid { file: "the stored archive".into(), faults: vec![error.to_string()] };
    made.map_err(invalid)
}

/// A file of a bare tar archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its path in the package.
    pub path: String,
    /// Where its bytes begin in the archive.
    pub at: usize,
    /// How many there are.
    pub size: usize,
    /// Their SHA-256, hex.
    pub sha256: String,
}

/// The files of a bare tar archive, for a host that cannot unpack one.
///
/// # Errors
/// [`PackageError::Invalid`] when it cannot be read, or holds a link: nobody there would make it.
pub fn parts(tar: &[u8]) -> Result<Vec<Part>, PackageError> {
    let invalid = |fault: String| PackageError::Invalid { file: "the stored archive".into(), faults: vec![fault] };
    let told = |error: io::Error| invalid(error.to_string());
    let mut parts = Vec::new();
    for entry in Archive::new(tar).entries().map_err(told)? {
        let entry = entry.map_err(told)?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").trim_end_matches('/').to_owned();
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            continue;
        }
        if !kind.is_file() {
            return Err(invalid(format!("`{path}` is a link, which a host without tar cannot be brought")));
        }
        let (at, size) = (entry.raw_file_position() as usize, entry.size() as usize);
        let bytes = tar.get(at..at + size).ok_or_else(|| invalid(format!("`{path}` is cut off")))?;
        parts.push(Part { path, at, size, sha256: digest(bytes) });
    }
    Ok(parts)
}

/// Is a recompressed form worth sending? It saves more than a tenth (DESIGN 3).
#[must_use]
pub fn pays(stored: u64, recompressed: u64) -> bool {
    recompressed.saturating_mul(10) < stored.saturating_mul(9)
}

/// SHA-256 of bytes, hex.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn through<W: Write>(mut encoder: W, from: &mut impl Read, finish: fn(W) -> io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
    io::copy(from, &mut encoder)?;
    finish(encoder)
}

/// Shows every entry to `visit` until it breaks off. Without that everything is read to the end, so that the checksum of
/// the gzip stream is checked and nothing follows it.
fn walk<'a, F>(bytes: &'a [u8], mut visit: F) -> io::Result<()>
where
    F: FnMut(&mut Entry<'_, Bounded<MultiGzDecoder<&'a [u8]>>>) -> io::Result<ControlFlow<()>>,
{
    let mut archive = Archive::new(unpacked(bytes));
    for entry in archive.entries()? {
        if visit(&mut entry?)?.is_break() {
            return Ok(());
        }
    }
    io::copy(&mut archive.into_inner(), &mut io::sink()).map(drop)
}

/// Tells `contents` of an entry; its path when it is a sound file.
fn look<R: Read>(contents: &mut Contents, entry: &Entry<'_, R>) -> Option<String> {
    let target = entry.link_name_bytes();
    contents.add(&Found {
        name: &entry.path_bytes(),
        kind: entry.header().entry_type(),
        target: target.as_deref(),
        size: entry.size(),
        is_extended: entry.header().path_bytes() != entry.path_bytes() || entry.header().link_name_bytes() != target,
    })
}

fn read_text<R: Read>(entry: &mut Entry<'_, R>) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    entry.take(TEXT_CAP).read_to_end(&mut text)?;
    Ok(text)
}

/// Reads the manifest and checks it against the archive.
fn parse(contents: &mut Contents, text: &[u8]) -> Option<Manifest> {
    if contents.size_of(MANIFEST).is_some_and(|size| size > TEXT_CAP) {
        return contents.fault(format!("{MANIFEST} has more than {TEXT_CAP} bytes")).and(None);
    }
    let Ok(text) = str::from_utf8(text) else { return contents.fault(format!("{MANIFEST} is not UTF-8")).and(None) };
    let manifest: Manifest = match toml::from_str(text) {
        Ok(manifest) => manifest,
        Err(error) => {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            return contents.fault(format!("{MANIFEST}, line {line}: {}", error.message().replace('\n', ", "))).and(None);
        }
    };
    for fault in manifest.faults() {
        contents.fault(fault);
    }
    let tar_is_old = matches!(manifest.os.as_str(), "aix" | "solaris");
    if let Some(path) = contents.extended().filter(|_| tar_is_old) {
        let fault = format!("`{path}` is longer than the tar of {} can read: pack with `tar --format=ustar`", manifest.os);
        contents.fault(fault);
    }
    for (index, file) in manifest.config.iter().enumerate().filter(|(_, file)| is_inner_path(&file.template)) {
        let template = &file.template;
        match contents.size_of(template) {
            None => contents.fault(format!("config[{index}].template: there is no file `{template}`")),
            Some(size) if size > TEXT_CAP => {
                contents.fault(format!("config[{index}].template: `{template}` has more than {TEXT_CAP} bytes"))
            }
            Some(_) => None,
        };
    }
    Some(manifest)
}

fn unpacked(bytes: &[u8]) -> Bounded<MultiGzDecoder<&[u8]>> {
    Bounded { inner: MultiGzDecoder::new(bytes), left: UNPACKED_CAP }
}

/// A reader that fails rather than give more than `left` bytes.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| io::Error::other("it unpacks to more than 4 GiB"))?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_pays_when_it_saves_more_than_a_tenth() {
        for (stored, recompressed, worth) in [(1000, 899, true), (1000, 900, false), (1000, 1200, false), (0, 0, false)] {
            assert_eq!(pays(stored, recompressed), worth, "{recompressed} of {stored}");
        }
    }

    #[test]
    fn a_reader_fails_rather_than_give_more_than_it_may() {
        let mut reader = Bounded { inner: io::repeat(7), left: 100_000 };
        assert!(io::copy(&mut reader, &mut io::sink()).is_err());
        let mut reader = Bounded { inner: io::repeat(7).take(100_000), left: 100_000 };
        assert_eq!(io::copy(&mut reader, &mut io::sink()).unwrap(), 100_000);
    }
}
