//! The BPMN files beside a flow: what the flow names must be in them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::http_task;
use crate::document::Document;
use crate::problem::{Problem, suggestion};

/// What the models of one folder declare.
#[derive(Debug, Default)]
struct Declared {
    processes: BTreeSet<String>,
    messages: BTreeSet<String>,
    job_topics: BTreeSet<String>,
    /// Codes of BPMN errors.
    errors: BTreeSet<String>,
    /// A job topic is an expression of the engine, `${…}`, so that any topic may be meant.
    any_job_topic: bool,
}

/// Checks definition keys, message names and job topics of a flow against the BPMN files in its folder, if there are
/// any, and returns those files.
pub(super) fn check(document: &Document, dir: &Path, root: &Spanned<DeTable<'_>>) -> Vec<PathBuf> {
    let files = match model_files(dir) {
        Ok(files) => files,
        Err(problem) => {
            document.add([problem]);
            return Vec::new();
        }
    };
    let mut declared = Declared::default();
    let unreadable: Vec<Problem> = files.iter().filter_map(|file| scan(file, &mut declared).err()).collect();
    let complete = unreadable.is_empty();
    document.add(unreadable);
    if complete && !files.is_empty() {
        compare(document, root.get_ref(), &declared);
        let flow =
            root.get_ref().get("flow").and_then(|flow| flow.get_ref().as_table()?.get("name")?.get_ref().as_str());
        let posted: Vec<_> = texts(root.get_ref(), "job", "posted").collect();
        http_task::check(document, flow.unwrap_or_default(), &posted, &files);
    }
    files
}

/// The BPMN files of a folder, sorted.
fn model_files(dir: &Path) -> Result<Vec<PathBuf>, Problem> {
    let unreadable = |error: std::io::Error| Problem::of_file(dir, format!("cannot be listed: {error}"), "");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        if [".bpmn", ".bpmn20.xml", ".bpmn.xml"].iter().any(|ending| name.ends_with(ending)) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn scan(file: &Path, declared: &mut Declared) -> Result<(), Problem> {
    let unreadable =
        |error: String| Problem::of_file(file, format!("is not readable as BPMN: {error}"), "export the model again");
    let mut reader = Reader::from_file(file).map_err(|error| unreadable(error.to_string()))?;
    let mut buffer = Vec::new();
    loop {
        match reader.read_event_into(&mut buffer) {
            Ok(Event::Start(element) | Event::Empty(element)) => note(&element, declared).map_err(unreadable)?,
            Ok(Event::Eof) => return Ok(()),
            Ok(
                Event::End(_)
                | Event::Text(_)
                | Event::CData(_)
                | Event::Comment(_)
                | Event::Decl(_)
                | Event::PI(_)
                | Event::DocType(_)
                | Event::GeneralRef(_),
            ) => {}
            Err(error) => return Err(unreadable(error.to_string())),
        }
        buffer.clear();
    }
}

/// Prefixes differ (`flowable:`, `workflow:`, none), so elements and attributes are told by their local names.
fn note(element: &BytesStart<'_>, declared: &mut Declared) -> Result<(), String> {
    let attribute = |name: &str| -> Result<Option<String>, String> {
        for attribute in element.attributes() {
            let attribute = attribute.map_err(|error| error.to_string())?;
            if attribute.key.local_name().as_ref() == name.as_bytes() {
                let value = attribute.unescape_value().map_err(|error| error.to_string())?;
                return Ok(Some(value.into_owned()));
            }
        }
        Ok(None)
    };
    match element.local_name().as_ref() {
        b"process" => declared.processes.extend(attribute("id")?),
        b"message" => declared.messages.extend(attribute("name")?),
        b"error" => declared.errors.extend(attribute("errorCode")?),
        b"serviceTask" => {
            if let Some(topic) = attribute("topic")? {
                declared.any_job_topic |= topic.contains("${");
                declared.job_topics.insert(topic);
            }
        }
        _ => {}
    }
    Ok(())
}

fn compare(document: &Document, root: &DeTable<'_>, declared: &Declared) {
    let unknown = |at: usize, field: &str, what: &str, name: &str, known: &BTreeSet<String>| {
        let help = match suggestion(name, known.iter().map(String::as_str)) {
            help if help.is_empty() => "the models have none".to_owned(),
            help => help,
        };
        document.report(at, field, format!("no model in this folder has the {what} `{name}`"), help);
    };
    for (section, field, what, known, any) in [
        ("step", "start", "process", &declared.processes, false),
        ("step", "terminate", "process", &declared.processes, false),
        ("step", "definition", "process", &declared.processes, false),
        ("step", "message", "message", &declared.messages, false),
        ("job", "ended", "process", &declared.processes, false),
        ("job", "posted", "process", &declared.processes, false),
        ("job", "topic", "external-worker topic", &declared.job_topics, declared.any_job_topic),
    ] {
        for (at, name) in texts(root, section, field) {
            if !any && !known.contains(name) {
                unknown(at, &format!("{section}.{field}"), what, name, known);
            }
        }
    }
    for (at, code) in error_codes(root) {
        if !declared.errors.contains(code) {
            unknown(at, "job.bpmn_error", "error with the code", code, &declared.errors);
        }
    }
}

/// The error codes of `[job.bpmn_error]`: one that no model catches would end in the engine's dead letters.
fn error_codes<'a>(root: &'a DeTable<'_>) -> impl Iterator<Item = (usize, &'a str)> {
    let jobs = root.get("job").and_then(|value| value.get_ref().as_array()).into_iter().flat_map(|array| array.iter());
    let codes = jobs.filter_map(|job| job.get_ref().as_table()?.get("bpmn_error")?.get_ref().as_table());
    codes.flat_map(|codes| codes.values()).filter_map(|code| Some((code.span().start, code.get_ref().as_str()?)))
}

/// The texts of one field over all tables of an array.
fn texts<'a>(root: &'a DeTable<'_>, section: &str, field: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    let tables =
        root.get(section).and_then(|value| value.get_ref().as_array()).into_iter().flat_map(|array| array.iter());
    tables.filter_map(move |table| {
        let value: &Spanned<DeValue<'_>> = table.get_ref().as_table()?.get(field)?;
        Some((value.span().start, value.get_ref().as_str()?))
    })
}
