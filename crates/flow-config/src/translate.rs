//! A BPMN model as its engine wants it: the same extensions under the namespace of OpenText Workflow Service or of Flowable.
//!
//! A model is written in one of the two, or in both where an engine has something of its own. What stands in the other vendor's namespace
//! only is carried over; what the target lacks is refused with its line, or left out where the model speaks to both. Everything else
//! stays as it is, but for white space between attributes; a model that knows nothing of the other vendor stays byte for byte.

mod lacking;

use std::path::Path;

use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesEnd, BytesStart, Event};
use quick_xml::{Reader, Writer};

use crate::problem::Problem;
use crate::settings::Dialect;

/// The namespaces of the vendors' extensions.
const FLOWABLE: &str = "http://flowable.org/bpmn";
const OPENTEXT: &str = "http://workflow.opentext.com";

/// The namespace of an engine's extensions, and the prefix that its tools write.
fn vendor(dialect: Dialect) -> (&'static str, &'static str) {
    match dialect {
        Dialect::Flowable => ("flowable", FLOWABLE),
        Dialect::OpenText => ("workflow", OPENTEXT),
    }
}

/// The model for an engine.
///
/// # Errors
/// Every construct that the engine lacks, or why the text cannot be read; `file` is where it came from.
pub fn translate(xml: &str, file: &Path, to: Dialect) -> Result<String, Vec<Problem>> {
    let both = xml.contains(FLOWABLE) && xml.contains(OPENTEXT);
    let (prefix, target) = vendor(to);
    let other = if target == FLOWABLE { OPENTEXT } else { FLOWABLE };
    if !xml.contains(other) {
        return Ok(xml.to_owned());
    }
    let mut translation =
        Translation { xml, file, to, prefix, target, other, both, open: Vec::new(), problems: Vec::new() };
    match translation.run() {
        Ok(text) if translation.problems.is_empty() => Ok(text),
        Ok(_) => Err(translation.problems),
        Err((at, message)) => {
            translation.report(at, format!("is not readable as BPMN: {message}"), "export the model again");
            Err(translation.problems)
        }
    }
}

struct Translation<'a> {
    xml: &'a str,
    file: &'a Path,
    to: Dialect,
    prefix: &'static str,
    target: &'static str,
    other: &'static str,
    /// The model speaks to both engines.
    both: bool,
    open: Vec<Open>,
    problems: Vec<Problem>,
}

/// An element that is not closed yet.
struct Open {
    /// Prefixes that it binds, with their namespaces.
    bound: Vec<(String, String)>,
    /// Its name in the translation; `None`: it and all that is in it are left out.
    name: Option<String>,
    /// An HTTP task that nothing says yet where to send to.
    aimless: Option<Aimless>,
}

/// Where an HTTP task stands, and its id.
struct Aimless {
    at: usize,
    id: String,
}

/// Where in the text, and what is wrong.
type Unreadable = (usize, String);

