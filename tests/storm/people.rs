//! People who decide a ticket once all its events are accepted, and try again where the engine fails them.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};
use workflow_client::{Engine, Fault, TaskFilter, Variable};

use crate::books::Books;
use crate::source::{Published, Ticket};

/// People at work at the same time.
const DESKS: usize = 16;
/// Tickets that are looked at before the first is looked at again: one that waits for an event holds up no other.
const ROUND: usize = 4_096;
const PAUSE: Duration = Duration::from_millis(200);

/// Decides until it is aborted.
pub(crate) fn decide(engine: Engine, published: Published, books: Arc<Books>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut open: VecDeque<Ticket> = VecDeque::new();
        let mut seen = 0;
        let mut desks = JoinSet::new();
        loop {
            {
                let published = published.lock().unwrap_or_else(PoisonError::into_inner);
                open.extend(published.iter().skip(seen).cloned());
                seen = published.len();
            }
            for _ in 0..open.len().min(ROUND) {
                let Some(ticket) = open.pop_front() else { break };
                let Some(instance) = books.decidable(&ticket) else {
                    open.push_back(ticket);
                    continue;
                };
                if desks.len() >= DESKS {
                    desks.join_next().await;
                }
                let engine = engine.clone();
                desks.spawn(async move { settle(&engine, &instance).await });
            }
            tokio::time::sleep(PAUSE).await;
        }
    })
}

/// Until the task of the instance is completed.
async fn settle(engine: &Engine, instance: &str) {
    let decision = [Variable::new("decision", "resolved")];
    loop {
        match engine.tasks(TaskFilter::Instance(instance)).await {
            Ok(tasks) if tasks.is_empty() => return,
            Ok(tasks) => {
                for task in tasks {
                    // A claim whose answer was lost is repeated by its owner.
                    let _ = engine.claim(&task.id, "ada").await;
                    match engine.complete_task(&task.id, None, &decision).await {
                        Ok(()) => return,
                        Err(error) if error.fault == Fault::NotFound => return,
                        Err(_) => tokio::time::sleep(PAUSE).await,
                    }
                }
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
