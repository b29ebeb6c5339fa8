//! People who decide a case once all its events are accepted, and try again where the engine fails them.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};
use workflow_client::{Engine, TaskFilter, Variable};

use crate::books::Books;
use crate::cases::Case;
use crate::source::Published;

/// People at work at the same time.
const DESKS: usize = 16;
/// Cases that are looked at before the first is looked at again: one that waits for an event holds up no other.
const ROUND: usize = 4_096;
const PAUSE: Duration = Duration::from_millis(200);

/// Decides until it is aborted.
pub(crate) fn decide(engine: Engine, published: Published, books: Arc<Books>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut open: VecDeque<Case> = VecDeque::new();
        let mut seen = 0;
        let mut desks = JoinSet::new();
        loop {
            {
                let published = published.lock().unwrap_or_else(PoisonError::into_inner);
                open.extend(published.iter().skip(seen).cloned());
                seen = published.len();
            }
            for _ in 0..open.len().min(ROUND) {
                let Some(case) = open.pop_front() else { break };
                let Some(instance) = books.decidable(&case) else {
                    open.push_back(case);
                    continue;
                };
                if desks.len() >= DESKS {
                    open.extend(desks.join_next().await.and_then(Result::ok).flatten());
                }
                let (engine, books) = (engine.clone(), books.clone());
                desks.spawn(async move { (!settle(&engine, &books, &case, &instance).await).then_some(case) });
            }
            while let Some(done) = desks.try_join_next() {
                open.extend(done.ok().flatten());
            }
            tokio::time::sleep(PAUSE).await;
        }
    })
}

/// Completes the open tasks of the instance that the case comes to; false while it has no outcome.
async fn settle(engine: &Engine, books: &Books, case: &Case, instance: &str) -> bool {
    let Ok(tasks) = engine.tasks(TaskFilter::Instance(instance)).await else { return false };
    for task in tasks {
        let decided = task.task_definition_key.as_deref().and_then(|task| case.decision(task));
        let Some(decided) = decided else { continue };
        let variables: Vec<Variable> = decided.iter().map(|(name, value)| Variable::new(*name, *value)).collect();
        // A claim whose answer was lost is repeated by its owner; what fails is done when the case is looked at again.
        let _ = engine.claim(&task.id, "ada").await;
        let _ = engine.complete_task(&task.id, None, &variables).await;
    }
    books.has_outcome(instance)
}
