//! Query parameters. Unknown ones are ignored, as in the real engine: a misspelt filter returns everything.

use std::collections::HashMap;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;

use super::problem::Problem;

/// The query of a list.
#[derive(Debug)]
pub(super) struct Filters {
    values: HashMap<String, String>,
    /// Path and query as they arrived, for links.
    pub(super) uri: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Filters {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let uri = parts.uri.to_string();
        let Query(values) = Query::from_request_parts(parts, state).await.map_err(IntoResponse::into_response)?;
        Ok(Self { values, uri })
    }
}

impl Filters {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.get(name).map(|value| value.eq_ignore_ascii_case("true"))
    }

    pub(super) fn is_set(&self, name: &str) -> bool {
        self.flag(name) == Some(true)
    }

    /// Whether the value passes an exact filter of this name.
    pub(super) fn equals(&self, name: &str, value: Option<&str>) -> bool {
        self.get(name).is_none_or(|wanted| value == Some(wanted))
    }

    /// Whether the value passes a `…Like` filter, with `%` for any text.
    pub(super) fn like(&self, name: &str, value: Option<&str>) -> bool {
        self.get(name).is_none_or(|pattern| value.is_some_and(|value| like(pattern, value)))
    }

    /// A number. Another text is an internal error, as was observed on the real engine.
    pub(super) fn number(&self, name: &str, default: usize) -> Result<usize, Problem> {
        match self.get(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| Problem::internal(format!("For input string: \"{text}\""))),
        }
    }

    /// A time bound. A text that is no date is an internal error, as was observed on the real engine.
    pub(super) fn time(&self, name: &str) -> Result<Option<Timestamp>, Problem> {
        self.get(name)
            .map(|text| text.parse().map_err(|_| Problem::internal(format!("Text '{text}' could not be parsed"))))
            .transpose()
    }

    /// Bounds `<name>Before` and `<name>After`.
    pub(super) fn period(&self, before: &str, after: &str) -> Result<Period, Problem> {
        Ok(Period { before: self.time(before)?, after: self.time(after)? })
    }
}

/// A time filter, open on either side.
#[derive(Debug, Clone, Copy)]
pub(super) struct Period {
    before: Option<Timestamp>,
    after: Option<Timestamp>,
}

impl Period {
    pub(super) fn holds(&self, time: Option<Timestamp>) -> bool {
        self.before.is_none_or(|bound| time.is_some_and(|t| t < bound))
            && self.after.is_none_or(|bound| time.is_some_and(|t| t > bound))
    }
}

fn like(pattern: &str, value: &str) -> bool {
    let mut parts = pattern.split('%');
    let Some(mut rest) = parts.next().and_then(|first| value.strip_prefix(first)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::like;

    #[test]
    fn a_percent_sign_stands_for_any_text() {
        for (pattern, value) in
            [("ticket/%", "ticket/7"), ("%/7", "ticket/7"), ("%ck%/%", "ticket/7"), ("a", "a"), ("%", "")]
        {
            assert!(like(pattern, value), "{pattern} {value}");
        }
        for (pattern, value) in [("ticket/%", "case/7"), ("a", "ab"), ("a%a", "a"), ("%b", "a")] {
            assert!(!like(pattern, value), "{pattern} {value}");
        }
    }
}
