//! Pages of what the record shows: job lists, a job's hosts, one host's log. Each costs its page, not the job.

use std::net::IpAddr;

use serde::Serialize;

use super::view::{self, JobLine, JobList, JobView, StepLog};
use super::{Service, ServiceError};
use crate::domain::host::Address;
use crate::domain::id::{JobId, TaskId};
use crate::domain::job::Status;
use crate::domain::plan::StepKind;
use crate::domain::site::Language;
use crate::store::TaskRow;

// What the doors need of the record's lists.
pub use crate::store::page::{Counted, JobFilter, JobOrder, Page, TaskFilter, TaskName};

/// What every `instance_id` begins with.
const INSTANCE: &str = "host|instance|host|";

/// Pieces of output that one answer holds at most: each is a look into the record.
const PIECES: usize = 1_000;

/// A cursor of [`Tail`] is a piece's number times this plus the bytes of it that were given.
const WITHIN: i64 = 1 << 20;

/// What an `instance_id` names; `None` when it is none.
#[must_use]
pub fn instance(text: &str) -> Option<TaskName> {
    let name = text.strip_prefix(INSTANCE)?;
    if let Ok(number) = name.parse() {
        return Some(TaskName::Numbered(number));
    }
    let (ip, cloud) = name.strip_suffix("-0")?.rsplit_once('-')?;
    Some(TaskName::At(Address { ip: ip.parse().ok()?, cloud: cloud.parse().ok()? }))
}

/// What a host printed after a cursor.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Tail {
    /// The cursor after it: `offset` of the next request.
    pub offset: i64,
    /// Will nothing more come, unless the host is tried again?
    pub finished: bool,
    /// What was printed, in the order it came.
    pub list: Vec<Piece>,
}

/// A piece of a step's output.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Piece {
    /// The step.
    pub step: StepKind,
    /// The plugin it is about, where there may be several steps of a kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Its attempt.
    pub attempt: u32,
    /// The text.
    pub log: String,
}

impl Service {
    /// A page of the list of jobs.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub async fn job_page(
        &self,
        filter: &JobFilter,
        order: JobOrder,
        page: Page,
        language: Language,
    ) -> Result<JobList, ServiceError> {
        let (total, rows) = self.store.job_page(filter, order, page).await?;
        Ok(JobList { total, list: rows.iter().map(|row| JobLine::of(row, &self.site, language)).collect() })
    }

    /// A job with a page of its hosts, in the order of the request, those that were left out among them.
    ///
    /// # Errors
    /// [`ServiceError::NoJob`]; when the record cannot be read.
    pub async fn details(&self, id: JobId, filter: &TaskFilter, page: Page, language: Language) -> Result<JobView, ServiceError> {
        let row = self.store.job(id).await?.ok_or(ServiceError::NoJob(id))?;
        let (total, tasks) = self.store.task_page(id, filter, page).await?;
        let places: Vec<u32> = tasks.iter().map(|task| task.index).collect();
        let records = view::fold(&self.store.host_events(id, &places).await?)?;
        let list = self.views(row.spec.kind, &tasks, &records, language).await?;
        let line = JobLine::of(&row, &self.site, language);
        let ip_filter_list = if line.statistics.ignored_count > 0 { self.left_out(id).await? } else { Vec::new() };
        let held_by = self.store.holder(id).await?;
        Ok(JobView { job_id: id, meta: (&line.meta).into(), line, total, ip_filter_list, list, held_by, audit: None })
    }

    async fn left_out(&self, id: JobId) -> Result<Vec<IpAddr>, ServiceError> {
        let filter = TaskFilter { statuses: Some(vec![Status::Ignored, Status::Filtered]), ..TaskFilter::default() };
        let (_, tasks) = self.store.task_page(id, &filter, Page { offset: 0, limit: None }).await?;
        Ok(tasks.iter().map(|task| task.address.ip).collect())
    }

    /// The host task that an `instance_id` names. Of a host that stands twice in the request the one that is worked on.
    pub(super) async fn instance_of(&self, id: JobId, text: &str) -> Result<TaskRow, ServiceError> {
        if self.store.job(id).await?.is_none() {
            return Err(ServiceError::NoJob(id));
        }
        let nobody = || ServiceError::NoInstance { job: id, instance: text.to_owned() };
        let filter = TaskFilter { named: Some(vec![instance(text).ok_or_else(nobody)?]), ..TaskFilter::default() };
        let (_, tasks) = self.store.task_page(id, &filter, Page { offset: 0, limit: None }).await?;
        let left_out = |task: &TaskRow| matches!(task.status, Status::Ignored | Status::Filtered);
        tasks.into_iter().min_by_key(left_out).ok_or_else(nobody)
    }

    /// The log of one host, step by step.
    ///
    /// # Errors
    /// [`ServiceError::NoJob`], [`ServiceError::NoInstance`]; when the record cannot be read.
    pub async fn host_log(&self, id: JobId, text: &str) -> Result<Vec<StepLog>, ServiceError> {
        let task = self.instance_of(id, text).await?;
        let record = view::fold(&self.store.host_events(id, &[task.index]).await?)?.remove(&task.index).unwrap_or_default();
        Ok(view::step_logs(&task, &record, &self.store.output(task.id).await?))
    }

    /// What one host printed after cursor `offset` (0 at first), `limit` bytes at most: each byte once.
    ///
    /// # Errors
    /// [`ServiceError::NoJob`], [`ServiceError::NoInstance`]; when the record cannot be read.
    pub async fn host_tail(&self, id: JobId, text: &str, (offset, limit): (i64, usize)) -> Result<Tail, ServiceError> {
        let task = self.instance_of(id, text).await?;
        // Looked at first: what is printed before the end is read then.
        let finished = !matches!(task.status, Status::Pending | Status::Running);
        let mut tail = Tail { offset, finished, list: Vec::new() };
        let mut room = limit;
        for _ in 0..PIECES {
            let (number, within) = (tail.offset / WITHIN, tail.offset % WITHIN);
            let Some((piece, next)) = self.next_piece(task.id, (number, within), (room, finished)).await? else { break };
            room = room.saturating_sub(piece.log.len());
            tail.offset = next;
            match tail.list.last_mut() {
                Some(last) if (last.step, last.attempt) == (piece.step, piece.attempt) => last.log.push_str(&piece.log),
                _ => tail.list.push(piece),
            }
            if room == 0 {
                break;
            }
        }
        Ok(tail)
    }

    /// The next text after `within` bytes of piece `number`, and the cursor after it. A character that the end of a piece
    /// cuts in two is given with the next piece, and waits for it as long as one may come.
    async fn next_piece(
        &self,
        task: TaskId,
        (number, within): (i64, i64),
        (room, finished): (usize, bool),
    ) -> Result<Option<(Piece, i64)>, ServiceError> {
        let mut skipped = usize::try_from(within).unwrap_or_default();
        let mut found = (Vec::new(), number);
        if number > 0 && within > 0 {
            // The piece that was given in part, unless it is gone or there is no more of it.
            let (chunks, next) = self.store.output_after(task, number - 1, 1).await?;
            if next == number && chunks.first().is_some_and(|chunk| chunk.data.len() > skipped) {
                found = (chunks, next);
            }
        }
        if found.0.is_empty() {
            skipped = 0;
            found = self.store.output_after(task, number, 1).await?;
        }
        let Some(chunk) = found.0.first() else { return Ok(None) };
        let rest = chunk.data.get(skipped..).unwrap_or_default();
        let whole = whole_characters(rest, room);
        let (mut given, mut cursor) = (rest.get(..whole).unwrap_or(rest).to_vec(), (found.1, skipped + whole));
        if whole == 0 {
            let (more, next) = self.store.output_after(task, found.1, 1).await?;
            let same = more.first().filter(|more| (more.step, more.attempt) == (chunk.step, chunk.attempt));
            let head = same.map_or(0, |more| continuation(&more.data, rest));
            given = rest.to_vec();
            cursor = (found.1, skipped + rest.len());
            match same {
                Some(more) if head > 0 => {
                    given.extend_from_slice(more.data.get(..head).unwrap_or_default());
                    cursor = (next, head);
                }
                None if !finished && more.is_empty() => return Ok(None),
                Some(_) | None => {}
            }
        }
        let log = String::from_utf8_lossy(&given).into_owned();
        let (number, within) = (cursor.0, i64::try_from(cursor.1).unwrap_or_default());
        Ok(Some((
            Piece { step: chunk.step, subject: view::subject(&chunk.step), attempt: chunk.attempt, log },
            number.saturating_mul(WITHIN).saturating_add(within),
        )))
    }
}

