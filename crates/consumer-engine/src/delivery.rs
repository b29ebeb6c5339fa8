//! Counts what the producer has in flight and remembers the first refusal.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;

use crate::context::Logging;

#[derive(Debug, Default)]
struct State {
    /// The batch that is counted: reports of an earlier one come late and count for nobody.
    batch: u32,
    outstanding: usize,
    refused: Option<Refusal>,
}

/// What a broker refused.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// The place in the batch of what the record was written for.
    pub index: usize,
    /// Whether it was refused for its size.
    pub too_large: bool,
    pub detail: String,
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
        let mut state = self.lock();
        *state = State { batch: state.batch.wrapping_add(1), ..State::default() };
    }

    /// The opaque of a record that is about to be sent for the batch's `index`: it counts from now on.
    pub(crate) fn sending(&self, index: usize) -> u64 {
        let mut state = self.lock();
        state.outstanding += 1;
        u64::from(state.batch) << 32 | (index as u64 & 0xffff_ffff)
    }

    /// The record that `sending` counted was not taken.
    pub(crate) fn not_sent(&self) {
        let mut state = self.lock();
        state.outstanding = state.outstanding.saturating_sub(1);
    }

    /// The first refusal of the batch, with the topic that refused.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        self.lock().refused.clone()
    }

    /// Waits for every report of the batch.
    pub(crate) fn wait(&self, within: Duration) -> Result<(), Refusal> {
        let deadline = Instant::now() + within;
        let mut state = self.lock();
        while state.outstanding > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let detail = format!("{} records were not acknowledged within {within:?}", state.outstanding);
                return Err(Refusal { index: 0, too_large: false, detail });
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
    /// The batch and the place in it.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: usize) {
        let mut state = self.lock();
        let (batch, index) = ((opaque as u64 >> 32) as u32, opaque & 0xffff_ffff);
        if batch != state.batch {
            return;
        }
        state.outstanding = state.outstanding.saturating_sub(1);
        if let Err((error, message)) = result {
            let too_large = error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge);
            let detail = format!("topic {}: {error}", message.topic());
            state.refused.get_or_insert(Refusal { index, too_large, detail });
        }
        if state.outstanding == 0 {
            self.state.1.notify_all();
        }
    }
}
