//! A schema compiled for walking: an arena of nodes in which references are indices.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::schema::{Name, Namespace, RecordSchema};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::check;
use super::temporal::Unit;
use super::violation::Violation;

pub(crate) type NodeId = usize;

/// All types of one schema. `nodes[root]` is the type of the datum.
pub(crate) struct Plan {
    nodes: Vec<Node>,
    pub(crate) root: NodeId,
}

pub(crate) enum Node {
    Null,
    Boolean,
    Int(Whole),
    Long(Whole),
    Float,
    Double,
    Bytes,
    String,
    Uuid,
    Array(NodeId),
    Map(NodeId),
    Union(Vec<NodeId>),
    Record(Record),
    Enum(Enumeration),
    Fixed { name: String, size: usize },
}

/// What a whole number stands for, as far as JSON may write it in another way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whole {
    /// A number, or a time that is only taken as a number.
    Number,
    /// Days since 1970-01-01.
    Date,
    /// An instant since 1970-01-01 UTC.
    Instant(Unit),
}

pub(crate) struct Record {
    /// Full name.
    pub(crate) name: String,
    pub(crate) fields: Vec<Field>,
}

pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) node: NodeId,
    /// In the normal form, ready to be cloned.
    pub(crate) default: Option<Value>,
}

pub(crate) struct Enumeration {
    /// Full name.
    pub(crate) name: String,
    pub(crate) symbols: Vec<String>,
    pub(crate) default: Option<String>,
}

impl Plan {
    /// Compiles a parsed schema; the error is a sentence about the schema.
    pub(crate) fn compile(schema: &Schema) -> Result<Self, String> {
        let mut compiler = Compiler::default();
        let root = compiler.node(schema, &None)?;
        let mut plan = Self { nodes: compiler.nodes, root };
        plan.settle_defaults()?;
        Ok(plan)
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        // Ids are made by `compile` only and never leave their plan.
        &self.nodes[id]
    }

    /// The name of a type, as tagged unions and messages use it.
    pub(crate) fn type_name(&self, id: NodeId) -> &str {
        match self.node(id) {
            Node::Null => "null",
            Node::Boolean => "boolean",
            Node::Int(_) => "int",
            Node::Long(_) => "long",
            Node::Float => "float",
            Node::Double => "double",
            Node::Bytes => "bytes",
            Node::String | Node::Uuid => "string",
            Node::Array(_) => "array",
            Node::Map(_) => "map",
            Node::Union(_) => "union",
            Node::Record(Record { name, .. }) | Node::Enum(Enumeration { name, .. }) | Node::Fixed { name, .. } => name,
        }
    }

    /// Brings defaults into the normal form, innermost records first: a record's default may rest on the defaults
    /// inside it, and inner records have the higher ids.
    fn settle_defaults(&mut self) -> Result<(), String> {
        for id in (0..self.nodes.len()).rev() {
            let Node::Record(record) = &self.nodes[id] else {
                continue;
            };
            let mut settled = Vec::with_capacity(record.fields.len());
            for field in &record.fields {
                let default = match field.default.clone() {
                    Some(value) => Some(self.settle(record, field, value)?),
                    None => None,
                };
                settled.push(default);
            }
            if let Node::Record(record) = &mut self.nodes[id] {
                for (field, default) in record.fields.iter_mut().zip(settled) {
                    field.default = default;
                }
            }
        }
        Ok(())
    }

    fn settle(&self, record: &Record, field: &Field, mut value: Value) -> Result<Value, String> {
        let of_field = |problem: String| {
            format!("the default of field `{}` of record {} does not fit: {problem}", field.name, record.name)
        };
        if matches!(self.node(field.node), Node::Bytes | Node::Fixed { .. }) {
            value = base64_of_avro_text(value).map_err(of_field)?;
        }
        check::check(self, field.node, &mut value).map_err(|fault| of_field(Violation::from(fault).to_string()))?;
        Ok(value)
    }
}

