//! What the state machine tells of: one log line and one count each.

use std::sync::Arc;

use event_model::NextOffset;
use flow_core::{EndpointId, Fault, Notice, Storm, TopicId};

use super::endpoint::closed_word;
use super::{Telemetry, kind, of_flow, of_partition};

impl Telemetry {
    /// One log line and one count for everything that an operator should see.
    pub(crate) fn notice(&self, flow: &str, endpoints: &[Arc<str>], topics: &[Arc<str>], notice: Notice) {
        let place = |(topic, partition, offset): (TopicId, event_model::Partition, event_model::Offset)| {
            let name = topics.get(usize::from(topic.0)).map_or("?", |name| name);
            format!("{name}/{partition}@{offset}")
        };
        let name = |endpoint: EndpointId| endpoints.get(usize::from(endpoint.0)).map_or("?", |name| name);
        match notice {
            Notice::Retry { at, call, fault, detail, delay, ambiguous } => {
                self.retries.get_or_create(&kind(flow, fault_word(fault))).inc();
                let (at, fault) = (place(at), fault_word(fault));
                tracing::warn!(
                    flow,
                    at,
                    call,
                    fault,
                    detail,
                    ?delay,
                    look_up_first = ambiguous,
                    "call failed; it will be made again"
                );
            }
            Notice::Held { at, what, delay } => {
                self.holds.get_or_create(&of_flow(flow)).inc();
                tracing::debug!(flow, at = place(at), ?delay, "{what}; holding its key");
            }
            Notice::AnswerKept { at } => {
                self.answers_kept.get_or_create(&of_flow(flow)).inc();
                tracing::info!(
                    flow,
                    at = place(at),
                    "the system's answer came when the job was not ours to complete any more (its lock had ended, or its instance is \
                     suspended); it waits until the engine hands the job out again"
                );
            }
            Notice::DeadLettered { at, reason, detail, attempts } => {
                self.dead_letters.get_or_create(&kind(flow, reason.as_str())).inc();
                tracing::warn!(flow, at = place(at), %reason, detail, attempts, "dead letter");
            }
            Notice::GateClosed { endpoint, why, detail, delay } => {
                self.pauses.get_or_create(&kind(flow, closed_word(why))).inc();
                self.endpoints.gate_closed(name(endpoint), flow, why, &detail, delay);
            }
            Notice::ProbeFailed { endpoint, detail, delay } => {
                self.endpoints.probe_failed(name(endpoint), &detail, delay)
            }
            Notice::GateOpened { endpoint, after } => self.endpoints.gate_opened(name(endpoint), after),
            Notice::LimitCut { endpoint, why, limit } => self.endpoints.limit_cut(name(endpoint), why, limit),
            Notice::Paused(partition, bound) => {
                self.pauses.get_or_create(&kind(flow, bound)).inc();
                tracing::info!(
                    flow,
                    partition = partition.get(),
                    bound,
                    "the partition is at its bound and reads no further"
                );
            }
            Notice::Resumed(partition) => {
                tracing::info!(flow, partition = partition.get(), "the partition reads again")
            }
            Notice::Lost(loss) => {
                let name = topics.get(usize::from(loss.topic.0)).map_or("?", |name| name);
                let label = of_partition(flow, name, loss.partition.get());
                let (committed, log_start, offsets) = (loss.committed.get(), loss.log_start.get(), loss.offsets);
                if loss.waits {
                    self.losses.get_or_create(&label).set(i64::try_from(offsets).unwrap_or(i64::MAX));
                    self.pauses.get_or_create(&kind(flow, "records-lost")).inc();
                }
                let then = if loss.waits {
                    "the partition waits for `xconnector offsets accept-loss`"
                } else {
                    "the partition goes on with what is left"
                };
                tracing::error!(
                    flow,
                    topic = name,
                    partition = label.partition,
                    committed,
                    log_start,
                    offsets,
                    "retention removed records before they were finished; {then}"
                );
            }
            Notice::Unplaced(surprise) => {
                let name = topics.get(usize::from(surprise.topic.0)).map_or("?", |name| name);
                let why = if surprise.committed.is_some() { "beyond-end" } else { "missing" };
                self.unplaced.get_or_create(&kind(flow, why)).inc();
                tracing::error!(
                    flow,
                    topic = name,
                    partition = surprise.partition.get(),
                    why,
                    committed = surprise.committed.map(NextOffset::get),
                    goes_on_at = surprise.at.get(),
                    unaccounted = surprise.unaccounted,
                    "the committed offset cannot be used (expired, deleted, or the topic was made anew); everything from here on is \
                     looked up first"
                );
            }
            Notice::OutOfRange(partition) => {
                let partition = partition.get();
                tracing::warn!(
                    flow,
                    partition,
                    "what was to be read is not in the log any more; finding out what is left"
                );
            }
            Notice::Moved(partition, left) => {
                tracing::info!(
                    flow,
                    partition = partition.get(),
                    ?left,
                    "keys came from other partitions: everything is looked up first"
                );
            }
            Notice::Uncertain(partition, offsets) => {
                self.uncertain.get_or_create(&of_flow(flow)).inc_by(offsets);
                let partition = partition.get();
                tracing::info!(
                    flow,
                    partition,
                    offsets,
                    "taken over with offsets that somebody may have begun; they are looked up first"
                );
            }
            Notice::Double { at, survivor, surplus } => {
                self.doubles.get_or_create(&of_flow(flow)).inc_by(surplus.len() as u64);
                let surplus = surplus.join(" ");
                tracing::error!(flow, at = place(at), %survivor, surplus, "one event has more than one instance");
            }
            Notice::JobLeft { at, detail } => {
                self.jobs_left.get_or_create(&of_flow(flow)).inc();
                tracing::warn!(
                    flow,
                    at = place(at),
                    detail,
                    "the job could not be ended; the engine hands it out again"
                );
            }
            Notice::ContestGivenUp { at, detail } => {
                tracing::warn!(
                    flow,
                    at = place(at),
                    detail,
                    "the second look could not be ended; run `xconnector audit`"
                );
            }
            Notice::DrainCut(partition, open) => {
                tracing::warn!(
                    flow,
                    partition = partition.get(),
                    open,
                    "given back with calls in flight; the next owner takes them"
                );
            }
            Notice::Quarantined { at } => {
                tracing::warn!(
                    flow,
                    at = place(at),
                    "given up: later records of its key follow it into the dead letters until they are replayed"
                );
            }
            Notice::QuarantineOver { at } => {
                tracing::info!(flow, at = place(at), "the last dead letter of its key is done: the quarantine is over");
            }
            Notice::Control { flow: held, keys } => {
                tracing::warn!(flow, flow_is_paused = held, paused_keys = keys, "what operators hold back");
            }
            Notice::Storm { why, trial_after } => {
                let why = storm_word(why);
                self.storms.get_or_create(&kind(flow, why)).inc();
                tracing::error!(
                    flow,
                    why,
                    ?trial_after,
                    "the storm guard stops the flow: record after record fails by itself; look at the dead letters and retries, mend the model or the source"
                );
            }
            Notice::StormTrial { at } => tracing::info!(flow, at = place(at), "the storm guard tries one record"),
            Notice::StormOver { after } => tracing::info!(flow, ?after, "the storm is over; the flow goes on"),
            Notice::CommitRetry { detail, records, delay } => {
                tracing::warn!(flow, detail, records, ?delay, "the transaction was aborted; it will be repeated");
            }
        }
    }
}

fn storm_word(why: Storm) -> &'static str {
    match why {
        Storm::Run => "bad-records-in-a-row",
        Storm::Share => "share-of-bad-records",
        Storm::QuarantineFull => "quarantine-full",
    }
}

fn fault_word(fault: Fault) -> &'static str {
    match fault {
        Fault::Unsent => "unsent",
        Fault::TimedOut => "timed-out",
        Fault::Broken => "broken",
        Fault::RateLimited => "rate-limited",
        Fault::Unavailable => "unavailable",
        Fault::Gateway => "gateway",
        Fault::EngineError => "engine-error",
        Fault::ServerError => "server-error",
        Fault::Refused => "refused",
        Fault::NotFound => "not-found",
        Fault::Conflict => "conflict",
        Fault::TooLarge => "too-large",
        Fault::Unauthorized => "unauthorized",
        Fault::Forbidden => "forbidden",
        Fault::BadAnswer => "bad-answer",
        Fault::Limit => "limit",
    }
}
