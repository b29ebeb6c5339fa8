//! XML tree to [`Process`]: what runs, what may be ignored, and what is refused.
//!
//! The rule is strict on purpose: an element or an engine attribute that is not listed here would change how the real
//! engine runs the model, so a model with it must not pass here.

mod connect;
mod elements;
mod http_task;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::xml::{self, Element};
use super::{ModelError, Process};

const BPMN: &str = "http://www.omg.org/spec/BPMN/20100524/MODEL";
/// Both engines' names for the same extension attributes; the workflow service's comes first where both are given.
const EXTENSIONS: [&str; 2] = ["http://workflow.opentext.com", "http://flowable.org/bpmn"];

/// Elements without any effect on execution.
const IGNORED: [&str; 6] = ["documentation", "laneSet", "textAnnotation", "association", "group", "category"];

/// Reads a file and returns its executable processes.
pub(crate) fn parse(source: &str) -> Result<Vec<Process>, ModelError> {
    let root = xml::read(source)?;
    if root.namespace != BPMN || root.name != "definitions" {
        return Err(refuse(&root, format!("the root must be 'definitions' of {BPMN}")));
    }
    unique_ids(&root, &mut HashSet::new())?;
    let mut declared = Declared::default();
    let mut processes = Vec::new();
    for child in root.children.iter().filter(|c| c.namespace == BPMN) {
        match child.name.as_str() {
            "message" => declared.messages.extend(name_by_id(child, "name")?),
            "error" => declared.errors.extend(name_by_id(child, "errorCode")?),
            "process" => processes.push(child),
            // A collaboration only draws pools around processes; its message flows have no effect on execution.
            "collaboration" | "extensionElements" | "import" => {}
            ignored if IGNORED.contains(&ignored) => {}
            other => return Err(refuse(child, format!("'{other}' is not supported"))),
        }
    }
    let processes = processes
        .into_iter()
        .filter(|p| p.attribute("isExecutable") != Some("false"))
        .map(|p| process(p, &declared))
        .collect::<Result<Vec<_>, _>>()?;
    if processes.is_empty() {
        return Err(refuse(&root, "the file holds no executable process".into()));
    }
    Ok(processes)
}

/// Ids are unique in the whole file, not only in their process: the schema says so, and the engine checks it.
fn unique_ids<'a>(element: &'a Element, seen: &mut HashSet<&'a str>) -> Result<(), ModelError> {
    if let Some(id) = element.attribute("id")
        && !seen.insert(id)
    {
        return Err(refuse(element, "the id is used twice in this file".into()));
    }
    element.children.iter().try_for_each(|child| unique_ids(child, seen))
}

/// What the head of a file declares for its processes, by id.
#[derive(Default)]
struct Declared {
    messages: HashMap<String, Arc<str>>,
    errors: HashMap<String, Arc<str>>,
}

fn name_by_id(element: &Element, name: &str) -> Result<Option<(String, Arc<str>)>, ModelError> {
    let id = required(element, "id")?;
    let name = element.attribute(name).unwrap_or(id);
    Ok(Some((id.to_owned(), name.into())))
}

fn process(element: &Element, declared: &Declared) -> Result<Process, ModelError> {
    let key = required(element, "id")?;
    allow_extensions(element, &[])?;
    let mut nodes = Vec::new();
    let mut flows = Vec::new();
    for child in bpmn_children(element)? {
        match child.name.as_str() {
            "sequenceFlow" => flows.push(child),
            _ => nodes.push((child, elements::node(child, declared)?)),
        }
    }
    let nodes = connect::connect(nodes, &flows)?;
    if !nodes.iter().any(|n| matches!(n.kind, super::Kind::Start { .. })) {
        return Err(refuse(element, "the process has no start event".into()));
    }
    Ok(Process { key: key.into(), name: element.attribute("name").map(Into::into), nodes })
}

/// Children that matter, with extension elements refused unless they are known to be harmless.
fn bpmn_children(element: &Element) -> Result<impl Iterator<Item = &Element>, ModelError> {
    for child in &element.children {
        if child.namespace != BPMN {
            return Err(refuse(child, format!("'{}' of {} is not supported here", child.name, child.namespace)));
        }
        if child.name == "extensionElements" {
            for extension in &child.children {
                if EXTENSIONS.contains(&extension.namespace.as_str()) {
                    return Err(refuse(
                        element,
                        format!("the extension element '{}' is not supported", extension.name),
                    ));
                }
            }
        }
    }
    Ok(element.children.iter().filter(|c| c.name != "extensionElements" && !IGNORED.contains(&c.name.as_str())))
}

/// Value of an engine attribute, from either engine's namespace.
fn extension<'a>(element: &'a Element, name: &str) -> Option<&'a str> {
    EXTENSIONS.iter().find_map(|namespace| {
        element.attributes.iter().find(|a| a.namespace == *namespace && a.name == name).map(|a| a.value.as_str())
    })
}

/// Refuses engine attributes other than the listed ones.
fn allow_extensions(element: &Element, known: &[&str]) -> Result<(), ModelError> {
    for attribute in &element.attributes {
        if EXTENSIONS.contains(&attribute.namespace.as_str()) && !known.contains(&attribute.name.as_str()) {
            return Err(refuse(element, format!("the engine attribute '{}' is not supported", attribute.name)));
        }
    }
    Ok(())
}

fn required<'a>(element: &'a Element, name: &str) -> Result<&'a str, ModelError> {
    element
        .attribute(name)
        .filter(|value| !value.is_empty())
        .ok_or_else(|| refuse(element, format!("'{}' needs the attribute '{name}'", element.name)))
}

fn refuse(element: &Element, reason: String) -> ModelError {
    ModelError { line: element.line, element: element.attribute("id").unwrap_or(&element.name).to_owned(), reason }
}

#[cfg(test)]
mod tests;
