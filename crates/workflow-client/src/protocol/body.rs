//! Request bodies. Both engines take the same fields where they take the call at all.

use serde::Serialize;

use crate::engine::{Acquire, JobFailure, Start};
use crate::time::iso_duration;
use crate::variable::Variable;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StartBody<'a> {
    process_definition_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    business_key: &'a str,
    variables: &'a [Variable],
    /// Flowable echoes the variables all the same; the answer is read past them.
    return_variables: bool,
}

impl<'a> StartBody<'a> {
    pub(super) fn new(start: &Start<'a>) -> Self {
        StartBody {
            process_definition_key: start.definition,
            name: start.name,
            business_key: start.business_key,
            variables: start.variables,
            return_variables: false,
        }
    }
}

/// Only ever `messageEventReceived`: `trigger` would move a waiting process on without its message.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MessageBody<'a> {
    action: &'static str,
    message_name: &'a str,
    variables: &'a [Variable],
}

impl<'a> MessageBody<'a> {
    pub(super) fn new(message_name: &'a str, variables: &'a [Variable]) -> Self {
        MessageBody { action: "messageEventReceived", message_name, variables }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AcquireBody<'a> {
    topic: &'a str,
    worker_id: &'a str,
    lock_duration: String,
    number_of_tasks: u32,
}

impl<'a> AcquireBody<'a> {
    pub(super) fn new(acquire: &Acquire<'a>) -> Self {
        AcquireBody {
            topic: acquire.topic,
            worker_id: acquire.worker,
            lock_duration: iso_duration(acquire.lock),
            number_of_tasks: acquire.max,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CompleteJobBody<'a> {
    pub(super) worker_id: &'a str,
    pub(super) variables: &'a [Variable],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BpmnErrorBody<'a> {
    pub(super) worker_id: &'a str,
    pub(super) error_code: &'a str,
    pub(super) variables: &'a [Variable],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FailJobBody<'a> {
    worker_id: &'a str,
    error_message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_details: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retries: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_timeout: Option<String>,
}

impl<'a> FailJobBody<'a> {
    pub(super) fn new(worker_id: &'a str, failure: &JobFailure<'a>) -> Self {
        FailJobBody {
            worker_id,
            error_message: failure.message,
            error_details: failure.details,
            retries: failure.retries,
            retry_timeout: failure.retry_timeout.map(iso_duration),
        }
    }
}

/// Claiming; `assignee: null` is how Flowable unclaims, so a null is written out.
#[derive(Serialize)]
pub(super) struct AssignBody<'a> {
    pub(super) action: &'static str,
    pub(super) assignee: Option<&'a str>,
}

#[derive(Serialize)]
pub(super) struct CompleteTaskBody<'a> {
    pub(super) action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outcome: Option<&'a str>,
    pub(super) variables: &'a [Variable],
}
