//! Schemas from a folder, and the schema ids that records may name.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::EventSchema;

/// All schemas of a folder: `<dir>/ticket/v1.avsc` is `ticket/v1`.
#[derive(Debug, Clone, Default)]
pub struct Schemas {
    by_name: BTreeMap<String, Arc<EventSchema>>,
}

impl Schemas {
    /// Reads and compiles every `*.avsc` that lies directly in a folder inside `dir`. Other files are left alone.
    ///
    /// # Errors
    /// The first file or folder that cannot be read, or is no usable schema, by name.
    pub fn load(dir: &Path) -> Result<Self, SchemaError> {
        let mut by_name = BTreeMap::new();
        for folder in entries_of(dir)?.into_iter().filter(|path| path.is_dir()) {
            for file in entries_of(&folder)? {
                if !file.is_file() || file.extension().is_none_or(|extension| extension != "avsc") {
                    continue;
                }
                let name = name_of(&folder, &file)?;
                let text = fs::read_to_string(&file)
                    .map_err(|error| SchemaError::Unreadable { path: file.clone(), error: error.to_string() })?;
                let schema = EventSchema::parse(&name, &text).map_err(|error| error.in_file(&file))?;
                by_name.insert(name, Arc::new(schema));
            }
        }
        Ok(Self { by_name })
    }

    /// The schema of that name, such as `ticket/v1`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<EventSchema>> {
        self.by_name.get(name).cloned()
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}

fn entries_of(dir: &Path) -> Result<Vec<PathBuf>, SchemaError> {
    let unreadable = |error: std::io::Error| SchemaError::Unreadable { path: dir.to_owned(), error: error.to_string() };
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        paths.push(entry.map_err(unreadable)?.path());
    }
    // A fixed order, so that of several broken files the same one is always named.
    paths.sort();
    Ok(paths)
}

fn name_of(folder: &Path, file: &Path) -> Result<String, SchemaError> {
    let folder_name = folder.file_name().and_then(|name| name.to_str());
    let stem = file.file_stem().and_then(|name| name.to_str());
    match (folder_name, stem) {
        (Some(folder_name), Some(stem)) => Ok(format!("{folder_name}/{stem}")),
        (None, _) | (_, None) => Err(SchemaError::BadName { path: file.to_owned() }),
    }
}

/// The schemas that records name by number: ids of a schema registry, from configuration, and fingerprints.
#[derive(Debug, Clone, Default)]
pub struct SchemaIds {
    by_id: HashMap<u32, Arc<EventSchema>>,
    by_fingerprint: HashMap<[u8; 8], Arc<EventSchema>>,
}

impl SchemaIds {
    /// Writer schemas by their id in the registry. Their fingerprints become known too.
    #[must_use]
    pub fn new(by_id: HashMap<u32, Arc<EventSchema>>) -> Self {
        let by_fingerprint = by_id.values().map(|schema| (schema.fingerprint(), Arc::clone(schema))).collect();
        Self { by_id, by_fingerprint }
    }

    /// Whether no id is configured.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(crate) fn by_id(&self, id: u32) -> Option<&EventSchema> {
        self.by_id.get(&id).map(Arc::as_ref)
    }

    pub(crate) fn by_fingerprint(&self, fingerprint: [u8; 8]) -> Option<&EventSchema> {
        self.by_fingerprint.get(&fingerprint).map(Arc::as_ref)
    }
}

/// A schema that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// A file or folder could not be read.
    #[error("{}: cannot be read: {error}; check the path and its permissions", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: String,
    },
    /// A file's name is not Unicode text.
    #[error("{}: a schema's folder and file must have Unicode names; rename it", path.display())]
    BadName {
        /// The file.
        path: PathBuf,
    },
    /// A text is no usable schema.
    #[error("schema {schema} cannot be used: {problem}")]
    Invalid {
        /// The schema's name.
        schema: String,
        /// What is wrong.
        problem: String,
    },
    /// A file holds no usable schema.
    #[error("{}: this schema cannot be used: {problem}", path.display())]
    InvalidFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

impl SchemaError {
    fn in_file(self, file: &Path) -> Self {
        match self {
            Self::Invalid { problem, .. } => Self::InvalidFile { path: file.to_owned(), problem },
            named @ (Self::Unreadable { .. } | Self::BadName { .. } | Self::InvalidFile { .. }) => named,
        }
    }
}
