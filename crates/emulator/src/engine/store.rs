//! Instances in the order of starting, with indices by id and by business key.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::Instance;

/// A set of instances. Readers share the pictures, so a list costs no copies.
#[derive(Debug, Default)]
pub(crate) struct Store {
    by_number: BTreeMap<u64, Arc<Instance>>,
    number_of: HashMap<Arc<str>, u64>,
    by_business_key: HashMap<Arc<str>, BTreeSet<u64>>,
}

impl Store {
    /// The instance of this id.
    pub(crate) fn get(&self, id: &str) -> Option<&Arc<Instance>> {
        self.by_number(*self.number_of.get(id)?)
    }

    /// All instances, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.by_number.values()
    }

    /// Instances with this business key, oldest first.
    pub(crate) fn with_business_key<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a Arc<Instance>> + use<'a> {
        self.by_business_key.get(key).into_iter().flatten().filter_map(|number| self.by_number.get(number))
    }

    /// How many instances there are.
    pub(crate) fn len(&self) -> usize {
        self.by_number.len()
    }

    pub(super) fn by_number(&self, number: u64) -> Option<&Arc<Instance>> {
        self.by_number.get(&number)
    }

    pub(super) fn insert(&mut self, instance: Arc<Instance>) {
        let number = instance.number;
        let previous = self.by_number.get(&number);
        if previous.is_some_and(|p| p.revision > instance.revision) {
            return;
        }
        if previous.is_none() {
            self.number_of.insert(instance.id.clone(), number);
            if let Some(key) = &instance.business_key {
                self.by_business_key.entry(key.clone()).or_default().insert(number);
            }
        }
        self.by_number.insert(number, instance);
    }

    pub(super) fn remove(&mut self, number: u64) {
        let Some(instance) = self.by_number.remove(&number) else { return };
        self.number_of.remove(&instance.id);
        if let Some(key) = &instance.business_key
            && let Some(numbers) = self.by_business_key.get_mut(key)
        {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.by_business_key.remove(key);
            }
        }
    }
}
