//! One call: who asks, what they may do, in which language, and the body, read within its limits. Every handler of the API
//! takes one, so that none can be reached by somebody who may not; a job's number is got from a path here only, by whom the
//! job may be seen.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, Method, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::{Map, Value};

use super::Door;
use super::answer::{Answer, Refusal, fault};
use super::callers::{HEADER, Offer};
use super::line::{Line, Way};
use crate::domain::audit::{Action, Asker, Asking, Source};
use crate::domain::caller::Grant;
use crate::domain::id::JobId;
use crate::domain::site::Language;
use crate::service::ServiceError;
use crate::service::request::SecretSources;
use crate::service::submit::Caller;

/// Largest body: 10,000 hosts with a key each are a third of it.
const LARGEST: usize = 64 << 20;

/// A request as a handler sees it.
pub(super) struct Call {
    /// What is at hand.
    pub(super) door: Arc<Door>,
    /// Of messages.
    pub(super) language: Language,
    /// `http://host:port`, as the caller reached us.
    pub(super) base: String,
    /// Its headers but the one that says who asks.
    pub(super) headers: HeaderMap,
    /// The body; an empty object without one.
    pub(super) body: Value,
    grant: Grant,
    asker: Asker,
    way: Way,
}

impl FromRequest<Arc<Door>> for Call {
    type Rejection = Answer;

    async fn from_request(request: Request, door: &Arc<Door>) -> Result<Self, Answer> {
        let language = language(request.headers()).unwrap_or(door.service.language());
        Self::read(request, door, language).await.map_err(|refusal| Answer::refused(&refusal, language))
    }
}

impl Call {
    async fn read(request: Request, door: &Arc<Door>, language: Language) -> Result<Self, Refusal> {
        let way = door.callers.way(request.extensions().get::<Line>(), request.headers());
        let base = base(way, request.headers());
        let (offer, person) = Offer::in_header(request.headers());
        let mut headers = request.headers().clone();
        headers.remove(HEADER);
        let (grant, body) = match (door.callers.has_apps(), offer) {
            (false, _) => {
                door.callers.rates.source(way.source)?;
                (Grant::Everything, read(request).await?)
            }
            // Whoever names itself in the header is known before the body comes.
            (true, Some(offer)) => (door.callers.identify(Some(offer), way.source).await?, read(request).await?),
            (true, None) => stranger(request, door, way.source).await?,
        };
        let mut body = parse(&body)?;
        let asker = Asker {
            user: who(&body, person.as_deref(), grant.app()).to_owned(),
            app: grant.app().map(str::to_owned),
            source: Source::Address(way.source),
        };
        if let Some(body) = body.as_object_mut() {
            // One has done its work, the other is passed over, and changes from call to call: neither belongs into a copy of
            // the body, nor makes it another one.
            body.remove("bk_app_secret");
            body.remove("bk_token");
        }
        Ok(Self { door: door.clone(), language, base, headers, body, grant, asker, way })
    }

    /// The job that a path names, if the caller may see it. One that is no number is none of ours.
    pub(super) async fn job(&self, text: &str) -> Result<JobId, Refusal> {
        self.allowed(text, false).await
    }

    /// The same, if the caller may also do what the job does.
    pub(super) async fn job_to_change(&self, text: &str) -> Result<JobId, Refusal> {
        self.allowed(text, true).await
    }

    async fn allowed(&self, text: &str, changes: bool) -> Result<JobId, Refusal> {
        let id = text.parse().map(JobId).map_err(|_| ServiceError::NoJob(JobId(0)))?;
        if let Grant::App(_) = self.grant {
            let (kind, businesses) = self.door.service.scope(id).await?;
            if changes { self.grant.may_do(kind, &businesses)? } else { self.grant.may_see(&businesses)? }
        }
        Ok(id)
    }

    /// What the caller may do.
    pub(super) fn grant(&self) -> &Grant {
        &self.grant
    }

    /// The only businesses whose jobs and hosts the caller may see; `None`: all.
    pub(super) fn businesses(&self) -> Option<Vec<i64>> {
        self.grant.businesses().map(<[i64]>::to_vec)
    }

    /// The caller asks for that.
    pub(super) fn asks(&self, action: Action) -> Asking {
        self.asker.asks(action)
    }

    /// Where secrets of the body may come from: over a line that others can read not in clear.
    pub(super) fn sources(&self) -> SecretSources {
        SecretSources { exposed: self.way.exposed, ..SecretSources::default() }
    }

    /// The caller, who submits something.
    pub(super) fn caller(&self, action: Action) -> Caller {
        let (by, grant) = (self.asks(action), self.grant.clone());
        Caller { by, grant, language: self.language, sources: self.sources(), served: true }
    }
}

