//! Bodies of requests, with the refusals that the engine answers for unreadable ones.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

impl<S, T> FromRequest<S> for Body<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|h| h.to_str().ok()).map(str::to_owned);
        if let Some(content_type) = content_type.filter(|c| !c.starts_with("application/json")) {
            return Err(
                Problem::unsupported_content(format!("Content-Type '{content_type}' is not supported")).into_response()
            );
        }
        let bytes = Bytes::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        if bytes.is_empty() {
            return Err(Problem::bad_request("Required request body is missing").into_response());
        }
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| Problem::bad_request(format!("JSON parse error: {error}")).into_response())
    }
}
