//! Whether the flow would take an event that has not been published yet.

use event_model::{DecodeError, Record};
use flow_config::{LaneKey, PlanError, Source};
use intake::{Admitted, Unfit};

use super::FlowHandler;

impl FlowHandler {
    /// What the flow reads.
    pub(crate) fn source(&self) -> &Source {
        &self.flow.source
    }

    /// Whether its processes post their outcomes.
    pub(crate) fn is_posted_to(&self) -> bool {
        self.flow.posted().next().is_some()
    }

    /// Decodes and plans the record as if it had been read.
    pub(crate) fn admit(&self, record: &Record) -> Result<Admitted, Unfit> {
        let event = event_model::decode(record, &self.flow.source.schema, &self.schema_ids).map_err(undecodable)?;
        let key = match self.flow.plan(&event, record).map_err(unplanned)?.key {
            LaneKey::Key(key) => Some(key),
            LaneKey::Alone(_) => None,
        };
        Ok(Admitted { key, event_id: event.id })
    }
}

fn undecodable(error: DecodeError) -> Unfit {
    let field =
        if let DecodeError::SchemaViolation { violation, .. } = &error { Some(violation.path.clone()) } else { None };
    Unfit { reason: error.reason(), field, detail: error.to_string() }
}

fn unplanned(error: PlanError) -> Unfit {
    // Where the flow's file lies is no business of a sender.
    Unfit { reason: error.reason(), field: None, detail: "the flow cannot make a step of this event".into() }
}
