//! What is refused before sending, because the engine would damage it silently or answer 500.
//!
//! Observed on Flowable 7.2: keys and names over 255 characters are a 500 with SQL text, a string over
//! 20,000,000 characters closes the connection while the body is still being sent.

/// Columns for keys and names: 255 characters.
pub(crate) const NAME_LIMIT: usize = 255;
/// Jackson's default limit for one JSON string.
pub(crate) const STRING_LIMIT: usize = 20_000_000;
/// Deeper values could be sent but not read back: our parser stops at 128 levels, the engine wraps some more around.
pub(crate) const DEPTH_LIMIT: usize = 100;

/// A value that does not fit, found before anything was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// A key, name or id is missing.
    #[error("{field} is empty: give it a value")]
    Empty {
        /// The field's name.
        field: &'static str,
    },
    /// A key, name or id is too long for the engine's columns.
    #[error("{field} has {length} characters, the engine takes {NAME_LIMIT}: shorten it")]
    NameTooLong {
        /// The field's name.
        field: &'static str,
        /// Its length in UTF-16 units, as the engine counts.
        length: usize,
    },
    /// An id that would change the path of the request.
    #[error("{field} cannot be part of a path: ids come from the engine's answers")]
    NotAnId {
        /// The field's name.
        field: &'static str,
    },
    /// One string of a variable is too long for the engine's JSON parser.
    #[error("variable {variable} has a string of {length} characters, the engine takes {STRING_LIMIT}")]
    StringTooLong {
        /// The variable's name.
        variable: String,
        /// Length in UTF-16 units.
        length: usize,
    },
    /// A whole number beyond 64 bits with sign, or a number that is not finite.
    #[error("variable {variable} does not fit a long (64 bits with sign) or a finite double: send it as a string")]
    NumberRange {
        /// The variable's name.
        variable: String,
    },
    /// A JSON value is nested too deeply to be read back.
    #[error("variable {variable} is nested more than {DEPTH_LIMIT} levels deep: flatten it")]
    TooDeep {
        /// The variable's name.
        variable: String,
    },
    /// Flowable tells models by their file name.
    #[error("the model's file name must end with .bpmn20.xml or .bpmn")]
    FileName,
    /// Acquiring zero jobs is a 400.
    #[error("the number of jobs to acquire must be at least 1")]
    NoJobs,
    /// The request could not be written down.
    #[error("the request cannot be built: {0}")]
    Unwritable(String),
}

/// A key or name: not empty, at most 255 characters.
pub(crate) fn name(field: &'static str, text: &str) -> Result<(), LimitError> {
    if text.is_empty() {
        return Err(LimitError::Empty { field });
    }
    match over(text, NAME_LIMIT) {
        Some(length) => Err(LimitError::NameTooLong { field, length }),
        None => Ok(()),
    }
}

/// An id that becomes one segment of a path. An empty one would address the whole collection.
pub(crate) fn id(field: &'static str, text: &str) -> Result<(), LimitError> {
    name(field, text)?;
    if text == "." || text == ".." {
        return Err(LimitError::NotAnId { field });
    }
    Ok(())
}

/// The length of `text` in UTF-16 units if it is over `limit`; counts only when the bytes could exceed it.
pub(crate) fn over(text: &str, limit: usize) -> Option<usize> {
    if text.len() <= limit {
        return None;
    }
    let length = text.encode_utf16().count();
    (length > limit).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_counted_as_the_engine_counts() {
        assert!(name("business key", &"é".repeat(255)).is_ok());
        assert_eq!(
            name("business key", &"é".repeat(256)),
            Err(LimitError::NameTooLong { field: "business key", length: 256 })
        );
        assert_eq!(name("definition", ""), Err(LimitError::Empty { field: "definition" }));
    }

    #[test]
    fn an_id_stays_one_segment() {
        assert!(id("task", "a/b").is_ok(), "encoded when the path is built");
        assert!(id("task", "..").is_err() && id("task", "").is_err());
    }
}
