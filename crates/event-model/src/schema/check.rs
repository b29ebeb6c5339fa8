//! The walk that checks JSON against a schema, in place, and leaves it in the normal form.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::plan::{Field, Node, NodeId, Plan, Record, Whole};
use super::temporal;
use super::violation::{Fault, Step};

/// Checks `value` against a node and puts it into the normal form. On failure the value is left half done.
///
/// The recursion is as deep as the value is nested: at most 128 for parsed JSON, and no deeper than the schema for
/// schemas that do not refer back to themselves.
pub(crate) fn check(plan: &Plan, id: NodeId, value: &mut Value) -> Result<(), Fault> {
    match (plan.node(id), value) {
        (Node::Null, Value::Null) | (Node::Boolean, Value::Bool(_)) | (Node::String, Value::String(_)) => Ok(()),
        (Node::Int(whole), value) => {
            let number = whole_number("int", *whole, value)?;
            i32::try_from(number).map_err(|_| Fault::new("expected int, found a number beyond 32 bits"))?;
            *value = number.into();
            Ok(())
        }
        (Node::Long(whole), value) => {
            *value = whole_number("long", *whole, value)?.into();
            Ok(())
        }
        (Node::Float, value) => {
            // Rounding to float is what the schema asks for.
            let narrow = floating("float", value)? as f32;
            *value = finite(f64::from(narrow), "float")?;
            Ok(())
        }
        (Node::Double, value) => {
            *value = finite(floating("double", value)?, "double")?;
            Ok(())
        }
        (Node::Bytes, Value::String(text)) => binary("bytes", text).map(drop),
        (Node::Fixed { name, size }, Value::String(text)) => match binary(name, text)? {
            length if length == *size => Ok(()),
            length => Err(Fault::new(format!("expected {size} bytes for {name}, found {length}"))),
        },
        (Node::Uuid, Value::String(text)) => {
            *text = canonical_uuid(text)?;
            Ok(())
        }
        (Node::Enum(symbols), Value::String(text)) => {
            if symbols.symbols.contains(text) {
                return Ok(());
            }
            Err(Fault::new(format!("expected one of {}, found other text", symbols.symbols.join(", "))))
        }
        (Node::Array(items), Value::Array(values)) => {
            for (position, item) in values.iter_mut().enumerate() {
                check(plan, *items, item).map_err(|fault| fault.within(Step::Item(position)))?;
            }
            Ok(())
        }
        (Node::Map(values), Value::Object(entries)) => {
            for (position, entry) in entries.values_mut().enumerate() {
                check(plan, *values, entry).map_err(|fault| fault.within(Step::Entry(position)))?;
            }
            Ok(())
        }
        (Node::Record(record), Value::Object(entries)) => check_record(plan, record, entries),
        (Node::Union(branches), value) => check_union(plan, branches, value),
        (
            Node::Null
            | Node::Boolean
            | Node::String
            | Node::Bytes
            | Node::Fixed { .. }
            | Node::Uuid
            | Node::Enum(_)
            | Node::Array(_)
            | Node::Map(_)
            | Node::Record(_),
            found,
        ) => Err(expected(plan.type_name(id), found)),
    }
}

fn check_record(plan: &Plan, record: &Record, entries: &mut Map<String, Value>) -> Result<(), Fault> {
    for field in &record.fields {
        let within = |fault: Fault| fault.within(Step::Field(field.name.clone()));
        if let Some(value) = entries.get_mut(&field.name) {
            check(plan, field.node, value).map_err(within)?;
        } else if let Some(mut value) = take_alias(field, entries) {
            check(plan, field.node, &mut value).map_err(within)?;
            entries.insert(field.name.clone(), value);
        } else if let Some(default) = &field.default {
            entries.insert(field.name.clone(), default.clone());
        } else {
            return Err(within(Fault::new("required field is missing")));
        }
    }
    // All fields are there now, so a larger map holds fields that the schema does not know.
    if entries.len() > record.fields.len() {
        entries.retain(|name, _| record.fields.iter().any(|field| field.name == *name));
    }
    Ok(())
}

fn take_alias(field: &Field, entries: &mut Map<String, Value>) -> Option<Value> {
    field.aliases.iter().find_map(|alias| entries.remove(alias))
}

fn check_union(plan: &Plan, branches: &[NodeId], value: &mut Value) -> Result<(), Fault> {
    if let Some((branch, inner)) = tagged(plan, branches, value) {
        *value = inner;
        return check(plan, branch, value);
    }
    let branch = branch_of(plan, branches, value)?;
    check(plan, branch, value)
}

/// The branch that takes a plain value: the first that accepts it. Only where several are possible by the kind of
/// the value is it tried out on a copy.
pub(crate) fn branch_of(plan: &Plan, branches: &[NodeId], value: &Value) -> Result<NodeId, Fault> {
    let mut candidates = branches.iter().copied().filter(|branch| may_take(plan, *branch, value));
    let Some(first) = candidates.next() else {
        return Err(expected(&names_of(plan, branches), value));
    };
    let Some(second) = candidates.next() else {
        return Ok(first);
    };
    let accepts = |branch: &NodeId| check(plan, *branch, &mut value.clone()).is_ok();
    [first, second]
        .into_iter()
        .chain(candidates)
        .find(accepts)
        .ok_or_else(|| expected(&names_of(plan, branches), value))
}

