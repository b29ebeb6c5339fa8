//! Ends the open transaction of an owner that is gone.
//!
//! What a dead member left open would keep its successor from reading for up to `transaction.timeout.ms`, plus the time until the
//! broker looks. Offsets carry the `transactional.id` that wrote them; a producer that claims this id ends the transaction at once.
//! Claiming it from a member that lives costs that member a new producer, never a promise: it finds itself fenced, as after a freeze.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flow_core::Progress;
use rdkafka::error::KafkaResult;
use rdkafka::producer::{BaseProducer, Producer};

use crate::clients;
use crate::settings::Settings;
use crate::telemetry::Telemetry;

/// How long a claim may take.
const WITHIN: Duration = Duration::from_secs(10);

/// Claims each id once.
pub(crate) struct Fence {
    settings: Arc<Settings>,
    telemetry: Arc<Telemetry>,
    claimed: Mutex<BTreeSet<String>>,
}

impl Fence {
    pub(crate) fn new(settings: Arc<Settings>, telemetry: Arc<Telemetry>) -> Fence {
        Fence { settings, telemetry, claimed: Mutex::default() }
    }

    /// Ends what the writers of these offset metadata left open. Blocks.
    ///
    /// # Errors
    /// The broker does not let us claim an id; waiting for the time-out is all that is left then.
    pub(crate) fn writers_of<'a>(&self, metadata: impl Iterator<Item = &'a str>) -> KafkaResult<()> {
        // Partitions are restored side by side: the lock lets one claim and the others wait for it.
        let mut claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        for writer in metadata.filter_map(Progress::writer) {
            if writer == self.settings.transactional_id || claimed.contains(writer) {
                continue;
            }
            let producer: BaseProducer = clients::fencer(&self.settings, writer).create()?;
            producer.init_transactions(WITHIN)?;
            self.telemetry.fenced(&self.settings.flow, writer);
            claimed.insert(writer.to_owned());
        }
        Ok(())
    }
}
