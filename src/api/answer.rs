//! Answers: the envelope, and the one translation of everything that can go wrong into HTTP status, code and message.
//!
//! A business error is HTTP 200, as upstream's clients expect; what HTTP itself has a word for (no such path, wrong method,
//! too large) has its status, in the same envelope. Messages of our own faults are logged, not sent.

use std::any::Any;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;
use serde_json::{Value, json};

use super::rate::Wait;
use crate::domain::caller::Denied;
use crate::domain::site::Language;
use crate::service::answer::Envelope;
use crate::service::request::{Fault, code};
use crate::service::submit::Rejection;
use crate::service::{ServiceError, StoreError, collect};

/// HTTP statuses as codes are rebased by this (`reference/upstream.md` 1.1).
const OF_HTTP: i64 = 3_800_000;

/// An answer, ready to be sent.
pub(super) struct Answer {
    status: StatusCode,
    envelope: Envelope,
    /// Seconds after which to ask again.
    retry_after: Option<u64>,
    why: Option<Why>,
}

/// Why somebody was turned away: for the log.
#[derive(Clone)]
pub(super) struct Why(pub(super) String);

/// Why a request was not carried out.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The body or the parameters are wrong.
    Faults(Vec<Fault>),
    /// Nothing of a submission was recorded.
    Rejected(Rejection),
    /// A use case failed.
    Service(ServiceError),
    /// Nothing is left to cancel.
    NotRunning,
    /// Nothing failed that could be tried again.
    NoneFailed,
    /// A page of somewhere else asks.
    Foreign,
    /// Nobody knows who asks: a code that there is not, a secret that is wrong, or neither.
    Unauthenticated {
        /// Was there a code and a secret?
        offered: bool,
    },
    /// Somebody asks too often.
    TooMany(Wait),
    /// There is no such path.
    NoPath,
    /// The path has no such method.
    WrongMethod,
    /// The body is too large.
    TooLarge,
    /// The body broke off.
    Broken,
    /// The body of a script is not understood: where.
    Unread(String),
    /// It took too long.
    TooLate,
    /// The door is closing.
    Closing,
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::Service(error) => Self::Service(error),
            other => Self::Rejected(other),
        }
    }
}

impl From<ServiceError> for Refusal {
    fn from(error: ServiceError) -> Self {
        Self::Service(error)
    }
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        Self::Service(denied.into())
    }
}

impl From<Wait> for Refusal {
    fn from(wait: Wait) -> Self {
        Self::TooMany(wait)
    }
}

impl From<Vec<Fault>> for Refusal {
    fn from(faults: Vec<Fault>) -> Self {
        Self::Faults(faults)
    }
}

/// One fault of a request.
pub(super) fn fault(path: &str, message: impl Into<String>) -> Refusal {
    Refusal::Faults(vec![Fault { path: path.into(), message: message.into(), code: code::INVALID }])
}

impl Answer {
    /// What a use case came to.
    pub(super) fn of<T: Serialize>(result: Result<T, Refusal>, language: Language) -> Self {
        match result {
            Ok(data) => match serde_json::to_value(data) {
                Ok(data) => Self::new(StatusCode::OK, Envelope::done(data)),
                Err(error) => {
                    tracing::error!(%error, "an answer cannot be written");
                    Self::internal(language)
                }
            },
            Err(refusal) => Self::refused(&refusal, language),
        }
    }

    fn new(status: StatusCode, envelope: Envelope) -> Self {
        Self { status, envelope, retry_after: None, why: None }
    }

    /// What HTTP has a word for.
    fn http(status: StatusCode, text: &str) -> Self {
        Self::new(status, Envelope::refused(OF_HTTP + i64::from(status.as_u16()), text))
    }

    fn internal(language: Language) -> Self {
        Self::http(StatusCode::INTERNAL_SERVER_ERROR, in_language(language, "系统内部错误", "internal error"))
    }

    fn unauthenticated(offered: bool, language: Language) -> Self {
        let (zh, en) = match offered {
            true => ("应用编码不存在或应用密钥错误", "there is no such app, or its secret is another one"),
            false => ("缺少 bk_app_code 和 bk_app_secret", "bk_app_code and bk_app_secret are required"),
        };
        let why = Some(Why(in_language(Language::En, zh, en).to_owned()));
        Self { why, ..Self::http(StatusCode::UNAUTHORIZED, in_language(language, zh, en)) }
    }

    fn denied(denied: &Denied, language: Language) -> Self {
        Self { why: Some(Why(denied.to_string())), ..Self::http(StatusCode::FORBIDDEN, &denied.message(language)) }
    }

