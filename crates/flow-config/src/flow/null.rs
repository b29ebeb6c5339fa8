//! `[source.null]`: the process that a null payload ends, found by the record's key and headers alone.

use std::sync::Arc;

use super::read::{expression, needed_by};
use super::source::{Located, OnNull};
use super::step::check_name;
use crate::document::Section;
use crate::expression::{Needed, Wanted, null_scope};

/// What a null payload ends.
#[derive(Debug)]
pub(super) struct NullRule {
    pub(super) definition: Arc<str>,
    /// The ordering key; without it the record key.
    pub(super) key: Option<Located>,
    pub(super) business_key: Located,
    pub(super) needed: Needed,
}

const TERMINATE: &str = "name the process that a null payload ends, as in [source.null] terminate = \"ticket_triage\"";
const BUSINESS_KEY: &str =
    "a CEL text by which the process is found, of `record` and `ce` alone: \"'ticket/' + record.key\"";

/// What null payloads mean, and which process they end.
pub(super) fn read(section: &Section<'_>) -> (OnNull, Option<NullRule>) {
    let choices = [("dead-letter", OnNull::DeadLetter), ("skip", OnNull::Skip), ("terminate", OnNull::Terminate)];
    let on_null = section.one_of("on_null", &choices).unwrap_or(OnNull::DeadLetter);
    let at = section.key_at("null");
    let rule = section.table("null").and_then(rule);
    match (on_null, at) {
        (OnNull::Terminate, None) => section.report(section.at(), "null", "is missing", TERMINATE),
        (OnNull::DeadLetter | OnNull::Skip, Some(at)) => {
            section.report(at, "null", "says nothing here", "write on_null = \"terminate\", or remove it");
        }
        (OnNull::Terminate, Some(_)) | (OnNull::DeadLetter | OnNull::Skip, None) => {}
    }
    (on_null, rule)
}

fn rule(section: Section<'_>) -> Option<NullRule> {
    let scope = null_scope();
    let definition = section.required_string("terminate", TERMINATE);
    if let Some(name) = &definition {
        check_name(&section, "terminate", name.span().start, name.get_ref());
    }
    let key = expression(&section, "key", Wanted::Text, &scope);
    let required = section.require("business_key", BUSINESS_KEY);
    let business_key = required.then(|| expression(&section, "business_key", Wanted::Text, &scope)).flatten();
    section.finish();
    let (definition, business_key) = (definition?.get_ref().as_str().into(), business_key?);
    let needed = needed_by(&scope, key.iter().chain([&business_key]));
    Some(NullRule { definition, key, business_key, needed })
}
