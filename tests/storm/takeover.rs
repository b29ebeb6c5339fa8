//! kill -9 of one process under load, while nothing else goes wrong: how long until everything flows again, and what it costs.

use std::fmt;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use anyhow::Result;
use promises::{DEADLINE, until};

use crate::books::Books;
use crate::source::Published;
use crate::stage::{PARTITIONS, Stage};
use crate::tally::Tally;

/// The group's session time-out on the broker of the tests.
const SESSION: Duration = Duration::from_secs(6);
/// Replies of the dead process that may still come to be read.
const ON_THEIR_WAY: Duration = Duration::from_secs(1);
/// Look-ups that one record can need before it is begun: at once, then in runtime and in history.
const LOOKS: u64 = 3;

pub(crate) struct Takeover {
    /// From the kill until the slowest partition had an event accepted.
    flows_after: Duration,
    /// Offsets below the dead process's horizons: what somebody may have begun.
    uncertain: u64,
    /// Look-ups of the survivors.
    looks: u64,
    /// Their calls that failed and were made again: the machine may be too busy for a look-up's deadline.
    failed: u64,
}

/// Kills the first process and watches the others.
pub(crate) async fn measure(stage: &mut Stage, books: &Books, published: &Published) -> Result<Takeover> {
    let flowing = async || Ok((books.flowing() == PARTITIONS as usize).then_some(()));
    until("every partition to flow", DEADLINE, flowing).await?;
    // What the processes looked up while they shared the partitions out is not counted.
    caught_up(books, published).await?;
    let before = stage.tally().await;
    let killed = Instant::now();
    stage.kill(0, killed).await?;
    let again = async || Ok(books.all_flow_after(killed + ON_THEIR_WAY));
    let flows_after = ON_THEIR_WAY + until("every partition to flow again", DEADLINE, again).await?;
    caught_up(books, published).await?;
    let after = stage.tally().await;
    Ok(Takeover {
        flows_after,
        uncertain: after.uncertain - before.uncertain,
        looks: after.looks - before.looks,
        failed: after.failed - before.failed,
    })
}

/// Waits until everything that is published now is accepted.
async fn caught_up(books: &Books, published: &Published) -> Result<()> {
    let due = published.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let accepted = async || Ok(due.iter().all(|case| books.accepted(case)).then_some(()));
    until("what was published before to be accepted", DEADLINE, accepted).await
}

impl Takeover {
    /// What may not be.
    pub(crate) fn violation(&self) -> Option<String> {
        (self.looks > LOOKS * self.uncertain + self.failed)
            .then(|| format!("a take-over looked {} times for {} uncertain offsets", self.looks, self.uncertain))
    }
}

impl fmt::Display for Takeover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Takeover { flows_after, uncertain, looks, failed: _ } = self;
        let beyond = flows_after.as_secs_f64() - SESSION.as_secs_f64();
        write!(
            f,
            "kill -9          every partition flows again after {:.1} s, the session of {SESSION:?} and {beyond:.1} s; \
             {looks} look-ups for {uncertain} offsets below the horizon",
            flows_after.as_secs_f64()
        )
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "connectors       {} offsets uncertain at take-overs, {} look-ups before an effect, {} looks for doubles, {} doubles found, \
             {} transactions of dead owners ended",
            self.uncertain, self.looks, self.second_looks, self.doubles, self.fenced
        )
    }
}
