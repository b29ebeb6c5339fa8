//! Reads a partition of a book to its end, also when the client falls silent.
//!
//! A reader of librdkafka that was assigned by hand has been seen to stay silent for ever after a broker restart: no message, no
//! error, no end. Whoever waits for it waits for nothing, so it is made anew.

use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::BaseConsumer;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;

use crate::context::Logging;

/// A reader that is assigned by hand. Dropping a consumer waits until librdkafka has closed it, however long that takes: one that fell
/// silent may never be closed, and whoever waits for that reads nothing any more. So it is closed on a thread of its own.
pub(crate) struct Reader(Arc<BaseConsumer<Logging>>);

impl Reader {
    pub(crate) fn new(consumer: BaseConsumer<Logging>) -> Reader {
        Reader(Arc::new(consumer))
    }
}

impl Deref for Reader {
    type Target = BaseConsumer<Logging>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let consumer = self.0.clone();
        let close = move || {
            // Whoever holds it last closes it: that must be this thread.
            while Arc::strong_count(&consumer) > 1 {
                std::thread::yield_now();
            }
        };
        // Where the system gives no thread it is closed here.
        let _ = std::thread::Builder::new().name("reader-close".to_owned()).spawn(close);
    }
}

/// What one look at the log brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Polled {
    /// A record was there, at this offset.
    Record(i64),
    /// The log ends here.
    End,
    /// Nothing came in time.
    Silent,
}

/// How long silence is borne.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// A client that says nothing for so long is made anew.
    pub renew_after: Duration,
    /// After so long without progress the read fails.
    pub give_up_after: Duration,
}

/// Reads from `from` to the end; `open` makes a client that goes on at an offset, `renewed` is told of every one but the first.
///
/// # Errors
/// What the client says, or a time-out when nothing moves for too long.
pub(crate) fn read_to_end<C>(
    from: i64,
    patience: Patience,
    mut open: impl FnMut(i64) -> KafkaResult<C>,
    mut poll: impl FnMut(&C) -> KafkaResult<Polled>,
    mut renewed: impl FnMut(i64),
) -> KafkaResult<()> {
    let mut next = from;
    let mut client = open(next)?;
    let (mut moved, mut opened) = (Instant::now(), Instant::now());
    loop {
        match poll(&client)? {
            Polled::Record(offset) => {
                next = offset + 1;
                moved = Instant::now();
                opened = moved;
            }
            Polled::End => return Ok(()),
            Polled::Silent if moved.elapsed() >= patience.give_up_after => {
                return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut));
            }
            Polled::Silent if opened.elapsed() >= patience.renew_after => {
                renewed(next);
                client = open(next)?;
                opened = Instant::now();
            }
            Polled::Silent => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    /// Clients that are made one after the other, each with what it will say; a client that has said it all stays silent.
    fn read(scripts: &[&[Polled]], patience: Patience) -> (KafkaResult<()>, Vec<i64>, Vec<i64>) {
        let scripts = RefCell::new(scripts.iter());
        let (mut opened, mut renewed) = (Vec::new(), Vec::new());
        let open = |from| {
            opened.push(from);
            Ok(RefCell::new(scripts.borrow_mut().next().into_iter().flat_map(|script| script.iter().copied())))
        };
        let poll = |client: &RefCell<_>| {
            let said: Option<Polled> = Iterator::next(&mut *client.borrow_mut());
            Ok(said.unwrap_or(Polled::Silent))
        };
        let result = read_to_end(5, patience, open, poll, |at| renewed.push(at));
        (result, opened, renewed)
    }

    #[test]
    fn a_client_that_falls_silent_is_replaced_by_one_that_goes_on_where_it_stopped() {
        let at_once = Patience { renew_after: Duration::ZERO, give_up_after: LONG };
        let (result, opened, renewed) =
            read(&[&[Polled::Record(5), Polled::Record(8)], &[], &[Polled::Record(9), Polled::End]], at_once);
        assert!(result.is_ok());
        assert_eq!((opened, renewed), (vec![5, 9, 9], vec![9, 9]));
    }

    #[test]
    fn short_silence_is_borne() {
        let patient = Patience { renew_after: LONG, give_up_after: LONG };
        let (result, opened, _) = read(&[&[Polled::Silent, Polled::Record(5), Polled::Silent, Polled::End]], patient);
        assert!(result.is_ok());
        assert_eq!(opened, [5]);
    }

    #[test]
    fn a_log_that_gives_nothing_for_too_long_is_an_error() {
        let impatient = Patience { renew_after: LONG, give_up_after: Duration::ZERO };
        let (result, opened, renewed) = read(&[&[Polled::Record(5)]], impatient);
        assert_eq!(
            result.err().and_then(|error| error.rdkafka_error_code()),
            Some(RDKafkaErrorCode::OperationTimedOut)
        );
        assert_eq!((opened, renewed), (vec![5], vec![]));
    }
}
