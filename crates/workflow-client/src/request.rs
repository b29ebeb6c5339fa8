//! One request, as the dialect writes it and the transport sends it.

use std::borrow::Cow;

use bytes::Bytes;
use reqwest::Method;
use serde::Serialize;

use crate::calls::Operation;
use crate::fault::Endpoint;

/// A request below one of the base URLs.
#[derive(Clone)]
pub(crate) struct Request<'a> {
    pub(crate) operation: Operation,
    pub(crate) endpoint: Endpoint,
    pub(crate) method: Method,
    /// Segments of the path; encoded when the URL is built.
    pub(crate) path: Vec<&'a str>,
    pub(crate) query: Vec<(&'static str, Cow<'a, str>)>,
    pub(crate) body: Body,
}

/// What a request carries. Cheap to repeat after a 401.
#[derive(Clone)]
pub(crate) enum Body {
    Empty,
    Json(Bytes),
    /// One file part named `file`, sent as multipart.
    File {
        name: String,
        content: Bytes,
    },
    /// The body could not be written; the transport refuses the request.
    Unwritable(String),
}

impl<'a> Request<'a> {
    pub(crate) fn new(operation: Operation, endpoint: Endpoint, method: Method, path: &[&'a str]) -> Self {
        Request { operation, endpoint, method, path: path.to_vec(), query: Vec::new(), body: Body::Empty }
    }

    /// Follows a configured path such as `external-jobs/{id}/complete`.
    pub(crate) fn templated(operation: Operation, endpoint: Endpoint, template: &'a str, id: &'a str) -> Self {
        let segments = template.split('/').filter(|segment| !segment.is_empty());
        let path = segments.map(|segment| if segment == "{id}" { id } else { segment }).collect();
        Request { operation, endpoint, method: Method::POST, path, query: Vec::new(), body: Body::Empty }
    }

    pub(crate) fn query(mut self, name: &'static str, value: impl Into<Cow<'a, str>>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    pub(crate) fn json(mut self, body: &impl Serialize) -> Self {
        self.body = match serde_json::to_vec(body) {
            Ok(bytes) => Body::Json(bytes.into()),
            Err(error) => Body::Unwritable(error.to_string()),
        };
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configured_path_takes_the_id_as_one_segment() {
        let request = Request::templated(Operation::FailJob, Endpoint::Jobs, "/jobs/{id}/fail", "a/b");
        assert_eq!(request.path, ["jobs", "a/b", "fail"]);
    }
}
