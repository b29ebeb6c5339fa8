//! What processes post reaches the same topic, or its sender hears that it did not.

use std::sync::Arc;

use intake::{Cluster, Door, HttpTelemetry, Lock, Unfit, serve_intake};
use prometheus_client::registry::Registry;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::parts::{DEADLINE, JobsReader, broker};

/// A door of the flow `tickets` at the end of whose path is told of outcomes, if it is.
fn door(flow: &str, outcomes: bool) -> Door {
    let check = |_: &event_model::Record| Err(Unfit { reason: "no-event", field: None, detail: "no event".to_owned() });
    Door {
        flow: flow.into(),
        topic: "events".into(),
        lock: Lock::Bearer("s3cret".to_owned()),
        max_body: 1_000,
        max_per_second: None,
        check: Box::new(check),
        outcomes,
    }
}

/// The whole answer to a post, in small letters.
async fn post(address: std::net::SocketAddr, path: &str, token: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.to_lowercase()
}

#[tokio::test]
async fn a_post_is_called_taken_when_kafka_has_it_and_only_by_who_may_and_where_it_is_expected() {
    let broker = broker();
    let cluster = Cluster { bootstrap_servers: broker.bootstrap_servers(), properties: Default::default() };
    let telemetry = HttpTelemetry::register(&mut Registry::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopping) = watch::channel(false);
    let doors = vec![door("tickets", true), door("orders", false)];
    let serving =
        tokio::spawn(async move { serve_intake(listener, doors, &cluster, Arc::clone(&telemetry), stopping).await });

    let (path, body) = ("/intake/tickets/outcomes", r#"{"processInstanceId":"p-1","decision":"mine"}"#);
    assert!(post(address, path, "wr0ng", body).await.starts_with("http/1.1 401"));
    assert!(post(address, "/intake/orders/outcomes", "s3cret", body).await.starts_with("http/1.1 404"));
    assert!(post(address, path, "s3cret", &" ".repeat(1_001)).await.starts_with("http/1.1 413"));
    broker.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED]);
    let refused = post(address, path, "s3cret", body).await;
    assert!(refused.starts_with("http/1.1 503") && refused.contains("\r\nretry-after: 5\r\n"), "{refused}");
    // The producer gathers itself first; whoever posts comes again.
    let taken = async {
        loop {
            let answer = post(address, path, "s3cret", r#"{"processInstanceId":"p-2","decision":"mine"}"#).await;
            if !answer.starts_with("http/1.1 503") {
                return answer;
            }
        }
    };
    let taken = tokio::time::timeout(DEADLINE, taken).await.expect("taken in the end");
    assert!(taken.starts_with("http/1.1 202") && taken.ends_with(r#"{"processinstanceid":"p-2"}"#), "{taken}");

    let (key, job) = JobsReader::of(&broker).next().await;
    assert_eq!((key.as_str(), job.job_id.as_str()), ("p-2", "p-2"), "nothing else was kept");
    assert_eq!((job.topic.as_str(), job.variables.len()), ("posted", 0), "what it says of itself counts for nothing");
    stop.send_replace(true);
    serving.await.unwrap().unwrap();
}
