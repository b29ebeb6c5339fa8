//! What is called, and how often: names for errors and counters for tests and metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// Number of requests tried per operation since the engine was made; pages and repeats count, each as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallCounts([u64; Operation::ALL.len()]);

impl CallCounts {
    /// Requests of one operation, by the name that [`crate::CallError::operation`] carries; 0 for an unknown name.
    pub fn of(&self, operation: &str) -> u64 {
        self.iter().filter(|(name, _)| *name == operation).map(|(_, count)| count).sum()
    }

    /// Requests to the engine; token requests are not among them.
    pub fn total(&self) -> u64 {
        self.iter().map(|(_, count)| count).sum::<u64>() - self.of(Operation::Token.name())
    }

    /// Every operation with its count, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Operation::ALL.iter().zip(&self.0).map(|(operation, count)| (operation.name(), *count))
    }
}

/// The live counters behind [`CallCounts`].
#[derive(Debug, Default)]
pub(crate) struct Calls([AtomicU64; Operation::ALL.len()]);

impl Calls {
    pub(crate) fn count(&self, operation: Operation) {
        if let Some(counter) = self.0.get(operation as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn snapshot(&self) -> CallCounts {
        CallCounts(std::array::from_fn(|index| self.0.get(index).map_or(0, |counter| counter.load(Ordering::Relaxed))))
    }
}

/// One kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Token,
    Start,
    Running,
    Historic,
    Sweep,
    InstanceHistory,
    Instance,
    Waiting,
    Deliver,
    Terminate,
    Acquire,
    CompleteJob,
    FailJob,
    BpmnError,
    Job,
    Tasks,
    Claim,
    Unclaim,
    CompleteTask,
    HistoricTasks,
    Comments,
    AddComment,
    Deploy,
    Definition,
    Probe,
}

impl Operation {
    /// In the order of declaration: the discriminant is the index.
    const ALL: [Operation; 25] = [
        Operation::Token,
        Operation::Start,
        Operation::Running,
        Operation::Historic,
        Operation::Sweep,
        Operation::InstanceHistory,
        Operation::Instance,
        Operation::Waiting,
        Operation::Deliver,
        Operation::Terminate,
        Operation::Acquire,
        Operation::CompleteJob,
        Operation::FailJob,
        Operation::BpmnError,
        Operation::Job,
        Operation::Tasks,
        Operation::Claim,
        Operation::Unclaim,
        Operation::CompleteTask,
        Operation::HistoricTasks,
        Operation::Comments,
        Operation::AddComment,
        Operation::Deploy,
        Operation::Definition,
        Operation::Probe,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Operation::Token => "token",
            Operation::Start => "start",
            Operation::Running => "running",
            Operation::Historic => "historic",
            Operation::Sweep => "sweep",
            Operation::InstanceHistory => "instance_history",
            Operation::Instance => "instance",
            Operation::Waiting => "waiting",
            Operation::Deliver => "deliver",
            Operation::Terminate => "terminate",
            Operation::Acquire => "acquire",
            Operation::CompleteJob => "complete_job",
            Operation::FailJob => "fail_job",
            Operation::BpmnError => "bpmn_error",
            Operation::Job => "job",
            Operation::Tasks => "tasks",
            Operation::Claim => "claim",
            Operation::Unclaim => "unclaim",
            Operation::CompleteTask => "complete_task",
            Operation::HistoricTasks => "historic_tasks",
            Operation::Comments => "comments",
            Operation::AddComment => "add_comment",
            Operation::Deploy => "deploy",
            Operation::Definition => "definition",
            Operation::Probe => "probe",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_counts_under_its_own_name() {
        let calls = Calls::default();
        for (index, operation) in Operation::ALL.iter().enumerate() {
            assert_eq!(*operation as usize, index, "{} stands at the wrong place", operation.name());
            calls.count(*operation);
        }
        let counts = calls.snapshot();
        assert!(counts.iter().all(|(_, count)| count == 1));
        assert_eq!(counts.total(), 24, "the token request is no call to the engine");
    }
}
