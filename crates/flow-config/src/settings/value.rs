//! Values that may come from elsewhere: `{ env = "NAME" }` for texts, and `{ env = … }` or `{ file = … }` for secrets.

use std::path::Path;

use secrecy::SecretString;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::document::Section;
use crate::environment::Environment;

/// Where such values come from.
pub(super) struct Sources<'a> {
    pub(super) environment: &'a Environment,
    /// Folder of the settings file.
    pub(super) dir: &'a Path,
}

impl Sources<'_> {
    /// A text, in the file or in the environment.
    pub(super) fn text(&self, section: &Section<'_>, name: &'static str) -> Option<Spanned<String>> {
        let value = section.get(name)?;
        match value.get_ref() {
            DeValue::String(text) => Some(Spanned::new(value.span(), text.to_string())),
            DeValue::Table(table) => {
                let text = self.environment_value(section, name, value, table)?;
                Some(Spanned::new(value.span(), text))
            }
            DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_) => section.wrong_type(name, value, "text in quotes or { env = \"NAME\" }"),
        }
    }

    pub(super) fn required_text(
        &self,
        section: &Section<'_>,
        name: &'static str,
        help: &str,
    ) -> Option<Spanned<String>> {
        section.require(name, help).then(|| self.text(section, name)).flatten()
    }

    /// One word of a closed list, in the file or in the environment.
    pub(super) fn one_of<T: Copy>(
        &self,
        section: &Section<'_>,
        name: &'static str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        section.choice(name, &self.text(section, name)?, choices)
    }

    /// A secret, which must not stand in the file.
    pub(super) fn secret(&self, section: &Section<'_>, name: &'static str) -> Option<SecretString> {
        let value = section.get(name)?;
        self.secret_value(section, name, value)
    }

    pub(super) fn secret_value(
        &self,
        section: &Section<'_>,
        name: &str,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<SecretString> {
        let DeValue::Table(table) = value.get_ref() else {
            let help = format!(
                "write {name} = {{ env = \"NAME\" }} or {name} = {{ file = \"path\" }}, and change the secret if this file was shared"
            );
            section.report(value.span().start, name, "a secret must not stand in the settings file", help);
            return None;
        };
        let text = match only_entry(table) {
            Some(("env", _)) => self.environment_value(section, name, value, table)?,
            Some(("file", file)) => self.file_content(section, name, value, file)?,
            _ => {
                return wrong_source(section, name, value, "{ env = \"NAME\" } or { file = \"path\" }");
            }
        };
        if text.is_empty() {
            section.report(
                value.span().start,
                name,
                "the secret is empty",
                "check the variable or file that it comes from",
            );
            return None;
        }
        Some(text.into())
    }

    fn environment_value(
        &self,
        section: &Section<'_>,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        table: &DeTable<'_>,
    ) -> Option<String> {
        let Some(("env", variable)) = only_entry(table) else {
            return wrong_source(section, name, value, "{ env = \"NAME\" }");
        };
        let text = self.environment.get(variable);
        if text.is_none() {
            let message = format!("the environment variable `{variable}` is not set");
            section.report(value.span().start, name, message, "set it before xconnector starts");
        }
        text.map(str::to_owned)
    }

    fn file_content(
        &self,
        section: &Section<'_>,
        name: &str,
        value: &Spanned<DeValue<'_>>,
        file: &str,
    ) -> Option<String> {
        match std::fs::read_to_string(self.dir.join(file)) {
            // Editors and `echo` end a file with a newline that is no part of the secret.
            Ok(text) => Some(text.trim_end_matches(['\n', '\r']).to_owned()),
            Err(error) => {
                let message = format!("the file `{file}` cannot be read: {error}");
                section.report(value.span().start, name, message, "the path is relative to the settings file");
                None
            }
        }
    }
}

/// The entry of a table that has exactly one, with a text.
fn only_entry<'t>(table: &'t DeTable<'_>) -> Option<(&'t str, &'t str)> {
    let mut entries = table.iter();
    let (key, value) = entries.next().filter(|_| table.len() == 1)?;
    Some((key.get_ref().as_ref(), value.get_ref().as_str()?))
}

fn wrong_source<T>(section: &Section<'_>, name: &str, value: &Spanned<DeValue<'_>>, wanted: &str) -> Option<T> {
    section.report(value.span().start, name, format!("must be {wanted}"), "with exactly that one entry");
    None
}
