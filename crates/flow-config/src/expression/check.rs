//! The static check of one expression: names against the schema, types against their use.

use std::collections::BTreeSet;

use cel::IdedExpr;
use cel::common::ast::{ComprehensionExpr, EntryExpr, Expr, LiteralValue, MapExpr, SelectExpr};

use super::narrowing::path_of;
use super::types::Type;
use crate::problem::{nearest, suggestion};

/// The variables that an expression may use.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    /// Name and type of each.
    pub(crate) variables: Vec<(&'static str, Type)>,
    /// The path whose fields a schema declares, `event` or `response.body`.
    pub(crate) declared: &'static str,
    /// How messages call the place where they are declared, `schema ticket/v1`.
    pub(crate) declared_in: String,
    /// Paths that a step's `when` has proved to be not null.
    pub(crate) not_null: Vec<String>,
}

/// What is wrong in an expression, at which node.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mistake {
    pub(crate) node: u64,
    pub(crate) message: String,
    pub(crate) help: String,
}

/// What an expression reads, so that no more than that is converted for each event.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Uses {
    /// Variables used in any way.
    pub(crate) variables: BTreeSet<String>,
    /// Fields of `event` used by name.
    pub(crate) event_fields: BTreeSet<String>,
    /// `event` is used as a whole.
    pub(crate) whole_event: bool,
    /// `response.body`, or `response` as a whole, is used.
    pub(crate) answer_body: bool,
}

impl Uses {
    pub(crate) fn add(&mut self, other: &Self) {
        self.variables.extend(other.variables.iter().cloned());
        self.event_fields.extend(other.event_fields.iter().cloned());
        self.whole_event |= other.whole_event;
        self.answer_body |= other.answer_body;
    }
}

/// The result of a check.
pub(crate) struct Checked {
    pub(crate) of: Type,
    pub(crate) uses: Uses,
    pub(crate) mistakes: Vec<Mistake>,
}

pub(crate) fn check(expression: &IdedExpr, scope: &Scope) -> Checked {
    let mut checker = Checker {
        scope,
        locals: Vec::new(),
        not_null: scope.not_null.clone(),
        uses: Uses::default(),
        mistakes: Vec::new(),
    };
    let of = checker.infer(expression);
    Checked { of, uses: checker.uses, mistakes: checker.mistakes }
}

pub(super) struct Checker<'a> {
    scope: &'a Scope,
    /// Variables of `all`, `exists`, `map` and `filter`, innermost last.
    locals: Vec<(String, Type)>,
    not_null: Vec<String>,
    uses: Uses,
    mistakes: Vec<Mistake>,
}

