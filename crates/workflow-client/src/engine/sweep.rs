//! Reading through everything that one definition has started: what an audit compares.
//!
//! A list of a busy engine changes while it is read, so pages are not counted off by an offset, over which a row that
//! goes away would move another one unseen: the next page is asked for by the start time of the last row. That needs an
//! engine that keeps to filter and order; one that does not is found out by its rows, and gives a bad answer, never a
//! short list.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use super::{Engine, refused};
use crate::answers::Instance;
use crate::calls::Operation;
use crate::fault::{CallError, Endpoint};
use crate::limits;
use crate::pages::{ATTEMPTS, ENGINE_PAGE_SIZE, PAGE_SIZE, Page, Row, bad_answer, read_rows};
use crate::request::Request;

/// Start times are shown in milliseconds, and filters may leave out the moment itself.
const MOMENT: SignedDuration = SignedDuration::from_millis(1);
/// A filter may cut its moment down to the second.
const SLACK: SignedDuration = SignedDuration::from_secs(1);

/// Where to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SweepSource {
    /// What runs. An instance that ends meanwhile is left out.
    Running,
    /// What has ended, and what runs where [`Engine::history_lists_running`] says so. May lag behind.
    History,
    /// What has ended, in the order of its end, which is then what `since` is about. May lag behind, and what ended earlier may be
    /// shown later.
    Ended,
}

/// Root instances of a definition since a moment, page by page, the oldest first; each is given once. One page is in
/// memory at a time.
#[derive(Debug)]
pub struct Sweep {
    engine: Engine,
    definition: String,
    source: SweepSource,
    /// Whatever started before it was given.
    reached: Timestamp,
    /// Rows from `reached` on that were read already: not zero while a whole page started at one moment.
    offset: usize,
    /// Rows that the engine counted from `reached` on, and how often they became fewer meanwhile.
    total: Option<usize>,
    shrunk: usize,
    /// What was given and may be shown again.
    given: HashMap<String, Timestamp>,
    over: bool,
}

impl Engine {
    /// Sweeps through the root instances of `definition` that started at `since` or later. Nothing is sent yet.
    ///
    /// # Errors
    /// [`crate::Fault::Limit`] for a key that no engine has.
    pub fn sweep(&self, definition: &str, since: Timestamp, source: SweepSource) -> Result<Sweep, CallError> {
        let endpoint = endpoint(source);
        limits::name("definition key", definition).map_err(refused(endpoint, Operation::Sweep))?;
        Ok(Sweep {
            engine: self.clone(),
            definition: definition.to_owned(),
            source,
            reached: since,
            offset: 0,
            total: None,
            shrunk: 0,
            given: HashMap::new(),
            over: false,
        })
    }

    /// Whether [`SweepSource::History`] alone shows everything, running instances too, where history does not lag.
    pub fn history_lists_running(&self) -> bool {
        self.protocol().history_lists_running()
    }
}

impl Sweep {
    /// The next page, which may be empty; `None` after the last. After an error it can be called again, and asks the same.
    ///
    /// # Errors
    /// [`crate::Fault::BadAnswer`] when the list may be incomplete: that is *unknown*, not *nothing more*.
    pub async fn next_page(&mut self) -> Result<Option<Vec<Instance>>, CallError> {
        if self.over {
            return Ok(None);
        }
        let engine = self.engine.clone();
        let (definition, protocol) = (self.definition.clone(), engine.protocol());
        let after = self.reached.checked_sub(MOMENT).unwrap_or(Timestamp::MIN);
        let asked = after.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        let request = protocol.swept_after(&definition, self.source, asked);
        let answer = engine.transport().json(&protocol.paged(request.clone(), self.offset, PAGE_SIZE), None).await?;
        let collection = match self.source {
            SweepSource::Running => Instance::COLLECTION,
            SweepSource::History | SweepSource::Ended => "historic-process-instances",
        };
        let page = protocol.page(answer, collection).map_err(|reason| bad_answer(&request, reason))?;
        let page = Page { rows: read_rows::<Instance>(&request, page.rows)?, total: page.total, more: page.more };
        self.take(&request, after, page).map(Some)
    }

    /// Decides what is new on a page, and how the next one is asked for.
    fn take(
        &mut self,
        request: &Request<'_>,
        after: Timestamp,
        page: Page<Instance>,
    ) -> Result<Vec<Instance>, CallError> {
        let newest = in_order(self.source, &page.rows, after).map_err(|reason| bad_answer(request, reason))?;
        if self.offset > 0 && page.total < self.total {
            // A row before the offset went away, and one behind it moved up: from the beginning of this moment again.
            self.shrunk += 1;
            if self.shrunk >= ATTEMPTS {
                return Err(bad_answer(request, "the list kept changing while it was read"));
            }
            (self.offset, self.total) = (0, None);
            return Ok(Vec::new());
        }
        self.total = page.total;
        let (taken, more) = (page.rows.len(), page.more);
        let fresh: Vec<Instance> = page.rows.into_iter().filter(|row| !self.given.contains_key(&row.id)).collect();
        let at_end = match (self.total, more) {
            (Some(total), _) => self.offset + taken >= total,
            (None, Some(more)) => !more,
            (None, None) => taken == 0,
        };
        if at_end {
            self.over = true;
        } else if taken == 0 || (fresh.is_empty() && self.offset > 0) {
            if self.total.is_some() || more == Some(true) || taken == ENGINE_PAGE_SIZE {
                return Err(bad_answer(request, "more rows are announced than can be read"));
            }
            self.over = true;
        }
        for row in &fresh {
            self.given.insert(row.id.clone(), self.source.time(row).unwrap_or(after));
        }
        match newest {
            Some(newest) if newest > self.reached => {
                (self.reached, self.offset, self.total, self.shrunk) = (newest, 0, None, 0);
                let shown_again = newest.checked_sub(MOMENT + SLACK).unwrap_or(Timestamp::MIN);
                self.given.retain(|_, start| *start >= shown_again);
            }
            Some(_) | None => self.offset += taken,
        }
        Ok(fresh.into_iter().filter(|row| self.belongs(row)).collect())
    }

    /// Flowable ignores query parameters that it does not know.
    fn belongs(&self, instance: &Instance) -> bool {
        instance.is_root() && instance.definition_key().is_none_or(|key| key == self.definition)
    }
}

impl SweepSource {
    /// The time that the list goes by.
    fn time(self, row: &Instance) -> Option<Timestamp> {
        match self {
            SweepSource::Running | SweepSource::History => row.start_time,
            SweepSource::Ended => row.end_time(),
        }
    }
}

/// The latest time of a page, if its rows are in the order that was asked for and none is older than asked for.
fn in_order(source: SweepSource, rows: &[Instance], after: Timestamp) -> Result<Option<Timestamp>, &'static str> {
    let oldest = after.checked_sub(SLACK).unwrap_or(Timestamp::MIN);
    let mut newest = None;
    for row in rows {
        let time = source.time(row).ok_or("an instance without start or end time cannot be put in order")?;
        if time < oldest {
            return Err("instances that are older than asked for: the engine ignores startedAfter or finishedAfter");
        }
        if newest.is_some_and(|newest| time < newest) {
            return Err("instances out of order: the engine does not sort by startTime or endTime");
        }
        newest = Some(time);
    }
    Ok(newest)
}

fn endpoint(source: SweepSource) -> Endpoint {
    match source {
        SweepSource::Running => Endpoint::Runtime,
        SweepSource::History | SweepSource::Ended => Endpoint::History,
    }
}
