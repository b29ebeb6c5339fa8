//! People at their worklists: they claim, comment and decide

use std::collections::HashMap;
use std::sync::Arc;

use promises::{DEADLINE, until};
use tokio::task::JoinSet;
use workflow_client::{CommentTarget, Engine, Task, TaskFilter, Variable};

/// What a person did with one ticket
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) clerk: &'static str,
    pub(crate) comment: String,
    pub(crate) decision: &'static str,
}

const CLERKS: [&str; 3] = ["ada", "björn", "chloé"];
const DECISIONS: [&str; 3] = ["resolved", "assigned", "rejected"];
/// People at work at the same time
const DESKS: usize = 12;

/// Reads the worklist of a group, waits until it holds `count` tasks, and completes them all; says by instance what was decided.
pub(crate) async fn complete_open_tasks(engine: &Engine, group: &str, count: usize) -> HashMap<String, Decision> {
    let complete_list = async || {
        let tasks = engine.tasks(TaskFilter::CandidateGroup(group)).await?;
        Ok((tasks.len() >= count).then_some(tasks))
    };
    let tasks = until(&format!("{count} tasks of {group}"), DEADLINE, complete_list).await.unwrap();
    assert_eq!(tasks.len(), count, "one task for each ticket of {group}");
    let list = Arc::new(std::sync::Mutex::new(tasks.into_iter().enumerate().collect::<Vec<_>>()));
    let mut desks = JoinSet::new();
    for _ in 0..DESKS {
        let (engine, list) = (engine.clone(), Arc::clone(&list));
        desks.spawn(async move {
            let mut done = Vec::new();
            loop {
                let next = list.lock().unwrap().pop();
                let Some((number, task)) = next else { return done };
                done.push(decide(&engine, number, &task).await);
            }
        });
    }
    desks.join_all().await.into_iter().flatten().collect()
}

async fn decide(engine: &Engine, number: usize, task: &Task) -> (String, Decision) {
    let instance = task.process_instance_id.clone().unwrap();
    let decision = Decision {
        clerk: CLERKS[number % CLERKS.len()],
        comment: format!("Seen and settled: {instance} – ✓"),
        decision: DECISIONS[number / 3 % DECISIONS.len()],
    };
    engine.claim(&task.id, decision.clerk).await.unwrap();
    engine.add_comment(CommentTarget::Task(&task.id), &decision.comment).await.unwrap();
    engine.complete_task(&task.id, None, &[Variable::new("decision", decision.decision)]).await.unwrap();
    (instance, decision)
}
