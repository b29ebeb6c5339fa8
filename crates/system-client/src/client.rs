//! A system, however it is reached.

use crate::http::HttpSystem;
use crate::kafka::KafkaSystem;
use crate::request::{CallError, Method, Request, Response};
use crate::settings::{Reach, Settings, SettingsError};

/// A system that can be called.
pub struct System(Transport);

enum Transport {
    Http(Box<HttpSystem>),
    Kafka(Box<KafkaSystem>),
}

impl System {
    /// Makes the client; nothing is sent.
    ///
    /// # Errors
    /// Settings that make no client.
    pub fn new(settings: &Settings) -> Result<System, SettingsError> {
        Ok(System(match &settings.reach {
            Reach::Http(http) => Transport::Http(Box::new(HttpSystem::new(settings, http)?)),
            Reach::Kafka(kafka) => Transport::Kafka(Box::new(KafkaSystem::new(settings, kafka)?)),
        }))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match &self.0 {
            Transport::Http(system) => system.name(),
            Transport::Kafka(system) => system.name(),
        }
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// There is no answer that could be used. A refusal is an answer.
    pub async fn call(&self, request: &Request) -> Result<Response, CallError> {
        match &self.0 {
            Transport::Http(system) => system.call(request).await,
            Transport::Kafka(system) => system.call(request).await,
        }
    }

    /// Asks without effect. Any answer but 5xx, 429 and refused credentials shows that the system is well; of one behind Kafka that its
    /// topics can be reached.
    ///
    /// # Errors
    /// As [`System::call`].
    pub async fn probe(&self) -> Result<Response, CallError> {
        match &self.0 {
            Transport::Http(system) => system.probe().await,
            Transport::Kafka(system) => system.probe().await,
        }
    }
}

impl Method {
    /// As HTTP writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}
