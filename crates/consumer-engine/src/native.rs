//! The one call that the binding does not offer as it is needed.

use std::ffi::CStr;
use std::time::Duration;

use rdkafka::producer::{Producer, ProducerContext, ThreadedProducer};

/// Why a commit failed, as librdkafka tells it.
#[derive(Debug)]
pub(crate) struct CommitError {
    pub text: String,
    pub fatal: bool,
    pub retriable: bool,
    pub requires_abort: bool,
}

/// Commits the open transaction. The binding's own `commit_transaction` first flushes in steps of 100 ms, which is a floor
/// under every transaction; librdkafka flushes by itself, and the producer's thread serves the delivery reports.
#[allow(unsafe_code, reason = "the binding offers no commit without its flush, which costs 100 ms per transaction")]
pub(crate) fn commit_transaction<C: ProducerContext + 'static>(
    producer: &ThreadedProducer<C>,
    within: Duration,
) -> Result<(), CommitError> {
    let within = i32::try_from(within.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the pointer is the live client's for as long as `producer` is borrowed, and the call is thread-safe.
    let error = unsafe { rdkafka_sys::rd_kafka_commit_transaction(producer.client().native_ptr(), within) };
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: a non-null result is an error object that is ours alone; its text is copied before it is destroyed, once.
    let failure = unsafe {
        let failure = CommitError {
            text: CStr::from_ptr(rdkafka_sys::rd_kafka_error_string(error)).to_string_lossy().into_owned(),
            fatal: rdkafka_sys::rd_kafka_error_is_fatal(error) != 0,
            retriable: rdkafka_sys::rd_kafka_error_is_retriable(error) != 0,
            requires_abort: rdkafka_sys::rd_kafka_error_txn_requires_abort(error) != 0,
        };
        rdkafka_sys::rd_kafka_error_destroy(error);
        failure
    };
    Err(failure)
}
