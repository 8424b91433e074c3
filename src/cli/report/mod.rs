//! What a person or a program sees of a running job.
//!
//! ```text
//! Feed ─► follow ─► Reporter::on      every event, in order
//!            ├────► Reporter::tick    what is being sent, ten times a second, only for who draws
//!            └────► Reporter::finish  the job as the record has it, once
//! ```
//! To add a form: implement [`Reporter`], choose it in [`choose`].

mod bars;
pub(crate) mod hint;
mod json;
mod lines;
#[cfg(test)]
pub(crate) mod sample;
pub(crate) mod summary;
pub(crate) mod table;
mod tally;

use super::Context;
use super::args::Output;
use super::quiet::Quiet;
use super::style;
use crate::domain::event::Event;
use crate::service::Progress;
use crate::service::view::JobView;

/// Shows a job as it goes.
pub(crate) trait Reporter {
    /// Events from before this process took the job up: known, not shown.
    fn recall(&mut self, _events: &[Event]) {}

    /// The next event.
    fn on(&mut self, event: &Event);

    /// Does it draw, so that it wants to be ticked?
    fn is_live(&self) -> bool {
        false
    }

    /// What is being sent right now.
    fn tick(&mut self, _sending: &[Progress]) {}

    /// Something to say that is not data.
    fn note(&mut self, text: &str);

    /// The end.
    fn finish(&mut self, job: &JobView);
}

/// The form for these flags and this terminal.
pub(crate) fn choose(context: &mut Context) -> Box<dyn Reporter + '_> {
    let Context { output, out, paint, logs, .. } = context;
    match output {
        Output::Json => Box::new(json::Json::new(out)),
        // In the background there is no echo to turn off, and a picture would be drawn over the shell's prompt.
        Output::Text => match style::is_live().then(Quiet::begin) {
            Some(Ok(quiet)) => Box::new(bars::Bars::new(out, *paint, logs, quiet)),
            Some(Err(_)) | None => Box::new(lines::Lines::new(out, *paint)),
        },
    }
}
