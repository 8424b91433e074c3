//! `events/`: what happens to a job, as server-sent events. The id of an event is its `seq`, so a caller that lost the
//! connection goes on after `Last-Event-ID`. The stream ends when the job has ended.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;

use super::answer::{Answer, Refusal, fault};
use super::call::Call;
use crate::domain::event::{Event, EventKind};
use crate::domain::id::Seq;
use crate::service::feed::Feed;
use crate::service::{Service, ServiceError, Stop};

/// The header that a browser sends when it connects again.
const LAST: &str = "last-event-id";

type Words = Result<Query<HashMap<String, String>>, QueryRejection>;

pub(super) async fn stream(Path(id): Path<String>, headers: HeaderMap, words: Words, call: Call) -> Response {
    match open(&call, &id, &headers, words).await {
        Ok(Some(telling)) => Sse::new(telling.events()).keep_alive(KeepAlive::default()).into_response(),
        // Tells a browser not to come back: an empty stream would be asked for again and again.
        Ok(None) => StatusCode::NO_CONTENT.into_response(),
        Err(refusal) => Answer::refused(&refusal, call.language).into_response(),
    }
}

async fn open(call: &Call, id: &str, headers: &HeaderMap, words: Words) -> Result<Option<Telling>, Refusal> {
    let (id, door) = (call.job(id).await?, &call.door);
    let Query(words) = words.map_err(|error| fault("", error.to_string()))?;
    let last = headers.get(LAST).and_then(|last| last.to_str().ok()).or(words.get("after").map(String::as_str));
    let after = match last.map(str::parse) {
        None => Seq::default(),
        Some(Ok(seq)) => Seq(seq),
        Some(Err(_)) => return Err(fault("Last-Event-ID", "must be a whole number")),
    };
    // Asked first: what happened before the end is read then.
    let ended = door.service.is_finished(id).await?;
    let mut feed = door.service.feed(id, after);
    let waiting: VecDeque<Event> = feed.ready().await?.into();
    if ended && waiting.is_empty() {
        return Ok(None);
    }
    let mut telling = Telling { service: door.service.clone(), stop: door.stop.clone(), feed, waiting, ended: false };
    telling.look_for_the_end().await?;
    Ok(Some(telling))
}

/// The stream of one caller. It reads as fast as the caller takes.
struct Telling {
    service: Service,
    stop: Stop,
    feed: Feed,
    waiting: VecDeque<Event>,
    ended: bool,
}

impl Telling {
    fn events(self) -> impl Stream<Item = Result<sse::Event, Infallible>> {
        futures_util::stream::unfold(self, |mut telling| async move {
            let event = telling.next().await?;
            // An event is read from JSON and can be written as JSON.
            let data = serde_json::to_string(&event).unwrap_or_default();
            let told = sse::Event::default().id(event.seq.0.to_string()).event(event.kind.word()).data(data);
            Some((Ok(told), telling))
        })
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            if self.ended {
                return None;
            }
            let read = tokio::select! {
                () = self.stop.asked() => return None,
                read = self.feed.next() => read,
            };
            let looked = match read {
                Ok(events) => {
                    self.waiting = events.into();
                    self.look_for_the_end().await
                }
                Err(error) => Err(error),
            };
            if let Err(error) = looked {
                // The caller comes again with the last id it has seen.
                tracing::warn!(error = &error as &dyn std::error::Error, "a stream of events broke off");
                return None;
            }
        }
    }

    /// The last event of a job that has ended is the last of the stream. One that was tried again goes on after it.
    async fn look_for_the_end(&mut self) -> Result<(), ServiceError> {
        let finished = |event: &Event| matches!(event.kind, EventKind::JobFinished { .. });
        self.ended = self.waiting.back().is_some_and(finished) && self.service.is_finished(self.feed.job()).await?;
        Ok(())
    }
}
