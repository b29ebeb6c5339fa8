//! What a system knows, and how it answers: a state machine without I/O.

use std::collections::BTreeMap;

use axum::http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::catalog::{self, Action, Collection};
use super::idempotency::{Answered, Known};
use super::{Effect, System, scim};

/// What somebody asks for.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub method: Method,
    /// The parts of the path between the slashes.
    pub path: Vec<String>,
    /// Names and values behind the question mark.
    pub query: Vec<(String, String)>,
    pub key: Option<String>,
    pub if_match: Option<String>,
    /// Null where there is none.
    pub body: Value,
}

/// How it is answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub status: StatusCode,
    /// Null where there is none.
    pub body: Value,
    pub etag: Option<String>,
    pub location: Option<String>,
}

impl Answer {
    pub(super) fn of(status: StatusCode, body: Value) -> Answer {
        Answer { status, body, etag: None, location: None }
    }

    fn problem(status: StatusCode, detail: impl Into<String>) -> Answer {
        let detail: String = detail.into();
        Answer::of(status, json!({ "title": status.canonical_reason(), "status": status.as_u16(), "detail": detail }))
    }

    fn wrong(field: &str, detail: &str) -> Answer {
        let mut answer = Answer::problem(StatusCode::UNPROCESSABLE_ENTITY, detail);
        answer.body["field"] = json!(field);
        answer
    }

    fn thing(status: StatusCode, thing: &Thing) -> Answer {
        let etag = Some(thing.etag());
        Answer { status, body: Value::Object(thing.fields.clone()), etag, location: None }
    }
}

#[derive(Clone, Debug)]
struct Thing {
    fields: Map<String, Value>,
    version: u64,
}

impl Thing {
    fn etag(&self) -> String {
        format!("\"{}\"", self.version)
    }
}

pub(crate) struct Store {
    system: System,
    collections: &'static [Collection],
    /// By collection and id.
    things: BTreeMap<(&'static str, String), Thing>,
    answered: Answered,
    effects: Vec<Effect>,
    given_out: u64,
}

impl Store {
    pub(super) fn of(system: System) -> Store {
        let (things, answered) = (BTreeMap::new(), Answered::default());
        Store { system, collections: catalog::of(system), things, answered, effects: Vec::new(), given_out: 0 }
    }

    pub(super) fn effects(&self) -> &[Effect] {
        &self.effects
    }

    pub(super) fn look(&self, path: &str) -> Option<Value> {
        let (name, id) = path.trim_start_matches('/').split_once('/')?;
        let collection = self.collections.iter().find(|collection| collection.name == name)?;
        Some(Value::Object(self.things.get(&(collection.name, id.to_owned()))?.fields.clone()))
    }

    pub(super) fn put_there(&mut self, path: &str, value: Value) -> Option<String> {
        let name = path.trim_matches('/');
        let collection = self.collections.iter().find(|collection| collection.name == name)?;
        let Value::Object(mut fields) = value else { return None };
        let id = fields.remove("id").as_ref().and_then(Value::as_str).map(str::to_owned);
        let made = self.make(collection, id, fields);
        made.fields.get("id").and_then(Value::as_str).map(str::to_owned)
    }

    pub(super) fn change_there(&mut self, path: &str, fields: Value) {
        let Some((name, id)) = path.trim_start_matches('/').split_once('/') else { return };
        let Some(collection) = self.collections.iter().find(|collection| collection.name == name) else { return };
        let thing = self.things.get_mut(&(collection.name, id.to_owned()));
        if let (Some(thing), Value::Object(fields)) = (thing, fields) {
            thing.fields.extend(fields);
            thing.version += 1;
        }
    }

    /// The name of what is asked for, for faults, such as `invoices.create`.
    pub(super) fn operation(&self, asked: &Asked) -> String {
        let part = |index: usize| asked.path.get(index).map_or("", String::as_str);
        let verb = match (&asked.method, asked.path.len()) {
            (&Method::POST, 1) => "create",
            (&Method::POST, _) => part(2),
            (&Method::GET, 1) => "list",
            (&Method::GET, _) => "read",
            (&Method::DELETE, _) => "delete",
            _ => "update",
        };
        format!("{}.{verb}", part(0))
    }

