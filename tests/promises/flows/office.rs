//! A flow at work: one engine, the emulated systems, one connector, and people at their worklists

use std::sync::atomic::{AtomicU32, Ordering};

use emulator::{System, Systems};
use promises::{DEADLINE, FlowCopy, Instance, Kafka, Received, Sent, produce, read_all, repository, unique, until};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use workflow_client::{CommentTarget, Fault, Task, TaskFilter, Variable};

use crate::support::Bench;

/// Where a flow runs
pub(super) struct Office {
    bench: Bench,
    pub(super) systems: Systems,
    kafka: &'static Kafka,
    flow: &'static str,
    copy: FlowCopy,
    instance: Mutex<Instance>,
    events: AtomicU32,
}

/// One business object of a test: what the examples call it, and what it is called here
pub(super) struct Case<'o> {
    office: &'o Office,
    example: &'static str,
    pub(super) id: String,
    definition: String,
    business_key: String,
}

impl Office {
    /// Starts the connector with `flow`, whose names are its own, and with every emulated system in its settings.
    pub(super) async fn open(flow: &'static str, bench: Bench) -> Office {
        let (kafka, systems) = (Kafka::shared().await.unwrap(), Systems::start(&[]).await.unwrap());
        let of_systems: String = System::ALL.iter().map(|system| toml_of(*system, &systems)).collect();
        let extra = format!("{}\n[jobs]\npoll_interval = \"100ms\"\n{of_systems}", bench.engine_lines());
        let copy = FlowCopy::of(flow, kafka, &bench.settings, &extra).unwrap();
        let instance = Mutex::new(copy.started(2).await.unwrap());
        Office { bench, systems, kafka, flow, copy, instance, events: AtomicU32::new(0) }
    }

