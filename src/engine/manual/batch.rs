//! What only a batch file is told, and what it fetches: one file at a time, in the code page of its host.
//!
//! Never here: what it does with that (`scripts/windows/manual.bat`).

use bytes::Bytes;

use super::sheet::Part;
use super::{ManualError, Visit};
use crate::assets::windows::PROGRAMS;
use crate::domain::codepage;
use crate::domain::failure::Failure;
use crate::domain::plan::{Form, Plan, StepKind};
use crate::engine::windows::package;
use crate::engine::windows::run::foreign;
use crate::plan::params;

/// Lines as the host's batch files read them.
pub(super) fn encoded(plan: &Plan, text: &str) -> Result<Bytes, Failure> {
    let page = plan.codepage.unwrap_or(437);
    let lines = text.replace('\n', "\r\n");
    codepage::encoded(&lines, page).map(Bytes::from).ok_or_else(|| foreign("a value of this host", page))
}

impl Visit {
    /// Names of files, and the form of the package: it travels unpacked where nothing unpacks it.
    pub(super) async fn batch_lines(&self) -> Result<Vec<(&'static str, String)>, ManualError> {
        let mut lines = Vec::new();
        if self.payload().await?.is_some_and(|payload| payload.reference.form == Form::Tree) {
            lines.push(("tree", "yes".into()));
        }
        if let Some(files) = self.files().await? {
            lines.push(("stage", params::stage_name((self.row.id, StepKind::UploadFiles))));
            lines.extend(files.iter().map(|file| ("file", file.name.replace('/', "\\"))));
        }
        Ok(lines)
    }

    /// The bytes of a part that is for batch files only; `None` where there is none of that kind.
    pub(super) async fn batch_part(&self, part: Part, at: usize) -> Result<Option<Bytes>, ManualError> {
        Ok(match part {
            Part::Program => PROGRAMS.get(at).map(|(_, text)| Bytes::from_static(text.as_bytes())),
            Part::Places => {
                let (setup, temp) = self.places();
                // Read in a code page that is not known yet: what is not ASCII is looked for by the probe alone.
                Some(format!("{setup}\r\n{temp}\r\n").into())
            }
            Part::File => {
                self.files().await?.and_then(|mut files| (at < files.len()).then(|| files.swap_remove(at).bytes.into()))
            }
            Part::List => match self.payload().await? {
                Some(payload) => Some(package::list(self.plan()?, &payload)?),
                None => None,
            },
            Part::Leaf => self
                .payload()
                .await?
                .and_then(|payload| payload.parts.get(at).map(|part| payload.bytes.slice(part.at..part.at + part.size))),
            Part::Params => Some(encoded(self.plan()?, &params::render(self.plan()?, &self.run())?)?),
            Part::Package | Part::Files | Part::Run | Part::Health => None,
        })
    }
}
