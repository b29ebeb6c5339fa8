//! Human tasks and comments, open and in history.

use super::{Engine, refused};
use crate::answers::{Comment, HistoricTask, Instance, Task};
use crate::calls::Operation;
use crate::fault::{CallError, Endpoint, Fault};
use crate::limits;
use crate::pages::read_all;
use crate::variable::{self, Variable};

/// Which open tasks to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskFilter<'a> {
    /// Tasks of one instance.
    Instance(&'a str),
    /// Tasks that members of a group may claim; claimed ones are not among them.
    CandidateGroup(&'a str),
    /// Tasks of the instances with a business key.
    BusinessKey(&'a str),
}

/// What a comment is attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommentTarget<'a> {
    /// An open task; the comment is also listed with its instance.
    Task(&'a str),
    /// An instance.
    Instance(&'a str),
}

impl<'a> TaskFilter<'a> {
    /// Query name and value, the same in both dialects.
    pub(crate) fn query(self) -> (&'static str, &'a str) {
        match self {
            TaskFilter::Instance(id) => ("processInstanceId", id),
            TaskFilter::CandidateGroup(group) => ("candidateGroup", group),
            TaskFilter::BusinessKey(key) => ("processInstanceBusinessKey", key),
        }
    }
}

impl Engine {
    /// Open tasks; every page is read. Rows show neither group nor business key, so only the instance can be
    /// checked against the question.
    ///
    /// # Errors
    /// [`Fault::BadAnswer`] when the list may be incomplete.
    pub async fn tasks(&self, filter: TaskFilter<'_>) -> Result<Vec<Task>, CallError> {
        limits::name("task filter", filter.query().1).map_err(refused(Endpoint::Runtime, Operation::Tasks))?;
        let request = self.protocol().tasks(filter);
        let mut tasks: Vec<Task> = read_all(self.transport(), self.protocol(), &request).await?;
        if let TaskFilter::Instance(instance) = filter {
            tasks.retain(|task| task.process_instance_id.as_deref().is_none_or(|id| id == instance));
        }
        Ok(tasks)
    }

    /// Claims a task for a user; claiming again for the same user is fine.
    ///
    /// # Errors
    /// [`Fault::Conflict`] when somebody else has it.
    pub async fn claim(&self, task_id: &str, assignee: &str) -> Result<(), CallError> {
        limits::id("task id", task_id)
            .and_then(|()| limits::name("assignee", assignee))
            .map_err(refused(Endpoint::Runtime, Operation::Claim))?;
        self.command(&self.protocol().claim(task_id, assignee)).await
    }

    /// Gives a claimed task back to its candidates. `assignee` is who has it now (OpenText wants to know).
    ///
    /// # Errors
    /// [`Fault::NotFound`] when the task is gone.
    pub async fn unclaim(&self, task_id: &str, assignee: &str) -> Result<(), CallError> {
        limits::id("task id", task_id)
            .and_then(|()| limits::name("assignee", assignee))
            .map_err(refused(Endpoint::Runtime, Operation::Unclaim))?;
        self.command(&self.protocol().unclaim(task_id, assignee)).await
    }

    /// Completes a task. `outcome` is one of the model's outcome values; Flowable ignores it unless the task has
    /// a form, so that a model for both engines reads a variable as well.
    ///
    /// # Errors
    /// [`Fault::NotFound`] when the task is gone, completed already for example.
    pub async fn complete_task(
        &self,
        task_id: &str,
        outcome: Option<&str>,
        variables: &[Variable],
    ) -> Result<(), CallError> {
        limits::id("task id", task_id)
            .and_then(|()| variable::check_all(variables))
            .map_err(refused(Endpoint::Runtime, Operation::CompleteTask))?;
        self.command(&self.protocol().complete_task(task_id, outcome, variables)).await
    }

    /// Open and finished tasks of an instance: the audit trail.
    ///
    /// # Errors
    /// [`Fault::BadAnswer`] when the list may be incomplete.
    pub async fn historic_tasks(&self, instance_id: &str) -> Result<Vec<HistoricTask>, CallError> {
        limits::id("instance id", instance_id).map_err(refused(Endpoint::History, Operation::HistoricTasks))?;
        let request = self.protocol().historic_tasks(instance_id);
        let mut tasks: Vec<HistoricTask> = read_all(self.transport(), self.protocol(), &request).await?;
        tasks.retain(|task| task.process_instance_id.as_deref().is_none_or(|id| id == instance_id));
        Ok(tasks)
    }

    /// Comments of an instance and its tasks, also after it has ended.
    ///
    /// # Errors
    /// [`Fault::NotFound`] when neither runtime nor history knows the instance.
    pub async fn comments(&self, instance_id: &str) -> Result<Vec<Comment>, CallError> {
        limits::id("instance id", instance_id).map_err(refused(Endpoint::Runtime, Operation::Comments))?;
        let request = self.protocol().comments(instance_id);
        let unknown = match read_all(self.transport(), self.protocol(), &request).await {
            Err(error) if error.fault == Fault::NotFound => error,
            comments => return comments,
        };
        let Some(request) = self.protocol().comments_of_ended(instance_id) else {
            return Err(unknown);
        };
        let instances: Vec<Instance> = read_all(self.transport(), self.protocol(), &request).await?;
        let instance = instances.into_iter().find(|instance| instance.id == instance_id);
        instance.map(|instance| instance.comments).ok_or(unknown)
    }

    /// Adds a comment. Comments have no id of the client's: a repeat is a second comment, so name the event in
    /// the text where that matters.
    ///
    /// # Errors
    /// [`Fault::NotFound`] when the task or instance is gone.
    pub async fn add_comment(&self, target: CommentTarget<'_>, message: &str) -> Result<(), CallError> {
        let (CommentTarget::Task(id) | CommentTarget::Instance(id)) = target;
        limits::id("comment target", id).map_err(refused(Endpoint::Runtime, Operation::AddComment))?;
        self.command(&self.protocol().add_comment(target, message)).await
    }
}