/// Avro writes the default of bytes as text in which each character from U+0000 to U+00FF is a byte.
fn base64_of_avro_text(value: Value) -> Result<Value, String> {
    let Value::String(text) = value else {
        return Err("expected text".to_owned());
    };
    let bytes: Result<Vec<u8>, _> = text.chars().map(|c| u8::try_from(u32::from(c))).collect();
    bytes
        .map(|bytes| Value::String(STANDARD.encode(bytes)))
        .map_err(|_| "text for bytes must stay within U+0000 to U+00FF".to_owned())
}

#[derive(Default)]
struct Compiler {
    nodes: Vec<Node>,
    named: HashMap<Name, NodeId>,
}

impl Compiler {
    fn node(&mut self, schema: &Schema, namespace: &Namespace) -> Result<NodeId, String> {
        let node = match schema {
            Schema::Null => Node::Null,
            Schema::Boolean => Node::Boolean,
            Schema::Int | Schema::TimeMillis => Node::Int(Whole::Number),
            Schema::Date => Node::Int(Whole::Date),
            Schema::Long
            | Schema::TimeMicros
            | Schema::LocalTimestampMillis
            | Schema::LocalTimestampMicros
            | Schema::LocalTimestampNanos => Node::Long(Whole::Number),
            Schema::TimestampMillis => Node::Long(Whole::Instant(Unit::Milliseconds)),
            Schema::TimestampMicros => Node::Long(Whole::Instant(Unit::Microseconds)),
            Schema::TimestampNanos => Node::Long(Whole::Instant(Unit::Nanoseconds)),
            Schema::Float => Node::Float,
            Schema::Double => Node::Double,
            Schema::Bytes => Node::Bytes,
            Schema::String => Node::String,
            Schema::Uuid => Node::Uuid,
            Schema::Array(array) => Node::Array(self.node(&array.items, namespace)?),
            Schema::Map(map) => Node::Map(self.node(&map.types, namespace)?),
            Schema::Union(union) => {
                let branches: Result<Vec<NodeId>, String> =
                    union.variants().iter().map(|branch| self.node(branch, namespace)).collect();
                Node::Union(branches?)
            }
            Schema::Record(record) => return self.record(record, namespace),
            Schema::Enum(symbols) => {
                let name = symbols.name.fully_qualified_name(namespace);
                let node = Node::Enum(Enumeration {
                    name: name.fullname(None),
                    symbols: symbols.symbols.clone(),
                    default: symbols.default.clone(),
                });
                return Ok(self.add_named(name, node));
            }
            Schema::Fixed(fixed) => {
                let name = fixed.name.fully_qualified_name(namespace);
                let node = Node::Fixed { name: name.fullname(None), size: fixed.size };
                return Ok(self.add_named(name, node));
            }
            Schema::Ref { name } => {
                let name = name.fully_qualified_name(namespace);
                return self
                    .named
                    .get(&name)
                    .copied()
                    .ok_or_else(|| format!("type {} is used but not defined", name.fullname(None)));
            }
            Schema::Decimal(_) | Schema::BigDecimal => {
                return Err("decimals are not supported; use a string, or a long in the smallest unit".to_owned());
            }
            Schema::Duration => {
                return Err("durations are not supported; use an ISO 8601 string".to_owned());
            }
        };
        Ok(self.add(node))
    }

    fn record(&mut self, record: &RecordSchema, namespace: &Namespace) -> Result<NodeId, String> {
        let name = record.name.fully_qualified_name(namespace);
        // Known before its fields are, because a field may refer back to it.
        let id = self.add_named(name.clone(), Node::Null);
        let mut fields = Vec::with_capacity(record.fields.len());
        for field in &record.fields {
            fields.push(Field {
                name: field.name.clone(),
                aliases: field.aliases.clone().unwrap_or_default(),
                node: self
                    .node(&field.schema, &name.namespace)
                    .map_err(|problem| format!("field `{}`: {problem}", field.name))?,
                default: field.default.clone(),
            });
        }
        self.nodes[id] = Node::Record(Record { name: name.fullname(None), fields });
        Ok(id)
    }

    fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn add_named(&mut self, name: Name, node: Node) -> NodeId {
        let id = self.add(node);
        self.named.insert(name, id);
        id
    }
}
