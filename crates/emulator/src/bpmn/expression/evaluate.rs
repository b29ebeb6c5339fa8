//! Syntax tree to value, with the coercions of the unified expression language that comparisons need.

use std::cmp::Ordering;

use serde_json::Value;

use super::{Comparison, Scope, Term};

pub(super) fn evaluate(term: &Term, scope: &dyn Scope) -> Result<Value, String> {
    Ok(match term {
        Term::Literal(value) => value.clone(),
        Term::Path(path) => lookup(path, scope)?,
        Term::Not(inner) => Value::Bool(!truth(&evaluate(inner, scope)?)?),
        Term::And(left, right) => Value::Bool(truth(&evaluate(left, scope)?)? && truth(&evaluate(right, scope)?)?),
        Term::Or(left, right) => Value::Bool(truth(&evaluate(left, scope)?)? || truth(&evaluate(right, scope)?)?),
        Term::Compare(comparison, left, right) => {
            Value::Bool(compare(*comparison, &evaluate(left, scope)?, &evaluate(right, scope)?)?)
        }
    })
}

/// An unset variable is an error (the engine rolls the request back); a missing field of an object is null.
fn lookup(path: &[String], scope: &dyn Scope) -> Result<Value, String> {
    let Some((name, fields)) = path.split_first() else {
        return Ok(Value::Null);
    };
    let mut value = scope.get(name).ok_or_else(|| format!("Unknown property used in expression: '{name}'"))?;
    for field in fields {
        match value {
            Value::Object(object) => match object.get(field) {
                Some(inner) => value = inner,
                // It is no variable, and has what it has.
                None if name == "execution" => return Err(format!("Could not find property {field} in '{name}'")),
                None => return Ok(Value::Null),
            },
            Value::Null => return Ok(Value::Null),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                return Err(format!("Could not find property {field} in '{}'", path.join(".")));
            }
        }
    }
    Ok(value.clone())
}

fn truth(value: &Value) -> Result<bool, String> {
    match value {
        Value::Bool(answer) => Ok(*answer),
        Value::Null => Ok(false),
        Value::String(text) => Ok(text.eq_ignore_ascii_case("true")),
        Value::Number(_) | Value::Array(_) | Value::Object(_) => Err(format!("Cannot coerce {value} to Boolean")),
    }
}

fn compare(comparison: Comparison, left: &Value, right: &Value) -> Result<bool, String> {
    match comparison {
        Comparison::Equal => equal(left, right),
        Comparison::NotEqual => Ok(!equal(left, right)?),
        Comparison::Less => Ok(order(left, right)? == Some(Ordering::Less)),
        Comparison::Greater => Ok(order(left, right)? == Some(Ordering::Greater)),
        Comparison::LessOrEqual => {
            Ok(left == right || matches!(order(left, right)?, Some(Ordering::Less | Ordering::Equal)))
        }
        Comparison::GreaterOrEqual => {
            Ok(left == right || matches!(order(left, right)?, Some(Ordering::Greater | Ordering::Equal)))
        }
    }
}

fn equal(left: &Value, right: &Value) -> Result<bool, String> {
    Ok(match (left, right) {
        (Value::Null, _) | (_, Value::Null) => left == right,
        (Value::Number(_), _) | (_, Value::Number(_)) => numeric(left, right)? == Some(Ordering::Equal),
        (Value::Bool(_), _) | (_, Value::Bool(_)) => truth(left)? == truth(right)?,
        (
            Value::String(_) | Value::Array(_) | Value::Object(_),
            Value::String(_) | Value::Array(_) | Value::Object(_),
        ) => left == right,
    })
}

/// `None` where either side is null: null is neither smaller nor greater.
fn order(left: &Value, right: &Value) -> Result<Option<Ordering>, String> {
    match (left, right) {
        (Value::Null, _) | (_, Value::Null) => Ok(None),
        (Value::String(left), Value::String(right)) => Ok(Some(left.cmp(right))),
        (Value::Number(_), _) | (_, Value::Number(_)) => numeric(left, right),
        (
            Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_),
            Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_),
        ) => Err(format!("Cannot compare {left} with {right}")),
    }
}

/// Whole numbers are compared exactly, everything else as floating point.
fn numeric(left: &Value, right: &Value) -> Result<Option<Ordering>, String> {
    if let (Some(left), Some(right)) = (whole(left), whole(right)) {
        return Ok(Some(left.cmp(&right)));
    }
    Ok(number(left)?.partial_cmp(&number(right)?))
}

fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn number(value: &Value) -> Result<f64, String> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    number.ok_or_else(|| format!("Cannot coerce {value} to Number"))
}
