//! One of the two engines, and the connector's settings for it

use std::collections::BTreeMap;

use emulator::{Emulator, Faults, Options, Switches};
use promises::{Deployment, EngineCalls, Flowable, Kafka, emulated_engine, engine_calls};
use workflow_client::{Engine, Settings};

use super::CONFLUENT_ID;

/// An engine to test against
pub(crate) struct Bench {
    pub(crate) settings: Settings,
    /// A client that shares nothing with the connector under test but its code
    pub(crate) engine: Engine,
    /// Further lines for `[engine]`
    engine_lines: String,
    // serves while the bench lives
    emulator: Option<Emulator>,
}

impl Bench {
    /// The real one
    pub(crate) async fn flowable() -> Self {
        Self::over(Flowable::shared().await.unwrap().client_settings(), String::new(), None)
    }

    /// The OpenText dialect with OAuth2: tokens live for 15 seconds, and history is half a second behind.
    ///
    /// Not shorter: on a starved machine a token must still be good when the call that it was fetched for leaves.
    pub(crate) async fn opentext() -> Self {
        let switches =
            Switches { sweep_interval_ms: 1_000, token_expires_in_s: 15, history_lag_ms: 500, ..Switches::default() };
        let emulator = Emulator::start(Options { switches, ..Options::default() }).await.unwrap();
        let settings = emulated_engine(&emulator);
        Self::over(settings, "history_lag = \"1s\"\n".to_owned(), Some(emulator))
    }

    fn over(mut settings: Settings, engine_lines: String, emulator: Option<Emulator>) -> Self {
        settings.request_timeout = promises::DEADLINE;
        settings.connect_timeout = promises::DEADLINE;
        Self { engine: Engine::new(settings.clone()).unwrap(), settings, engine_lines, emulator }
    }

    /// More lines for `[engine]`, such as a shorter `request_timeout`
    pub(crate) fn with(mut self, lines: &str) -> Self {
        self.engine_lines.push_str(lines);
        self.engine_lines.push('\n');
        self
    }

    /// What `[engine]` needs beside the engine's address
    pub(crate) fn engine_lines(&self) -> &str {
        &self.engine_lines
    }

    /// The handle that disturbs the engine; only the emulated one has it.
    pub(crate) fn faults(&self) -> Faults {
        self.emulator.as_ref().unwrap().faults()
    }

    /// What the engine counted of its calls; only the emulated one does.
    pub(crate) async fn calls(&self) -> BTreeMap<String, EngineCalls> {
        engine_calls(self.emulator.as_ref().unwrap()).await.unwrap()
    }

    /// The tickets flow on this engine; nothing is made yet.
    pub(crate) fn tickets(&self, kafka: &Kafka) -> Deployment {
        let extra = format!(
            "{}[schema_ids]\n{CONFLUENT_ID} = \"ticket/v1\"\n[jobs]\npoll_interval = \"100ms\"",
            self.engine_lines
        );
        Deployment::of_tickets(kafka, &self.settings, &extra).unwrap()
    }
}
