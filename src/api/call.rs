//! One call: who asks in which language, and the body, read within its limits.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderValue, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;

use super::Door;
use super::answer::{Answer, Refusal, fault};
use crate::domain::site::Language;

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
    /// Its headers.
    pub(super) headers: HeaderMap,
    /// The body; an empty object without one.
    pub(super) body: Value,
}

impl FromRequest<Arc<Door>> for Call {
    type Rejection = Answer;

    async fn from_request(request: Request, door: &Arc<Door>) -> Result<Self, Answer> {
        let language = language(request.headers()).unwrap_or(door.service.language());
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let base = if host.is_empty() { String::new() } else { format!("http://{host}") };
        let headers = request.headers().clone();
        let body = read(request).await.map_err(|refusal| Answer::refused(&refusal, language))?;
        Ok(Self { door: door.clone(), language, base, headers, body })
    }
}

/// Does the caller use a name of this machine, and no page of another site ask through it? Without both, any page that a
/// browser here shows could send jobs: a body needs no content type, and there are no apps yet to authenticate.
pub(super) fn is_from_here(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let Some(host) = text(header::HOST) else { return false };
    let name =
        host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit())).map_or(host, |(name, _)| name);
    let ip: Option<IpAddr> = name.trim_matches(['[', ']']).parse().ok();
    let is_ours = name.eq_ignore_ascii_case("localhost") || ip.is_some_and(|ip| ip.is_loopback());
    let origin =
        headers.contains_key(header::ORIGIN).then(|| text(header::ORIGIN).and_then(|origin| origin.strip_prefix("http://")));
    is_ours && origin.is_none_or(|origin| origin == Some(host))
}

async fn read(request: Request) -> Result<Value, Refusal> {
    let told = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if told.is_some_and(|length| length > LARGEST) {
        return Err(Refusal::TooLarge);
    }
    let read = Limited::new(request.into_body(), LARGEST).collect().await;
    let bytes =
        read.map_err(|error| if error.is::<LengthLimitError>() { Refusal::TooLarge } else { Refusal::Broken })?.to_bytes();
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    // The parser quotes nothing of what it read: passwords may be in it.
    serde_json::from_slice(&bytes).map_err(|error| fault("", format!("the body is not JSON: {error}")))
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
    fn a_page_of_another_site_is_not_from_here() {
        for (host, origin, here) in [
            ("127.0.0.1:8420", None, true),
            ("localhost:8420", None, true),
            ("[::1]:8420", None, true),
            ("127.0.0.1", Some("http://127.0.0.1"), true),
            ("127.0.0.1:8420", Some("http://evil.example"), false),
            ("127.0.0.1:8420", Some("null"), false),
            ("127.0.0.1:8420", Some("http://127.0.0.1:80"), false),
            ("evil.example:8420", Some("http://evil.example:8420"), false),
            ("evil.example", None, false),
            ("192.0.2.1:8420", None, false),
            ("", None, false),
        ] {
            let mut headers = HeaderMap::from_iter([(header::HOST, host.parse().unwrap())]);
            headers.extend(origin.map(|origin| (header::ORIGIN, origin.parse().unwrap())));
            assert_eq!(is_from_here(&headers), here, "{host} {origin:?}");
        }
        assert!(!is_from_here(&HeaderMap::new()));
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
