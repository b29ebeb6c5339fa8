//! The body of a call as the file writes it: expressions in tables and lists, checked against the schema of the command where there is
//! one.

use std::borrow::Cow;

use event_model::EventSchema;
use serde_json::{Map, Value as Json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::read::compile;
use super::super::source::Located;
use crate::document::Section;
use crate::expression::{Evaluation, EvaluationError, Misfit, RecordType, Scope, Type, Wanted, misfit};
use crate::problem::suggestion;

#[derive(Debug)]
pub(super) enum Body {
    Value(Box<Located>),
    Constant(Json),
    Table(Vec<(String, Body)>),
    List(Vec<Body>),
}

impl Body {
    pub(super) fn fill(&self, evaluation: &Evaluation<'_>) -> Result<Json, (&Located, EvaluationError)> {
        Ok(match self {
            Body::Value(at) => at.expression.evaluate(evaluation).map_err(|cause| (&**at, cause))?,
            Body::Constant(value) => value.clone(),
            Body::List(items) => Json::Array(items.iter().map(|item| item.fill(evaluation)).collect::<Result<_, _>>()?),
            Body::Table(fields) => {
                let mut object = Map::new();
                for (name, body) in fields {
                    object.insert(name.clone(), body.fill(evaluation)?);
                }
                Json::Object(object)
            }
        })
    }
}

/// Reads the field `body` of a call, if it is there.
pub(super) fn read(section: &Section<'_>, scope: &Scope, schema: Option<&EventSchema>) -> Option<Body> {
    let value = section.get("body")?;
    let wanted = schema.map_or(Type::Dyn, |schema| Type::of_schema(schema.avro()));
    Reader { section, scope, schema }.value("body", value, &wanted)
}

struct Reader<'a> {
    section: &'a Section<'a>,
    scope: &'a Scope,
    schema: Option<&'a EventSchema>,
}

/// A key of a table, and what stands there.
type Entry<'a> = (&'a Spanned<Cow<'a, str>>, &'a Spanned<DeValue<'a>>);

impl Reader<'_> {
    fn value(&self, path: &str, value: &Spanned<DeValue<'_>>, wanted: &Type) -> Option<Body> {
        let at = value.span().start;
        match value.get_ref() {
            DeValue::String(source) => {
                let located = compile(self.section, path, value.span(), source, Wanted::Anything, self.scope)?;
                self.fits(at, path, source, &located.expression.gives(), wanted).then(|| Body::Value(Box::new(located)))
            }
            DeValue::Boolean(truth) => {
                let fits = self.fits(at, path, &truth.to_string(), &Type::Bool, wanted);
                fits.then_some(Body::Constant(Json::Bool(*truth)))
            }
            DeValue::Integer(number) => {
                let fits = self.fits(at, path, number.as_str(), &Type::Int, wanted);
                let whole = i64::from_str_radix(number.as_str(), number.radix()).ok();
                whole.filter(|_| fits).map(|whole| Body::Constant(Json::from(whole)))
            }
            DeValue::Table(table) => self.table(path, at, table, wanted),
            DeValue::Array(items) => {
                let wanted = wanted.without_null();
                let of = if let Type::List(of) = wanted { of } else { &Type::Dyn };
                if !matches!(wanted, Type::List(_) | Type::Dyn) {
                    self.fits(at, path, "", &Type::List(Type::Dyn.into()), wanted);
                    return None;
                }
                // Every mistake is reported, not the first only.
                let items: Vec<_> = items.iter().map(|item| self.value(path, item, of)).collect();
                items.into_iter().collect::<Option<_>>().map(Body::List)
            }
            DeValue::Float(_) | DeValue::Datetime(_) => {
                self.section.wrong_type(path, value, "a CEL expression in quotes, or a table of them")
            }
        }
    }

    fn table(&self, path: &str, at: usize, table: &DeTable<'_>, wanted: &Type) -> Option<Body> {
        let wanted = wanted.without_null();
        let fields: Vec<_> = if let Type::Record(record) = wanted {
            self.complete(path, at, table, record);
            table.iter().map(|entry| self.field_of(path, entry, record)).collect()
        } else {
            let of = if let Type::Map(of) = wanted { of } else { &Type::Dyn };
            if !matches!(wanted, Type::Map(_) | Type::Dyn) {
                self.fits(at, path, "", &Type::record([]), wanted);
                return None;
            }
            table.iter().map(|entry| self.field(path, entry, of)).collect()
        };
        fields.into_iter().collect::<Option<_>>().map(Body::Table)
    }

    /// Reports what a table lacks of a record.
    fn complete(&self, path: &str, at: usize, table: &DeTable<'_>, record: &RecordType) {
        for name in record.names().filter(|name| !record.optional.contains(*name) && !table.contains_key(*name)) {
            let message = format!("lacks `{name}`{}", self.by());
            self.section.report(at, path, message, format!("add {name} = \"…\", a CEL expression"));
        }
    }

    fn field_of(&self, path: &str, entry: Entry<'_>, record: &RecordType) -> Option<(String, Body)> {
        let name = entry.0.get_ref();
        let Some(of) = record.field(name) else {
            let message = format!("has a field `{name}` too many{}", self.by());
            self.section.report(entry.0.span().start, path, message, suggestion(name, record.names()));
            return None;
        };
        self.field(path, entry, of)
    }

    fn field(&self, path: &str, (name, value): Entry<'_>, of: &Type) -> Option<(String, Body)> {
        let name = name.get_ref();
        Some((name.to_string(), self.value(&format!("{path}.{name}"), value, of)?))
    }

    /// Whether a value may stand there; it is reported where not.
    fn fits(&self, at: usize, path: &str, source: &str, given: &Type, wanted: &Type) -> bool {
        let Some(Misfit { message, help }) = misfit(source, given, wanted) else { return true };
        self.section.report(at, path, format!("{message}{}", self.by()), help);
        false
    }

    /// Whose word that is.
    fn by(&self) -> String {
        self.schema.map(|schema| format!(" (schema {})", schema.name())).unwrap_or_default()
    }
}
