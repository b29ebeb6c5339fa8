//! Variables with the types of the service, including the conversions that lose data without a word.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{Engine, EngineError};
use crate::bpmn::expression::Scope;

/// Column width of names and business keys in the real engine's database.
pub(super) const MAX_NAME: usize = 255;

/// A typed value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Variable {
    pub(crate) kind: &'static str,
    pub(crate) value: Arc<Value>,
    pub(crate) encryption: bool,
}

/// A variable as a client writes it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct VariableInput {
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default, rename = "type")]
    pub(crate) kind: Option<String>,
    #[serde(default)]
    pub(crate) value: Value,
    #[serde(default)]
    pub(crate) scope: Option<String>,
    #[serde(default)]
    pub(crate) encryption: bool,
}

impl Scope for BTreeMap<String, Variable> {
    fn get(&self, name: &str) -> Option<&Value> {
        BTreeMap::get(self, name).map(|variable| &*variable.value)
    }
}

/// Checks and converts a list; of two with the same name the last one wins.
pub(super) fn read(inputs: Vec<VariableInput>) -> Result<Vec<(String, Variable)>, EngineError> {
    inputs.into_iter().map(read_one).collect()
}

pub(super) fn read_one(input: VariableInput) -> Result<(String, Variable), EngineError> {
    let name = input
        .name
        .filter(|n| !n.is_empty())
        .ok_or_else(|| EngineError::BadRequest("Variable name is required.".into()))?;
    if name.chars().count() > MAX_NAME {
        return Err(too_long("NAME_", &name));
    }
    let (kind, value) = match input.kind.as_deref() {
        None => natural(input.value),
        Some(kind) => typed(kind, input.value)?,
    };
    Ok((name, Variable { kind, value: Arc::new(value), encryption: input.encryption }))
}

pub(super) fn too_long(column: &str, value: &str) -> EngineError {
    EngineError::Internal(format!(
        "Value too long for column \"{column} CHARACTER VARYING(255)\": {} characters",
        value.chars().count()
    ))
}

/// Without a type, the JSON type decides.
fn natural(value: Value) -> (&'static str, Value) {
    let kind = match &value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::String(_) => "string",
        Value::Array(_) | Value::Object(_) => "json",
        Value::Number(number) => match number.as_i64() {
            Some(whole) if i32::try_from(whole).is_ok() => "integer",
            Some(_) => "long",
            None if number.is_u64() => return ("bigInteger", Value::String(number.to_string())),
            None => "double",
        },
    };
    (kind, value)
}

fn typed(kind: &str, value: Value) -> Result<(&'static str, Value), EngineError> {
    let refuse = |plural: &str| EngineError::BadRequest(format!("Converter can only convert {plural}"));
    if value.is_null() {
        return Ok((known_type(kind)?, Value::Null));
    }
    let kind = known_type(kind)?;
    let value = match kind {
        "string" | "uuid" | "bigDecimal" | "bigInteger" | "instant" | "localDate" | "localDateTime" => match value {
            Value::String(_) => value,
            Value::Number(number) if kind.starts_with("big") => Value::String(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                return Err(refuse("strings"));
            }
        },
        "boolean" => match value {
            Value::Bool(_) => value,
            Value::Null | Value::String(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                return Err(refuse("booleans"));
            }
        },
        // A number that does not fit is cut off in silence, as in the engine.
        "short" => Value::from(whole(&value).ok_or_else(|| refuse("shorts"))? as i16),
        "integer" => Value::from(whole(&value).ok_or_else(|| refuse("integers"))? as i32),
        "long" => Value::from(whole(&value).ok_or_else(|| refuse("longs"))?),
        "double" => Value::from(value.as_f64().ok_or_else(|| refuse("doubles"))?),
        "date" => date(&value)?,
        _ => value,
    };
    Ok((kind, value))
}

fn known_type(kind: &str) -> Result<&'static str, EngineError> {
    const TYPES: [&str; 14] = [
        "string",
        "integer",
        "short",
        "long",
        "double",
        "boolean",
        "date",
        "instant",
        "localDate",
        "localDateTime",
        "bigDecimal",
        "bigInteger",
        "uuid",
        "json",
    ];
    TYPES
        .into_iter()
        .find(|known| *known == kind)
        .ok_or_else(|| EngineError::BadRequest(format!("Variable type '{kind}' is not supported.")))
}

fn whole(value: &Value) -> Option<i64> {
    let number = value.as_number()?;
    number.as_i64().or_else(|| number.as_f64().map(|float| float as i64))
}

/// Milliseconds are dropped and the offset becomes UTC, as in the engine.
fn date(value: &Value) -> Result<Value, EngineError> {
    let refuse = || EngineError::BadRequest(format!("The given variable value is not a date: {value}"));
    let parsed: Timestamp = value.as_str().ok_or_else(refuse)?.parse().map_err(|_| refuse())?;
    let seconds = Timestamp::from_second(parsed.as_second()).map_err(|_| refuse())?;
    Ok(Value::String(seconds.to_string()))
}

impl Engine {
    /// Creates variables; if one of them exists, none is written.
    pub(crate) fn create_variables(
        &mut self,
        instance: &str,
        inputs: Vec<VariableInput>,
        now: Timestamp,
    ) -> Result<Vec<String>, EngineError> {
        let mut change = self.change(self.running_instance(instance)?, now);
        let variables = read(inputs)?;
        let taken: HashSet<&String> = change.instance.variables.keys().collect();
        if let Some((name, _)) = variables.iter().find(|(name, _)| taken.contains(name)) {
            return Err(EngineError::Conflict(format!(
                "Variable '{name}' is already present on execution '{instance}'."
            )));
        }
        let names = variables.iter().map(|(name, _)| name.clone()).collect();
        change.instance.variables.extend(variables);
        self.commit(change);
        Ok(names)
    }

    /// Sets one variable that exists.
    pub(crate) fn set_variable(
        &mut self,
        instance: &str,
        name: &str,
        mut input: VariableInput,
        now: Timestamp,
    ) -> Result<(), EngineError> {
        let mut change = self.change(self.running_instance(instance)?, now);
        if input.name.as_deref().is_some_and(|given| given != name) {
            return Err(EngineError::BadRequest(
                "Variable name in the body should be equal to the name used in the requested URL.".into(),
            ));
        }
        if !change.instance.variables.contains_key(name) {
            return Err(EngineError::NotFound(format!(
                "Process instance '{instance}' does not have a variable with name: '{name}'."
            )));
        }
        input.name = Some(name.to_owned());
        let (name, variable) = read_one(input)?;
        change.instance.variables.insert(name, variable);
        self.commit(change);
        Ok(())
    }
}
