//! Lists in HAL: `_embedded` only when there is something, `_links.next` until the last page.

use std::cmp::Ordering;

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::filters::Filters;
use super::problem::Problem;

/// Page size when the client names none.
const COUNT: usize = 10;

/// Sort orders that a list offers, by the name that clients use.
pub(super) type Sorts<'a, T> = &'a [(&'a str, fn(&T, &T) -> Ordering)];

/// One page of a filtered list.
#[derive(Debug)]
pub(super) struct Page<T> {
    items: Vec<T>,
    offset: usize,
    count: usize,
    total: usize,
}

/// Sorts the matches and cuts the page out; without a sort order the oldest come first.
pub(super) fn page<T>(mut matches: Vec<T>, filters: &Filters, sorts: Sorts<'_, T>) -> Result<Page<T>, Problem> {
    let offset = filters.number("offset", 0)?;
    let count = filters.number("count", COUNT)?.max(1);
    if let Some(wanted) = filters.get("sort") {
        let (_, order) = sorts.iter().find(|(name, _)| *name == wanted).ok_or_else(|| {
            Problem::bad_request(format!("Value for param 'sort' is not valid, '{wanted}' is not a valid property"))
        })?;
        matches.sort_by(order);
    }
    match filters.get("order") {
        None | Some("asc") => {}
        Some("desc") => matches.reverse(),
        Some(other) => {
            return Err(Problem::bad_request(format!("Value for param 'order' is not valid: '{other}'")));
        }
    }
    let total = matches.len();
    let items = matches.into_iter().skip(offset).take(count).collect();
    Ok(Page { items, offset, count, total })
}

impl<T> Page<T> {
    /// The page as a HAL document.
    pub(super) fn hal(self, key: &str, filters: &Filters, base_url: &str, render: impl Fn(&T) -> Value) -> Response {
        let mut document = json!({
            "_links": { "self": { "href": format!("{base_url}{}", filters.uri) } },
            "page": {
                "size": self.count,
                "totalElements": self.total,
                "totalPages": self.total.div_ceil(self.count),
                "number": self.offset / self.count,
            },
        });
        if !self.items.is_empty() {
            document["_embedded"] = json!({ key: self.items.iter().map(render).collect::<Vec<_>>() });
        }
        let next = self.offset + self.count;
        if next < self.total {
            document["_links"]["next"] = json!({ "href": format!("{base_url}{}", with_offset(&filters.uri, next)) });
        }
        Json(document).into_response()
    }

    /// The page without any wrapping.
    pub(super) fn rows(&self, render: impl Fn(&T) -> Value) -> Vec<Value> {
        self.items.iter().map(render).collect()
    }
}

fn with_offset(uri: &str, offset: usize) -> String {
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let mut parameters: Vec<&str> = query.split('&').filter(|p| !p.is_empty() && !p.starts_with("offset=")).collect();
    let offset = format!("offset={offset}");
    parameters.push(&offset);
    format!("{path}?{}", parameters.join("&"))
}
