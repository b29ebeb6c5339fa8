use std::time::Duration;

use super::*;
use crate::gate::GatePolicy;
use crate::input::EndpointId;
use crate::storm_guard::{StormGuard, StormPolicy};

#[path = "tests/requests.rs"]
mod requests;

const SETTLE: Duration = Duration::from_secs(60);
const LAG: Duration = Duration::from_secs(5);

struct Bench {
    gate: Gate,
    dice: Dice,
    now: Moment,
    protocol: Protocol,
    storm: StormGuard,
    follows: bool,
}

impl Bench {
    fn of(command: Command) -> Bench {
        let probe = RetryPolicy { initial: Duration::from_secs(1), max: Duration::from_secs(10) };
        let gate = Gate::new(GatePolicy { trip_after: 100, probe });
        let policy = StormPolicy { run: 9, window: 9, percent: 100, failing_after: SETTLE, trial_after: None };
        let (protocol, storm) = (Protocol::fresh(command), StormGuard::new(policy));
        Bench { gate, dice: Dice::seeded(3), now: Moment::ORIGIN, protocol, storm, follows: false }
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.gate.advance(self.now);
        self.storm.advance([self.gate.healthy()], false);
    }

    fn answer(&mut self, call: Call, answer: Answer<u8>) -> Next<u8> {
        let retry = RetryPolicy { initial: Duration::from_millis(10), max: Duration::from_millis(20) };
        let bounds =
            Bounds { retry, hold: retry, settle: SETTLE, history_lag: LAG, give_up_after: Duration::from_secs(600) };
        let (gate, dice) = (&mut self.gate, &mut self.dice);
        let healthy = self.storm.healthy(EndpointId::ENGINE);
        let mut cx = Context { now: self.now, bounds: &bounds, gate, dice, healthy, follows: self.follows };
        self.protocol.answered(&mut cx, call, answer)
    }

    fn fail(&mut self, call: Call, fault: Fault) -> Next<u8> {
        self.answer(call, Answer::Failed(Failure { fault, detail: "said no".into(), retry_after: None }))
    }
}

fn reason(next: Next<u8>) -> Reason {
    let Next::Resolve(Resolution::DeadLettered { reason, .. }) = next else { panic!("not dead-lettered: {next:?}") };
    reason
}

#[test]
fn a_start_takes_one_call() {
    let mut bench = Bench::of(Command::Start);
    assert_eq!(bench.protocol.first(), Call::Act);
    assert!(matches!(bench.answer(Call::Act, Answer::Done(1)), Next::Resolve(Resolution::Accepted(1))));
}

#[test]
fn a_request_that_never_left_is_simply_sent_again() {
    let mut bench = Bench::of(Command::Start);
    assert!(matches!(bench.fail(Call::Act, Fault::Unsent), Next::Wait(_, Call::Act, _)));
    assert!(matches!(bench.fail(Call::Act, Fault::RateLimited), Next::Wait(_, Call::Act, _)));
}

#[test]
fn every_ambiguous_answer_is_looked_up_before_anything_is_sent_again() {
    use Fault::{BadAnswer, Broken, Conflict, EngineError, Gateway, ServerError, TimedOut, Unavailable};
    for fault in [TimedOut, Broken, Unavailable, Gateway, ServerError, EngineError, BadAnswer, Conflict] {
        let mut bench = Bench::of(Command::Start);
        let next = bench.fail(Call::Act, fault);
        assert!(matches!(next, Next::Wait(_, Call::Look(Scope::Everywhere), _)), "{fault:?}: {next:?}");
    }
}

#[test]
fn absence_is_believed_only_after_settle_then_running_then_lag_then_history() {
    let mut bench = Bench::of(Command::Start);
    bench.fail(Call::Act, Fault::TimedOut);
    bench.pass(Duration::from_secs(1));
    let next = bench.answer(Call::Look(Scope::Everywhere), Answer::Absent);
    let Next::Wait(wait, Call::Look(Scope::Running), Why::Settling) = next else { panic!("{next:?}") };
    assert_eq!(wait, SETTLE - Duration::from_secs(1));
    bench.pass(wait);
    let next = bench.answer(Call::Look(Scope::Running), Answer::Absent);
    let Next::Wait(wait, Call::Look(Scope::History), Why::Settling) = next else { panic!("{next:?}") };
    assert_eq!(wait, LAG);
    bench.pass(wait);
    let next = bench.answer(Call::Look(Scope::History), Answer::Absent);
    assert!(matches!(next, Next::Call(Call::Act)), "{next:?}");
}

