//! The engine behind the connector, and a client of our own to it.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use emulator::{Emulator, Options, Switches};
use promises::Flowable;
use serde_json::Value;
use workflow_client::{Auth, Settings};

use crate::EngineKind;

pub(crate) struct Engine {
    pub(crate) settings: Settings,
    /// Shares nothing with the connectors but its code.
    pub(crate) client: workflow_client::Engine,
    /// Serves while the storm lasts.
    pub(crate) emulator: Option<Emulator>,
}

impl Engine {
    pub(crate) async fn start(kind: EngineKind) -> Result<Engine> {
        match kind {
            EngineKind::Flowable => {
                let settings = Flowable::shared().await?.client_settings();
                Engine::of(settings, None)
            }
            EngineKind::Emulator => {
                let switches = Switches { sweep_interval_ms: 1_000, history_lag_ms: 500, ..Switches::default() };
                let emulator = Emulator::start(Options { switches, ..Options::default() }).await?;
                let auth = Auth::ClientCredentials {
                    token_url: emulator.token_url(),
                    client_id: emulator.client_id().to_owned(),
                    client_secret: emulator.client_secret().into(),
                };
                let settings = Settings::opentext(emulator.base_url(), auth);
                Engine::of(settings, Some(emulator))
            }
        }
    }

    fn of(settings: Settings, emulator: Option<Emulator>) -> Result<Engine> {
        Ok(Engine { client: workflow_client::Engine::new(settings.clone())?, settings, emulator })
    }

    /// Requests by operation, and those that were not answered well, as the engine counted them; empty for Flowable.
    pub(crate) async fn counts(&self) -> Result<BTreeMap<String, (u64, u64)>> {
        let Some(emulator) = &self.emulator else { return Ok(BTreeMap::new()) };
        let url = format!("{}/_stats", emulator.control_url().trim_end_matches('/'));
        let answer: Value = serde_json::from_slice(&reqwest::get(&url).await?.error_for_status()?.bytes().await?)?;
        let operations =
            answer.get("operations").unwrap_or(&answer).as_object().context("the statistics are no object")?;
        let counts = operations.iter().filter_map(|(name, count)| {
            let calls = count.get("calls")?.as_u64()?;
            let dropped = count.get("dropped").and_then(Value::as_u64).unwrap_or(0);
            let bad = count.get("answers").and_then(Value::as_object).map_or(0, |answers| {
                answers.iter().filter(|(status, _)| status.as_str() >= "400").filter_map(|(_, n)| n.as_u64()).sum()
            });
            Some((name.clone(), (calls, dropped + bad)))
        });
        Ok(counts.collect())
    }
}
