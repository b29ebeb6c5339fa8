//! OAuth2 client credentials: one token for all calls, fetched when there is none that is good.

use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::{Client, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::http::{cause, transport_fault};
use crate::request::Fault;

/// What a token is good for where the server does not say.
const UNSTATED_LIFETIME: Duration = Duration::from_secs(300);
const LONGEST_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// A token is renewed a tenth of its lifetime before it expires, at most this long.
const LONGEST_MARGIN: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    /// `Bearer …`, marked sensitive.
    pub header: HeaderValue,
    renew_at: Instant,
}

pub(crate) struct TokenSource {
    pub url: Url,
    pub client_id: String,
    pub client_secret: SecretString,
    pub scope: Option<String>,
    /// Held while a token is fetched: everybody else waits for it instead of asking as well.
    pub current: Mutex<Option<Token>>,
}

impl TokenSource {
    /// A token that is good now; not the one that was refused.
    pub(crate) async fn token(&self, client: &Client, refused: Option<&Token>) -> Result<Token, (Fault, String)> {
        let mut current = self.current.lock().await;
        let good = current.as_ref().filter(|token| Instant::now() < token.renew_at && Some(*token) != refused);
        if let Some(token) = good {
            return Ok(token.clone());
        }
        let token = self.fetch(client).await?;
        *current = Some(token.clone());
        Ok(token)
    }

    async fn fetch(&self, client: &Client) -> Result<Token, (Fault, String)> {
        let asked = Instant::now();
        let mut form = vec![("grant_type", "client_credentials")];
        form.extend(self.scope.as_deref().map(|scope| ("scope", scope)));
        let request =
            client.post(self.url.clone()).basic_auth(&self.client_id, Some(self.client_secret.expose_secret()));
        let request = request.form(&form);
        // The call itself was not sent, whatever went wrong here.
        let lost = |error: reqwest::Error| match transport_fault(&error) {
            Fault::Limit => (Fault::Limit, cause(&error)),
            Fault::Unsent | Fault::TimedOut | Fault::Broken | Fault::Unauthorized | Fault::BadAnswer => {
                (Fault::Unsent, format!("no token: {}", cause(&error)))
            }
        };
        let response = request.send().await.map_err(lost)?;
        let status = response.status().as_u16();
        if !response.status().is_success() {
            let fault = if matches!(status, 408 | 429 | 500..) { Fault::Unsent } else { Fault::Unauthorized };
            return Err((fault, format!("the token endpoint answered {status}")));
        }
        let answer: Value = response.json().await.map_err(lost)?;
        let text = answer.get("access_token").and_then(Value::as_str);
        let header = text.and_then(|text| HeaderValue::try_from(format!("Bearer {text}")).ok());
        let Some(mut header) = header else {
            return Err((
                Fault::Unauthorized,
                "the token answer has no usable access_token: check the token URL".into(),
            ));
        };
        header.set_sensitive(true);
        let lifetime = answer.get("expires_in").and_then(Value::as_u64).map_or(UNSTATED_LIFETIME, Duration::from_secs);
        let lifetime = lifetime.min(LONGEST_LIFETIME);
        Ok(Token { header, renew_at: asked + lifetime - (lifetime / 10).min(LONGEST_MARGIN) })
    }
}
