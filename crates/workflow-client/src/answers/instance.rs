//! Process instances.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

use super::Comment;
use super::fields::{date, flag, non_empty, or_default, variables};
use crate::pages::Row;
use crate::time;
use crate::variable::{Variable, VariableValue};

/// A process instance, running or from history.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Instance {
    /// The engine's id.
    pub id: String,
    /// Not unique: several instances may share it.
    #[serde(default)]
    pub business_key: Option<String>,
    /// Title for people.
    #[serde(default)]
    pub name: Option<String>,
    /// `key:version:id` where the answer has it; OpenText's runtime answers lack it.
    #[serde(default)]
    pub process_definition_id: Option<String>,
    /// When it was started.
    #[serde(default, deserialize_with = "date")]
    pub start_time: Option<Timestamp>,
    /// When it ended; see [`Instance::is_ended`].
    #[serde(default, deserialize_with = "end_date")]
    end_time: Option<EndTime>,
    /// It ended within the start call.
    #[serde(default, deserialize_with = "flag")]
    ended: bool,
    /// Suspended instances take no message.
    #[serde(default, deserialize_with = "flag")]
    pub suspended: bool,
    /// The calling instance, when this is the instance of a call activity.
    #[serde(default, deserialize_with = "non_empty")]
    pub super_process_instance_id: Option<String>,
    /// Why it was terminated, from history.
    #[serde(default)]
    pub delete_reason: Option<String>,
    /// The end event that was reached, from history.
    #[serde(default)]
    pub end_activity_id: Option<String>,
    /// Who started it, if the engine knows.
    #[serde(default)]
    pub start_user_id: Option<String>,
    /// `None` when the answer says nothing about variables (a start never does): then "has no such variable" is
    /// not known.
    #[serde(default, deserialize_with = "variables")]
    pub variables: Option<Vec<Variable>>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) comments: Vec<Comment>,
}

/// That an end time is there counts more than what it says: an unreadable date is still an end.
#[derive(Debug, Clone, Copy, PartialEq)]
struct EndTime(Option<Timestamp>);

impl Instance {
    /// The key of its definition, taken from the definition's id; `None` when the answer does not show it.
    pub fn definition_key(&self) -> Option<&str> {
        let mut parts = self.process_definition_id.as_deref()?.splitn(3, ':');
        let (key, version, rest) = (parts.next()?, parts.next()?, parts.next()?);
        // Flowable shortens ids over 64 characters to the last part, which then has no key in it.
        (!key.is_empty() && !rest.is_empty() && version.parse::<u32>().is_ok()).then_some(key)
    }

    /// Whether it is over, normally or by termination.
    pub fn is_ended(&self) -> bool {
        self.ended || self.end_time.is_some()
    }

    /// When it ended, if it did and the date can be read.
    pub fn end_time(&self) -> Option<Timestamp> {
        self.end_time.and_then(|EndTime(time)| time)
    }

    /// Whether it was started by an event rather than by a call activity of another instance.
    pub fn is_root(&self) -> bool {
        self.super_process_instance_id.is_none()
    }

    /// A variable's value; `None` when it is not there or the variables are not known.
    pub fn variable(&self, name: &str) -> Option<&VariableValue> {
        self.variables.iter().flatten().find(|variable| variable.name == name).map(|variable| &variable.value)
    }
}

impl Row for Instance {
    const COLLECTION: &'static str = "process-instances";
    fn id(&self) -> &str {
        &self.id
    }
}

/// The answer to a start. Flowable echoes every variable, megabytes of them: they are skipped while parsing.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Started {
    id: String,
    #[serde(default)]
    business_key: Option<String>,
    #[serde(default)]
    process_definition_id: Option<String>,
    #[serde(default, deserialize_with = "date")]
    start_time: Option<Timestamp>,
    #[serde(default, deserialize_with = "flag")]
    ended: bool,
    #[serde(default, deserialize_with = "flag")]
    suspended: bool,
}

impl From<Started> for Instance {
    fn from(started: Started) -> Self {
        Instance {
            id: started.id,
            business_key: started.business_key,
            name: None,
            process_definition_id: started.process_definition_id,
            start_time: started.start_time,
            end_time: None,
            ended: started.ended,
            suspended: started.suspended,
            super_process_instance_id: None,
            delete_reason: None,
            end_activity_id: None,
            start_user_id: None,
            variables: None,
            comments: Vec::new(),
        }
    }
}

fn end_date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<EndTime>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    Ok(text.filter(|text| !text.is_empty()).map(|text| EndTime(time::parse(&text))))
}
