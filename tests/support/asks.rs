//! What the executor asks of a host, told from the command line that carries it (`scripts/README.md` has the programs).
//!
//! To add a program: its [`Ask`], the step it belongs to, and its line in `ask_of`.

#![allow(dead_code, reason = "every test binary uses its own part of this")]

use landfall::assets;
use landfall::domain::plan::StepKind;
use landfall::domain::shell;

/// What can be asked of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ask {
    Connect,
    Probe,
    Put,
    Bundle,
    Start,
    Follow,
    Collect,
    Kill,
    Status,
    Health,
    Cleanup,
    Forward,
    /// How far servers are, through the session or by a program.
    Measure,
}

impl Ask {
    /// The steps that may ask so.
    pub fn steps(self) -> &'static [StepKind] {
        match self {
            Self::Connect => &[StepKind::Connect],
            // Once more when the chosen access point has other places.
            Self::Probe => &[StepKind::Probe, StepKind::ChooseAccessPoint],
            Self::Measure => &[StepKind::ChooseAccessPoint],
            Self::Put => &[StepKind::UploadPackage],
            Self::Bundle => &[StepKind::UploadFiles],
            Self::Collect => &[],
            Self::Start | Self::Follow | Self::Kill => &[StepKind::RunScript, StepKind::SwitchBack],
            Self::Status | Self::Health | Self::Forward => &[StepKind::Verify, StepKind::VerifyGone, StepKind::SwitchBack],
            Self::Cleanup => &[StepKind::Cleanup],
        }
    }

    /// May that step ask so? A plugin's does what several do for an agent.
    pub fn belongs_to(self, step: StepKind) -> bool {
        let of_plugin = matches!(
            self,
            Self::Put | Self::Bundle | Self::Start | Self::Follow | Self::Collect | Self::Kill | Self::Status | Self::Health
        );
        self.steps().contains(&step) || (step.plugin().is_some() && (of_plugin || self == Self::Forward))
    }

    /// Does its program read a payload from stdin, whose end it waits for?
    pub fn takes_bytes(self) -> bool {
        match self {
            Self::Probe | Self::Put | Self::Bundle | Self::Start => true,
            Self::Connect
            | Self::Follow
            | Self::Collect
            | Self::Kill
            | Self::Status
            | Self::Health
            | Self::Cleanup
            | Self::Forward
            | Self::Measure => false,
        }
    }
}

/// A command line, understood.
pub struct Command {
    pub ask: Ask,
    pub args: Vec<String>,
    /// Through sudo: with the prompt that was asked for, or `None` for `-n`.
    pub sudo: Option<Option<String>>,
}

impl Command {
    pub fn read(line: &str) -> Self {
        let words = split(line);
        let (sudo, words) = match words.iter().position(|word| word == "sudo") {
            Some(at) if words[..at] == ["sh", "-c", shell::FIND, "lf"] => {
                let end = words.iter().position(|word| word == "--").unwrap();
                let prompt = words[at..end].iter().position(|word| word == "-p").map(|flag| words[at + flag + 1].clone());
                (Some(prompt), words[end + 1..].to_vec())
            }
            _ => (None, words),
        };
        assert_eq!(words[..4], ["sh", "-c", shell::POSIX, "lf"], "every program is handed over");
        let args: Vec<String> = words.get(6..).unwrap_or_default().to_vec();
        Self { ask: ask_of(&words[4], &args), args, sudo }
    }
}

fn ask_of(program: &str, args: &[String]) -> Ask {
    let table: [(&str, Ask); 10] = [
        (&assets::PROBE_LINE, Ask::Probe),
        (&assets::PUT, Ask::Put),
        (&assets::BUNDLE, Ask::Bundle),
        (&assets::START_RUN, Ask::Start),
        (&assets::FOLLOW, Ask::Follow),
        (&assets::COLLECT, Ask::Collect),
        (&assets::KILL, Ask::Kill),
        (&assets::CLEANUP, Ask::Cleanup),
        (&assets::HEALTH, Ask::Health),
        (&assets::MEASURE, Ask::Measure),
    ];
    match table.iter().find(|(text, _)| *text == program) {
        Some((_, ask)) => *ask,
        None if program.contains("/agent.sh") && args[1] == "status" => Ask::Status,
        None => panic!("no host knows the program {program} {args:?}"),
    }
}

/// The words of a POSIX command line that knows single quotes and `\'` only.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            '\\' if !quoted => word.get_or_insert_default().extend(chars.next()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}
