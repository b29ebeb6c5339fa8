//! Records that keep failing: their keys in quarantine, and the storm guard.

use super::*;
use crate::storm_guard::Storm;

const P: Partition = Partition::new(0);
const MINUTE: Duration = Duration::from_secs(60);
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);

fn world(log: Vec<(i64, u8, Plan)>, settings: Settings) -> World {
    let mut world = World::of(BTreeMap::from([((TopicId(0), P), log)]), settings);
    world.assign(P);
    // The start position is written first.
    world.commit(true);
    world
}

fn quarantining() -> Settings {
    Settings { max_in_flight: 32, on_exhausted: OnExhausted::QuarantineKey, ..settings() }
}

fn start() -> Plan {
    Plan::Command(Command::Start)
}

impl World {
    fn read_all(&mut self, count: usize) {
        (0..count).for_each(|_| self.read(TopicId(0), P));
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.step(Input::Tick);
    }

    /// Answers every call of the record until it is given up; what else is under way waits.
    fn fails_until_given_up(&mut self, offset: i64) {
        for _ in 0..200 {
            if let Some(index) = self.calls.iter().position(|(_, work, _)| work.2 == offset) {
                let failure = Failure { fault: Fault::EngineError, detail: "said no".into(), retry_after: None };
                let look = matches!(self.calls[index].2, Call::Look(_));
                let answer = if look { Answer::Absent } else { Answer::Failed(failure) };
                self.finish(index, answer);
            }
            if self.is_dead(offset) {
                return;
            }
            self.pass(Duration::from_secs(1));
            self.commit(true);
        }
        panic!("{offset} was not given up: {:?}", self.calls);
    }

    fn is_dead(&self, offset: i64) -> bool {
        self.reason(offset).is_some()
    }

    fn reason(&self, of: i64) -> Option<Reason> {
        self.notices.iter().find_map(|notice| {
            let Notice::DeadLettered { at: (_, _, offset), reason, .. } = notice else { return None };
            (offset.get() == of).then(|| reason.clone())
        })
    }

    fn calls_for(&self, offset: i64) -> bool {
        self.calls.iter().any(|(_, work, _)| work.2 == offset)
    }

    fn storms(&self) -> Vec<Storm> {
        let storm = |notice: &Notice| if let Notice::Storm { why, .. } = notice { Some(*why) } else { None };
        self.notices.iter().filter_map(storm).collect()
    }
}

#[test]
fn later_records_of_a_key_that_was_given_up_follow_it_also_at_the_next_owner() {
    let log = vec![(0, 1, start()), (1, 1, start()), (2, 2, start()), (3, 1, start())];
    let mut world = world(log, quarantining());
    world.read_all(3);
    world.fails_until_given_up(0);
    assert!(world.reason(1).is_none(), "not before the first is committed");
    world.pass(Duration::from_secs(1));
    world.commit(true);
    assert_eq!(world.reason(1), Some(Reason::QUARANTINED));
    assert!(world.calls_for(2), "other keys go on");
    world.commit(true);
    world.revoke(P);
    world.assign(P);
    world.read_all(1);
    assert_eq!(world.reason(3), Some(Reason::QUARANTINED));
    assert_eq!(world.flow.partitions()[0].quarantined, 1);
}

#[test]
fn the_last_letter_that_comes_back_lifts_it_in_its_own_transaction() {
    let settings = Settings { replay: Some(TopicId(1)), ..quarantining() };
    let mut world = world(vec![(0, 1, start()), (1, 1, start()), (2, 1, start())], settings);
    world.read_all(2);
    world.fails_until_given_up(0);
    world.commit(true);
    world.pass(MINUTE);
    world.commit(true);
    assert_eq!(world.quarantined.values().map(|entry| entry.waiting()).collect::<Vec<_>>(), [2]);
    world.logs.insert((TopicId(1), P), vec![(0, 1, start()), (1, 1, start())]);
    for offset in 0..2 {
        let letter = Letter { place: (TopicId(0), Offset::new(offset)), number: Some(offset as u64) };
        world.letters.insert((TopicId(1), offset), letter);
        world.read(TopicId(1), P);
    }
    // A new one behind what comes back.
    world.read_all(1);
    world.last_effect.clear();
    for _ in 0..2 {
        assert!(world.reason(2).is_none());
        assert!(matches!(world.calls.as_slice(), [(_, (TopicId(1), ..), Call::Look(_))]), "{:?}", world.calls);
        world.finish(0, Answer::Done(()));
    }
    assert!(matches!(world.calls.as_slice(), [(_, (TopicId(0), _, 2, _), Call::Act)]), "{:?}", world.calls);
    assert_eq!(world.quarantined.len(), 1, "not yet committed");
    world.pass(MINUTE);
    world.commit(true);
    assert_eq!(world.quarantined.len(), 0);
}