#[test]
fn what_a_look_up_finds_is_accepted_as_if_the_answer_had_come() {
    for scope in [Scope::Everywhere, Scope::Running, Scope::History] {
        let mut bench = Bench::of(Command::Start);
        bench.fail(Call::Act, Fault::Broken);
        let next = bench.answer(Call::Look(scope), Answer::Done(7));
        assert!(matches!(next, Next::Resolve(Resolution::Accepted(7))));
    }
}

#[test]
fn nothing_is_dead_lettered_while_the_last_answer_is_ambiguous() {
    let mut bench = Bench::of(Command::Start);
    bench.fail(Call::Act, Fault::EngineError);
    bench.pass(Duration::from_secs(700));
    for fault in [Fault::Refused, Fault::NotFound, Fault::EngineError, Fault::TooLarge] {
        let next = bench.fail(Call::Look(Scope::Running), fault);
        assert!(matches!(next, Next::Wait(_, Call::Look(Scope::Running), _)), "{fault:?}: {next:?}");
    }
    let next = bench.answer(Call::Look(Scope::History), Answer::Absent);
    assert_eq!(reason(next), Reason::EXHAUSTED);
}

#[test]
fn an_outage_runs_down_no_records_time() {
    let mut bench = Bench::of(Command::Start);
    for _ in 0..1000 {
        bench.pass(Duration::from_secs(60));
        let next = bench.fail(Call::Act, Fault::Unsent);
        assert!(!matches!(next, Next::Resolve(_)), "{next:?}");
    }
}

#[test]
fn a_definite_refusal_is_dead_lettered_at_once() {
    let cases = [
        (Fault::Refused, Reason::REFUSED),
        (Fault::NotFound, Reason::NOT_FOUND),
        (Fault::TooLarge, Reason::TOO_LARGE),
        (Fault::Limit, Reason::LIMIT),
    ];
    for (fault, expected) in cases {
        let next = Bench::of(Command::Start).fail(Call::Act, fault);
        assert_eq!(reason(next), expected);
    }
}

#[test]
fn refused_credentials_close_the_gate_and_cost_the_record_nothing() {
    for fault in [Fault::Unauthorized, Fault::Forbidden] {
        for call in [Call::Act, Call::Look(Scope::Running)] {
            let mut bench = Bench::of(Command::Start);
            let next = bench.fail(call.clone(), fault);
            assert!(matches!(next, Next::WhenOpen(again, _) if again == call));
            assert!(!bench.gate.is_open());
        }
    }
}

#[test]
fn an_early_message_is_held_and_then_given_up() {
    let mut bench = Bench::of(Command::Message { hold_for: Duration::from_secs(30) });
    assert_eq!(bench.protocol.first(), Call::Locate { spare_later: true });
    assert!(matches!(
        bench.answer(Call::Locate { spare_later: true }, Answer::NotWaiting),
        Next::Wait(_, Call::Locate { spare_later: true }, Why::NobodyWaiting)
    ));
    bench.pass(Duration::from_secs(29));
    assert!(matches!(bench.answer(Call::Locate { spare_later: true }, Answer::NotWaiting), Next::Wait(..)));
    bench.pass(Duration::from_secs(1));
    assert_eq!(reason(bench.answer(Call::Locate { spare_later: true }, Answer::NotWaiting)), Reason::NO_SUBSCRIPTION);
}

