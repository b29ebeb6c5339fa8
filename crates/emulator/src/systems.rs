//! The business systems around a process, each a small server of its own: ERP, procurement, CRM, ECM, HRIS, identity, payroll, assets,
//! MDM and contact centre.
//!
//! What a system has is a table (`catalog`); how it answers is the same for all (`store`: validation, conflicts, ETags, idempotency
//! keys), but for identity, which speaks SCIM 2.0 (`scim`). What took effect is written down, so that tests can count it.

mod catalog;
mod idempotency;
mod over_kafka;
mod scim;
mod serve;
mod store;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::BrokerError;
use crate::emulator::{StartError, listen};
use crate::faults::{Rule, Rules};
use crate::server::{self, Availability, Gatekeeper};
pub use over_kafka::Topics;
use store::Store;

/// One of the systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum System {
    /// Invoices, purchase orders, expenses, cost centres.
    Erp,
    /// Purchase requests.
    Procurement,
    /// Cases and customers.
    Crm,
    /// Documents and their content.
    Ecm,
    /// Employees.
    Hris,
    /// Accounts, by SCIM 2.0 (RFC 7644).
    Identity,
    /// Payroll entries.
    Payroll,
    /// Equipment that is given out and taken back.
    Assets,
    /// Vendors, customers and products.
    Mdm,
    /// Complaints and the answers to them.
    ContactCentre,
}

impl System {
    /// All of them.
    pub const ALL: [System; 10] = [
        System::Erp,
        System::Procurement,
        System::Crm,
        System::Ecm,
        System::Hris,
        System::Identity,
        System::Payroll,
        System::Assets,
        System::Mdm,
        System::ContactCentre,
    ];

    /// Its name in settings, such as `contact-centre`.
    pub fn name(self) -> String {
        serde_json::to_value(self).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
    }
}

/// Something that took effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Effect {
    /// The operation, such as `invoices.create` or `documents.approve`.
    pub operation: String,
    /// The id of what it made or changed.
    pub id: String,
    /// Its name among its kind, such as the user name of an account, where it has to have one of its own.
    pub named: Option<String>,
    /// The `Idempotency-Key` that it came with.
    pub key: Option<String>,
}

/// The running systems. They end when this is dropped.
pub struct Systems(BTreeMap<System, Running>);

struct Running {
    address: SocketAddr,
    desk: Arc<Desk>,
    gatekeeper: Gatekeeper,
    task: JoinHandle<()>,
    /// Reads commands, where the system is reached by Kafka.
    listener: Option<JoinHandle<()>>,
}

/// What the server of one system shares with tests.
pub(crate) struct Desk {
    pub(crate) store: Mutex<Store>,
    pub(crate) rules: Rules,
    /// What has to stand in `Authorization`, where anything has to.
    pub(crate) authorization: Option<String>,
}

impl Desk {
    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Systems {
    /// Starts every system on a free port of its own. `authorization` is what each wants to see in that header, such as `Bearer …`; those
    /// that it says nothing of take everybody.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn start(authorization: &[(System, &str)]) -> Result<Systems, StartError> {
        let mut systems = BTreeMap::new();
        for system in System::ALL {
            let (listener, address) = listen(0).await?;
            let wanted = authorization.iter().find(|(of, _)| *of == system).map(|(_, wanted)| (*wanted).to_owned());
            let store = Mutex::new(Store::of(system));
            let desk = Arc::new(Desk { store, rules: Rules::default(), authorization: wanted });
            let gatekeeper = Gatekeeper::new();
            let router = serve::router(desk.clone());
            let task = tokio::spawn(server::serve(Some(listener), address, router, gatekeeper.clone()));
            systems.insert(system, Running { address, desk, gatekeeper, task, listener: None });
        }
        Ok(Systems(systems))
    }

    /// Where a system is, such as `http://127.0.0.1:40123`, without a trailing slash. Empty for none, which cannot be.
    pub fn url(&self, system: System) -> String {
        self.0.get(&system).map(|running| format!("http://{}", running.address)).unwrap_or_default()
    }

    /// Lets a system also be reached by Kafka, from now on. Whatever disturbs it disturbs this too.
    ///
    /// # Errors
    /// The topic of commands is not there.
    pub fn listen(&mut self, system: System, topics: Topics<'_>) -> Result<(), BrokerError> {
        if let Some(running) = self.0.get_mut(&system) {
            let (router, gatekeeper) = (serve::router(running.desk.clone()), running.gatekeeper.clone());
            running.listener = Some(over_kafka::listen(topics, router, gatekeeper)?);
        }
        Ok(())
    }

    /// What took effect in a system, in order.
    pub fn effects(&self, system: System) -> Vec<Effect> {
        self.0.get(&system).map(|running| running.desk.store().effects().to_vec()).unwrap_or_default()
    }

    /// The resource at a path such as `/invoices/INV-1`, as a system holds it now.
    pub fn look(&self, system: System, path: &str) -> Option<Value> {
        self.0.get(&system)?.desk.store().look(path)
    }

    /// Puts something there, as if somebody had made it before: `path` is a collection such as `/documents`. It has the id that it
    /// brings, or is given one.
    pub fn put_there(&self, system: System, path: &str, value: Value) -> Option<String> {
        self.0.get(&system)?.desk.store().put_there(path, value)
    }

    /// Changes the resource at a path, as if somebody else had: it has another version then.
    pub fn changed(&self, system: System, path: &str, fields: Value) {
        if let Some(running) = self.0.get(&system) {
            running.desk.store().change_there(path, fields);
        }
    }

    /// Makes requests of a system fail: by operation, such as `invoices.create`, or all of them.
    pub fn disturb(&self, system: System, rule: Rule) {
        if let Some(running) = self.0.get(&system) {
            running.desk.rules.add(rule);
        }
    }

    /// Takes all rules away.
    pub fn calm(&self, system: System) {
        if let Some(running) = self.0.get(&system) {
            running.desk.rules.replace(Vec::new());
        }
    }

    /// Takes a system down or up, and returns once that is so.
    pub async fn set_availability(&self, system: System, availability: Availability) {
        if let Some(running) = self.0.get(&system) {
            running.gatekeeper.set(availability);
            running.gatekeeper.reached(availability).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
        self.listener.iter().for_each(JoinHandle::abort);
    }
}
