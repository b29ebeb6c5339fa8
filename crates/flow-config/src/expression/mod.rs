//! CEL expressions of a flow: compiled and checked once, evaluated for each event.
//!
//! The language is the Common Expression Language with its standard library and the strings extension. Two shortcuts
//! keep the common case cheap: a constant is a constant, and a plain path (`event.customer.region`) is looked up in the
//! event's JSON without the interpreter.

mod check;
mod fit;
mod functions;
mod narrowing;
mod operators;
mod scope;
mod types;
mod value;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, LazyLock};

use cel::common::ast::{Expr, LiteralValue};
use cel::{Env, ExecutionError, Program};
use serde_json::Value as Json;

pub(crate) use check::{Scope, Uses};
pub(crate) use fit::{Misfit, misfit};
pub(crate) use narrowing::not_null_when;
pub(crate) use scope::{AnswerBody, Evaluation, Needed, answer_scope, job_scope, null_scope, step_scope};
pub(crate) use types::{RecordType, Type};
pub(crate) use value::noun;

/// An expression that has been checked.
pub struct Expression {
    source: String,
    form: Form,
    of: Type,
    uses: Uses,
}

enum Form {
    Constant(Json),
    /// A variable and the fields below it.
    Path(Vec<String>),
    Program(Program),
}

/// What the place of an expression asks of its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Bool,
    Text,
    Anything,
}

/// A mistake in an expression, with its place inside the text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BadExpression {
    /// Bytes before the mistake.
    pub(crate) offset: usize,
    pub(crate) message: String,
    pub(crate) help: String,
}

impl Expression {
    /// Compiles and checks; every mistake is returned, not the first only.
    pub(crate) fn compile(source: &str, wanted: Wanted, scope: &Scope) -> Result<Self, Vec<BadExpression>> {
        let program = language().compile(source).map_err(|errors| syntax_mistakes(source, &errors))?;
        let checked = check::check(program.expression(), scope);
        let mut mistakes: Vec<BadExpression> = checked
            .mistakes
            .into_iter()
            .map(|mistake| BadExpression {
                offset: program.source_info().offset_for(mistake.node).map_or(0, |(start, _)| start as usize),
                message: mistake.message,
                help: mistake.help,
            })
            .collect();
        if mistakes.is_empty() {
            mistakes.extend(wrong_result(source, &checked.of, wanted));
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let form = if let Expr::Literal(literal) = &program.expression().expr {
            constant(literal).map(Form::Constant)
        } else {
            narrowing::path_segments(program.expression())
                .filter(|segments| scope.is_plain_path(segments))
                .map(|segments| Form::Path(segments.into_iter().map(str::to_owned).collect()))
        };
        let form = form.unwrap_or(Form::Program(program));
        Ok(Self { source: source.to_owned(), form, of: checked.of, uses: checked.uses })
    }

    /// The expression as it is written in the flow.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What it gives, as far as that is known; a constant text is one that can be nothing else.
    pub(crate) fn gives(&self) -> Type {
        match &self.form {
            Form::Constant(Json::String(text)) => Type::Enum([text.clone()].into()),
            Form::Constant(_) | Form::Path(_) | Form::Program(_) => self.of.clone(),
        }
    }

    /// Whether it looks into the body of an answer, and does not just take it as it is.
    pub(crate) fn looks_into_the_answer(&self) -> bool {
        let takes_it_whole = matches!(&self.form, Form::Path(path) if *path == ["response", "body"]);
        self.uses.answer_body && !takes_it_whole
    }

    /// What the interpreter needs for this expression; nothing for constants and paths.
    pub(crate) fn interpreter_uses(&self) -> Option<&Uses> {
        matches!(self.form, Form::Program(_)).then_some(&self.uses)
    }

    /// The paths that are not null where this condition holds.
    pub(crate) fn proves_not_null(&self) -> Vec<String> {
        match &self.form {
            Form::Program(program) => not_null_when(program.expression(), true),
            Form::Constant(_) | Form::Path(_) => Vec::new(),
        }
    }

    pub(crate) fn evaluate(&self, evaluation: &Evaluation<'_>) -> Result<Json, EvaluationError> {
        match &self.form {
            Form::Constant(value) => Ok(value.clone()),
            Form::Path(path) => evaluation.look_up(path),
            Form::Program(program) => {
                let result = program
                    .execute(evaluation.context())
                    .map_err(|error| EvaluationError(reason(&error, &self.source)))?;
                value::to_json(&result)
                    .map_err(|what| EvaluationError(format!("gave {what}, which no variable can hold")))
            }
        }
    }

    pub(crate) fn evaluate_bool(&self, evaluation: &Evaluation<'_>) -> Result<bool, EvaluationError> {
        match self.evaluate(evaluation)? {
            Json::Bool(truth) => Ok(truth),
            other @ (Json::Null | Json::Number(_) | Json::String(_) | Json::Array(_) | Json::Object(_)) => {
                Err(EvaluationError::wrong_type("true or false", &other))
            }
        }
    }

    pub(crate) fn evaluate_text(&self, evaluation: &Evaluation<'_>) -> Result<String, EvaluationError> {
        match self.evaluate(evaluation)? {
            Json::String(text) => Ok(text),
            other @ (Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_)) => {
                Err(EvaluationError::wrong_type("text", &other))
            }
        }
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.source)
    }
}

