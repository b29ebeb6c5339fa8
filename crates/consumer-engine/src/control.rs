//! What operators say on `xc.control`: a flow or a key of it is held back, or the storm guard of a flow is to let go.
//!
//! The topic is compacted: the last word on a key of the topic counts, and a null value takes it back. Every worker reads all of it,
//! from its start, before it begins anything. A word about a storm is an order and no state: it counts for those who hear it live.

mod watch;

use event_model::OutgoingRecord;
use flow_core::KeyHash;

pub(crate) use watch::{Heard, Watch};

/// Where operators speak to every worker.
pub const CONTROL_TOPIC: &str = "xc.control";

/// What a word is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The flow is held back.
    Flow(String),
    /// A key of the flow is held back.
    Key(String, KeyHash),
    /// The flow's storm guard is to let go.
    Guard(String),
}

impl Subject {
    /// The key of the record: `pause/<flow>`, `pause/<flow>/<hash of the key, hexadecimal>` or `guard/<flow>`. A flow's name holds no slash.
    fn to_key(&self) -> String {
        match self {
            Subject::Flow(flow) => format!("pause/{flow}"),
            Subject::Key(flow, key) => format!("pause/{flow}/{key}"),
            Subject::Guard(flow) => format!("guard/{flow}"),
        }
    }

    /// What a record of the topic is about; `None` for one that this version does not know.
    pub fn of(key: &[u8]) -> Option<Subject> {
        let key = std::str::from_utf8(key).ok()?;
        if let Some(flow) = key.strip_prefix("guard/") {
            return Some(Subject::Guard(flow.to_owned()));
        }
        let place = key.strip_prefix("pause/")?;
        let Some((flow, hash)) = place.split_once('/') else { return Some(Subject::Flow(place.to_owned())) };
        Some(Subject::Key(flow.to_owned(), KeyHash::parse(hash)?))
    }

    /// The record that says it, with whatever people may want to know of it, or takes it back.
    pub fn record(&self, value: Option<Vec<u8>>) -> OutgoingRecord {
        let key = Some(self.to_key().into_bytes());
        OutgoingRecord { topic: CONTROL_TOPIC.into(), partition: None, key, value, headers: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subject_is_read_back_from_its_key() {
        let key = Subject::Key("tickets".into(), KeyHash([0x0A; 16]));
        for subject in [Subject::Flow("tickets".into()), key, Subject::Guard("tickets".into())] {
            let record = subject.record(None);
            assert_eq!((Subject::of(record.key.as_deref().unwrap()), record.value), (Some(subject), None));
        }
        let written = Subject::Key("tickets".into(), KeyHash([0x0A; 16])).to_key();
        assert_eq!(written, "pause/tickets/0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a", "as older versions wrote it");
    }

    #[test]
    fn what_a_newer_version_says_is_passed_over() {
        for key in [
            &b"pause"[..],
            b"pause/tickets/12",
            b"pause/tickets/zz0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a",
            b"slow/tickets",
            b"\xff",
        ] {
            assert_eq!(Subject::of(key), None, "{}", String::from_utf8_lossy(key));
        }
    }
}
