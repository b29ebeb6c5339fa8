//! Several flows at one endpoint: who may call, who waits, and who is woken.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::fate::Fault;
use crate::retry::RetryPolicy;

const MAX: usize = 24;

fn policy() -> EndpointPolicy {
    let probe = RetryPolicy { initial: Duration::from_secs(1), max: Duration::from_secs(10) };
    let gate = GatePolicy { trip_after: 3, probe };
    EndpointPolicy { min_in_flight: MAX, max_in_flight: MAX, max_per_second: None, gate }
}

/// Flows that do nothing but call.
struct Flows {
    endpoint: Endpoint,
    now: Moment,
    flows: Vec<Caller>,
    dice: Dice,
}

struct Caller {
    seat: Seat,
    waiting: usize,
    permits: VecDeque<Permit>,
    /// A `Tick` is on its way to it.
    woken: bool,
    calls: usize,
}

impl Flows {
    fn new(policy: EndpointPolicy, weights: &[u32]) -> Flows {
        let mut endpoint = Endpoint::new(policy);
        let caller = |weight: &u32| {
            let seat = endpoint.join(*weight);
            Caller { seat, waiting: 0, permits: VecDeque::new(), woken: false, calls: 0 }
        };
        let flows = weights.iter().map(caller).collect();
        Flows { endpoint, now: Moment::ORIGIN, flows, dice: Dice::seeded(1) }
    }

    /// The end of a flow's step.
    fn step(&mut self, flow: usize) {
        let Flows { endpoint, flows, now, .. } = self;
        let caller = &mut flows[flow];
        endpoint.advance(*now);
        endpoint.poll(caller.seat);
        while caller.waiting > 0 && endpoint.may_call(caller.seat) {
            caller.permits.push_back(endpoint.call(caller.seat, &Call::Act));
            (caller.waiting, caller.calls) = (caller.waiting - 1, caller.calls + 1);
        }
        endpoint.wants(caller.seat, caller.waiting);
        let woken: Vec<Seat> = endpoint.wakes(caller.seat).collect();
        for flow in flows.iter_mut().filter(|flow| woken.contains(&flow.seat)) {
            flow.woken = true;
        }
    }

    fn asks(&mut self, flow: usize, calls: usize) {
        self.flows[flow].waiting += calls;
        self.step(flow);
    }

    fn answered(&mut self, flow: usize, answer: Answer<()>) {
        if let Some(permit) = self.flows[flow].permits.pop_front() {
            self.endpoint.advance(self.now);
            self.endpoint.answered(self.flows[flow].seat, permit, &answer);
            self.step(flow);
        }
    }

    /// Everybody who was woken steps, in any order.
    fn settle(&mut self) {
        while let Some(flow) = self.flows.iter().position(|flow| flow.woken) {
            self.flows[flow].woken = false;
            self.step(flow);
        }
    }

    fn in_flight(&self) -> Vec<usize> {
        self.flows.iter().map(|flow| flow.permits.len()).collect()
    }
}

fn failed(fault: Fault, retry_after: Option<Duration>) -> Failure {
    Failure { fault, detail: "said no".into(), retry_after }
}

#[test]
fn a_flow_alone_gets_everything_and_gives_up_what_others_are_due() {
    let mut flows = Flows::new(policy(), &[1, 2]);
    flows.asks(0, 1_000);
    assert_eq!(flows.in_flight(), [MAX, 0]);
    flows.asks(1, 1_000);
    for _ in 0..MAX * 4 {
        flows.answered(0, Answer::Done(()));
        flows.settle();
    }
    assert_eq!(flows.in_flight(), [8, 16], "by weight");
    flows.flows[1].waiting = 0;
    flows.step(1);
    for _ in 0..16 {
        flows.answered(1, Answer::Done(()));
        flows.settle();
    }
    assert_eq!(flows.in_flight(), [MAX, 0], "an idle flow's share is used by others");
}

#[test]
fn with_fewer_permits_than_flows_they_take_turns() {
    let one = EndpointPolicy { min_in_flight: 1, max_in_flight: 1, ..policy() };
    let mut flows = Flows::new(one, &[1, 1, 1, 3]);
    for flow in 0..4 {
        flows.asks(flow, 1_000);
    }
    for _ in 0..600 {
        let flow = flows.in_flight().iter().position(|calls| *calls == 1).expect("one is under way");
        flows.answered(flow, Answer::Done(()));
        flows.settle();
    }
    let calls: Vec<usize> = flows.flows.iter().map(|flow| flow.calls).collect();
    assert!(calls[..3].iter().all(|calls| (99..=101).contains(calls)), "{calls:?}");
    assert!((299..=301).contains(&calls[3]), "three times the weight: {calls:?}");
}

