//! What the simulation found in the flow, each as small as it goes.

use super::*;

fn world(log: Vec<(i64, u8, Plan)>) -> (World, Partition) {
    let p = Partition::new(0);
    let logs = BTreeMap::from([((TopicId(0), p), log)]);
    let mut world = World::of(logs, Settings { max_in_flight: 32, max_batch: 32, ..settings() });
    world.assign(p);
    // The start position is written first.
    world.commit(true);
    (world, p)
}

#[test]
fn a_paused_partition_reads_again_when_completions_make_room() {
    let log = (0..12).map(|offset| (offset, offset as u8, Plan::Command(Command::Publish))).collect();
    let (mut world, p) = world(log);
    for _ in 0..10 {
        world.read(TopicId(0), p);
    }
    assert!(!world.reading.contains(&p), "paused at max_held");
    for _ in 0..10 {
        world.finish(0, Answer::Done(()));
    }
    world.commit(true);
    assert_eq!(world.calls.len(), 10, "ten jobs to complete");
    assert!(!world.reading.contains(&p), "they are held until they are completed");
    for _ in 0..10 {
        world.finish(0, Answer::Done(()));
    }
    assert!(world.reading.contains(&p));
}

#[test]
fn a_verdict_without_effect_holds_its_key_until_it_is_committed() {
    let message = Plan::Command(Command::Message { hold_for: Duration::ZERO });
    let (mut world, p) = world(vec![(0, 1, message), (1, 1, Plan::Command(Command::Start))]);
    world.read(TopicId(0), p);
    world.read(TopicId(0), p);
    assert_eq!(world.calls.len(), 1);
    // After a crash before the commit the message would be redone, and might find an instance then.
    world.finish(0, Answer::NoInstance(()));
    world.now = world.now + Duration::from_secs(1);
    world.step(Input::Tick);
    assert!(world.calls.is_empty(), "the start waits: {:?}", world.calls);
    world.commit(true);
    assert!(matches!(world.calls.as_slice(), [(_, _, Call::Act)]), "{:?}", world.calls);
}

#[test]
fn a_failed_batch_of_which_nothing_is_left_does_not_wake_the_driver_for_ever() {
    let mut gathering = Gathering::<Work, ()>::new(5, Duration::from_millis(20));
    let mut now = Moment::ORIGIN;
    gathering.put_back(now, Duration::from_millis(50), Vec::new(), false);
    let Some(deadline) = gathering.deadline() else { panic!("a try again is planned") };
    now = deadline;
    assert!(gathering.close(now, false, false).is_none());
    assert_eq!(gathering.deadline(), None);
}

#[test]
fn a_start_that_is_answered_after_the_loss_is_counted_after_its_answer() {
    let (mut world, p) = world(vec![(0, 1, Plan::Command(Command::Start))]);
    world.read(TopicId(0), p);
    assert!(matches!(world.calls.as_slice(), [(_, _, Call::Act)]), "{:?}", world.calls);
    world.step(Input::Lost((0..TOPICS).map(|t| (TopicId(t), p)).collect()));
    // A frozen process wakes: the count that the loss asked for is due before the late send has landed.
    world.now = world.now + Duration::from_secs(60);
    world.step(Input::Tick);
    let counts = |world: &World| world.calls.iter().filter(|(_, _, call)| matches!(call, Call::Count(_))).count();
    assert_eq!(counts(&world), 1);
    let act = world.calls.iter().position(|(_, _, call)| *call == Call::Act).unwrap();
    world.finish(act, Answer::Done(()));
    world.now = world.now + Duration::from_secs(3);
    world.step(Input::Tick);
    assert_eq!(counts(&world), 2, "what the answer tells of is counted too");
}

#[test]
fn one_transaction_leases_the_way_to_a_record_far_behind_one_that_waits() {
    let start = Plan::Command(Command::Start);
    let (mut world, p) = world(vec![(0, 1, start.clone()), (5_000, 2, start)]);
    world.read(TopicId(0), p);
    world.commit(true);
    assert_eq!(world.calls.len(), 1, "the first is begun, and stays open");
    world.read(TopicId(0), p);
    world.commit(true);
    assert_eq!(world.calls.len(), 2, "the lease reaches the second: {:?}", world.commit);
    assert!(world.commit.is_none(), "and nothing is left to write");
}
