//! Every root instance of a definition that was started in a window of time: what an audit compares.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{Engine, refused};
use crate::answers::Instance;
use crate::calls::Operation;
use crate::fault::{CallError, Endpoint};
use crate::limits;
use crate::pages::read_all;

/// From when to when an instance was started; both ends belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Not before.
    pub after: Timestamp,
    /// Not behind.
    pub before: Timestamp,
}

impl Window {
    /// As engines are asked: whole seconds, since some read no fractions, and a second wider at both ends, since some leave the
    /// ends out.
    pub(crate) fn asked(self) -> [(&'static str, String); 2] {
        let second = |time: Timestamp, off: i64| {
            let time = Timestamp::from_second(time.as_second() + off);
            time.unwrap_or(if off < 0 { Timestamp::MIN } else { Timestamp::MAX }).to_string()
        };
        [("startedAfter", second(self.after, -1)), ("startedBefore", second(self.before, 2))]
    }
}

impl Engine {
    /// Root instances of a definition that were started in the window, with their variables, each once and in the order of
    /// their starting: runtime first, then history, so that one that ends between the reads is in the second.
    ///
    /// # Errors
    /// [`crate::Fault::BadAnswer`] when a list may be incomplete, also because it has too many rows: ask for a shorter window.
    pub async fn started(&self, definition: &str, window: Window) -> Result<Vec<Instance>, CallError> {
        limits::name("definition key", definition).map_err(refused(Endpoint::Runtime, Operation::Started))?;
        let protocol = self.protocol();
        let mut found: HashMap<String, Instance> = HashMap::new();
        for request in [protocol.started_running(definition, window), protocol.started_historic(definition, window)] {
            let rows: Vec<Instance> = read_all(self.transport(), protocol, &request).await?;
            // A filter that an engine does not know is ignored by it: the rows are checked.
            let meant = |row: &Instance| {
                let known = row.definition_key().is_none_or(|key| key == definition);
                let then = row.start_time.is_none_or(|start| window.after <= start && start <= window.before);
                known && then && row.is_root()
            };
            for row in rows.into_iter().filter(meant) {
                // History comes last: it knows the end.
                found.insert(row.id.clone(), row);
            }
        }
        let mut instances: Vec<Instance> = found.into_values().collect();
        instances.sort_by(|a, b| (a.start_time, &a.id).cmp(&(b.start_time, &b.id)));
        Ok(instances)
    }
}
