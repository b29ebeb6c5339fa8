//! Flow folders and the settings file: parsing, checking, expressions.
//!
//! A person writes `flows/<name>/flow.toml` and `xconnector.toml`; this crate turns them into values that the rest of
//! the connector can trust, or into a list of [`Problem`]s, all of them, each with file, line and what would be right.
//! It reads files and, for settings alone, the environment; it opens no connection.
//!
//! Read in this order: [`Flow`] (what a flow is), `flow/plan` (what an event means to it), `expression` (CEL),
//! [`Settings`].

mod check;
mod document;
mod environment;
mod expression;
mod flow;
mod picture;
mod problem;
mod settings;
mod translate;

pub use check::{CheckReport, check};
pub use environment::Environment;
pub use expression::Expression;
pub use flow::{
    Action, Breach, Compensate, Flow, Job, JobOrigin, JobWork, LaneKey, Limits, Method, OnExhausted, OnLost, OnNull,
    PlanError, Planned, PlannedAction, PlannedCall, Publication, Reply, Source, StartFrom, Step, StormGuard,
    SystemAnswer, SystemCall, Variables,
};
pub use picture::picture;
pub use problem::Problem;
pub use settings::{
    AuditSettings, Credentials, Delivery, Dialect, DoorLock, DoorSettings, EngineSettings, EngineUrls, GroupProtocol,
    IntakeSettings, JobPaths, JobSettings, KafkaSettings, LEASE_TERM, PropertyValue, Settings, SystemAuth, SystemHttp,
    SystemReach, SystemSettings,
};
pub use translate::translate;