impl Checker<'_> {
    pub(super) fn infer(&mut self, node: &IdedExpr) -> Type {
        match &node.expr {
            Expr::Ident(name) => {
                let of = self.variable(node.id, name);
                self.narrowed(node, of)
            }
            Expr::Select(select) => {
                let of = self.select(node, select);
                self.narrowed(node, of)
            }
            Expr::Call(call) => self.call(node, call),
            Expr::Literal(literal) => literal_type(literal),
            Expr::List(list) => {
                let items: Vec<Type> = list.elements.iter().map(|item| self.infer(item)).collect();
                let of = items.into_iter().reduce(|left, right| left.or(&right)).unwrap_or(Type::Dyn);
                Type::List(of.into())
            }
            Expr::Map(map) => self.map(map),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::Struct(message) => {
                let what = format!("`{}{{…}}` builds a message, which expressions here do not have", message.type_name);
                self.mistake(node.id, what, "write a map, `{'name': value}`");
                Type::Dyn
            }
            Expr::Unspecified => Type::Dyn,
        }
    }

    /// The type of a part that must not be null where it stands.
    pub(super) fn present(&mut self, node: &IdedExpr) -> Type {
        let of = self.infer(node);
        if of.may_be_null() {
            let (what, help) = match path_of(node) {
                Some(path) => {
                    (format!("`{path}` may be null here"), format!("say what holds then: `{path} != null ? … : …`"))
                }
                None => (
                    "a part of this may be null here".to_owned(),
                    "say what holds then: `x != null ? … : …`".to_owned(),
                ),
            };
            self.mistake(node.id, what, help);
        }
        if of == Type::Null { Type::Dyn } else { of.without_null().clone() }
    }

    /// Infers `node` knowing that `paths` are not null.
    pub(super) fn infer_given(&mut self, paths: Vec<String>, node: &IdedExpr) -> Type {
        let before = self.not_null.len();
        self.not_null.extend(paths);
        let of = self.infer(node);
        self.not_null.truncate(before);
        of
    }

    pub(super) fn mistake(&mut self, node: u64, message: impl Into<String>, help: impl Into<String>) {
        let mistake = Mistake { node, message: message.into(), help: help.into() };
        if !self.mistakes.contains(&mistake) {
            self.mistakes.push(mistake);
        }
    }

    fn narrowed(&self, node: &IdedExpr, of: Type) -> Type {
        let proved = of.may_be_null() && path_of(node).is_some_and(|path| self.not_null.contains(&path));
        if proved { of.without_null().clone() } else { of }
    }

    fn variable(&mut self, node: u64, name: &str) -> Type {
        if let Some((_, of)) = self.locals.iter().rev().find(|(local, _)| local == name) {
            return of.clone();
        }
        if let Some((_, of)) = self.scope.variables.iter().find(|(variable, _)| *variable == name) {
            self.uses.variables.insert(name.to_owned());
            self.uses.whole_event |= name == "event";
            self.uses.answer_body |= name == "response";
            return of.clone();
        }
        if !TYPE_NAMES.contains(&name) {
            let help = self.name_help(name);
            self.mistake(node, format!("unknown name `{name}`"), help);
        }
        Type::Dyn
    }

    /// A name that is a field of the event is the most likely slip.
    fn name_help(&self, name: &str) -> String {
        let field = self.scope.variables.iter().find_map(|(variable, of)| {
            let Type::Record(record) = of else { return None };
            record.field(name).map(|_| format!("write `{variable}.{name}`"))
        });
        field.unwrap_or_else(|| suggestion(name, self.scope.variables.iter().map(|(variable, _)| *variable)))
    }

    fn select(&mut self, node: &IdedExpr, select: &SelectExpr) -> Type {
        let operand = self.operand_of(select);
        let field = select.field.as_str();
        let of = match &operand {
            Type::Record(record) => match record.field(field) {
                Some(of) if select.test => {
                    let path = path_of(&select.operand).unwrap_or_default();
                    let what =
                        format!("`has({path}.{field})` is always true, as {} has this field", self.place_of(&path));
                    let help = if of.may_be_null() { format!("write `{path}.{field} != null`") } else { String::new() };
                    self.mistake(node.id, what, help);
                    Type::Bool
                }
                Some(of) => of.clone(),
                None => {
                    let path = path_of(&select.operand).map(|path| format!("{path}."));
                    let path = path.as_deref().unwrap_or_default();
                    let help = match nearest(field, record.names()) {
                        Some(near) => format!("did you mean `{path}{near}`?"),
                        None => suggestion(field, record.names()),
                    };
                    let place = self.place_of(path.trim_end_matches('.'));
                    self.mistake(node.id, format!("unknown field `{field}` in {place}"), help);
                    Type::Dyn
                }
            },
            Type::Map(values) => values.as_ref().clone(),
            Type::Dyn => Type::Dyn,
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
                let part = path_of(&select.operand).map_or_else(|| "this".to_owned(), |path| format!("`{path}`"));
                self.mistake(node.id, format!("{part} is {} and has no field `{field}`", other.noun()), "");
                Type::Dyn
            }
        };
        if select.test { Type::Bool } else { of }
    }

    /// What declares the fields of a path.
    fn place_of(&self, path: &str) -> String {
        match path {
            "" => "this record".to_owned(),
            path if path.starts_with(self.scope.declared) => self.scope.declared_in.clone(),
            path => format!("`{path}`"),
        }
    }

    /// The type of what a field is taken from; `event.x` is noted as a use of `x` alone, `response.status` as none of the body.
    fn operand_of(&mut self, select: &SelectExpr) -> Type {
        let Expr::Ident(name) = &select.operand.expr else {
            return self.present(&select.operand);
        };
        let (whole_before, body_before) = (self.uses.whole_event, self.uses.answer_body);
        let of = self.present(&select.operand);
        let is_local = self.locals.iter().any(|(local, _)| local == name);
        if name == "event" && !is_local {
            self.uses.whole_event = whole_before;
            self.uses.event_fields.insert(select.field.clone());
        }
        if name == "response" && !is_local && select.field != "body" {
            self.uses.answer_body = body_before;
        }
        of
    }

    fn map(&mut self, map: &MapExpr) -> Type {
        let mut values: Option<Type> = None;
        for entry in &map.entries {
            let (key, value) = match &entry.expr {
                EntryExpr::MapEntry(entry) => (Some(&entry.key), &entry.value),
                EntryExpr::StructField(field) => (None, &field.value),
            };
            if let Some(key) = key {
                self.present(key);
            }
            let of = self.infer(value);
            values = Some(values.map_or_else(|| of.clone(), |so_far| so_far.or(&of)));
        }
        Type::Map(values.unwrap_or(Type::Dyn).into())
    }

    fn comprehension(&mut self, comprehension: &ComprehensionExpr) -> Type {
        let range = self.present(&comprehension.iter_range);
        let (first, second) = match &range {
            Type::List(items) if comprehension.iter_var2.is_some() => (Type::Int, items.as_ref().clone()),
            Type::List(items) => (items.as_ref().clone(), Type::Dyn),
            Type::Map(values) => (Type::Text, values.as_ref().clone()),
            Type::Dyn => (Type::Dyn, Type::Dyn),
            other @ (Type::Null
            | Type::Bool
            | Type::Int
            | Type::Double
            | Type::Text
            | Type::Bytes
            | Type::Duration
            | Type::Timestamp
            | Type::Enum(_)
            | Type::Record(_)
            | Type::Nullable(_)) => {
                self.mistake(comprehension.iter_range.id, format!("{} has no items to go through", other.noun()), "");
                (Type::Dyn, Type::Dyn)
            }
        };
        let collected = self.infer(&comprehension.accu_init);
        let depth = self.locals.len();
        self.locals.push((comprehension.accu_var.clone(), collected));
        self.locals.push((comprehension.iter_var.clone(), first));
        if let Some(name) = &comprehension.iter_var2 {
            self.locals.push((name.clone(), second));
        }
        self.infer(&comprehension.loop_cond);
        self.infer(&comprehension.loop_step);
        self.locals.truncate(depth + 1);
        let of = self.infer(&comprehension.result);
        self.locals.truncate(depth);
        of
    }
}

/// Names of CEL's own types, as in `type(x) == int`.
const TYPE_NAMES: &[&str] = &["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];

fn literal_type(literal: &LiteralValue) -> Type {
    match literal {
        LiteralValue::Boolean(_) => Type::Bool,
        LiteralValue::Bytes(_) => Type::Bytes,
        LiteralValue::Double(_) => Type::Double,
        LiteralValue::Int(_) => Type::Int,
        LiteralValue::Null => Type::Null,
        LiteralValue::String(_) => Type::Text,
        // Unsigned numbers mix with nothing in CEL; what they do is seen when they are used.
        LiteralValue::UInt(_) => Type::Dyn,
    }
}
