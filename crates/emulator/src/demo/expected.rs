//! What a flow's `expected/*.json` wants of an outcome, held against one.

use serde_json::{Value, json};

/// What an outcome says of a case, in the form of the expected files: decision, variables, tasks and comments.
pub fn said_of(outcome: &Value) -> Value {
    let each = |list: &str, field: &str| -> Vec<Value> {
        outcome[list].as_array().into_iter().flatten().map(|entry| entry[field].clone()).collect()
    };
    json!({
        "decision": outcome["decision"],
        "variables": outcome["variables"],
        "tasks": each("audit", "task"),
        "comments": each("comments", "text"),
    })
}

/// What of `expected` is not so, one sentence each; `"*"` stands for anything that is there. Tasks have no order: branches of a process
/// run side by side.
pub fn differences(expected: &Value, outcome: &Value) -> Vec<String> {
    let (mut expected, mut said) = (expected.clone(), said_of(outcome));
    for of in [&mut expected, &mut said] {
        if let Some(tasks) = of["tasks"].as_array_mut() {
            tasks.sort_by_key(|task| task.as_str().map(str::to_owned));
        }
    }
    let mut wrong = Vec::new();
    compare("", &expected, &said, &mut wrong);
    wrong
}

fn compare(at: &str, expected: &Value, found: &Value, wrong: &mut Vec<String>) {
    match (expected, found) {
        (Value::String(any), found) if any == "*" && !found.is_null() => {}
        (Value::Object(expected), Value::Object(found)) => {
            for (name, expected) in expected {
                compare(&format!("{at}.{name}"), expected, found.get(name).unwrap_or(&Value::Null), wrong);
            }
            for name in found.keys().filter(|name| !expected.contains_key(*name)) {
                wrong.push(format!("{at}.{name} is not expected"));
            }
        }
        // An outcome holds records and lists as JSON text.
        (Value::Object(_) | Value::Array(_), Value::String(text)) => {
            compare(at, expected, &serde_json::from_str(text).unwrap_or_default(), wrong);
        }
        (expected, found) if same_number(expected, found) || expected == found => {}
        (expected, found) => wrong.push(format!("{at} is {found}, not {expected}")),
    }
}

/// Engines write whole numbers of a decimal variable as they like.
fn same_number(left: &Value, right: &Value) -> bool {
    left.is_number() && left.as_f64() == right.as_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_is_told_and_nothing_else() {
        let outcome = json!({
            "decision": "approved",
            "variables": { "amount": 480, "document": "{\"bytes\":7}", "id": "A-1" },
            "audit": [{ "task": "b" }, { "task": "a" }],
            "comments": [{ "text": "fine", "author": "ada" }],
        });
        let expected = json!({
            "decision": "approved",
            "variables": { "amount": 480.0, "document": { "bytes": 7 }, "id": "*" },
            "tasks": ["a", "b"],
            "comments": ["fine"],
        });
        assert_eq!(differences(&expected, &outcome), [] as [String; 0]);
        let mut other = expected;
        other["decision"] = json!("rejected");
        other["variables"] = json!({ "amount": 480.0, "document": { "bytes": 8 }, "missing": "*" });
        assert_eq!(
            differences(&other, &outcome),
            [
                ".decision is \"approved\", not \"rejected\"",
                ".variables.document.bytes is 7, not 8",
                ".variables.missing is null, not \"*\"",
                ".variables.id is not expected",
            ]
        );
    }
}
