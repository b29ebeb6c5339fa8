//! The types of operators and function calls.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, LiteralValue, operators};

use super::check::Checker;
use super::functions::{FUNCTIONS, Function};
use super::narrowing::{not_null_when, path_of};
use super::types::Type;
use crate::problem::{nearest, suggestion};

impl Checker<'_> {
    pub(super) fn call(&mut self, node: &IdedExpr, call: &CallExpr) -> Type {
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::CONDITIONAL, [condition, yes, no]) => {
                self.truth(condition);
                let yes = self.infer_given(not_null_when(condition, true), yes);
                let no = self.infer_given(not_null_when(condition, false), no);
                yes.or(&no)
            }
            (operator @ (operators::LOGICAL_AND | operators::LOGICAL_OR), [left, right]) => {
                self.truth(left);
                let proved = not_null_when(left, operator == operators::LOGICAL_AND);
                let of = self.infer_given(proved, right);
                self.must_be_truth(right, &of);
                Type::Bool
            }
            (operators::LOGICAL_NOT, [inner]) => {
                self.truth(inner);
                Type::Bool
            }
            (operators::EQUALS | operators::NOT_EQUALS, [left, right]) => self.equality(node, left, right),
            (operators::IN, [item, list]) => self.membership(item, list),
            (
                operator @ (operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS),
                [left, right],
            ) => self.ordering(node, operator, left, right),
            (
                operator @ (operators::ADD
                | operators::SUBSTRACT
                | operators::MULTIPLY
                | operators::DIVIDE
                | operators::MODULO),
                [left, right],
            ) => self.arithmetic(node, operator, left, right),
            (operators::NEGATE, [inner]) => {
                let of = self.present(inner);
                if !matches!(Family::of(&of), Family::Number | Family::Duration | Family::Unknown) {
                    self.mistake(node.id, format!("`-` does not work on {}", of.noun()), "");
                }
                of
            }
            (operators::INDEX, [container, index]) => self.index(node, container, index),
            // Wraps the condition of `all` and `exists`; it is the parser's, not the author's.
            (operators::NOT_STRICTLY_FALSE, [inner]) => {
                self.infer(inner);
                Type::Bool
            }
            (name, arguments) => self.function(node, name, call.target.as_deref(), arguments),
        }
    }

    fn truth(&mut self, node: &IdedExpr) {
        let of = self.infer(node);
        self.must_be_truth(node, &of);
    }

    fn must_be_truth(&mut self, node: &IdedExpr, of: &Type) {
        if !matches!(of, Type::Bool | Type::Dyn) {
            let part = path_of(node).map_or_else(|| "this part".to_owned(), |path| format!("`{path}`"));
            self.mistake(node.id, format!("{part} is {} where true or false is needed", of.noun()), "");
        }
    }

    fn equality(&mut self, node: &IdedExpr, left: &IdedExpr, right: &IdedExpr) -> Type {
        let (left_type, right_type) = (self.infer(left), self.infer(right));
        self.symbol_exists(left, &left_type, right);
        self.symbol_exists(right, &right_type, left);
        let (l, r) = (left_type.without_null(), right_type.without_null());
        let comparable = left_type.may_be_null() && right_type.may_be_null()
            || matches!((l, r), (Type::Null, _) | (_, Type::Null))
            || Family::of(l) == Family::of(r)
            || Family::of(l) == Family::Unknown
            || Family::of(r) == Family::Unknown;
        if !comparable {
            let part = path_of(left).map_or_else(|| "the left side".to_owned(), |path| format!("`{path}`"));
            self.mistake(node.id, format!("{part} is {}, which is never equal to {}", l.noun(), r.noun()), "");
        }
        Type::Bool
    }

    /// An enum compared with a text that is none of its symbols.
    fn symbol_exists(&mut self, node: &IdedExpr, of: &Type, compared: &IdedExpr) {
        let Type::Enum(symbols) = of.without_null() else {
            return;
        };
        let Expr::Literal(LiteralValue::String(text)) = &compared.expr else {
            return;
        };
        let word = text.inner();
        if !symbols.iter().any(|symbol| symbol == word) {
            let part = path_of(node).map_or_else(|| "it".to_owned(), |path| format!("`{path}`"));
            let what = format!("{part} is one of {}; '{word}' is none of them", symbols.join(", "));
            let near = nearest(word, symbols.iter().map(String::as_str));
            self.mistake(compared.id, what, near.map(|near| format!("did you mean '{near}'?")).unwrap_or_default());
        }
    }

    fn membership(&mut self, item: &IdedExpr, list: &IdedExpr) -> Type {
        let of = self.infer(item);
        let container = self.present(list);
        if let Expr::List(list) = &list.expr {
            for element in &list.elements {
                self.symbol_exists(item, &of, element);
            }
        }
        if !matches!(container, Type::List(_) | Type::Map(_) | Type::Dyn) {
            let what = format!("`in` needs a list or a map on its right, not {}", container.noun());
            self.mistake(list.id, what, "for texts write `text.contains(part)`");
        }
        Type::Bool
    }

    fn ordering(&mut self, node: &IdedExpr, operator: &str, left: &IdedExpr, right: &IdedExpr) -> Type {
        let (l, r) = (self.present(left), self.present(right));
        let (left_family, right_family) = (Family::of(&l), Family::of(&r));
        let known = left_family != Family::Unknown && right_family != Family::Unknown;
        if known && (left_family != right_family || !left_family.is_ordered()) {
            let sign = operator.trim_matches('_');
            self.mistake(node.id, format!("`{sign}` cannot compare {} with {}", l.noun(), r.noun()), "");
        }
        Type::Bool
    }

    fn arithmetic(&mut self, node: &IdedExpr, operator: &str, left: &IdedExpr, right: &IdedExpr) -> Type {
        let (l, r) = (self.present(left), self.present(right));
        let (plus, minus) = (operator == operators::ADD, operator == operators::SUBSTRACT);
        match (&l, &r) {
            (Type::Int, Type::Int) => Type::Int,
            (Type::Double, Type::Double) if operator != operators::MODULO => Type::Double,
            (Type::List(left), Type::List(right)) if plus => Type::List(left.or(right).into()),
            (Type::Bytes, Type::Bytes) if plus => Type::Bytes,
            (l, r) if plus && l.is_text() && r.is_text() => Type::Text,
            (Type::Duration, Type::Duration) if plus || minus => Type::Duration,
            (Type::Timestamp, Type::Timestamp) if minus => Type::Duration,
            (Type::Timestamp, Type::Duration) if plus || minus => Type::Timestamp,
            (Type::Duration, Type::Timestamp) if plus => Type::Timestamp,
            (Type::Dyn, _) | (_, Type::Dyn) => Type::Dyn,
            (l, r) => {
                let sign = operator.trim_matches('_');
                let help = match (l.is_text(), r.is_text()) {
                    (true, false) | (false, true) if plus => "put `string(…)` around the part that is not text",
                    (false, false) if Family::of(l) == Family::Number && Family::of(r) == Family::Number => {
                        "put `double(…)` around the whole number"
                    }
                    _ => "",
                };
                self.mistake(node.id, format!("`{sign}` does not work on {} and {}", l.noun(), r.noun()), help);
                Type::Dyn
            }
        }
    }

    fn index(&mut self, node: &IdedExpr, container: &IdedExpr, index: &IdedExpr) -> Type {
        let (of, by) = (self.present(container), self.present(index));
        match &of {
            Type::List(items) if matches!(by, Type::Int | Type::Dyn) => items.as_ref().clone(),
            Type::Map(values) => values.as_ref().clone(),
            Type::Record(_) | Type::Dyn => Type::Dyn,
            other @ (Type::Null
            | Type::Bool
            | Type::Int
            | Type::Double
            | Type::Text
            | Type::Bytes
            | Type::Duration
            | Type::Timestamp
            | Type::Enum(_)
            | Type::List(_)
            | Type::Nullable(_)) => {
                self.mistake(node.id, format!("{} cannot be indexed by {}", other.noun(), by.noun()), "");
                Type::Dyn
            }
        }
    }

    fn function(&mut self, node: &IdedExpr, name: &str, target: Option<&IdedExpr>, arguments: &[IdedExpr]) -> Type {
        if let Some(target) = target {
            self.present(target);
        }
        for argument in arguments {
            self.present(argument);
        }
        let same_name: Vec<&Function> = FUNCTIONS.iter().filter(|function| function.name == name).collect();
        let fits = |function: &&&Function| function.member == target.is_some();
        let Some(function) = same_name.iter().find(fits) else {
            let (message, help) = match same_name.first() {
                Some(function) if function.member => {
                    (format!("`{name}` is called on a value"), format!("for instance `{}`", function.example))
                }
                Some(function) => {
                    (format!("`{name}` is not called on a value"), format!("for instance `{}`", function.example))
                }
                None => {
                    (format!("unknown function `{name}`"), suggestion(name, FUNCTIONS.iter().map(|known| known.name)))
                }
            };
            self.mistake(node.id, message, help);
            return Type::Dyn;
        };
        let (fewest, most) = function.arguments;
        if !(fewest..=most).contains(&arguments.len()) {
            let message = format!("`{name}` is called with {} arguments", arguments.len());
            self.mistake(node.id, message, format!("for instance `{}`", function.example));
        }
        function.gives.as_type()
    }
}

/// Types that can be compared with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Unknown,
    Null,
    Bool,
    Number,
    Text,
    Bytes,
    Duration,
    Timestamp,
    List,
    Map,
}

impl Family {
    fn of(of: &Type) -> Self {
        match of {
            Type::Dyn => Self::Unknown,
            Type::Null => Self::Null,
            Type::Bool => Self::Bool,
            Type::Int | Type::Double => Self::Number,
            Type::Text | Type::Enum(_) => Self::Text,
            Type::Bytes => Self::Bytes,
            Type::Duration => Self::Duration,
            Type::Timestamp => Self::Timestamp,
            Type::List(_) => Self::List,
            Type::Map(_) | Type::Record(_) => Self::Map,
            Type::Nullable(inner) => Self::of(inner),
        }
    }

    fn is_ordered(self) -> bool {
        matches!(self, Self::Number | Self::Text | Self::Bytes | Self::Duration | Self::Timestamp | Self::Bool)
    }
}
