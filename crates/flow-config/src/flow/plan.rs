//! From an event to what has to be done: a pure calculation, once per event.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use event_model::{Coordinates, Event, Record, Violation};
use serde_json::Value as Json;

use super::Flow;
use super::null::NullRule;
use super::source::Located;
use super::step::{Action, ENGINE_TEXT_LIMIT, Step};
use crate::expression::{Evaluation, EvaluationError};

/// Names and values for the process, sorted by name.
pub type Variables = Vec<(Arc<str>, Json)>;

/// What an event means to a flow.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// Events of one key take effect one after the other.
    pub key: LaneKey,
    /// What to do; `None` when no step's condition holds: the event is filtered.
    pub action: Option<PlannedAction>,
    /// Index of the step that decided, counted from 0.
    pub step: Option<usize>,
}

/// The key by which a flow keeps events in order.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum LaneKey {
    /// The value of the flow's `key`, or the record's key.
    Key(Vec<u8>),
    /// The record has no key: it waits for nobody.
    Alone(Coordinates),
}

impl From<&LaneKey> for Arc<[u8]> {
    /// The key as one value. A record of its own gets its coordinates, behind a zero byte, which no text key starts
    /// with.
    fn from(key: &LaneKey) -> Self {
        match key {
            LaneKey::Key(bytes) => bytes.as_slice().into(),
            LaneKey::Alone(coordinates) => format!("\0{coordinates}").into_bytes().into(),
        }
    }
}

impl fmt::Debug for LaneKey {
    /// Keys are data of the source system: their length is shown, not their text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(bytes) => write!(f, "Key({} bytes)", bytes.len()),
            Self::Alone(coordinates) => write!(f, "Alone({coordinates})"),
        }
    }
}

/// What has to be done in the workflow service.
#[derive(Clone, PartialEq)]
pub enum PlannedAction {
    /// Start a process.
    Start {
        /// Process definition key.
        definition: Arc<str>,
        /// The business key of the new process.
        business_key: String,
        /// Its first variables.
        variables: Variables,
    },
    /// Hand a message to a running process.
    Message {
        /// Process definition key of the processes that may receive it.
        definition: Arc<str>,
        /// Message name.
        message: Arc<str>,
        /// The business key of the process.
        business_key: String,
        /// Variables that come with the message.
        variables: Variables,
        /// How long the process may take to wait for it.
        hold_for: Duration,
    },
    /// End a running process.
    Terminate {
        /// Process definition key.
        definition: Arc<str>,
        /// The business key of the process.
        business_key: String,
    },
}

impl fmt::Debug for PlannedAction {
    /// Business keys and variables are data of the source system and are not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, definition, variables) = match self {
            Self::Start { definition, variables, .. } => ("Start", definition, variables.len()),
            Self::Message { definition, variables, .. } => ("Message", definition, variables.len()),
            Self::Terminate { definition, .. } => ("Terminate", definition, 0),
        };
        f.debug_struct(name).field("definition", definition).field("variables", &variables).finish_non_exhaustive()
    }
}

/// Why an event cannot be carried out: a mistake of the flow or of the event, which a repeat would not mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// An expression failed or gave a value of the wrong type.
    #[error("{file}:{line}: {place}, {field}: `{expression}` {cause}")]
    Expression {
        /// The flow file.
        file: Arc<str>,
        /// Line of the expression in it, from 1.
        line: usize,
        /// The step or job, `step 1 (start ticket_triage)`.
        place: String,
        /// The field, `step.variables.region`.
        field: String,
        /// The expression as it stands in the file.
        expression: String,
        /// What went wrong, without data of the event.
        cause: String,
    },
    /// The business key is empty or longer than the engine takes.
    #[error(
        "{file}:{line}: {place}, {field}: `{expression}` gave a business key of {length} characters; the engine takes 1 to 255"
    )]
    BusinessKeyLimit {
        /// The flow file.
        file: Arc<str>,
        /// Line of the expression in it, from 1.
        line: usize,
        /// The step, `step 1 (start ticket_triage)`.
        place: String,
        /// The field, `step.business_key`.
        field: String,
        /// The expression as it stands in the file.
        expression: String,
        /// The length in characters.
        length: usize,
    },
    /// The body of a call does not obey its schema; it was not sent.
    #[error("job.call.body {0}")]
    Body(Breach),
    /// The answer to a call does not obey its schema; whatever was asked for may have been done.
    #[error("the answer {0}")]
    Answer(Breach),
}

/// What departs from a schema in a call, without data of the process or the system.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("does not obey schema {schema}: {violation} ({file}:{line}: job {topic})")]
pub struct Breach {
    /// The flow file.
    pub file: Arc<str>,
    /// Line of the call in it, from 1.
    pub line: usize,
    /// The job's topic.
    pub topic: String,
    /// The schema's name.
    pub schema: String,
    /// The field, and what is wrong with it.
    pub violation: Violation,
}

impl PlanError {
    /// The reason code for dead letters and metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Expression { .. } => "expression-error",
            Self::BusinessKeyLimit { .. } => "business-key-limit",
            Self::Body(_) | Self::Answer(_) => "schema-violation",
        }
    }

    pub(super) fn expression(file: &Arc<str>, place: &str, at: &Located, cause: &EvaluationError) -> Self {
        Self::Expression {
            file: Arc::clone(file),
            line: at.line,
            place: place.to_owned(),
            field: at.field.clone(),
            expression: at.expression.source().to_owned(),
            cause: cause.to_string(),
        }
    }
}