    /// Does what is asked for, once for each key.
    pub(super) fn ask(&mut self, asked: &Asked) -> Answer {
        let changes = !matches!(asked.method, Method::GET | Method::HEAD);
        let Some(key) = asked.key.clone().filter(|_| changes) else {
            if asked.method == Method::POST && self.system != System::Identity {
                return Answer::problem(
                    StatusCode::BAD_REQUEST,
                    "Idempotency-Key is missing; what has an effect needs one",
                );
            }
            return self.perform(asked);
        };
        match self.answered.look(&key, asked) {
            Known::Before(answer) => answer,
            Known::Other => Answer::problem(
                StatusCode::UNPROCESSABLE_ENTITY,
                "this Idempotency-Key came with another request before",
            ),
            Known::New => {
                let answer = self.perform(asked);
                // What was refused may be asked for again, once it is mended.
                if answer.status.is_success() {
                    self.answered.remember(key, asked, answer.clone());
                }
                answer
            }
        }
    }

    fn perform(&mut self, asked: &Asked) -> Answer {
        if self.system == System::Identity {
            return scim::answer(self, asked);
        }
        let parts: Vec<&str> = asked.path.iter().map(String::as_str).collect();
        let collection = parts.first().and_then(|name| self.collections.iter().find(|of| of.name == *name));
        let Some(collection) = collection else {
            return Answer::problem(StatusCode::NOT_FOUND, "there is no such collection");
        };
        match (&asked.method, &parts[1..]) {
            (&Method::GET, []) => self.list(collection, asked),
            (&Method::GET, [id]) => self.read(collection, id),
            (&Method::POST, []) => self.create(collection, asked),
            (&Method::PATCH | &Method::PUT, [id]) => self.update(collection, id, asked),
            (&Method::DELETE, [id]) => self.delete(collection, id, asked),
            (&Method::POST, [id, name]) => match collection.actions.iter().find(|action| action.name == *name) {
                Some(action) => self.act(collection, id, action, asked),
                None => Answer::problem(StatusCode::NOT_FOUND, "there is no such action"),
            },
            _ => Answer::problem(StatusCode::METHOD_NOT_ALLOWED, "not that here"),
        }
    }

    /// The collection of accounts.
    pub(super) fn users(&self) -> &'static Collection {
        &self.collections[0]
    }

    pub(super) fn list(&self, collection: &Collection, asked: &Asked) -> Answer {
        let fits = |thing: &Thing| {
            asked.query.iter().all(|(name, value)| thing.fields.get(name).is_some_and(|found| as_text(found) == *value))
        };
        let of = self.things.iter().filter(|((name, _), thing)| *name == collection.name && fits(thing));
        let found: Vec<Value> = of.map(|(_, thing)| Value::Object(thing.fields.clone())).collect();
        Answer::of(StatusCode::OK, json!({ "total": found.len(), "items": found }))
    }

    pub(super) fn read(&self, collection: &Collection, id: &str) -> Answer {
        match self.things.get(&(collection.name, id.to_owned())) {
            Some(thing) => Answer::thing(StatusCode::OK, thing),
            None => missing(),
        }
    }

    pub(super) fn create(&mut self, collection: &'static Collection, asked: &Asked) -> Answer {
        let Value::Object(fields) = &asked.body else {
            return Answer::problem(StatusCode::BAD_REQUEST, "the body is no JSON object");
        };
        if let Some(wrong) = invalid(collection.required, fields) {
            return wrong;
        }
        let same = |thing: &Thing| collection.unique.iter().all(|field| thing.fields.get(*field) == fields.get(*field));
        let taken = self.things.iter().find(|((name, _), thing)| *name == collection.name && same(thing));
        if let Some(((_, id), _)) = taken.filter(|_| !collection.unique.is_empty()) {
            let detail = format!("there is one with the same {} already", collection.unique.join(" and "));
            let mut answer = Answer::problem(StatusCode::CONFLICT, detail);
            answer.body["id"] = json!(id);
            return answer;
        }
        let thing = self.make(collection, None, fields.clone());
        let id = as_text(thing.fields.get("id").unwrap_or(&Value::Null));
        self.took_effect(collection, "create", &id, &thing, asked);
        Answer { location: Some(format!("/{}/{id}", collection.name)), ..Answer::thing(StatusCode::CREATED, &thing) }
    }

    fn make(&mut self, collection: &'static Collection, id: Option<String>, mut fields: Map<String, Value>) -> Thing {
        self.given_out += 1;
        let id = id.unwrap_or_else(|| format!("{}-{}", collection.prefix, self.given_out));
        fields.insert("id".to_owned(), json!(id));
        if !collection.begins.is_empty() {
            fields.entry("status").or_insert_with(|| json!(collection.begins));
        }
        let thing = Thing { fields, version: 1 };
        self.things.insert((collection.name, id), thing.clone());
        thing
    }

