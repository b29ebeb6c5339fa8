//! The engine as its callers see it. This file: making one, and the commands that change an instance.

mod jobs;
mod lookups;
mod models;
mod sweep;
mod tasks;

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::answers::{ExecutionId, Instance, Started};
use crate::calls::{CallCounts, Operation};
use crate::fault::{CallError, Endpoint};
use crate::limits::{self, LimitError};
use crate::pages::bad_answer;
use crate::protocol::{self, Protocol};
use crate::request::Request;
use crate::settings::{Settings, SettingsError};
use crate::transport::{self, Transport};
use crate::variable::{self, Variable};

pub use jobs::{Acquire, JobFailure};
pub use sweep::{Sweep, SweepSource};
pub use tasks::{CommentTarget, TaskFilter};

/// A workflow engine. Cloning is cheap; clones share connections, token and counters.
///
/// Every method is one attempt. Errors say by [`CallError::is_ambiguous`] whether the engine may have acted.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
    before: Option<Instant>,
}

struct Shared {
    transport: Transport,
    protocol: Box<dyn Protocol>,
}

/// What is needed to start an instance.
#[derive(Debug, Clone, Copy)]
pub struct Start<'a> {
    /// Key of the process definition; the newest version is started.
    pub definition: &'a str,
    /// Business key, at most 255 characters. The engine does not keep it unique.
    pub business_key: &'a str,
    /// Title for people.
    pub name: Option<&'a str>,
    /// Variables of the new instance.
    pub variables: &'a [Variable],
}

impl Engine {
    /// Checks the settings and builds the HTTP client. Nothing is sent.
    ///
    /// # Errors
    /// [`SettingsError`] names the setting and what would be right.
    pub fn new(settings: Settings) -> Result<Engine, SettingsError> {
        let transport = Transport::new(&settings)?;
        let shared = Shared { transport, protocol: protocol::of(&settings) };
        Ok(Engine { shared: Arc::new(shared), before: None })
    }

    /// The same engine for calls that must not be *sent* from `deadline` on: waiting for a free connection or a
    /// token can outlast the lease under which a call was decided. A call that is too late fails as
    /// [`crate::Fault::Unsent`]. Making a connection (`connect_timeout`) comes after this check.
    #[must_use]
    pub fn before(&self, deadline: Instant) -> Engine {
        Engine { shared: Arc::clone(&self.shared), before: Some(deadline) }
    }

    /// How many requests have been sent, per operation, by this engine and its clones.
    pub fn calls(&self) -> CallCounts {
        self.shared.transport.calls.snapshot()
    }

    /// Starts an instance; one request. The engine answers when the instance has reached its first wait state.
    ///
    /// The answer's variables are not kept.
    ///
    /// # Errors
    /// [`crate::Fault::BadRequest`] also for an unknown definition (both engines answer 400).
    pub async fn start(&self, start: &Start<'_>) -> Result<Instance, CallError> {
        let checked = limits::name("definition key", start.definition)
            .and_then(|()| limits::name("business key", start.business_key))
            .and_then(|()| start.name.map_or(Ok(()), |name| limits::name("instance name", name)))
            .and_then(|()| variable::check_all(start.variables));
        checked.map_err(refused(Endpoint::Runtime, Operation::Start))?;
        let request = self.protocol().start(start);
        let started: Started = self.answer(&request).await?;
        let instance = Instance::from(started);
        if instance.id.is_empty() {
            return Err(bad_answer(&request, "the started instance has no id"));
        }
        Ok(instance)
    }

    /// Delivers a message to an execution that [`Engine::waiting`] has shown.
    ///
    /// # Errors
    /// When the execution no longer waits for it: [`crate::Fault::NotFound`] or [`crate::Fault::EngineError`].
    /// Either may mean that the message was delivered before: read the state.
    pub async fn deliver(
        &self,
        execution: &ExecutionId,
        message: &str,
        variables: &[Variable],
    ) -> Result<(), CallError> {
        let checked = limits::id("execution id", &execution.0)
            .and_then(|()| limits::name("message name", message))
            .and_then(|()| variable::check_all(variables));
        checked.map_err(refused(Endpoint::Runtime, Operation::Deliver))?;
        self.command(&self.protocol().deliver(&execution.0, message, variables)).await
    }

    /// Ends a running instance with a reason, which history keeps (OpenText: not documented).
    ///
    /// # Errors
    /// [`crate::Fault::NotFound`] when no such instance runs: it never existed, has ended, or was terminated
    /// before.
    pub async fn terminate(&self, instance_id: &str, reason: &str) -> Result<(), CallError> {
        limits::id("instance id", instance_id).map_err(refused(Endpoint::Runtime, Operation::Terminate))?;
        self.command(&self.protocol().terminate(instance_id, reason)).await
    }

    fn protocol(&self) -> &dyn Protocol {
        self.shared.protocol.as_ref()
    }

    fn transport(&self) -> &Transport {
        &self.shared.transport
    }

    /// A request whose good answer is not looked at.
    async fn command(&self, request: &Request<'_>) -> Result<(), CallError> {
        self.transport().send(request, self.before).await.map(drop)
    }

    async fn answer<T: DeserializeOwned>(&self, request: &Request<'_>) -> Result<T, CallError> {
        transport::parse(request, &self.transport().send(request, self.before).await?)
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("before", &self.before).finish_non_exhaustive()
    }
}

/// Turns a broken limit into the call's error.
fn refused(endpoint: Endpoint, operation: Operation) -> impl Fn(LimitError) -> CallError {
    move |error| CallError::refused(&error, endpoint, operation)
}
