//! A partition as a whole: when it begins, and when it reads no further.

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
