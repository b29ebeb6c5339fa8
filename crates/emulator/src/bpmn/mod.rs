//! BPMN 2.0 as far as the emulator runs it: the file is read once at deploy, and what it does not know it refuses there.

pub(crate) mod duration;
pub(crate) mod expression;
pub(crate) mod model;
mod parse;
mod xml;

pub(crate) use model::{ElementIndex, Event, HttpTask, Kind, Node, Process, Timer};
pub(crate) use parse::parse;

/// Why a model was refused, with the place in the file that has to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, element '{element}': {reason}")]
pub struct ModelError {
    /// Line in the deployed file, counted from 1.
    pub line: usize,
    /// Id of the nearest element that has one.
    pub element: String,
    /// What is wrong, and where possible what would be right.
    pub reason: String,
}
