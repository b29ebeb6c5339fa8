//! A flow at work: one engine, the emulated systems, one connector, and people at their worklists

use std::sync::atomic::{AtomicU32, Ordering};

use emulator::demo::differences;
use emulator::{System, SystemTopics, Systems};
use jiff::Timestamp;
use promises::{
    DEADLINE, FlowCopy, Instance, Kafka, Received, Sent, Signal, committed_lag, create_topic, produce, read_all,
    repository, system_table, unique, until,
};
use serde_json::Value;
use tokio::sync::Mutex;
use workflow_client::{CommentTarget, Fault, Start, Task, TaskFilter, Variable};

use crate::conformance::Subject;
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
    commands: String,
}

/// What is special about an office
#[derive(Default)]
struct Furniture<'a> {
    /// The system that is reached by Kafka
    by_kafka: Option<System>,
    /// Further lines of `[jobs]`
    jobs: &'a str,
    /// Further tables of the settings
    tables: &'a str,
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
        Office::open_with(flow, bench, &|flow| flow).await
    }

    /// The same with something different in the flow's file.
    pub(super) async fn open_with(flow: &'static str, bench: Bench, change: &dyn Fn(String) -> String) -> Office {
        Office::furnish(flow, bench, change, Furniture::default()).await
    }

    /// The same with further tables in the settings.
    pub(super) async fn open_with_settings(
        flow: &'static str,
        bench: Bench,
        change: &dyn Fn(String) -> String,
        tables: &str,
    ) -> Office {
        Office::furnish(flow, bench, change, Furniture { tables, ..Furniture::default() }).await
    }

    /// The same with jobs that are locked for no longer than a test may wait.
    pub(super) async fn open_with_short_locks(flow: &'static str, bench: Bench) -> Office {
        let bench = bench.with("request_timeout = \"20s\"");
        let furniture = Furniture { jobs: "lock_duration = \"21s\"", ..Furniture::default() };
        Office::furnish(flow, bench, &|flow| flow, furniture).await
    }

    /// The same with a system that is reached by Kafka, answers each command twice, and is given two seconds.
    pub(super) async fn open_over_kafka(flow: &'static str, bench: Bench, system: System) -> Office {
        Office::furnish(flow, bench, &|flow| flow, Furniture { by_kafka: Some(system), ..Furniture::default() }).await
    }

    async fn furnish(
        flow: &'static str,
        bench: Bench,
        change: &dyn Fn(String) -> String,
        Furniture { by_kafka, jobs, tables }: Furniture<'_>,
    ) -> Office {
        let (kafka, mut systems) = (Kafka::shared().await.unwrap(), Systems::start(&[]).await.unwrap());
        let [commands, replies] = [unique("commands"), unique("replies")];
        if let Some(system) = by_kafka {
            for topic in [&commands, &replies] {
                create_topic(kafka, topic, 3).await.unwrap();
            }
            let topics =
                SystemTopics { bootstrap_servers: kafka.bootstrap(), commands: &commands, replies: &replies, times: 2 };
            systems.listen(system, topics).unwrap();
        }
        let table = |system: &System| {
            if by_kafka != Some(*system) {
                return system_table(*system, &systems);
            }
            let name = system.name();
            format!(
                "[[system]]\nname = {name:?}\nrequest_timeout = \"2s\"\n[system.kafka]\ncommands = {commands:?}\nreplies = {replies:?}\n"
            )
        };
        let of_systems: String = System::ALL.iter().map(table).collect();
        let extra =
            format!("{}\n[jobs]\npoll_interval = \"100ms\"\n{jobs}\n{of_systems}{tables}", bench.engine_lines());
        let copy = FlowCopy::of(flow, kafka, &bench.settings, &extra, change).unwrap();
        let instance = Mutex::new(copy.started(2).await.unwrap());
        Office { bench, systems, kafka, flow, copy, instance, events: AtomicU32::new(0), commands }
    }

    /// A business object of its own, known to the examples by `example`. Its process is the flow's `definition`th.
    pub(super) fn case(&self, example: &'static str, definition: usize, business_key: &str) -> Case<'_> {
        let id = unique("C").replace('.', "-")[..14].to_owned();
        self.case_of(example, definition, business_key, id)
    }

    /// The same for an object that has its id from elsewhere.
    pub(super) fn case_of(&self, example: &'static str, definition: usize, business_key: &str, id: String) -> Case<'_> {
        let definition = self.copy.flow().definitions()[definition].to_owned();
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
        assert_eq!(self.letters_now().await, []);
    }

    /// The reason and the detail of each dead letter
    pub(super) async fn letters_now(&self) -> Vec<(String, String)> {
        let letters = read_all(self.kafka, &self.copy.flow().dead_letters()).await.unwrap();
        let text = |letter: &Received, name| letter.header(name).unwrap_or_default().to_owned();
        letters.iter().map(|letter| (text(letter, "xc-reason"), text(letter, "xc-detail"))).collect()
    }

    /// The same, once there are so many.
    pub(super) async fn letters(&self, count: usize) -> Vec<(String, String)> {
        let there = async || {
            let letters = self.letters_now().await;
            Ok((letters.len() >= count).then_some(letters))
        };
        let letters = until(&format!("{count} dead letters"), DEADLINE, there).await.unwrap();
        assert_eq!(letters.len(), count, "dead letters");
        letters
    }

    /// What the flow is called here
    pub(super) fn flow_name(&self) -> &str {
        self.copy.flow().name()
    }

    /// How many records of an instance lie on the jobs topic
    pub(super) async fn job_records_of(&self, instance: &str) -> usize {
        let all = read_all(self.kafka, &format!("xc.{}.jobs", self.flow_name())).await.unwrap();
        all.iter().filter(|record| record.key_text() == instance).count()
    }

    /// Waits until nothing on the jobs topic is open any more.
    pub(super) async fn jobs_are_done(&self) {
        let topics = [format!("xc.{}.jobs", self.flow_name())];
        let done = async || {
            let lag = committed_lag(self.kafka, &self.copy.group(), &topics).await?;
            Ok(lag.values().all(|behind| *behind == 0).then_some(()))
        };
        until("the end of all jobs", DEADLINE, done).await.unwrap();
    }

    /// Waits until a metric of the connector is at least so much.
    pub(super) async fn measured(&self, metric: &str, at_least: f64) {
        let mut instance = self.instance.lock().await;
        let metrics = instance.metrics;
        instance.connector.measured(metrics, metric, &[], |value| value >= at_least).await.unwrap();
    }

    /// Starts a process of the case's definition past the connector, lets somebody decide, and gives its instance.
    pub(super) async fn start_foreign(&self, case: &Case<'_>) -> String {
        let business_key = unique("foreign");
        let texts = [("priority", "normal"), ("team", "strangers"), ("decideWithin", "PT48H")];
        let variables = texts.map(|(name, value)| Variable::new(name, value));
        let start =
            Start { definition: &case.definition, business_key: &business_key, name: None, variables: &variables };
        let instance = self.bench.engine.start(&start).await.unwrap();
        let tasks = self.bench.engine.tasks(TaskFilter::Instance(&instance.id)).await.unwrap();
        let task = tasks.first().map(|task| task.id.clone()).unwrap();
        self.bench.engine.complete_task(&task, None, &[Variable::new("decision", "resolved")]).await.unwrap();
        instance.id
    }

    /// How many outcomes of an instance there are now
    pub(super) async fn outcomes_of(&self, instance: &str) -> usize {
        let all = read_all(self.kafka, self.copy.flow().replies()).await.unwrap();
        let of = |reply: &&Received| reply.json().is_ok_and(|body| body["process"]["instanceId"] == instance);
        all.iter().filter(of).filter(|reply| reply.header("ce_type") == Some("xconnector.outcome.v1")).count()
    }

    /// How many commands lie on the topic of the system that is reached by Kafka
    pub(super) async fn commands(&self) -> usize {
        read_all(self.kafka, &self.commands).await.unwrap().len()
    }

    /// The schemas that those commands name
    pub(super) async fn schemas_of_commands(&self) -> std::collections::BTreeSet<Option<String>> {
        let commands = read_all(self.kafka, &self.commands).await.unwrap();
        commands.iter().map(|command| command.header("ce_dataschema").map(str::to_owned)).collect()
    }

    /// Waits until so many requests of that kind took effect.
    pub(super) async fn took_effect(&self, system: System, operation: &str, count: usize) {
        let there = async || Ok((self.effects(system, operation).0 >= count).then_some(()));
        if let Err(error) = until(&format!("{count} {operation}"), DEADLINE, there).await {
            panic!("{error:#}\n{}", self.log().await);
        }
    }

    /// The connector is killed.
    pub(super) async fn kill(&self) {
        let mut instance = self.instance.lock().await;
        instance.connector.signal(Signal::Kill);
        instance.connector.wait(DEADLINE).await.unwrap();
    }

    /// Another connector takes its place.
    pub(super) async fn start_again(&self) {
        *self.instance.lock().await = self.copy.instance().await.unwrap();
    }

    pub(super) async fn logged(&self, text: &str) {
        self.instance.lock().await.connector.logged(text).await.unwrap();
    }

    pub(super) async fn log(&self) -> String {
        self.instance.lock().await.connector.log()
    }
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
        produce(self.office.kafka, self.office.copy.flow().source(), [Sent { key, value, headers, ..Sent::default() }])
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

    /// The process stands still, and its jobs are hidden, until it is activated.
    pub(super) async fn suspend(&self) {
        let running = self.running().await;
        Subject::over(self.office.bench.settings.clone(), None).suspend(&running).await;
    }

    pub(super) async fn activate(&self) {
        let running = self.running().await;
        Subject::over(self.office.bench.settings.clone(), None).activate(&running).await;
    }

    /// Waits until no job of the process is locked any more: nothing hands one out meanwhile.
    pub(super) async fn locks_end(&self) {
        let (jobs, id) = (format!("xc.{}.jobs", self.office.copy.flow().name()), self.running().await.id);
        let over = async || {
            let records = read_all(self.office.kafka, &jobs).await?;
            let records = records.iter().map(Received::json).collect::<Result<Vec<Value>, _>>()?;
            let own = records.iter().filter(|record| record["processInstanceId"] == *id);
            let ends = own.filter_map(|record| record["lockExpiresAt"].as_str()?.parse::<Timestamp>().ok());
            Ok(ends.max().is_some_and(|last| last < Timestamp::now()).then_some(()))
        };
        until(&format!("the end of the locks of {}", self.business_key), DEADLINE, over).await.unwrap();
    }

    async fn running(&self) -> workflow_client::Instance {
        self.office.bench.engine.running(&self.definition, &self.business_key).await.unwrap().remove(0)
    }

    /// The replies of a kind for this case, once there are so many.
    pub(super) async fn replies(&self, kind: &str, count: usize) -> Vec<Value> {
        let kind = format!("xconnector.{kind}.v1");
        let of_case = |reply: &Received| reply.key_text() == self.id && reply.header("ce_type") == Some(&kind);
        let there = async || {
            let all = read_all(self.office.kafka, self.office.copy.flow().replies()).await?;
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
        let all = read_all(self.office.kafka, self.office.copy.flow().replies()).await.unwrap();
        all.iter().filter(|reply| reply.key_text() == self.id && reply.header("ce_type") == Some(&kind)).count()
    }

    /// The one running process of the case
    pub(super) async fn instance(&self) -> String {
        let running = self.office.bench.engine.running(&self.definition, &self.business_key).await.unwrap();
        assert_eq!(running.len(), 1, "{}", self.business_key);
        running[0].id.clone()
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
        let expected: Value = serde_json::from_str(&text.replace(self.example, &self.id)).unwrap();
        let wrong = differences(&expected, outcome);
        assert!(wrong.is_empty(), "{name}: {wrong:#?}");
    }
}
