//! The limiter against models of an engine, and against anything at all.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proptest::prelude::*;

use super::*;
use crate::retry::Dice;

const MAX: usize = 256;
const MIN: usize = 4;

/// How an engine answers: a call takes `latency`, and one more when `servers` are busy waits for its turn.
#[derive(Clone, Copy)]
struct Engine {
    latency: Duration,
    servers: usize,
    service: Duration,
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A limiter that drives an engine as hard as it allows.
struct Loop {
    limiter: Limiter,
    now: Moment,
    /// When each server is free.
    servers: Vec<Moment>,
    flight: BinaryHeap<Reverse<(Moment, Moment, u64)>>,
    sent: u64,
    dice: Dice,
}

impl Loop {
    fn new() -> Loop {
        let limiter = Limiter::new(MIN, MAX);
        let (servers, flight) = (Vec::new(), BinaryHeap::new());
        Loop { limiter, now: Moment::ORIGIN, servers, flight, sent: 0, dice: Dice::seeded(5) }
    }

    /// Runs for so long; how many calls were served.
    fn run(&mut self, engine: Engine, length: Duration, fails: impl Fn(u64) -> Sample) -> u64 {
        let until = self.now + length;
        self.servers.resize(engine.servers, self.now);
        let mut served = 0;
        while self.now < until {
            while self.flight.len() < self.limiter.limit() {
                let free = self.servers.iter_mut().min().expect("a server");
                *free = self.now.max(*free) + engine.service;
                // Latency varies by a fifth.
                let latency = engine.latency.mul_f64(0.9 + 0.2 * self.dice.fraction());
                self.sent += 1;
                self.flight.push(Reverse((*free + latency, self.now, self.sent)));
                self.limiter.left(self.flight.len());
            }
            self.limiter.is_short();
            let Some(Reverse((answered, sent, number))) = self.flight.pop() else { break };
            self.now = answered.max(self.now);
            let sample = fails(number);
            served += u64::from(sample == Sample::Served);
            self.limiter.answered(self.now, sent, sample);
        }
        served
    }
}

fn well(_: u64) -> Sample {
    Sample::Served
}

/// The benchmark's engines: nothing but its latency, on a machine that does so many calls a second for everything.
#[test]
fn constant_latency_gets_every_call_that_is_allowed_and_keeps_it() {
    for (latency, per_second) in
        [(0, 30_000), (0, 8_000), (0, 3_000), (10, 16_000), (10, 6_000), (50, 5_000), (1_000, 2_000)]
    {
        let service = Duration::from_secs(1) / per_second;
        let engine = Engine { latency: ms(latency), servers: 1, service };
        let mut l = Loop::new();
        l.run(engine, ms(600 + 6 * latency), well);
        assert_eq!(l.limiter.limit(), MAX, "{latency} ms: reached");
        for _ in 0..150 {
            l.run(engine, ms(100), well);
            assert_eq!(l.limiter.limit(), MAX, "{latency} ms, {per_second}/s: kept");
        }
    }
}

#[test]
fn a_hiccup_of_the_machine_costs_nothing() {
    let engine = Engine { latency: ms(10), servers: 1, service: Duration::from_micros(60) };
    let mut l = Loop::new();
    l.run(engine, ms(3_000), well);
    for _ in 0..20 {
        for server in &mut l.servers {
            *server = l.now.max(*server) + ms(400);
        }
        l.run(engine, ms(2_000), well);
        assert_eq!(l.limiter.limit(), MAX);
    }
}

#[test]
fn queueing_is_cut_to_what_keeps_the_engine_busy() {
    let engine = Engine { latency: ms(5), servers: 1, service: ms(5) };
    let mut l = Loop::new();
    // Its floor is known from quieter times.
    l.limiter.floor = Some(ms(10));
    l.run(engine, ms(20_000), well);
    for _ in 0..100 {
        let served = l.run(engine, ms(1_000), well);
        assert!(served >= 190, "{served} of 200 calls a second");
        let limit = l.limiter.limit();
        assert!((MIN..=64).contains(&limit), "{limit} calls queue for one server");
    }
}

#[test]
fn an_engine_that_is_slower_by_itself_is_not_starved() {
    let mut l = Loop::new();
    let quick = Engine { latency: ms(10), servers: 1, service: Duration::from_micros(60) };
    l.run(quick, ms(3_000), well);
    let slow = Engine { latency: ms(700), ..quick };
    l.run(slow, ms(20_000), well);
    let mut least = MAX;
    for _ in 0..60 {
        l.run(slow, ms(1_000), well);
        least = least.min(l.limiter.limit());
    }
    assert!(least > MAX / 2, "{least}");
}

#[test]
fn refusals_and_failures_cut_it_once_for_what_was_in_flight_and_it_comes_back() {
    let engine = Engine { latency: ms(20), servers: 64, service: ms(1) };
    for bad in [Sample::RateLimited, Sample::Failed] {
        let mut l = Loop::new();
        l.run(engine, ms(3_000), well);
        assert_eq!(l.limiter.limit(), MAX);
        // Everything that is in flight now fails.
        let last = l.sent;
        l.run(engine, ms(150), |number| if number <= last { bad } else { Sample::Served });
        let once = (MAX as f64 * AFTER_FAILURES) as usize;
        assert!((once..=once + 32).contains(&l.limiter.limit()), "{bad:?}: {}", l.limiter.limit());
        l.run(engine, ms(5_000), |_| bad);
        assert_eq!(l.limiter.limit(), MIN, "{bad:?}");
        l.run(engine, ms(8_000), well);
        assert_eq!(l.limiter.limit(), MAX, "{bad:?}: back");
    }
}

#[test]
fn a_few_failures_among_many_answers_cut_nothing() {
    let engine = Engine { latency: ms(20), servers: 64, service: ms(1) };
    let mut l = Loop::new();
    l.run(engine, ms(3_000), well);
    l.run(engine, ms(10_000), |number| if number.is_multiple_of(50) { Sample::Failed } else { Sample::Served });
    assert_eq!(l.limiter.limit(), MAX);
}

#[test]
fn after_an_outage_it_begins_as_at_the_start() {
    let engine = Engine { latency: ms(20), servers: 64, service: ms(1) };
    let mut l = Loop::new();
    l.run(engine, ms(3_000), well);
    l.limiter.restart(l.now);
    assert_eq!(l.limiter.limit(), MAX / 8);
    l.run(engine, ms(1_000), well);
    assert_eq!(l.limiter.limit(), MAX);
}

#[derive(Clone, Copy, Debug)]
enum Happens {
    Left(usize),
    Short,
    Restart,
    Answered { took: u64, sample: Sample },
    Passes(u64),
}

fn anything() -> impl Strategy<Value = Happens> {
    let sample = prop_oneof![
        4 => Just(Sample::Served),
        1 => Just(Sample::Other),
        1 => Just(Sample::Failed),
        1 => Just(Sample::RateLimited)
    ];
    prop_oneof![
        2 => (0usize..2_000).prop_map(Happens::Left),
        1 => Just(Happens::Short),
        1 => Just(Happens::Restart),
        12 => (0u64..100_000, sample).prop_map(|(took, sample)| Happens::Answered { took, sample }),
        3 => (0u64..5_000).prop_map(Happens::Passes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever happens, the limit stays inside its bounds; and when the faults end, it comes back to the maximum, however long
    /// calls take then.
    #[test]
    fn it_stays_inside_its_bounds_and_recovers(
        min in 0usize..20,
        more in 0usize..300,
        happens in prop::collection::vec(anything(), 0..400),
        latency in 100u64..3_000,
    ) {
        let (least, most) = (min.max(1), (min + more).max(1));
        let mut l = Loop { limiter: Limiter::new(min, min + more), ..Loop::new() };
        for happened in happens {
            match happened {
                Happens::Left(in_flight) => l.limiter.left(in_flight),
                Happens::Short => l.limiter.is_short(),
                Happens::Restart => l.limiter.restart(l.now),
                Happens::Answered { took, sample } => {
                    let sent = Moment::after_origin(l.now.since(Moment::ORIGIN).saturating_sub(ms(took)));
                    l.limiter.answered(l.now, sent, sample);
                }
                Happens::Passes(time) => l.now = l.now + ms(time),
            }
            prop_assert!((least..=most).contains(&l.limiter.limit()), "{} of {least} to {most}", l.limiter.limit());
        }
        let engine = Engine { latency: ms(latency), servers: 1, service: Duration::ZERO };
        l.run(engine, ms(4_000 + latency * 60), well);
        prop_assert_eq!(l.limiter.limit(), most);
    }
}
