//! A BPMN model as a picture: SVG, drawn from the model's own diagram interchange, so that it looks as in any BPMN tool.

mod svg;

use std::collections::BTreeMap;
use std::path::Path;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use crate::problem::Problem;

/// What the picture needs of one model.
#[derive(Debug, Default)]
struct Model {
    /// Flow nodes and sequence flows, by id, in the order of the file.
    elements: Vec<Element>,
    /// Where shapes lie, by the id of what they show.
    bounds: BTreeMap<String, Bounds>,
    /// The way of each edge, by the id of what it shows.
    ways: BTreeMap<String, Vec<(f64, f64)>>,
}

/// A flow node or a sequence flow.
#[derive(Debug)]
struct Element {
    kind: Kind,
    id: String,
    name: String,
    line: usize,
    /// What an event waits for, or throws: `timer`, `message`, `error`, `terminate`.
    event: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Start,
    End,
    Catch,
    Boundary,
    UserTask,
    ServiceTask,
    Exclusive,
    Parallel,
    SequenceFlow,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bounds {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

/// The picture of a model; `file` is where it came from.
///
/// # Errors
/// Every flow node without a shape and every sequence flow without an edge, or why the text cannot be read.
pub fn picture(xml: &str, file: &Path) -> Result<String, Vec<Problem>> {
    let model = read(xml).map_err(|message| {
        vec![Problem::of_file(file, format!("is not readable as BPMN: {message}"), "export the model again")]
    })?;
    let missing = model.elements.iter().filter(|element| {
        if element.kind == Kind::SequenceFlow {
            return model.ways.get(&element.id).is_none_or(|way| way.len() < 2);
        }
        !model.bounds.contains_key(&element.id)
    });
    let problems: Vec<Problem> = missing.map(|element| undrawn(file, element)).collect();
    if problems.is_empty() { Ok(svg::draw(&model)) } else { Err(problems) }
}

fn undrawn(file: &Path, element: &Element) -> Problem {
    let what = if element.kind == Kind::SequenceFlow { "edge with waypoints" } else { "shape" };
    let help = "open the model in a BPMN tool and save it: it adds the diagram interchange";
    let problem = Problem::of_file(file, format!("`{}` has no {what} in the diagram", element.id), help);
    Problem { line: element.line, column: 1, field: element.id.clone(), ..problem }
}

fn read(xml: &str) -> Result<Model, String> {
    let mut reader = Reader::from_str(xml);
    let mut model = Model::default();
    // What bounds and waypoints belong to.
    let mut shown = String::new();
    let mut in_label = false;
    loop {
        let at = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        let event = reader.read_event().map_err(|error| error.to_string())?;
        match &event {
            Event::Eof => return Ok(model),
            Event::Start(element) | Event::Empty(element) => {
                let line = xml.get(..at).unwrap_or(xml).matches('\n').count() + 1;
                note(&mut model, element, line, &mut shown, &mut in_label)?;
            }
            Event::End(element) if element.local_name().as_ref() == b"BPMNLabel" => in_label = false,
            Event::End(_)
            | Event::Text(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_)
            | Event::GeneralRef(_) => {}
        }
    }
}

fn note(
    model: &mut Model,
    element: &BytesStart<'_>,
    line: usize,
    shown: &mut String,
    in_label: &mut bool,
) -> Result<(), String> {
    let text = |name: &str| attribute(element, name);
    let number = |name: &str| Ok::<f64, String>(text(name)?.parse().unwrap_or_default());
    match element.local_name().as_ref() {
        b"BPMNShape" | b"BPMNEdge" => *shown = text("bpmnElement")?,
        // The place of a label is left to us.
        b"BPMNLabel" => *in_label = true,
        b"Bounds" if !*in_label => {
            let (x, y, width, height) = (number("x")?, number("y")?, number("width")?, number("height")?);
            model.bounds.insert(shown.clone(), Bounds { x, y, width, height });
        }
        b"waypoint" => model.ways.entry(shown.clone()).or_default().push((number("x")?, number("y")?)),
        b"timerEventDefinition" => event_of(model, "timer"),
        b"messageEventDefinition" => event_of(model, "message"),
        b"errorEventDefinition" => event_of(model, "error"),
        b"terminateEventDefinition" => event_of(model, "terminate"),
        name => {
            if let Some(kind) = kind_of(name) {
                model.elements.push(Element { kind, id: text("id")?, name: text("name")?, line, event: "" });
            }
        }
    }
    Ok(())
}

fn event_of(model: &mut Model, event: &'static str) {
    if let Some(element) = model.elements.last_mut() {
        element.event = event;
    }
}

fn kind_of(name: &[u8]) -> Option<Kind> {
    Some(match name {
        b"startEvent" => Kind::Start,
        b"endEvent" => Kind::End,
        b"intermediateCatchEvent" | b"intermediateThrowEvent" => Kind::Catch,
        b"boundaryEvent" => Kind::Boundary,
        b"userTask" | b"manualTask" => Kind::UserTask,
        b"serviceTask" | b"scriptTask" | b"sendTask" | b"receiveTask" | b"task" | b"callActivity" => Kind::ServiceTask,
        b"exclusiveGateway" | b"eventBasedGateway" => Kind::Exclusive,
        b"parallelGateway" | b"inclusiveGateway" => Kind::Parallel,
        b"sequenceFlow" => Kind::SequenceFlow,
        _ => return None,
    })
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Result<String, String> {
    let found = element.try_get_attribute(name).map_err(|error| error.to_string())?;
    let value = found.map(|attribute| attribute.unescape_value().map(|value| value.into_owned()));
    Ok(value.transpose().map_err(|error| error.to_string())?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: &str = r#"<definitions xmlns:di="x"><process id="p">
  <startEvent id="s" name="Go &amp; see"/>
  <userTask id="t" name="Look"/>
  <sequenceFlow id="f" sourceRef="s" targetRef="t"/></process>
  <di:BPMNShape bpmnElement="s"><di:Bounds x="0" y="0" width="36" height="36"/><di:BPMNLabel><di:Bounds x="9" y="9" width="9" height="9"/></di:BPMNLabel></di:BPMNShape>
  <di:BPMNEdge bpmnElement="f"><di:waypoint x="36" y="18"/><di:waypoint x="90" y="18"/></di:BPMNEdge>
  SHAPE</definitions>"#;

    #[test]
    fn what_has_no_place_is_named_with_its_line() {
        let problems = picture(&MODEL.replace("SHAPE", ""), Path::new("m.bpmn")).expect_err("no shape");
        let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with("m.bpmn:3: t: `t` has no shape in the diagram"), "{said:?}");
        let flow = MODEL.replace(r#"<di:waypoint x="90" y="18"/>"#, "");
        assert_eq!(picture(&flow, Path::new("m.bpmn")).expect_err("no edge").len(), 2);
    }

    #[test]
    fn what_is_drawn_has_its_name_and_fits_its_frame() {
        let shape = r#"<di:BPMNShape bpmnElement="t"><di:Bounds x="90" y="0" width="100" height="60"/></di:BPMNShape>"#;
        let svg = picture(&MODEL.replace("SHAPE", shape), Path::new("m.bpmn")).expect("drawn");
        assert!(svg.contains("Go &amp; see") && svg.contains(">Look<"), "{svg}");
        assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"-30 -30 250 "), "{svg}");
    }
}
