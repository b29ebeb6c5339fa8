use serde_json::json;

use super::*;

fn scope() -> BTreeMap<String, Value> {
    let Value::Object(fields) = json!({
        "priority": "high", "amount": 1000, "rate": 1.5, "open": true, "nothing": null, "digits": "42",
        "big": 9_007_199_254_740_993_i64,
        "customer": {"region": "emea", "address": {"city": "Kiel"}}, "teams": ["a", "b"],
    }) else {
        unreachable!("an object literal")
    };
    fields.into_iter().collect()
}

fn holds(text: &str) -> Result<bool, EvaluationError> {
    Expression::parse(text).unwrap().holds(&scope())
}

#[test]
fn comparisons_and_logic_follow_their_precedence() {
    for text in [
        "${priority == 'high'}",
        "${priority == \"high\"}",
        "${amount >= 1000 && rate < 2}",
        "${amount > 2000 || open}",
        "${false && false || true}",
        "${!(open && amount != 1000)}",
        "${customer.region == 'emea' && customer.address.city != null}",
        "${customer.missing == null}",
        "${nothing == null}",
        "${rate == 1.5}",
        "${amount == 1000.0}",
        "${digits == 42}",
        "${big != 9007199254740992}",
        "${'it\\'s' == \"it's\"}",
    ] {
        assert_eq!(holds(text), Ok(true), "{text}");
    }
    for text in ["${priority == 'low'}", "${nothing < 1}", "${!open}", "${amount < 1000}"] {
        assert_eq!(holds(text), Ok(false), "{text}");
    }
}

#[test]
fn what_cannot_be_decided_is_an_error_and_not_false() {
    for text in [
        "${missing == 'x'}",
        "${priority == 5}",
        "${amount}",
        "${nothing}",
        "${priority.length == 4}",
        "${customer < 5}",
    ] {
        assert!(holds(text).is_err(), "{text}");
    }
}

#[test]
fn what_is_not_supported_is_refused_when_parsed() {
    for text in [
        "priority == 'high'",
        "${priority = 'high'}",
        "${priority eq 'high'}",
        "${list.size() > 0}",
        "${amount + 1 > 2}",
        "${(open}",
        "${open &&}",
        "${'unclosed}",
        "${}",
        "${open open}",
    ] {
        assert!(Expression::parse(text).is_err(), "{text}");
    }
    let deep = format!("${{{}open{}}}", "(".repeat(5_000), ")".repeat(5_000));
    assert!(Expression::parse(&deep).is_err());
}

#[test]
fn templates_give_text_and_lists_of_names() {
    let names = |text: &str| Template::parse(text).unwrap().names(&scope()).unwrap();
    assert_eq!(names("team-${customer.region}"), ["team-emea"]);
    assert_eq!(names("${teams}"), ["a", "b"]);
    assert_eq!(names("x, y"), ["x", "y"]);
    assert_eq!(Template::parse("PT4H").unwrap().literal(), Some("PT4H"));
    assert_eq!(Template::parse("${priority}").unwrap().literal(), None);
    assert_eq!(Template::parse("n=${amount}!").unwrap().text(&scope()).unwrap(), "n=1000!");
    assert!(Template::parse("${open").is_err());
}
