//! The state machine without HTTP: time is an argument here.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::*;

struct World {
    engine: Engine,
    now: Timestamp,
}

impl World {
    fn new() -> Self {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut engine = Engine::new(Switches::default(), 1, now);
        engine.deploy(include_str!("../../../../flows/tickets/ticket_triage.bpmn")).unwrap();
        engine.deploy(include_str!("../../models/order.bpmn")).unwrap();
        engine.deploy(include_str!("../../models/parts.bpmn")).unwrap();
        Self { engine, now }
    }

    fn pass(&mut self, seconds: i64) {
        self.now = self.now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
        self.engine.advance(self.now);
    }

    fn ticket(&mut self, priority: &str) -> Arc<Instance> {
        let request = StartRequest {
            definition_key: Some("ticket_triage".into()),
            variables: vec![
                input("priority", json!(priority)),
                input("decideWithin", json!(if priority == "high" { "PT8H" } else { "PT48H" })),
                input("team", json!(["a", "b"])),
            ],
            ..StartRequest::default()
        };
        self.engine.start(request, &"tester".into(), self.now).unwrap()
    }

    fn part(&mut self, key: &str) -> Arc<Instance> {
        let request = StartRequest { definition_key: Some(key.into()), ..StartRequest::default() };
        self.engine.start(request, &"tester".into(), self.now).unwrap()
    }

    fn acquire(&mut self, topic: &str, seconds: i64) -> Option<Arc<str>> {
        let request = Acquire {
            topic: topic.into(),
            worker: "w".into(),
            lock_duration: jiff::Span::new().seconds(seconds),
            number: 1,
        };
        self.engine.acquire(&request, self.now).pop().map(|(_, id)| id)
    }

    fn current(&self, instance: &Instance) -> Arc<Instance> {
        self.engine.all().get(&instance.id).unwrap().clone()
    }
}

fn input(name: &str, value: Value) -> VariableInput {
    VariableInput { name: Some(name.into()), kind: None, value, scope: None, encryption: false }
}

fn open(instance: &Instance) -> Vec<&str> {
    instance.open_tasks().map(|t| &**instance.node_id(t.at)).collect()
}

#[test]
fn ids_are_unique_and_ascend_over_a_long_run() {
    let ids = Ids { run: 7, next: Arc::new(AtomicU64::new(1)) };
    let issued: Vec<Arc<str>> = (0..200_000).map(|_| ids.id()).collect();
    assert!(issued.is_sorted_by(|a, b| a < b));
}

#[test]
fn the_gateway_follows_the_priority() {
    let mut world = World::new();
    assert_eq!(open(&world.ticket("high")), ["urgentTriage"]);
    let normal = world.ticket("normal");
    assert_eq!(open(&normal), ["triage"]);
    assert_eq!(normal.tasks[0].candidate_groups, ["a", "b"]);
}

#[test]
fn timers_go_off_in_the_order_of_their_times_however_late_somebody_looks() {
    let mut world = World::new();
    let normal = world.ticket("normal");
    let high = world.ticket("high");
    world.pass(72 * 3600);
    let ended = |i: &Instance| i.tasks[0].end.as_ref().unwrap().time.duration_since(i.start_time).as_hours();
    assert_eq!(ended(&world.current(&high)), 8);
    assert_eq!(ended(&world.current(&normal)), 48);
    assert_eq!(open(&world.current(&high)), ["leadDecision"]);
    assert_eq!(world.current(&high).tasks[1].created, world.current(&high).tasks[0].end.as_ref().unwrap().time);
}

#[test]
fn a_completed_task_takes_its_timer_with_it() {
    let mut world = World::new();
    let ticket = world.ticket("high");
    let complete = TaskAction::Complete { outcome: Some("rejected".into()), variables: Vec::new() };
    world.engine.act_on_task(&ticket.tasks[0].id, complete, world.now).unwrap();
    world.pass(9 * 3600);
    assert!(open(&world.current(&ticket)).is_empty());
    assert_eq!(world.current(&ticket).tasks.len(), 1);
}

#[test]
fn a_step_that_fails_leaves_the_task_open() {
    let mut world = World::new();
    let request = StartRequest {
        message: Some("orderPlaced".into()),
        variables: vec![input("orderNumber", json!(1))],
        ..StartRequest::default()
    };
    // `region` is missing, which only the last step before `pack` needs.
    let order = world.engine.start(request, &"tester".into(), world.now).unwrap();
    let job = world.acquire("orders.pay", 60).unwrap();
    world.engine.throw_bpmn_error(&job, "w", "paymentRefused".into(), Vec::new(), world.now).unwrap();
    world.pass(3600);
    let task = world.current(&order).open_tasks().next().unwrap().id.clone();
    let complete = || TaskAction::Complete { outcome: None, variables: Vec::new() };
    let failed = world.engine.act_on_task(&task, complete(), world.now).unwrap_err();
    assert!(matches!(failed, EngineError::Internal(_)), "{failed}");
    assert_eq!(open(&world.current(&order)), ["clarify"]);
    world.engine.create_variables(&order.id, vec![input("region", json!("emea"))], world.now).unwrap();
    world.engine.act_on_task(&task, complete(), world.now).unwrap();
    assert_eq!(open(&world.current(&order)), ["pack"]);
}

#[test]
fn a_lock_ends_with_the_first_sweep_after_its_time() {
    let mut world = World::new();
    world.part("one_part");
    world.pass(10);
    let job = world.acquire("parts.one", 5).unwrap();
    for _ in 0..49 {
        world.pass(1);
        assert_eq!(world.acquire("parts.one", 5), None);
    }
    world.pass(1);
    assert_eq!(world.acquire("parts.one", 5), Some(job));
}

#[test]
fn an_ended_instance_leaves_no_trace_in_the_indices() {
    let mut world = World::new();
    let ticket = world.ticket("high");
    let part = world.part("one_part");
    world.engine.terminate(&ticket.id, None, world.now).unwrap();
    world.engine.terminate(&part.id, None, world.now).unwrap();
    assert!(world.engine.owner_of.is_empty());
    assert!(world.engine.acquirable.is_empty());
    assert_eq!(world.engine.running().len(), 0);
    assert_eq!(world.engine.all().len(), 2);
    let reason = world.current(&ticket).end.as_ref().unwrap().delete_reason.clone();
    assert_eq!(reason.as_deref(), Some("process instance deleted"));
}

#[test]
fn a_model_that_runs_in_a_circle_is_stopped() {
    let mut world = World::new();
    let model = r#"<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL"><process id="circle">
        <startEvent id="s"/><exclusiveGateway id="a"/><exclusiveGateway id="b"/>
        <sequenceFlow id="f1" sourceRef="s" targetRef="a"/><sequenceFlow id="f2" sourceRef="a" targetRef="b"/>
        <sequenceFlow id="f3" sourceRef="b" targetRef="a"/></process></definitions>"#;
    world.engine.deploy(model).unwrap();
    let request = StartRequest { definition_key: Some("circle".into()), ..StartRequest::default() };
    let error = world.engine.start(request, &"tester".into(), world.now).unwrap_err();
    assert!(error.to_string().contains("circle"), "{error}");
    assert_eq!(world.engine.all().len(), 0);
}
