//! Accounts by SCIM 2.0: what RFC 7644 says of creating, finding, activating and removing users, and of errors.

use axum::http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::store::{Answer, Asked, Store};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const LIST: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
const ERROR: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

pub(super) fn answer(store: &mut Store, asked: &Asked) -> Answer {
    let parts: Vec<&str> = asked.path.iter().map(String::as_str).collect();
    let users = store.users();
    let answer = match (&asked.method, parts.as_slice()) {
        (&Method::GET, ["Users"]) => return find(store, asked),
        (&Method::GET, ["Users", id]) => store.read(users, id),
        (&Method::POST, ["Users"]) => {
            if !asked.body["schemas"].as_array().is_some_and(|schemas| schemas.contains(&json!(USER))) {
                return error(StatusCode::BAD_REQUEST, Some("invalidValue"), &format!("schemas must name {USER}"));
            }
            let mut asked = asked.clone();
            if let Value::Object(fields) = &mut asked.body {
                fields.entry("active").or_insert(Value::Bool(true));
            }
            store.create(users, &asked)
        }
        (&Method::PATCH, ["Users", id]) => match operations(&asked.body) {
            Ok(changes) => store.update(users, id, &Asked { body: Value::Object(changes), ..asked.clone() }),
            Err(detail) => return error(StatusCode::BAD_REQUEST, Some("invalidSyntax"), detail),
        },
        (&Method::PUT, ["Users", id]) => store.update(users, id, asked),
        (&Method::DELETE, ["Users", id]) => store.delete(users, id, asked),
        _ => return error(StatusCode::NOT_FOUND, None, "there is no such resource"),
    };
    if answer.status.is_success() { described(answer) } else { translated(&answer) }
}

/// `userName eq "…"`, the filter that every client uses, or all of them.
fn find(store: &Store, asked: &Asked) -> Answer {
    let filter = asked.query.iter().find(|(name, _)| name == "filter").map(|(_, filter)| filter.as_str());
    let query = match filter.map(equal) {
        None => Vec::new(),
        Some(Some(query)) => vec![query],
        Some(None) => {
            return error(StatusCode::BAD_REQUEST, Some("invalidFilter"), "only <attribute> eq \"<value>\" is known");
        }
    };
    let found = store.list(store.users(), &Asked { query, ..asked.clone() });
    let resources: Vec<Value> = found.body["items"].as_array().into_iter().flatten().cloned().map(user).collect();
    let body = json!({ "schemas": [LIST], "totalResults": resources.len(), "startIndex": 1, "itemsPerPage": resources.len(), "Resources": resources });
    Answer::of(StatusCode::OK, body)
}

fn equal(filter: &str) -> Option<(String, String)> {
    let (name, rest) = filter.trim().split_once(' ')?;
    let (operator, value) = rest.trim().split_once(' ')?;
    let value = value.trim().strip_prefix('"')?.strip_suffix('"')?;
    operator.eq_ignore_ascii_case("eq").then(|| (name.to_owned(), value.to_owned()))
}

/// The fields that a PatchOp changes: `replace` and `add` set, `remove` takes away (null).
fn operations(body: &Value) -> Result<Map<String, Value>, &'static str> {
    if !body["schemas"].as_array().is_some_and(|schemas| schemas.contains(&json!(PATCH))) {
        return Err("schemas must name the PatchOp message");
    }
    let mut changes = Map::new();
    for operation in body["Operations"].as_array().ok_or("Operations is missing")? {
        let verb = operation["op"].as_str().unwrap_or_default().to_lowercase();
        match (verb.as_str(), operation["path"].as_str(), &operation["value"]) {
            ("replace" | "add", Some(path), value) => drop(changes.insert(path.to_owned(), value.clone())),
            ("replace" | "add", None, Value::Object(values)) => changes.extend(values.clone()),
            ("remove", Some(path), _) => drop(changes.insert(path.to_owned(), Value::Null)),
            _ => return Err("an operation is neither add, replace nor remove with what it needs"),
        }
    }
    Ok(changes)
}

fn user(mut user: Value) -> Value {
    let location = ["", "Users", user["id"].as_str().unwrap_or_default()].join("/");
    user["schemas"] = json!([USER]);
    user["meta"] = json!({ "resourceType": "User", "location": location });
    user
}

fn described(answer: Answer) -> Answer {
    if answer.body.is_null() { answer } else { Answer { body: user(answer.body.clone()), ..answer } }
}

/// The store's own refusals, as SCIM words them.
fn translated(answer: &Answer) -> Answer {
    let kind = match answer.status {
        StatusCode::CONFLICT => Some("uniqueness"),
        StatusCode::UNPROCESSABLE_ENTITY => Some("invalidValue"),
        _ => None,
    };
    // SCIM has no 422: what a value lacks is a bad request.
    let status =
        if answer.status == StatusCode::UNPROCESSABLE_ENTITY { StatusCode::BAD_REQUEST } else { answer.status };
    let field = answer.body["field"].as_str().map(|field| format!("{field} ")).unwrap_or_default();
    error(status, kind, &format!("{field}{}", answer.body["detail"].as_str().unwrap_or_default()))
}

fn error(status: StatusCode, kind: Option<&str>, detail: &str) -> Answer {
    let mut body = json!({ "schemas": [ERROR], "status": status.as_u16().to_string(), "detail": detail });
    if let Some(kind) = kind {
        body["scimType"] = json!(kind);
    }
    Answer::of(status, body)
}
