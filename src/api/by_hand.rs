//! Hosts that a person installs: `get_job_commands/` for who may ask, and what the script that a command fetches asks for and
//! tells. The script knows no app: it knows a token, of one host task.
//!
//! | path | token | gives |
//! |---|---|---|
//! | `GET /backend/script/?task_id=&token=` | one-time, spent by this | the script, with a run token in it |
//! | `POST /backend/settle/ {task_id, token, facts}` | run | the plan, `key=value` lines |
//! | `POST /backend/fetch/ {task_id, token, part, offset}` | run | bytes, from there on |
//! | `POST /backend/report_log/ {task_id, token, logs}` | run | an envelope: go on, cancel, ended |
//!
//! Bodies may also come as a batch file writes them ([`super::plain`]); its answer is then one it can read, too: `told=go_on`.
//! A run token is in bodies only: paths are logged, and arguments of a process are seen by everybody on its machine. A
//! refusal says nothing of why, and who is refused often has to wait.
//!
//! Never here: what a token is good for (`service::manual`).

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use futures_util::Stream;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use super::Door;
use super::answer::{Answer, Refusal, fault};
use super::call::{Call, base, language};
use super::line::Line;
use super::params;
use super::plain::{Plain, is_plain};
use crate::domain::audit::Action;
use crate::domain::text::decoded;
use crate::service::ServiceError;
use crate::service::manual::{Commands, Entry, Part, Piece, Plan, Report, Told, Which};

/// Largest body of a script: facts with a `landfall.toml` or two, or 64 KiB of log with every byte escaped.
const LARGEST: usize = 1 << 20;
/// Bytes of a part that are given to a connection at once.
const PIECE: usize = 256 << 10;
/// How often a host that fetches is noted to be there.
const SIGN: Duration = Duration::from_secs(60);
/// Most lines of one report: the lines of 64 KiB are fewer as long as they hold a word each.
const MOST_LINES: usize = 32_768;

/// What a script is told after a report.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Heard {
    /// `go_on`; `cancel`: end what was started and say so; `ended`: the host task has ended.
    told: &'static str,
}

type Words = Result<Query<HashMap<String, String>>, QueryRejection>;

pub(super) async fn commands(Path(id): Path<String>, words: Words, call: Call) -> Answer {
    Answer::of(commands_of(&id, words, &call).await, call.language)
}

async fn commands_of(id: &str, words: Words, call: &Call) -> Result<Value, Refusal> {
    // Whoever has a command does what the job does.
    let id = call.job_to_change(id).await?;
    let Query(words) = words.map_err(|error| fault("", error.to_string()))?;
    let (number, name, is_uninstall) = params::read(&json!(words), |fields| {
        let (number, name) = (fields.integer("bk_host_id"), fields.text("instance_id"));
        if number.is_none() && name.as_deref().is_none_or(str::is_empty) {
            fields.fault("bk_host_id", "bk_host_id or instance_id is required");
        }
        (number, name.unwrap_or_default(), fields.switch("is_uninstall").unwrap_or(false))
    })?;
    let which = number.map_or(Which::Instance(&name), Which::Number);
    let service = &call.door.service;
    let base = service.public_url().unwrap_or(&call.base);
    let caller = call.caller(Action::Install);
    let commands: Commands = service.job_commands((id, which), is_uninstall, (base, &caller)).await?;
    Ok(json!(commands))
}

/// Gives the script for a one-time token, which is spent then.
pub(super) async fn script(State(door): State<Arc<Door>>, words: Words, request: Request) -> Response<Body> {
    let visit = Visit::of(&door, &request);
    let given = async {
        let Query(words) = words.map_err(|_| Refusal::Service(ServiceError::BadToken))?;
        let word = |key: &str| words.get(key).map_or("", String::as_str);
        let (task, token) = (word("task_id"), word("token"));
        visit.allowed(token)?;
        let base = door.service.public_url().unwrap_or(&visit.base);
        visit.judged(door.service.manual_script(task, token, base).await)
    };
    match given.await {
        Ok(script) => document("text/x-shellscript; charset=utf-8", script.into()),
        Err(refusal) => visit.refused(&refusal),
    }
}

#[derive(Deserialize)]
struct Facts {
    task_id: String,
    token: String,
    facts: String,
}

