//! Output of steps, in pieces. Of every attempt the head and the tail are kept; what falls between them is dropped as
//! the tail moves on, so an attempt that prints without end costs no more than they do.
//!
//! Never here: meaning. State never depends on output.

use std::collections::HashMap;

use bytes::Bytes;
use sqlx::FromRow;

use super::insert::{Target, insert};
use super::session::{Session, query};
use crate::domain::id::TaskId;
use crate::domain::plan::StepKind;
use crate::store::row::{number, step};
use crate::store::{OUTPUT_HEAD, OUTPUT_TAIL, OutputChunk, StoreError};

/// Largest stored piece, bytes. Pieces go as a whole, so an attempt keeps at most two of them too many.
const PIECE: usize = 64 << 10;

/// Whose output it is.
pub(super) type Stream = (TaskId, StepKind, u32);

/// Inserts pieces and drops the middle.
pub(super) async fn write(tx: &mut Session, chunks: Vec<OutputChunk>) -> Result<(), StoreError> {
    let mut ends: HashMap<Stream, u64> = HashMap::new();
    for chunk in &chunks {
        let end = ends.entry(stream(chunk)).or_default();
        *end = (*end).max(end_of(chunk));
    }
    let in_the_middle = |piece: &OutputChunk| {
        let tail = ends.get(&stream(piece)).map_or(0, |end| tail_of(*end));
        piece.offset >= OUTPUT_HEAD && end_of(piece) <= tail
    };
    let pieces: Vec<OutputChunk> = chunks.into_iter().flat_map(split).filter(|piece| !in_the_middle(piece)).collect();
    let into = Target {
        table: "output (task_id, step, attempt, byte_offset, data)",
        // A follower that connects anew may send again from where it was.
        tail: "on conflict (task_id, step, attempt, byte_offset) do update set data = excluded.data
               where length(excluded.data) > length(output.data)",
    };
    insert(tx, into, &longest(pieces), |piece| {
        [
            piece.task.to_string().into(),
            piece.step.key().into(),
            i64::from(piece.attempt).into(),
            stored(piece.offset).into(),
            piece.data.to_vec().into(),
        ]
    })
    .await?;
    for (stream, end) in ends {
        drop_middle(tx, stream, tail_of(end)).await?;
    }
    Ok(())
}

/// Of pieces that begin at the same place the longest one, at the place of the first: a statement must not touch a row twice.
fn longest(pieces: Vec<OutputChunk>) -> Vec<OutputChunk> {
    let mut places: HashMap<(Stream, u64), usize> = HashMap::new();
    let mut kept: Vec<OutputChunk> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let place = *places.entry((stream(&piece), piece.offset)).or_insert(kept.len());
        match kept.get_mut(place) {
            Some(before) if before.data.len() < piece.data.len() => *before = piece,
            Some(_) => {}
            None => kept.push(piece),
        }
    }
    kept
}

/// Drops pieces between the head and `tail`.
async fn drop_middle(tx: &mut Session, (task, step, attempt): Stream, tail: u64) -> Result<(), StoreError> {
    if tail <= OUTPUT_HEAD {
        return Ok(());
    }
    query(
        "delete from output where task_id = $1 and step = $2 and attempt = $3
         and byte_offset >= $4 and byte_offset < $5 and byte_offset + length(data) <= $5",
    )
    .bind(task.to_string())
    .bind(step.key())
    .bind(i64::from(attempt))
    .bind(stored(OUTPUT_HEAD))
    .bind(stored(tail))
    .execute(tx, "drop the middle of an output")
    .await?;
    Ok(())
}

fn stream(chunk: &OutputChunk) -> Stream {
    (chunk.task, chunk.step, chunk.attempt)
}

fn end_of(chunk: &OutputChunk) -> u64 {
    chunk.offset.saturating_add(chunk.data.len() as u64)
}

/// Where the tail of an output of `end` bytes begins.
fn tail_of(end: u64) -> u64 {
    end.saturating_sub(OUTPUT_TAIL)
}

/// Offsets beyond 2^63 do not happen; the largest stands for them.
fn stored(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

fn split(chunk: OutputChunk) -> Vec<OutputChunk> {
    let OutputChunk { task, step, attempt, mut offset, mut data } = chunk;
    let mut pieces = Vec::with_capacity(data.len() / PIECE + 1);
    while !data.is_empty() {
        let piece = data.split_to(data.len().min(PIECE));
        let length = piece.len() as u64;
        pieces.push(OutputChunk { task, step, attempt, offset, data: piece });
        offset = offset.saturating_add(length);
    }
    pieces
}

/// Where the output of an attempt ends.
pub(super) async fn end(on: &mut Session, (task, kind, attempt): Stream) -> Result<u64, StoreError> {
    let end: Option<i64> =
        query("select max(byte_offset + length(data)) from output where task_id = $1 and step = $2 and attempt = $3")
            .bind(task.to_string())
            .bind(kind.key())
            .bind(i64::from(attempt))
            .one(on, "read the end of an output")
            .await?;
    number("offset", end.unwrap_or(0))
}

#[derive(FromRow)]
struct NumberedPiece {
    id: i64,
    #[sqlx(flatten)]
    piece: PieceRecord,
}

/// Pieces stored after a cursor, in the order they came. A piece that is sent again and longer keeps its number, so
/// whoever has read it already does not get what was added; the next piece brings it.
pub(super) async fn after(
    on: &mut Session,
    task: TaskId,
    (after, limit): (i64, u32),
) -> Result<(Vec<OutputChunk>, i64), StoreError> {
    let records: Vec<NumberedPiece> =
        query("select id, step, attempt, byte_offset, data from output where task_id = $1 and id > $2 order by id limit $3")
            .bind(task.to_string())
            .bind(after)
            .bind(i64::from(limit))
            .all(on, "read new output")
            .await?;
    let next = records.last().map_or(after, |record| record.id);
    let chunks = records.into_iter().map(|record| record.piece.chunk(task)).collect::<Result<_, _>>()?;
    Ok((chunks, next))
}

#[derive(FromRow)]
struct PieceRecord {
    step: String,
    attempt: i64,
    byte_offset: i64,
    data: Vec<u8>,
}

/// Output of a host task, by step and attempt in the order they began.
pub(super) async fn read(on: &mut Session, task: TaskId) -> Result<Vec<OutputChunk>, StoreError> {
    // The head of an output is never dropped, so its first row tells when it began.
    query(
        "with begun as (select step, attempt, min(id) as place from output where task_id = $1 group by step, attempt)
         select o.step, o.attempt, o.byte_offset, o.data from output o join begun b on b.step = o.step and b.attempt = o.attempt
         where o.task_id = $1 order by b.place, o.byte_offset",
    )
    .bind(task.to_string())
    .each(on, "read output", |record: PieceRecord| record.chunk(task))
    .await
}

impl PieceRecord {
    fn chunk(self, task: TaskId) -> Result<OutputChunk, StoreError> {
        Ok(OutputChunk {
            task,
            step: step(&self.step)?,
            attempt: number("attempt", self.attempt)?,
            offset: number("offset", self.byte_offset)?,
            data: Bytes::from(self.data),
        })
    }
}
