//! The HTTP intake of the process: from its settings to the doors that `intake` serves.

use std::sync::Arc;

use anyhow::Context;
use flow_config::{DoorLock, DoorSettings};
use intake::{Door, Lock};
use secrecy::ExposeSecret;

use crate::handler::FlowHandler;

/// The door of a flow.
///
/// # Errors
/// The secret is none of Standard Webhooks, or the flow reads no topic.
pub(crate) fn door(settings: &DoorSettings, handler: Arc<FlowHandler>) -> anyhow::Result<Door> {
    let lock = match &settings.lock {
        DoorLock::Open => Lock::Open,
        DoorLock::Bearer(token) => Lock::Bearer(token.expose_secret().to_owned()),
        DoorLock::Signature(secret) => Lock::of_webhook_secret(secret.expose_secret()).with_context(|| {
            format!(
                "[[intake.door]] of flow {}: the signature's secret must be whsec_ and base64 of 16 bytes or more",
                settings.flow
            )
        })?,
    };
    let source = handler.source();
    let topic = match &settings.topic {
        Some(topic) => topic.as_str().into(),
        None => source.topics.first().context("the flow reads no topic")?.clone(),
    };
    let (max_body, outcomes) = (source.max_body, handler.is_posted_to());
    let check = Box::new(move |record: &event_model::Record| handler.admit(record));
    let (flow, max_per_second) = (settings.flow.as_str().into(), settings.max_per_second);
    Ok(Door { flow, topic, lock, max_body, max_per_second, check, outcomes })
}
