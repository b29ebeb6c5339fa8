//! JSON to CEL and back, along the static type, so that a field has one type whatever a sender wrote.

use std::collections::HashMap;
use std::sync::Arc;

use cel::Value as Cel;
use cel::objects::{Key, Map};
use serde_json::{Number, Value as Json};

use super::types::Type;

/// The CEL value of event data. A field of the schema that is absent is null; a whole number in a decimal field is
/// decimal, so `event.amount / 2.0` works for `5` as for `5.0`.
pub(crate) fn to_cel(json: &Json, of: &Type) -> Cel {
    match (json, of.without_null()) {
        (Json::Object(object), Type::Record(record)) => {
            let field = |(name, of): &(String, Type)| {
                let value = object.get(name).map_or(Cel::Null, |value| to_cel(value, of));
                (Key::String(Arc::new(name.clone())), value)
            };
            let map: HashMap<Key, Cel> = record.fields.iter().map(field).collect();
            Cel::Map(Map { map: Arc::new(map) })
        }
        (Json::Object(object), of) => {
            let values = if let Type::Map(values) = of { values.as_ref() } else { &Type::Dyn };
            let entry = |(name, value): (&String, &Json)| (Key::String(Arc::new(name.clone())), to_cel(value, values));
            Cel::Map(Map { map: Arc::new(object.iter().map(entry).collect()) })
        }
        (Json::Array(array), of) => {
            let items = if let Type::List(items) = of { items.as_ref() } else { &Type::Dyn };
            Cel::List(Arc::new(array.iter().map(|item| to_cel(item, items)).collect()))
        }
        (Json::Number(number), of) => number_to_cel(number, of),
        (Json::String(text), _) => Cel::String(Arc::new(text.clone())),
        (Json::Bool(truth), _) => Cel::Bool(*truth),
        (Json::Null, _) => Cel::Null,
    }
}

fn number_to_cel(number: &Number, of: &Type) -> Cel {
    match (number.as_i64(), number.as_u64(), of) {
        (Some(whole), _, of) if *of != Type::Double => Cel::Int(whole),
        (None, Some(large), of) if *of != Type::Double => Cel::UInt(large),
        _ => Cel::Float(number.as_f64().unwrap_or(f64::NAN)),
    }
}

/// The result of an expression as JSON, or the name of what JSON cannot hold.
///
/// Durations become ISO 8601 (`PT3600S`), which is what BPMN timers read; timestamps RFC 3339.
pub(crate) fn to_json(value: &Cel) -> Result<Json, &'static str> {
    Ok(match value {
        Cel::Null => Json::Null,
        Cel::Bool(truth) => Json::Bool(*truth),
        Cel::Int(number) => Json::from(*number),
        Cel::UInt(number) => Json::from(*number),
        Cel::Float(number) => Json::Number(Number::from_f64(*number).ok_or("a number that is not finite")?),
        Cel::String(text) => Json::String(text.as_str().to_owned()),
        Cel::List(items) => Json::Array(items.iter().map(to_json).collect::<Result<_, _>>()?),
        Cel::Map(map) => {
            let entry = |(key, value): (&Key, &Cel)| Ok((key.to_string(), to_json(value)?));
            Json::Object(map.map.iter().map(entry).collect::<Result<_, &'static str>>()?)
        }
        Cel::Duration(duration) => Json::String(duration.to_string()),
        Cel::Timestamp(time) => Json::String(time.to_rfc3339()),
        Cel::Bytes(_) => return Err("bytes"),
        Cel::Function(..) => return Err("a function"),
        Cel::Opaque(_) => return Err("a type"),
        Cel::Struct(_) => return Err("a struct"),
    })
}

/// The word for a value's type in messages; never the value, which is somebody's data.
pub(crate) fn noun(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "true or false",
        Json::Number(number) if number.is_f64() => "a decimal number",
        Json::Number(_) => "a whole number",
        Json::String(_) => "text",
        Json::Array(_) => "a list",
        Json::Object(_) => "a record",
    }
}
