//! Writing data in the normal form as a datum.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::schema::{Fault, Node, NodeId, Plan, Step, branch_of};

/// Writes checked data. A value that was not checked gives an error, never a datum of another meaning.
pub(crate) fn write(plan: &Plan, value: &Value, out: &mut Vec<u8>) -> Result<(), Fault> {
    write_node(plan, plan.root, value, out)
}

fn write_node(plan: &Plan, id: NodeId, value: &Value, out: &mut Vec<u8>) -> Result<(), Fault> {
    match (plan.node(id), value) {
        (Node::Null, Value::Null) => Ok(()),
        (Node::Boolean, Value::Bool(boolean)) => {
            out.push(u8::from(*boolean));
            Ok(())
        }
        (Node::Int(_) | Node::Long(_), Value::Number(number)) => {
            let number = number.as_i64().ok_or_else(unchecked)?;
            write_long(number, out);
            Ok(())
        }
        (Node::Float, Value::Number(number)) => {
            let number = number.as_f64().ok_or_else(unchecked)?;
            out.extend_from_slice(&(number as f32).to_le_bytes());
            Ok(())
        }
        (Node::Double, Value::Number(number)) => {
            let number = number.as_f64().ok_or_else(unchecked)?;
            out.extend_from_slice(&number.to_le_bytes());
            Ok(())
        }
        (Node::Bytes, Value::String(text)) => write_bytes(&STANDARD.decode(text).map_err(|_| unchecked())?, out),
        (Node::Fixed { .. }, Value::String(text)) => {
            out.extend_from_slice(&STANDARD.decode(text).map_err(|_| unchecked())?);
            Ok(())
        }
        (Node::String | Node::Uuid, Value::String(text)) => write_bytes(text.as_bytes(), out),
        (Node::Enum(symbols), Value::String(text)) => {
            let index = symbols.symbols.iter().position(|symbol| symbol == text);
            write_count(index.ok_or_else(unchecked)?, out)
        }
        (Node::Array(items), Value::Array(values)) => {
            if !values.is_empty() {
                write_count(values.len(), out)?;
                for (position, item) in values.iter().enumerate() {
                    write_node(plan, *items, item, out).map_err(|fault| fault.within(Step::Item(position)))?;
                }
            }
            write_count(0, out)
        }
        (Node::Map(values), Value::Object(entries)) => {
            if !entries.is_empty() {
                write_count(entries.len(), out)?;
                for (position, (key, entry)) in entries.iter().enumerate() {
                    write_bytes(key.as_bytes(), out)?;
                    write_node(plan, *values, entry, out).map_err(|fault| fault.within(Step::Entry(position)))?;
                }
            }
            write_count(0, out)
        }
        (Node::Record(record), Value::Object(entries)) => {
            for field in &record.fields {
                let within = |fault: Fault| fault.within(Step::Field(field.name.clone()));
                let entry = entries.get(&field.name).ok_or_else(|| within(unchecked()))?;
                write_node(plan, field.node, entry, out).map_err(within)?;
            }
            Ok(())
        }
        (Node::Union(branches), value) => {
            let branch = branch_of(plan, branches, value)?;
            let index = branches.iter().position(|candidate| *candidate == branch);
            write_count(index.ok_or_else(unchecked)?, out)?;
            write_node(plan, branch, value, out)
        }
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
            | Node::Record(_)
            | Node::Enum(_)
            | Node::Fixed { .. },
            _,
        ) => Err(unchecked()),
    }
}

fn unchecked() -> Fault {
    Fault::new("the value is not in the normal form; check it against the schema first")
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    write_count(bytes.len(), out)?;
    out.extend_from_slice(bytes);
    Ok(())
}

fn write_count(count: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
    let count = i64::try_from(count).map_err(|_| Fault::new("too many items for Avro"))?;
    write_long(count, out);
    Ok(())
}

/// Zigzag, then seven bits a byte.
fn write_long(number: i64, out: &mut Vec<u8>) {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push((rest & 0x7F) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}
