//! HTTP tasks by which a process tells the HTTP intake that it has an outcome: they must be there, and must not pass when nobody heard.

use std::path::{Path, PathBuf};

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use crate::document::Document;
use crate::problem::Problem;

/// An HTTP task of a model.
#[derive(Debug, Default)]
struct HttpTask {
    line: usize,
    id: String,
    process: String,
    /// As they are written, of each engine's namespace.
    fields: Vec<Field>,
}

#[derive(Debug, Default)]
struct Field {
    name: String,
    value: String,
    /// Whether the engine evaluates it; otherwise it is text.
    is_expression: bool,
}

impl HttpTask {
    fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.fields.iter().filter(move |field| field.name == name).map(|field| field.value.trim())
    }

    fn posts_to(&self, path: &str) -> bool {
        self.values("requestUrl").any(|url| url.split('?').next().is_some_and(|url| url.ends_with(path)))
    }

    /// Whether it may post there: the engine computes where.
    fn may_post_to(&self, path: &str) -> bool {
        let computed =
            |url: &str| url.rsplit_once('}').is_some_and(|(_, rest)| url.contains("${") && path.ends_with(rest));
        self.posts_to(path) || self.values("requestUrl").any(computed)
    }

    /// Text with `${…}` in it is sent as it is written.
    fn names_its_instance(&self) -> bool {
        self.fields.iter().any(|field| field.name == "requestBody" && field.is_expression && field.value.contains("${"))
    }

    /// Without the field the engines take any answer for a success, a 503 too.
    fn fails_when_refused(&self) -> bool {
        let codes = |codes: &str| ["4XX", "5XX"].iter().all(|kind| codes.split(',').any(|code| code.trim() == *kind));
        self.values("failStatusCodes").any(|listed| codes(listed) || listed.contains("${"))
    }
}

/// Compares the jobs that are posted, with their places in the flow's file, with the HTTP tasks of the models.
pub(super) fn check(document: &Document, flow: &str, posted: &[(usize, &str)], files: &[PathBuf]) {
    let path = format!("/intake/{flow}/outcomes");
    let mut all = Vec::new();
    for file in files {
        // A file that cannot be read is reported by whoever reads it first.
        let tasks = std::fs::read_to_string(file).map(|xml| read(&xml)).unwrap_or_default();
        document.add(tasks.iter().filter(|task| task.posts_to(&path)).filter_map(|task| problem(task, posted, file)));
        all.extend(tasks);
    }
    for (at, process) in posted {
        if !all.iter().any(|task| task.process == *process && task.may_post_to(&path)) {
            let help = "give it a service task of the type http, with requestMethod POST, that requestUrl, and the instance in requestBody: see README.md";
            document.report(*at, "job.posted", format!("no HTTP task of `{process}` posts to {path}"), help);
        }
    }
}

fn problem(task: &HttpTask, posted: &[(usize, &str)], file: &Path) -> Option<Problem> {
    let (message, help) = if !posted.iter().any(|(_, process)| task.process == *process) {
        let help = format!("add [[job]] with posted = \"{}\" and publish = \"outcome\"", task.process);
        ("posts an outcome that the flow does not expect", help)
    } else if !task.fails_when_refused() {
        ("goes on when nobody heard it", "add the field failStatusCodes with the value 4XX, 5XX".to_owned())
    } else if !task.names_its_instance() {
        let help = "give requestBody as an expression: <flowable:expression><![CDATA[{\"processInstanceId\": \"${execution.processInstanceId}\"}]]>";
        ("does not say which instance it is", help.to_owned())
    } else {
        return None;
    };
    let message = format!("the HTTP task `{}` {message}", task.id);
    Some(Problem { line: task.line, column: 1, ..Problem::of_file(file, message, help) })
}