#[test]
fn a_message_whose_target_went_away_is_looked_up_before_it_is_located_again() {
    let mut bench = Bench::of(Command::Message { hold_for: Duration::from_secs(30) });
    let next = bench.answer(Call::Locate { spare_later: true }, Answer::Located("execution".into()));
    let Next::Call(act @ Call::ActOn(_)) = next else { panic!("{next:?}") };
    assert!(matches!(bench.fail(act, Fault::NotFound), Next::Wait(_, Call::Look(Scope::Everywhere), _)));
    assert!(matches!(
        bench.answer(Call::Look(Scope::History), Answer::Absent),
        Next::Call(Call::Locate { spare_later: true })
    ));
}

#[test]
fn several_targets_are_refused_and_none_is_no_instance() {
    let message = Command::Message { hold_for: Duration::from_secs(30) };
    assert_eq!(
        reason(Bench::of(message).answer(Call::Locate { spare_later: true }, Answer::Several(2))),
        Reason::AMBIGUOUS_TARGET
    );
    assert_eq!(
        reason(Bench::of(message).answer(Call::Locate { spare_later: true }, Answer::NoInstance(0))),
        Reason::NO_INSTANCE
    );
    let next = Bench::of(Command::Terminate).answer(Call::Locate { spare_later: true }, Answer::NoInstance(0));
    assert!(matches!(next, Next::Resolve(Resolution::Accepted(0))));
}

#[test]
fn an_outcome_waits_for_its_audit_but_not_for_ever() {
    let mut bench = Bench::of(Command::Publish);
    assert!(matches!(bench.answer(Call::Gather, Answer::Incomplete(1)), Next::Wait(_, Call::Gather, Why::Settling)));
    bench.pass(LAG);
    assert!(matches!(bench.answer(Call::Gather, Answer::Incomplete(1)), Next::Wait(_, Call::Gather, Why::Settling)));
    bench.pass(LAG);
    let next = bench.answer(Call::Gather, Answer::Incomplete(2));
    assert!(matches!(next, Next::Resolve(Resolution::Accepted(2))), "{next:?}");
}

#[test]
fn what_the_engine_does_not_show_yet_is_held_and_then_given_up_and_its_audit_has_its_own_time() {
    let mut bench = Bench::of(Command::Publish);
    let unseen =
        |hold_for| Answer::NotYet(crate::input::Unseen { hold_for, reason: Reason::NOT_ENDED, detail: "it runs" });
    let hold_for = Duration::from_secs(30);
    assert!(matches!(bench.answer(Call::Gather, unseen(hold_for)), Next::Wait(_, Call::Gather, Why::NotSeen(_))));
    bench.pass(Duration::from_secs(29));
    assert!(matches!(bench.answer(Call::Gather, unseen(hold_for)), Next::Wait(_, Call::Gather, Why::NotSeen(_))));
    assert!(matches!(bench.answer(Call::Gather, Answer::Incomplete(1)), Next::Wait(_, Call::Gather, Why::Settling)));
    bench.pass(Duration::from_secs(1));
    assert!(!Reason::NOT_ENDED.gives_up(), "whoever tells of it again is not to wait for this one");
    assert_eq!(reason(bench.answer(Call::Gather, unseen(hold_for))), Reason::NOT_ENDED);
}

#[test]
fn a_job_is_completed_after_its_outcome_and_completion_is_tried_until_it_is_answered() {
    let mut bench = Bench::of(Command::Publish);
    assert_eq!(bench.protocol.first(), Call::Gather);
    assert!(matches!(bench.answer(Call::Gather, Answer::Done(1)), Next::Resolve(Resolution::Accepted(1))));
    let after = bench.protocol.after_commit(&Resolution::Accepted(1));
    assert_eq!(after, Some(Call::CompleteJob));
    assert!(matches!(bench.fail(Call::CompleteJob, Fault::TimedOut), Next::Wait(_, Call::CompleteJob, _)));
    assert!(matches!(bench.fail(Call::CompleteJob, Fault::EngineError), Next::Wait(_, Call::CompleteJob, _)));
    assert!(matches!(bench.answer(Call::CompleteJob, Answer::Done(1)), Next::Over));
    bench.pass(Duration::from_secs(10_000));
    let next = bench.fail(Call::CompleteJob, Fault::EngineError);
    assert!(matches!(next, Next::Left(_)), "the engine hands it out again: {next:?}");
}

