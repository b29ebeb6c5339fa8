//! The real parts that the harness starts are what the other tests take them for.

use std::time::Duration;

use promises::{
    DEADLINE, Flowable, Kafka, Sent, create_topic, produce, publish_with_kcat, read_all, read_until, unique, until,
};
use rdkafka::message::ToBytes;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};

fn keyed(key: &str, value: &[u8]) -> Sent {
    Sent { key: Some(key.into()), value: Some(value.into()), ..Sent::default() }
}

#[tokio::test]
async fn kafka_gives_back_what_kcat_and_librdkafka_published() {
    let kafka = Kafka::shared().await.unwrap();
    let topic = unique("published");
    create_topic(kafka, &topic, 3).await.unwrap();

    let binary = vec![0, 10, 255, 13, 0];
    let records = [("a".to_owned(), b"one\ntwo".to_vec()), ("b".to_owned(), binary.clone()), ("a".to_owned(), vec![])];
    publish_with_kcat(kafka, &topic, &[("content-type", "application/json")], &records).await.unwrap();
    produce(kafka, &topic, [keyed("c", b"three"), Sent { key: Some("c".into()), ..Sent::default() }]).await.unwrap();

    let received = read_all(kafka, &topic).await.unwrap();
    let values = |key: &str| -> Vec<Option<Vec<u8>>> {
        received.iter().filter(|record| record.key_text() == key).map(|record| record.value.clone()).collect()
    };
    assert_eq!(values("a"), [Some(b"one\ntwo".to_vec()), Some(vec![])]);
    assert_eq!(values("b"), [Some(binary)]);
    assert_eq!(values("c"), [Some(b"three".to_vec()), None]);
    let first = received.iter().find(|record| record.key_text() == "a").unwrap();
    assert_eq!(first.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn an_aborted_transaction_is_never_read() {
    let kafka = Kafka::shared().await.unwrap();
    let topic = unique("aborted");
    create_topic(kafka, &topic, 1).await.unwrap();
    let producer: FutureProducer = kafka.client().set("transactional.id", unique("writer")).create().unwrap();
    producer.init_transactions(DEADLINE).unwrap();
    for (value, keep) in [("lost", false), ("kept", true)] {
        producer.begin_transaction().unwrap();
        let record: FutureRecord<'_, str, str> = FutureRecord::to(&topic).payload(value);
        producer.send(record, DEADLINE).await.unwrap();
        if keep { producer.commit_transaction(DEADLINE) } else { producer.abort_transaction(DEADLINE) }.unwrap();
    }

    let received = read_all(kafka, &topic).await.unwrap();

    assert_eq!(received.iter().map(|record| record.value.as_deref()).collect::<Vec<_>>(), [Some("kept".to_bytes())]);
}

#[tokio::test]
async fn waiting_for_records_sees_those_that_come_later_and_misses_none() {
    let kafka = Kafka::shared().await.unwrap();
    let topic = unique("awaited");
    create_topic(kafka, &topic, 2).await.unwrap();
    let (received, sent) = tokio::join!(read_until(kafka, &topic, 20, DEADLINE), async {
        for value in 0..20_u8 {
            produce(kafka, &topic, [keyed(&value.to_string(), &[value])]).await?;
        }
        anyhow::Ok(())
    });
    sent.unwrap();
    let mut values: Vec<u8> = received.unwrap().into_iter().flat_map(|record| record.value).flatten().collect();
    values.sort_unstable();
    assert_eq!(values, (0..20).collect::<Vec<u8>>());

    let too_few = read_until(kafka, &topic, 21, Duration::from_millis(500)).await.unwrap_err().to_string();
    assert!(too_few.contains("has 20 of 21 records"), "{too_few}");
}

#[tokio::test]
async fn kafka_keeps_its_records_when_it_is_killed() {
    let mut kafka = Kafka::start().await.unwrap();
    create_topic(&kafka, "survivors", 1).await.unwrap();
    produce(&kafka, "survivors", [keyed("k", b"before")]).await.unwrap();

    kafka.kill().await.unwrap();
    kafka.start_again().await.unwrap();
    produce(&kafka, "survivors", [keyed("k", b"after")]).await.unwrap();

    let received = read_all(&kafka, "survivors").await.unwrap();
    assert_eq!(
        received.iter().map(|record| record.value.as_deref()).collect::<Vec<_>>(),
        [Some(&b"before"[..]), Some(b"after")]
    );
}

#[tokio::test]
async fn flowable_wants_its_user_and_survives_a_kill() {
    let mut engine = Flowable::start().await.unwrap();
    let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
    let deployments = format!("{}/repository/deployments", engine.process_api());
    let without_user = client.get(&deployments).send().await.unwrap();
    assert_eq!(without_user.status(), 401);

    let model = include_bytes!("models/empty.bpmn").to_vec();
    let form = || {
        let part = reqwest::multipart::Part::bytes(model.clone()).file_name("empty.bpmn");
        reqwest::multipart::Form::new().part("file", part)
    };
    let deploy = client.post(&deployments).basic_auth(engine.user(), Some(engine.password())).multipart(form());
    assert_eq!(deploy.send().await.unwrap().status(), 201);

    engine.kill().await.unwrap();
    engine.start_again().await.unwrap();

    let deployed = until("the deployment to be there", DEADLINE, async || {
        let read = client.get(&deployments).basic_auth(engine.user(), Some(engine.password()));
        let body = read.send().await?.bytes().await?;
        Ok(serde_json::from_slice::<serde_json::Value>(&body)?["total"].as_u64())
    });
    assert_eq!(deployed.await.unwrap(), 1);
}
