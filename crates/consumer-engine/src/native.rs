//! The calls that the binding does not offer as they are needed.

use std::ffi::CStr;
use std::ptr;
use std::time::Duration;

use event_model::Header;
use rdkafka::message::BorrowedMessage;
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

/// The headers of a message. The binding panics on a header name that is not UTF-8, which any producer can send; here such a name
/// is read with replacement characters.
#[allow(unsafe_code, reason = "the binding panics on header names that are not UTF-8")]
pub(crate) fn headers(message: &BorrowedMessage<'_>) -> Vec<Header> {
    let mut headers = ptr::null_mut();
    // SAFETY: the message is live for as long as it is borrowed; on success `headers` points into it.
    let code = unsafe { rdkafka_sys::rd_kafka_message_headers(message.ptr(), &mut headers) };
    if code != rdkafka_sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || headers.is_null() {
        return Vec::new();
    }
    let mut found = Vec::new();
    loop {
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        // SAFETY: `headers` is live, and the three out-pointers are ours. The call fails past the last header.
        let code =
            unsafe { rdkafka_sys::rd_kafka_header_get_all(headers, found.len(), &mut name, &mut value, &mut size) };
        if code != rdkafka_sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
            return found;
        }
        // SAFETY: on success `name` is a C string and `value`, unless null, has `size` bytes; both live in the message.
        let header = unsafe {
            let value = (!value.is_null()).then(|| std::slice::from_raw_parts(value.cast::<u8>(), size).to_vec());
            Header { name: CStr::from_ptr(name).to_string_lossy().into_owned(), value }
        };
        found.push(header);
    }
}
