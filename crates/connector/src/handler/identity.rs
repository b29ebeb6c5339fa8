//! The hashes by which the ledger knows events and jobs, and by which records take turns at a business key.
//!
//! They are kept in Kafka, so they must never change: XXH3, with a word in front that tells the kinds apart.

use event_model::JobRecord;
use flow_core::EventHash;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// An event, by its id and its payload.
pub(super) fn of_event(event_id: &str, payload: Option<&[u8]>) -> (EventHash, u64) {
    (hash("event", &[event_id]), xxh3_64(payload.unwrap_or_default()))
}

/// A job, by what stays the same when the engine makes it anew after a failure. Its variables may differ then: the payload is
/// not compared.
pub(super) fn of_job(job: &JobRecord) -> (EventHash, u64) {
    (hash("job", &[job.correlation_id.as_deref().unwrap_or(&job.job_id)]), 0)
}

/// The business key of a definition.
pub(super) fn of_target(definition: &str, business_key: &str) -> u64 {
    let EventHash(bytes) = hash("target", &[definition, business_key]);
    bytes.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn hash(kind: &str, parts: &[&str]) -> EventHash {
    let mut hasher = Xxh3::new();
    for part in [kind].iter().chain(parts) {
        // With its length, so that no two lists of parts read the same.
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    EventHash(hasher.digest128().to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hashes_are_what_older_versions_wrote() {
        let EventHash(bytes) = hash("event", &["/crm/1"]);
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text, "570c253040697b3846d2ca7b51862241");
        assert_eq!(of_target("ticket_triage", "ticket/1"), 3_576_424_342_994_039_575);
    }

    #[test]
    fn kinds_and_parts_are_told_apart() {
        assert_ne!(hash("event", &["a"]), hash("job", &["a"]));
        assert_ne!(of_target("ab", "c"), of_target("a", "bc"));
        assert_ne!(of_event("a", Some(b"1")).1, of_event("a", Some(b"2")).1);
    }
}
