//! `Idempotency-Key`: the same request again is answered as before, and has no second effect (IETF draft-ietf-httpapi-idempotency-key-header).

use std::collections::HashMap;

use super::store::{Answer, Asked};

#[derive(Debug, Default)]
pub(super) struct Answered(HashMap<String, (u64, Answer)>);

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
            Some((print, answer)) if *print == fingerprint(asked) => Known::Before(answer.clone()),
            Some(_) => Known::Other,
        }
    }

    pub(super) fn remember(&mut self, key: String, asked: &Asked, answer: Answer) {
        self.0.insert(key, (fingerprint(asked), answer));
    }
}

/// Of what is asked for, whoever asks.
fn fingerprint(asked: &Asked) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    (asked.method.as_str(), &asked.path, asked.body.to_string()).hash(&mut hasher);
    hasher.finish()
}
