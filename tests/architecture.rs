//! The fence: which room may name which, where external crates may be named, how long a file may be.
//!
//! It reads the source as tokens, so comments and strings do not count, and leaves out what only tests compile. What it
//! finds is told as `src/engine/step.rs:41 names crate::cli; engine may import …`.
//!
//! To add a room or a backend: its line in a table below. To need an exception: move the line of code instead.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use std::path::{Path, PathBuf};

/// A room and what it may import, from the top floor down. A room that is not here may not exist.
const ROOMS: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    ("cli", &["app", "lifecycle", "telemetry", "service", "config", "domain"]),
    (
        "app",
        &[
            "api",
            "lifecycle",
            "telemetry",
            "service",
            "engine",
            "plan",
            "transport",
            "store",
            "packages",
            "assets",
            "meters",
            "config",
            "domain",
        ],
    ),
    ("api", &["service", "meters", "domain"]),
    ("lifecycle", &["service", "config", "domain"]),
    ("telemetry", &["config", "domain"]),
    ("service", &["engine", "plan", "store", "packages", "meters", "config", "domain"]),
    ("engine", &["plan", "transport", "store", "packages", "assets", "meters", "domain"]),
    ("plan", &["assets", "domain"]),
    ("transport", &["domain"]),
    ("store", &["domain"]),
    ("packages", &["domain"]),
    ("config", &["domain"]),
    ("assets", &["domain"]),
    ("meters", &["domain"]),
    ("domain", &[]),
];

/// What only its own room and `app` may name: everybody else sees the trait.
const BACKENDS: &[&str] = &["transport::ssh", "store::sqlite", "store::postgres", "store::seal", "packages::repository"];

