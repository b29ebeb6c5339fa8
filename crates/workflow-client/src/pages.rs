//! Lists: the envelopes of both dialects, and reading a list to its true end.
//!
//! "Not in the list" decides whether a process is started again, so a list that may be incomplete is a
//! [`Fault::BadAnswer`], never a short list.

use std::collections::HashSet;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::fault::{CallError, Fault};
use crate::protocol::Protocol;
use crate::request::Request;
use crate::transport::Transport;

/// Rows asked for at once.
pub(crate) const PAGE_SIZE: usize = 100;
/// Both engines answer ten rows to a client that asks for no number.
pub(crate) const ENGINE_PAGE_SIZE: usize = 10;
/// A look-up by key never needs more; memory stays bounded.
const MOST_ROWS: usize = 20_000;
/// How often a list is read again that changed while it was read.
pub(crate) const ATTEMPTS: usize = 3;

/// A part of a list.
#[derive(Debug, PartialEq)]
pub(crate) struct Page<T> {
    pub(crate) rows: Vec<T>,
    /// Rows of the whole list, if the envelope says so.
    pub(crate) total: Option<usize>,
    /// Whether another page follows, if the envelope says so.
    pub(crate) more: Option<bool>,
}

/// A row of a list.
pub(crate) trait Row: DeserializeOwned {
    /// Key of the rows below `_embedded`.
    const COLLECTION: &'static str;
    fn id(&self) -> &str;
}

/// Reads every page of a list.
pub(crate) async fn read_all<T: Row>(
    transport: &Transport,
    protocol: &dyn Protocol,
    request: &Request<'_>,
) -> Result<Vec<T>, CallError> {
    let mut shortcoming = String::new();
    for _ in 0..ATTEMPTS {
        match read_once(transport, protocol, request).await? {
            Reading::Whole(rows) => return Ok(rows),
            Reading::Incomplete(reason) => shortcoming = reason,
        }
    }
    Err(bad_answer(request, shortcoming))
}

/// Turns the rows of one answer into what they stand for; one unreadable row makes the answer a bad one.
pub(crate) fn read_rows<T: DeserializeOwned>(request: &Request<'_>, rows: Vec<Value>) -> Result<Vec<T>, CallError> {
    let rows: Result<Vec<T>, _> = rows.into_iter().map(serde_json::from_value).collect();
    rows.map_err(|_| bad_answer(request, "a row of the list has not the expected form, its id for example is missing"))
}

pub(crate) fn bad_answer(request: &Request<'_>, message: impl Into<String>) -> CallError {
    CallError::new(Fault::BadAnswer, request.endpoint, request.operation, message)
}

enum Reading<T> {
    Whole(Vec<T>),
    Incomplete(String),
}

async fn read_once<T: Row>(
    transport: &Transport,
    protocol: &dyn Protocol,
    request: &Request<'_>,
) -> Result<Reading<T>, CallError> {
    let mut rows: Vec<T> = Vec::new();
    let mut seen: HashSet<String> = HashSet::new();
    let mut first = 0;
    let mut total = None;
    loop {
        let answer = transport.json(&protocol.paged(request.clone(), first, PAGE_SIZE), None).await?;
        let page = protocol.page(answer, T::COLLECTION).map_err(|reason| bad_answer(request, reason))?;
        let taken = page.rows.len();
        if first > 0 && page.total != total {
            return Ok(Reading::Incomplete("the list kept changing while it was read".to_owned()));
        }
        total = page.total;
        let known = rows.len();
        for row in read_rows::<T>(request, page.rows)? {
            if seen.insert(row.id().to_owned()) {
                rows.push(row);
            }
        }
        first += taken;
        if rows.len() > MOST_ROWS {
            return Err(bad_answer(request, format!("more than {MOST_ROWS} rows: narrow the question")));
        }
        let nothing_new = rows.len() == known;
        let at_end = match (total, page.more) {
            (Some(total), _) => rows.len() >= total,
            (None, Some(more)) => !more,
            (None, None) => false,
        };
        if at_end {
            return Ok(Reading::Whole(rows));
        }
        if nothing_new {
            return Ok(ended_early(rows, total, page.more, taken));
        }
    }
}

/// No new row came although nothing said that the list is over: an empty page, or a server that ignores paging.
fn ended_early<T>(rows: Vec<T>, total: Option<usize>, more: Option<bool>, taken: usize) -> Reading<T> {
    if let Some(total) = total {
        return Reading::Incomplete(format!("only {} of {total} rows can be read", rows.len()));
    }
    if more == Some(true) {
        return Reading::Incomplete(format!("more rows are announced but only {} can be read", rows.len()));
    }
    if taken > 0 && rows.len() == ENGINE_PAGE_SIZE {
        return Reading::Incomplete("the server ignores paging and may have cut the list at ten rows".to_owned());
    }
    Reading::Whole(rows)
}

