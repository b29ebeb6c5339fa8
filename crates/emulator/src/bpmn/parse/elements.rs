//! One flow node: which kind it is and what its attributes say.

use std::sync::Arc;

use super::super::expression::{ParseError, Template};
use super::super::model::{BoundaryEvent, Event, Kind, Outcome, Timer, UserTask};
use super::super::xml::Element;
use super::super::{ModelError, duration};
use super::{Declared, allow_extensions, bpmn_children, extension, http_task, refuse, required};

/// Attributes of a user task that are read, or that only concern forms and lists in a user interface.
const USER_TASK: [&str; 11] = [
    "assignee",
    "candidateGroups",
    "candidateUsers",
    "dueDate",
    "category",
    "priority",
    "formKey",
    "taskType",
    "outcomeVariable",
    "possibleOutcomes",
    "formFieldValidation",
];

pub(super) fn node(element: &Element, declared: &Declared) -> Result<Kind, ModelError> {
    required(element, "id")?;
    match element.name.as_str() {
        "startEvent" => start(element, declared),
        "endEvent" => end(element),
        "userTask" => user_task(element),
        "serviceTask" => service_task(element),
        "exclusiveGateway" => {
            allow_extensions(element, &[])?;
            Ok(Kind::ExclusiveGateway { default: None })
        }
        "parallelGateway" => {
            allow_extensions(element, &[])?;
            Ok(Kind::ParallelGateway)
        }
        "intermediateCatchEvent" => catch(element, declared),
        "boundaryEvent" => boundary(element, declared),
        other => Err(refuse(element, format!("'{other}' is not supported"))),
    }
}

fn start(element: &Element, declared: &Declared) -> Result<Kind, ModelError> {
    allow_extensions(element, &["initiator", "formFieldValidation"])?;
    let initiator = extension(element, "initiator").map(Into::into);
    match definition(element)? {
        None => Ok(Kind::Start { message: None, initiator }),
        Some(event) if event.name == "messageEventDefinition" => {
            Ok(Kind::Start { message: Some(message(element, event, declared)?), initiator })
        }
        Some(event) => Err(refuse(element, format!("a start event with '{}' is not supported", event.name))),
    }
}

fn end(element: &Element) -> Result<Kind, ModelError> {
    allow_extensions(element, &[])?;
    match definition(element)? {
        None => Ok(Kind::End),
        Some(event) if event.name == "terminateEventDefinition" => {
            allow_extensions(event, &[])?;
            Ok(Kind::TerminateEnd)
        }
        Some(event) => Err(refuse(element, format!("an end event with '{}' is not supported", event.name))),
    }
}

fn catch(element: &Element, declared: &Declared) -> Result<Kind, ModelError> {
    allow_extensions(element, &[])?;
    match definition(element)? {
        Some(event) if event.name == "messageEventDefinition" => {
            Ok(Kind::Catch(Event::Message(message(element, event, declared)?)))
        }
        Some(event) if event.name == "timerEventDefinition" => Ok(Kind::Catch(Event::Timer(timer(element, event)?))),
        Some(event) => Err(refuse(element, format!("a catch event with '{}' is not supported", event.name))),
        None => Err(refuse(element, "a catch event needs an event definition".into())),
    }
}

fn boundary(element: &Element, declared: &Declared) -> Result<Kind, ModelError> {
    allow_extensions(element, &[])?;
    required(element, "attachedToRef")?;
    let interrupting = element.attribute("cancelActivity") != Some("false");
    match definition(element)? {
        Some(event) if event.name == "timerEventDefinition" => {
            Ok(Kind::Boundary { event: BoundaryEvent::Timer(timer(element, event)?), interrupting })
        }
        Some(event) if event.name == "errorEventDefinition" => {
            // As in the engine: a reference that names no declared error is the code itself.
            let code = event
                .attribute("errorRef")
                .map(|reference| declared.errors.get(reference).cloned().unwrap_or_else(|| reference.into()));
            Ok(Kind::Boundary { event: BoundaryEvent::Error(code), interrupting: true })
        }
        Some(event) => Err(refuse(element, format!("a boundary event with '{}' is not supported", event.name))),
        None => Err(refuse(element, "a boundary event needs an event definition".into())),
    }
}

fn user_task(element: &Element) -> Result<Kind, ModelError> {
    allow_extensions(element, &USER_TASK)?;
    no_children(element)?;
    let due = template(element, "dueDate")?;
    if let Some(literal) = due.as_ref().and_then(Template::literal) {
        duration::parse(literal).map_err(|reason| refuse(element, format!("dueDate: {reason}")))?;
    }
    let description = element
        .child("documentation")
        .map(|d| Template::parse(d.text.trim()))
        .transpose()
        .map_err(|e| refuse(element, e.to_string()))?;
    Ok(Kind::UserTask(UserTask {
        assignee: template(element, "assignee")?,
        candidate_groups: templates(element, "candidateGroups")?,
        candidate_users: templates(element, "candidateUsers")?,
        due,
        description,
        category: template(element, "category")?,
        priority: template(element, "priority")?,
        form_key: template(element, "formKey")?,
        outcome: outcome(element)?,
    }))
}

