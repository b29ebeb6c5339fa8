//! Where data departs from its schema.

use std::fmt;

/// The place and nature of a departure from a schema. Names fields, types and positions, never values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct Violation {
    /// From the root: `$.customer.region`, `$.lines[2].price`, `$.labels{0}` (the map's entry at that position).
    pub path: String,
    /// What was expected and what was found.
    pub problem: String,
}

/// A violation on its way up to the root. Steps are gathered only when something is wrong, so that good data pays
/// nothing for precise paths.
#[derive(Debug)]
pub(crate) struct Fault(Box<Trail>);

#[derive(Debug)]
struct Trail {
    inner_to_outer: Vec<Step>,
    problem: String,
}

/// One step from a value to a value inside it.
#[derive(Debug)]
pub(crate) enum Step {
    /// A record's field.
    Field(String),
    /// An array's item, from 0.
    Item(usize),
    /// A map's entry, from 0; its key belongs to the payload and is not shown.
    Entry(usize),
}

impl Fault {
    pub(crate) fn new(problem: impl Into<String>) -> Self {
        Self(Box::new(Trail { inner_to_outer: Vec::new(), problem: problem.into() }))
    }

    /// The same fault, seen from one level further out.
    pub(crate) fn within(mut self, step: Step) -> Self {
        self.0.inner_to_outer.push(step);
        self
    }
}

impl From<Fault> for Violation {
    fn from(fault: Fault) -> Self {
        let mut path = String::from("$");
        for step in fault.0.inner_to_outer.iter().rev() {
            path.push_str(&step.to_string());
        }
        Self { path, problem: fault.0.problem }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Item(position) => write!(f, "[{position}]"),
            Self::Entry(position) => write!(f, "{{{position}}}"),
        }
    }
}
