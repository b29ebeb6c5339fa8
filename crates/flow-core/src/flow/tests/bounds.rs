//! A partition as a whole: when it begins, when it reads no further, and whom a system that is down holds up.

use super::*;

#[test]
fn a_partition_is_started_only_when_every_topic_holds_it() {
    let mut world = World::new(BTreeMap::new());
    let p = Partition::new(3);
    world.step(Input::Assigned(vec![(TopicId(0), p)]));
    assert!(!world.reading.contains(&p));
    world.step(Input::Assigned(vec![(TopicId(1), p)]));
    assert!(world.reading.contains(&p));
    world.step(Input::Revoked { partitions: vec![(TopicId(1), p)], within: Duration::ZERO });
    assert!(!world.reading.contains(&p));
    assert_eq!(world.released, 1);
}

#[test]
fn reaching_a_bound_pauses_that_partition_alone() {
    let (p, q) = (Partition::new(0), Partition::new(1));
    let log: Vec<_> = (0..30).map(|offset| (offset, 1, Plan::Command(Command::Start))).collect();
    let mut world = World::new(BTreeMap::from([((TopicId(0), p), log.clone()), ((TopicId(0), q), log)]));
    world.assign(p);
    world.assign(q);
    for _ in 0..20 {
        world.read(TopicId(0), p);
    }
    assert!(!world.reading.contains(&p), "paused at max_held");
    assert!(world.reading.contains(&q));
    for _ in 0..40 {
        world.finish(0, Answer::Done(()));
        world.commit(true);
        world.now = world.now + Duration::from_millis(20);
        world.step(Input::Tick);
    }
    assert!(world.reading.contains(&p), "reads again");
}

#[test]
fn a_system_that_is_down_holds_up_its_own_calls_and_nobody_elses() {
    let p = Partition::new(0);
    let system = EndpointId(1);
    let asks = |offset| (offset, offset as u8, Plan::Command(Command::Request { system }));
    let starts = |offset| (offset, offset as u8, Plan::Command(Command::Start));
    // More requests than the flow may have in flight, then starts behind them.
    let log = (0..6).map(asks).chain((6..9).map(starts)).collect();
    let mut world = World::new(BTreeMap::from([((TopicId(0), p), log)]));
    world.assign(p);
    for _ in 0..9 {
        world.read(TopicId(0), p);
    }
    while world.commit.is_some() {
        world.commit(true);
    }
    let of = |world: &World, call: Call| world.calls.iter().filter(|(_, _, under_way)| *under_way == call).count();
    assert_eq!((of(&world, Call::Request(system)), of(&world, Call::Act)), (4, 3), "each has places of its own");
    let down = || Answer::Failed(Failure { fault: Fault::Unsent, detail: "down".into(), retry_after: None });
    while world.notices.iter().all(|notice| !matches!(notice, Notice::GateClosed { .. })) {
        world.finish_call(&Call::Request(system), down());
        world.now = world.now + Duration::from_secs(2);
        world.step(Input::Tick);
    }
    let closed =
        world.notices.iter().any(|notice| matches!(notice, Notice::GateClosed { endpoint, .. } if *endpoint == system));
    assert!(closed, "{:?}", world.notices);
    assert!(world.endpoint.gate_is_open() && !world.system.gate_is_open());
    for _ in 0..3 {
        world.finish_call(&Call::Act, Answer::Done(()));
    }
    world.now = world.now + Duration::from_secs(1);
    world.step(Input::Tick);
    world.commit(true);
    assert_eq!(world.resolutions.len(), 3, "the starts are done meanwhile");
    world.step(Input::Probed(system, Ok(())));
    assert!(world.system.gate_is_open());
    assert!(of(&world, Call::Request(system)) > 0, "and the requests go on");
}
