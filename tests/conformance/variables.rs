//! Variables keep value and type

use serde_json::{Value, json};
use workflow_client::{Variable, VariableValue};

use super::subject::Subject;

pub(super) async fn every_type_survives_the_round_trip(on: &Subject) {
    let values = [
        ("text", json!("größer & \"kleiner\" 🎫\nzweite Zeile")),
        ("empty", json!("")),
        ("long", json!(9_007_199_254_740_993_i64)),
        ("least", json!(i64::MIN)),
        ("most", json!(i64::MAX)),
        ("double", json!(3.25)),
        ("wholeDouble", json!(3.0)),
        ("yes", json!(true)),
        ("no", json!(false)),
        ("object", json!({"nested": {"list": [1, 2.5, "x", null, true]}, "empty": {}})),
        ("list", json!([])),
        ("null", Value::Null),
    ];
    let variables: Vec<Variable> =
        values.iter().map(|(name, value)| Variable::from_json(*name, value.clone()).unwrap()).collect();
    let (key, instance) = on.started("approval", &variables).await;

    let read = on.variables(&instance).await;
    for (name, value) in &values {
        assert_eq!(&read[*name], value, "{name} from history");
    }
    let running = on.engine.running(&key, "order/4711").await.unwrap();
    for variable in &variables {
        assert_eq!(running[0].variable(&variable.name), Some(&variable.value), "{} from runtime", variable.name);
    }
}

pub(super) async fn a_large_text_survives_the_round_trip(on: &Subject) {
    let large = "ö".repeat(1_000_000);
    let (_, instance) = on.started("approval", &[Variable::new("large", large.as_str())]).await;
    assert_eq!(on.variables(&instance).await["large"], json!(large));
}

pub(super) async fn the_result_of_a_message_overwrites(on: &Subject) {
    let (key, instance) = on.started("message", &[Variable::new("status", "new")]).await;
    on.complete_only_task(&instance, &[]).await;
    let message = format!("{key}.go");
    let executions = on.engine.waiting(&instance.id, &message).await.unwrap();
    let changed = Variable { name: "status".to_owned(), value: VariableValue::Long(7) };
    on.engine.deliver(&executions[0], &message, &[changed]).await.unwrap();
    assert_eq!(on.variables(&instance).await["status"], json!(7), "value and type are the new ones");
}
