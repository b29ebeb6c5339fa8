//! The small part of the expression language that models here need: comparisons and logic over variables.
//!
//! Anything beyond it is refused at deploy, so that a model never runs differently from what its author reads.

mod evaluate;
mod parse;

use std::collections::BTreeMap;

use serde_json::Value;

pub(crate) use parse::ParseError;

/// Variables by name, as an expression sees them.
pub(crate) trait Scope {
    /// Value of a variable, if it is set.
    fn get(&self, name: &str) -> Option<&Value>;
}

impl Scope for BTreeMap<String, Value> {
    fn get(&self, name: &str) -> Option<&Value> {
        BTreeMap::get(self, name)
    }
}

/// A compiled `${…}`.
#[derive(Debug, Clone)]
pub(crate) struct Expression {
    source: String,
    root: Term,
}

/// Why an expression could not be evaluated against the variables at hand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Error while evaluating expression: ${{{source_text}}}: {reason}")]
pub(crate) struct EvaluationError {
    source_text: String,
    reason: String,
}

impl Expression {
    /// Compiles a text of the form `${…}`.
    pub(crate) fn parse(text: &str) -> Result<Self, ParseError> {
        let text = text.trim();
        let inner = text
            .strip_prefix("${")
            .and_then(|rest| rest.strip_suffix('}'))
            .ok_or_else(|| ParseError::new(format!("'{text}' is not of the form ${{…}}")))?;
        Ok(Self { source: inner.to_owned(), root: parse::parse(inner)? })
    }

    /// Evaluates to a JSON value.
    pub(crate) fn evaluate(&self, scope: &dyn Scope) -> Result<Value, EvaluationError> {
        evaluate::evaluate(&self.root, scope)
            .map_err(|reason| EvaluationError { source_text: self.source.clone(), reason })
    }

    /// Evaluates to a condition; anything but a boolean is an error, as in the engine.
    pub(crate) fn holds(&self, scope: &dyn Scope) -> Result<bool, EvaluationError> {
        match self.evaluate(scope)? {
            Value::Bool(answer) => Ok(answer),
            other @ (Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) => {
                Err(EvaluationError {
                    source_text: self.source.clone(),
                    reason: format!("condition expression returns non-Boolean result: {other}"),
                })
            }
        }
    }
}

/// Text with expressions in it, such as `team-${region}`.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Expression(Expression),
}

impl Template {
    /// Compiles a text; without `${` it is a literal.
    pub(crate) fn parse(text: &str) -> Result<Self, ParseError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            if start > 0 {
                parts.push(Part::Text(rest[..start].to_owned()));
            }
            let end = rest[start..]
                .find('}')
                .ok_or_else(|| ParseError::new(format!("'{text}': the expression is not closed by '}}'")))?;
            parts.push(Part::Expression(Expression::parse(&rest[start..=start + end])?));
            rest = &rest[start + end + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// A text that is taken as it is written.
    pub(crate) fn verbatim(text: &str) -> Self {
        Self { parts: vec![Part::Text(text.to_owned())] }
    }

    /// The error that what it gives cannot be used.
    pub(crate) fn wrong(&self, reason: String) -> EvaluationError {
        let source = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Expression(expression) => expression.source.clone(),
        };
        EvaluationError { source_text: self.parts.iter().map(source).collect(), reason }
    }

    /// The text, if it holds no expression.
    pub(crate) fn literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            [Part::Expression(_)] | [_, _, ..] => None,
        }
    }

    /// The text for these variables.
    pub(crate) fn text(&self, scope: &dyn Scope) -> Result<String, EvaluationError> {
        let mut text = String::new();
        for value in self.values(scope)? {
            match value {
                Value::String(s) => text.push_str(&s),
                Value::Null => {}
                Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                    text.push_str(&value.to_string());
                }
            }
        }
        Ok(text)
    }

    /// The names that this template stands for: an expression may give a list or a comma-separated text.
    pub(crate) fn names(&self, scope: &dyn Scope) -> Result<Vec<String>, EvaluationError> {
        if let [Part::Expression(expression)] = self.parts.as_slice()
            && let Value::Array(items) = expression.evaluate(scope)?
        {
            return Ok(items.iter().filter_map(|i| i.as_str().map(str::to_owned)).collect());
        }
        let text = self.text(scope)?;
        Ok(text.split(',').map(str::trim).filter(|n| !n.is_empty()).map(str::to_owned).collect())
    }

    fn values(&self, scope: &dyn Scope) -> Result<Vec<Value>, EvaluationError> {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => Ok(Value::String(text.clone())),
                Part::Expression(expression) => expression.evaluate(scope),
            })
            .collect()
    }
}

/// Syntax tree of an expression.
#[derive(Debug, Clone)]
enum Term {
    Literal(Value),
    /// A variable, then fields of it.
    Path(Vec<String>),
    Not(Box<Term>),
    Compare(Comparison, Box<Term>, Box<Term>),
    And(Box<Term>, Box<Term>),
    Or(Box<Term>, Box<Term>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[cfg(test)]
mod tests;
