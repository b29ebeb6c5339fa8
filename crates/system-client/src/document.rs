//! A document passes by: counted, hashed, and referred to by where it is. Its bytes go nowhere.

use reqwest::Response;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// What became of a document.
pub(crate) enum Seen {
    Whole(Value),
    /// Longer than what is read.
    TooLarge,
}

/// Reads it to its end, at most `limit` bytes.
pub(crate) async fn see(mut response: Response, limit: u64) -> Result<Seen, reqwest::Error> {
    let mut href = response.url().clone();
    href.set_query(None);
    let kind = response.headers().get(reqwest::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.map(str::to_owned);
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    while let Some(chunk) = response.chunk().await? {
        bytes += chunk.len() as u64;
        if bytes > limit {
            return Ok(Seen::TooLarge);
        }
        hash.update(&chunk);
    }
    let sha256: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Seen::Whole(json!({ "href": href.as_str(), "sha256": sha256, "bytes": bytes, "contentType": kind })))
}
