//! The replies that were read, and those who wait for one. No I/O.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::mpsc;

/// Replies that are remembered at most, whatever the time.
const MOST: usize = 10_000;

/// A reply.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    /// As it came.
    Read {
        /// As HTTP has it; `None` where it is no such number.
        status: Option<u16>,
        /// By their lower-case names.
        headers: BTreeMap<String, String>,
        /// JSON as it came, other text as a string, nothing as null.
        body: Value,
    },
    /// Larger than an answer may be; its content is not kept.
    TooLarge,
}

/// What was read of the topic of replies.
pub(crate) struct Memory {
    keep: Duration,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// By correlation id.
    replies: HashMap<String, Reply>,
    /// In the order in which they came, for forgetting.
    order: VecDeque<(Instant, String)>,
    waiting: HashMap<String, Vec<mpsc::UnboundedSender<Reply>>>,
}

/// Somebody who waits for a reply. Whoever gives up, by dropping it, is forgotten with the next reply or waiter of the same id.
pub(crate) struct Waiting {
    replies: mpsc::UnboundedReceiver<Reply>,
}

impl Waiting {
    /// The next reply; never, where nobody reads the topic any more.
    pub(crate) async fn next(&mut self) -> Reply {
        match self.replies.recv().await {
            Some(reply) => reply,
            None => std::future::pending().await,
        }
    }
}

impl Memory {
    pub(crate) fn new(keep: Duration) -> Arc<Memory> {
        Arc::new(Memory { keep, known: Mutex::default() })
    }

    /// The reply to a command that was sent before and took effect, or a place to wait for the next one. What was refused is asked anew:
    /// the reason may be gone.
    pub(crate) fn known_or_wait(&self, id: &str) -> Result<Reply, Waiting> {
        let mut known = self.lock();
        if let Some(reply) = known.replies.get(id) {
            return Ok(reply.clone());
        }
        let (sender, replies) = mpsc::unbounded_channel();
        // An id whose waiter has gone is taken off by the next one of the same id, or here.
        if known.waiting.len() >= MOST {
            known.waiting.retain(|_, waiting| waiting.iter().any(|waiting| !waiting.is_closed()));
        }
        let waiting = known.waiting.entry(id.to_owned()).or_default();
        waiting.retain(|waiting| !waiting.is_closed());
        waiting.push(sender);
        Err(Waiting { replies })
    }

    /// A reply was read.
    pub(crate) fn read(&self, id: String, reply: Reply, now: Instant) {
        let mut known = self.lock();
        for waiting in known.waiting.remove(&id).into_iter().flatten() {
            // Who has given up meanwhile finds it here when asking again.
            let _ = waiting.send(reply.clone());
        }
        let took_effect = matches!(reply, Reply::Read { status: Some(200..300), .. });
        if took_effect && known.replies.insert(id.clone(), reply).is_none() {
            known.order.push_back((now, id));
        }
        while known.order.len() > MOST || known.order.front().is_some_and(|(at, _)| now.duration_since(*at) > self.keep)
        {
            let Some((_, oldest)) = known.order.pop_front() else { break };
            known.replies.remove(&oldest);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16) -> Reply {
        Reply::Read { status: Some(status), headers: BTreeMap::new(), body: Value::Null }
    }

    #[tokio::test]
    async fn a_reply_is_for_those_who_wait_and_for_those_who_ask_again() {
        let memory = Memory::new(Duration::from_secs(60));
        let mut waiting = memory.known_or_wait("a").err().unwrap();
        let given_up = memory.known_or_wait("a").err().unwrap();
        drop(given_up);
        memory.read("a".into(), reply(201), Instant::now());
        assert_eq!(waiting.next().await, reply(201));
        assert_eq!(memory.known_or_wait("a").ok(), Some(reply(201)), "a late reply, or one from before a restart");
        memory.read("b".into(), reply(409), Instant::now());
        assert!(memory.known_or_wait("b").is_err(), "what was refused is asked anew");
    }

    #[test]
    fn what_is_too_old_or_too_many_is_forgotten() {
        let (memory, begun) = (Memory::new(Duration::from_secs(60)), Instant::now());
        memory.read("old".into(), reply(200), begun);
        memory.read("new".into(), reply(200), begun + Duration::from_secs(61));
        assert!(memory.known_or_wait("old").is_err());
        for number in 0..MOST {
            memory.read(number.to_string(), reply(200), begun + Duration::from_secs(62));
        }
        assert!(memory.known_or_wait("new").is_err());
        assert!(memory.known_or_wait("0").is_ok());
        for _ in 0..5 {
            memory.read("0".into(), reply(200), begun + Duration::from_secs(63));
        }
        assert_eq!(memory.lock().order.len(), MOST, "a repeated reply takes no further place");
        for number in 0..2 * MOST {
            drop(memory.known_or_wait(&format!("w{number}")));
        }
        assert!(memory.lock().waiting.len() <= MOST, "who has given up is forgotten");
    }
}
