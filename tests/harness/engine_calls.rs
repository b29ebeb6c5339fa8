//! The emulated engine: how a client reaches it, and what it counted of its own calls

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use emulator::Emulator;
use serde_json::Value;
use workflow_client::{Auth, Settings};

/// One operation, as the engine saw it
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineCalls {
    /// Requests
    pub calls: u64,
    /// Those of them that were answered by a status of 400 or above, or not at all
    pub bad: u64,
}

/// Settings of a client of the emulated engine
pub fn emulated_engine(emulator: &Emulator) -> Settings {
    let auth = Auth::ClientCredentials {
        token_url: emulator.token_url(),
        client_id: emulator.client_id().to_owned(),
        client_secret: emulator.client_secret().into(),
    };
    Settings::opentext(emulator.base_url(), auth)
}

/// Calls by operation, such as `start` or `list-history`, since the engine began.
///
/// # Errors
/// The engine's statistics cannot be read.
pub async fn engine_calls(emulator: &Emulator) -> Result<BTreeMap<String, EngineCalls>> {
    let url = format!("{}/_stats", emulator.control_url().trim_end_matches('/'));
    let answer: Value = serde_json::from_slice(&reqwest::get(&url).await?.error_for_status()?.bytes().await?)?;
    let operations = answer.get("operations").unwrap_or(&answer).as_object().context("the statistics are no object")?;
    let counts = operations.iter().filter_map(|(name, count)| {
        let calls = count.get("calls")?.as_u64()?;
        let dropped = count.get("dropped").and_then(Value::as_u64).unwrap_or(0);
        let refused = count.get("answers").and_then(Value::as_object).map_or(0, |answers| {
            answers.iter().filter(|(status, _)| status.as_str() >= "400").filter_map(|(_, n)| n.as_u64()).sum()
        });
        Some((name.clone(), EngineCalls { calls, bad: dropped + refused }))
    });
    Ok(counts.collect())
}
