//! An HTTP task: its request stands in fields, text as it is written or expressions.

use jiff::Span;

use super::super::expression::Template;
use super::super::model::{HttpTask, Kind};
use super::super::xml::Element;
use super::super::{ModelError, duration};
use super::{BPMN, EXTENSIONS, allow_extensions, extension, refuse};

/// What is read. The engine knows more, such as fields that store the answer.
const FIELDS: [&str; 7] = [
    "requestMethod",
    "requestUrl",
    "requestHeaders",
    "requestSecureHeaders",
    "requestBody",
    "requestTimeout",
    "failStatusCodes",
];
/// How often the engine tries a job of its own.
const TRIES: i64 = 3;

pub(super) fn read(element: &Element) -> Result<Kind, ModelError> {
    allow_extensions(element, &["type", "async", "exclusive"])?;
    if extension(element, "async") != Some("true") {
        let reason = "an HTTP task needs the engine attribute async=\"true\" here: otherwise its request is part of whatever came before it";
        return Err(refuse(element, reason.into()));
    }
    let (mut fields, mut retries) = (Vec::new(), None);
    for child in &element.children {
        match child.name.as_str() {
            "extensionElements" => {
                for extension in own(child) {
                    match extension.name.as_str() {
                        "field" => fields.push(field(element, extension)?),
                        "failedJobRetryTimeCycle" => retries = Some(cycle(element, extension.text.trim())?),
                        other => {
                            return Err(refuse(element, format!("the extension element '{other}' is not supported")));
                        }
                    }
                }
            }
            "incoming" | "outgoing" | "documentation" if child.namespace == BPMN => {}
            other => return Err(refuse(element, format!("'{other}' is not supported in this task"))),
        }
    }
    let mut take = |name: &str| {
        let position = fields.iter().position(|(field, _)| *field == name)?;
        Some(fields.remove(position).1)
    };
    let needed = |name: &str| refuse(element, format!("an HTTP task needs the field '{name}'"));
    let method = take("requestMethod").ok_or_else(|| needed("requestMethod"))?;
    let url = take("requestUrl").ok_or_else(|| needed("requestUrl"))?;
    let headers = ["requestHeaders", "requestSecureHeaders"].into_iter().filter_map(&mut take).collect();
    let (body, timeout, fail_codes) = (take("requestBody"), take("requestTimeout"), take("failStatusCodes"));
    let (tries, retry_wait) = retries.map_or((TRIES, None), |(tries, wait)| (tries, Some(wait)));
    Ok(Kind::HttpTask(Box::new(HttpTask { method, url, headers, body, timeout, fail_codes, tries, retry_wait })))
}

/// The extensions of one engine: of the workflow service where both are given.
fn own(extensions: &Element) -> impl Iterator<Item = &Element> {
    let of = |namespace: &'static str| extensions.children.iter().filter(move |child| child.namespace == namespace);
    let namespace = EXTENSIONS.into_iter().find(|namespace| of(namespace).next().is_some());
    of(namespace.unwrap_or_default())
}

/// `<field name="…"><string>…</string></field>`, or an expression, or the same as an attribute. Only expressions are evaluated.
fn field<'a>(task: &Element, element: &'a Element) -> Result<(&'a str, Template), ModelError> {
    let name = element.attribute("name").unwrap_or_default();
    if !FIELDS.contains(&name) {
        return Err(refuse(task, format!("the field '{name}' is not supported; there is {}", FIELDS.join(", "))));
    }
    let text = element.attribute("stringValue").or_else(|| element.child("string").map(|child| child.text.trim()));
    let expression =
        element.attribute("expression").or_else(|| element.child("expression").map(|child| child.text.trim()));
    let value = match (text, expression) {
        (Some(text), None) => Template::verbatim(text),
        (None, Some(text)) => Template::parse(text).map_err(|error| refuse(task, format!("{name}: {error}")))?,
        (None, None) | (Some(_), Some(_)) => {
            return Err(refuse(task, format!("the field '{name}' needs a string or an expression")));
        }
    };
    Ok((name, value))
}

/// `R5/PT10S`: how often, and how long between.
fn cycle(task: &Element, text: &str) -> Result<(i64, Span), ModelError> {
    let read = || {
        let (times, wait) = text.strip_prefix('R')?.split_once('/')?;
        Some((times.parse().ok().filter(|times| *times > 0)?, duration::parse(wait).ok()?))
    };
    read().ok_or_else(|| refuse(task, format!("failedJobRetryTimeCycle: '{text}' is not of the form R5/PT10S")))
}
