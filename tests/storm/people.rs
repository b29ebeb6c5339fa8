//! People who decide a case once all its events are accepted, and try again where the engine fails them.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};
use workflow_client::{Engine, Fault, TaskFilter, Variable};

use crate::books::Books;
use crate::source::{Case, Published, Work};

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

/// Completes the task of the instance; false where there is none yet.
async fn settle(engine: &Engine, books: &Books, case: &Case, instance: &str) -> bool {
    let decision = [Variable::new("decision", case.decision)];
    loop {
        match engine.tasks(TaskFilter::Instance(instance)).await {
            // Either it was completed before, or the systems that are asked first have not answered yet.
            Ok(tasks) if tasks.is_empty() => return case.work == Work::Ticket || books.has_outcome(instance),
            Ok(tasks) => {
                for task in tasks {
                    // A claim whose answer was lost is repeated by its owner.
                    let _ = engine.claim(&task.id, "ada").await;
                    match engine.complete_task(&task.id, None, &decision).await {
                        Ok(()) => return true,
                        Err(error) if error.fault == Fault::NotFound => return true,
                        Err(_) => tokio::time::sleep(PAUSE).await,
                    }
                }
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
