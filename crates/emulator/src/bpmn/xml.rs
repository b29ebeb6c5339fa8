//! An XML tree that remembers lines, so that a refused element can be pointed at.

use quick_xml::NsReader;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;

use super::ModelError;

/// Deeper nesting than this is no process model; refusing it keeps the walk over the tree bounded.
const MAX_DEPTH: usize = 64;

/// One element with what it contains.
#[derive(Debug)]
pub(super) struct Element {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) attributes: Vec<Attribute>,
    pub(super) children: Vec<Element>,
    pub(super) text: String,
}

/// One attribute; the namespace is empty where it has no prefix.
#[derive(Debug)]
pub(super) struct Attribute {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) value: String,
}

impl Element {
    /// Value of an attribute without prefix.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|a| a.namespace.is_empty() && a.name == name).map(|a| a.value.as_str())
    }

    /// First child of this local name, whatever its namespace.
    pub(super) fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|c| c.name == name)
    }
}

/// Reads a whole document and returns its root.
pub(super) fn read(source: &str) -> Result<Element, ModelError> {
    let mut reader = NsReader::from_str(source);
    let mut lines = Lines::new(source);
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;

    loop {
        let start = reader.buffer_position();
        let event = reader
            .read_event()
            .map_err(|e| lines.refuse(reader.error_position(), &format!("not well-formed XML: {e}")))?;
        match event {
            Event::Start(tag) => {
                let element = element(&reader, &tag, lines.at(start))?;
                if open.len() == MAX_DEPTH {
                    return Err(lines.refuse(start, "elements are nested too deeply for a process model"));
                }
                open.push(element);
            }
            Event::Empty(tag) => {
                let element = element(&reader, &tag, lines.at(start))?;
                close(element, &mut open, &mut root);
            }
            Event::End(_) => {
                if let Some(element) = open.pop() {
                    close(element, &mut open, &mut root);
                }
            }
            Event::Text(text) => {
                let text = text.decode().map_err(|e| lines.refuse(start, &format!("text: {e}")))?;
                if let Some(element) = open.last_mut() {
                    element.text.push_str(&text);
                }
            }
            Event::GeneralRef(reference) => {
                let character = resolve(&reference).ok_or_else(|| lines.refuse(start, "unknown entity reference"))?;
                if let Some(element) = open.last_mut() {
                    element.text.push(character);
                }
            }
            Event::CData(text) => {
                let text = text.decode().map_err(|e| lines.refuse(start, &format!("CDATA: {e}")))?;
                if let Some(element) = open.last_mut() {
                    element.text.push_str(&text);
                }
            }
            Event::DocType(_) => return Err(lines.refuse(start, "a document type declaration is not accepted")),
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
            Event::Eof => break,
        }
    }
    if let Some(unclosed) = open.last() {
        return Err(ModelError {
            line: unclosed.line,
            element: unclosed.name.clone(),
            reason: "the element is not closed".into(),
        });
    }
    root.ok_or_else(|| lines.refuse(0, "the document holds no element"))
}

fn close(element: Element, open: &mut [Element], root: &mut Option<Element>) {
    match open.last_mut() {
        Some(parent) => parent.children.push(element),
        None => *root = Some(element),
    }
}

fn element(reader: &NsReader<&[u8]>, tag: &BytesStart<'_>, line: usize) -> Result<Element, ModelError> {
    let (namespace, local) = reader.resolve_element(tag.name());
    let name = String::from_utf8_lossy(local.as_ref()).into_owned();
    let refuse = |reason: String| ModelError { line, element: name.clone(), reason };
    let mut attributes = Vec::new();
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|e| refuse(format!("attribute: {e}")))?;
        if attribute.key.as_namespace_binding().is_some() {
            continue;
        }
        let (namespace, local) = reader.resolve_attribute(attribute.key);
        attributes.push(Attribute {
            namespace: known(&namespace).map_err(&refuse)?,
            name: String::from_utf8_lossy(local.as_ref()).into_owned(),
            value: attribute.unescape_value().map_err(|e| refuse(format!("attribute value: {e}")))?.into_owned(),
        });
    }
    Ok(Element {
        namespace: known(&namespace).map_err(&refuse)?,
        name: name.clone(),
        line,
        attributes,
        children: Vec::new(),
        text: String::new(),
    })
}

fn known(namespace: &ResolveResult<'_>) -> Result<String, String> {
    match namespace {
        ResolveResult::Unbound => Ok(String::new()),
        ResolveResult::Bound(uri) => Ok(String::from_utf8_lossy(uri.as_ref()).into_owned()),
        ResolveResult::Unknown(prefix) => {
            Err(format!("the prefix '{}' is not declared", String::from_utf8_lossy(prefix)))
        }
    }
}

/// The five predefined entities and character references.
fn resolve(reference: &quick_xml::events::BytesRef<'_>) -> Option<char> {
    if let Ok(Some(character)) = reference.resolve_char_ref() {
        return Some(character);
    }
    match reference.decode().ok()?.as_ref() {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "apos" => Some('\''),
        "quot" => Some('"'),
        _ => None,
    }
}

/// Counts lines once along the file instead of from its beginning for every element.
struct Lines<'a> {
    source: &'a [u8],
    counted_to: usize,
    line: usize,
}

impl<'a> Lines<'a> {
    fn new(source: &'a str) -> Self {
        Self { source: source.as_bytes(), counted_to: 0, line: 1 }
    }

    fn at(&mut self, offset: u64) -> usize {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(self.source.len());
        if offset > self.counted_to {
            self.line += self.source[self.counted_to..offset].iter().filter(|b| **b == b'\n').count();
            self.counted_to = offset;
        }
        self.line
    }

    fn refuse(&mut self, offset: u64, reason: &str) -> ModelError {
        ModelError { line: self.at(offset), element: "definitions".into(), reason: reason.to_owned() }
    }
}
