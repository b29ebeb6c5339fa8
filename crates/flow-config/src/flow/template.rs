//! A path with expressions in braces: `/cases/{vars.caseId}/owner`. What an expression gives is percent-encoded, so that data of a
//! process can neither leave its segment nor begin a query.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value as Json;
use toml::Spanned;

use super::read::compile;
use super::source::Located;
use crate::document::Section;
use crate::expression::{Evaluation, EvaluationError, Scope, Wanted, noun};

/// Everything but the unreserved characters of RFC 3986.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[derive(Debug)]
pub(super) struct Template {
    parts: Vec<Part>,
    /// As it is written in the flow.
    pub(super) source: String,
}

#[derive(Debug)]
enum Part {
    Text(String),
    Value(Box<Located>),
}

impl Template {
    pub(super) fn read(
        section: &Section<'_>,
        name: &'static str,
        text: &Spanned<String>,
        scope: &Scope,
    ) -> Option<Template> {
        let (span, mut rest) = (text.span(), text.get_ref().as_str());
        let report = |message: &str, help: &str| {
            section.report(span.start, name, message, help);
            None
        };
        if !rest.starts_with('/') {
            return report("must begin with a slash", "it is added to the system's URL");
        }
        let mut parts = Vec::new();
        while let Some((before, behind)) = rest.split_once('{') {
            parts.push(Part::Text(before.to_owned()));
            let Some((source, after)) = behind.split_once('}') else {
                return report("has a brace that is not closed", "write /cases/{vars.caseId}");
            };
            let value = compile(section, name, span.clone(), source, Wanted::Anything, scope)?;
            parts.push(Part::Value(Box::new(value)));
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        let literal = parts.iter().filter_map(|part| if let Part::Text(text) = part { Some(text) } else { None });
        if literal.clone().any(|text| text.contains(['}', '#', ' ', '\\']) || !text.is_ascii()) {
            return report("has a character that a path does not take", "percent-encode it");
        }
        Some(Template { parts, source: text.get_ref().clone() })
    }

    pub(super) fn fill(&self, evaluation: &Evaluation<'_>) -> Result<String, (&Located, EvaluationError)> {
        let mut path = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => path.push_str(text),
                Part::Value(at) => {
                    let value = at.expression.evaluate(evaluation).and_then(segment).map_err(|cause| (&**at, cause))?;
                    path.extend(utf8_percent_encode(&value, ENCODED));
                }
            }
        }
        Ok(path)
    }
}

/// Text or a number that can stand in a path. Dots alone would lead elsewhere, and nothing at all to another resource.
fn segment(value: Json) -> Result<String, EvaluationError> {
    match value {
        Json::String(text) if matches!(text.as_str(), "" | "." | "..") => {
            Err(EvaluationError("gave a text that cannot stand in a path: empty, or dots alone".to_owned()))
        }
        Json::String(text) => Ok(text),
        Json::Number(number) => Ok(number.to_string()),
        other @ (Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_)) => {
            Err(EvaluationError(format!("must give text or a number, but gave {}", noun(&other))))
        }
    }
}