impl Translation<'_> {
    fn run(&mut self) -> Result<String, Unreadable> {
        let mut reader = Reader::from_str(self.xml);
        let mut writer = Writer::new(Vec::new());
        loop {
            let at = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
            let event = reader.read_event().map_err(|error| (at, error.to_string()))?;
            let written = match event {
                Event::Eof => break,
                Event::Start(element) => self.element(at, &element)?.map(Event::Start),
                Event::Empty(element) => {
                    let element = self.element(at, &element)?.map(Event::Empty);
                    self.close();
                    element
                }
                Event::End(_) => self.close().map(|name| Event::End(BytesEnd::new(name))),
                event @ (Event::Text(_)
                | Event::CData(_)
                | Event::Comment(_)
                | Event::Decl(_)
                | Event::PI(_)
                | Event::DocType(_)
                | Event::GeneralRef(_)) => (!self.leaves_out()).then_some(event),
            };
            if let Some(event) = written {
                writer.write_event(event).map_err(|error| (at, error.to_string()))?;
            }
        }
        if self.open.is_empty() {
            String::from_utf8(writer.into_inner()).map_err(|error| (0, error.to_string()))
        } else {
            Err((self.xml.len(), "it ends inside an element".to_owned()))
        }
    }

    /// Opens an element; its start in the translation, unless it is left out.
    fn element(&mut self, at: usize, element: &BytesStart<'_>) -> Result<Option<BytesStart<'static>>, Unreadable> {
        let attributes: Vec<(String, String)> =
            element.attributes().map(|attribute| read(at, attribute)).collect::<Result<_, _>>()?;
        let bound = attributes.iter().filter_map(|(name, value)| {
            name.strip_prefix("xmlns:")
                .or((name == "xmlns").then_some(""))
                .map(|prefix| (prefix.to_owned(), value.clone()))
        });
        let left_out = self.leaves_out();
        self.open.push(Open { bound: bound.collect(), name: None, aimless: None });
        if left_out {
            return Ok(None);
        }
        let name = utf8(at, element.name().as_ref())?;
        let kind = local(&name);
        let of_other = self.is_of(&name, self.other, true);
        let value = |name: &str| attributes.iter().find(|(key, _)| local(key) == name).map(|(_, value)| value.as_str());
        let field = value("name").filter(|_| kind == "field");
        let lacking =
            of_other && (lacking::element(self.to, kind) || field.is_some_and(|field| lacking::field(self.to, field)));
        if lacking && !self.both {
            let help = "take it out, or write the model for both engines and give each its own";
            let what = field.map_or_else(|| format!("`{name}`"), |field| format!("the field `{field}`"));
            self.report(at, format!("{what} does not exist in {}", self.engine()), help);
        }
        // Of a model for both, each engine has its own.
        if of_other && (lacking || self.both) {
            return Ok(None);
        }
        if field == Some("requestUrl") {
            self.open.iter_mut().for_each(|open| open.aimless = None);
        }
        let own_type = attributes.iter().find(|(key, _)| local(key) == "type" && !self.is_of(key, self.other, false));
        let of_type = own_type.map(|(_, own)| own.as_str()).or(value("type"));
        let aimless = (kind == "serviceTask" && of_type == Some("http"))
            .then(|| Aimless { at, id: value("id").unwrap_or_default().to_owned() });
        let translated = if of_other { format!("{}:{kind}", self.prefix) } else { name.clone() };
        let mut start = BytesStart::new(translated.clone());
        let has_own =
            |name: &str| attributes.iter().any(|(own, _)| self.is_of(own, self.target, false) && local(own) == name);
        let mut problems = Vec::new();
        let mut declares = false;
        for (key, value) in &attributes {
            let of_other = self.is_of(key, self.other, false);
            let field = local(key);
            if key.starts_with("xmlns:") && (value == self.other || value == self.target) {
                declares = true;
            } else if !of_other {
                start.push_attribute((key.as_bytes(), value.as_bytes()));
            } else if has_own(field) {
                // The target's own stands beside it.
            } else if let Some(what) = lacking::attribute(self.to, kind, field, value) {
                if !self.both {
                    problems.push(format!("{what} in {}", self.engine()));
                }
            } else {
                start.push_attribute((format!("{}:{field}", self.prefix).as_bytes(), value.as_bytes()));
            }
        }
        if declares {
            start.push_attribute((format!("xmlns:{}", self.prefix).as_bytes(), self.target.as_bytes()));
        }
        for problem in problems {
            let help = "model it otherwise, or write the model for both engines and give each its own";
            self.report(at, problem, help);
        }
        if let Some(open) = self.open.last_mut() {
            (open.name, open.aimless) = (Some(translated), aimless);
        }
        Ok(Some(start))
    }

    /// Closes an element; its name in the translation, unless it is left out.
    fn close(&mut self) -> Option<String> {
        let Open { name, aimless, .. } = self.open.pop()?;
        if let Some(Aimless { at, id }) = aimless {
            let message = format!("the HTTP task `{id}` has no field requestUrl for {}", self.engine());
            self.report(at, message, "of a model for both engines each needs fields of its own namespace");
        }
        name
    }

    /// Whether what comes now stands in an element that is left out.
    fn leaves_out(&self) -> bool {
        self.open.last().is_some_and(|open| open.name.is_none())
    }

    /// Whether a name is of that namespace. Attributes without a prefix are of none.
    fn is_of(&self, name: &str, namespace: &str, element: bool) -> bool {
        let prefix = name.split_once(':').map_or("", |(prefix, _)| prefix);
        if prefix.is_empty() && !element {
            return false;
        }
        let mut bound = self.open.iter().rev().flat_map(|open| &open.bound);
        bound.find(|(known, _)| known == prefix).is_some_and(|(_, bound)| bound == namespace)
    }

    fn engine(&self) -> &'static str {
        match self.to {
            Dialect::Flowable => "Flowable",
            Dialect::OpenText => "the workflow service",
        }
    }

    fn report(&mut self, at: usize, message: String, help: &str) {
        let before = self.xml.get(..at).unwrap_or(self.xml);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        let (file, help) = (self.file.to_owned(), help.to_owned());
        self.problems.push(Problem { file, line, column, field: String::new(), message, help });
    }
}

/// Name and value as they are written: what is escaped stays escaped.
fn read(
    at: usize,
    attribute: Result<Attribute<'_>, quick_xml::events::attributes::AttrError>,
) -> Result<(String, String), Unreadable> {
    let attribute = attribute.map_err(|error| (at, error.to_string()))?;
    Ok((utf8(at, attribute.key.as_ref())?, utf8(at, &attribute.value)?))
}

fn utf8(at: usize, bytes: &[u8]) -> Result<String, Unreadable> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|error| (at, error.to_string()))
}

fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

#[cfg(test)]
mod tests;
