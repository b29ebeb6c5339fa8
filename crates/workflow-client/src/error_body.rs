//! Error bodies of the engines and of the gateway in front, read without trusting their form.
//!
//! Seen: Flowable `{message, exception}`; OpenText the same plus `details`, each a string, an object or an
//! array; the Apigee gateway `{fault: {faultstring}}`; OAuth2 `{error, error_description}`; HTML or nothing.

use serde_json::Value;

/// Longest error text that is kept, in characters.
const TEXT_LIMIT: usize = 500;

/// What an error body says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ErrorBody {
    /// The most telling words, on one line, cut.
    pub(crate) text: String,
    /// The body has the engine's own error form, so the engine saw the request.
    pub(crate) from_engine: bool,
}

impl ErrorBody {
    pub(crate) fn read(body: &[u8]) -> ErrorBody {
        let Ok(Value::Object(fields)) = serde_json::from_slice::<Value>(body) else {
            return ErrorBody { text: cut(&String::from_utf8_lossy(body)), from_engine: false };
        };
        let fault = fields.get("fault");
        let told = [
            fields.get("message"),
            fields.get("exception"),
            fields.get("details"),
            fault.and_then(|fault| fault.get("faultstring")).or(fault),
            fields.get("error"),
            fields.get("error_description"),
        ];
        let mut parts: Vec<String> = Vec::new();
        for part in told.into_iter().flatten().map(words) {
            if !part.is_empty() && !parts.contains(&part) {
                parts.push(part);
            }
        }
        let by_engine = ["message", "exception", "details"].iter().any(|key| fields.get(*key).is_some_and(tells));
        // Spring's fallback page has `timestamp`, `status`, `error`, `path`: the container's words, not the engine's.
        let by_container = fields.contains_key("timestamp") && fields.contains_key("path");
        ErrorBody { text: cut(&parts.join(": ")), from_engine: by_engine && !by_container && fault.is_none() }
    }
}

/// One line of at most 500 characters.
pub(crate) fn cut(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() {
        return "no error text".to_owned();
    }
    text.chars().take(TEXT_LIMIT).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn tells(value: &Value) -> bool {
    !words(value).is_empty()
}

fn words(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.trim().to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> (String, bool) {
        let body = ErrorBody::read(body.as_bytes());
        (body.text, body.from_engine)
    }

    #[test]
    fn every_known_form_gives_its_words_and_its_origin() {
        let engine = [
            (r#"{"message":"Bad request","exception":"unknown key"}"#, "Bad request: unknown key"),
            (r#"{"message":"Not found"}"#, "Not found"),
            (r#"{"exception":"boom","message":null}"#, "boom"),
            (r#"{"details":{"field":"name"}}"#, r#"{"field":"name"}"#),
            (r#"{"message":["a","b"]}"#, r#"["a","b"]"#),
        ];
        for (body, text) in engine {
            assert_eq!(read(body), (text.to_owned(), true));
        }
        let others = [
            (r#"{"fault":{"faultstring":"Spike arrest","detail":{}}}"#, "Spike arrest"),
            (r#"{"error":"invalid_client","error_description":"no"}"#, "invalid_client: no"),
            (r#"{"timestamp":1,"status":500,"error":"Internal","message":"x","path":"/"}"#, "x: Internal"),
            ("<html>\nbad</html>", "<html> bad</html>"),
            ("", "no error text"),
            ("[1]", "[1]"),
        ];
        for (body, text) in others {
            assert_eq!(read(body), (text.to_owned(), false));
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let text = ErrorBody::read("é".repeat(2_000).as_bytes()).text;
        assert_eq!(text.chars().count(), TEXT_LIMIT);
    }
}
