//! Process variables: typed on the way out, tolerant on the way in.

use std::fmt;

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::limits::{self, LimitError};

/// A process variable.
#[derive(Debug, Clone, PartialEq)]
pub struct Variable {
    /// Not empty, at most 255 characters.
    pub name: String,
    /// The value, which decides the type that is sent.
    pub value: VariableValue,
}

/// A value in one of the types that survive a round trip through the engine.
///
/// Always sent with its type: untyped objects become Java blobs, `integer` overflows silently and `date` loses
/// its milliseconds (all observed on Flowable 7.2), so whole numbers are `long`, objects and arrays `json`, and
/// dates are strings. `Debug` shows the type, never the content.
#[derive(Clone, PartialEq)]
pub enum VariableValue {
    /// Type `string`. On reading also dates, big decimals and ids, which the engines write as text.
    String(String),
    /// Type `long`.
    Long(i64),
    /// Type `double`; must be finite.
    Double(f64),
    /// Type `boolean`.
    Bool(bool),
    /// Type `json`.
    Json(Value),
    /// No value. On reading also a value that the engine does not show, such as a serialised Java object.
    Null,
}

impl Variable {
    /// A variable whose value has a Rust type that maps by itself.
    pub fn new(name: impl Into<String>, value: impl Into<VariableValue>) -> Variable {
        Variable { name: name.into(), value: value.into() }
    }

    /// A variable of a JSON value: whole numbers become `long`, other numbers `double`, objects and arrays
    /// `json`.
    ///
    /// # Errors
    /// [`LimitError`] when the engine would damage or refuse the value.
    pub fn from_json(name: impl Into<String>, value: Value) -> Result<Variable, LimitError> {
        let name = name.into();
        let value = match value {
            Value::Null => VariableValue::Null,
            Value::Bool(value) => VariableValue::Bool(value),
            Value::String(value) => VariableValue::String(value),
            Value::Number(number) if number.is_i64() || number.is_u64() => {
                let long = number.as_i64().ok_or_else(|| LimitError::NumberRange { variable: name.clone() })?;
                VariableValue::Long(long)
            }
            Value::Number(number) => {
                let double = number.as_f64().ok_or_else(|| LimitError::NumberRange { variable: name.clone() })?;
                VariableValue::Double(double)
            }
            Value::Array(_) | Value::Object(_) => VariableValue::Json(value),
        };
        let variable = Variable { name, value };
        variable.check()?;
        Ok(variable)
    }

    /// Whether the engine takes the variable as it is.
    ///
    /// # Errors
    /// [`LimitError`] says which limit is broken.
    pub fn check(&self) -> Result<(), LimitError> {
        limits::name("variable name", &self.name)?;
        match &self.value {
            VariableValue::String(text) => self.check_string(text),
            VariableValue::Double(double) if !double.is_finite() => {
                Err(LimitError::NumberRange { variable: self.name.clone() })
            }
            VariableValue::Json(value) => self.check_json(value, limits::DEPTH_LIMIT),
            VariableValue::Long(_) | VariableValue::Double(_) | VariableValue::Bool(_) | VariableValue::Null => Ok(()),
        }
    }

    fn check_json(&self, value: &Value, depth: usize) -> Result<(), LimitError> {
        let inner = || depth.checked_sub(1).ok_or_else(|| LimitError::TooDeep { variable: self.name.clone() });
        match value {
            Value::String(text) => self.check_string(text),
            Value::Array(items) => {
                let depth = inner()?;
                items.iter().try_for_each(|item| self.check_json(item, depth))
            }
            Value::Object(fields) => {
                let depth = inner()?;
                fields.values().try_for_each(|field| self.check_json(field, depth))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        }
    }

    fn check_string(&self, text: &str) -> Result<(), LimitError> {
        match limits::over(text, limits::STRING_LIMIT) {
            Some(length) => Err(LimitError::StringTooLong { variable: self.name.clone(), length }),
            None => Ok(()),
        }
    }
}

impl Serialize for Variable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Variable", 3)?;
        fields.serialize_field("name", &self.name)?;
        match &self.value {
            VariableValue::String(value) => {
                fields.serialize_field("type", "string")?;
                fields.serialize_field("value", value)?;
            }
            VariableValue::Long(value) => {
                fields.serialize_field("type", "long")?;
                fields.serialize_field("value", value)?;
            }
            VariableValue::Double(value) => {
                fields.serialize_field("type", "double")?;
                fields.serialize_field("value", value)?;
            }
            VariableValue::Bool(value) => {
                fields.serialize_field("type", "boolean")?;
                fields.serialize_field("value", value)?;
            }
            VariableValue::Json(value) => {
                fields.serialize_field("type", "json")?;
                fields.serialize_field("value", value)?;
            }
            VariableValue::Null => fields.serialize_field("value", &Value::Null)?,
        }
        fields.end()
    }
}

impl VariableValue {
    /// The text of a `String`.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            VariableValue::String(text) => Some(text),
            VariableValue::Long(_)
            | VariableValue::Double(_)
            | VariableValue::Bool(_)
            | VariableValue::Json(_)
            | VariableValue::Null => None,
        }
    }

    /// The value as JSON, for expressions.
    pub fn into_json(self) -> Value {
        match self {
            VariableValue::String(value) => Value::String(value),
            VariableValue::Long(value) => Value::from(value),
            VariableValue::Double(value) => Value::from(value),
            VariableValue::Bool(value) => Value::Bool(value),
            VariableValue::Json(value) => value,
            VariableValue::Null => Value::Null,
        }
    }
}

