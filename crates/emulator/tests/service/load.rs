//! Many instances: the cost of one more must not grow with those that are there.

use std::time::{Duration, Instant};

use futures::StreamExt;
use reqwest::StatusCode;

use crate::client::{Client, RUNTIME, embedded, ticket};

const INSTANCES: usize = 10_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_tickets_are_started_found_and_decided() {
    let client = Client::start().await;
    let path = format!("{RUNTIME}/process-instances");
    let mut slices = Vec::new();
    for slice in 0..4 {
        let begun = Instant::now();
        let quarter = INSTANCES / 4;
        let starts = (slice * quarter..(slice + 1) * quarter).map(|number| {
            let (client, path) = (&client, &path);
            async move { client.post(path, ticket(&format!("ticket/{number}"), "high")).await.status }
        });
        let answers: Vec<StatusCode> = futures::stream::iter(starts).buffer_unordered(16).collect().await;
        assert!(answers.iter().all(|status| *status == StatusCode::CREATED));
        slices.push(begun.elapsed());
    }
    // Generous, because the machine may be busy: quadratic work would make the last quarter seven times the first.
    assert!(slices[3] < slices[0] * 4 + Duration::from_secs(1), "{slices:?}");

    let found = client.get(&format!("{path}?businessKey=ticket%2F9999")).await;
    let instance = embedded(&found, "process-instances")[0]["id"].as_str().unwrap().to_owned();
    let task = client.tasks(&instance).await[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(client.complete(&task, serde_json::json!({ "outcome": "resolved" })).await.status, StatusCode::OK);
    assert_eq!(client.acquire("tickets.outcome", "w1", 100).await.len(), 1);
    assert_eq!(client.stats().await["running"], INSTANCES);
}