#[test]
fn a_run_of_bad_records_stops_the_flow_and_no_time_passes_for_the_others() {
    let reject = || Plan::Reject(Reason::LIMIT, "too long".into());
    let mut log: Vec<_> = (0..6).map(|offset| (offset, offset as u8, reject())).collect();
    log.insert(0, (-1, 9, start()));
    let log = log.into_iter().map(|(offset, key, plan)| (offset + 1, key, plan)).collect();
    let storm = StormPolicy { run: 4, ..settings().storm };
    let mut world = world(log, Settings { storm, ..settings() });
    world.read_all(1);
    world.finish(0, Answer::Failed(Failure { fault: Fault::Conflict, detail: "busy".into(), retry_after: None }));
    world.read_all(6);
    assert_eq!(world.storms(), [Storm::Run]);
    assert_eq!((1..7).filter(|offset| world.is_dead(*offset)).count(), 4, "what comes after the storm waits");
    assert!(world.flow.storm_guard_is_tripped());
    world.pass(Duration::from_secs(200));
    world.commit(true);
    assert!(world.calls.is_empty(), "nothing leaves: {:?}", world.calls);
    world.step(Input::GuardReset);
    world.commit(true);
    assert!(world.calls_for(0), "it was not given up meanwhile");
    assert_eq!((1..7).filter(|offset| world.is_dead(*offset)).count(), 6);
}

#[test]
fn one_record_is_tried_after_a_time_and_what_it_meets_decides() {
    let log = (0..6).map(|offset| (offset, offset as u8, start())).collect();
    let storm = StormPolicy { run: 2, ..settings().storm };
    let mut world = world(log, Settings { storm, ..settings() });
    let refused = || Answer::Failed(Failure { fault: Fault::Refused, detail: "no".into(), retry_after: None });
    world.read_all(2);
    world.finish(0, refused());
    world.finish(0, refused());
    assert_eq!(world.storms(), [Storm::Run]);
    world.read_all(4);
    world.commit(true);
    assert!(world.calls.is_empty());
    for answer in [refused(), Answer::Done(())] {
        world.pass(5 * MINUTE);
        world.commit(true);
        world.pass(Duration::from_millis(1));
        assert_eq!(world.calls.len(), 1, "one is tried");
        assert!(world.flow.storm_guard_is_tripped());
        world.finish(0, answer);
    }
    assert!(!world.flow.storm_guard_is_tripped());
    world.commit(true);
    assert_eq!(world.calls.len(), 2, "the others go");
}

#[test]
fn where_no_further_key_may_be_quarantined_the_flow_stops_and_nothing_is_given_up() {
    let log = (0..3).map(|offset| (offset, offset as u8, start())).collect();
    let mut world = world(log, Settings { replay: Some(TopicId(1)), ..quarantining() });
    world.read_all(3);
    world.fails_until_given_up(0);
    world.fails_until_given_up(1);
    world.commit(true);
    for _ in 0..3 * GIVE_UP_AFTER.as_secs() {
        while let Some(index) = world.calls.iter().position(|(_, work, _)| work.2 == 2) {
            let failure = Failure { fault: Fault::EngineError, detail: "no".into(), retry_after: None };
            let look = matches!(world.calls[index].2, Call::Look(_));
            world.finish(index, if look { Answer::Absent } else { Answer::Failed(failure) });
        }
        world.pass(Duration::from_secs(1));
        world.commit(true);
    }
    assert_eq!(world.storms(), [Storm::QuarantineFull]);
    assert!(world.reason(2).is_none(), "it is tried again when the storm is over");
    assert!(world.calls.is_empty(), "{:?}", world.calls);
    // An operator puts one of the others aside.
    let letter = Letter { place: (TopicId(0), Offset::new(0)), number: Some(0) };
    world.letters.insert((TopicId(1), 0), letter);
    world.logs.insert((TopicId(1), P), vec![(0, 0, Plan::Discard)]);
    world.read(TopicId(1), P);
    world.commit(true);
    world.pass(Duration::from_millis(1));
    assert!(!world.flow.storm_guard_is_tripped() && world.calls_for(2));
}
