//! Reading a datum: the writer's schema says what the bytes are, the reader's what becomes of them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::cursor::Cursor;
use super::resolve::{self, Types};
use crate::schema::{Fault, Node, NodeId, Plan, Record, Step};

/// Why a datum could not be read.
pub(crate) enum ReadError {
    /// The bytes are not a datum of the writer's schema.
    Damaged {
        fault: Fault,
        /// Bytes read before the problem showed.
        byte: usize,
    },
    /// The datum is sound, but cannot be seen as the reader's schema wants it.
    Violation(Fault),
}

/// Deeper nesting is refused before the stack is in danger. Parsed JSON ends at 128; a nullable reference is one level
/// there and two here, so whatever came as JSON can also come as Avro.
const MAX_DEPTH: usize = 256;

/// Reads one datum and all of it.
pub(crate) fn read(writer: &Plan, reader: &Plan, datum: &[u8]) -> Result<Value, ReadError> {
    let mut reading =
        Reading { cursor: Cursor::new(datum), types: Types { writer, reader }, depth: 0, violated: false };
    let read = reading.value(writer.root, reader.root);
    let byte = reading.cursor.position();
    match read {
        Ok(value) => match reading.cursor.remaining() {
            0 => Ok(value),
            rest => {
                Err(ReadError::Damaged { fault: Fault::new(format!("{rest} bytes follow the end of the datum")), byte })
            }
        },
        Err(fault) if reading.violated => Err(ReadError::Violation(fault)),
        Err(fault) => Err(ReadError::Damaged { fault, byte }),
    }
}

struct Reading<'a> {
    cursor: Cursor<'a>,
    types: Types<'a>,
    depth: usize,
    /// Set where sound bytes meet a schema that cannot take them.
    violated: bool,
}

impl<'a> Reading<'a> {
    fn value(&mut self, written: NodeId, wanted: NodeId) -> Result<Value, Fault> {
        if self.depth >= MAX_DEPTH {
            return Err(Fault::new(format!("nested deeper than {MAX_DEPTH} levels")));
        }
        self.depth += 1;
        let value = self.value_inside(written, wanted);
        self.depth -= 1;
        value
    }

    fn value_inside(&mut self, written: NodeId, wanted: NodeId) -> Result<Value, Fault> {
        let types = self.types;
        let writer_node = types.writer.node(written);
        if let Node::Union(branches) = writer_node {
            let index = self.cursor.long()?;
            let branch = usize::try_from(index).ok().and_then(|index| branches.get(index));
            let branch = *branch.ok_or_else(|| Fault::new("a union names a branch that it does not have"))?;
            return self.value(branch, wanted);
        }
        // With one schema for both, what is wanted is what was written, a union's branch included.
        let wanted = match types.same() {
            true => written,
            false => self.or_violated(types.branch_for(written, wanted))?,
        };
        let reader_node = types.reader.node(wanted);
        match (writer_node, reader_node) {
            (Node::Record(from), Node::Record(to)) if types.same() => self.same_record(from, to),
            (Node::Record(from), Node::Record(to)) => self.record(from, to),
            (Node::Array(from), Node::Array(to)) => self.array(*from, *to),
            (Node::Map(from), Node::Map(to)) => self.map(*from, *to),
            (Node::Enum(from), Node::Enum(to)) => {
                let index = usize::try_from(self.cursor.int()?).ok();
                let symbol = index.and_then(|index| from.symbols.get(index));
                let symbol = symbol.ok_or_else(|| Fault::new("an enum names a symbol that it does not have"))?;
                self.or_violated(resolve::symbol(symbol, to)).map(Value::from)
            }
            (Node::Fixed { size, .. }, Node::Fixed { .. }) => Ok(STANDARD.encode(self.cursor.take(*size)?).into()),
            (_, reader_node) => {
                let raw = self.scalar(writer_node)?;
                self.or_violated(resolve::promote(raw, reader_node))
            }
        }
    }