/// The HTTP tasks of a model, as far as it can be read. Namespaces differ, so elements and attributes are told by their local names.
fn read(xml: &str) -> Vec<HttpTask> {
    let mut reader = Reader::from_str(xml);
    let mut tasks: Vec<HttpTask> = Vec::new();
    let (mut process, mut task, mut field): (String, Option<HttpTask>, Option<Field>) = Default::default();
    loop {
        let at = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        let Ok(event) = reader.read_event() else { return tasks };
        match event {
            Event::Start(element) | Event::Empty(element) => match element.local_name().as_ref() {
                b"process" => process = attribute(&element, b"id").unwrap_or_default(),
                b"serviceTask" if attribute(&element, b"type").as_deref() == Some("http") => {
                    let line = xml.get(..at).unwrap_or(xml).matches('\n').count() + 1;
                    let (id, process) = (attribute(&element, b"id").unwrap_or_default(), process.clone());
                    task = Some(HttpTask { line, id, process, fields: Vec::new() });
                }
                b"field" => {
                    let name = attribute(&element, b"name").unwrap_or_default();
                    let (text, expression) = (attribute(&element, b"stringValue"), attribute(&element, b"expression"));
                    let is_expression = expression.is_some();
                    match (expression.or(text), &mut task) {
                        // An element without content has no end.
                        (Some(value), Some(task)) => task.fields.push(Field { name, value, is_expression }),
                        _ => field = Some(Field { name, ..Field::default() }),
                    }
                }
                b"expression" => {
                    if let Some(field) = &mut field {
                        field.is_expression = true;
                    }
                }
                _ => {}
            },
            Event::Text(text) => append(&mut field, text.decode().ok().as_deref()),
            Event::CData(text) => append(&mut field, text.decode().ok().as_deref()),
            Event::End(element) => match element.local_name().as_ref() {
                b"field" => {
                    if let Some(task) = &mut task {
                        task.fields.extend(field.take());
                    }
                }
                b"serviceTask" => tasks.extend(task.take()),
                _ => {}
            },
            Event::Eof => return tasks,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) | Event::GeneralRef(_) => {}
        }
    }
}

fn append(field: &mut Option<Field>, text: Option<&str>) {
    if let (Some(field), Some(text)) = (field, text) {
        field.value.push_str(text);
    }
}

fn attribute(element: &BytesStart<'_>, name: &[u8]) -> Option<String> {
    let mut attributes = element.attributes().flatten();
    let found = attributes.find(|attribute| attribute.key.local_name().as_ref() == name)?;
    Some(found.unescape_value().ok()?.into_owned())
}

#[cfg(test)]
mod tests {
    use event_model::Schemas;
    use tempfile::TempDir;

    use super::super::Flow;
    use super::*;

    /// The tickets flow, whose outcome is posted by a process that consists of these elements.
    fn posting(tasks: &str) -> Result<Flow, String> {
        let dir = TempDir::new().expect("a folder");
        let text = std::fs::read_to_string("../../flows/tickets/flow.toml").expect("the flow");
        let text = text.replace("topic    = \"tickets.outcome\"", "posted   = \"ticket_triage\"");
        std::fs::write(dir.path().join("flow.toml"), text).expect("written");
        let model = format!(
            r#"<definitions xmlns:f="f"><message name="ticketUpdated"/><error id="e" errorCode="ownerRefused"/><process id="ticket_triage">
            <serviceTask f:topic="tickets.assign-owner"/>
            {tasks}</process></definitions>"#
        );
        std::fs::write(dir.path().join("model.bpmn"), model).expect("written");
        let told = |problem: &Problem| format!("{}: {}; {}", problem.line, problem.message, problem.help);
        Flow::load(dir.path(), &Schemas::load(Path::new("../../schemas")).expect("the schemas"))
            .map_err(|problems| problems.iter().map(told).collect())
    }

    #[test]
    fn whoever_expects_a_post_has_a_model_that_posts_and_does_not_go_on_unheard() {
        let task = |url: &str, codes: &str| {
            format!(
                "<serviceTask id=\"tell\" f:type=\"http\"><extensionElements><f:field name=\"requestUrl\"><f:string><![CDATA[{url}]]></f:string></f:field>\
                 <f:field name=\"failStatusCodes\" stringValue=\"{codes}\"/>\
                 <f:field name=\"requestBody\"><f:expression><![CDATA[{{\"processInstanceId\": \"${{execution.processInstanceId}}\"}}]]></f:expression></f:field>\
                 </extensionElements></serviceTask>"
            )
        };
        let url = "http://xconnector:9465/intake/tickets/outcomes";
        assert!(posting(&task(url, "4XX, 5XX")).is_ok());
        assert!(posting(&task("${intake}/intake/tickets/outcomes", "${codes}")).is_ok(), "the engine computes both");
        for elsewhere in ["http://xconnector:9465/intake/tickets", "${intake}/intake/orders/outcomes"] {
            let refused = posting(&task(elsewhere, "4XX, 5XX")).expect_err("nobody posts");
            assert!(refused.contains("no HTTP task of `ticket_triage` posts to /intake/tickets/outcomes"), "{refused}");
        }
        let refused = posting(&task(url, "404")).expect_err("a 503 would pass");
        assert!(
            refused.starts_with("3: the HTTP task `tell` goes on when nobody heard it; add the field failStatusCodes"),
            "{refused}"
        );
        let as_text = task(url, "4XX, 5XX").replace("f:expression", "f:string");
        let refused = posting(&as_text).expect_err("it would be sent as it is written");
        assert!(refused.contains("does not say which instance it is; give requestBody as an expression"), "{refused}");
    }
}