/// External crates that have a room of their own.
const CRATES: &[(&str, &[&str])] = &[
    ("russh", &["transport/ssh"]),
    ("russh_sftp", &["transport/ssh"]),
    ("aes", &["transport/ssh/pem"]),
    ("cbc", &["transport/ssh/pem"]),
    ("des", &["transport/ssh/pem"]),
    ("md5", &["transport/ssh/pem"]),
    ("pkcs8", &["transport/ssh/pem"]),
    ("sqlx", &["store"]),
    ("chacha20poly1305", &["store"]),
    ("aws_lc_rs", &["api/tls", "engine/vault", "service/envelope", "service/manual", "transport/ssh/known_hosts"]),
    ("hmac", &["store"]),
    ("encoding_rs", &["domain/codepage", "domain/text"]),
    ("axum", &["api", "app"]),
    ("tokio_rustls", &["api/tls", "engine/vault"]),
    ("governor", &["api/rate"]),
    ("argon2", &["domain/secret_hash"]),
    ("getrandom", &["api", "cli", "service/manual"]),
    ("tower_http", &["api"]),
    // Like serde's derives: what a type looks like on the wire stands at the type.
    ("utoipa", &["api", "service", "domain"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("indicatif", &["cli/report/bars"]),
    ("object_store", &["packages"]),
    ("tar", &["packages"]),
    ("flate2", &["packages"]),
    ("zstd", &["packages"]),
    ("hyper", &["engine/ask", "engine/vault", "api"]),
    ("hyper_util", &["engine/ask", "engine/vault", "api"]),
    ("http_body_util", &["engine/ask", "engine/vault", "api"]),
    ("calamine", &["service/host_list"]),
    ("clap_mangen", &["cli"]),
    ("minijinja", &["plan"]),
    // One room knows every name and label, so that none without bound slips in.
    ("metrics", &["meters"]),
    ("metrics_exporter_prometheus", &["meters"]),
    ("backon", &["engine"]),
    ("tracing_subscriber", &["telemetry"]),
    ("anyhow", &["main", "app", "cli"]),
];

/// `domain` holds values and rules: no await, no clock, no I/O.
const NOT_IN_DOMAIN: &[&[&str]] = &[
    &["async"],
    &["await"],
    &["tokio"],
    &["std", "fs"],
    &["std", "io"],
    &["std", "env"],
    &["std", "process"],
    &["std", "thread"],
    &["Instant"],
    &["SystemTime"],
    &["TcpStream"],
];

const LONGEST_FILE: usize = 500;

#[test]
fn rooms_import_only_what_lies_below_them() {
    report(files("src", "rs").flat_map(|file| rooms_named(&file)));
}

#[test]
fn external_crates_stay_in_their_rooms() {
    report(files("src", "rs").flat_map(|file| crates_named(&file)));
}

#[test]
fn the_domain_does_nothing() {
    report(files("src/domain", "rs").flat_map(|file| deeds(&file)));
}

#[test]
fn no_file_is_longer_than_one_can_read() {
    let all =
        ["src", "tests", "scripts", "examples"].into_iter().flat_map(|room| [files(room, "rs"), files(room, "sh")]).flatten();
    report(all.filter_map(|file| {
        let lines = file.text.lines().count();
        (lines > LONGEST_FILE)
            .then(|| format!("{} has {lines} lines; {LONGEST_FILE} at most, split it by its subjects", file.name))
    }));
}

#[test]
fn every_module_says_what_it_is_for() {
    report(files("src", "rs").chain(files("tests", "rs")).filter_map(|file| {
        let told = file.text.lines().next().is_some_and(|line| line.starts_with("//! "));
        (!told).then(|| format!("{}:1 has no `//!` line that says what it is for", file.name))
    }));
}

#[test]
fn nothing_is_put_off() {
    report(files("src", "rs").chain(files("tests", "rs")).flat_map(|file| put_off(&file)));
}

/// The checkers themselves, on a file that does everything wrong and everything right.
#[test]
fn the_fence_sees_what_is_wrong_and_nothing_else() {
    let text = r##"//! Doc that names crate::cli.
use crate::{cli::report, domain::id::JobId, store::{Store, sqlite::SqliteStore}};
use super::super::app; // crate::main
/* crate::api /* nested */ crate::api */
const A: &str = "crate::cli"; const B: char = '"'; const C: &str = r#"crate::"cli"#;
fn f<'a>(x: &'a str) { crate::transport::ssh::dial(); let russh = x.russh; sqlx::query(x); a::sqlx::query(x) }
#[cfg(test)]
use crate::cli::{args, exit};
#[cfg(test)]
#[allow(dead_code)]
fn g(a: [u8; 2]) { crate::cli::f() }
#[cfg(test)]
mod tests { use crate::cli; fn h() { if true { crate::api::x() } } }
#[ignore = "slow"]
fn i() -> crate::config::Settings { todo!() }
"##;
    let file = File::new("src/engine/step.rs", text);
    let may = "engine may import plan, transport, store, packages, assets, meters, domain";
    let traits = "only app and its own room name a backend";
    assert_eq!(
        rooms_named(&file),
        [
            format!("src/engine/step.rs:2 names crate::cli; {may}"),
            format!("src/engine/step.rs:2 names crate::store::sqlite; {traits}"),
            format!("src/engine/step.rs:3 names crate::app; {may}"),
            format!("src/engine/step.rs:6 names crate::transport::ssh; {traits}"),
            format!("src/engine/step.rs:15 names crate::config; {may}"),
        ]
    );
    assert_eq!(crates_named(&file), ["src/engine/step.rs:6 names sqlx; it is at home in store"]);
    assert_eq!(
        put_off(&file),
        ["src/engine/step.rs:14 puts something off: #[ignore]", "src/engine/step.rs:15 puts something off: todo!"]
    );
    assert_eq!(
        rooms_named(&File::new("src/util.rs", "")),
        ["src/util.rs: `util` is no room; give it one of tests/architecture.rs"]
    );
    assert_eq!(
        rooms_named(&File::new("src/main.rs", "use landfall::app;")),
        ["src/main.rs:1 names crate::app; main may import cli"]
    );
    assert_eq!(
        deeds(&File::new("src/domain/id.rs", "use std::{fs, net::IpAddr};\nasync fn f() { tokio::spawn(g()); }")),
        [
            "src/domain/id.rs:1 names std::fs; domain has no await, no clock and no I/O",
            "src/domain/id.rs:2 names async; domain has no await, no clock and no I/O",
            "src/domain/id.rs:2 names tokio; domain has no await, no clock and no I/O",
        ]
    );
}

/// One source file.
struct File {
    /// Its path from the root of the project.
    name: String,
    text: String,
    /// The code that is not only compiled for tests.
    tokens: Vec<Token>,
}

#[derive(Clone, Debug)]
struct Token {
    line: usize,
    text: String,
}

impl File {
    fn new(name: &str, text: &str) -> Self {
        Self { name: name.to_owned(), text: text.to_owned(), tokens: without_test_items(tokens(text)) }
    }

    /// `engine/steps/probe` of `src/engine/steps/probe.rs`; a directory's `mod.rs` is the directory.
    fn module(&self) -> &str {
        let path = self.name.trim_start_matches("src/").trim_end_matches(".rs");
        path.strip_suffix("/mod").unwrap_or(path)
    }

    fn room(&self) -> &str {
        self.module().split('/').next().unwrap()
    }

    /// Every path that begins at the root of the crate, at most two names deep, and the line it is on.
    fn own_paths(&self) -> Vec<(usize, Vec<String>)> {
        let mut paths = Vec::new();
        let depth = self.module().split('/').count();
        let mut supers = 0;
        for (at, token) in self.tokens.iter().enumerate() {
            // As many `super` as the module is deep lead to the root, too.
            supers = match token.text.as_str() {
                "super" => supers + 1,
                "::" if supers > 0 => supers,
                _ => 0,
            };
            let from_root = match token.text.as_str() {
                "crate" | "landfall" => self.text_at(at + 1) == "::" && (at == 0 || self.text_at(at - 1) != "::"),
                "super" => supers == depth && self.text_at(at + 1) == "::",
                _ => false,
            };
            if from_root {
                self.tree(at + 2, &[], &mut paths);
            }
        }
        paths
    }

    /// Follows the rest of a path, through `{…, …}` as well; returns where it ends.
    fn tree(&self, at: usize, before: &[String], paths: &mut Vec<(usize, Vec<String>)>) -> usize {
        let Some(token) = self.tokens.get(at) else { return at };
        if token.text == "{" {
            let mut next = at + 1;
            while next < self.tokens.len() && self.text_at(next) != "}" {
                next = if self.text_at(next) == "," { next + 1 } else { self.tree(next, before, paths) };
            }
            return next + 1;
        }
        let path: Vec<String> = before.iter().cloned().chain([token.text.clone()]).collect();
        if self.text_at(at + 1) == "::" {
            return self.tree(at + 2, &path, paths);
        }
        paths.push((token.line, path.into_iter().take(2).collect()));
        // `name as other` is still part of it.
        at + if self.text_at(at + 1) == "as" { 3 } else { 1 }
    }

    fn text_at(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| &token.text)
    }
}

