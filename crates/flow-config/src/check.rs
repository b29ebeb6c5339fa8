//! All flows of a folder at once.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use event_model::Schemas;

use crate::flow::Flow;
use crate::problem::Problem;

/// What a check of all flows found.
#[derive(Debug)]
pub struct CheckReport {
    /// The flows without a mistake, in the order of their folders' names.
    pub flows: Vec<Flow>,
    /// Every mistake, in the order of the files.
    pub problems: Vec<Problem>,
}

impl CheckReport {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.problems.is_empty()
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{problem}")?;
        }
        let flows = match self.flows.len() {
            1 => "1 flow is good".to_owned(),
            count => format!("{count} flows are good"),
        };
        match self.problems.len() {
            0 => writeln!(f, "{flows}"),
            1 => writeln!(f, "1 problem; {flows}"),
            count => writeln!(f, "{count} problems; {flows}"),
        }
    }
}

/// Reads and checks every flow folder below `flows_dir`. Folders whose name starts with a dot are left alone.
#[must_use]
pub fn check(flows_dir: &Path, schemas: &Schemas) -> CheckReport {
    let mut report = CheckReport { flows: Vec::new(), problems: Vec::new() };
    match folders(flows_dir) {
        Ok(dirs) if dirs.is_empty() => {
            let help = "make a folder for each flow, with a flow.toml in it";
            report.problems.push(Problem::of_file(flows_dir, "has no flow in it", help));
        }
        Ok(dirs) => {
            for dir in dirs {
                match Flow::load(&dir, schemas) {
                    Ok(flow) => report.flows.push(flow),
                    Err(problems) => report.problems.extend(problems),
                }
            }
        }
        Err(error) => {
            let help = "name the folder of the flows in xconnector.toml, flows = \"…\"";
            report.problems.push(Problem::of_file(flows_dir, format!("cannot be listed: {error}"), help));
        }
    }
    report.problems.extend(shared_names(&report.flows));
    report
}

fn folders(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if !hidden && entry.path().is_dir() {
            folders.push(entry.path());
        }
    }
    folders.sort();
    Ok(folders)
}

/// Flows that would share a consumer group, a ledger or a job topic.
fn shared_names(flows: &[Flow]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut names: BTreeMap<Arc<str>, &Flow> = BTreeMap::new();
    let mut topics: BTreeMap<Arc<str>, &Flow> = BTreeMap::new();
    for flow in flows {
        if let Some(other) = names.insert(Arc::clone(&flow.name), flow) {
            let message = format!("the name `{}` is taken by {}", flow.name, other.file.display());
            problems.push(at_field(
                flow,
                "flow.name",
                message,
                "a flow's name is its consumer group and its topics: choose another",
            ));
        }
        for job in &flow.jobs {
            if let Some(other) = topics.insert(Arc::clone(&job.topic), flow)
                && other.name != flow.name
            {
                let message = format!("the jobs of `{}` are taken by {}", job.topic, other.file.display());
                problems.push(at_field(flow, "job.topic", message, "one flow serves one external-worker topic"));
            }
        }
    }
    problems
}

fn at_field(flow: &Flow, field: &str, message: String, help: &str) -> Problem {
    Problem { field: field.to_owned(), ..Problem::of_file(&flow.file, message, help) }
}
