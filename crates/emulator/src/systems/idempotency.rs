//! `Idempotency-Key`: the same request again is answered as before, and has no second effect (IETF draft-ietf-httpapi-idempotency-key-header).

use std::collections::HashMap;

use axum::http::Method;
use serde_json::Value;

use super::store::{Answer, Asked};

/// What is asked for, whoever asks.
type Request = (Method, Vec<String>, Value);

#[derive(Debug, Default)]
pub(super) struct Answered(HashMap<String, (Request, Answer)>);

/// What is known of a key.
#[derive(Debug, PartialEq)]
pub(super) enum Known {
    /// Nothing.
    New,
    /// This was answered.
    Before(Answer),
    /// It came with another request.
    Other,
}

impl Answered {
    pub(super) fn look(&self, key: &str, asked: &Asked) -> Known {
        match self.0.get(key) {
            None => Known::New,
            Some((request, answer)) if *request == of(asked) => Known::Before(answer.clone()),
            Some(_) => Known::Other,
        }
    }

    pub(super) fn remember(&mut self, key: String, asked: &Asked, answer: Answer) {
        self.0.insert(key, (of(asked), answer));
    }
}

fn of(asked: &Asked) -> Request {
    (asked.method.clone(), asked.path.clone(), asked.body.clone())
}
