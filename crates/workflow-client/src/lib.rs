//! The workflow engine's REST API as single calls: commands, look-ups, external-worker jobs, tasks, models.
//!
//! [`Engine`] speaks two dialects, OpenText Workflow Service and open-source Flowable; what differs between
//! them stands behind one trait in `protocol`. A method is one attempt: nothing is retried here, because only
//! the caller knows whether a repeat is safe. [`CallError::is_ambiguous`] says whether the engine may have
//! acted although no good answer came.
//!
//! Two exceptions, both proved harmless: a request answered 401 is repeated once with a fresh token (a 401
//! shows that nothing was done), and the HTTP pool takes another connection when a kept-alive one turned out
//! to be closed *before any byte of the request was written*. Redirects and reqwest's own retries are off.

mod answers;
mod calls;
mod engine;
mod error_body;
mod fault;
mod limits;
mod pages;
mod protocol;
mod request;
mod settings;
mod time;
mod token;
mod transport;
mod variable;

pub use answers::{Comment, Definition, ExecutionId, HistoricTask, Instance, Job, Task};
pub use calls::CallCounts;
pub use engine::{Acquire, CommentTarget, Engine, JobFailure, Start, Sweep, SweepSource, TaskFilter};
pub use fault::{CallError, Endpoint, Fault};
pub use limits::LimitError;
pub use settings::{Auth, Dialect, JobPaths, Settings, SettingsError};
pub use variable::{Variable, VariableValue};