#[test]
fn what_one_flow_hears_holds_for_all_and_one_of_them_probes() {
    let mut flows = Flows::new(policy(), &[1, 1]);
    flows.endpoint.gate.refused(flows.now, &mut flows.dice);
    flows.asks(0, 5);
    flows.asks(1, 5);
    assert_eq!(flows.in_flight(), [0, 0]);
    let due = flows.endpoint.deadline(flows.flows[0].seat).expect("a probe is planned");
    flows.now = due;
    flows.endpoint.advance(due);
    let [a, b] = [flows.flows[0].seat, flows.flows[1].seat];
    assert_eq!(flows.endpoint.poll(b), Polled::ProbeDue);
    assert_eq!(flows.endpoint.poll(a), Polled::Nothing, "one probe at a time");
    flows.step(0);
    // Whoever probes goes away: the other takes over.
    flows.endpoint.leave(b);
    assert_eq!(flows.endpoint.wakes(b).collect::<Vec<_>>(), [a]);
    assert_eq!(flows.endpoint.poll(a), Polled::ProbeDue);
    let refusal = failed(Fault::Forbidden, None);
    assert!(matches!(flows.endpoint.probed(&Err(refusal), &mut flows.dice), Probed::Failed(_)));
    assert!(matches!(flows.endpoint.probed(&Ok(()), &mut flows.dice), Probed::Opened(_)));
    flows.step(0);
    assert_eq!(flows.in_flight()[0], 5);
}

#[test]
fn whoever_leaves_gives_back_what_it_holds() {
    let mut flows = Flows::new(policy(), &[1, 1]);
    flows.asks(0, MAX);
    flows.asks(1, 3);
    flows.endpoint.leave(flows.flows[0].seat);
    assert_eq!(flows.endpoint.wakes(flows.flows[0].seat).count(), 1);
    flows.step(1);
    assert_eq!((flows.in_flight()[1], flows.endpoint.view().in_flight), (3, 3));
}

#[test]
fn an_outage_ends_with_few_calls() {
    let wide = EndpointPolicy { min_in_flight: 1, max_in_flight: 800, ..policy() };
    let mut flows = Flows::new(wide, &[1]);
    assert_eq!(flows.endpoint.view().limit, 100);
    flows.asks(0, 10_000);
    for _ in 0..60 {
        flows.now = flows.now + Duration::from_millis(10);
        (0..60).for_each(|_| flows.answered(0, Answer::Done(())));
    }
    assert_eq!(flows.endpoint.view().limit, 800);
    for _ in 0..3 {
        flows.endpoint.gate.failed(flows.now, None, &mut flows.dice);
    }
    assert_eq!(flows.endpoint.view().closed, Some(Closed::Failing));
    assert!(matches!(flows.endpoint.probed(&Ok(()), &mut flows.dice), Probed::Opened(_)));
    assert_eq!(flows.endpoint.view().limit, 100);
}

#[derive(Clone, Copy, Debug)]
enum Happens {
    Asks(usize, usize),
    GivesUp(usize),
    Answered(usize),
    RateLimited(usize),
    Passes(u64),
}

fn anything() -> impl Strategy<Value = Happens> {
    prop_oneof![
        4 => (0usize..4, 1usize..40).prop_map(|(flow, calls)| Happens::Asks(flow, calls)),
        1 => (0usize..4).prop_map(Happens::GivesUp),
        8 => (0usize..4).prop_map(Happens::Answered),
        1 => (0usize..4).prop_map(Happens::RateLimited),
        3 => (0u64..400).prop_map(Happens::Passes),
    ]
}

proptest! {
    /// Never more in flight than the limit; and once everybody who is woken has stepped, and deadlines have passed, nobody waits
    /// while there is room: no wake-up is lost.
    #[test]
    fn nobody_waits_for_nothing(
        weights in prop::collection::vec(1u32..5, 4),
        rate in prop_oneof![Just(None), (1u32..500).prop_map(NonZeroU32::new)],
        happens in prop::collection::vec(anything(), 0..200),
    ) {
        let policy = EndpointPolicy { min_in_flight: 2, max_per_second: rate, ..policy() };
        let mut flows = Flows::new(policy, &weights);
        for happened in happens {
            let before = flows.endpoint.view();
            match happened {
                Happens::Asks(flow, calls) => flows.asks(flow, calls),
                Happens::GivesUp(flow) => {
                    flows.flows[flow].waiting = 0;
                    flows.step(flow);
                }
                Happens::Answered(flow) => flows.answered(flow, Answer::Done(())),
                Happens::RateLimited(flow) => {
                    flows.answered(flow, Answer::Failed(failed(Fault::RateLimited, None)));
                }
                Happens::Passes(ms) => flows.now = flows.now + Duration::from_millis(ms),
            }
            flows.settle();
            let view = flows.endpoint.view();
            let sum: usize = flows.in_flight().iter().sum();
            prop_assert_eq!(view.in_flight, sum);
            prop_assert!(sum <= view.limit.max(before.in_flight), "{} of {}", sum, view.limit);
            if rate.is_none() && flows.flows.iter().any(|flow| flow.waiting > 0) {
                prop_assert!(sum >= view.limit, "{} of {} while somebody waits", sum, view.limit);
            }
        }
        // Left alone, everything that waits gets its call: by an answer, or by its own deadline.
        for _ in 0..20_000 {
            if flows.flows.iter().all(|flow| flow.waiting == 0) {
                break;
            }
            match flows.in_flight().iter().position(|calls| *calls > 0) {
                Some(flow) => flows.answered(flow, Answer::Done(())),
                None => {
                    let waiting = flows.flows.iter().enumerate().filter(|(_, flow)| flow.waiting > 0);
                    let due = waiting.filter_map(|(flow, caller)| Some((flows.endpoint.deadline(caller.seat)?, flow)));
                    let Some((due, flow)) = due.min() else { panic!("somebody waits and nobody will wake them") };
                    flows.now = flows.now.max(due);
                    flows.step(flow);
                }
            }
            flows.settle();
        }
        prop_assert!(flows.flows.iter().all(|flow| flow.waiting == 0));
    }
}