/// Takes what the probe answered and gives the plan.
pub(super) async fn settle(State(door): State<Arc<Door>>, request: Request) -> Response<Body> {
    let visit = Visit::of(&door, &request);
    let given = async {
        let facts: Facts = visit.read(request).await?;
        visit.admitted(&facts.task_id, &facts.token)?;
        visit.judged(door.service.manual_plan((&facts.task_id, &facts.token), &facts.facts).await)
    };
    match given.await {
        Ok(Plan::Sheet(sheet)) => document("text/plain", sheet.into()),
        Ok(Plan::Ended(status, why)) => {
            let why = why.replace(['\n', '\r'], " ");
            document("text/plain; charset=utf-8", format!("end={} {why}\n", status.word()).into())
        }
        Err(refusal) => visit.refused(&refusal),
    }
}

#[derive(Deserialize)]
struct Fetch {
    task_id: String,
    token: String,
    part: Part,
    #[serde(default, deserialize_with = "whole")]
    offset: u64,
    /// Which of several.
    #[serde(default, deserialize_with = "whole")]
    at: usize,
}

/// Gives bytes that the host needs, from the offset on; or from where a `Range` begins.
pub(super) async fn fetch(State(door): State<Arc<Door>>, request: Request) -> Response<Body> {
    let visit = Visit::of(&door, &request);
    let range = from_range(request.headers());
    let given = async {
        let fetch: Fetch = visit.read(request).await?;
        visit.admitted(&fetch.task_id, &fetch.token)?;
        let wanted = Piece { part: fetch.part, at: fetch.at, offset: range.unwrap_or(fetch.offset) };
        let bytes = visit.judged(door.service.manual_part((&fetch.task_id, &fetch.token), wanted).await)?;
        Ok::<_, Refusal>((bytes, fetch))
    };
    match given.await {
        Ok((bytes, fetch)) => {
            let length = bytes.len() as u64;
            let pieces = Pieces { door: door.clone(), fetch, bytes, told: Instant::now() };
            let mut response = document("application/octet-stream", Body::from_stream(pieces.stream()));
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
            if let Some(from) = range.filter(|_| length > 0) {
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                let whole = from + length;
                let shown = HeaderValue::from_str(&format!("bytes {from}-{}/{whole}", whole - 1));
                response.headers_mut().extend(shown.ok().map(|shown| (header::CONTENT_RANGE, shown)));
            }
            response
        }
        Err(refusal) => visit.refused(&refusal),
    }
}

/// The bytes of a part on their way. A thin line takes longer than a script may be silent.
struct Pieces {
    door: Arc<Door>,
    fetch: Fetch,
    bytes: Bytes,
    told: Instant,
}

impl Pieces {
    fn stream(self) -> impl Stream<Item = Result<Bytes, Infallible>> {
        futures_util::stream::unfold(self, |mut pieces| async move {
            let piece = pieces.bytes.split_to(PIECE.min(pieces.bytes.len()));
            if piece.is_empty() {
                return None;
            }
            if pieces.told.elapsed() > SIGN {
                pieces.told = Instant::now();
                let Fetch { task_id, token, .. } = &pieces.fetch;
                // A record that cannot be had just now is no reason to break off; a host that has ended is.
                if let Err(ServiceError::BadToken) = pieces.door.service.manual_fetches((task_id, token)).await {
                    return None;
                }
            }
            Some((Ok(piece), pieces))
        })
    }
}

/// A whole number as JSON has it: `4825.0` is one, too.
fn whole<'de, N: TryFrom<u64>, D: Deserializer<'de>>(from: D) -> Result<N, D::Error> {
    let number = serde_json::Number::deserialize(from)?;
    let of_float = || {
        number.as_f64().filter(|float| *float >= 0.0 && float.fract() == 0.0).and_then(|float| format!("{float:.0}").parse().ok())
    };
    let whole = number.as_u64().or_else(of_float).and_then(|whole| N::try_from(whole).ok());
    whole.ok_or_else(|| D::Error::custom("must be a whole number"))
}

fn whole_if_any<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let number = Option::<serde_json::Number>::deserialize(from)?;
    number.map(|number| whole(number).map_err(D::Error::custom)).transpose()
}

/// `bytes=N-`; every other range is passed over, as HTTP allows.
fn from_range(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::RANGE)?.to_str().ok()?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
}

#[derive(Deserialize)]
struct Telling {
    task_id: String,
    token: String,
    #[serde(default, deserialize_with = "whole_if_any")]
    offset: Option<u64>,
    #[serde(default)]
    logs: Vec<Entry>,
}

