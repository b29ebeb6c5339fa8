//! The OAuth2 access token: fetched when needed, by one caller for all, and renewed before it expires.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::{Client, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

use crate::calls::{Calls, Operation};
use crate::error_body::cut;
use crate::fault::{CallError, Endpoint, Fault};
use crate::transport::exchange;

/// Assumed when the answer has no `expires_in`; the lifetime is not documented.
const UNSTATED_LIFETIME: Duration = Duration::from_secs(300);
/// A token is renewed a tenth of its lifetime before it expires, at most this long.
const LONGEST_MARGIN: Duration = Duration::from_secs(60);
/// Pause before the next try to renew a token that is still good.
const RENEWAL_PAUSE: Duration = Duration::from_secs(5);

/// A bearer token, ready to be sent.
#[derive(Clone)]
pub(crate) struct Bearer {
    /// `Bearer …`, marked sensitive so that no Debug output shows it.
    pub(crate) header: HeaderValue,
    generation: u64,
    renew_at: Instant,
    expires_at: Instant,
}

/// Where tokens come from.
pub(crate) struct TokenSource {
    url: Url,
    client_id: String,
    client_secret: SecretString,
    current: RwLock<Option<Bearer>>,
    /// Held during a token request: everybody else waits for its result instead of asking as well.
    flight: Mutex<Flight>,
    /// Number of finished token requests, good or not.
    finished: AtomicU64,
}

/// How the last token request went.
type Flight = Option<CallError>;

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    /// Seconds, as a number or as text.
    #[serde(default)]
    expires_in: Value,
}

impl TokenSource {
    pub(crate) fn new(url: Url, client_id: String, client_secret: SecretString) -> Self {
        TokenSource {
            url,
            client_id,
            client_secret,
            current: RwLock::new(None),
            flight: Mutex::new(None),
            finished: AtomicU64::new(0),
        }
    }

    /// A token that is good now. `refused`: a token that the engine has just answered 401 to.
    pub(crate) async fn bearer(
        &self,
        client: &Client,
        calls: &Calls,
        refused: Option<&Bearer>,
    ) -> Result<Bearer, CallError> {
        let current = self.current();
        if let Some(bearer) = usable(current.as_ref(), refused) {
            if Instant::now() < bearer.renew_at {
                return Ok(bearer.clone());
            }
            // Time to renew, but still good: one caller renews, the others go on with it.
            let Ok(flight) = self.flight.try_lock() else {
                return Ok(bearer.clone());
            };
            return self.fetch(client, calls, refused, flight).await;
        }
        let before = self.finished.load(Ordering::Acquire);
        let flight = self.flight.lock().await;
        if let Some(failure) = flight.as_ref()
            && self.finished.load(Ordering::Acquire) != before
        {
            return Err(failure.clone()); // the request that we waited for has failed: for us too
        }
        self.fetch(client, calls, refused, flight).await
    }

    async fn fetch(
        &self,
        client: &Client,
        calls: &Calls,
        refused: Option<&Bearer>,
        mut flight: MutexGuard<'_, Flight>,
    ) -> Result<Bearer, CallError> {
        let current = self.current();
        let good = usable(current.as_ref(), refused);
        if let Some(bearer) = good
            && Instant::now() < bearer.renew_at
        {
            return Ok(bearer.clone());
        }
        calls.count(Operation::Token);
        let asked = Instant::now();
        let result = self.request(client, asked).await;
        *flight = result.as_ref().err().cloned();
        self.finished.fetch_add(1, Ordering::Release);
        let bearer = match (result, good) {
            (Ok(bearer), _) => bearer,
            // The old token still works: an outage of the token endpoint is nobody's concern yet.
            (Err(_), Some(old)) => Bearer { renew_at: Instant::now() + RENEWAL_PAUSE, ..old.clone() },
            (Err(error), None) => return Err(error),
        };
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(bearer.clone());
        Ok(bearer)
    }

    async fn request(&self, client: &Client, asked: Instant) -> Result<Bearer, CallError> {
        let body = json!({
            "client_id": self.client_id,
            "client_secret": self.client_secret.expose_secret(),
            "grant_type": "client_credentials",
        });
        let failed = |fault: Fault, message: &str| CallError::new(fault, Endpoint::Token, Operation::Token, message);
        let request = client.post(self.url.clone()).json(&body);
        let answer = exchange(request, Endpoint::Token, Operation::Token, &[]).await.map_err(|error| CallError {
            fault: error.fault.at_token_endpoint(),
            // A server that repeats the request in its error must not carry the secret into our logs.
            message: error.message.replace(self.client_secret.expose_secret(), "***"),
            ..error
        })?;
        let token: TokenAnswer = serde_json::from_slice(&answer)
            .map_err(|_| failed(Fault::Unsent, "the token answer has no access_token: check the token URL"))?;
        let mut header = HeaderValue::try_from(format!("Bearer {}", token.access_token))
            .map_err(|_| failed(Fault::Unsent, &cut("the access token cannot be written into a header")))?;
        header.set_sensitive(true);
        let lifetime = lifetime(&token.expires_in);
        let margin = (lifetime / 10).min(LONGEST_MARGIN);
        let generation = self.finished.load(Ordering::Acquire) + 1;
        Ok(Bearer { header, generation, renew_at: asked + lifetime - margin, expires_at: asked + lifetime })
    }

    fn current(&self) -> Option<Bearer> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The token, unless it has expired or is the one that was refused.
fn usable<'a>(current: Option<&'a Bearer>, refused: Option<&Bearer>) -> Option<&'a Bearer> {
    current
        .filter(|bearer| Instant::now() < bearer.expires_at)
        .filter(|bearer| refused.is_none_or(|refused| refused.generation < bearer.generation))
}

/// `expires_in` as a number or as text; capped at a day, so that a nonsense value cannot overflow the clock.
fn lifetime(expires_in: &Value) -> Duration {
    let seconds = expires_in.as_u64().or_else(|| expires_in.as_str().and_then(|text| text.trim().parse().ok()));
    seconds.map_or(UNSTATED_LIFETIME, |seconds| Duration::from_secs(seconds.min(24 * 60 * 60)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_read_from_number_and_text() {
        assert_eq!(lifetime(&json!(3600)), Duration::from_secs(3600));
        assert_eq!(lifetime(&json!(" 3600 ")), Duration::from_secs(3600));
        assert_eq!(lifetime(&json!(null)), UNSTATED_LIFETIME);
        assert_eq!(lifetime(&json!(u64::MAX)), Duration::from_secs(86_400));
    }
}
