//! A step in JSON: its word, and beside it `subject`, the plugin, where a plan may have several steps of a kind.
//!
//! Whoever stores a [`StepKind`] flattens it by one of these modules, so that no reader forgets half of it. Never here: what
//! steps there are ([`super::plan`]).

use std::fmt;

use serde::de::{Error, value};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::plan::StepKind;

/// Longest name of a plugin.
const LONGEST: usize = 64;

/// Name of a plugin, short enough to go by value: half of a step's identity.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PluginName {
    bytes: [u8; LONGEST],
    length: u8,
}

impl PluginName {
    /// Longest name, bytes.
    pub const LONGEST: usize = LONGEST;

    /// A package name that is short enough; `None` when it is not, or no package name.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_name) {
            return None;
        }
        let mut bytes = [0; LONGEST];
        bytes.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
        Some(Self { bytes, length: u8::try_from(name.len()).ok()? })
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.bytes.get(..usize::from(self.length)).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    /// The name in run ids and directory names, where only `[A-Za-z0-9_-]` may stand: no name has upper-case letters.
    #[must_use]
    pub fn slug(&self) -> String {
        self.as_str().replace('.', "D")
    }
}

impl fmt::Display for PluginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for PluginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl<'de> Deserialize<'de> for PluginName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::new(&name).ok_or_else(|| D::Error::custom(format!("`{name}` is no name of a plugin")))
    }
}

/// The word alone: for people, and for places that have the subject beside it.
impl Serialize for StepKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

/// The step of a word and a subject.
pub(super) fn read<E: Error>(word: &str, subject: Option<&str>) -> Result<StepKind, E> {
    match subject {
        None => StepKind::deserialize(value::StrDeserializer::new(word)),
        Some(subject) => StepKind::deserialize(value::MapAccessDeserializer::new(value::MapDeserializer::new(std::iter::once(
            (word, subject),
        )))),
    }
}

fn subject(step: &StepKind) -> Option<&str> {
    step.plugin().map(PluginName::as_str)
}

/// `step` and `subject`.
pub mod step {
    use super::{Deserialize, Deserializer, Serialize, Serializer, StepKind, read};

    #[derive(Serialize, Deserialize)]
    struct Fields<T> {
        step: T,
        #[serde(default = "none", skip_serializing_if = "Option::is_none")]
        subject: Option<T>,
    }

    fn none<T>() -> Option<T> {
        None
    }

    pub(in crate::domain) fn serialize<S: Serializer>(step: &StepKind, serializer: S) -> Result<S::Ok, S::Error> {
        Fields { step: step.word(), subject: super::subject(step) }.serialize(serializer)
    }

    pub(in crate::domain) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<StepKind, D::Error> {
        let fields = Fields::<String>::deserialize(deserializer)?;
        read(&fields.step, fields.subject.as_deref())
    }
}

/// `kind` and `subject`: a step of a plan.
pub mod kind {
    use super::{Deserialize, Deserializer, Serialize, Serializer, StepKind, read};

    #[derive(Serialize)]
    struct Written<'a> {
        kind: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        subject: Option<&'a str>,
    }

    #[derive(Deserialize)]
    struct Fields {
        kind: String,
        #[serde(default)]
        subject: Option<String>,
    }

    pub(in crate::domain) fn serialize<S: Serializer>(step: &StepKind, serializer: S) -> Result<S::Ok, S::Error> {
        Written { kind: step.word(), subject: super::subject(step) }.serialize(serializer)
    }

    pub(in crate::domain) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<StepKind, D::Error> {
        let fields = Fields::deserialize(deserializer)?;
        read(&fields.kind, fields.subject.as_deref())
    }
}

/// `step`, which may be null, and `subject`.
pub mod maybe_step {
    use super::{Deserialize, Deserializer, Serialize, Serializer, StepKind, read};

    #[derive(Serialize)]
    struct Written<'a> {
        step: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        subject: Option<&'a str>,
    }

    #[derive(Deserialize)]
    struct Fields {
        #[serde(default)]
        step: Option<String>,
        #[serde(default)]
        subject: Option<String>,
    }

    pub(in crate::domain) fn serialize<S: Serializer>(step: &Option<StepKind>, serializer: S) -> Result<S::Ok, S::Error> {
        Written { step: step.map(StepKind::word), subject: step.as_ref().and_then(super::subject) }.serialize(serializer)
    }

    pub(in crate::domain) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<StepKind>, D::Error> {
        let fields = Fields::deserialize(deserializer)?;
        fields.step.map(|word| read(&word, fields.subject.as_deref())).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::EventKind;
    use crate::domain::failure::{Code, Failure};
    use crate::domain::plan::Step;

    fn plugin(name: &str) -> PluginName {
        PluginName::new(name).unwrap()
    }

    #[test]
    fn a_name_is_kept_as_it_is_and_is_plain_in_a_run_id() {
        assert_eq!(plugin("a.b-c_1").as_str(), "a.b-c_1");
        assert_eq!(plugin("a.b-c_1").slug(), "aDb-c_1");
        assert!(PluginName::new(&"a".repeat(64)).is_some() && PluginName::new(&"a".repeat(65)).is_none());
        for bad in ["", "A", "a b", "a/b"] {
            assert_eq!(PluginName::new(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_step_of_a_plugin_is_read_as_it_was_written_and_others_as_before_there_were_any() {
        let steps = [StepKind::Connect, StepKind::InstallPlugins(plugin("a.b")), StepKind::RemovePlugins(plugin("c"))];
        for step in steps {
            let event = EventKind::StepStarted { step, attempt: 2, run_id: None };
            let text = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<EventKind>(&text).unwrap(), event, "{text}");
            let planned = Step { kind: step, timeout_s: 3 };
            assert_eq!(serde_json::from_str::<Step>(&serde_json::to_string(&planned).unwrap()).unwrap(), planned);
            let failure = Failure::new(Code::NoSpace, "full").at(step);
            assert_eq!(serde_json::from_str::<Failure>(&serde_json::to_string(&failure).unwrap()).unwrap(), failure);
        }
        let event = EventKind::StepStarted { step: steps[1], attempt: 1, run_id: None };
        let text = r#"{"kind":"step_started","step":"install_plugins","subject":"a.b","attempt":1}"#;
        assert_eq!(serde_json::to_string(&event).unwrap(), text);
        assert_eq!(serde_json::to_string(&Step { kind: steps[0], timeout_s: 3 }).unwrap(), r#"{"kind":"connect","timeout_s":3}"#);
        let plain = serde_json::to_value(Failure::new(Code::NoSpace, "full")).unwrap();
        assert!(plain["step"].is_null() && plain.get("subject").is_none());
    }

    #[test]
    fn a_step_that_lost_its_plugin_is_no_step() {
        for text in [r#"{"step": "install_plugins"}"#, r#"{"step": "connect", "subject": "a"}"#, r#"{"step": "moon"}"#] {
            let mut value: serde_json::Value = serde_json::from_str(text).unwrap();
            value["kind"] = "step_started".into();
            value["attempt"] = 1.into();
            assert!(serde_json::from_value::<EventKind>(value).is_err(), "{text}");
        }
    }

    #[test]
    fn every_word_is_in_the_list() {
        let error = serde_json::from_str::<StepKind>("\"?\"").unwrap_err().to_string();
        let listed: Vec<String> = StepKind::WORDS.iter().map(|word| format!("`{word}`")).collect();
        assert!(error.contains(&format!("expected one of {} at", listed.join(", "))), "{error}");
    }
}
