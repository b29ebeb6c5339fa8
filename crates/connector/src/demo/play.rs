//! `play.toml` of a flow: what the demonstration plays of it, and what has to come of it.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use emulator::{System, Systems};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// The file beside `flow.toml`.
const FILE: &str = "play.toml";

/// One case, from the first event to the outcome. In `set`, `then`, `before` and `decision` the names of things stand as in the example.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scene {
    /// What happens, in a few words.
    title: String,
    /// The first event: a file of `examples`, without its ending.
    example: String,
    /// What example and expected outcome call the business object; every playing has a name of its own for it.
    object: String,
    /// What the systems hold beforehand.
    #[serde(default)]
    before: Vec<Before>,
    /// Fields of the event that differ from the example.
    #[serde(default)]
    set: Map<String, Value>,
    /// Further events, right behind the first, by the fields in which they differ from it.
    #[serde(default)]
    then: Vec<Map<String, Value>>,
    /// What people decide, in this order.
    #[serde(default)]
    decision: Vec<Decision>,
    /// The outcome: a file of `expected`, without its ending. None where the case has no outcome.
    expected: Option<String>,
}

/// Something that a system holds beforehand.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Before {
    system: System,
    /// The collection, such as `/invoices`.
    path: String,
    record: Value,
    /// What the example calls it; the system gives it an id of its own.
    called: String,
}

/// What a person decides at a task.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Decision {
    /// The task's id in the model.
    pub task: String,
    /// Variables that the person fills in.
    pub variables: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Play {
    scene: Vec<Scene>,
}

/// A scene of a flow.
#[derive(Clone, Debug)]
pub(super) struct Script {
    /// The flow's name.
    pub flow: String,
    folder: PathBuf,
    scene: Scene,
}

/// A scene with its names, ready to be played.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Playing {
    /// The flow's name.
    pub flow: String,
    /// What happens.
    pub title: String,
    /// The business object, which is also the key of its records.
    pub object: String,
    /// The events, in the order of publishing.
    pub events: Vec<Value>,
    /// What people decide.
    pub decisions: Vec<Decision>,
    /// The outcome, where there is one.
    pub expected: Option<Value>,
}

impl Script {
    /// The scenes of a flow; none where it has no play.
    ///
    /// # Errors
    /// The file cannot be read, with the line.
    pub(super) fn of(flow: &str, flow_file: &Path) -> anyhow::Result<Vec<Script>> {
        let folder = flow_file.parent().unwrap_or(flow_file);
        let file = folder.join(FILE);
        if !file.exists() {
            return Ok(Vec::new());
        }
        let text = std::fs::read_to_string(&file).with_context(|| format!("{}", file.display()))?;
        let play: Play = toml::from_str(&text).with_context(|| format!("{}", file.display()))?;
        ensure!(!play.scene.is_empty(), "{} has no [[scene]]", file.display());
        let script = |scene| Script { flow: flow.to_owned(), folder: folder.to_owned(), scene };
        Ok(play.scene.into_iter().map(script).collect())
    }

    /// Puts into the systems what has to be there, and gives everything its name. `number` makes the object's name unique.
    ///
    /// # Errors
    /// An example or expected file cannot be read, or a system has no such collection.
    pub(super) fn prepare(&self, number: usize, systems: &Systems) -> anyhow::Result<Playing> {
        let scene = &self.scene;
        let mut names = Names::default();
        if scene.before.iter().all(|before| before.called != scene.object) {
            let stem = scene.object.trim_end_matches(|c: char| c.is_ascii_digit());
            names.0.push((scene.object.clone(), format!("{stem}{number}")));
        }
        for before in &scene.before {
            let id = systems.put_there(before.system, &before.path, names.given(&before.record)?);
            let id = id.with_context(|| format!("{:?} has nothing like {}", before.system, before.path))?;
            names.0.push((before.called.clone(), id));
        }
        let first: Map<String, Value> = self.read("examples", &scene.example)?;
        let first: Map<String, Value> = first.into_iter().chain(scene.set.clone()).collect();
        let further = scene.then.iter().map(|other| first.clone().into_iter().chain(other.clone()).collect());
        let events: Vec<Map<String, Value>> = [first.clone()].into_iter().chain(further).collect();
        let expected: Option<Value> =
            scene.expected.as_ref().map(|expected| self.read("expected", expected)).transpose()?;
        Ok(Playing {
            flow: self.flow.clone(),
            title: scene.title.clone(),
            object: names.replaced(&scene.object),
            events: events.into_iter().map(|event| names.given(&Value::Object(event))).collect::<Result<_, _>>()?,
            decisions: scene.decision.iter().map(|decision| names.decision(decision)).collect::<Result<_, _>>()?,
            expected: expected.map(|expected| names.given(&expected)).transpose()?,
        })
    }

    fn read<T: DeserializeOwned>(&self, folder: &str, name: &str) -> anyhow::Result<T> {
        let file = self.folder.join(folder).join(format!("{name}.json"));
        let text = std::fs::read_to_string(&file).with_context(|| format!("{}", file.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{}", file.display()))
    }
}

/// What the example calls something, and what it is called this time.
#[derive(Default)]
struct Names(Vec<(String, String)>);

impl Names {
    fn replaced(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }

    fn given(&self, value: &Value) -> serde_json::Result<Value> {
        serde_json::from_str(&self.replaced(&value.to_string()))
    }

    fn decision(&self, decision: &Decision) -> serde_json::Result<Decision> {
        let variables = serde_json::from_str(&self.replaced(&serde_json::to_string(&decision.variables)?))?;
        Ok(Decision { task: decision.task.clone(), variables })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_scene_has_names_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let file = folder.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        };
        write("examples/blocked.json", r#"{ "id": "EX-1", "kind": "blocked", "record": "INV-404" }"#);
        write("expected/released.json", r#"{ "decision": "released", "variables": { "id": "EX-1" } }"#);
        let text = r#"
            [[scene]]
            title = "An invoice is released"
            example = "blocked"
            object = "EX-1"
            before = [{ system = "erp", path = "/invoices", record = { number = "N-EX-1", amount = 7 }, called = "INV-404" }]
            set = { amount = 7 }
            then = [{ kind = "changed", amount = 8 }]
            decision = [{ task = "review", variables = { decision = "release", of = "INV-404" } }]
            expected = "released"
        "#;
        write("play.toml", text);
        let systems = Systems::start(&[]).await.unwrap();
        let script = Script::of("finance", &folder.path().join("flow.toml")).unwrap().remove(0);
        let playing = script.prepare(1007, &systems).unwrap();
        assert_eq!(playing.object, "EX-1007");
        let invoice = playing.events[0]["record"].as_str().unwrap().to_owned();
        assert_eq!(systems.look(System::Erp, &format!("/invoices/{invoice}")).unwrap()["number"], "N-EX-1007");
        assert_eq!((&playing.events[1]["kind"], &playing.events[1]["amount"]), (&"changed".into(), &8.into()));
        assert_eq!(playing.decisions[0].variables["of"], *invoice);
        assert_eq!(playing.expected.unwrap()["variables"]["id"], "EX-1007");
        write("play.toml", &text.replace("title", "titel"));
        let error = format!("{:#}", Script::of("finance", &folder.path().join("flow.toml")).unwrap_err());
        assert!(error.contains("play.toml: ") && error.contains("unknown field `titel`"), "{error}");
    }
}
