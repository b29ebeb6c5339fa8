//! People who decide a ticket once all its events are accepted, and try again where the engine fails them.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};
use workflow_client::{Engine, Fault, Task, TaskFilter, Variable};

use crate::books::Books;
use crate::source::{Published, Ticket};

/// People at work at the same time.
const DESKS: usize = 8;

/// Decides until it is aborted.
pub(crate) fn decide(engine: Engine, published: Published, books: Arc<Books>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut open: BTreeMap<usize, Vec<Ticket>> = BTreeMap::new();
        let mut seen = 0;
        loop {
            {
                let published = published.lock().unwrap_or_else(PoisonError::into_inner);
                for ticket in published.iter().skip(seen) {
                    open.entry(ticket.wave).or_default().push(ticket.clone());
                }
                seen = published.len();
            }
            let ready = open.iter().find(|(_, tickets)| tickets.iter().all(|ticket| books.accepted(ticket)));
            let Some((wave, team)) = ready.and_then(|(wave, tickets)| Some((*wave, tickets.first()?.team()))) else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            // A surplus instance, if there is one, is on the list too: its outcome must be seen by the reckoning.
            match engine.tasks(TaskFilter::CandidateGroup(&team)).await {
                Ok(tasks) if tasks.is_empty() => drop(open.remove(&wave)),
                Ok(tasks) => {
                    let mut desks = JoinSet::new();
                    for task in tasks {
                        if desks.len() >= DESKS {
                            desks.join_next().await;
                        }
                        let engine = engine.clone();
                        desks.spawn(async move { settle(&engine, &task).await });
                    }
                    desks.join_all().await;
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    })
}

/// One attempt; what fails stays on the list.
async fn settle(engine: &Engine, task: &Task) {
    // A claim whose answer was lost takes the task off the list: completing it is all that is left, and needs no claim.
    let _ = engine.claim(&task.id, "ada").await;
    let decision = [Variable::new("decision", "resolved")];
    for _ in 0..20 {
        match engine.complete_task(&task.id, None, &decision).await {
            Ok(()) => return,
            Err(error) if error.fault == Fault::NotFound => return,
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}
