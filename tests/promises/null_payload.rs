//! A null payload ends the process that the key of its record names, in its turn and once

use promises::{Deployment, Kafka, Sent, produce, unique};

use crate::support::{Bench, Books, Ticket, await_replies, dead_letters, edit, publish};

#[tokio::test]
async fn a_null_payload_ends_its_process_on_flowable() {
    a_null_payload_ends_its_process(Bench::flowable().await).await;
}

#[tokio::test]
async fn a_null_payload_ends_its_process_in_the_opentext_dialect() {
    a_null_payload_ends_its_process(Bench::opentext().await).await;
}

async fn a_null_payload_ends_its_process(bench: Bench) {
    let kafka = Kafka::shared().await.unwrap();
    let deployment = bench.tickets(kafka);
    let rule = format!(
        "on_null = \"terminate\"\n[source.null]\nterminate = {:?}\nkey = \"record.key\"\nbusiness_key = \"'ticket/' + record.key\"\n\n# Steps:",
        deployment.definition()
    );
    edit(&deployment, "\n# Steps:", &rule);
    deployment.set_up(1).await.unwrap();
    let instance = deployment.instance().await.unwrap();
    let run = unique("N");
    let [ended, kept, unknown] = ["ended", "kept", "unknown"].map(|what| format!("{run}-{what}"));
    let null = |key: Option<&str>| Sent {
        partition: Some(0),
        key: key.map(|key| key.as_bytes().to_vec()),
        value: None,
        headers: Vec::new(),
    };

    // the null stands behind the start, in one partition: it takes its turn
    publish(kafka, &deployment.source(), &[Ticket::created(&ended), Ticket::created(&kept)]).await;
    produce(kafka, &deployment.source(), [null(Some(&ended)), null(Some(&unknown)), null(None)]).await.unwrap();
    // where nothing runs there is nothing to end, and that is well
    let books = Books::of(&await_replies(kafka, &deployment, 4 + 1, &[&instance]).await);
    assert_eq!((books.accepted.len(), books.rejected.len()), (4, 1), "{}", instance.connector.log());
    assert!(!is_running(&bench, &deployment, &ended).await);
    assert!(is_running(&bench, &deployment, &kept).await);
    let letters = dead_letters(&deployment).await;
    let reasons: Vec<&str> = letters.iter().map(|letter| letter["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["expression-error"], "without a key it says nothing at all");
}

async fn is_running(bench: &Bench, deployment: &Deployment, ticket: &str) -> bool {
    !bench.engine.running(&deployment.definition(), &format!("ticket/{ticket}")).await.unwrap().is_empty()
}
