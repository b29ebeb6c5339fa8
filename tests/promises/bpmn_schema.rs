//! Every model of this repository is BPMN 2.0, as the OMG's schema says: any BPMN tool can open it, and it has a diagram to draw

use std::path::{Path, PathBuf};
use std::process::Command;

use promises::{flowable_jar, repository};
use tempfile::TempDir;

/// The schema's files, from the jar of the engine's own converter; `./dev` installs what unpacks and reads them
struct Schema(TempDir);

impl Schema {
    fn unpacked() -> Schema {
        let folder = tempfile::tempdir().unwrap();
        let jar = flowable_jar("flowable-bpmn-converter-").unwrap();
        let unzip = Command::new("unzip").arg("-qj").arg(jar).arg("*.xsd").arg("-d").arg(folder.path()).status();
        assert!(unzip.unwrap().success());
        Schema(folder)
    }

    /// What is wrong with a model, in xmllint's words; empty where nothing is
    fn problems(&self, model: &Path) -> String {
        let schema = self.0.path().join("BPMN20.xsd");
        let checked = Command::new("xmllint").args(["--noout", "--nonet", "--schema"]).arg(schema).arg(model).output();
        let checked = checked.unwrap();
        if checked.status.success() { String::new() } else { String::from_utf8_lossy(&checked.stderr).into_owned() }
    }
}

fn models() -> Vec<PathBuf> {
    let folders = std::fs::read_dir(repository().join("flows")).unwrap();
    let files = folders.flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap());
    let files = files.map(|file| file.unwrap().path());
    files.filter(|file| file.extension().is_some_and(|extension| extension == "bpmn")).collect()
}

#[test]
fn every_model_obeys_the_schema_of_bpmn_and_draws_all_that_it_has() {
    let (schema, models) = (Schema::unpacked(), models());
    assert!(models.len() >= 8, "{models:?}");
    for model in &models {
        assert_eq!(schema.problems(model), "", "{}", model.display());
        let text = std::fs::read_to_string(model).unwrap();
        for element in ["userTask", "serviceTask", "sequenceFlow", "boundaryEvent"] {
            for id in text.split(&format!("<{element} id=\"")).skip(1).filter_map(|rest| rest.split('"').next()) {
                assert!(text.contains(&format!("bpmnElement=\"{id}\"")), "{}: {id} is not drawn", model.display());
            }
        }
    }
}

#[test]
fn a_model_that_bpmn_does_not_know_is_found() {
    let (schema, folder) = (Schema::unpacked(), tempfile::tempdir().unwrap());
    let model = std::fs::read_to_string(repository().join("flows/tickets/ticket_triage.bpmn")).unwrap();
    for (from, to, why) in [
        ("<exclusiveGateway id=\"escalated\"/>", "<eitherGateway id=\"escalated\"/>", "eitherGateway"),
        (" sourceRef=\"decided\" targetRef=\"publishOutcome\"", " sourceRef=\"decided\"", "targetRef"),
        ("id=\"isUrgent\"", "id=\"decided\"", "decided"),
    ] {
        assert!(model.contains(from), "{from}");
        let file = folder.path().join("model.bpmn");
        std::fs::write(&file, model.replace(from, to)).unwrap();
        let problems = schema.problems(&file);
        assert!(problems.contains(why), "{why}: {problems}");
    }
}
