//! The engine under test, with what the connector's own client leaves out: deploying under fresh names, suspending, starting by
//! message

use std::collections::BTreeMap;
use std::time::Duration;

use emulator::{Emulator, Options, Switches};
use promises::{DEADLINE, Flowable, emulated_engine, repository, until};
use reqwest::{Method, Request};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use workflow_client::{
    Acquire, Auth, CallError, Engine, Fault, Instance, Job, Settings, Start, Task, TaskFilter, Variable,
};

/// An engine under test
pub(crate) struct Subject {
    pub(crate) engine: Engine,
    settings: Settings,
    http: reqwest::Client,
    // serves while the subject lives
    _emulator: Option<Emulator>,
}

impl Subject {
    /// An emulator of its own: they are cheap, and end with the subject
    pub(crate) async fn emulator() -> Self {
        let switches = Switches { sweep_interval_ms: 1_000, ..Switches::default() };
        let options = Options { switches, ..Options::default() };
        let emulator = Emulator::start(options).await.unwrap();
        Self::over(emulated_engine(&emulator), Some(emulator))
    }

    pub(crate) async fn flowable() -> Self {
        Self::over(Flowable::shared().await.unwrap().client_settings(), None)
    }

    /// Any engine that these settings reach
    pub(crate) fn over(mut settings: Settings, emulator: Option<Emulator>) -> Self {
        settings.request_timeout = DEADLINE;
        settings.connect_timeout = DEADLINE;
        Self {
            engine: Engine::new(settings.clone()).unwrap(),
            settings,
            http: reqwest::Client::new(),
            _emulator: emulator,
        }
    }

    /// The same engine, seen by a client with other credentials
    pub(crate) fn with_wrong_secret(&self) -> Engine {
        let mut settings = self.settings.clone();
        match &mut settings.auth {
            Auth::Basic { password: secret, .. } | Auth::ClientCredentials { client_secret: secret, .. } => {
                *secret = "wrong".into();
            }
            Auth::None => unreachable!("both engines want credentials"),
        }
        Engine::new(settings).unwrap()
    }

    /// Deploys `models/<model>.bpmn` under a key that nobody else uses, which is also its job topic and the first part of its
    /// message and group names. Short, because Flowable drops the key from definition ids of more than 64 characters.
    pub(crate) async fn deploy(&self, model: &str) -> String {
        let key = format!("{model}-{}", &uuid::Uuid::new_v4().simple().to_string()[..10]);
        self.deploy_as(model, &key).await;
        key
    }

    /// Deploys a model under a given key, again for a new version
    pub(crate) async fn deploy_as(&self, model: &str, key: &str) {
        let file = repository().join(format!("tests/conformance/models/{model}.bpmn"));
        let xml = std::fs::read_to_string(file).unwrap().replace("UNIQUE", key);
        let definitions = self.engine.deploy(&format!("{key}.bpmn"), &xml).await.unwrap();
        assert_eq!(definitions.iter().map(|definition| definition.key.as_str()).collect::<Vec<_>>(), [key]);
    }

    pub(crate) async fn start(&self, key: &str, business_key: &str, variables: &[Variable]) -> Instance {
        self.engine.start(&Start { definition: key, business_key, name: None, variables }).await.unwrap()
    }

    /// Starts an instance of a fresh deployment of `model`: its key and itself
    pub(crate) async fn started(&self, model: &str, variables: &[Variable]) -> (String, Instance) {
        let key = self.deploy(model).await;
        let instance = self.start(&key, "order/4711", variables).await;
        (key, instance)
    }

    /// The only open task of an instance, as soon as there is one: after a job the engine moves on behind its answer
    pub(crate) async fn task(&self, instance: &Instance) -> Task {
        let only_one = async || {
            let mut tasks = self.engine.tasks(TaskFilter::Instance(&instance.id)).await?;
            assert!(tasks.len() < 2, "one task at a time: {tasks:?}");
            Ok(tasks.pop())
        };
        until("a task of the instance", DEADLINE, only_one).await.unwrap()
    }

