//! A TOML file read section by section, so that *every* mistake in it is reported, each with its line.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::problem::{Problem, suggestion};

/// The text of one file and the mistakes found in it so far.
pub(crate) struct Document {
    file: PathBuf,
    text: String,
    problems: RefCell<Vec<Problem>>,
}

impl Document {
    pub(crate) fn read(file: &Path) -> Result<Self, Problem> {
        let text = std::fs::read_to_string(file)
            .map_err(|error| Problem::of_file(file, format!("cannot be read: {error}"), ""))?;
        Ok(Self::new(file, text))
    }

    pub(crate) fn new(file: &Path, text: String) -> Self {
        Self { file: file.to_owned(), text, problems: RefCell::default() }
    }

    /// The whole file as a table. Syntax errors are noted, and what could be read is returned all the same.
    pub(crate) fn parse(&self) -> Spanned<DeTable<'_>> {
        let (table, errors) = DeTable::parse_recoverable(&self.text);
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            let message = error.message().lines().next().unwrap_or_default().to_owned();
            self.report(at, "", format!("not valid TOML: {message}"), "");
        }
        table
    }

    pub(crate) fn report(&self, at: usize, field: &str, message: impl Into<String>, help: impl Into<String>) {
        let (line, column) = self.position(at);
        self.problems.borrow_mut().push(Problem {
            file: self.file.clone(),
            line,
            column,
            field: field.to_owned(),
            message: message.into(),
            help: help.into(),
        });
    }

    /// Line and column, both from 1, of a byte offset.
    pub(crate) fn position(&self, at: usize) -> (usize, usize) {
        let at = (0..=at.min(self.text.len())).rev().find(|at| self.text.is_char_boundary(*at));
        let before = &self.text[..at.unwrap_or(0)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// What the file says between two byte offsets.
    pub(crate) fn slice(&self, span: std::ops::Range<usize>) -> &str {
        self.text.get(span).unwrap_or_default()
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    pub(crate) fn add(&self, problems: impl IntoIterator<Item = Problem>) {
        self.problems.borrow_mut().extend(problems);
    }

    /// All mistakes, in the order of the file.
    pub(crate) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort();
        problems
    }
}

/// One table of the file. Every field must be asked for by name; [`Section::finish`] refuses the others.
pub(crate) struct Section<'a> {
    pub(crate) document: &'a Document,
    table: &'a DeTable<'a>,
    at: usize,
    path: String,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Section<'a> {
    pub(crate) fn root(document: &'a Document, table: &'a Spanned<DeTable<'a>>) -> Self {
        Self::new(document, table.get_ref(), 0, String::new())
    }

    fn new(document: &'a Document, table: &'a DeTable<'a>, at: usize, path: String) -> Self {
        Self { document, table, at, path, asked: RefCell::default() }
    }

    /// The byte offset where this table starts.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The dotted name of a field of this table.
    pub(crate) fn path_of(&self, name: &str) -> String {
        match (self.path.is_empty(), name.is_empty()) {
            (true, _) => name.to_owned(),
            (false, true) => self.path.clone(),
            (false, false) => format!("{}.{name}", self.path),
        }
    }

    pub(crate) fn report(&self, at: usize, name: &str, message: impl Into<String>, help: impl Into<String>) {
        self.document.report(at, &self.path_of(name), message, help);
    }

    pub(crate) fn get(&self, name: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.asked.borrow_mut().insert(name);
        self.table.get(name)
    }

    /// The text of a field, without counting as asked for.
    pub(crate) fn peek(&self, name: &str) -> Option<&'a str> {
        self.table.get(name)?.get_ref().as_str()
    }

    /// Whether a field is there, whatever it holds.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.table.contains_key(name)
    }

    /// Where a field's name stands, for "this field does not belong here".
    pub(crate) fn key_at(&self, name: &'static str) -> Option<usize> {
        self.asked.borrow_mut().insert(name);
        self.table.get_key_value(name).map(|(key, _)| key.span().start)
    }

    /// All fields of a table whose names are free (variables, properties).
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&'a str, usize, &'a Spanned<DeValue<'a>>)> {
        self.table.iter().map(|(key, value)| (key.get_ref().as_ref(), key.span().start, value))
    }

    pub(crate) fn string(&self, name: &'static str) -> Option<Spanned<String>> {
        let value = self.get(name)?;
        match value.get_ref().as_str() {
            Some(text) => Some(Spanned::new(value.span(), text.to_owned())),
            None => self.wrong_type(name, value, "text in quotes"),
        }
    }

    pub(crate) fn required_string(&self, name: &'static str, help: &str) -> Option<Spanned<String>> {
        self.require(name, help).then(|| self.string(name)).flatten()
    }

    /// True when the field is there; else it is reported as missing.
    pub(crate) fn require(&self, name: &'static str, help: &str) -> bool {
        let there = self.get(name).is_some();
        if !there {
            self.report(self.at, name, "is missing", help);
        }
        there
    }

    pub(crate) fn integer(&self, name: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let value = self.get(name)?;
        let number = value
            .get_ref()
            .as_integer()
            .and_then(|number| u64::from_str_radix(number.as_str(), number.radix()).ok())
            .filter(|number| range.contains(number));
        if number.is_none() && value.get_ref().is_integer() {
            let message = format!("must be from {} to {}", range.start(), range.end());
            self.report(value.span().start, name, message, "");
            return None;
        }
        number.or_else(|| self.wrong_type(name, value, "a whole number"))
    }

    /// A duration such as `"15m"`, longer than zero unless `zero` is allowed.
    pub(crate) fn duration(&self, name: &'static str, zero: Zero) -> Option<Duration> {
        let value = self.get(name)?;
        let parsed = value.get_ref().as_str().and_then(|text| humantime::parse_duration(text).ok());
        match (parsed, zero) {
            (Some(Duration::ZERO), Zero::Refused) => {
                self.report(value.span().start, name, "must be longer than zero", "for instance \"30s\"");
                None
            }
            (Some(duration), _) => Some(duration),
            (None, _) => self.wrong_type(name, value, "a duration such as \"500ms\", \"30s\", \"15m\" or \"2h\""),
        }
    }

    /// One word of a closed list.
    pub(crate) fn one_of<T: Copy>(&self, name: &'static str, choices: &[(&str, T)]) -> Option<T> {
        self.choice(name, &self.string(name)?, choices)
    }

    /// As [`Section::one_of`], for a word that was read already.
    pub(crate) fn choice<T: Copy>(&self, name: &str, word: &Spanned<String>, choices: &[(&str, T)]) -> Option<T> {
        let (at, word) = (word.span().start, word.get_ref().as_str());
        let chosen = choices.iter().find(|(choice, _)| *choice == word);
        if chosen.is_none() {
            let names = choices.iter().map(|(choice, _)| *choice);
            let list: Vec<String> = names.clone().map(|choice| format!("\"{choice}\"")).collect();
            let message = format!("must be {}, not \"{word}\"", list.join(" or "));
            let help = crate::problem::nearest(word, names).map(|near| format!("did you mean \"{near}\"?"));
            self.report(at, name, message, help.unwrap_or_default());
        }
        chosen.map(|(_, value)| *value)
    }

    /// A list of texts.
    pub(crate) fn strings(&self, name: &'static str) -> Option<Vec<Spanned<String>>> {
        let value = self.get(name)?;
        let Some(array) = value.get_ref().as_array() else {
            return self.wrong_type(name, value, "a list of texts, [\"…\"]");
        };
        let texts = array.iter().map(|item| match item.get_ref().as_str() {
            Some(text) => Some(Spanned::new(item.span(), text.to_owned())),
            None => self.wrong_type(name, item, "text in quotes"),
        });
        Some(texts.flatten().collect())
    }

    pub(crate) fn table(&self, name: &'static str) -> Option<Section<'a>> {
        let value = self.get(name)?;
        match value.get_ref().as_table() {
            Some(table) => Some(Section::new(self.document, table, value.span().start, self.path_of(name))),
            None => self.wrong_type(name, value, "a table"),
        }
    }

    /// The tables of an array such as `[[step]]`.
    pub(crate) fn tables(&self, name: &'static str) -> Vec<Section<'a>> {
        let Some(value) = self.get(name) else {
            return Vec::new();
        };
        let Some(array) = value.get_ref().as_array() else {
            let at = value.span().start;
            self.report(at, name, "must be a list of tables", format!("write [[{name}]], in double brackets"));
            return Vec::new();
        };
        let sections = array.iter().map(|item| match item.get_ref().as_table() {
            Some(table) => Some(Section::new(self.document, table, item.span().start, self.path_of(name))),
            None => self.wrong_type(name, item, "a table"),
        });
        sections.flatten().collect()
    }

    /// Reports a value of the wrong type. Its text is not repeated: it may be a secret in the wrong place.
    pub(crate) fn wrong_type<T>(&self, name: &str, value: &Spanned<DeValue<'_>>, wanted: &str) -> Option<T> {
        let found = if value.get_ref().is_str() { "this text" } else { value.get_ref().type_str() };
        self.report(value.span().start, name, format!("must be {wanted}, not {found}"), "");
        None
    }

    /// Finishes, then makes something of the section.
    pub(crate) fn finish_as<T>(self, make: impl FnOnce(&Self) -> T) -> T {
        self.finish();
        make(&self)
    }

    /// Refuses every field that nobody asked for, with the nearest one that exists.
    pub(crate) fn finish(&self) {
        let known = self.asked.borrow();
        for (name, at, value) in self.entries() {
            if !known.contains(name) {
                let help = suggestion(name, known.iter().copied());
                let tables = value.get_ref().is_table() || value.get_ref().is_array();
                let message = match self.path.as_str() {
                    "" if tables => format!("unknown table `{name}`"),
                    "" => format!("unknown field `{name}` before the first table"),
                    path => format!("unknown field `{name}` in [{path}]"),
                };
                self.report(at, name, message, help);
            }
        }
    }
}

/// Whether a duration of zero makes sense.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zero {
    Allowed,
    Refused,
}