impl fmt::Debug for VariableValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VariableValue::String(text) => write!(f, "String({} bytes)", text.len()),
            VariableValue::Long(_) => f.write_str("Long(..)"),
            VariableValue::Double(_) => f.write_str("Double(..)"),
            VariableValue::Bool(_) => f.write_str("Bool(..)"),
            VariableValue::Json(_) => f.write_str("Json(..)"),
            VariableValue::Null => f.write_str("Null"),
        }
    }
}

impl From<&str> for VariableValue {
    fn from(value: &str) -> Self {
        VariableValue::String(value.to_owned())
    }
}

impl From<String> for VariableValue {
    fn from(value: String) -> Self {
        VariableValue::String(value)
    }
}

impl From<i64> for VariableValue {
    fn from(value: i64) -> Self {
        VariableValue::Long(value)
    }
}

impl From<f64> for VariableValue {
    fn from(value: f64) -> Self {
        VariableValue::Double(value)
    }
}

impl From<bool> for VariableValue {
    fn from(value: bool) -> Self {
        VariableValue::Bool(value)
    }
}

/// A variable in an answer. Scope, encryption and links are ignored.
#[derive(Deserialize)]
pub(crate) struct VariableRow {
    name: String,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    value: Value,
}

impl From<VariableRow> for Variable {
    fn from(row: VariableRow) -> Self {
        let kind = row.kind.as_deref().unwrap_or_default();
        let value = match row.value {
            Value::Null => VariableValue::Null,
            Value::Bool(value) if kind != "json" => VariableValue::Bool(value),
            Value::String(text) if kind != "json" => VariableValue::String(text),
            Value::Number(number) if kind != "json" => match (number.as_i64(), number.as_f64()) {
                (Some(long), _) if kind != "double" => VariableValue::Long(long),
                (_, Some(double)) => VariableValue::Double(double),
                (Some(long), None) => VariableValue::Long(long),
                (None, None) => VariableValue::String(number.to_string()),
            },
            json @ (Value::Bool(_) | Value::String(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                VariableValue::Json(json)
            }
        };
        Variable { name: row.name, value }
    }
}

/// Checks every variable of a request.
pub(crate) fn check_all(variables: &[Variable]) -> Result<(), LimitError> {
    variables.iter().try_for_each(Variable::check)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sent(value: Value) -> Value {
        serde_json::to_value(Variable::from_json("v", value).unwrap()).unwrap()
    }

    #[test]
    fn every_value_is_sent_with_the_type_that_keeps_it_whole() {
        assert_eq!(sent(json!(3_000_000_000_i64)), json!({"name": "v", "type": "long", "value": 3_000_000_000_i64}));
        assert_eq!(sent(json!(3.0)), json!({"name": "v", "type": "double", "value": 3.0}));
        assert_eq!(sent(json!("x")), json!({"name": "v", "type": "string", "value": "x"}));
        assert_eq!(sent(json!(true)), json!({"name": "v", "type": "boolean", "value": true}));
        assert_eq!(sent(json!([1])), json!({"name": "v", "type": "json", "value": [1]}));
        assert_eq!(sent(json!(null)), json!({"name": "v", "value": null}));
    }

    #[test]
    fn what_the_engine_would_damage_is_refused() {
        let refused = |value| Variable::from_json("v", value).unwrap_err();
        assert_eq!(refused(json!(u64::MAX)), LimitError::NumberRange { variable: "v".into() });
        assert!(matches!(
            refused(json!({"a": ["x".repeat(20_000_001)]})),
            LimitError::StringTooLong { length: 20_000_001, .. }
        ));
        let deep = (0..101).fold(json!(1), |inner, _| json!([inner]));
        assert_eq!(refused(deep), LimitError::TooDeep { variable: "v".into() });
        assert!(Variable::from_json("v", (0..100).fold(json!(1), |inner, _| json!([inner]))).is_ok());
        assert!(Variable::new("v", f64::NAN).check().is_err());
        assert!(Variable::new("n".repeat(256), true).check().is_err());
    }

    #[test]
    fn answers_of_both_dialects_are_read() {
        let read = |row: Value| Variable::from(serde_json::from_value::<VariableRow>(row).unwrap()).value;
        assert!(read(json!({"name": "v", "type": "long", "value": 5, "scope": "local"})) == 5.into());
        assert!(read(json!({"name": "v", "type": "double", "value": 5})) == 5.0.into());
        assert!(read(json!({"name": "v", "type": "json", "value": "text"})) == VariableValue::Json(json!("text")));
        assert!(
            read(json!({"name": "v", "type": "serializable", "value": null, "valueUrl": "u"})) == VariableValue::Null
        );
        assert!(read(json!({"name": "v", "value": {}, "encryption": false})) == VariableValue::Json(json!({})));
    }

    #[test]
    fn debug_shows_no_content() {
        let shown = format!("{:?}", Variable::new("note", "patient 4711"));
        assert!(!shown.contains("4711") && shown.contains("note"), "{shown}");
    }
}
