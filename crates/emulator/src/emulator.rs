//! The running emulator and the handle that disturbs it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::ModelError;
use crate::clock::Clock;
use crate::engine::Engine;
use crate::faults::{Rule, Rules};
use crate::http::{self, Service, Tokens};
use crate::requests::make_requests;
use crate::server::{self, Availability, Gatekeeper};
use crate::stats::{OperationCount, Stats};
use crate::switches::Switches;

/// How an emulator starts. Ports are on 127.0.0.1; 0 takes a free one.
#[derive(Clone)]
pub struct Options {
    /// Port of the service.
    pub port: u16,
    /// Port of the test controls that stay up when the service is down.
    pub control_port: u16,
    /// Tenant in the token URL.
    pub tenant: String,
    /// Client that may fetch tokens.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// Behaviour where the real service leaves it open.
    pub switches: Switches,
    /// Host and port of a real Flowable that requests go on to: then this is only what disturbs it.
    pub upstream: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: 0,
            control_port: 0,
            tenant: "emulated-tenant".into(),
            client_id: "xconnector".into(),
            client_secret: "not-a-secret".into(),
            switches: Switches::default(),
            upstream: None,
        }
    }
}

/// Why an emulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port cannot be opened.
    #[error("cannot listen on {address}: {source}; choose another port, or 0 for a free one")]
    Port {
        /// Where it should have listened.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A switch has a value that means nothing.
    #[error("switches: {0}")]
    Switches(String),
}

/// A running workflow service. It ends when this is dropped.
pub struct Emulator {
    service: Arc<Service>,
    options: Options,
    control_url: String,
    tasks: Vec<JoinHandle<()>>,
}

impl Emulator {
    /// Starts the service and its test controls.
    ///
    /// # Errors
    /// The port is taken, or a switch has a value that means nothing.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        if let Some(problem) = options.switches.problem() {
            return Err(StartError::Switches(problem));
        }
        let (listener, address) = listen(options.port).await?;
        let (control, control_address) = listen(options.control_port).await?;
        let clock = Clock::default();
        let engine = Engine::new(options.switches.clone(), rand::random(), clock.now());
        let service = Arc::new(Service {
            engine: Mutex::new(engine),
            clock,
            tokens: Tokens::new(options.client_id.clone(), options.client_secret.clone()),
            rules: Rules::default(),
            stats: Stats::default(),
            gatekeeper: Gatekeeper::new(),
            base_url: format!("http://{address}"),
            upstream: options.upstream.clone(),
            operations: OnceLock::new(),
        });
        let router = http::router(&service, &options.tenant);
        let controls = http::control_router(&service);
        let tasks = vec![
            tokio::spawn(server::serve(Some(listener), address, router, service.gatekeeper.clone())),
            tokio::spawn(make_requests(service.clone())),
            tokio::spawn(server::serve(Some(control), control_address, controls, Gatekeeper::new())),
        ];
        Ok(Self { service, options, control_url: format!("http://{control_address}"), tasks })
    }

    /// Root of the service, such as `http://127.0.0.1:8080`, without a trailing slash.
    pub fn base_url(&self) -> &str {
        &self.service.base_url
    }

    /// Runtime, models and tasks.
    pub fn runtime_url(&self) -> String {
        format!("{}/workflow/v1", self.base_url())
    }

    /// History.
    pub fn history_url(&self) -> String {
        format!("{}/workflow-history/v1", self.base_url())
    }

    /// External-worker jobs.
    pub fn jobs_url(&self) -> String {
        format!("{}/workflow-job/v1", self.base_url())
    }

    /// Where tokens are fetched.
    pub fn token_url(&self) -> String {
        format!("{}/tenants/{}/oauth2/token", self.base_url(), self.options.tenant)
    }

    /// Root of the test controls, which answer even while the service is down.
    pub fn control_url(&self) -> &str {
        &self.control_url
    }

    /// Client that may fetch tokens.
    pub fn client_id(&self) -> &str {
        &self.options.client_id
    }

    /// Its secret.
    pub fn client_secret(&self) -> &str {
        &self.options.client_secret
    }

    /// Deploys a BPMN file and returns the keys of its processes.
    ///
    /// # Errors
    /// What the emulator cannot run, with line and element.
    pub fn deploy(&self, source: &str) -> Result<Vec<String>, ModelError> {
        let deployed = self.service.engine().0.deploy(source)?;
        Ok(deployed.iter().map(|d| d.key.to_string()).collect())
    }

    /// The handle that disturbs this service.
    pub fn faults(&self) -> Faults {
        Faults { service: self.service.clone() }
    }

    /// Closes both ports and waits until they are closed. Requests under way still take effect.
    pub async fn stop(mut self) {
        for task in std::mem::take(&mut self.tasks) {
            task.abort();
            // Only the cancellation comes back, and that is what was asked for.
            let _ = task.await;
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

pub(crate) async fn listen(port: u16) -> Result<(TcpListener, SocketAddr), StartError> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let failed = |source| StartError::Port { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Disturbs a running emulator. Cheap to copy.
#[derive(Clone)]
pub struct Faults {
    service: Arc<Service>,
}

impl Faults {
    /// Adds a rule to those in force.
    ///
    /// # Errors
    /// What is wrong with the rule: an unknown operation, a percentage or status out of range.
    pub fn add(&self, rule: Rule) -> Result<(), String> {
        match rule.problem(self.service.operations()) {
            Some(problem) => Err(problem),
            None => {
                self.service.rules.add(rule);
                Ok(())
            }
        }
    }

    /// What was asked of an operation so far.
    pub fn counted(&self, operation: &str) -> OperationCount {
        self.service.stats.current().remove(operation).unwrap_or_default()
    }

    /// Counts anew.
    pub fn count_anew(&self) {
        self.service.stats.reset();
    }

    /// When requests of an operation arrived: the last ten thousand of all operations are remembered.
    pub fn arrivals(&self, operation: &str) -> Vec<Instant> {
        self.service.stats.arrivals(operation)
    }

    /// Takes all rules away.
    pub fn clear(&self) {
        self.service.rules.replace(Vec::new());
    }

    /// Changes switches.
    pub fn switch(&self, change: impl FnOnce(&mut Switches)) {
        change(&mut self.service.engine().0.switches);
    }

    /// Takes the service down or up, and returns once that is so.
    pub async fn set_availability(&self, availability: Availability) {
        self.service.gatekeeper.set(availability);
        self.service.gatekeeper.reached(availability).await;
    }

    /// Skips this much time: timers fire, locks and tokens expire.
    pub fn skip(&self, time: Duration) {
        self.service.skip(time);
    }

    /// Makes every issued token unknown.
    pub fn revoke_tokens(&self) {
        self.service.tokens.revoke_all();
    }

    /// Takes every job lock away: jobs that are out will be handed out again.
    pub fn release_locks(&self) {
        let (mut engine, now) = self.service.engine();
        engine.release_locks(now);
    }

    /// Gives jobs without retries fresh ones; returns how many there were.
    pub fn revive_dead_jobs(&self) -> usize {
        let (mut engine, now) = self.service.engine();
        engine.revive_dead_jobs(now)
    }
}
