//! Watches whether the flow's topics have the same number of partitions.
//!
//! Partition p of all of them is worked on together, and a key's partition depends on their number. When a source topic grows, keys
//! move; until ours have followed there is nobody who could remember what was done in the new partitions, so the flow halts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::Notify;

use crate::context::Logging;
use crate::telemetry::Telemetry;

/// How often a flow that runs looks.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How often a flow that halts looks, or one whose cluster did not answer.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
const WITHIN: Duration = Duration::from_secs(20);

/// The partition count as it was last seen.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    /// Of all topics; zero while it is not known or not one.
    partitions: AtomicI32,
    /// What keeps the flow from working, for people.
    misfit: Mutex<Option<String>>,
    /// Somebody has a reason to look before it is time.
    look: Notify,
}

impl Layout {
    /// The count, where all topics have the same.
    pub(crate) fn partitions(&self) -> Option<i32> {
        Some(self.partitions.load(Ordering::SeqCst)).filter(|count| *count > 0)
    }

    /// What keeps the flow from working.
    pub(crate) fn misfit(&self) -> Option<String> {
        self.misfit.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A partition was assigned: one that is not known yet calls for a look.
    pub(crate) fn assigned(&self, partition: i32) {
        if self.partitions().is_some_and(|known| partition >= known) {
            self.look.notify_one();
        }
    }
}

/// What a look saw.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Same(i32),
    Different(String),
}

/// Looks from time to time, until `tell` says that nobody listens any more: whether the topics fit.
pub(crate) struct Watch {
    pub flow: Arc<str>,
    pub client: Arc<BaseConsumer<Logging>>,
    /// Those that the flow reads, ledger and state.
    pub topics: Vec<Arc<str>>,
    pub layout: Arc<Layout>,
    pub telemetry: Arc<Telemetry>,
}

impl Watch {
    pub(crate) async fn run(self, tell: impl Fn(bool) -> bool) {
        let watch = Arc::new(self);
        loop {
            let looking = watch.clone();
            let seen = tokio::task::spawn_blocking(move || looking.look()).await;
            let wait = match seen {
                Ok(Ok(seen)) => match watch.note(seen, &tell) {
                    None => return,
                    Some(true) => LOOK_EVERY,
                    Some(false) => LOOK_AGAIN,
                },
                Ok(Err(error)) => {
                    tracing::warn!(flow = %watch.flow, %error, "the topics' partition counts cannot be read; trying again");
                    if !tell(watch.layout.partitions().is_some()) {
                        return;
                    }
                    LOOK_AGAIN
                }
                // The runtime is going down.
                Err(_) => return,
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = watch.layout.look.notified() => {}
            }
        }
    }

    /// Tells what changed; whether the topics fit, or nothing when nobody listens.
    fn note(&self, seen: Seen, tell: &impl Fn(bool) -> bool) -> Option<bool> {
        let (count, misfit) = match seen {
            Seen::Same(count) => (count, None),
            Seen::Different(what) => (0, Some(what)),
        };
        let before = self.layout.partitions.swap(count, Ordering::SeqCst);
        let known =
            std::mem::replace(&mut *self.layout.misfit.lock().unwrap_or_else(PoisonError::into_inner), misfit.clone());
        if misfit != known {
            self.telemetry.misfit(&self.flow, misfit.as_deref());
        }
        let listening = if before > 0 && count > 0 && before != count {
            // It grew between two looks: what is held was restored for another count.
            tracing::warn!(flow = %self.flow, before, count, "the topics have another number of partitions; beginning anew");
            tell(false) && tell(true)
        } else {
            tell(count > 0)
        };
        listening.then_some(count > 0)
    }

    fn look(&self) -> KafkaResult<Seen> {
        let mut counts = BTreeMap::new();
        for topic in &self.topics {
            let metadata = self.client.fetch_metadata(Some(topic), WITHIN)?;
            let found = metadata.topics().iter().find(|found| found.name() == &**topic);
            let unknown = || KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopic);
            let found = found.ok_or_else(unknown)?;
            match found.error() {
                None => {}
                Some(code) if RDKafkaErrorCode::from(code) == RDKafkaErrorCode::UnknownTopicOrPartition => {
                    counts.insert(topic.clone(), 0);
                    continue;
                }
                Some(code) => return Err(KafkaError::MetadataFetch(code.into())),
            }
            counts.insert(topic.clone(), i32::try_from(found.partitions().len()).unwrap_or(i32::MAX));
        }
        Ok(compare(&counts))
    }
}

fn compare(counts: &BTreeMap<Arc<str>, i32>) -> Seen {
    let most = counts.values().copied().max().unwrap_or(0);
    if most > 0 && counts.values().all(|count| *count == most) {
        return Seen::Same(most);
    }
    let of = |(topic, count): (&Arc<str>, &i32)| format!("{topic} has {count}");
    Seen::Different(counts.iter().map(of).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_fit_when_all_have_the_same_count() {
        let counts = |counts: &[(&str, i32)]| counts.iter().map(|(name, count)| (Arc::from(*name), *count)).collect();
        assert_eq!(compare(&counts(&[("a", 4), ("b", 4)])), Seen::Same(4));
        assert_eq!(compare(&counts(&[("a", 8), ("b", 4)])), Seen::Different("a has 8, b has 4".into()));
        assert_eq!(compare(&counts(&[("a", 0), ("b", 0)])), Seen::Different("a has 0, b has 0".into()), "gone");
    }
}
