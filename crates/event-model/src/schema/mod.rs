//! Schemas: loading, the one normal form of data, and the check that puts JSON into it.

mod check;
mod compatibility;
mod exact;
mod load;
mod plan;
mod role;
mod temporal;
mod violation;

use std::fmt;

use apache_avro::rabin::Rabin;
use serde_json::Value;

use crate::avro;
use crate::error::DecodeError;

pub(crate) use check::{branch_of, canonical_uuid, finite};
pub use load::{SchemaError, SchemaIds, Schemas};
pub(crate) use plan::{Enumeration, Field, Node, NodeId, Plan, Record};
pub use role::Role;
pub use violation::Violation;
pub(crate) use violation::{Fault, Step};

/// A compiled schema, of events or of whatever else [`Role`] says. Named types are resolved once, here; nothing is looked up by name while events are read.
///
/// # The normal form
/// Data that came through a schema, from JSON or from Avro, looks the same to everybody after it:
///
/// | Avro | in the data | JSON input also takes |
/// |---|---|---|
/// | `int`, `long` | whole number | nothing else: `3.0`, `"3"` and numbers out of range are violations |
/// | `float`, `double` | number with a fraction (`3.0`) | whole numbers, where exact; no NaN, no infinity |
/// | `bytes`, `fixed` | base64 text (standard alphabet, padded) | |
/// | `timestamp-*` | whole number since 1970-01-01 UTC, in the unit of the type | RFC 3339 text |
/// | `date` | days since 1970-01-01 | `2026-11-24` |
/// | `time-*`, `local-timestamp-*` | whole number in the unit of the type | |
/// | `uuid` | lower-case text | every text form of a UUID |
/// | `enum` | the symbol | |
/// | union | the plain value | `{"branch": value}`, the form of Avro's own JSON encoding |
/// | record | all fields of the schema, defaults filled in | a field's aliases |
///
/// Fields that the schema does not have are dropped: a producer may be newer than the flow. Of several branches of a
/// union that accept a value the first one counts. `decimal`, `big-decimal`, `duration` and `uuid` on `fixed` are
/// refused at load.
pub struct EventSchema {
    name: String,
    role: Role,
    avro: apache_avro::Schema,
    plan: Plan,
    fingerprint: [u8; 8],
}

impl EventSchema {
    /// Compiles an Avro schema text under a name such as `ticket/v1`.
    ///
    /// # Errors
    /// When the text is no Avro schema, or uses a type that has no place in the normal form.
    pub fn parse(name: &str, text: &str) -> Result<Self, SchemaError> {
        let invalid = |problem: String| SchemaError::Invalid { schema: name.to_owned(), problem };
        let json: Value =
            serde_json::from_str(text).map_err(|error| invalid(format!("it is not valid JSON: {error}")))?;
        if has_fixed_uuid(&json) {
            return Err(invalid("uuid on a fixed type is not supported; use it on a string".to_owned()));
        }
        let role = Role::of(&json).map_err(invalid)?;
        let avro = apache_avro::Schema::parse(&json).map_err(|error| invalid(with_causes(&error)))?;
        let plan = Plan::compile(&avro).map_err(invalid)?;
        let digest = avro.fingerprint::<Rabin>();
        let fingerprint = <[u8; 8]>::try_from(digest.bytes.as_slice())
            .map_err(|_| invalid("its fingerprint does not have 8 bytes".to_owned()))?;
        Ok(Self { name: name.to_owned(), role, avro, plan, fingerprint })
    }

    /// The name, `<folder>/<file stem>`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its data is to us.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The schema as parsed, for whoever checks expressions against it.
    #[must_use]
    pub const fn avro(&self) -> &apache_avro::Schema {
        &self.avro
    }

    /// CRC-64-AVRO of the schema's canonical form, as single-object encoding writes it (little-endian).
    #[must_use]
    pub const fn fingerprint(&self) -> [u8; 8] {
        self.fingerprint
    }

