//! Sequence flows and boundary events turned into indices, with every reference checked.

use std::collections::HashMap;

use super::super::ModelError;
use super::super::expression::{Expression, Template};
use super::super::model::{BoundaryEvent, ElementIndex, Flow, Kind, Node};
use super::super::xml::Element;
use super::{allow_extensions, bpmn_children, refuse, required};

pub(super) fn connect(elements: Vec<(&Element, Kind)>, flows: &[&Element]) -> Result<Vec<Node>, ModelError> {
    let mut index: HashMap<&str, ElementIndex> = HashMap::new();
    for (position, (element, _)) in elements.iter().enumerate() {
        index.insert(required(element, "id")?, position);
    }
    let sources: Vec<&Element> = elements.iter().map(|(element, _)| *element).collect();
    let mut nodes = elements.into_iter().map(|(element, kind)| node(element, kind)).collect::<Result<Vec<_>, _>>()?;
    for flow in flows {
        add_flow(flow, &index, &mut nodes)?;
    }
    for (position, element) in sources.iter().enumerate() {
        attach(element, position, &index, &mut nodes)?;
        check(element, position, &mut nodes)?;
    }
    Ok(nodes)
}

fn node(element: &Element, kind: Kind) -> Result<Node, ModelError> {
    let name = element
        .attribute("name")
        .map(Template::parse)
        .transpose()
        .map_err(|e| refuse(element, format!("name: {e}")))?;
    Ok(Node {
        id: required(element, "id")?.into(),
        name,
        kind,
        incoming: 0,
        outgoing: Vec::new(),
        boundary: Vec::new(),
    })
}

fn add_flow(flow: &Element, index: &HashMap<&str, ElementIndex>, nodes: &mut [Node]) -> Result<(), ModelError> {
    allow_extensions(flow, &[])?;
    let id = required(flow, "id")?;
    let end = |attribute: &str| -> Result<ElementIndex, ModelError> {
        let reference = required(flow, attribute)?;
        index
            .get(reference)
            .copied()
            .ok_or_else(|| refuse(flow, format!("{attribute} names '{reference}', which does not exist here")))
    };
    let (source, target) = (end("sourceRef")?, end("targetRef")?);
    let mut condition = None;
    for child in bpmn_children(flow)? {
        match child.name.as_str() {
            "conditionExpression" => {
                condition = Some(Expression::parse(&child.text).map_err(|e| refuse(flow, e.to_string()))?);
            }
            other => return Err(refuse(flow, format!("'{other}' is not supported in a sequence flow"))),
        }
    }
    if condition.is_some() && !matches!(nodes[source].kind, Kind::ExclusiveGateway { .. }) {
        return Err(refuse(flow, "conditions are supported after exclusive gateways only".into()));
    }
    nodes[source].outgoing.push(Flow { id: id.into(), target, condition });
    nodes[target].incoming += 1;
    Ok(())
}

fn attach(
    element: &Element,
    position: ElementIndex,
    index: &HashMap<&str, ElementIndex>,
    nodes: &mut [Node],
) -> Result<(), ModelError> {
    let is_error = match &nodes[position].kind {
        Kind::Boundary { event, .. } => matches!(event, BoundaryEvent::Error(_)),
        Kind::Start { .. }
        | Kind::UserTask(_)
        | Kind::ExternalTask { .. }
        | Kind::HttpTask(_)
        | Kind::ExclusiveGateway { .. }
        | Kind::ParallelGateway
        | Kind::Catch(_)
        | Kind::End
        | Kind::TerminateEnd => return Ok(()),
    };
    let reference = required(element, "attachedToRef")?;
    let host = *index
        .get(reference)
        .ok_or_else(|| refuse(element, format!("attachedToRef names '{reference}', which does not exist here")))?;
    match nodes[host].kind {
        Kind::ExternalTask { .. } => {}
        Kind::UserTask(_) if !is_error => {}
        Kind::UserTask(_)
        | Kind::HttpTask(_)
        | Kind::Start { .. }
        | Kind::ExclusiveGateway { .. }
        | Kind::ParallelGateway
        | Kind::Catch(_)
        | Kind::Boundary { .. }
        | Kind::End
        | Kind::TerminateEnd => return Err(refuse(element, format!("'{reference}' cannot carry this event"))),
    }
    nodes[host].boundary.push(position);
    Ok(())
}

/// Every node must be reachable in the right number of ways, or an instance would get stuck in silence.
fn check(element: &Element, position: ElementIndex, nodes: &mut [Node]) -> Result<(), ModelError> {
    let node = &mut nodes[position];
    let (arrives, leaves) = (node.incoming, node.outgoing.len());
    match &mut node.kind {
        Kind::ExclusiveGateway { default } => {
            if let Some(reference) = element.attribute("default") {
                let found = node.outgoing.iter().position(|f| &*f.id == reference);
                *default = Some(found.ok_or_else(|| {
                    refuse(element, format!("the default flow '{reference}' does not leave this gateway"))
                })?);
            }
            if leaves == 0 {
                return Err(refuse(element, "no sequence flow leaves the gateway".into()));
            }
            if let [only] = node.outgoing.as_slice()
                && only.condition.is_some()
            {
                return Err(refuse(element, "the only flow that leaves the gateway may have no condition".into()));
            }
        }
        Kind::ParallelGateway if leaves == 0 => {
            return Err(refuse(element, "no sequence flow leaves the gateway".into()));
        }
        Kind::Start { .. } | Kind::Boundary { .. } if arrives > 0 => {
            return Err(refuse(element, "no sequence flow may lead here".into()));
        }
        Kind::End | Kind::TerminateEnd if leaves > 0 => {
            return Err(refuse(element, "no sequence flow may leave an end event".into()));
        }
        Kind::Start { .. }
        | Kind::Boundary { .. }
        | Kind::ParallelGateway
        | Kind::UserTask(_)
        | Kind::ExternalTask { .. }
        | Kind::HttpTask(_)
        | Kind::Catch(_)
        | Kind::End
        | Kind::TerminateEnd => {}
    }
    Ok(())
}