fn rooms_named(file: &File) -> Vec<String> {
    let room = file.room();
    if room == "lib" {
        return Vec::new();
    }
    let Some((_, may)) = ROOMS.iter().find(|(name, _)| *name == room) else {
        return vec![format!("{}: `{room}` is no room; give it one of tests/architecture.rs", file.name)];
    };
    let mut wrong = Vec::new();
    for (line, path) in file.own_paths() {
        let (named, joined) = (path[0].as_str(), path.join("::"));
        if named == room || !ROOMS.iter().any(|(name, _)| *name == named) {
            continue;
        }
        if !may.contains(&named) {
            wrong.push(format!("{}:{line} names crate::{named}; {room} may import {}", file.name, list(may)));
        } else if room != "app" && BACKENDS.contains(&joined.as_str()) {
            wrong.push(format!("{}:{line} names crate::{joined}; only app and its own room name a backend", file.name));
        }
    }
    wrong
}

fn crates_named(file: &File) -> Vec<String> {
    let mut wrong = Vec::new();
    for (at, token) in file.tokens.iter().enumerate() {
        let before = if at == 0 { "" } else { file.text_at(at - 1) };
        let begins_path = (file.text_at(at + 1) == "::" && !matches!(before, "::" | ".")) || matches!(before, "use" | "extern");
        let Some((name, homes)) = CRATES.iter().find(|(name, _)| begins_path && *name == token.text) else { continue };
        if !homes.iter().any(|home| Path::new(file.module()).starts_with(home)) {
            wrong.push(format!("{}:{} names {name}; it is at home in {}", file.name, token.line, list(homes)));
        }
    }
    wrong
}

fn deeds(file: &File) -> Vec<String> {
    let mut named: Vec<(usize, Vec<String>)> = Vec::new();
    for (at, token) in file.tokens.iter().enumerate() {
        if token.text == "std" && file.text_at(at + 1) == "::" {
            file.tree(at + 2, &["std".to_owned()], &mut named);
        } else {
            named.push((token.line, vec![token.text.clone()]));
        }
    }
    let forbidden =
        |path: &[String]| NOT_IN_DOMAIN.iter().any(|no| no.len() <= path.len() && no.iter().zip(path).all(|(a, b)| a == b));
    let wrong = named.into_iter().filter(|(_, path)| forbidden(path));
    wrong
        .map(|(line, path)| format!("{}:{line} names {}; domain has no await, no clock and no I/O", file.name, path.join("::")))
        .collect()
}

fn put_off(file: &File) -> Vec<String> {
    // Tests count here, so this reads everything.
    let all = tokens(&file.text);
    let text = |at: usize| all.get(at).map_or("", |token: &Token| &token.text);
    let mut wrong = Vec::new();
    for (at, token) in all.iter().enumerate() {
        let what = match token.text.as_str() {
            "ignore" if at > 1 && text(at - 1) == "[" && text(at - 2) == "#" => "#[ignore]",
            "todo" | "unimplemented" if text(at + 1) == "!" => &format!("{}!", token.text),
            _ => continue,
        };
        wrong.push(format!("{}:{} puts something off: {what}", file.name, token.line));
    }
    wrong
}

