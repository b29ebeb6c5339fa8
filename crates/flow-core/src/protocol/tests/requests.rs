//! Jobs that ask a system: what becomes of its answers and refusals.

use super::*;

#[test]
fn a_request_to_a_system_is_repeated_without_a_look_and_its_answer_completes_the_job_before_it_is_recorded() {
    let system = EndpointId(2);
    let mut bench = Bench::of(Command::Request { system });
    let request = Call::Request(system);
    assert_eq!(bench.protocol.first(), request);
    for fault in [Fault::TimedOut, Fault::Broken, Fault::Unavailable, Fault::ServerError] {
        let next = bench.fail(request.clone(), fault);
        assert!(matches!(&next, Next::Wait(_, again, _) if *again == request), "{fault:?}: {next:?}");
    }
    assert!(matches!(bench.answer(request, Answer::Done(1)), Next::Call(Call::GiveResult)));
    let next = bench.fail(Call::GiveResult, Fault::TimedOut);
    assert!(matches!(next, Next::Wait(_, Call::GiveResult, _)), "{next:?}");
    let next = bench.answer(Call::GiveResult, Answer::Done(2));
    assert!(matches!(next, Next::Resolve(Resolution::Accepted(2))), "{next:?}");
    assert_eq!(bench.protocol.after_commit(&Resolution::Accepted(2)), None);
}

#[test]
fn what_a_system_refuses_for_good_is_a_dead_letter_only_while_its_job_is_open() {
    let request = Call::Request(EndpointId(1));
    let cases = [
        (Fault::Refused, Reason::REFUSED),
        (Fault::NotFound, Reason::NOT_FOUND),
        (Fault::TooLarge, Reason::TOO_LARGE),
        (Fault::Limit, Reason::LIMIT),
    ];
    for (fault, expected) in cases {
        for call in [request.clone(), Call::GiveResult] {
            if (&call, fault) == (&Call::GiveResult, Fault::Refused) {
                continue;
            }
            let mut bench = Bench::of(Command::Request { system: EndpointId(1) });
            assert!(matches!(bench.fail(call.clone(), fault), Next::Call(Call::IsOpen)), "{fault:?}");
            assert!(matches!(bench.fail(Call::IsOpen, Fault::Unsent), Next::Wait(_, Call::IsOpen, _)));
            assert_eq!(reason(bench.answer(Call::IsOpen, Answer::Open(1))), expected);

            let mut bench = Bench::of(Command::Request { system: EndpointId(1) });
            bench.fail(call, fault);
            let next = bench.answer(Call::IsOpen, Answer::Done(1));
            assert!(matches!(next, Next::Resolve(Resolution::Accepted(1))), "an earlier record did it: {next:?}");
        }
    }
    let dead = Resolution::<u8>::DeadLettered { reason: Reason::REFUSED, detail: String::new() };
    let protocol = Protocol::fresh(Command::Request { system: EndpointId(1) });
    assert_eq!(protocol.after_commit(&dead), Some(Call::FailJob));
}

#[test]
fn a_result_that_the_engine_refuses_is_given_again_for_its_lock_may_have_ended_on_the_way() {
    let mut bench = Bench::of(Command::Request { system: EndpointId(1) });
    bench.answer(Call::Request(EndpointId(1)), Answer::Done(1));
    assert!(matches!(bench.fail(Call::GiveResult, Fault::Refused), Next::Wait(_, Call::GiveResult, _)));
    bench.pass(Duration::from_secs(601));
    assert!(matches!(bench.fail(Call::GiveResult, Fault::Refused), Next::Call(Call::IsOpen)));
    assert_eq!(reason(bench.answer(Call::IsOpen, Answer::Open(1))), Reason::EXHAUSTED);
}

#[test]
fn a_request_that_keeps_failing_is_given_up_only_while_its_job_is_open() {
    let call = Call::Request(EndpointId(1));
    let exhausted = || {
        let mut bench = Bench::of(Command::Request { system: EndpointId(1) });
        assert!(matches!(bench.fail(call.clone(), Fault::Conflict), Next::Call(Call::IsOpen)), "once");
        bench.pass(Duration::from_secs(601));
        assert!(matches!(bench.answer(Call::IsOpen, Answer::Open(1)), Next::Call(Call::Request(EndpointId(1)))));
        assert!(matches!(bench.fail(call.clone(), Fault::Conflict), Next::Wait(_, Call::Request(_), _)));
        bench.pass(Duration::from_secs(601));
        assert!(matches!(bench.fail(call.clone(), Fault::Conflict), Next::Call(Call::IsOpen)));
        bench
    };
    assert!(matches!(exhausted().answer(Call::IsOpen, Answer::Done(1)), Next::Resolve(Resolution::Accepted(1))));
    assert_eq!(reason(exhausted().answer(Call::IsOpen, Answer::Open(1))), Reason::EXHAUSTED);
}

