//! The package on its way to Windows: by SFTP into `blobs`, in one piece, or file by file where nothing there unpacks it.
//!
//! Both are taken up where an earlier try broke off, and proved there by certutil before they get their name. Never here: the
//! budgets of the way, which are those of every upload ([`super::super::steps::upload`]).

use bytes::Bytes;

use super::{make_parents, open, sftp_place, write};
use crate::domain::codepage;
use crate::domain::failure::{Code, Failure};
use crate::domain::plan::Plan;
use crate::engine::host_task::{Halt, HostTask};
use crate::engine::payload::Payload;
use crate::engine::talk::Talk;
use crate::packages::archive::Part;

use super::run::foreign;

/// What is on the host of a payload.
pub(in crate::engine) enum There {
    /// All of it.
    Whole,
    /// So many bytes as there should be, and nothing there to prove them with.
    Unverified,
    /// Its beginning: so many bytes, and their SHA-256.
    Part(u64, String),
    /// All but these of its files, by their place among them.
    Lacks(Vec<usize>),
}

/// Asks what is there, and has it proved and named when it is whole.
pub(in crate::engine) async fn there(task: &mut HostTask, plan: &Plan, payload: &Payload) -> Result<(There, bool), Failure> {
    let sha = payload.reference.sha256.clone();
    if payload.parts.is_empty() {
        let mut talk = task.call(plan, "put", &[&sha, &payload.reference.size.to_string()]).await?;
        let answer = said(&mut talk).await?;
        talk.end().await;
        return match answer.split_once(' ').unwrap_or((&answer, "")) {
            ("have", _) => Ok((There::Whole, false)),
            ("stored", _) => Ok((There::Whole, true)),
            ("stored=unverified", _) => Ok((There::Unverified, true)),
            (part, digest) => {
                let size = part.strip_prefix("part=").and_then(|part| part.parse().ok());
                Ok((There::Part(size.ok_or_else(|| unexpected(&answer))?, digest.to_owned()), false))
            }
        };
    }
    let mut lacks = Vec::new();
    let mut talk = task.call(plan, "tree", &[&sha]).await?;
    loop {
        let answer = said(&mut talk).await?;
        match answer.split_once('=').unwrap_or((&answer, "")) {
            ("have", _) => return Ok((There::Whole, false)),
            ("stored", _) => return Ok((There::Whole, true)),
            ("want", _) => return Ok((There::Lacks((0..payload.parts.len()).collect()), false)),
            ("lacks", number) => lacks.extend(number.parse::<usize>().ok().and_then(|number| number.checked_sub(1))),
            ("end", _) => return Ok((There::Lacks(lacks), false)),
            _ => return Err(unexpected(&answer)),
        }
    }
}

async fn said(talk: &mut Talk) -> Result<String, Failure> {
    let answer = talk.answer().await?;
    answer.ok_or_else(|| {
        Failure::new(Code::ConnectionLost, "the host did not say what it has of the package").with_tail(&talk.complaint())
    })
}

fn unexpected(answer: &str) -> Failure {
    Failure::new(Code::Internal, format!("unexpected answer `{answer}`"))
}

/// Where a payload that is not whole lies.
pub(in crate::engine) fn part_path(plan: &Plan, sha256: &str) -> Result<String, Failure> {
    sftp_place(plan, &["blobs", &format!(".{sha256}.part")])
}

/// Where a file of a tree goes.
pub(in crate::engine) fn file_path(plan: &Plan, sha256: &str, part: &Part) -> Result<String, Failure> {
    sftp_place(plan, &["blobs", &format!(".{sha256}.tree"), &part.path])
}

/// Makes ready for the files of a tree that are to come: their list and their directories.
pub(in crate::engine) async fn begin_tree(
    task: &mut HostTask,
    plan: &Plan,
    (payload, lacks): (&Payload, &[usize]),
) -> Result<(), Halt> {
    let sha = &payload.reference.sha256;
    let list = list(plan, payload)?;
    let mut sftp = open(task.session()?).await?;
    let root = sftp_place(plan, &["blobs", &format!(".{sha}.tree")])?;
    let mut made = std::collections::BTreeSet::new();
    for part in lacks.iter().filter_map(|at| payload.parts.get(*at)) {
        make_parents(&mut *sftp, &root, &file_path(plan, sha, part)?, &mut made).await?;
    }
    write(&mut *sftp, &sftp_place(plan, &["blobs", &format!(".{sha}.list")])?, list).await?;
    Ok(())
}

/// The files of a package, as `tree.bat` looks for them.
pub(in crate::engine) fn list(plan: &Plan, payload: &Payload) -> Result<Bytes, Failure> {
    let page = plan.codepage.unwrap_or(437);
    let mut list = Vec::new();
    for part in &*payload.parts {
        let line = format!("{} {} {}\r\n", part.sha256, part.size, part.path.replace('/', "\\"));
        list.extend(codepage::encoded(&line, page).ok_or_else(|| foreign(&format!("the name `{}`", part.path), page))?);
    }
    Ok(list.into())
}
