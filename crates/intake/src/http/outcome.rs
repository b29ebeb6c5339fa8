//! From a process that posts that it has an outcome to the record that the flow will read.
//!
//! It is a hint and nothing more. An HTTP task posts within the engine's open transaction, which may be rolled back and made again, and
//! whoever knows the token may post what he likes: the record names an instance, and all else is asked of the engine.

use event_model::{JobRecord, OutgoingRecord};
use serde_json::Value;

use super::Unfit;
use super::answer::Refusal;

/// Longest id of an instance, in bytes; the engines' are a third of it.
const MAX_ID: usize = 255;

/// The instance, and the record of it; whatever else the body holds is left alone.
pub(super) fn record(flow: &str, body: &[u8]) -> Result<(String, OutgoingRecord), Refusal> {
    let unfit = |reason, field, detail: String| Refusal::Unfit(Unfit { reason, field, detail });
    let posted: Value = serde_json::from_slice(body).map_err(|error| {
        let detail = format!(
            "the body must be JSON, {{\"processInstanceId\": \"…\"}}; it is not at line {}, column {}",
            error.line(),
            error.column()
        );
        unfit("undecodable-json", None, detail)
    })?;
    let instance = posted.get("processInstanceId").and_then(Value::as_str).unwrap_or_default().to_owned();
    let is_id =
        !instance.is_empty() && instance.len() <= MAX_ID && instance.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_id {
        let field = Some("$.processInstanceId".to_owned());
        let detail = "must be the id of a process instance; in an HTTP task it is ${execution.processInstanceId}, and the body an expression";
        return Err(unfit("bad-instance-id", field, detail.to_owned()));
    }
    let record = JobRecord::posted(instance.clone()).to_record(flow);
    let record = record.map_err(|error| unfit("bad-instance-id", None, error.to_string()))?;
    Ok((instance, record))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> (u16, String) {
        let refusal = record("tickets", body.as_bytes()).expect_err("refused");
        (refusal.status().as_u16(), refusal.detail())
    }

    #[test]
    fn nothing_of_a_post_is_taken_but_the_instance() {
        let body =
            r#"{"processInstanceId":"p-1","decision":"approved","variables":{"xc":1},"topic":"tickets.outcome"}"#;
        let (instance, record) = record("tickets", body.as_bytes()).expect("taken");
        assert_eq!((instance.as_str(), &*record.topic), ("p-1", "xc.tickets.jobs"));
        assert_eq!(record.key.as_deref(), Some(b"p-1".as_slice()), "where history's record of the same instance lies");
        let written: JobRecord = serde_json::from_slice(&record.value.expect("a value")).expect("a job");
        assert_eq!(written, JobRecord::posted("p-1".to_owned()));
    }

    #[test]
    fn what_names_no_instance_is_refused_with_the_way_out() {
        let (status, detail) = refused("{\"processInstanceId\": hunter2}");
        assert!(status == 400 && detail.contains("line 1") && !detail.contains("hunter2"), "{status} {detail}");
        let long = format!("{{\"processInstanceId\":\"{}\"}}", "a".repeat(256));
        let unset = r#"{"processInstanceId":"${execution.processInstanceId} of it"}"#;
        let none = ["{}", "null", "[1]", r#"{"processInstanceId":""}"#, r#"{"processInstanceId":7}"#];
        for body in none.into_iter().chain([unset, long.as_str()]) {
            let (status, detail) = refused(body);
            assert!(status == 422 && detail.contains("${execution.processInstanceId}"), "{body}: {status} {detail}");
        }
        assert_eq!(refused("").0, 400);
    }
}
