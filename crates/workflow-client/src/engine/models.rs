//! Deploying models and finding definitions.

use super::{Engine, refused};
use crate::answers::Definition;
use crate::calls::Operation;
use crate::fault::{CallError, Endpoint};
use crate::limits;
use crate::pages::{bad_answer, read_all};
use crate::protocol::Deployment;

impl Engine {
    /// Deploys a BPMN file and answers its process definitions. Deploying again makes a new version, which new
    /// instances use.
    ///
    /// # Errors
    /// [`crate::Fault::BadRequest`] with the engine's reason when the model cannot be parsed.
    pub async fn deploy(&self, file_name: &str, bpmn_xml: &str) -> Result<Vec<Definition>, CallError> {
        let refused = refused(Endpoint::Runtime, Operation::Deploy);
        limits::name("file name", file_name).map_err(&refused)?;
        let request = self.protocol().deploy(file_name, bpmn_xml).map_err(&refused)?;
        let answer = self.transport().json(&request, self.before).await?;
        let deployment = self.protocol().deployment(answer).map_err(|reason| bad_answer(&request, reason))?;
        let definitions = match deployment {
            Deployment::Definitions(definitions) => definitions,
            Deployment::Id(id) => {
                let request = self.protocol().deployed(&id);
                let mut found: Vec<Definition> = read_all(self.transport(), self.protocol(), &request).await?;
                found.retain(|definition| definition.deployment_id.as_deref().is_none_or(|of| of == id));
                found
            }
        };
        if definitions.is_empty() {
            return Err(bad_answer(&request, "the engine took the file but shows no process definition of it"));
        }
        Ok(definitions)
    }

    /// The newest definition with a key; `None` when there is none.
    ///
    /// # Errors
    /// [`crate::Fault::BadAnswer`] when the list may be incomplete.
    pub async fn definition(&self, key: &str) -> Result<Option<Definition>, CallError> {
        limits::name("definition key", key).map_err(refused(Endpoint::Runtime, Operation::Definition))?;
        let request = self.protocol().definition(key);
        let definitions: Vec<Definition> = read_all(self.transport(), self.protocol(), &request).await?;
        Ok(definitions
            .into_iter()
            .filter(|definition| definition.key == key)
            .max_by_key(|definition| definition.version))
    }
}