/// Why an expression gave no usable value. The text never holds data of the event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct EvaluationError(pub(crate) String);

impl EvaluationError {
    fn wrong_type(wanted: &str, value: &Json) -> Self {
        Self(format!("must give {wanted}, but gave {}", noun(value)))
    }
}

/// The language: standard library and strings extension, without CEL's optional values.
pub(crate) fn language() -> Arc<Env> {
    static LANGUAGE: LazyLock<Arc<Env>> = LazyLock::new(|| {
        let mut env = Env::stdlib().with_optional_support(false);
        // Fails only when the same function is declared twice, which the test of the function list would show.
        let _ = env.add_extension(cel::extensions::strings);
        Arc::new(env)
    });
    Arc::clone(&LANGUAGE)
}

fn constant(literal: &LiteralValue) -> Option<Json> {
    match literal {
        LiteralValue::Boolean(truth) => Some(Json::Bool(*truth.inner())),
        LiteralValue::Int(number) => Some(Json::from(*number.inner())),
        LiteralValue::String(text) => Some(Json::String(text.inner().to_owned())),
        LiteralValue::Null => Some(Json::Null),
        LiteralValue::Bytes(_) | LiteralValue::Double(_) | LiteralValue::UInt(_) => None,
    }
}

/// The parser may report one slip several times; the first report that is about the text itself is kept.
fn syntax_mistakes(source: &str, errors: &cel::ParseErrors) -> Vec<BadExpression> {
    const OF_THE_TEXT: &str = "Syntax error: ";
    let of_the_text = errors.errors.iter().find(|error| error.msg.starts_with(OF_THE_TEXT));
    let Some(error) = of_the_text.or(errors.errors.first()) else {
        return Vec::new();
    };
    let (line, column) = (usize::try_from(error.pos.0).unwrap_or(1), usize::try_from(error.pos.1).unwrap_or(1));
    let lines_before: usize = source.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let comparisons = ["==", "!=", ">=", "<="];
    let lone_equals = comparisons.iter().fold(source.to_owned(), |text, sign| text.replace(sign, "")).contains('=');
    let help = if lone_equals { "`==` compares; there is no assignment" } else { "" };
    vec![BadExpression {
        offset: lines_before + column.saturating_sub(1),
        message: format!("not a valid expression: {}", error.msg.trim_start_matches(OF_THE_TEXT)),
        help: help.to_owned(),
    }]
}

fn wrong_result(source: &str, of: &Type, wanted: Wanted) -> Option<BadExpression> {
    let (fits, word) = match wanted {
        Wanted::Anything => (*of.without_null() != Type::Bytes, "a value for a variable"),
        Wanted::Bool => (matches!(of, Type::Bool | Type::Dyn), "true or false"),
        Wanted::Text => (of.is_text() || *of == Type::Dyn, "text"),
    };
    let help = match (wanted, of) {
        (Wanted::Text, Type::Int | Type::Double | Type::Bool) => {
            format!("write `string({source})`")
        }
        (Wanted::Text, of) if of.without_null().is_text() => {
            format!("say what holds when it is null, for instance `{source} != null ? {source} : 'none'`")
        }
        (Wanted::Bool, of) if of.is_text() => format!("compare it, `{source} == 'value'`"),
        _ => String::new(),
    };
    (!fits).then(|| BadExpression { offset: 0, message: format!("must give {word}, but gives {}", of.noun()), help })
}

/// The cause of a failed evaluation in words, without the values that the interpreter's own text would show.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enum may grow and part of it is deprecated; every cause ends in the same dead letter"
)]
fn reason(error: &ExecutionError, source: &str) -> String {
    match error {
        ExecutionError::NoSuchKey(name) if source.contains(name.as_str()) => format!("there is no `{name}`"),
        // A key that was computed is data of the event.
        ExecutionError::NoSuchKey(_) => "the map has no such key".to_owned(),
        ExecutionError::NoSuchOverload(overload) => overload.to_string(),
        ExecutionError::UndeclaredReference(name) => format!("there is no `{name}`"),
        ExecutionError::FunctionError { function, .. } => {
            format!("`{function}` cannot work on this value")
        }
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => "division by zero".to_owned(),
        ExecutionError::Overflow(operator, ..) => {
            format!("the result of `{operator}` is too large")
        }
        ExecutionError::IndexOutOfBounds(_) => "the list is shorter than the index".to_owned(),
        ExecutionError::ValuesNotComparable(left, right)
        | ExecutionError::UnsupportedBinaryOperator(_, left, right) => {
            format!("{} and {} do not go together", left.type_of(), right.type_of())
        }
        // What it got is left out: for some functions the interpreter puts the value there.
        ExecutionError::UnexpectedType { want, .. } => format!("got another type where {want} is needed"),
        ExecutionError::UnsupportedTargetType { target } => {
            format!("not possible on {}", target.type_of())
        }
        ExecutionError::NotSupportedAsMethod { method, target } => {
            format!("`{method}` is not possible on {}", target.type_of())
        }
        ExecutionError::UnsupportedIndex(index, of) => {
            format!("{} cannot index {}", index.type_of(), of.type_of())
        }
        ExecutionError::DuplicateKey(_) => "a map names a key twice".to_owned(),
        ExecutionError::InvalidArgumentCount { expected, actual } => {
            format!("{actual} arguments where {expected} are needed")
        }
        _ => "the value does not fit the expression".to_owned(),
    }
}
