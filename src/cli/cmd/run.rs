//! `landfall run`: a job → a recorded job → its end.

use super::follow::{self, Work};
use super::{answered, language, open};
use crate::cli::args::Run;
use crate::cli::exit::{CliError, ExitStatus};
use crate::cli::job_source::Draft;
use crate::cli::{Context, report};
use crate::config;
use crate::domain::id::Seq;
use crate::lifecycle::Signals;
use crate::service::Stop;
use crate::service::submit::Caller;

pub(crate) async fn run(run: Run, context: &mut Context) -> Result<ExitStatus, CliError> {
    let result = submit_and_follow(run, context).await;
    answered(result, context)
}

async fn submit_and_follow(run: Run, context: &mut Context) -> Result<ExitStatus, CliError> {
    let draft = Draft::read(&run.source, context)?;
    let stop = Stop::new();
    let mut signals = Signals::listen(stop.clone()).map_err(|source| CliError::System { what: "take signals", source })?;
    let sources = draft.secrets(&mut signals).await?;
    let caller = Caller::at_terminal(config::caller_name(), language(), sources);
    let app = open(context).await?;
    let accepted = app.service.submit(&draft.body, &caller).await.map_err(|rejection| draft.rejected(rejection))?;
    // It may be large, and passwords may be in it.
    drop(draft);
    let feed = app.service.feed(accepted.job, Seq::default());
    let (service, worker, held) = (app.service.clone(), app.service.clone(), stop.clone());
    let work = Work { service, job: accepted.job, feed, signals, stop };
    let mut reporter = report::choose(context);
    follow::follow(work, async move { worker.run(accepted.job, accepted.lease, held).await }, reporter.as_mut()).await
}