/// `Approve:approved,Reject:rejected`: label and stored value.
fn outcome(element: &Element) -> Result<Option<Outcome>, ModelError> {
    let (variable, possible) = match (extension(element, "outcomeVariable"), extension(element, "possibleOutcomes")) {
        (Some(variable), Some(possible)) => (variable, possible),
        (None, None) => return Ok(None),
        (Some(_), None) | (None, Some(_)) => {
            return Err(refuse(element, "outcomeVariable and possibleOutcomes belong together".into()));
        }
    };
    let possible = possible
        .split(',')
        .map(|pair| match pair.trim().split_once(':') {
            Some((label, value)) if !label.is_empty() && !value.is_empty() => Ok((label.to_owned(), value.to_owned())),
            Some(_) | None => {
                Err(refuse(element, format!("possibleOutcomes: '{pair}' is not of the form Label:value")))
            }
        })
        .collect::<Result<_, _>>()?;
    Ok(Some(Outcome { variable: variable.into(), possible }))
}

fn service_task(element: &Element) -> Result<Kind, ModelError> {
    if extension(element, "type") == Some("http") {
        return http_task::read(element);
    }
    allow_extensions(element, &["type", "topic", "exclusive"])?;
    no_children(element)?;
    match extension(element, "type") {
        Some("external-worker") => {}
        Some(other) => return Err(refuse(element, format!("a service task of type '{other}' is not supported"))),
        None => {
            return Err(refuse(element, "only service tasks of type 'external-worker' or 'http' are supported".into()));
        }
    }
    let topic = template(element, "topic")?
        .ok_or_else(|| refuse(element, "an external-worker task needs the engine attribute 'topic'".into()))?;
    Ok(Kind::ExternalTask { topic, exclusive: extension(element, "exclusive") != Some("false") })
}

/// The event definition of an event, if it has one.
fn definition(element: &Element) -> Result<Option<&Element>, ModelError> {
    let mut found = None;
    for child in bpmn_children(element)? {
        match child.name.as_str() {
            "incoming" | "outgoing" => {}
            name if name.ends_with("EventDefinition") && found.is_none() => found = Some(child),
            name => return Err(refuse(element, format!("'{name}' is not supported in this event"))),
        }
    }
    Ok(found)
}

fn message(element: &Element, event: &Element, declared: &Declared) -> Result<Arc<str>, ModelError> {
    let reference =
        event.attribute("messageRef").ok_or_else(|| refuse(element, "the message event needs 'messageRef'".into()))?;
    declared
        .messages
        .get(reference)
        .cloned()
        .ok_or_else(|| refuse(element, format!("no message with id '{reference}' is declared")))
}

fn timer(element: &Element, event: &Element) -> Result<Timer, ModelError> {
    let mut children = bpmn_children(event)?;
    match (children.next(), children.next()) {
        (Some(child), None) if child.name == "timeDuration" => {
            let template = compile(element, "timeDuration", child.text.trim())?;
            // A duration that is written out is checked now, one that is calculated when it is needed.
            if let Some(text) = template.literal() {
                duration::parse(text).map_err(|reason| refuse(element, reason))?;
            }
            Ok(Timer(template))
        }
        (Some(child), None) => Err(refuse(element, format!("'{}' is not supported; use timeDuration", child.name))),
        _ => Err(refuse(element, "the timer needs exactly one 'timeDuration'".into())),
    }
}

/// Activities here have no content that runs: no loops, no data associations.
fn no_children(element: &Element) -> Result<(), ModelError> {
    for child in bpmn_children(element)? {
        if child.name != "incoming" && child.name != "outgoing" {
            return Err(refuse(element, format!("'{}' is not supported in this task", child.name)));
        }
    }
    Ok(())
}

fn template(element: &Element, name: &str) -> Result<Option<Template>, ModelError> {
    extension(element, name).map(|text| compile(element, name, text)).transpose()
}

/// One template per part of a comma-separated list.
fn templates(element: &Element, name: &str) -> Result<Vec<Template>, ModelError> {
    extension(element, name)
        .map(|text| text.split(',').map(|part| compile(element, name, part.trim())).collect())
        .unwrap_or_else(|| Ok(Vec::new()))
}

fn compile(element: &Element, name: &str, text: &str) -> Result<Template, ModelError> {
    Template::parse(text).map_err(|e: ParseError| refuse(element, format!("{name}: {e}")))
}
