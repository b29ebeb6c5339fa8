//! Starting an instance: by key, by id or by message, up to the first wait states.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::variables::{MAX_NAME, Variable, VariableInput, read, too_long};
use super::{Comment, Definition, Engine, EngineError, Instance};
use crate::bpmn::{ElementIndex, Kind};

/// What a client says when it starts an instance.
#[derive(Debug, Default)]
pub(crate) struct StartRequest {
    pub(crate) definition_key: Option<String>,
    pub(crate) definition_id: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) business_key: Option<String>,
    pub(crate) variables: Vec<VariableInput>,
    pub(crate) transient_variables: Vec<VariableInput>,
    pub(crate) comment: Option<String>,
}

impl Engine {
    /// Starts an instance. The business key is a plain label: nothing here looks for an earlier one.
    pub(crate) fn start(
        &mut self,
        request: StartRequest,
        user: &Arc<str>,
        now: Timestamp,
    ) -> Result<Arc<Instance>, EngineError> {
        let (definition, start) = self.select(&request)?;
        let mut variables: BTreeMap<String, Variable> = read(request.variables)?.into_iter().collect();
        let transient: BTreeMap<String, Value> =
            read(request.transient_variables)?.into_iter().map(|(name, v)| (name, (*v.value).clone())).collect();
        for (column, value) in [("BUSINESS_KEY_", &request.business_key), ("NAME_", &request.name)] {
            if let Some(value) = value.as_ref().filter(|v| v.chars().count() > MAX_NAME) {
                return Err(too_long(column, value));
            }
        }
        let node = &definition.process.nodes[start];
        if let Kind::Start { initiator: Some(initiator), .. } = &node.kind {
            let value = Arc::new(Value::String(user.to_string()));
            variables.insert(initiator.to_string(), Variable { kind: "string", value, encryption: false });
        }
        let comments = request.comment.map(|message| Comment {
            id: self.ids.id(),
            author: user.clone(),
            message,
            time: now,
            task: None,
        });
        let instance = Instance {
            id: self.ids.id(),
            number: self.ids.number(),
            revision: 0,
            name: request.name,
            business_key: request.business_key.map(Into::into),
            start_time: now,
            start_user: user.clone(),
            start_activity: node.id.clone(),
            definition,
            suspended: false,
            variables,
            executions: Vec::new(),
            tasks: Vec::new(),
            comments: comments.into_iter().collect(),
            locked_until: None,
            end: None,
        };
        let mut change = self.change_of(instance, now);
        change.transient = transient;
        change.begin(start)?;
        Ok(self.commit(change))
    }

    fn select(&self, request: &StartRequest) -> Result<(Arc<Definition>, ElementIndex), EngineError> {
        let initial = |definition: &Arc<Definition>| {
            let start = definition.process.initial().ok_or_else(|| {
                EngineError::BadRequest(format!("Process definition '{}' has no start event.", definition.id))
            })?;
            Ok((definition.clone(), start))
        };
        match (&request.definition_key, &request.definition_id, &request.message) {
            (Some(key), None, None) => initial(
                self.definitions
                    .latest(key)
                    .ok_or_else(|| EngineError::BadRequest(format!("No process definition found for key '{key}'")))?,
            ),
            (None, Some(id), None) => initial(self.definitions.by_id(id).ok_or_else(|| {
                EngineError::BadRequest(format!("no deployed process definition found with id '{id}'"))
            })?),
            (None, None, Some(message)) => self.definitions.by_message(message).cloned().ok_or_else(|| {
                EngineError::BadRequest(format!(
                    "Cannot start process instance by message: no subscription to message with name '{message}' found."
                ))
            }),
            (None, None, None) => Err(EngineError::BadRequest(
                "Either processDefinitionId, processDefinitionKey or message is required.".into(),
            )),
            (Some(_), Some(_), _) | (Some(_), _, Some(_)) | (_, Some(_), Some(_)) => Err(EngineError::BadRequest(
                "Only one of processDefinitionId, processDefinitionKey or message should be set.".into(),
            )),
        }
    }
}