    pub(crate) async fn complete_only_task(&self, instance: &Instance, variables: &[Variable]) {
        let task = self.task(instance).await;
        self.engine.complete_task(&task.id, None, variables).await.unwrap();
    }

    /// The instance from history, as soon as it has ended
    pub(crate) async fn ended(&self, instance: &Instance) -> Instance {
        let ended = async || Ok(self.engine.instance_history(&instance.id).await?.filter(Instance::is_ended));
        until("the end of the instance", DEADLINE, ended).await.unwrap()
    }

    /// Variables that history has of an instance
    pub(crate) async fn variables(&self, instance: &Instance) -> BTreeMap<String, Value> {
        let instance = self.engine.instance_history(&instance.id).await.unwrap().unwrap();
        let variables = instance.variables.unwrap();
        variables.into_iter().map(|variable| (variable.name, variable.value.into_json())).collect()
    }

    /// Asks for jobs once
    pub(crate) async fn acquire(&self, topic: &str, worker: &str, lock: Duration, max: u32) -> Vec<Job> {
        self.engine.acquire(&Acquire { topic, worker, lock, max }).await.unwrap()
    }

    /// The first job of a topic, as soon as there is one
    pub(crate) async fn job(&self, topic: &str, worker: &str, lock: Duration) -> Job {
        let first = async || Ok(self.acquire(topic, worker, lock, 1).await.pop());
        until("a job", DEADLINE, first).await.unwrap()
    }

    pub(crate) async fn suspend(&self, instance: &Instance) {
        self.set_suspension(instance, "suspend").await;
    }

    pub(crate) async fn activate(&self, instance: &Instance) {
        self.set_suspension(instance, "activate").await;
    }

    async fn set_suspension(&self, instance: &Instance, action: &str) {
        let path = format!("process-instances/{}", instance.id);
        let (status, answer) = self.raw(Method::PUT, &path, &json!({"action": action})).await;
        assert_eq!(status, 200, "{action}: {answer}");
    }

    /// A request past the client, below the runtime's base: status and body
    pub(crate) async fn raw(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let answer = self.http.execute(self.request(method, path, body).await).await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default())
    }

    /// Sends a whole request and closes the connection without reading the answer.
    pub(crate) async fn post_and_leave(&self, path: &str, body: &Value) {
        let request = self.request(Method::POST, path, body).await;
        let url = request.url();
        let address = url.socket_addrs(|| None).unwrap()[0];
        let body = request.body().and_then(|body| body.as_bytes()).unwrap();
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {address}\r\nAuthorization: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            url.path(),
            request.headers()["authorization"].to_str().unwrap(),
            body.len()
        );
        let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
        connection.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
        connection.shutdown().await.unwrap();
    }

    async fn request(&self, method: Method, path: &str, body: &Value) -> Request {
        let runtime = &self.settings.runtime;
        let request = match &self.settings.auth {
            Auth::Basic { username, password } => {
                let request = self.http.request(method, format!("{runtime}/runtime/{path}"));
                request.basic_auth(username, Some(password.expose_secret()))
            }
            Auth::ClientCredentials { token_url, client_id, client_secret } => {
                let wanted = json!({
                    "client_id": client_id,
                    "client_secret": client_secret.expose_secret(),
                    "grant_type": "client_credentials",
                });
                let answer = self.http.post(token_url).json(&wanted).send().await.unwrap();
                let token: Value = answer.json().await.unwrap();
                let request = self.http.request(method, format!("{runtime}/{path}"));
                request.bearer_auth(token["access_token"].as_str().unwrap())
            }
            Auth::None => unreachable!("both engines want credentials"),
        };
        request.json(body).build().unwrap()
    }
}

/// The call must have failed with this fault.
#[track_caller]
pub(crate) fn assert_fault<T: std::fmt::Debug>(outcome: Result<T, CallError>, fault: Fault) {
    let error = outcome.unwrap_err();
    assert_eq!(error.fault, fault, "{error}");
}
