//! Deleting, suspending and activating an instance, and remarks on it.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Comment, Engine, EngineError, Instance};

impl Engine {
    /// Ends an instance from outside. History keeps the reason.
    pub(crate) fn terminate(
        &mut self,
        instance: &str,
        reason: Option<String>,
        now: Timestamp,
    ) -> Result<(), EngineError> {
        let mut change = self.change(self.running_instance(instance)?, now);
        change.end(None, Some(reason.unwrap_or_else(|| "process instance deleted".into())));
        self.commit(change);
        Ok(())
    }

    /// Suspends or activates; while suspended nothing of the instance moves, and its jobs are out of reach.
    pub(crate) fn set_suspended(
        &mut self,
        instance: &str,
        suspended: bool,
        now: Timestamp,
    ) -> Result<Arc<Instance>, EngineError> {
        let mut change = self.change(self.running_instance(instance)?, now);
        if change.instance.suspended == suspended {
            let state = if suspended { "suspended" } else { "active" };
            return Err(EngineError::Conflict(format!("Process instance with id '{instance}' is already {state}.")));
        }
        change.instance.suspended = suspended;
        if !suspended {
            self.reschedule(&mut change);
        }
        let instance = self.commit(change);
        self.advance(now);
        Ok(instance)
    }

    /// Adds a remark to a running instance.
    pub(crate) fn comment(
        &mut self,
        instance: &str,
        author: &Arc<str>,
        message: String,
        now: Timestamp,
    ) -> Result<Comment, EngineError> {
        let instance = self.running_instance(instance)?.clone();
        Ok(self.add_comment(&instance, None, author, message, now))
    }

    /// Takes a remark away.
    pub(crate) fn delete_comment(&mut self, instance: &str, id: &str, now: Timestamp) -> Result<(), EngineError> {
        let mut change = self.change(self.running_instance(instance)?, now);
        let before = change.instance.comments.len();
        change.instance.comments.retain(|c| &*c.id != id);
        if change.instance.comments.len() == before {
            return Err(EngineError::NotFound(format!(
                "Process instance '{instance}' does not have a comment with id '{id}'."
            )));
        }
        self.commit(change);
        Ok(())
    }

    pub(super) fn add_comment(
        &mut self,
        instance: &Instance,
        task: Option<Arc<str>>,
        author: &Arc<str>,
        message: String,
        now: Timestamp,
    ) -> Comment {
        let mut change = self.change(instance, now);
        let comment = Comment { id: self.ids.id(), author: author.clone(), message, time: now, task };
        change.instance.comments.push(comment.clone());
        self.commit(change);
        comment
    }
}
