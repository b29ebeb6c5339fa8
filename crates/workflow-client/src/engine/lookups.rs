//! Reading the state of instances: what settles an ambiguous answer.
//!
//! Flowable ignores query parameters that it does not know and answers with everything; so the rows are checked
//! against the question, and those that do not belong are dropped.

use super::{Engine, refused};
use crate::answers::{ExecutionId, ExecutionRow, Instance};
use crate::calls::Operation;
use crate::fault::{CallError, Endpoint, Fault};
use crate::limits;
use crate::pages::{bad_answer, read_all, read_rows};
use crate::request::Request;

impl Engine {
    /// Running root instances of a definition with a business key, with their variables; every page is read.
    ///
    /// # Errors
    /// [`Fault::BadAnswer`] when the list may be incomplete: that is *unknown*, not *absent*.
    pub async fn running(&self, definition: &str, business_key: &str) -> Result<Vec<Instance>, CallError> {
        check_key(definition, business_key).map_err(refused(Endpoint::Runtime, Operation::Running))?;
        let request = self.protocol().running(definition, business_key);
        self.roots(&request, definition, business_key).await
    }

    /// The same from history: running and ended instances. History may lag behind runtime.
    ///
    /// # Errors
    /// As [`Engine::running`].
    pub async fn historic(&self, definition: &str, business_key: &str) -> Result<Vec<Instance>, CallError> {
        check_key(definition, business_key).map_err(refused(Endpoint::History, Operation::Historic))?;
        let request = self.protocol().historic(definition, business_key);
        self.roots(&request, definition, business_key).await
    }

    /// One instance from history with its variables; `None` when history does not know it (yet).
    ///
    /// # Errors
    /// Any [`Fault`] but `NotFound`.
    pub async fn instance_history(&self, instance_id: &str) -> Result<Option<Instance>, CallError> {
        limits::id("instance id", instance_id).map_err(refused(Endpoint::History, Operation::InstanceHistory))?;
        let request = self.protocol().instance_history(instance_id);
        let answer = match self.transport().json(&request, None).await {
            Err(error) if error.fault == Fault::NotFound => return Ok(None),
            answer => answer?,
        };
        let rows = if answer.get("id").is_some() {
            vec![answer]
        } else {
            let page = self.protocol().page(answer, "historic-process-instances");
            page.map_err(|reason| bad_answer(&request, reason))?.rows
        };
        let instances: Vec<Instance> = read_rows(&request, rows)?;
        Ok(instances.into_iter().find(|instance| instance.id == instance_id))
    }

    /// Executions of an instance that wait for a message of this name.
    ///
    /// # Errors
    /// [`Fault::BadAnswer`] when the list may be incomplete.
    pub async fn waiting(&self, instance_id: &str, message: &str) -> Result<Vec<ExecutionId>, CallError> {
        limits::id("instance id", instance_id)
            .and_then(|()| limits::name("message name", message))
            .map_err(refused(Endpoint::Runtime, Operation::Waiting))?;
        let request = self.protocol().waiting(instance_id, message);
        let rows: Vec<ExecutionRow> = read_all(self.transport(), self.protocol(), &request).await?;
        let own = |row: &ExecutionRow| row.process_instance_id.as_deref().is_none_or(|id| id == instance_id);
        Ok(rows.into_iter().filter(own).map(|row| ExecutionId(row.id)).collect())
    }

    /// A cheap read of the runtime endpoint that touches no instance, to see whether it answers and lets us in.
    ///
    /// # Errors
    /// The [`Fault`] that keeps calls from succeeding.
    pub async fn probe(&self) -> Result<(), CallError> {
        self.probe_endpoint(Endpoint::Runtime).await
    }

    /// The same for one endpoint. For the token endpoint it is the runtime's, which needs a token to be asked.
    ///
    /// # Errors
    /// The [`Fault`] that keeps calls from succeeding.
    pub async fn probe_endpoint(&self, endpoint: Endpoint) -> Result<(), CallError> {
        let protocol = self.protocol();
        let request = match endpoint {
            Endpoint::Runtime | Endpoint::Token => protocol.probe_runtime(),
            Endpoint::History => protocol.probe_history(),
            Endpoint::Jobs => protocol.probe_jobs(),
        };
        let answer = self.transport().json(&request, None).await?;
        // A login page with status 200 is no sign of health.
        protocol.page(answer, "").map(drop).map_err(|reason| bad_answer(&request, reason))
    }

    async fn roots(
        &self,
        request: &Request<'_>,
        definition: &str,
        business_key: &str,
    ) -> Result<Vec<Instance>, CallError> {
        let mut instances: Vec<Instance> = read_all(self.transport(), self.protocol(), request).await?;
        instances.retain(|instance| {
            instance.is_root()
                && instance.business_key.as_deref() == Some(business_key)
                && instance.definition_key().is_none_or(|key| key == definition)
        });
        Ok(instances)
    }
}

fn check_key(definition: &str, business_key: &str) -> Result<(), limits::LimitError> {
    limits::name("definition key", definition).and_then(|()| limits::name("business key", business_key))
}
