//! What the data of a schema is to us: who writes it and who reads it, and so what a next version must not break.

use std::fmt;

use serde_json::Value;

/// What the data of a schema is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A source system tells us something. We read.
    Event,
    /// We tell a source system what became of its event. We write.
    Reply,
    /// We ask a business system for something: the body of a call. We write.
    Command,
    /// What a business system answers. We read.
    Answer,
}

/// The attribute beside a schema's own type. Avro passes over what it does not know.
const ATTRIBUTE: &str = "xconnector.role";

const WORDS: [(&str, Role); 4] =
    [("event", Role::Event), ("reply", Role::Reply), ("command", Role::Command), ("answer", Role::Answer)];

impl Role {
    /// Reads the attribute of a schema; one without it describes events.
    pub(super) fn of(schema: &Value) -> Result<Role, String> {
        let Some(word) = schema.get(ATTRIBUTE) else { return Ok(Role::Event) };
        let known = WORDS.iter().find(|(name, _)| word == name).map(|(_, role)| *role);
        known.ok_or_else(|| {
            let names = WORDS.map(|(name, _)| format!("\"{name}\""));
            format!("its {ATTRIBUTE} must be {}; without one it describes events", names.join(" or "))
        })
    }

    /// Whether others write and we read. Then the next version has to read what is written by the last one; else whoever knows the last
    /// one has to be able to read the next.
    #[must_use]
    pub const fn is_read_by_us(self) -> bool {
        matches!(self, Role::Event | Role::Answer)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Event => "events",
            Role::Reply => "replies",
            Role::Command => "commands",
            Role::Answer => "answers",
        })
    }
}