    /// Checks JSON against the schema and gives it back in the normal form (see the table of [`EventSchema`]).
    ///
    /// # Errors
    /// The first violation, with its path.
    pub fn check_json(&self, mut value: Value) -> Result<Value, Violation> {
        check::check(&self.plan, self.plan.root, &mut value).map_err(Violation::from)?;
        Ok(value)
    }

    /// Checks JSON that goes to others as it is: nothing is filled in, taken away or understood in another form on its way. Beside
    /// what [`EventSchema::check_json`] refuses, these are violations: fields that the schema does not have, aliases, tagged branches
    /// of unions, and times as text.
    ///
    /// # Errors
    /// The first violation, with its path.
    pub fn check_exactly(&self, value: &Value) -> Result<(), Violation> {
        self.check_json(value.clone())?;
        exact::check(&self.plan, self.plan.root, value).map_err(Violation::from)
    }

    /// Reads a bare datum that was written with this very schema.
    ///
    /// # Errors
    /// [`DecodeError::UndecodableAvro`] for truncated, damaged or over-long data, [`DecodeError::SchemaViolation`]
    /// for values without a place in the normal form.
    pub fn decode_avro(&self, datum: &[u8]) -> Result<Value, DecodeError> {
        self.decode_avro_from(self, datum)
    }

    /// Reads a bare datum that was written with `writer`, as this schema sees it (Avro schema resolution: fields by
    /// name or alias, defaults, promotions, unions).
    ///
    /// # Errors
    /// As [`EventSchema::decode_avro`]; also a schema violation where the writer's type cannot be read as this one.
    pub fn decode_avro_from(&self, writer: &Self, datum: &[u8]) -> Result<Value, DecodeError> {
        avro::read(&writer.plan, &self.plan, datum).map_err(|error| match error {
            avro::ReadError::Damaged { fault, byte } => {
                let Violation { path, problem } = fault.into();
                DecodeError::UndecodableAvro { path, problem, byte }
            }
            avro::ReadError::Violation(fault) => {
                DecodeError::SchemaViolation { schema: self.name.clone(), violation: fault.into() }
            }
        })
    }

    /// Writes data as a bare Avro datum. Takes what [`EventSchema::check_json`] takes.
    ///
    /// # Errors
    /// The first violation, with its path.
    pub fn encode_avro(&self, value: &Value) -> Result<Vec<u8>, Violation> {
        let mut datum = Vec::new();
        self.encode_onto(value, &mut datum)?;
        Ok(datum)
    }

    /// Writes data in Avro's single-object encoding: `C3 01`, fingerprint, datum.
    ///
    /// # Errors
    /// The first violation, with its path.
    pub fn encode_single_object(&self, value: &Value) -> Result<Vec<u8>, Violation> {
        let mut bytes = avro::SINGLE_OBJECT_MARKER.to_vec();
        bytes.extend_from_slice(&self.fingerprint);
        self.encode_onto(value, &mut bytes)?;
        Ok(bytes)
    }

    fn encode_onto(&self, value: &Value, out: &mut Vec<u8>) -> Result<(), Violation> {
        let checked = self.check_json(value.clone())?;
        avro::write(&self.plan, &checked, out).map_err(Violation::from)
    }
}

/// The parsed schema does not tell a uuid of 16 bytes from one of text, and guessing would misread the datum.
fn has_fixed_uuid(json: &Value) -> bool {
    match json {
        Value::Object(entries) => {
            let is = |name: &str, text: &str| entries.get(name).is_some_and(|value| value == text);
            (is("type", "fixed") && is("logicalType", "uuid")) || entries.values().any(has_fixed_uuid)
        }
        Value::Array(items) => items.iter().any(has_fixed_uuid),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

impl fmt::Debug for EventSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EventSchema").field(&self.name).finish()
    }
}

#[cfg(test)]
mod tests;