#[test]
fn an_answer_is_kept_where_the_engine_fails_to_take_it_while_it_serves_others() {
    let mut bench = Bench::of(Command::Request { system: EndpointId(1) });
    bench.answer(Call::Request(EndpointId(1)), Answer::Done(1));
    bench.fail(Call::GiveResult, Fault::TimedOut);
    bench.gate.succeeded();
    bench.fail(Call::GiveResult, Fault::TimedOut);
    bench.pass(Duration::from_secs(601));
    assert!(matches!(bench.fail(Call::GiveResult, Fault::TimedOut), Next::Call(Call::IsOpen)));
    let next = bench.answer(Call::IsOpen, Answer::Open(1));
    assert!(matches!(next, Next::Wait(_, Call::GiveResult, Why::NotHeld { again: false })), "{next:?}");
}

#[test]
fn a_conflict_over_what_an_earlier_record_did_is_no_failure() {
    let mut bench = Bench::of(Command::Request { system: EndpointId(1) });
    bench.fail(Call::Request(EndpointId(1)), Fault::Conflict);
    assert!(matches!(bench.answer(Call::IsOpen, Answer::Done(1)), Next::Resolve(Resolution::Accepted(1))));
}

#[test]
fn whether_a_job_is_open_is_asked_until_the_engine_says_so() {
    let mut bench = Bench::of(Command::Request { system: EndpointId(1) });
    bench.fail(Call::Request(EndpointId(1)), Fault::Refused);
    for fault in [Fault::Refused, Fault::NotFound, Fault::EngineError, Fault::BadAnswer, Fault::Limit] {
        bench.pass(Duration::from_secs(601));
        let next = bench.fail(Call::IsOpen, fault);
        assert!(matches!(next, Next::Wait(_, Call::IsOpen, _)), "{fault:?}: {next:?}");
    }
    assert_eq!(reason(bench.answer(Call::IsOpen, Answer::Open(1))), Reason::REFUSED);
}

#[test]
fn an_answer_that_the_engine_does_not_take_waits_for_its_job_but_not_for_ever() {
    let mut bench = Bench::of(Command::Request { system: EndpointId(1) });
    bench.answer(Call::Request(EndpointId(1)), Answer::Done(1));
    assert!(!bench.protocol.keeps_answer());
    let refused = |bench: &mut Bench| {
        assert!(matches!(bench.answer(Call::GiveResult, Answer::NotHeld), Next::Call(Call::IsOpen)));
        bench.answer(Call::IsOpen, Answer::Open(2))
    };
    let next = refused(&mut bench);
    assert!(matches!(next, Next::Wait(_, Call::GiveResult, Why::NotHeld { again: false })), "{next:?}");
    assert!(bench.protocol.keeps_answer());
    bench.pass(Duration::from_secs(599));
    let next = refused(&mut bench);
    assert!(matches!(next, Next::Wait(_, Call::GiveResult, Why::NotHeld { again: true })), "{next:?}");
    bench.pass(Duration::from_secs(1));
    let next = refused(&mut bench);
    assert!(matches!(next, Next::Released(Resolution::Accepted(2), _)), "{next:?}");
}

#[test]
fn a_kept_answer_completes_the_job_that_was_handed_out_again_or_ends_with_one_that_is_gone() {
    let kept = || {
        let mut bench = Bench::of(Command::Request { system: EndpointId(1) });
        bench.answer(Call::Request(EndpointId(1)), Answer::Done(1));
        bench.answer(Call::GiveResult, Answer::NotHeld);
        bench.answer(Call::IsOpen, Answer::Open(1));
        bench
    };
    let next = kept().answer(Call::GiveResult, Answer::Done(3));
    assert!(matches!(next, Next::Resolve(Resolution::Accepted(3))), "{next:?}");
    let mut bench = kept();
    bench.answer(Call::GiveResult, Answer::NotHeld);
    let next = bench.answer(Call::IsOpen, Answer::Done(4));
    assert!(matches!(next, Next::Resolve(Resolution::Accepted(4))), "{next:?}");
}
