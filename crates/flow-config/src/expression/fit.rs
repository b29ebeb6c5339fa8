//! Whether a value of one type may stand where a schema wants another: what is known to be wrong, before any job has come.

use super::types::{RecordType, Type};
use crate::problem::suggestion;

/// A value that cannot stand where it is put.
#[derive(Debug, PartialEq)]
pub(crate) struct Misfit {
    pub(crate) message: String,
    pub(crate) help: String,
}

/// Why what `source` gives can never be what is wanted; none where it can, or where only the value will tell.
pub(crate) fn misfit(source: &str, given: &Type, wanted: &Type) -> Option<Misfit> {
    if *given == Type::Null && !wanted.may_be_null() && *wanted != Type::Dyn {
        let message = format!("is null where {} is wanted", wanted.noun());
        return Some(Misfit { message, help: "correct the expression, or let the schema take null".to_owned() });
    }
    if given.may_be_null() && !wanted.may_be_null() && *wanted != Type::Dyn {
        let message = format!("may be null where {} is wanted", wanted.noun());
        let help = format!("say what holds then, `{source} != null ? {source} : …`, or let the schema take null");
        return Some(Misfit { message, help });
    }
    let (given, wanted) = (given.without_null(), wanted.without_null());
    match (given, wanted) {
        (Type::Dyn | Type::Null, _) | (_, Type::Dyn) => None,
        (Type::Enum(symbols), Type::Enum(known)) if symbols.iter().any(|symbol| known.contains(symbol)) => None,
        (Type::Enum(symbols), Type::Enum(known)) => {
            let message = format!("is never one of {}", known.join(", "));
            let words = known.iter().map(String::as_str);
            Some(Misfit { message, help: suggestion(symbols.first().map_or("", String::as_str), words) })
        }
        (given, wanted) if given.is_text() && wanted.is_text() => None,
        // JSON has one kind of number, and text for times.
        (Type::Int, Type::Int | Type::Double)
        | (Type::Double, Type::Double)
        | (Type::Bool, Type::Bool)
        | (Type::Timestamp | Type::Duration, Type::Text) => None,
        (Type::List(given), Type::List(wanted)) | (Type::Map(given), Type::Map(wanted)) => {
            misfit(source, given, wanted)
                .map(|inside| Misfit { message: format!("in it, a value {}", inside.message), ..inside })
        }
        // Which keys a map has is seen when it is there.
        (Type::Map(_), Type::Record(_)) => None,
        (Type::Record(given), Type::Record(wanted)) => record_misfit(source, given, wanted),
        (Type::Record(given), Type::Map(wanted)) => {
            given.fields.iter().find_map(|(name, of)| misfit(&format!("{source}.{name}"), of, wanted))
        }
        (given, wanted) => {
            let message = format!("gives {} where {} is wanted", given.noun(), wanted.noun());
            Some(Misfit { message, help: conversion(source, given, wanted) })
        }
    }
}

fn record_misfit(source: &str, given: &RecordType, wanted: &RecordType) -> Option<Misfit> {
    if let Some(name) = given.names().find(|name| wanted.field(name).is_none()) {
        let message = format!("has a field `{name}`, which the schema does not have");
        return Some(Misfit { message, help: suggestion(name, wanted.names()) });
    }
    wanted.fields.iter().find_map(|(name, of)| match given.field(name) {
        Some(given) => misfit(&format!("{source}.{name}"), given, of),
        None if wanted.optional.contains(name) => None,
        None => Some(Misfit {
            message: format!("lacks the field `{name}`, which the schema wants"),
            help: "write a table with the fields of the schema".to_owned(),
        }),
    })
}

fn conversion(source: &str, given: &Type, wanted: &Type) -> String {
    let function = match (given, wanted) {
        (Type::Int | Type::Double | Type::Bool, Type::Text | Type::Enum(_)) => "string",
        (Type::Text | Type::Enum(_), Type::Double) => "double",
        (Type::Text | Type::Enum(_) | Type::Double, Type::Int) => "int",
        _ => return "correct the expression, or the schema".to_owned(),
    };
    format!("write `{function}({source})`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(optional: &[&str]) -> Type {
        let fields = vec![("id".to_owned(), Type::Text), ("tries".to_owned(), Type::Int)];
        let optional = optional.iter().map(|name| (*name).to_owned()).collect();
        Type::Record(RecordType { fields, optional }.into())
    }

    fn words(words: &[&str]) -> Type {
        Type::Enum(words.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn what_may_fit_is_left_to_the_value() {
        let list = |of: Type| Type::List(of.into());
        let map = |of: Type| Type::Map(of.into());
        for (given, wanted) in [
            (Type::Dyn, Type::Int),
            (Type::Int, Type::Double),
            (Type::Null, Type::Text.nullable()),
            (Type::Text.nullable(), Type::Text.nullable()),
            (Type::Text, words(&["a"])),
            (words(&["a"]), words(&["a", "b"])),
            (words(&["a"]), Type::Text),
            (Type::Timestamp, Type::Text),
            (list(Type::Dyn), list(Type::Text)),
            (map(Type::Text), order(&[])),
            (Type::record([("id", Type::Text)]), order(&["tries"])),
            (Type::record([("id", Type::Text)]), map(Type::Text)),
        ] {
            assert_eq!(misfit("vars.x", &given, &wanted), None, "{given:?} {wanted:?}");
        }
    }

    #[test]
    fn what_can_never_fit_is_told_with_the_way_out() {
        let told = |given: Type, wanted: Type| {
            let Misfit { message, help } = misfit("vars.x", &given, &wanted).unwrap();
            format!("{message}; {help}")
        };
        insta::assert_snapshot!(
            [
                told(Type::Text, Type::Double),
                told(Type::Double, Type::Int),
                told(Type::Bool, Type::Text.nullable()),
                told(Type::Text.nullable(), Type::Text),
                told(Type::Null, Type::Int),
                told(words(&["hgih"]), words(&["high", "low"])),
                told(Type::List(Type::Int.into()), Type::List(Type::Text.into())),
                told(Type::Text, order(&[])),
                told(Type::record([("id", Type::Text)]), order(&[])),
                told(Type::record([("id", Type::Int)]), order(&["tries"])),
                told(Type::record([("ids", Type::Text)]), order(&["tries"])),
            ]
            .join("\n")
        );
    }
}
