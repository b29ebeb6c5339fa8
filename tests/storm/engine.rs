//! The engine behind the connector, and a client of our own to it.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use emulator::{Emulator, Options, Switches};
use promises::{EngineCalls, Flowable, emulated_engine, engine_calls};
use workflow_client::Settings;

use crate::EngineKind;

pub(crate) struct Engine {
    pub(crate) settings: Settings,
    /// Shares nothing with the connectors but its code.
    pub(crate) client: workflow_client::Engine,
    /// What disturbs it: the emulated engine itself, or a proxy before the real one. Serves while the storm lasts.
    pub(crate) faults: Emulator,
}

impl Engine {
    pub(crate) async fn start(kind: EngineKind) -> Result<Engine> {
        match kind {
            EngineKind::Flowable => {
                let direct = Flowable::shared().await?.client_settings();
                let url = reqwest::Url::parse(&direct.runtime)?;
                let host = url.host_str().context("the engine has no host")?;
                let upstream = format!("{host}:{}", url.port_or_known_default().unwrap_or(80));
                let proxy = Emulator::start(Options { upstream: Some(upstream), ..Options::default() }).await?;
                let mut settings = direct.clone();
                for url in [&mut settings.runtime, &mut settings.history, &mut settings.jobs] {
                    let path = reqwest::Url::parse(url)?.path().to_owned();
                    *url = format!("{}{path}", proxy.base_url());
                }
                // People and the account reach it directly.
                Ok(Engine { client: workflow_client::Engine::new(direct)?, settings, faults: proxy })
            }
            EngineKind::Emulator => {
                let switches = Switches { sweep_interval_ms: 1_000, history_lag_ms: 500, ..Switches::default() };
                let emulator = Emulator::start(Options { switches, ..Options::default() }).await?;
                let settings = emulated_engine(&emulator);
                Ok(Engine { client: workflow_client::Engine::new(settings.clone())?, settings, faults: emulator })
            }
        }
    }

    /// Requests by operation, and those that were not answered well, as the engine or its proxy counted them.
    pub(crate) async fn counts(&self) -> Result<BTreeMap<String, EngineCalls>> {
        engine_calls(&self.faults).await
    }
}
