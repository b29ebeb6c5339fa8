//! Counts what the producer has in flight and remembers the first refusal.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;

use crate::context::Logging;

#[derive(Debug, Default)]
struct State {
    outstanding: usize,
    refused: Option<String>,
}

/// The delivery reports of one batch.
#[derive(Clone, Debug)]
pub(crate) struct Deliveries {
    logging: Logging,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Deliveries {
    pub(crate) fn new(logging: Logging) -> Deliveries {
        Deliveries { logging, state: Arc::default() }
    }

    /// Begins a batch.
    pub(crate) fn reset(&self) {
        *self.lock() = State::default();
    }

    pub(crate) fn sent(&self) {
        self.lock().outstanding += 1;
    }

    /// The first refusal of the batch, with the topic that refused.
    pub(crate) fn refusal(&self) -> Option<String> {
        self.lock().refused.clone()
    }

    /// Waits for every report of the batch.
    pub(crate) fn wait(&self, within: Duration) -> Result<(), String> {
        let deadline = Instant::now() + within;
        let mut state = self.lock();
        while state.outstanding > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("{} records were not acknowledged within {within:?}", state.outstanding));
            }
            state = self.state.1.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.refused.clone().map_or(Ok(()), Err)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.logging.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.logging.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let mut state = self.lock();
        state.outstanding = state.outstanding.saturating_sub(1);
        if let Err((error, message)) = result {
            state.refused.get_or_insert_with(|| format!("topic {}: {error}", message.topic()));
        }
        if state.outstanding == 0 {
            self.state.1.notify_all();
        }
    }
}