impl Flow {
    /// What `event`, read as `record`, means to this flow.
    ///
    /// # Errors
    /// An expression failed, gave the wrong type, or a limit of the engine is exceeded. The order of the key can still
    /// be had from [`Flow::lane_key`].
    pub fn plan(&self, event: &Event, record: &Record) -> Result<Planned, PlanError> {
        if record.value.is_none()
            && let Some(rule) = &self.source.null
        {
            return self.plan_null(rule, event, record);
        }
        let evaluation = Evaluation::of_event(event, record, &self.needed);
        let key = self.key_of(&evaluation, record)?;
        for (index, step) in self.steps.iter().enumerate() {
            let at = Place { flow: self, index, step };
            if at.applies(&evaluation)? {
                let action = Some(at.action(&evaluation)?);
                return Ok(Planned { key, action, step: Some(index) });
            }
        }
        Ok(Planned { key, action: None, step: None })
    }

    /// The key by which `event` is kept in order: the flow's `key`, else the record's key, else none.
    ///
    /// # Errors
    /// The flow's `key` failed or gave no text.
    pub fn lane_key(&self, event: &Event, record: &Record) -> Result<LaneKey, PlanError> {
        self.key_of(&Evaluation::of_event(event, record, &self.needed), record)
    }

    /// A null payload ends a process. Its order is that of the events whose key gives the same text.
    fn plan_null(&self, rule: &NullRule, event: &Event, record: &Record) -> Result<Planned, PlanError> {
        let evaluation = Evaluation::of_event(event, record, &rule.needed);
        let key = self.key_by(rule.key.as_ref(), &evaluation, record)?;
        let business_key = self.business_key("source.null", &rule.business_key, &evaluation)?;
        let definition = Arc::clone(&rule.definition);
        Ok(Planned { key, action: Some(PlannedAction::Terminate { definition, business_key }), step: None })
    }

    fn key_of(&self, evaluation: &Evaluation<'_>, record: &Record) -> Result<LaneKey, PlanError> {
        self.key_by(self.source.key.as_ref(), evaluation, record)
    }

    fn key_by(
        &self,
        key: Option<&Located>,
        evaluation: &Evaluation<'_>,
        record: &Record,
    ) -> Result<LaneKey, PlanError> {
        if let Some(key) = key {
            let text = key.expression.evaluate_text(evaluation);
            let text = text.map_err(|cause| PlanError::expression(&self.file_name(), "source", key, &cause))?;
            return Ok(LaneKey::Key(text.into_bytes()));
        }
        Ok(match &record.key {
            Some(key) => LaneKey::Key(key.clone()),
            None => LaneKey::Alone(record.coordinates.clone()),
        })
    }

    fn business_key(&self, place: &str, at: &Located, evaluation: &Evaluation<'_>) -> Result<String, PlanError> {
        let key = at.expression.evaluate_text(evaluation);
        let key = key.map_err(|cause| PlanError::expression(&self.file_name(), place, at, &cause))?;
        // As the engine counts: its columns hold UTF-16 units.
        let length = key.encode_utf16().count();
        if (1..=ENGINE_TEXT_LIMIT).contains(&length) {
            return Ok(key);
        }
        Err(PlanError::BusinessKeyLimit {
            file: self.file_name(),
            line: at.line,
            place: place.to_owned(),
            field: at.field.clone(),
            expression: at.expression.source().to_owned(),
            length,
        })
    }

    fn file_name(&self) -> Arc<str> {
        self.file.display().to_string().into()
    }
}

/// One step of a flow, for evaluating it and for naming it in errors.
struct Place<'f> {
    flow: &'f Flow,
    index: usize,
    step: &'f Step,
}

impl Place<'_> {
    fn applies(&self, evaluation: &Evaluation<'_>) -> Result<bool, PlanError> {
        let Some(when) = &self.step.when else {
            return Ok(true);
        };
        when.expression.evaluate_bool(evaluation).map_err(|cause| self.failed(when, &cause))
    }

    fn action(&self, evaluation: &Evaluation<'_>) -> Result<PlannedAction, PlanError> {
        let business_key = self.flow.business_key(&self.label(), &self.step.business_key, evaluation)?;
        Ok(match &self.step.action {
            Action::Start { definition } => PlannedAction::Start {
                definition: Arc::clone(definition),
                business_key,
                variables: self.variables(evaluation)?,
            },
            Action::Message { definition, message, hold_for } => PlannedAction::Message {
                definition: Arc::clone(definition),
                message: Arc::clone(message),
                business_key,
                variables: self.variables(evaluation)?,
                hold_for: *hold_for,
            },
            Action::Terminate { definition } => {
                PlannedAction::Terminate { definition: Arc::clone(definition), business_key }
            }
        })
    }

    fn variables(&self, evaluation: &Evaluation<'_>) -> Result<Variables, PlanError> {
        let variable = |(name, at): &(Arc<str>, Located)| {
            let value = at.expression.evaluate(evaluation).map_err(|cause| self.failed(at, &cause))?;
            Ok((Arc::clone(name), value))
        };
        self.step.variables.iter().map(variable).collect()
    }

    fn failed(&self, at: &Located, cause: &EvaluationError) -> PlanError {
        PlanError::expression(&self.flow.file_name(), &self.label(), at, cause)
    }

    fn label(&self) -> String {
        format!("step {} ({})", self.index + 1, self.step.action.label())
    }
}