/// How many of these bytes to give: at most `room` (but a character always), without half a character at the end. None when
/// there is nothing but the first half of one.
fn whole_characters(bytes: &[u8], room: usize) -> usize {
    let head = bytes.get(..bytes.len().min(room.max(4))).unwrap_or(bytes);
    let mut seen = 0;
    loop {
        match std::str::from_utf8(head.get(seen..).unwrap_or_default()) {
            Ok(_) => return head.len(),
            Err(error) => match error.error_len() {
                // What is no text at all is passed over.
                Some(length) => seen += error.valid_up_to() + length,
                // An end that may go on.
                None => return seen + error.valid_up_to(),
            },
        }
    }
}

/// How many bytes at the beginning of `next` belong to the character that `half` begins.
fn continuation(next: &[u8], half: &[u8]) -> usize {
    let length = match half.first() {
        Some(0xf0..) => 4,
        Some(0xe0..) => 3,
        _ => 2,
    };
    next.iter().take(length - half.len().min(length)).take_while(|byte| **byte & 0xc0 == 0x80).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_id_names_a_host_by_number_or_by_place() {
        let at = |cloud, ip: &str| Some(TaskName::At(Address { cloud, ip: ip.parse().unwrap() }));
        assert_eq!(instance("host|instance|host|17"), Some(TaskName::Numbered(17)));
        assert_eq!(instance("host|instance|host|10.0.0.5-0-0"), at(0, "10.0.0.5"));
        assert_eq!(instance("host|instance|host|fd00::5-2-0"), at(2, "fd00::5"));
        for wrong in ["", "10.0.0.5", "host|instance|host|", "host|instance|host|10.0.0.5", "host|instance|host|10.0.0.5-0-1"] {
            assert_eq!(instance(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn half_a_character_waits_for_its_rest_as_long_as_one_may_come() {
        let text = "日志".as_bytes();
        assert_eq!(whole_characters(text, 100), 6);
        assert_eq!(whole_characters(&text[..5], 100), 3);
        assert_eq!(whole_characters(&text[..2], 100), 0);
        assert_eq!(whole_characters(text, 5), 3);
        assert_eq!(whole_characters(b"\xff\xfe and more", 100), 11);
        assert_eq!(continuation(&text[5..], &text[3..5]), 1);
        assert_eq!(continuation(b"abc", &text[..1]), 0);
    }
}