/// Recognises `{"branch": value}` and takes the value out. A branch that would take the object as it is (a map, or a
/// record with a field of that name) comes first.
fn tagged(plan: &Plan, branches: &[NodeId], value: &mut Value) -> Option<(NodeId, Value)> {
    let Value::Object(entries) = value else {
        return None;
    };
    if entries.len() != 1 {
        return None;
    }
    let tag = entries.keys().next()?;
    let takes_it_plain = |branch: &NodeId| match plan.node(*branch) {
        Node::Map(_) => true,
        Node::Record(record) => record.fields.iter().any(|field| field.name == *tag || field.aliases.contains(tag)),
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
        | Node::Union(_)
        | Node::Enum(_)
        | Node::Fixed { .. } => false,
    };
    if branches.iter().any(takes_it_plain) {
        return None;
    }
    let branch = branches.iter().copied().find(|branch| {
        let name = plan.type_name(*branch);
        name == tag || name.rsplit('.').next() == Some(tag)
    })?;
    let tag = tag.clone();
    Some((branch, entries.remove(&tag)?))
}

/// Whether a branch is possible by the kind of the value alone.
fn may_take(plan: &Plan, branch: NodeId, value: &Value) -> bool {
    match plan.node(branch) {
        Node::Null => value.is_null(),
        Node::Boolean => value.is_boolean(),
        Node::Int(Whole::Number) | Node::Long(Whole::Number) => value.is_i64() || value.is_u64(),
        Node::Int(_) | Node::Long(_) => value.is_i64() || value.is_u64() || value.is_string(),
        Node::Float | Node::Double => value.is_number(),
        Node::Bytes | Node::String | Node::Uuid | Node::Enum(_) | Node::Fixed { .. } => value.is_string(),
        Node::Array(_) => value.is_array(),
        Node::Map(_) | Node::Record(_) => value.is_object(),
        // Avro has no union directly inside a union.
        Node::Union(_) => false,
    }
}

fn whole_number(kind: &str, whole: Whole, value: &Value) -> Result<i64, Fault> {
    match value {
        Value::Number(number) => number.as_i64().ok_or_else(|| {
            Fault::new(if number.is_u64() {
                format!("expected {kind}, found a number beyond 64 bits")
            } else {
                format!("expected {kind}, found a number with a fraction or exponent, or beyond 64 bits")
            })
        }),
        Value::String(text) => match whole {
            Whole::Number => Err(expected(kind, value)),
            Whole::Date => temporal::days(text)
                .ok_or_else(|| Fault::new("expected a date (days since 1970, or YYYY-MM-DD), found other text")),
            Whole::Instant(unit) => temporal::instant(text, unit).ok_or_else(|| {
                Fault::new("expected a timestamp (a whole number, or RFC 3339 with offset), found other text")
            }),
        },
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err(expected(kind, value)),
    }
}

fn floating(kind: &str, value: &Value) -> Result<f64, Fault> {
    let Value::Number(number) = value else {
        return Err(expected(kind, value));
    };
    let wide = number.as_f64().ok_or_else(|| expected(kind, value))?;
    let same = match (number.as_i64(), number.as_u64()) {
        (Some(whole), _) => wide as i128 == i128::from(whole),
        (None, Some(whole)) => wide as i128 == i128::from(whole),
        (None, None) => true,
    };
    if same {
        Ok(wide)
    } else {
        Err(Fault::new(format!("expected {kind}, found a whole number that {kind} cannot hold exactly")))
    }
}

/// A number as JSON, refused where JSON has no form for it.
pub(crate) fn finite(number: f64, kind: &str) -> Result<Value, Fault> {
    serde_json::Number::from_f64(number)
        .map(Value::Number)
        .ok_or_else(|| Fault::new(format!("expected a finite {kind}, found NaN or infinity, or a number out of range")))
}

fn binary(kind: &str, text: &str) -> Result<usize, Fault> {
    STANDARD.decode(text).map(|bytes| bytes.len()).map_err(|_| {
        Fault::new(format!("expected base64 text (standard alphabet, padded) for {kind}, found other text"))
    })
}

/// The lower-case, hyphenated form of a UUID's text.
pub(crate) fn canonical_uuid(text: &str) -> Result<String, Fault> {
    uuid::Uuid::try_parse(text)
        .map(|uuid| uuid.to_string())
        .map_err(|_| Fault::new("expected a UUID, found other text"))
}

fn names_of(plan: &Plan, branches: &[NodeId]) -> String {
    let names: Vec<&str> = branches.iter().map(|branch| plan.type_name(*branch)).collect();
    names.join(" or ")
}

fn expected(kind: &str, found: &Value) -> Fault {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    Fault::new(format!("expected {kind}, found {found}"))
}
