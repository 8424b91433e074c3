//! The header: what each column means, by its name.

use std::collections::BTreeMap;

use super::places::Flaw;
use super::table::{Row, letters};
use crate::domain::site::Paths;
use crate::service::request::{HOST_FIELDS, SECRETS};

/// Objects of a host; their columns are named `paths.setup_path`, `vars.port`.
const OBJECTS: [&str; 2] = ["paths", "vars"];
/// How a secret may be referred to, and the ending of such a column.
const REFERENCES: [(&str, &str); 2] = [("file", "_file"), ("env", "_env")];
/// Below this a name is not like another.
const ALIKE: f64 = 0.8;

/// What the cells of a column are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Values of a field.
    Field(&'static str),
    /// A secret itself.
    Text(&'static str),
    /// Where a secret is: in a `file`, in the environment (`env`).
    Reference(&'static str, &'static str),
    /// Values in an object of the host.
    Inner(&'static str, String),
    /// Left out.
    Remark,
    /// Left out, and a fault.
    Unknown,
}

/// The columns of a list.
#[derive(Debug)]
pub(super) struct Columns {
    /// The row they are named in.
    pub(super) row: u32,
    known: BTreeMap<usize, (String, Meaning)>,
}

impl Columns {
    pub(super) fn read(header: &Row, flaws: &mut Vec<Flaw>) -> Self {
        let mut known: BTreeMap<usize, (String, Meaning)> = BTreeMap::new();
        for (column, cell) in &header.cells {
            let mut flaw = |name: String, what: String| flaws.push(Flaw::cell(header.number, *column, name, what));
            let name = match cell {
                Ok(name) => name.trim().to_owned(),
                Err(what) => {
                    flaw(letters(*column), what.clone());
                    known.insert(*column, (letters(*column), Meaning::Unknown));
                    continue;
                }
            };
            let mut meaning = meaning(&name).unwrap_or(Meaning::Unknown);
            if meaning == Meaning::Unknown {
                flaw(name.clone(), unknown(&name));
            } else if meaning != Meaning::Remark
                && let Some((first, _)) = known.iter().find(|(_, (_, other))| *other == meaning)
            {
                flaw(name.clone(), format!("stands there twice, in {} and {}", letters(*first), letters(*column)));
                meaning = Meaning::Unknown;
            }
            known.insert(*column, (name, meaning));
        }
        Self { row: header.number, known }
    }

    /// What a column means, if it has a name.
    pub(super) fn meaning(&self, column: usize) -> Option<&Meaning> {
        self.known.get(&column).map(|(_, meaning)| meaning)
    }

    /// Its name, or its letters without one.
    pub(super) fn name(&self, column: usize) -> String {
        self.known.get(&column).map_or_else(|| letters(column), |(name, _)| name.clone())
    }

    /// The columns that can give `field`, which may have a part below (`paths.setup_path`).
    pub(super) fn giving<'a>(&'a self, field: &'a str) -> impl Iterator<Item = (usize, &'a Meaning)> {
        let (head, part) = field.split_once('.').map_or((field, None), |(head, part)| (head, Some(part)));
        self.known.iter().filter_map(move |(column, (_, meaning))| {
            let gives = match meaning {
                Meaning::Field(name) | Meaning::Text(name) | Meaning::Reference(name, _) => *name == field,
                Meaning::Inner(object, key) => *object == head && part.is_none_or(|part| part == key),
                Meaning::Remark | Meaning::Unknown => false,
            };
            gives.then_some((*column, meaning))
        })
    }

    /// Is there an unknown name that is like this field's?
    pub(super) fn has_misspelt(&self, field: &str) -> bool {
        self.known
            .values()
            .any(|(name, meaning)| *meaning == Meaning::Unknown && nearest(name).is_some_and(|near| gives(&near, field)))
    }
}

fn gives(column: &str, field: &str) -> bool {
    column == field || REFERENCES.iter().any(|(_, ending)| column.strip_suffix(ending) == Some(field))
}

/// What a name means; capitals do not matter.
fn meaning(name: &str) -> Option<Meaning> {
    if name.starts_with('#') {
        return Some(Meaning::Remark);
    }
    if let Some((object, key)) = name.split_once('.') {
        let object = OBJECTS.into_iter().find(|known| known.eq_ignore_ascii_case(object))?;
        let lower = key.to_ascii_lowercase();
        return match object {
            "paths" => Paths::KEYS.contains(&lower.as_str()).then_some(Meaning::Inner(object, lower)),
            // The package names its variables as it likes.
            _ => (!key.is_empty()).then(|| Meaning::Inner(object, key.to_owned())),
        };
    }
    let lower = name.to_ascii_lowercase();
    for field in SECRETS {
        if lower == field {
            return Some(Meaning::Text(field));
        }
        if let Some((how, _)) = REFERENCES.into_iter().find(|(_, ending)| lower.strip_suffix(ending) == Some(field)) {
            return Some(Meaning::Reference(field, how));
        }
    }
    HOST_FIELDS.into_iter().find(|field| *field == lower && !OBJECTS.contains(field)).map(Meaning::Field)
}

/// Says of a name that it is unknown, and what was meant.
fn unknown(name: &str) -> String {
    if let Some(object) = OBJECTS.into_iter().find(|object| object.eq_ignore_ascii_case(name)) {
        return format!("has a column for each of its values, named `{object}.NAME`");
    }
    match nearest(name) {
        Some(near) => format!("is no field of a host; did you mean `{near}`? A remark begins with `#`"),
        None => "is no field of a host; a remark begins with `#`".into(),
    }
}

/// The known name that is most like this one, if any is.
fn nearest(name: &str) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    let references = SECRETS.into_iter().flat_map(|field| REFERENCES.map(|(_, ending)| format!("{field}{ending}")));
    let fields = HOST_FIELDS.into_iter().filter(|field| !OBJECTS.contains(field)).map(str::to_owned);
    let paths = Paths::KEYS.into_iter().map(|key| format!("paths.{key}"));
    fields
        .chain(references)
        .chain(paths)
        .map(|known| (strsim::jaro_winkler(&lower, &known), known))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}
