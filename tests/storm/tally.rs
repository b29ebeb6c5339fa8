//! What the connectors count of themselves: read again and again, because a process takes its counters with it.

use std::collections::HashMap;
use std::net::SocketAddr;

use promises::{metrics, sum};

/// Sums over every process that ran; what a killed one counted since the last reading is missing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) uncertain: u64,
    pub(crate) looks: u64,
    pub(crate) second_looks: u64,
    pub(crate) doubles: u64,
    pub(crate) fenced: u64,
    pub(crate) failed: u64,
}

/// The last reading of each process.
#[derive(Default)]
pub(crate) struct Readings(HashMap<SocketAddr, Tally>);

impl Readings {
    /// Reads one process; one that does not answer keeps what it said last.
    pub(crate) async fn take(&mut self, at: SocketAddr) {
        let Ok(text) = metrics(at).await else { return };
        let count = |metric: &str, label: &str| sum(&text, metric, &[label]).unwrap_or(0.0) as u64;
        let calls = |kind: &str| count("xconnector_call_duration_seconds_count", &format!("kind=\"{kind}\""));
        let tally = Tally {
            uncertain: count("xconnector_uncertain_offsets_total", ""),
            looks: calls("look") + calls("look_running") + calls("look_history"),
            second_looks: calls("count"),
            doubles: count("xconnector_doubles_total", ""),
            fenced: count("xconnector_fenced_producers_total", ""),
            failed: count("xconnector_retries_total", ""),
        };
        self.0.insert(at, tally);
    }

    pub(crate) fn total(&self) -> Tally {
        self.0.values().fold(Tally::default(), |sum, tally| Tally {
            uncertain: sum.uncertain + tally.uncertain,
            looks: sum.looks + tally.looks,
            second_looks: sum.second_looks + tally.second_looks,
            doubles: sum.doubles + tally.doubles,
            fenced: sum.fenced + tally.fenced,
            failed: sum.failed + tally.failed,
        })
    }
}
