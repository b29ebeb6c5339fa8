//! Deployed models: versions by key, and the messages that start the newest one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::Engine;
use crate::bpmn::{self, ElementIndex, ModelError, Process};

/// One version of one process.
#[derive(Debug)]
pub(crate) struct Definition {
    /// `key:version:uuid`.
    pub(crate) id: Arc<str>,
    pub(crate) key: Arc<str>,
    pub(crate) version: u32,
    pub(crate) deployment: Arc<str>,
    pub(crate) process: Process,
    /// The file as it was deployed.
    pub(crate) source: Arc<str>,
}

#[derive(Debug, Default)]
pub(super) struct Definitions {
    versions: BTreeMap<Arc<str>, Vec<Arc<Definition>>>,
    message_starts: HashMap<Arc<str>, (Arc<Definition>, ElementIndex)>,
}

impl Definitions {
    pub(super) fn latest(&self, key: &str) -> Option<&Arc<Definition>> {
        self.versions.get(key)?.last()
    }

    pub(super) fn by_id(&self, id: &str) -> Option<&Arc<Definition>> {
        let (key, _) = id.split_once(':')?;
        self.versions.get(key)?.iter().find(|d| &*d.id == id)
    }

    pub(super) fn by_message(&self, message: &str) -> Option<&(Arc<Definition>, ElementIndex)> {
        self.message_starts.get(message)
    }
}

impl Engine {
    /// Deploys every executable process of a file as the next version of its key.
    pub(crate) fn deploy(&mut self, source: &str) -> Result<Vec<Arc<Definition>>, ModelError> {
        let source: Arc<str> = source.into();
        let deployment = self.ids.id();
        let mut deployed = Vec::new();
        for process in bpmn::parse(&source)? {
            let key = process.key.clone();
            let versions = self.definitions.versions.entry(key.clone()).or_default();
            let version = versions.last().map_or(1, |d| d.version + 1);
            let definition = Arc::new(Definition {
                id: format!("{key}:{version}:{}", self.ids.id()).into(),
                key: key.clone(),
                version,
                deployment: deployment.clone(),
                process,
                source: source.clone(),
            });
            versions.push(definition.clone());
            self.definitions.message_starts.retain(|_, (d, _)| d.key != key);
            for (message, start) in definition.process.message_starts() {
                self.definitions.message_starts.insert(message.clone(), (definition.clone(), start));
            }
            deployed.push(definition);
        }
        Ok(deployed)
    }

    /// Every version of every model, by key.
    pub(crate) fn definitions(&self) -> impl Iterator<Item = &Arc<Definition>> {
        self.definitions.versions.values().flatten()
    }

    /// The newest version of this key.
    pub(crate) fn latest_definition(&self, key: &str) -> Option<&Arc<Definition>> {
        self.definitions.latest(key)
    }
}
