//! Avro schema resolution: how a value of the writer's type becomes one of the reader's.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::schema::{Enumeration, Fault, Field, Node, NodeId, Plan, Record, canonical_uuid, finite};

/// The two schemas of a datum. They are the same object where a record was written with the flow's own schema.
#[derive(Clone, Copy)]
pub(super) struct Types<'a> {
    pub(super) writer: &'a Plan,
    pub(super) reader: &'a Plan,
}

/// A value without parts, as written.
pub(super) enum Raw<'a> {
    Null,
    Boolean(bool),
    Whole(i64),
    Floating(f64),
    Bytes(&'a [u8]),
    Text(&'a str),
}

impl Types<'_> {
    pub(super) fn same(&self) -> bool {
        std::ptr::eq(self.writer, self.reader)
    }

    /// What the reader takes a written value (of no union) for: the wanted type, or the branch of a wanted union. A
    /// branch of the same kind and name comes before one of the same kind, and that before one by promotion.
    pub(super) fn branch_for(&self, written: NodeId, wanted: NodeId) -> Result<NodeId, Fault> {
        let from = self.writer.node(written);
        let Node::Union(branches) = self.reader.node(wanted) else {
            return match fit(from, self.reader.node(wanted)) {
                Fit::No => Err(self.mismatch(written, wanted)),
                Fit::Promotion | Fit::Kind | Fit::ShortName | Fit::Name => Ok(wanted),
            };
        };
        branches
            .iter()
            .copied()
            .map(|branch| (fit(from, self.reader.node(branch)), branch))
            .filter(|(fit, _)| *fit != Fit::No)
            // The first of the best: `max_by_key` alone would give the last.
            .rev()
            .max_by_key(|(fit, _)| *fit)
            .map(|(_, branch)| branch)
            .ok_or_else(|| self.mismatch(written, wanted))
    }

    fn mismatch(&self, written: NodeId, wanted: NodeId) -> Fault {
        Fault::new(format!(
            "the writer's type {} cannot be read as {}",
            self.writer.type_name(written),
            self.reader.type_name(wanted)
        ))
    }
}

/// How well a written type fits a wanted one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    No,
    Promotion,
    Kind,
    ShortName,
    Name,
}

fn fit(from: &Node, to: &Node) -> Fit {
    let named = |from: &str, to: &str| {
        if from == to {
            Fit::Name
        } else if unqualified(from) == unqualified(to) {
            Fit::ShortName
        } else {
            Fit::Kind
        }
    };
    match (from, to) {
        (Node::Null, Node::Null)
        | (Node::Boolean, Node::Boolean)
        | (Node::Int(_), Node::Int(_))
        | (Node::Long(_), Node::Long(_))
        | (Node::Float, Node::Float)
        | (Node::Double, Node::Double)
        | (Node::Bytes, Node::Bytes)
        | (Node::String, Node::String)
        | (Node::Uuid, Node::Uuid)
        | (Node::Array(_), Node::Array(_))
        | (Node::Map(_), Node::Map(_)) => Fit::Name,
        (Node::Record(from), Node::Record(to)) => named(&from.name, &to.name),
        (Node::Enum(from), Node::Enum(to)) => named(&from.name, &to.name),
        (Node::Fixed { name: from, size }, Node::Fixed { name: to, size: wanted }) if size == wanted => named(from, to),
        (Node::String, Node::Uuid) | (Node::Uuid, Node::String) => Fit::Kind,
        (Node::Int(_), Node::Long(_) | Node::Float | Node::Double)
        | (Node::Long(_), Node::Float | Node::Double)
        | (Node::Float, Node::Double)
        | (Node::String | Node::Uuid, Node::Bytes)
        | (Node::Bytes, Node::String | Node::Uuid) => Fit::Promotion,
        (
            Node::Null
            | Node::Boolean
            | Node::Int(_)
            | Node::Long(_)
            | Node::Float
            | Node::Double
            | Node::Bytes
            | Node::String
            | Node::Uuid
            | Node::Array(_)
            | Node::Map(_)
            | Node::Union(_)
            | Node::Record(_)
            | Node::Enum(_)
            | Node::Fixed { .. },
            _,
        ) => Fit::No,
    }
}

fn unqualified(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// The reader's field for a writer's field, by name or alias.
pub(super) fn field<'a>(written: &str, to: &'a Record) -> Option<&'a Field> {
    let by_name = to.fields.iter().find(|field| field.name == written);
    by_name.or_else(|| to.fields.iter().find(|field| field.aliases.iter().any(|alias| alias == written)))
}

/// The reader's symbol for a written one, else its default.
pub(super) fn symbol<'a>(written: &str, to: &'a Enumeration) -> Result<&'a str, Fault> {
    let same = to.symbols.iter().find(|symbol| *symbol == written);
    same.or(to.default.as_ref())
        .map(String::as_str)
        .ok_or_else(|| Fault::new(format!("the writer's symbol is none of {}", to.symbols.join(", "))))
}

/// A written value in the normal form of the reader's type.
pub(super) fn promote(raw: Raw<'_>, to: &Node) -> Result<Value, Fault> {
    match (raw, to) {
        (Raw::Null, Node::Null) => Ok(Value::Null),
        (Raw::Boolean(boolean), Node::Boolean) => Ok(boolean.into()),
        (Raw::Whole(number), Node::Int(_) | Node::Long(_)) => Ok(number.into()),
        // Avro's promotion of long to a floating type rounds.
        (Raw::Whole(number), Node::Float) => finite(f64::from(number as f32), "float"),
        (Raw::Whole(number), Node::Double) => finite(number as f64, "double"),
        (Raw::Floating(number), Node::Float | Node::Double) => finite(number, "number"),
        (Raw::Bytes(bytes), Node::Bytes) => Ok(STANDARD.encode(bytes).into()),
        (Raw::Text(text), Node::Bytes) => Ok(STANDARD.encode(text).into()),
        (Raw::Text(text), Node::String) => Ok(text.into()),
        (Raw::Text(text), Node::Uuid) => canonical_uuid(text).map(Value::from),
        (Raw::Bytes(bytes), Node::String) => utf8(bytes).map(Value::from),
        (Raw::Bytes(bytes), Node::Uuid) => canonical_uuid(utf8(bytes)?).map(Value::from),
        (Raw::Null | Raw::Boolean(_) | Raw::Whole(_) | Raw::Floating(_) | Raw::Bytes(_) | Raw::Text(_), _) => {
            Err(Fault::new("the writer's type cannot be read as the flow's"))
        }
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|_| Fault::new("bytes that should become a string are not UTF-8"))
}