    /// Why not.
    pub(super) fn refused(refusal: &Refusal, language: Language) -> Self {
        let say = |zh: &'static str, en: &'static str| in_language(language, zh, en);
        let business = |code: i64, text: &str| Self::new(StatusCode::OK, Envelope::refused(code, text));
        let http = Self::http;
        match refusal {
            Refusal::Faults(faults) => Self::new(StatusCode::OK, Envelope::faults(faults, language)),
            Refusal::Rejected(rejection) => Self::new(StatusCode::OK, rejection.envelope(language)),
            Refusal::Service(ServiceError::Denied(denied)) => Self::denied(denied, language),
            Refusal::Service(ServiceError::BadToken) => Self {
                why: Some(Why("a token that is not valid".into())),
                ..http(StatusCode::FORBIDDEN, say("令牌无效", "the token is not valid"))
            },
            // A script reads the status: 200 would be an answer.
            Refusal::Service(ServiceError::OutOfTurn(what)) => http(StatusCode::CONFLICT, what),
            Refusal::Unread(place) => http(StatusCode::BAD_REQUEST, place),
            Refusal::Service(error) => match service_code(error) {
                Some(code) => {
                    let mut answer = business(code, &service_text(error, language));
                    if let ServiceError::Unreached { failure, .. } = error {
                        answer.envelope.data = json!({"failure": failure});
                    }
                    answer
                }
                None => {
                    tracing::error!(error = error as &dyn std::error::Error, "a request failed");
                    Self::internal(language)
                }
            },
            Refusal::NotRunning => business(code::NOT_RUNNING, say("没有正在执行的主机", "no host of the job is unfinished")),
            Refusal::NoneFailed => business(code::NO_INSTANCE, say("没有可重试的主机", "no host of the job failed")),
            Refusal::Foreign => http(StatusCode::FORBIDDEN, say("拒绝来自其他站点的请求", "pages of other sites may not ask")),
            Refusal::Unauthenticated { offered } => Self::unauthenticated(*offered, language),
            Refusal::TooMany(wait) => Self {
                retry_after: Some(wait.0),
                ..http(StatusCode::TOO_MANY_REQUESTS, say("请求过于频繁", "too many requests"))
            },
            Refusal::NoPath => http(StatusCode::NOT_FOUND, say("路径不存在", "there is no such path")),
            Refusal::WrongMethod => http(StatusCode::METHOD_NOT_ALLOWED, say("请求方法不允许", "the path has no such method")),
            Refusal::TooLarge => http(StatusCode::PAYLOAD_TOO_LARGE, say("请求体超过 64 MiB", "the body is over 64 MiB")),
            Refusal::Broken => http(StatusCode::BAD_REQUEST, say("请求体不完整", "the body broke off")),
            Refusal::TooLate => http(StatusCode::SERVICE_UNAVAILABLE, say("请求超时", "the request took too long")),
            Refusal::Closing => http(StatusCode::SERVICE_UNAVAILABLE, say("服务正在停止", "the server is stopping")),
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response<Body> {
        // An envelope is made of values that were JSON already.
        let body = serde_json::to_vec(&self.envelope).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.extend(self.retry_after.map(|seconds| (header::RETRY_AFTER, HeaderValue::from(seconds))));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("X-Bkapi-Authorization"));
        }
        if let Some(why) = self.why {
            response.extensions_mut().insert(why);
        }
        response
    }
}

/// The answer to a request whose handler panicked: the process goes on.
pub(super) fn of_panic(panic: Box<dyn Any + Send>) -> Response<Body> {
    let told = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = told.unwrap_or("of an unknown kind"), "a handler panicked");
    Answer::internal(Language::En).into_response()
}

fn in_language(language: Language, zh: &'static str, en: &'static str) -> &'static str {
    match language {
        Language::Zh => zh,
        Language::En => en,
    }
}

/// The published code of what is the caller's to mend; `None` for what is ours.
fn service_code(error: &ServiceError) -> Option<i64> {
    match error {
        ServiceError::NoJob(_) => Some(code::NO_JOB),
        ServiceError::NoRun { .. } => Some(code::NO_RUN),
        ServiceError::NotManual { .. } => Some(code::INVALID),
        ServiceError::Ended { .. } => Some(code::NOT_RUNNING),
        ServiceError::Unreached { failure, .. } => Some(collect::code(failure)),
        ServiceError::NoHost { .. } | ServiceError::NoInstance { .. } | ServiceError::NotFailed { .. } => Some(code::NO_INSTANCE),
        ServiceError::Busy(_) | ServiceError::Store(StoreError::Conflict(_) | StoreError::Held { .. }) => Some(code::BUSY),
        ServiceError::Store(StoreError::Unavailable { .. } | StoreError::Corrupt { .. } | StoreError::Key(_))
        | ServiceError::Denied(_)
        | ServiceError::BadToken
        | ServiceError::OutOfTurn(_)
        | ServiceError::Failed(_)
        | ServiceError::Engine(_)
        | ServiceError::Packages(_)
        | ServiceError::Journal(_) => None,
    }
}

fn service_text(error: &ServiceError, language: Language) -> String {
    match (language, error) {
        (Language::Zh, ServiceError::NoJob(job)) => format!("任务 {job} 不存在"),
        (Language::Zh, ServiceError::NoHost { job, host }) => format!("任务 {job} 中不存在主机 {host}"),
        (Language::Zh, ServiceError::NoInstance { job, instance }) => format!("任务 {job} 中不存在实例 {instance}"),
        (Language::Zh, ServiceError::NotFailed { host, status, .. }) => {
            format!("主机 {host} 的状态为 {}，只有失败或已终止的主机可以重试", status.word())
        }
        (Language::Zh, ServiceError::NoRun { job, host, gone: None }) => format!("任务 {job} 未在主机 {host} 上启动过脚本"),
        (Language::Zh, ServiceError::NoRun { host, gone: Some(run), .. }) => format!("主机 {host} 上已没有 {run} 的日志"),
        (Language::Zh, ServiceError::Unreached { host, failure }) => {
            format!("无法从主机 {host} 获取日志：{failure}。处理建议：{}", failure.remedy)
        }
        (Language::En, ServiceError::Unreached { host, failure }) => {
            format!("the log cannot be fetched from host {host}: {failure}. What to do: {}", failure.remedy)
        }
        (Language::Zh, ServiceError::NotManual { job, host }) => format!("任务 {job} 的主机 {host} 不是手动安装（is_manual）"),
        (Language::Zh, ServiceError::Ended { job, host, status }) => {
            format!("任务 {job} 的主机 {host} 的状态为 {}，不再提供命令", status.word())
        }
        (Language::Zh, ServiceError::Busy(_)) => format!("主机正被其他任务占用：{error}"),
        _ => error.to_string(),
    }
}

/// The data of an answer that has nothing to say.
pub(super) fn nothing() -> Value {
    Value::Object(serde_json::Map::new())
}