    /// PATCH merges (RFC 7396, without nesting), PUT replaces; status and id are not changed by either.
    pub(super) fn update(&mut self, collection: &'static Collection, id: &str, asked: &Asked) -> Answer {
        let Value::Object(given) = &asked.body else {
            return Answer::problem(StatusCode::BAD_REQUEST, "the body is no JSON object");
        };
        let Some(thing) = self.things.get_mut(&(collection.name, id.to_owned())) else { return missing() };
        if let Some(stale) = stale(collection, thing, asked) {
            return stale;
        }
        let mut fields = if asked.method == Method::PUT { Map::new() } else { thing.fields.clone() };
        for (name, value) in given {
            if value.is_null() {
                fields.remove(name)
            } else {
                fields.insert(name.clone(), value.clone())
            };
        }
        for kept in ["id", "status"] {
            match thing.fields.get(kept) {
                Some(value) => fields.insert(kept.to_owned(), value.clone()),
                None => fields.remove(kept),
            };
        }
        if let Some(wrong) = invalid(collection.required, &fields) {
            return wrong;
        }
        (thing.fields, thing.version) = (fields, thing.version + 1);
        let thing = thing.clone();
        self.took_effect(collection, "update", id, &thing, asked);
        Answer::thing(StatusCode::OK, &thing)
    }

    pub(super) fn delete(&mut self, collection: &'static Collection, id: &str, asked: &Asked) -> Answer {
        let place = (collection.name, id.to_owned());
        let Some(thing) = self.things.get(&place) else { return missing() };
        if let Some(stale) = stale(collection, thing, asked) {
            return stale;
        }
        if let Some(gone) = self.things.remove(&place) {
            self.took_effect(collection, "delete", id, &gone, asked);
        }
        Answer::of(StatusCode::NO_CONTENT, Value::Null)
    }

    fn act(&mut self, collection: &'static Collection, id: &str, action: &Action, asked: &Asked) -> Answer {
        let empty = Map::new();
        let given = match &asked.body {
            Value::Object(given) => given,
            Value::Null => &empty,
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                return Answer::problem(StatusCode::BAD_REQUEST, "the body is no JSON object");
            }
        };
        let Some(thing) = self.things.get_mut(&(collection.name, id.to_owned())) else { return missing() };
        if asked.if_match.is_some()
            && let Some(stale) = stale(collection, thing, asked)
        {
            return stale;
        }
        let status = as_text(thing.fields.get("status").unwrap_or(&Value::Null));
        if !action.from.is_empty() && !action.from.contains(&status.as_str()) {
            let detail = format!("it is {status}; {} is for what is {}", action.name, action.from.join(" or "));
            return Answer::problem(StatusCode::CONFLICT, detail);
        }
        if let Some(wrong) = invalid(action.required, given) {
            return wrong;
        }
        let own = |name: &&String| !["id", "status"].contains(&name.as_str());
        for name in given.keys().filter(own) {
            thing.fields.insert(name.clone(), given[name.as_str()].clone());
        }
        if !action.to.is_empty() {
            thing.fields.insert("status".to_owned(), json!(action.to));
        }
        thing.version += 1;
        let thing = thing.clone();
        self.took_effect(collection, action.name, id, &thing, asked);
        Answer::thing(StatusCode::OK, &thing)
    }

    fn took_effect(&mut self, collection: &Collection, verb: &str, id: &str, thing: &Thing, asked: &Asked) {
        let operation = format!("{}.{verb}", collection.name);
        let named = collection.unique.last().and_then(|field| thing.fields.get(*field)).map(as_text);
        self.effects.push(Effect { operation, id: id.to_owned(), named, key: asked.key.clone() });
    }
}

fn missing() -> Answer {
    Answer::problem(StatusCode::NOT_FOUND, "there is none of that id")
}

/// The first field that is missing or makes no sense.
fn invalid(required: &[&str], fields: &Map<String, Value>) -> Option<Answer> {
    required.iter().find_map(|name| match fields.get(*name) {
        None | Some(Value::Null) => Some(Answer::wrong(name, "is missing")),
        Some(Value::String(text)) if text.trim().is_empty() => Some(Answer::wrong(name, "is empty")),
        Some(Value::Number(number)) if number.as_f64().is_some_and(|number| number < 0.0) => {
            Some(Answer::wrong(name, "is negative"))
        }
        Some(Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Array(_) | Value::Object(_)) => None,
    })
}

/// Whether the version that is meant is not the one that there is.
fn stale(collection: &Collection, thing: &Thing, asked: &Asked) -> Option<Answer> {
    match &asked.if_match {
        Some(meant) if meant == "*" || *meant == thing.etag() => None,
        Some(_) => Some(Answer::problem(StatusCode::PRECONDITION_FAILED, "it was changed meanwhile; read it again")),
        None if collection.locks => {
            Some(Answer::problem(StatusCode::PRECONDITION_REQUIRED, "say by If-Match which version is meant"))
        }
        None => None,
    }
}

fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
