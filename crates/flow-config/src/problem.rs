//! What is wrong in a file that a person wrote, where, and what would be right.

use std::fmt;
use std::path::PathBuf;

/// One mistake in a flow folder or in the settings file.
///
/// It is shown on one line, `file:line: field: message; help`, so that editors and terminals can jump to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file, as it was asked for (relative stays relative).
    pub file: PathBuf,
    /// Line, counted from 1; 0 when the mistake concerns the whole file (it is missing, for instance).
    pub line: usize,
    /// Column in characters, counted from 1; 0 when `line` is 0.
    pub column: usize,
    /// The field in dotted form, `step.variables.region`; empty when there is none.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead; empty when the message says it already.
    pub help: String,
}

impl Problem {
    /// A mistake that concerns a file or folder as a whole.
    pub fn of_file(file: impl Into<PathBuf>, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { file: file.into(), line: 0, column: 0, field: String::new(), message: message.into(), help: help.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {}", self.message)?;
        if !self.help.is_empty() {
            write!(f, "; {}", self.help)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

/// The candidate that a person most likely meant, or none when nothing is close.
pub(crate) fn nearest<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&wrong, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// ``did you mean `x`?`` when something is close, else the list of what exists.
pub(crate) fn suggestion<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> String {
    if let Some(near) = nearest(wrong, candidates.clone()) {
        return format!("did you mean `{near}`?");
    }
    let all: Vec<String> = candidates.into_iter().map(|name| format!("`{name}`")).collect();
    if all.is_empty() { String::new() } else { format!("there is {}", all.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_recognised_and_something_else_is_not() {
        let known = ["hold_for", "business_key", "message"];
        assert_eq!(nearest("holdfor", known), Some("hold_for"));
        assert_eq!(nearest("busines_key", known), Some("business_key"));
        assert_eq!(nearest("zzz", known), None);
    }

    #[test]
    fn a_problem_reads_as_one_line_that_an_editor_can_jump_to() {
        let problem = Problem {
            file: "flows/tickets/flow.toml".into(),
            line: 12,
            column: 12,
            field: "step.variables.region".into(),
            message: "unknown field `custmer` in schema ticket/v1".into(),
            help: "did you mean `event.customer`?".into(),
        };
        assert_eq!(
            problem.to_string(),
            "flows/tickets/flow.toml:12: step.variables.region: unknown field `custmer` in schema ticket/v1; did you mean `event.customer`?"
        );
    }
}
