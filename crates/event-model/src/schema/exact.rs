//! What the normal form forgives, and a reader of others need not: JSON that leaves us is what its schema says, to the letter.

use serde_json::Value;

use super::check::branch_of;
use super::plan::{Node, NodeId, Plan};
use super::violation::{Fault, Step};

/// Checks a value that obeys the node once it is in the normal form.
pub(super) fn check(plan: &Plan, id: NodeId, value: &Value) -> Result<(), Fault> {
    match (plan.node(id), value) {
        (Node::Record(record), Value::Object(entries)) => {
            // The name of such a field is none of the schema's: it may be data.
            if entries.keys().any(|name| record.fields.iter().all(|field| field.name != *name)) {
                let names: Vec<&str> = record.fields.iter().map(|field| field.name.as_str()).collect();
                return Err(Fault::new(format!("found a field beside those of the schema, {}", names.join(", "))));
            }
            for field in &record.fields {
                if let Some(value) = entries.get(&field.name) {
                    check(plan, field.node, value).map_err(|fault| fault.within(Step::Field(field.name.clone())))?;
                }
            }
            Ok(())
        }
        (Node::Array(items), Value::Array(values)) => {
            for (position, item) in values.iter().enumerate() {
                check(plan, *items, item).map_err(|fault| fault.within(Step::Item(position)))?;
            }
            Ok(())
        }
        (Node::Map(values), Value::Object(entries)) => {
            for (position, entry) in entries.values().enumerate() {
                check(plan, *values, entry).map_err(|fault| fault.within(Step::Entry(position)))?;
            }
            Ok(())
        }
        (Node::Union(branches), value) => {
            let is_exactly = |branch: &NodeId| {
                super::check::check(plan, *branch, &mut value.clone()).is_ok() && check(plan, *branch, value).is_ok()
            };
            if branches.iter().any(is_exactly) { Ok(()) } else { check(plan, branch_of(plan, branches, value)?, value) }
        }
        (Node::Int(_) | Node::Long(_), Value::String(_)) => {
            Err(Fault::new("expected a whole number, found a time as text"))
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
        ) => Ok(()),
    }
}
