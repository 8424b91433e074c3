//! Bodies that a batch file can write: lines `key=value`, an empty line, and whatever follows, byte for byte.
//!
//! ```text
//! task_id=…  token=…  codepage=936  text=facts
//!
//! what the probe answered, in that code page
//! ```
//! cmd.exe can join files, and escape nothing: JSON of what a tool of the host wrote is beyond it.
//!
//! Never here: what the keys mean (`by_hand`).

use axum::http::{HeaderMap, header};
use serde_json::{Map, Value};

use crate::domain::{codepage, text};

/// What says that a body is one of these.
const FORM: &str = "text/x-landfall";

/// Is it one?
pub(super) fn is_plain(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|form| form.as_bytes().starts_with(FORM.as_bytes()))
}

/// A body in its two parts.
#[derive(Debug)]
pub(super) struct Plain<'a> {
    head: Map<String, Value>,
    /// What follows the empty line.
    pub(super) rest: &'a [u8],
}

impl<'a> Plain<'a> {
    /// Parts a body; `None` where no empty line ends its head.
    pub(super) fn of(body: &'a [u8]) -> Option<Self> {
        let mut head = Map::new();
        let mut rest = body;
        loop {
            let end = rest.iter().position(|byte| *byte == b'\n')?;
            let (line, after) = rest.split_at(end + 1);
            rest = after;
            let line = text::decoded(line.trim_ascii_end());
            if line.is_empty() {
                return Some(Self { head, rest });
            }
            let (key, value) = line.split_once('=')?;
            head.insert(key.to_owned(), value.into());
        }
    }

    fn word(&self, key: &str) -> Option<&str> {
        self.head.get(key).and_then(Value::as_str)
    }

    /// What follows, as text in the code page that the head names.
    fn text(&self) -> String {
        match self.word("codepage").and_then(|page| page.parse().ok()) {
            Some(page) => codepage::decoded(self.rest, page),
            None => text::decoded(self.rest),
        }
    }

    /// The same as JSON says it. `text` of the head tells which key the rest goes to; without it the rest is left out. A head
    /// that names a step is one entry of `logs`.
    pub(super) fn json(mut self) -> Value {
        let text = self.word("text").map(str::to_owned).map(|key| (key, self.text()));
        for key in ["offset", "at"] {
            let number = self.word(key).and_then(|word| word.parse::<u64>().ok());
            if let Some(number) = number {
                self.head.insert(key.into(), number.into());
            }
        }
        if let Some((key, text)) = text {
            self.head.insert(key, text.trim_end_matches(['\r', '\n']).into());
        }
        if self.head.contains_key("step") {
            let entry = Value::Object(self.head.clone());
            self.head.insert("logs".into(), vec![entry].into());
        }
        Value::Object(self.head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn bytes_of_a_host_need_no_escapes() {
        let (gbk, page) = (codepage::encoded("磁盘 \"C:\\\" \u{1}\r\n", 936).unwrap(), "codepage=936\r\n");
        let body = [b"task_id=t\r\ntoken=k=k\r\noffset=17\r\ntext=log\r\n", page.as_bytes(), b"\r\n", &gbk].concat();
        let plain = Plain::of(&body).unwrap();
        assert_eq!(plain.rest, gbk);
        let wanted =
            json!({"task_id": "t", "token": "k=k", "offset": 17, "text": "log", "codepage": "936", "log": "磁盘 \"C:\\\" \u{1}"});
        assert_eq!(plain.json(), wanted);
        let told = Plain::of(b"task_id=t\nstep=verify\ntext=log\n\nx y\n").unwrap().json();
        assert_eq!((&told["logs"][0]["step"], &told["logs"][0]["log"]), (&json!("verify"), &json!("x y")));
        assert!(Plain::of(b"a=b\r\n").is_none() && Plain::of(b"{}\n\n").is_none());
    }
}
