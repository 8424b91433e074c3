//! Is the process there, and can it work?

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;

use super::Door;
use super::answer::{Answer, Refusal, nothing};

/// It can work.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Ready {
    /// True: else there is no such answer.
    ready: bool,
}

/// The process answers.
pub(super) async fn alive(State(door): State<Arc<Door>>) -> Answer {
    Answer::of(Ok(nothing()), door.service.language())
}

/// The record can be read, and new jobs are taken.
pub(super) async fn ready(State(door): State<Arc<Door>>) -> Answer {
    let language = door.service.language();
    if door.stop.is_asked() {
        return Answer::refused(&Refusal::Closing, language);
    }
    let read = door.service.jobs(1).await.map_err(Refusal::from);
    Answer::of(read.map(|_| Ready { ready: true }), language)
}
