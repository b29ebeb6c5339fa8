//! What one engine has and the other lacks, as far as it is known.

use crate::settings::Dialect;

/// Approval tasks and listeners of OpenText Workflow Service.
const OPENTEXT_ATTRIBUTES: [&str; 7] = [
    "taskType",
    "outcomeVariable",
    "possibleOutcomes",
    "isMailNotification",
    "isExecuteScriptEnabled",
    "publishToEventService",
    "publishToApplicationContext",
];
const OPENTEXT_ELEMENTS: [&str; 1] = ["authenticationDetails"];
/// What an HTTP task there can do besides; Flowable refuses to run one with a field that it does not know.
const OPENTEXT_FIELDS: [&str; 1] = ["useCurrentAuthToken"];
/// Code that would have to be deployed with the engine: nobody can do that to a hosted one.
const FLOWABLE_CODE: [&str; 2] = ["class", "delegateExpression"];
/// Kinds of service tasks that the workflow service has been seen to have.
const OPENTEXT_TASKS: [&str; 3] = ["http", "mail", "external-worker"];

/// Whether an extension element of the other vendor has no counterpart.
pub(super) fn element(to: Dialect, name: &str) -> bool {
    to == Dialect::Flowable && OPENTEXT_ELEMENTS.contains(&name)
}

/// Whether a field of a service task has no counterpart.
pub(super) fn field(to: Dialect, name: &str) -> bool {
    to == Dialect::Flowable && OPENTEXT_FIELDS.contains(&name)
}

/// What is lacking, where an attribute of the other vendor has no counterpart.
pub(super) fn attribute(to: Dialect, element: &str, name: &str, value: &str) -> Option<String> {
    let lacks = match to {
        Dialect::Flowable => OPENTEXT_ATTRIBUTES.contains(&name),
        Dialect::OpenText => FLOWABLE_CODE.contains(&name),
    };
    if lacks {
        return Some(format!("`{name}` of <{element}> has no counterpart"));
    }
    let task = to == Dialect::OpenText && element == "serviceTask" && name == "type";
    (task && !OPENTEXT_TASKS.contains(&value)).then(|| format!("service tasks of the type `{value}` do not exist"))
}