#[test]
fn a_job_whose_outcome_is_a_dead_letter_is_failed_and_not_handed_out_for_ever() {
    let protocol = Protocol::fresh(Command::Publish);
    let dead = Resolution::<u8>::DeadLettered { reason: Reason::LIMIT, detail: String::new() };
    assert_eq!(protocol.after_commit(&dead), Some(Call::FailJob));
}

#[test]
fn a_record_that_fails_while_the_endpoint_serves_others_is_given_up() {
    let mut bench = Bench::of(Command::Start);
    bench.fail(Call::Act, Fault::Unsent);
    bench.gate.succeeded();
    bench.fail(Call::Act, Fault::Unsent);
    bench.pass(Duration::from_secs(601));
    assert_eq!(reason(bench.fail(Call::Act, Fault::Unsent)), Reason::EXHAUSTED);
}

#[test]
fn what_an_earlier_owner_may_have_begun_is_looked_up_first() {
    let message = Command::Message { hold_for: Duration::ZERO };
    for command in [Command::Start, message, Command::Terminate] {
        let mut protocol = Protocol::uncertain(command, Moment::ORIGIN + SETTLE);
        assert_eq!(protocol.first(), Call::Look(Scope::Everywhere), "{command:?}");
        assert_eq!(protocol.attempts, 0);
    }
    assert_eq!(Protocol::uncertain(Command::Publish, Moment::ORIGIN).first(), Call::Gather);
}

#[test]
fn a_terminate_spares_what_later_offsets_started() {
    let mut bench = Bench::of(Command::Terminate);
    bench.protocol = Protocol::uncertain(Command::Terminate, Moment::ORIGIN + SETTLE);
    let next = bench.answer(Call::Look(Scope::Everywhere), Answer::Absent);
    assert!(matches!(next, Next::Call(Call::Locate { spare_later: true })), "{next:?}");
}

#[test]
fn a_second_look_follows_every_doubt_and_only_doubt() {
    let mut bench = Bench::of(Command::Start);
    assert!(!bench.protocol.needs_second_look());
    bench.fail(Call::Act, Fault::TimedOut);
    assert!(bench.protocol.needs_second_look());
    assert!(Protocol::uncertain(Command::Start, Moment::ORIGIN).needs_second_look());
}

#[test]
fn a_terminate_that_is_under_way_is_not_dead_lettered_for_what_a_locate_sees() {
    let mut bench = Bench::of(Command::Terminate);
    bench.fail(Call::ActOn("a".into()), Fault::TimedOut);
    let located = bench.answer(Call::Look(Scope::Everywhere), Answer::Absent);
    assert!(matches!(located, Next::Call(Call::Locate { spare_later: true })), "{located:?}");
    let waits = bench.answer(Call::Locate { spare_later: true }, Answer::Several(2));
    assert!(matches!(waits, Next::Wait(SETTLE, Call::Look(Scope::Everywhere), Why::Settling)), "{waits:?}");
    bench.pass(SETTLE);
    bench.answer(Call::Look(Scope::Everywhere), Answer::Absent);
    assert_eq!(reason(bench.answer(Call::Locate { spare_later: true }, Answer::Several(2))), Reason::AMBIGUOUS_TARGET);
}

#[test]
fn what_follows_a_quarantined_key_is_looked_up_where_it_may_have_been_begun_and_goes_no_further() {
    for command in [Command::Start, Command::Terminate] {
        let mut bench = Bench::of(command);
        bench.protocol = Protocol::uncertain(command, Moment::ORIGIN + SETTLE);
        bench.follows = true;
        let call = bench.protocol.first();
        assert!(matches!(bench.answer(call.clone(), Answer::Done(1)), Next::Resolve(Resolution::Accepted(1))));
        let Next::Wait(wait, running, _) = bench.answer(call, Answer::Absent) else { panic!("it waits first") };
        assert_eq!(wait, SETTLE);
        let Next::Wait(_, history, _) = bench.answer(running, Answer::Absent) else { panic!("then history") };
        assert_eq!(reason(bench.answer(history, Answer::Absent)), Reason::QUARANTINED);
    }
}