    /// A business object of its own, known to the examples by `example`. Its process is the flow's `definition`th.
    pub(super) fn case(&self, example: &'static str, definition: usize, business_key: &str) -> Case<'_> {
        let id = unique("C").replace('.', "-")[..14].to_owned();
        self.case_of(example, definition, business_key, id)
    }

    /// The same for an object that has its id from elsewhere.
    pub(super) fn case_of(&self, example: &'static str, definition: usize, business_key: &str, id: String) -> Case<'_> {
        let definition = self.copy.definitions()[definition].to_owned();
        let business_key = business_key.replace("{id}", &id);
        Case { office: self, example, id, definition, business_key }
    }

    /// How often an operation of a system took effect, in all, and with how many keys
    pub(super) fn effects(&self, system: System, operation: &str) -> (usize, usize) {
        let effects = self.systems.effects(system);
        let of: Vec<_> = effects.iter().filter(|effect| effect.operation == operation).collect();
        let keys: std::collections::BTreeSet<_> = of.iter().filter_map(|effect| effect.key.as_ref()).collect();
        (of.len(), keys.len())
    }

    /// Nothing took effect twice under one key, and nothing is among the dead letters.
    pub(super) async fn closes(&self) {
        for system in System::ALL {
            let mut keys: Vec<_> = self.systems.effects(system).into_iter().filter_map(|effect| effect.key).collect();
            let all = keys.len();
            keys.sort();
            keys.dedup();
            assert_eq!(keys.len(), all, "{system:?}: one effect for each key");
        }
        let letters = read_all(self.kafka, &self.copy.dead_letters()).await.unwrap();
        let reasons: Vec<_> = letters.iter().map(|letter| letter.header("xc-detail")).collect();
        assert_eq!(reasons, [] as [Option<&str>; 0]);
    }

    pub(super) async fn logged(&self, text: &str) {
        self.instance.lock().await.connector.logged(text).await.unwrap();
    }

    async fn log(&self) -> String {
        self.instance.lock().await.connector.log()
    }
}

fn toml_of(system: System, systems: &Systems) -> String {
    let name = serde_json::to_value(system).unwrap();
    format!("[[system]]\nname = {name}\nurl = {:?}\nauth = \"none\"\nrequest_timeout = \"5s\"\n", systems.url(system))
}

impl Case<'_> {
    /// The flow's example of that name, as an event of this case.
    pub(super) fn event(&self, name: &str) -> Value {
        let file = repository().join(format!("flows/{}/examples/{name}.json", self.office.flow));
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        serde_json::from_str(&text.replace(self.example, &self.id)).unwrap()
    }

    /// Publishes an event as the source would; gives the id under which it did, so that it can do so again.
    pub(super) async fn publish(&self, event: &Value) -> String {
        let number = self.office.events.fetch_add(1, Ordering::Relaxed);
        let id = format!("{}-{number}", self.id);
        self.publish_as(&id, event).await;
        id
    }

    pub(super) async fn publish_as(&self, event_id: &str, event: &Value) {
        let header = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        let headers = vec![
            header("content-type", "application/json"),
            header("ce_specversion", "1.0"),
            header("ce_id", event_id),
            header("ce_source", "/source"),
            header("ce_type", "event"),
        ];
        let (key, value) = (Some(self.id.clone().into_bytes()), Some(serde_json::to_vec(event).unwrap()));
        produce(self.office.kafka, self.office.copy.source(), [Sent { key, value, headers, ..Sent::default() }])
            .await
            .unwrap();
    }

    /// Waits for a task of the case, and completes it with a comment.
    pub(super) async fn decide(&self, task: &str, decision: &str) {
        self.decide_with(task, &[Variable::new("decision", decision)]).await;
    }

    pub(super) async fn decide_with(&self, task: &str, variables: &[Variable]) {
        let (engine, open) = (&self.office.bench.engine, self.task(task).await);
        engine.claim(&open.id, "ada").await.unwrap();
        engine.add_comment(CommentTarget::Task(&open.id), &format!("{task}: seen")).await.unwrap();
        // Branches that end at the same moment cost one of them its lock; a person presses the button again.
        let complete = async || match engine.complete_task(&open.id, None, variables).await {
            Err(error) if error.fault == Fault::EngineError => Ok(None),
            completed => Ok(completed.map(Some)?),
        };
        until(&format!("the end of {task} of {}", self.business_key), DEADLINE, complete).await.unwrap();
    }

    /// The open task of that id in the model.
    pub(super) async fn task(&self, task: &str) -> Task {
        let engine = &self.office.bench.engine;
        let open = async || {
            let running = engine.running(&self.definition, &self.business_key).await?;
            let Some(instance) = running.first() else { return Ok(None) };
            let tasks = engine.tasks(TaskFilter::Instance(&instance.id)).await?;
            Ok(tasks.into_iter().find(|open| open.task_definition_key.as_deref() == Some(task)))
        };
        let what = format!("task {task} of {}", self.business_key);
        match until(&what, DEADLINE, open).await {
            Ok(task) => task,
            Err(error) => panic!("{error:#}\n{}", self.office.log().await),
        }
    }

    /// Waits until a variable of the running process is as wanted; `"*"` stands for anything.
    pub(super) async fn variable(&self, name: &str, wanted: &Value) {
        let engine = &self.office.bench.engine;
        let there = async || {
            let running = engine.running(&self.definition, &self.business_key).await?;
            let value =
                running.first().and_then(|instance| instance.variable(name)).map(|value| value.clone().into_json());
            let is = |value: &Value| value == wanted || *wanted == "*";
            Ok(value.as_ref().is_some_and(is).then_some(()))
        };
        until(&format!("{name} = {wanted} of {}", self.business_key), DEADLINE, there).await.unwrap();
    }

    /// The replies of a kind for this case, once there are so many.
    pub(super) async fn replies(&self, kind: &str, count: usize) -> Vec<Value> {
        let kind = format!("xconnector.{kind}.v1");
        let of_case = |reply: &Received| reply.key_text() == self.id && reply.header("ce_type") == Some(&kind);
        let there = async || {
            let all = read_all(self.office.kafka, self.office.copy.replies()).await?;
            let of: Vec<Value> = all.iter().filter(|reply| of_case(reply)).map(|reply| reply.json().unwrap()).collect();
            Ok((of.len() >= count).then_some(of))
        };
        match until(&format!("{count} {kind} of {}", self.id), DEADLINE, there).await {
            Ok(replies) => {
                assert_eq!(replies.len(), count, "{kind} of {}: {replies:?}", self.id);
                replies
            }
            Err(error) => panic!("{error:#}\n{}", self.office.log().await),
        }
    }

    /// How many replies of a kind there are now
    pub(super) async fn replies_now(&self, kind: &str) -> usize {
        let kind = format!("xconnector.{kind}.v1");
        let all = read_all(self.office.kafka, self.office.copy.replies()).await.unwrap();
        all.iter().filter(|reply| reply.key_text() == self.id && reply.header("ce_type") == Some(&kind)).count()
    }

    /// Whether no process of the case runs any more
    pub(super) async fn is_over(&self) -> bool {
        self.office.bench.engine.running(&self.definition, &self.business_key).await.unwrap().is_empty()
    }

    /// As [`Case::ends_as`], for the second process of one object: its outcome is the later one.
    pub(super) async fn second_ends_as(&self, name: &str) {
        let outcome = self.replies("outcome", 2).await.remove(1);
        self.is_as(name, &outcome);
    }

    /// Waits for the one outcome, and compares it with the flow's expected one of that name, field by field.
    pub(super) async fn ends_as(&self, name: &str) {
        let outcome = self.replies("outcome", 1).await.remove(0);
        self.is_as(name, &outcome);
    }

    fn is_as(&self, name: &str, outcome: &Value) {
        let file = repository().join(format!("flows/{}/expected/{name}.json", self.office.flow));
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut expected: Value = serde_json::from_str(&text.replace(self.example, &self.id)).unwrap();
        let tasks: Vec<&Value> = outcome["audit"].as_array().unwrap().iter().map(|entry| &entry["task"]).collect();
        let comments: Vec<&Value> =
            outcome["comments"].as_array().unwrap().iter().map(|entry| &entry["text"]).collect();
        let mut found = json!({
            "decision": outcome["decision"], "variables": outcome["variables"], "tasks": tasks, "comments": comments
        });
        // Tasks of parallel branches have no order.
        for tasks in [&mut expected["tasks"], &mut found["tasks"]] {
            tasks.as_array_mut().unwrap().sort_by_key(|task| task.as_str().map(str::to_owned));
        }
        let mut wrong = Vec::new();
        differences("", &expected, &found, &mut wrong);
        assert!(wrong.is_empty(), "{name}: {wrong:#?}");
    }
}

/// What of `expected` is not so; `"*"` stands for anything that is there.
fn differences(at: &str, expected: &Value, found: &Value, wrong: &mut Vec<String>) {
    match (expected, found) {
        (Value::String(any), found) if any == "*" && !found.is_null() => {}
        (Value::Object(expected), Value::Object(found)) => {
            for (name, expected) in expected {
                differences(&format!("{at}.{name}"), expected, found.get(name).unwrap_or(&Value::Null), wrong);
            }
            for name in found.keys().filter(|name| !expected.contains_key(*name)) {
                wrong.push(format!("{at}.{name} is not expected"));
            }
        }
        // An outcome holds records and lists as JSON text.
        (Value::Object(_) | Value::Array(_), Value::String(text)) => {
            differences(at, expected, &serde_json::from_str(text).unwrap_or_default(), wrong);
        }
        (expected, found) if numbers(expected, found) || expected == found => {}
        (expected, found) => wrong.push(format!("{at} is {found}, not {expected}")),
    }
}

/// Engines write whole numbers of a decimal variable as they like.
fn numbers(left: &Value, right: &Value) -> bool {
    left.is_number() && left.as_f64() == right.as_f64()
}
