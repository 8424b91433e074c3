//! The cells of the table: what is asked, when the way breaks, and how.

use std::time::Duration;

use landfall::domain::job::JobKind;
use landfall::domain::plan::StepKind;
use landfall::plan::outline::outline;

use crate::asks::Ask;
use crate::proxy::{End, Fault};

/// What an install asks of a host, in order. A kill is asked only after a run that failed.
const ASKS: [Ask; 9] =
    [Ask::Connect, Ask::Probe, Ask::Put, Ask::Bundle, Ask::Start, Ask::Follow, Ask::Status, Ask::Health, Ask::Cleanup];

/// The five faults; in both directions where that makes a difference, and with what stalled coming late, as after a cable was
/// put back. Those that take longest begin first.
const FAULTS: [Fault; 8] = [
    Fault::Stall,
    Fault::Late,
    Fault::Cut,
    Fault::HalfClose(End::Client),
    Fault::HalfClose(End::Server),
    Fault::Corrupt(End::Client),
    Fault::Corrupt(End::Server),
    Fault::Delay(Duration::from_millis(250)),
];

/// When the fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Moment {
    /// At the first byte of the request: the host never learns of it.
    Asked,
    /// When a part of what belongs to it has come.
    Halfway,
    /// When the host has done it and says so: the answer never comes.
    Done,
}

/// One cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    pub step: StepKind,
    pub ask: Ask,
    pub moment: Moment,
    pub fault: Fault,
}

impl Cell {
    /// All there are: every fault × every ask of every step that needs the host × every moment.
    pub fn all() -> Vec<Self> {
        let needs_host = |step: &StepKind| step.is_on_host() || *step == StepKind::Connect;
        let steps_of = |kind| outline(kind, 600).into_iter().map(|step| step.kind).filter(needs_host);
        let steps: Vec<StepKind> = steps_of(JobKind::InstallAgent).collect();
        for kind in JobKind::ALL {
            let elsewhere = steps_of(kind).find(|step| step.changes_host() && !steps.contains(step));
            assert_eq!(elsewhere, None, "{kind:?} changes the host in a step that no install has");
        }
        FAULTS.into_iter().flat_map(|fault| steps.iter().flat_map(move |step| Self::of(fault, *step))).collect()
    }

    fn of(fault: Fault, step: StepKind) -> Vec<Self> {
        let asks: Vec<Ask> = ASKS.into_iter().filter(|ask| ask.steps().contains(&step)).collect();
        assert!(!asks.is_empty(), "{step} needs the host, and no ask of it is known here");
        let cell = |ask, moment: &Moment| Self { step, ask, moment: *moment, fault };
        asks.into_iter().flat_map(|ask| moments(ask, fault).iter().map(move |moment| cell(ask, moment))).collect()
    }
}

fn moments(ask: Ask, fault: Fault) -> &'static [Moment] {
    match (fault, ask) {
        // It lasts from here on.
        (Fault::Delay(_), _) => &[Moment::Asked],
        // What only looks leaves nothing behind that could come late.
        (Fault::Late, Ask::Connect | Ask::Probe | Ask::Status | Ask::Health) => &[],
        // A changed bit of the greeting is another protocol, and no broken line.
        (Fault::Corrupt(End::Client), Ask::Connect) => &[Moment::Halfway],
        (_, Ask::Connect) => &[Moment::Asked, Moment::Halfway],
        (_, Ask::Probe | Ask::Status | Ask::Health) => &[Moment::Asked],
        (Fault::Late, ask) if ask.takes_bytes() => &[Moment::Halfway],
        (Fault::Late, _) => &[],
        (_, ask) if ask.takes_bytes() => &[Moment::Asked, Moment::Halfway, Moment::Done],
        _ => &[Moment::Asked, Moment::Done],
    }
}