/// Fails with everything that was found, a line each.
fn report(found: impl Iterator<Item = String>) {
    let found: Vec<String> = found.collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "nothing of ours".to_owned() } else { names.join(", ") }
}

/// All files of a directory and below with this ending, in a fixed order.
fn files(below: &str, ending: &str) -> impl Iterator<Item = File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut open, mut found): (Vec<PathBuf>, Vec<PathBuf>) = (vec![root.join(below)], Vec::new());
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found.into_iter().map(move |path| {
        let name = path.strip_prefix(root).unwrap().display().to_string();
        File::new(&name, &std::fs::read_to_string(&path).unwrap())
    })
}

/// Rust source as words and punctuation. Comments and lifetimes are left out, literals are an empty word.
fn tokens(text: &str) -> Vec<Token> {
    let source: Vec<char> = text.chars().collect();
    let (mut found, mut at, mut line) = (Vec::new(), 0, 1);
    while at < source.len() {
        let (end, kept) = lexeme(&source, at);
        if let Some(text) = kept {
            found.push(Token { line, text });
        }
        line += source[at..end].iter().filter(|&&c| c == '\n').count();
        at = end;
    }
    found
}

/// Where what begins at `at` ends, and what is kept of it.
fn lexeme(source: &[char], at: usize) -> (usize, Option<String>) {
    let rest = &source[at..];
    let starts = |what: &str| what.chars().enumerate().all(|(n, c)| rest.get(n) == Some(&c));
    let word = rest.iter().take_while(|c| c.is_alphanumeric() || **c == '_').count();
    // `r"`, `br#"`, `b"`, `c"`: the prefix of a literal, not a word.
    let prefix: String = rest[..word].iter().collect();
    let hashes = rest[word..].iter().take_while(|&&c| c == '#').count();
    let quoted = rest.get(word + hashes) == Some(&'"');
    if rest[0].is_whitespace() {
        (at + 1, None)
    } else if starts("//") {
        (at + rest.iter().take_while(|&&c| c != '\n').count(), None)
    } else if starts("/*") {
        (at + block_comment(rest), None)
    } else if quoted && matches!(prefix.as_str(), "r" | "br" | "cr") {
        let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
        let open = word + hashes + 1;
        let length =
            rest[open..].windows(close.len()).position(|window| window == close).unwrap_or(rest.len() - open - close.len());
        (at + open + length + close.len(), Some(String::new()))
    } else if quoted && hashes == 0 && matches!(prefix.as_str(), "" | "b" | "c") {
        (at + literal(rest, word, '"'), Some(String::new()))
    } else if word > 0 {
        (at + word, Some(prefix))
    } else if starts("'") {
        // 'x' and '\n' are characters, 'x without its end is a lifetime.
        let is_char = rest.get(1) == Some(&'\\') || rest.get(2) == Some(&'\'');
        if is_char { (at + literal(rest, 0, '\''), Some(String::new())) } else { (at + 1, None) }
    } else if starts("::") {
        (at + 2, Some("::".to_owned()))
    } else {
        (at + 1, Some(rest[0].to_string()))
    }
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match (rest[at], rest.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of a literal whose opening quote is at `open`.
fn literal(rest: &[char], open: usize, quote: char) -> usize {
    let mut at = open + 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// Leaves out every item under `#[cfg(test)]`.
fn without_test_items(all: Vec<Token>) -> Vec<Token> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut at) = (Vec::new(), 0);
    while at < all.len() {
        if all.len() - at >= MARK.len() && MARK.iter().zip(&all[at..]).all(|(mark, token)| *mark == token.text) {
            at = item_end(&all, at + MARK.len());
        } else {
            kept.push(all[at].clone());
            at += 1;
        }
    }
    kept
}

/// The end of the item that begins here: its `;`, or the brace that closes its body.
fn item_end(all: &[Token], from: usize) -> usize {
    let (mut depth, mut import) = (0_i32, false);
    for (at, token) in all.iter().enumerate().skip(from) {
        match token.text.as_str() {
            "use" if depth == 0 => import = true,
            "(" | "[" | "{" => depth += 1,
            ")" | "]" => depth -= 1,
            "}" => {
                depth -= 1;
                // The braces of `use a::{b, c};` are not its end.
                if depth == 0 && !import {
                    return at + 1;
                }
            }
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    all.len()
}