/// Flowable: `{data, total}`; some calls answer a bare array, which is the whole list.
pub(crate) fn data_envelope(answer: Value) -> Result<Page<Value>, String> {
    match answer {
        Value::Array(rows) => Ok(whole(rows)),
        Value::Object(mut fields) => {
            let total = fields.get("total").and_then(count);
            match fields.remove("data") {
                Some(Value::Array(rows)) => Ok(Page { rows, total, more: None }),
                Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) | None => {
                    Err("a list answer without `data`: is the base URL Flowable's?".to_owned())
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Err(NO_LIST.to_owned()),
    }
}

/// OpenText: `_embedded.<collection>`, absent when empty; `content` as the reference samples show it; a bare
/// array. Any other object is no list: an error page with status 200 must not read as "nothing there".
pub(crate) fn hal_envelope(answer: Value, collection: &str) -> Result<Page<Value>, String> {
    let mut fields = match answer {
        Value::Array(rows) => return Ok(whole(rows)),
        Value::Object(fields) => fields,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            return Err(NO_LIST.to_owned());
        }
    };
    let total = fields.get("page").and_then(|page| page.get("totalElements")).and_then(count);
    let more = fields.get("_links").map(|links| links.get("next").is_some_and(|next| !next.is_null()));
    let rows = match (fields.remove("_embedded"), fields.remove("content")) {
        (Some(embedded), _) => embedded_rows(embedded, collection)?,
        (None, Some(Value::Array(rows))) => flat(rows),
        (None, Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_))) => {
            return Err(NO_LIST.to_owned());
        }
        (None, None) => match fields.keys().find(|key| !matches!(key.as_str(), "page" | "_links" | "links")) {
            Some(key) => {
                return Err(format!("a list answer with the field `{key}` instead of rows"));
            }
            None => Vec::new(),
        },
    };
    Ok(Page { rows, total, more })
}

const NO_LIST: &str = "the answer is no list";

/// The rows under the collection's name, or under the only name there is: not every name is documented.
fn embedded_rows(embedded: Value, collection: &str) -> Result<Vec<Value>, String> {
    let Value::Object(mut collections) = embedded else {
        return Err("`_embedded` is no object".to_owned());
    };
    let rows = match (collections.remove(collection), collections.len()) {
        (Some(rows), _) => rows,
        (None, 0) => return Ok(Vec::new()),
        (None, 1) => collections.into_iter().map(|(_, rows)| rows).next().unwrap_or_default(),
        (None, _) => {
            return Err(format!("`_embedded` has several collections, none named `{collection}`"));
        }
    };
    match rows {
        Value::Array(rows) => Ok(rows),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            Err(format!("`_embedded.{collection}` is no array"))
        }
    }
}

/// Samples show an array of arrays: one level is taken away.
fn flat(rows: Vec<Value>) -> Vec<Value> {
    let mut flat = Vec::with_capacity(rows.len());
    for row in rows {
        match row {
            Value::Array(inner) => flat.extend(inner),
            row @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
                flat.push(row);
            }
        }
    }
    flat
}

fn whole(rows: Vec<Value>) -> Page<Value> {
    Page { rows, total: None, more: Some(false) }
}

fn count(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|count| usize::try_from(count).ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_hal_form_is_read() {
        let rows = |answer| hal_envelope(answer, "tasks").map(|page| page.rows.len());
        assert_eq!(rows(json!({"_embedded": {"tasks": [1, 2]}, "page": {"totalElements": 2}})), Ok(2));
        assert_eq!(rows(json!({"_embedded": {"taskList": [1]}})), Ok(1), "a name that is not documented");
        assert_eq!(rows(json!({"_links": {"self": {}}, "page": {"totalElements": 0}})), Ok(0));
        assert_eq!(rows(json!({"links": {"empty": true}, "content": [[1, 2], 3]})), Ok(3));
        assert_eq!(rows(json!({})), Ok(0));
        assert_eq!(rows(json!([1])), Ok(1));
    }

    #[test]
    fn what_is_no_list_is_never_an_empty_one() {
        for answer in [json!({"message": "gone"}), json!({"fault": {}}), json!(null), json!({"content": {}})] {
            assert!(hal_envelope(answer.clone(), "tasks").is_err(), "{answer}");
        }
        assert!(hal_envelope(json!({"_embedded": {"a": [], "b": []}}), "tasks").is_err());
        for answer in [json!({}), json!({"message": "gone"}), json!("x"), json!({"data": {}})] {
            assert!(data_envelope(answer.clone()).is_err(), "{answer}");
        }
    }

    #[test]
    fn links_and_totals_tell_whether_more_follows() {
        let page = |answer| hal_envelope(answer, "tasks").unwrap();
        assert_eq!(page(json!({"_links": {"next": {"href": "x"}}})).more, Some(true));
        assert_eq!(page(json!({"_links": {"self": {}}})).more, Some(false));
        assert_eq!(page(json!({})).more, None);
        assert_eq!(data_envelope(json!({"data": [], "total": 7})).unwrap().total, Some(7));
    }
}
