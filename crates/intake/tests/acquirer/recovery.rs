//! A failing engine and a refusing Kafka are waited for, and work goes on afterwards.

use std::time::Duration;

use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use crate::parts::{Acquirer, JobsReader, ScriptedEngine, broker, fault, jobs, until};

#[tokio::test]
async fn an_engine_that_refuses_is_left_alone_and_then_asked_again() {
    let broker = broker();
    let engine = ScriptedEngine::start(|_, before| match before {
        0 => fault(503, Some("2")),
        1 => fault(403, None),
        2 => jobs(&["j1"]),
        3.. => jobs(&[]),
    })
    .await;
    let acquirer = Acquirer::start(&broker, &engine, &["outcome"], true);

    assert_eq!(JobsReader::of(&broker).next_id().await, "j1");
    let asked = engine.asked();
    let waited = |from: usize| asked[from + 1].at - asked[from].at;
    assert!(waited(0) >= Duration::from_secs(2), "asked again {:?} after `Retry-After: 2`", waited(0));
    assert!(waited(1) >= Duration::from_secs(1), "the second failure in a row waits longer: {:?}", waited(1));
    for kind in ["unavailable", "forbidden"] {
        assert_eq!(acquirer.metric("xconnector_intake_engine_faults_total", Some(kind)), 1, "{kind}");
    }
    acquirer.stop().await;
}

#[tokio::test]
async fn a_record_that_kafka_refuses_is_counted_and_the_next_job_is_handed_over() {
    let broker = broker();
    broker.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED]);
    let engine = ScriptedEngine::start(|_, before| match before {
        0 => jobs(&["refused"]),
        1 => jobs(&["j2"]),
        2.. => jobs(&[]),
    })
    .await;
    let acquirer = Acquirer::start(&broker, &engine, &["outcome"], true);

    let reader = JobsReader::of(&broker);
    assert_eq!(reader.next_id().await, "j2");
    let name = "xconnector_intake_records_refused_total";
    assert_eq!(acquirer.metric(name, Some("TopicAuthorizationFailed")), 1);
    engine.asked_times(3).await;
    let asked = engine.asked();
    assert_eq!(asked.iter().take(3).map(|asked| asked.max).collect::<Vec<_>>(), [3, 1, 3]);
    assert!(asked[1].at - asked[0].at >= Duration::from_millis(500), "the refusal is followed by a pause");
    acquirer.stop().await;
}

#[tokio::test]
async fn a_job_without_an_instance_is_counted_and_holds_up_no_other_job() {
    let broker = broker();
    let engine = ScriptedEngine::start(|_, before| match before {
        0 => jobs(&["orphan", "j2"]).without_instance_of("orphan"),
        1.. => jobs(&[]),
    })
    .await;
    let acquirer = Acquirer::start(&broker, &engine, &["outcome"], true);

    assert_eq!(JobsReader::of(&broker).next_id().await, "j2");
    let name = "xconnector_intake_records_refused_total";
    until("the orphan is counted", || acquirer.metric(name, Some("no-instance")) == 1).await;
    acquirer.stop().await;
}
