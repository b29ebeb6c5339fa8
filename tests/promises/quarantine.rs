//! A key whose record was given up goes into quarantine: what comes after follows it into the dead letters, and all of it comes back in order

use emulator::{Fault, Rule};
use promises::{DEADLINE, Deployment, Kafka, Received, Signal, read_until, unique, until};

use crate::support::{Bench, Ticket, await_replies, dead_letters, edit, operator, publish};

#[tokio::test]
async fn a_key_that_was_given_up_waits_for_its_dead_letters_and_goes_on_in_order() {
    let bench = Bench::opentext().await.with("request_timeout = \"2s\"\nsettle = \"4s\"");
    let kafka = Kafka::shared().await.unwrap();
    let deployment = bench.tickets(kafka);
    let limits = "\n[limits]\nretry_max = \"500ms\"\ngive_up_after = \"2s\"\non_exhausted = \"quarantine-key\"\n";
    edit(&deployment, "\n[reply]", &format!("{limits}\n[reply]"));
    deployment.set_up(2).await.unwrap();
    let mut instance = deployment.instance().await.unwrap();
    let run = unique("Q");
    let (bad, good) = (format!("{run}-bad"), format!("{run}-good"));
    let comment = async || comment(&bench, &deployment, &bad).await;
    publish(kafka, &deployment.source(), &[Ticket::created(&bad)]).await;
    await_replies(kafka, &deployment, 1, &[&instance]).await;

    // the engine fails for every message, and only for those: the update is given up, and what comes after follows
    let failing = Fault::Status { status: 500, retry_after_s: None, retry_after_as_date: false, after_effect: false };
    bench.faults().add(Rule::on("deliver", failing.clone())).unwrap();
    let update = |comment: &str| Ticket::updated(&bad, comment);
    publish(kafka, &deployment.source(), &[update("1"), update("2"), Ticket::created(&good), update("3")]).await;
    let letters = letters(kafka, &deployment, 3).await;
    let reasons: Vec<String> = letters.iter().map(|letter| text(letter, "xc-reason")).collect();
    assert_eq!(reasons, ["retries-exhausted", "quarantined", "quarantined"]);
    let numbers: Vec<String> = letters.iter().map(|letter| text(letter, "xc-quarantine")).collect();
    assert!(numbers.iter().zip(["0 ", "1 ", "2 "]).all(|(number, begin)| number.starts_with(begin)), "{numbers:?}");
    instance
        .connector
        .measured(instance.metrics, "xconnector_quarantined_keys", &[], |keys| keys == 1.0)
        .await
        .unwrap();
    // accepted: both starts; rejected: the three
    await_replies(kafka, &deployment, 2 + 3, &[&instance]).await;

    // the next owner knows it, though the engine is well again
    bench.faults().clear();
    instance.connector.signal(Signal::Kill);
    instance.connector.wait(DEADLINE).await.unwrap();
    let mut instance = deployment.instance().await.unwrap();
    publish(kafka, &deployment.source(), &[update("4")]).await;
    self::letters(kafka, &deployment, 4).await;
    assert_eq!(comment().await, None, "nothing of it was delivered");

    let (code, told) = operator(&deployment, &["dlq", "replay"], &[]).await;
    assert!(code == 0 && told.contains("4 dead letters replayed"), "{told}");
    await_replies(kafka, &deployment, 2 + 4 + 4, &[&instance]).await;
    assert_eq!(comment().await.as_deref(), Some("4"), "in order");
    publish(kafka, &deployment.source(), &[update("5")]).await;
    await_replies(kafka, &deployment, 2 + 4 + 4 + 1, &[&instance]).await;
    assert_eq!(comment().await.as_deref(), Some("5"), "the quarantine is over");
    instance
        .connector
        .measured(instance.metrics, "xconnector_quarantined_keys", &[], |keys| keys == 0.0)
        .await
        .unwrap();

    // what nobody wants any more is put aside, and what waits behind it goes on
    bench.faults().add(Rule::on("deliver", failing)).unwrap();
    publish(kafka, &deployment.source(), &[update("6"), update("7")]).await;
    self::letters(kafka, &deployment, 6).await;
    bench.faults().clear();
    let listed = dead_letters(&deployment).await;
    let open: Vec<&str> =
        listed.iter().filter(|one| one["replayed"] == false).map(|one| one["at"].as_str().unwrap()).collect();
    let [sixth, seventh] = open[..] else { panic!("{listed:?}") };
    let (code, told) = operator(&deployment, &["dlq", "discard"], &["--at", sixth]).await;
    assert!(code == 0 && told.contains("1 dead letters discarded"), "{told}");
    let (code, told) = operator(&deployment, &["dlq", "replay"], &["--at", seventh]).await;
    assert_eq!(code, 0, "{told}");
    await_replies(kafka, &deployment, 11 + 2 + 1, &[&instance]).await;
    assert_eq!(comment().await.as_deref(), Some("7"));
    let delivered = bench.calls().await["deliver"];
    assert_eq!(delivered.calls - delivered.bad, 6, "1 to 5 and 7, each once");
}

async fn letters(kafka: &Kafka, deployment: &Deployment, count: usize) -> Vec<Received> {
    read_until(kafka, &deployment.dead_letters(), count, DEADLINE).await.unwrap()
}

fn text(letter: &Received, name: &str) -> String {
    letter.header(name).unwrap_or_default().to_owned()
}

/// The variable that an update sets.
async fn comment(bench: &Bench, deployment: &Deployment, ticket: &str) -> Option<String> {
    let key = format!("ticket/{ticket}");
    let shown = async || {
        let found = bench.engine.running(&deployment.definition(), &key).await?;
        Ok(found
            .first()
            .map(|instance| instance.variable("comment").and_then(|value| value.as_str()).map(ToOwned::to_owned)))
    };
    until("the instance to be shown", DEADLINE, shown).await.unwrap()
}
