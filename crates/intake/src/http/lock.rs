//! Who may come in: whoever knows a bearer token, or signs as Standard Webhooks says.

use std::fmt;

use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use jiff::Timestamp;
use sha2::Sha256;

use super::answer::Refusal;

/// A signature that is older or younger than this is refused, so that a request that was overheard is of no use later (Standard Webhooks,
/// "Verifying webhook authenticity").
const TOLERANCE_S: i64 = 300;

/// What a door asks for. Its `Debug` form holds no secret.
#[derive(Clone)]
pub enum Lock {
    /// Nothing: for networks that let nobody else in.
    Open,
    /// `Authorization: Bearer <token>`.
    Bearer(String),
    /// `webhook-id`, `webhook-timestamp` and `webhook-signature`, HMAC-SHA256 with this key.
    Signature(Vec<u8>),
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lock::Open => "Open",
            Lock::Bearer(_) => "Bearer",
            Lock::Signature(_) => "Signature",
        })
    }
}

impl Lock {
    /// The key in a secret of Standard Webhooks: `whsec_` and base64, or base64 alone.
    pub fn of_webhook_secret(secret: &str) -> Option<Lock> {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap_or(secret)).ok()?;
        // What the specification asks for at least is 24 bytes.
        (key.len() >= 16).then_some(Lock::Signature(key))
    }

    pub(super) fn open(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<(), Refusal> {
        match self {
            Lock::Open => Ok(()),
            Lock::Bearer(token) => bearer(headers, token),
            Lock::Signature(key) => signature(headers, body, key, now),
        }
    }
}

fn bearer(headers: &HeaderMap, token: &str) -> Result<(), Refusal> {
    let given = text(headers, "authorization").and_then(|value| value.split_once(' '));
    let given = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
    // Compared by their codes, so that the time says nothing of how much of it was right.
    let code = |text: &str| mac(b"bearer", &[text.as_bytes()]);
    let verified = given.zip(code(token)).is_some_and(|(given, wanted)| {
        code(given).is_some_and(|code| code.verify_slice(&wanted.finalize().into_bytes()).is_ok())
    });
    if verified { Ok(()) } else { Err(Refusal::Locked("send Authorization: Bearer and the token of this flow")) }
}

fn signature(headers: &HeaderMap, body: &[u8], key: &[u8], now: Timestamp) -> Result<(), Refusal> {
    let wanted = "sign as Standard Webhooks says: webhook-id, webhook-timestamp, webhook-signature";
    let named = |name| text(headers, name).ok_or(Refusal::Locked(wanted));
    let (id, timestamp, signatures) = (named("webhook-id")?, named("webhook-timestamp")?, named("webhook-signature")?);
    let seconds: i64 = timestamp.parse().map_err(|_| Refusal::Locked(wanted))?;
    if now.as_second().abs_diff(seconds) > TOLERANCE_S.unsigned_abs() {
        return Err(Refusal::Locked("webhook-timestamp is more than five minutes away from our clock; sign it anew"));
    }
    // Several, while a secret is being changed.
    let matches = |given: &str| {
        let given = given.strip_prefix("v1,").and_then(|given| STANDARD.decode(given).ok());
        let code = mac(key, &[id.as_bytes(), b".", timestamp.as_bytes(), b".", body]);
        given.zip(code).is_some_and(|(given, code)| code.verify_slice(&given).is_ok())
    };
    if signatures.split(' ').any(matches) {
        Ok(())
    } else {
        Err(Refusal::Locked("no signature fits; is the secret the same?"))
    }
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Option<Hmac<Sha256>> {
    // HMAC takes keys of any length.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    parts.iter().for_each(|part| mac.update(part));
    Some(mac)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const BODY: &[u8] = br#"{"test": 2432232314}"#;

    /// The example of the specification.
    fn signed() -> (Lock, HeaderMap, Timestamp) {
        let lock = Lock::of_webhook_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", HeaderValue::from_static("msg_p5jXN8AQM9LWM0D4loKWxJek"));
        headers.insert("webhook-timestamp", HeaderValue::from_static("1614265330"));
        headers
            .insert("webhook-signature", HeaderValue::from_static("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
        (lock, headers, Timestamp::from_second(1_614_265_330).unwrap())
    }

    fn opens(lock: &Lock, headers: &HeaderMap, body: &[u8], now: Timestamp) -> bool {
        lock.open(headers, body, now).is_ok()
    }

    #[test]
    fn a_signature_of_the_specification_opens_and_every_change_of_it_does_not() {
        let (lock, headers, now) = signed();
        assert!(opens(&lock, &headers, BODY, now));
        assert!(!opens(&lock, &headers, b"{}", now), "another body");
        let changed = |name: &'static str, value: &'static str| {
            let mut headers = headers.clone();
            headers.insert(name, HeaderValue::from_static(value));
            opens(&lock, &headers, BODY, now)
        };
        assert!(!changed("webhook-id", "msg_other"));
        assert!(!changed("webhook-timestamp", "1614265331"));
        assert!(!changed("webhook-signature", "v1,AAAA"));
        assert!(!changed("webhook-signature", "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="), "without its version");
        assert!(changed("webhook-signature", "v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
        let late = Timestamp::from_second(1_614_265_330 + 301).unwrap();
        assert!(!opens(&lock, &headers, BODY, late), "an old one");
        assert!(!opens(&lock, &HeaderMap::new(), BODY, now));
    }

    #[test]
    fn a_token_opens_only_as_a_whole() {
        let lock = Lock::Bearer("s3cret".into());
        let with = |value: &'static str| {
            let headers = HeaderMap::from_iter([(axum::http::header::AUTHORIZATION, HeaderValue::from_static(value))]);
            opens(&lock, &headers, BODY, Timestamp::now())
        };
        assert!(with("Bearer s3cret") && with("bearer s3cret"));
        assert!(
            !with("Bearer s3cre")
                && !with("Bearer s3crets")
                && !with("Basic s3cret")
                && !with("s3cret")
                && !with("Bearer ")
        );
        assert!(!opens(&lock, &HeaderMap::new(), BODY, Timestamp::now()));
    }

    #[test]
    fn a_secret_that_is_no_base64_or_too_short_is_none() {
        assert!(Lock::of_webhook_secret("whsec_not base64").is_none());
        assert!(Lock::of_webhook_secret("whsec_c2hvcnQ=").is_none());
        assert_eq!(format!("{:?}", Lock::Bearer("s3cret".into())), "Bearer");
    }
}