    fn scalar(&mut self, node: &Node) -> Result<resolve::Raw<'a>, Fault> {
        use resolve::Raw;
        match node {
            Node::Null => Ok(Raw::Null),
            Node::Boolean => match self.cursor.array::<1>()? {
                [0] => Ok(Raw::Boolean(false)),
                [1] => Ok(Raw::Boolean(true)),
                [_] => Err(Fault::new("a boolean is neither 0 nor 1")),
            },
            Node::Int(_) => self.cursor.int().map(|number| Raw::Whole(number.into())),
            Node::Long(_) => self.cursor.long().map(Raw::Whole),
            Node::Float => Ok(Raw::Floating(f32::from_le_bytes(self.cursor.array()?).into())),
            Node::Double => Ok(Raw::Floating(f64::from_le_bytes(self.cursor.array()?))),
            Node::Bytes => self.cursor.bytes().map(Raw::Bytes),
            Node::String | Node::Uuid => self.cursor.text().map(Raw::Text),
            // Pairs of these kinds are read by the caller, and `branch_for` lets no mixed pair through.
            Node::Array(_) | Node::Map(_) | Node::Union(_) | Node::Record(_) | Node::Enum(_) | Node::Fixed { .. } => {
                Err(Fault::new("a compound type where a plain one belongs"))
            }
        }
    }

    /// The usual case: writer and reader have one schema, so fields meet by position.
    fn same_record(&mut self, from: &Record, to: &Record) -> Result<Value, Fault> {
        let mut entries = Map::new();
        for (written, wanted) in from.fields.iter().zip(&to.fields) {
            let value = self
                .value(written.node, wanted.node)
                .map_err(|fault| fault.within(Step::Field(written.name.clone())))?;
            entries.insert(wanted.name.clone(), value);
        }
        Ok(Value::Object(entries))
    }

    fn record(&mut self, from: &Record, to: &Record) -> Result<Value, Fault> {
        let mut entries = Map::new();
        for written in &from.fields {
            let within = |fault: Fault| fault.within(Step::Field(written.name.clone()));
            match resolve::field(&written.name, to) {
                Some(wanted) => {
                    let value = self.value(written.node, wanted.node).map_err(within)?;
                    entries.insert(wanted.name.clone(), value);
                }
                None => self.skip(written.node).map_err(within)?,
            }
        }
        for wanted in &to.fields {
            if entries.contains_key(&wanted.name) {
                continue;
            }
            let default = wanted.default.clone().ok_or_else(|| {
                self.violated = true;
                Fault::new("the writer's schema lacks this field and there is no default")
                    .within(Step::Field(wanted.name.clone()))
            })?;
            entries.insert(wanted.name.clone(), default);
        }
        Ok(Value::Object(entries))
    }

    fn array(&mut self, from: NodeId, to: NodeId) -> Result<Value, Fault> {
        let mut items = Vec::new();
        loop {
            let count = self.cursor.block()?;
            if count == 0 {
                return Ok(Value::Array(items));
            }
            // Never reserved by `count`, which may lie.
            for _ in 0..count {
                self.cursor.count_item()?;
                let position = items.len();
                let item = self.value(from, to).map_err(|fault| fault.within(Step::Item(position)))?;
                items.push(item);
            }
        }
    }

    fn map(&mut self, from: NodeId, to: NodeId) -> Result<Value, Fault> {
        let mut entries = Map::new();
        let mut position = 0;
        loop {
            let count = self.cursor.block()?;
            if count == 0 {
                return Ok(Value::Object(entries));
            }
            for _ in 0..count {
                self.cursor.count_item()?;
                let within = |fault: Fault| fault.within(Step::Entry(position));
                let key = self.cursor.text().map_err(within)?.to_owned();
                let value = self.value(from, to).map_err(within)?;
                entries.insert(key, value);
                position += 1;
            }
        }
    }

    /// Reads past a value that the reader has no field for. It is still read in full: damaged data must not pass
    /// because nobody looks at it.
    fn skip(&mut self, written: NodeId) -> Result<(), Fault> {
        let types = self.types;
        self.types = Types { writer: types.writer, reader: types.writer };
        let skipped = self.value(written, written);
        self.types = types;
        skipped.map(drop)
    }

    fn or_violated<T>(&mut self, result: Result<T, Fault>) -> Result<T, Fault> {
        self.violated |= result.is_err();
        result
    }
}