/// Takes in what a script reports.
pub(super) async fn report_log(State(door): State<Arc<Door>>, request: Request) -> Response<Body> {
    let visit = Visit::of(&door, &request);
    let is_plain = is_plain(request.headers());
    let heard = async {
        let (Telling { task_id, token, offset, logs }, raw) = visit.read_with_rest(request).await?;
        visit.admitted(&task_id, &token)?;
        if logs.len() > MOST_LINES {
            return Err(Refusal::TooLarge);
        }
        // With an offset it is a piece of the run's log, which is kept as it is.
        let raw = if offset.is_some() { raw } else { Bytes::new() };
        let told = visit.judged(door.service.manual_report((&task_id, &token), &Report { offset, logs, raw }).await)?;
        Ok::<_, Refusal>(Heard {
            told: match told {
                Told::GoOn => "go_on",
                Told::Cancel => "cancel",
                Told::Ended => "ended",
            },
        })
    };
    match heard.await {
        Ok(heard) if is_plain => document("text/plain", format!("told={}\r\n", heard.told).into()),
        Ok(heard) => Answer::of(Ok(heard), visit.language).into_response(),
        Err(refusal) => visit.refused(&refusal),
    }
}

fn document(form: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(form));
    // What is for one reader is kept by nobody in between.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A request of a script.
struct Visit<'a> {
    door: &'a Door,
    language: crate::domain::site::Language,
    base: String,
    source: std::net::IpAddr,
    /// Could somebody else read the token on its way?
    exposed: bool,
}

impl<'a> Visit<'a> {
    fn of(door: &'a Door, request: &Request) -> Self {
        let way = door.callers.way(request.extensions().get::<Line>(), request.headers());
        let language = language(request.headers()).unwrap_or(door.service.language());
        Self { door, language, base: base(way, request.headers()), source: way.source, exposed: way.exposed }
    }

    fn allowed(&self, token: &str) -> Result<(), Refusal> {
        if self.exposed || token.is_empty() {
            return Err(ServiceError::BadToken.into());
        }
        Ok(())
    }

    /// One host task asks no more often than an app may.
    fn admitted(&self, task: &str, token: &str) -> Result<(), Refusal> {
        self.allowed(token)?;
        Ok(self.door.callers.rates.app(&format!("task {task}"))?)
    }

    /// Who brings a wrong token tries a secret.
    fn judged<T>(&self, result: Result<T, ServiceError>) -> Result<T, Refusal> {
        if matches!(result, Err(ServiceError::BadToken)) {
            self.door.callers.rates.attempt(self.source)?;
        }
        Ok(result?)
    }

    fn refused(&self, refusal: &Refusal) -> Response<Body> {
        Answer::refused(refusal, self.language).into_response()
    }

    async fn read<T: serde::de::DeserializeOwned>(&self, request: Request) -> Result<T, Refusal> {
        Ok(self.read_with_rest(request).await?.0)
    }

    /// The body as a value, and the bytes behind it where it is a batch file's. A tool on the host may have written something
    /// that is no UTF-8.
    async fn read_with_rest<T: serde::de::DeserializeOwned>(&self, request: Request) -> Result<(T, Bytes), Refusal> {
        let is_plain = is_plain(request.headers());
        let read = Limited::new(request.into_body(), LARGEST).collect().await;
        let body = read.map_err(|error| if error.is::<LengthLimitError>() { Refusal::TooLarge } else { Refusal::Broken })?;
        let body = body.to_bytes();
        if is_plain {
            let unread = || Refusal::Unread("the body is not what is expected".into());
            let plain = Plain::of(&body).ok_or_else(unread)?;
            let rest = body.slice_ref(plain.rest);
            return Ok((serde_json::from_value(plain.json()).map_err(|_| unread())?, rest));
        }
        // The parser quotes nothing of what it read: there is a token in it.
        let value = serde_json::from_str(&decoded(&body)).map_err(|error| {
            let place = format!("the body is not what is expected, at line {}, column {}", error.line(), error.column());
            Refusal::Unread(place)
        })?;
        Ok((value, Bytes::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_counts_when_it_goes_to_the_end() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, text.parse().unwrap());
            from_range(&headers)
        };
        assert_eq!(
            [of("bytes=7-"), of("bytes=0-"), of("bytes=7-9"), of("bytes=-5"), of("lines=7-")],
            [Some(7), Some(0), None, None, None]
        );
    }
}
