//! What can be known about a value before any event has come: its type, from the Avro schema.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use apache_avro::Schema;
use apache_avro::schema::{Name, NamesRef, RecordSchema, ResolvedSchema, UnionSchema};

/// The static type of an expression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Type {
    /// Known only when the event is there.
    Dyn,
    Null,
    Bool,
    Int,
    Double,
    Text,
    Bytes,
    Duration,
    Timestamp,
    /// A text that is one of these symbols.
    Enum(Arc<[String]>),
    List(Arc<Type>),
    Map(Arc<Type>),
    Record(Arc<RecordType>),
    /// The type, or null.
    Nullable(Arc<Type>),
}

/// A record and its fields, in the schema's order.
#[derive(Debug, PartialEq)]
pub(crate) struct RecordType {
    pub(crate) fields: Vec<(String, Type)>,
    /// The fields that whoever writes one may leave out, because they have a default.
    pub(crate) optional: BTreeSet<String>,
}

impl RecordType {
    pub(crate) fn field(&self, name: &str) -> Option<&Type> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, of)| of)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.fields.iter().map(|(name, _)| name.as_str())
    }
}

impl Type {
    /// The type of the data that a schema describes, as [`event_model`] hands it over in JSON.
    pub(crate) fn of_schema(schema: &Schema) -> Self {
        let resolved = ResolvedSchema::try_from(schema).ok();
        let none = HashMap::new();
        let names = resolved.as_ref().map_or(&none, ResolvedSchema::get_names);
        Reader { names, open: Vec::new() }.read(schema)
    }

    pub(crate) fn record(fields: impl IntoIterator<Item = (&'static str, Type)>) -> Self {
        let fields = fields.into_iter().map(|(name, of)| (name.to_owned(), of)).collect();
        Self::Record(Arc::new(RecordType { fields, optional: BTreeSet::new() }))
    }

    pub(crate) fn nullable(self) -> Self {
        match self {
            Self::Dyn | Self::Null | Self::Nullable(_) => self,
            Self::Bool
            | Self::Int
            | Self::Double
            | Self::Text
            | Self::Bytes
            | Self::Duration
            | Self::Timestamp
            | Self::Enum(_)
            | Self::List(_)
            | Self::Map(_)
            | Self::Record(_) => Self::Nullable(Arc::new(self)),
        }
    }

    /// The type once null is ruled out.
    pub(crate) fn without_null(&self) -> &Self {
        if let Self::Nullable(inner) = self { inner } else { self }
    }

    pub(crate) fn may_be_null(&self) -> bool {
        matches!(self, Self::Null | Self::Nullable(_))
    }

    /// Texts, and enums, which are texts in expressions.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self, Self::Text | Self::Enum(_))
    }

    /// The type of a value that is either this or that.
    pub(crate) fn or(&self, other: &Self) -> Self {
        let (left, right) = (self.without_null(), other.without_null());
        let joined = match (left, right) {
            (Self::Null, some) | (some, Self::Null) => some.clone(),
            (left, right) if left == right => left.clone(),
            (left, right) if left.is_text() && right.is_text() => Self::Text,
            _ => Self::Dyn,
        };
        if self.may_be_null() || other.may_be_null() { joined.nullable() } else { joined }
    }

    /// The word for it in messages.
    pub(crate) fn noun(&self) -> String {
        match self {
            Self::Dyn => "a value of unknown type".to_owned(),
            Self::Null => "null".to_owned(),
            Self::Bool => "true or false".to_owned(),
            Self::Int => "a whole number".to_owned(),
            Self::Double => "a decimal number".to_owned(),
            Self::Text | Self::Enum(_) => "text".to_owned(),
            Self::Bytes => "bytes".to_owned(),
            Self::Duration => "a duration".to_owned(),
            Self::Timestamp => "a timestamp".to_owned(),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) => "a map".to_owned(),
            Self::Record(_) => "a record".to_owned(),
            Self::Nullable(inner) => format!("{} or null", inner.noun()),
        }
    }
}

/// Walks an Avro schema; named types that contain themselves become [`Type::Dyn`] at the second level.
struct Reader<'s> {
    names: &'s NamesRef<'s>,
    open: Vec<&'s Name>,
}

impl<'s> Reader<'s> {
    fn read(&mut self, schema: &'s Schema) -> Type {
        match schema {
            Schema::Null => Type::Null,
            Schema::Boolean => Type::Bool,
            Schema::Int | Schema::Long => Type::Int,
            Schema::Float | Schema::Double => Type::Double,
            Schema::String | Schema::Uuid => Type::Text,
            Schema::Array(array) => Type::List(Arc::new(self.read(&array.items))),
            Schema::Map(map) => Type::Map(Arc::new(self.read(&map.types))),
            Schema::Enum(symbols) => Type::Enum(symbols.symbols.clone().into()),
            Schema::Record(record) => self.record(record),
            Schema::Union(union) => self.union(union),
            Schema::Ref { name } => match self.names.get(name) {
                Some(named) => self.read(named),
                None => Type::Dyn,
            },
            // In the normal form of event-model, times are counts and bytes are base64 text.
            Schema::Date
            | Schema::TimeMillis
            | Schema::TimeMicros
            | Schema::TimestampMillis
            | Schema::TimestampMicros
            | Schema::TimestampNanos
            | Schema::LocalTimestampMillis
            | Schema::LocalTimestampMicros
            | Schema::LocalTimestampNanos => Type::Int,
            Schema::Bytes | Schema::Fixed(_) => Type::Text,
            Schema::Decimal(_) | Schema::BigDecimal | Schema::Duration => Type::Dyn,
        }
    }

    fn record(&mut self, record: &'s RecordSchema) -> Type {
        if self.open.contains(&&record.name) {
            return Type::Dyn;
        }
        self.open.push(&record.name);
        let fields = record.fields.iter().map(|field| (field.name.clone(), self.read(&field.schema))).collect();
        self.open.pop();
        let with_default = record.fields.iter().filter(|field| field.default.is_some());
        let optional = with_default.map(|field| field.name.clone()).collect();
        Type::Record(Arc::new(RecordType { fields, optional }))
    }

    fn union(&mut self, union: &'s UnionSchema) -> Type {
        let variants = union.variants().iter().map(|variant| self.read(variant));
        variants.reduce(|left, right| left.or(&right)).unwrap_or(Type::Null)
    }
}
