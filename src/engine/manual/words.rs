//! How a step went, in the words of the script on the host: what `scripts/unix/manual.sh` says with DONE and FAILED.

use crate::domain::event::Figures;
use crate::domain::failure::{Code, Failure};
use crate::domain::outcome::StepOutcome;
use crate::domain::plan::{Plan, StepKind, Work};
use crate::domain::run::{RunEnd, last_message};
use crate::engine::steps::script;
use crate::engine::talk;

/// Longest text of a script that goes into a failure or a detail, characters.
const LONGEST: usize = 300;

/// How a step ended.
pub(super) type Ended = (StepOutcome, Figures);

/// What a script says of the end of a step is not understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotUnderstood;

/// DONE: `said` is the word of the program that did the step, `tail` the end of the run's log.
pub(super) fn done(plan: &Plan, step: StepKind, said: &str, tail: &str) -> Result<Ended, NotUnderstood> {
    let changed = |detail: String| (StepOutcome::Done { changed: true }, Figures::detail(detail));
    Ok(match step {
        StepKind::UploadPackage => fetched(plan, said)?,
        StepKind::UploadFiles => changed("fetched by the host".into()),
        StepKind::RunScript => match RunEnd::parse(said).map_err(|_| NotUnderstood)?.ok_or(NotUnderstood)? {
            RunEnd::Exit { code: 0, .. } => changed(last_message(tail)),
            RunEnd::Exit { code, .. } => failed(script::failure(code, tail)),
            RunEnd::Rebooted => {
                failed(Failure::new(Code::Rebooted, "the host was restarted while the script ran").with_tail(tail))
            }
            RunEnd::Lost => failed(Failure::new(Code::RunLost, "the script is gone and left no exit code").with_tail(tail)),
        },
        StepKind::Verify => changed(format!("answered ({})", short(said.strip_prefix("healthy ").ok_or(NotUnderstood)?))),
        StepKind::VerifyGone => changed("process and files are gone".into()),
        StepKind::Cleanup => (StepOutcome::Done { changed: true }, Figures::default()),
        _ => return Err(NotUnderstood),
    })
}

/// `have`, or `stored BYTES`, or `stored=unverified BYTES`.
fn fetched(plan: &Plan, said: &str) -> Result<Ended, NotUnderstood> {
    let Work::Install { package, payload, .. } = &plan.work else { return Err(NotUnderstood) };
    let (word, bytes) = said.split_once(' ').unwrap_or((said, "0"));
    let bytes = bytes.parse::<u64>().map_err(|_| NotUnderstood)?;
    let detail = (word != "have").then(|| format!("{} bytes as {}, fetched by the host", payload.size, payload.form.word()));
    let figures = Figures {
        bytes_sent: Some(bytes.min(payload.size)),
        stored_bytes: Some(package.size),
        payload_bytes: Some(payload.size),
        detail,
    };
    let outcome = match word {
        "have" => StepOutcome::Skipped { why: "the host has these bytes already".into() },
        "stored" => StepOutcome::Done { changed: true },
        "stored=unverified" => {
            StepOutcome::Warned { message: "the host has no tool to verify SHA-256 with; only the size was checked".into() }
        }
        _ => return Err(NotUnderstood),
    };
    Ok((outcome, figures))
}

fn failed(failure: Failure) -> Ended {
    (StepOutcome::Failed { failure }, Figures::default())
}

/// FAILED: `CODE TEXT`. A host that could not be tidied up has its agent all the same.
pub(super) fn not_done(step: StepKind, said: &str, tail: &str) -> Ended {
    let (word, text) = said.split_once(' ').unwrap_or((said, ""));
    let text = short(text);
    if step == StepKind::Cleanup {
        let message = format!("not tidied up: {text}");
        return (StepOutcome::Warned { message }, Figures::default());
    }
    let failure = match word {
        "unhealthy" => Failure::new(Code::AgentSilent, format!("the agent did not answer in time: {text}")),
        "cannot" => Failure::new(Code::CannotAsk, format!("there is no way to ask the agent: {text}")),
        "died" => Failure::new(Code::AgentDied, text),
        "still" => Failure::new(Code::AgentStillThere, format!("the agent is still on the host ({text})")),
        "late" => Failure::new(Code::StepTimeout, format!("{step} did not end within {text} s")),
        "unreached" => Failure::new(Code::ConnectionLost, format!("the host could not fetch what it needs: {text}")),
        _ => talk::refusal(&format!("{word} {text}")),
    };
    failed(failure.at(step).with_tail(tail))
}

/// One line of bounded length.
fn short(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_has_the_code_that_it_has_over_ssh() {
        let code = |step, said: &str| match not_done(step, said, "").0 {
            StepOutcome::Failed { failure } => failure.code.into_owned(),
            other => format!("{other:?}"),
        };
        for (step, said, wanted) in [
            (StepKind::UploadPackage, "no_space /var/lib has 3 kB free", "no_space"),
            (StepKind::UploadPackage, "checksum 3 bytes", "checksum_mismatch"),
            (StepKind::UploadFiles, "unreached http://x", "connection_lost"),
            (StepKind::RunScript, "late 600", "step_timeout"),
            (StepKind::Verify, "unhealthy exit code 7", "agent_silent"),
            (StepKind::Verify, "cannot neither curl nor wget", "cannot_ask"),
            (StepKind::Verify, "died it does not run", "agent_died"),
            (StepKind::VerifyGone, "still exit code 0", "agent_still_there"),
        ] {
            assert_eq!(code(step, said), wanted, "{said}");
        }
        assert!(matches!(not_done(StepKind::Cleanup, "failed x", "").0, StepOutcome::Warned { .. }));
    }

    #[test]
    fn text_of_a_host_is_one_short_line() {
        assert_eq!(short("a\nb\u{1b}[0m"), "a b [0m");
        assert_eq!(short(&"x".repeat(1_000)).len(), LONGEST);
    }
}
