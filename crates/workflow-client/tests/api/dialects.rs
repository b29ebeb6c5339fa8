//! Both dialects side by side: the same questions, each in its own form.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use workflow_client::Engine;

use crate::server::{Seen, Server, reply};

pub(crate) const FLOWABLE: &str = "flowable";
pub(crate) const OPENTEXT: &str = "opentext";

/// A server that answers everything alike, and a client of the dialect.
pub(crate) async fn answering(dialect: &str, status: u16, answer: Value) -> (Server, Engine) {
    let server =
        Server::start(move |_, _| reply(status, if answer.is_null() { String::new() } else { answer.to_string() }))
            .await;
    let engine = if dialect == FLOWABLE { server.flowable() } else { server.opentext() };
    (server, engine)
}

/// The rows in the list envelope of the dialect.
pub(crate) fn list(dialect: &str, collection: &str, rows: Value) -> Value {
    let count = rows.as_array().unwrap().len();
    if dialect == FLOWABLE {
        json!({"data": rows, "total": count, "start": 0, "sort": "id", "order": "asc", "size": count})
    } else {
        json!({"_embedded": {collection: rows}, "page": {"totalElements": count}})
    }
}

pub(crate) fn query(seen: &Seen, leave_out: &[&str]) -> BTreeMap<String, String> {
    let mut query = seen.query.clone();
    query.retain(|name, _| !leave_out.contains(&name.as_str()));
    query
}

pub(crate) fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