/// Reads the body of a caller who does not say in the header who it is, and finds that out from it; from the query where
/// there is no body.
async fn stranger(request: Request, door: &Door, source: IpAddr) -> Result<(Grant, Bytes), Refusal> {
    let query = if request.method() == Method::GET { Offer::in_query(request.uri()) } else { None };
    if request.method() == Method::GET {
        return Ok((door.callers.identify(query, source).await?, Bytes::new()));
    }
    let room = door.callers.room(length(request.headers())).await?;
    let body = read(request).await?;
    let grant = door.callers.identify(Offer::in_body(&body), source).await?;
    drop(room);
    Ok((grant, body))
}

pub(super) fn base(way: Way, headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let scheme = if way.secure { "https" } else { "http" };
    if host.is_empty() { String::new() } else { format!("{scheme}://{host}") }
}

/// The person, for the record: whoever the body or the header names, else the app.
fn who<'a>(body: &'a Value, person: Option<&'a str>, app: Option<&'a str>) -> &'a str {
    let is_name = |name: &&str| !name.is_empty() && !name.contains(['\n', '\r', '\0']);
    let named = |key: &str| body.get(key).and_then(Value::as_str).filter(is_name);
    named("bk_username").or_else(|| person.filter(is_name)).or(app).or_else(|| named("bk_app_code")).unwrap_or("api")
}

fn length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn read(request: Request) -> Result<Bytes, Refusal> {
    // A GET says nothing by its body.
    if request.method() == Method::GET {
        return Ok(Bytes::new());
    }
    if length(request.headers()).is_some_and(|length| length > LARGEST) {
        return Err(Refusal::TooLarge);
    }
    let read = Limited::new(request.into_body(), LARGEST).collect().await;
    Ok(read.map_err(|error| if error.is::<LengthLimitError>() { Refusal::TooLarge } else { Refusal::Broken })?.to_bytes())
}

fn parse(body: &[u8]) -> Result<Value, Refusal> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Object(Map::new()));
    }
    // The parser quotes nothing of what it read: passwords may be in it.
    serde_json::from_slice(body).map_err(|error| fault("", format!("the body is not JSON: {error}")))
}

/// The language that the caller likes best of those there are.
pub(super) fn language(headers: &HeaderMap) -> Option<Language> {
    let wishes = headers.get(header::ACCEPT_LANGUAGE)?.to_str().ok()?;
    let wish = |text: &str| {
        let (tag, weight) = text.split_once(';').unwrap_or((text, ""));
        let weight: f32 = weight.trim().strip_prefix("q=").and_then(|weight| weight.parse().ok()).unwrap_or(1.0);
        let language = match tag.trim().get(..2)?.to_ascii_lowercase().as_str() {
            "zh" => Language::Zh,
            "en" => Language::En,
            _ => return None,
        };
        (weight > 0.0).then_some((language, weight))
    };
    let mut best: Option<(Language, f32)> = None;
    for (language, weight) in wishes.split(',').filter_map(wish) {
        // The first of equals.
        if best.is_none_or(|(_, most)| weight > most) {
            best = Some((language, weight));
        }
    }
    best.map(|(language, _)| language)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_person_is_whom_the_body_names_else_the_header_else_the_app() {
        let body = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        for (text, person, app, name) in [
            (r#"{"bk_username": "ann", "bk_app_code": "x"}"#, Some("bob"), Some("esb"), "ann"),
            (r#"{"bk_username": "", "bk_app_code": "x"}"#, Some("bob"), Some("esb"), "bob"),
            (r#"{"bk_username": 7, "bk_app_code": "x"}"#, None, Some("esb"), "esb"),
            (r#"{"bk_username": "a\nb", "bk_app_code": "x"}"#, Some("c\nd"), None, "x"),
            ("[]", None, None, "api"),
        ] {
            assert_eq!(who(&body(text), person, app), name, "{text}");
        }
    }

    #[test]
    fn the_caller_gets_the_language_it_likes_best_of_those_there_are() {
        for (wishes, told) in [
            ("zh-CN,zh;q=0.9,en;q=0.8", Some(Language::Zh)),
            ("en-GB;q=0.3, zh;q=0.9", Some(Language::Zh)),
            ("fr, en;q=0.5", Some(Language::En)),
            ("en, zh", Some(Language::En)),
            ("zh;q=0, en;q=0.1", Some(Language::En)),
            ("fr", None),
            ("*", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT_LANGUAGE, wishes.parse().unwrap())]);
            assert_eq!(language(&headers), told, "{wishes}");
        }
    }
}
