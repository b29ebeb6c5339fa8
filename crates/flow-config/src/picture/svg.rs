//! The drawing itself: shapes as BPMN 2.0 has them, in one colour, with room for names below what is small.

use std::fmt::Write as _;

use super::{Bounds, Element, Kind, Model};

const MARGIN: f64 = 30.0;
/// Room below the lowest shape, for its name.
const BELOW: f64 = 40.0;
const STYLE: &str = "<style>text{font:11px sans-serif;fill:#222;text-anchor:middle}.s{fill:#fff;stroke:#222;stroke-width:1.4}\
.b{stroke-width:3}.l{fill:none;stroke:#555;stroke-width:1.2}.m{fill:none;stroke:#222;stroke-width:1.4}.d{fill:#222}.f{fill:#555}\
.h{paint-order:stroke;stroke:#fff;stroke-width:3px}</style>\
<defs><marker id=\"to\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\">\
<path d=\"M0 0 8 4 0 8z\" class=\"f\"/></marker></defs>\n";

pub(super) fn draw(model: &Model) -> String {
    let boxes = model.bounds.values().map(|b| (b.x, b.y, b.x + b.width, b.y + b.height));
    let points = model.ways.values().flatten().map(|(x, y)| (*x, *y, *x, *y));
    let all = boxes.chain(points).reduce(|a, b| (a.0.min(b.0), a.1.min(b.1), a.2.max(b.2), a.3.max(b.3)));
    let (left, top, right, bottom) = all.unwrap_or_default();
    let (x, y) = (left - MARGIN, top - MARGIN);
    let (width, height) = (right - left + 2.0 * MARGIN, bottom - top + MARGIN + BELOW);
    let mut svg = format!("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"{x} {y} {width} {height}\">\n{STYLE}");
    let paper = format!("<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n");
    svg.push_str(&paper);
    let (flows, nodes): (Vec<&Element>, Vec<&Element>) =
        model.elements.iter().partition(|element| element.kind == Kind::SequenceFlow);
    for flow in &flows {
        if let Some(way) = model.ways.get(&flow.id) {
            line(&mut svg, way);
        }
    }
    // Boundary events lie on the edge of what they are attached to.
    let (boundary, inner): (Vec<&Element>, Vec<&Element>) =
        nodes.into_iter().partition(|element| element.kind == Kind::Boundary);
    for element in inner.into_iter().chain(boundary) {
        if let Some(bounds) = model.bounds.get(&element.id) {
            node(&mut svg, element, *bounds);
        }
    }
    for flow in flows {
        if let Some([(x, y), (next_x, next_y), ..]) = model.ways.get(&flow.id).map(Vec::as_slice) {
            let (dx, dy) = if next_x == x { (14.0, (next_y - y).signum() * 16.0) } else { (22.0, -5.0) };
            words(&mut svg, x + dx, y + dy, &flow.name);
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn line(svg: &mut String, way: &[(f64, f64)]) {
    let points: Vec<String> = way.iter().map(|(x, y)| format!("{x},{y}")).collect();
    // Writing to a string does not fail, here and below.
    let _ = writeln!(svg, "<polyline class=\"l\" points=\"{}\" marker-end=\"url(#to)\"/>", points.join(" "));
}

fn node(svg: &mut String, element: &Element, bounds: Bounds) {
    let Bounds { x, y, width, height } = bounds;
    let (middle, centre) = (x + width / 2.0, y + height / 2.0);
    match element.kind {
        Kind::UserTask | Kind::ServiceTask => {
            let _ =
                writeln!(svg, "<rect class=\"s\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"8\"/>");
            let _ = writeln!(svg, "{}", task_mark(element.kind, x + 12.0, y + 13.0));
            let lines = wrapped(&element.name, 16);
            let first = centre + 8.0 - (lines.len() as f64 - 1.0) * 6.5;
            for (index, text) in lines.iter().enumerate() {
                words(svg, middle, first + index as f64 * 13.0, text);
            }
        }
        Kind::Exclusive | Kind::Parallel => {
            let (right, low) = (x + width, y + height);
            let _ =
                writeln!(svg, "<path class=\"s\" d=\"M{middle} {y} {right} {centre} {middle} {low} {x} {centre}z\"/>");
            let arm = width / 5.0;
            let mark = if element.kind == Kind::Exclusive {
                format!("m{} {}l{} {}m{} 0l{} {}", -arm, -arm, 2.0 * arm, 2.0 * arm, -2.0 * arm, 2.0 * arm, -2.0 * arm)
            } else {
                format!("m{} 0h{}m{} {}v{}", -arm, 2.0 * arm, -arm, -arm, 2.0 * arm)
            };
            let _ = writeln!(svg, "<path class=\"m\" d=\"M{middle} {centre}{mark}\"/>");
            beside(svg, middle - 26.0, y - 2.0, &element.name);
        }
        Kind::Start | Kind::End | Kind::Catch | Kind::Boundary => {
            let thick = if element.kind == Kind::End { " b" } else { "" };
            let radius = width / 2.0;
            let _ = writeln!(svg, "<circle class=\"s{thick}\" cx=\"{middle}\" cy=\"{centre}\" r=\"{radius}\"/>");
            if matches!(element.kind, Kind::Catch | Kind::Boundary) {
                let inner = radius - 3.0;
                let _ = writeln!(svg, "<circle class=\"m\" cx=\"{middle}\" cy=\"{centre}\" r=\"{inner}\"/>");
            }
            let _ = writeln!(svg, "{}", event_mark(element.event, middle, centre));
            beside(svg, middle, y + height + 12.0, &element.name);
        }
        Kind::SequenceFlow => {}
    }
}

/// A person, or a wheel.
fn task_mark(kind: Kind, x: f64, y: f64) -> String {
    if kind == Kind::UserTask {
        format!("<path class=\"m\" d=\"M{x} {}a3 3 0 1 1 .1 0zm-6 9a6 6 0 0 1 12 0z\"/>", y - 1.0)
    } else {
        format!(
            "<circle class=\"m\" cx=\"{x}\" cy=\"{y}\" r=\"4\"/><path class=\"m\" d=\"M{x} {}v3m0 8v3m-7-7h3m8 0h3\"/>",
            y - 7.0
        )
    }
}

fn event_mark(event: &str, x: f64, y: f64) -> String {
    match event {
        "timer" => format!("<path class=\"m\" d=\"M{x} {}v6l4 3\"/>", y - 6.0),
        "message" => format!("<path class=\"m\" d=\"M{} {}h14v9h-14zl7 5 7-5\"/>", x - 7.0, y - 4.5),
        "error" => format!("<path class=\"m\" d=\"M{} {}l4-9 3 6 4-7\"/>", x - 5.5, y + 5.0),
        "terminate" => format!("<circle class=\"d\" cx=\"{x}\" cy=\"{y}\" r=\"9\"/>"),
        _ => String::new(),
    }
}

/// Names of what is too small to hold them, in lines of their own.
fn beside(svg: &mut String, x: f64, y: f64, name: &str) {
    for (index, text) in wrapped(name, 16).iter().enumerate() {
        words(svg, x, y + index as f64 * 12.0, text);
    }
}

fn words(svg: &mut String, x: f64, y: f64, text: &str) {
    if !text.is_empty() {
        let text = quick_xml::escape::escape(text);
        let _ = writeln!(svg, "<text class=\"h\" x=\"{x}\" y=\"{y}\">{text}</text>");
    }
}

/// Lines of at most so many characters, unless a word is longer.
fn wrapped(text: &str, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= most => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}
