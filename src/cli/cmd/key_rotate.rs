//! `landfall key rotate`: another key, and every secret of the record sealed anew under it.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::open;
use crate::cli::args::Output;
use crate::cli::exit::{CliError, ExitStatus};
use crate::cli::out::Printer;
use crate::cli::{Context, text};

/// Between two notes of how far it is.
const NOTE: Duration = Duration::from_secs(2);

/// What was done.
#[derive(Serialize)]
struct Line<'a> {
    from: &'a str,
    to: &'a str,
    resealed: u64,
}

/// How far it is.
#[derive(Serialize)]
struct Step {
    resealed: u64,
    left: u64,
}

pub(crate) async fn rotate(prepare: bool, context: &mut Context) -> Result<ExitStatus, CliError> {
    let service = open(context).await?.service;
    let json = context.output == Output::Json;
    if prepare {
        let change = service.prepare_key().await?;
        if json {
            context.out.json(&Line { from: &change.from, to: &change.to, resealed: 0 });
        } else {
            context.out.line(format!("key {} waits beside key {} in {}", change.to, change.from, key_file(context)));
        }
        context
            .out
            .hint("copy the key file to every machine that has this record, then run `landfall key rotate` on one of them");
        return Ok(ExitStatus::Success);
    }
    let mut progress = Progress { resealed: 0, told: Instant::now(), json };
    let rotated = service.rotate_key(|done, left| progress.on(done, left, &mut context.out)).await?;
    if json {
        context.out.json(&Line { from: &rotated.change.from, to: &rotated.change.to, resealed: rotated.resealed });
    } else {
        let count = text::count(usize::try_from(rotated.resealed).unwrap_or(usize::MAX), "secret");
        context.out.line(format!("key {} took the place of key {}: {count} sealed anew", rotated.change.to, rotated.change.from));
        context.out.note(format!("the old key is no longer in {}; a backup of it opens no secret any more", key_file(context)));
    }
    Ok(ExitStatus::Success)
}

fn key_file(context: &Context) -> String {
    context.settings.key_file.display().to_string()
}

struct Progress {
    resealed: u64,
    told: Instant,
    json: bool,
}

impl Progress {
    fn on(&mut self, done: u64, left: u64, out: &mut Printer) {
        self.resealed += done;
        if left == 0 || done == 0 {
            return;
        }
        if self.json {
            out.json(&Step { resealed: self.resealed, left });
        } else if self.told.elapsed() > NOTE {
            self.told = Instant::now();
            out.note(format!("{} secrets sealed anew, {left} to go", self.resealed));
        }
    }
}
