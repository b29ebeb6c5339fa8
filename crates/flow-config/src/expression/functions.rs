//! The CEL functions that expressions may call, with what they take and give.
//!
//! The list follows the standard library of the `cel` crate and its strings extension; a test evaluates an example of
//! every line, so the list cannot promise what the crate does not have.

use super::types::Type;

/// How one function is called and what it gives.
pub(crate) struct Function {
    pub(crate) name: &'static str,
    /// Called on a value, `x.name()`.
    pub(crate) member: bool,
    /// Fewest and most arguments, the value before the dot not counted.
    pub(crate) arguments: (usize, usize),
    pub(crate) gives: Gives,
    /// Shown to people, so it must be valid; a test evaluates it.
    pub(crate) example: &'static str,
}

/// The type of a function's result.
#[derive(Clone, Copy)]
pub(crate) enum Gives {
    Bool,
    Int,
    Double,
    Text,
    Texts,
    Bytes,
    Duration,
    Timestamp,
    Dyn,
}

impl Gives {
    pub(crate) fn as_type(self) -> Type {
        match self {
            Self::Bool => Type::Bool,
            Self::Int => Type::Int,
            Self::Double => Type::Double,
            Self::Text => Type::Text,
            Self::Texts => Type::List(Type::Text.into()),
            Self::Bytes => Type::Bytes,
            Self::Duration => Type::Duration,
            Self::Timestamp => Type::Timestamp,
            Self::Dyn => Type::Dyn,
        }
    }
}

const fn global(name: &'static str, gives: Gives, example: &'static str) -> Function {
    Function { name, member: false, arguments: (1, 1), gives, example }
}

const fn member(name: &'static str, arguments: (usize, usize), gives: Gives, example: &'static str) -> Function {
    Function { name, member: true, arguments, gives, example }
}

/// Every function, the ones used most first.
pub(crate) const FUNCTIONS: &[Function] = &[
    global("string", Gives::Text, "string(1)"),
    global("int", Gives::Int, "int('1')"),
    global("double", Gives::Double, "double('1.5')"),
    global("size", Gives::Int, "size('abc')"),
    global("timestamp", Gives::Timestamp, "timestamp('2026-01-01T00:00:00Z')"),
    global("duration", Gives::Duration, "duration('1h')"),
    global("bytes", Gives::Bytes, "bytes('abc')"),
    global("uint", Gives::Dyn, "uint(1)"),
    global("dyn", Gives::Dyn, "dyn(1)"),
    global("type", Gives::Dyn, "type(1) == int"),
    member("size", (0, 0), Gives::Int, "'abc'.size()"),
    member("contains", (1, 1), Gives::Bool, "'abc'.contains('b')"),
    member("startsWith", (1, 1), Gives::Bool, "'abc'.startsWith('a')"),
    member("endsWith", (1, 1), Gives::Bool, "'abc'.endsWith('c')"),
    member("matches", (1, 1), Gives::Bool, "'abc'.matches('^a')"),
    member("lowerAscii", (0, 0), Gives::Text, "'ABC'.lowerAscii()"),
    member("upperAscii", (0, 0), Gives::Text, "'abc'.upperAscii()"),
    member("trim", (0, 0), Gives::Text, "' a '.trim()"),
    member("replace", (2, 3), Gives::Text, "'abc'.replace('b', 'x')"),
    member("substring", (1, 2), Gives::Text, "'abc'.substring(1, 2)"),
    member("charAt", (1, 1), Gives::Text, "'abc'.charAt(1)"),
    member("indexOf", (1, 2), Gives::Int, "'abc'.indexOf('b')"),
    member("lastIndexOf", (1, 2), Gives::Int, "'abc'.lastIndexOf('b')"),
    member("split", (1, 2), Gives::Texts, "'a,b'.split(',')"),
    member("join", (0, 1), Gives::Text, "['a', 'b'].join(',')"),
    member("format", (1, 1), Gives::Text, "'%s'.format(['a'])"),
    member("reverse", (0, 0), Gives::Text, "'abc'.reverse()"),
    member("getFullYear", (0, 1), Gives::Int, "timestamp('2026-01-01T00:00:00Z').getFullYear()"),
    member("getMonth", (0, 1), Gives::Int, "timestamp('2026-01-01T00:00:00Z').getMonth()"),
    member("getDate", (0, 1), Gives::Int, "timestamp('2026-01-01T00:00:00Z').getDate()"),
    member("getDayOfMonth", (0, 1), Gives::Int, "timestamp('2026-01-01T00:00:00Z').getDayOfMonth()"),
    member("getDayOfYear", (0, 1), Gives::Int, "timestamp('2026-01-01T00:00:00Z').getDayOfYear()"),
    member("getDayOfWeek", (0, 1), Gives::Int, "timestamp('2026-01-01T00:00:00Z').getDayOfWeek()"),
    member("getHours", (0, 1), Gives::Int, "timestamp('2026-01-01T00:00:00Z').getHours()"),
    member("getMinutes", (0, 1), Gives::Int, "timestamp('2026-01-01T00:00:00Z').getMinutes()"),
    member("getSeconds", (0, 1), Gives::Int, "timestamp('2026-01-01T00:00:00Z').getSeconds()"),
    member("getMilliseconds", (0, 1), Gives::Int, "timestamp('2026-01-01T00:00:00Z').getMilliseconds()"),
];

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::expression::language;

    #[test]
    fn every_listed_function_exists() {
        let env = language();
        let context = cel::Context::with_env(Arc::clone(&env));
        for function in FUNCTIONS {
            let program = env.compile(function.example).expect(function.example);
            if let Err(error) = program.execute(&context) {
                panic!("{} ({}): {error}", function.name, function.example);
            }
        }
    }
}
