//! The service's HTTP interface in the OpenText dialect: three mount points, a token endpoint, and the test controls.

mod control;
mod executions;
mod filters;
mod gate;
mod hal;
mod history;
mod instances;
mod jobs;
mod models;
mod problem;
mod render;
mod request;
mod tasks;
mod token;
mod upstream;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::http::{Method, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, get, on, post};
use jiff::Timestamp;

use crate::clock::Clock;
use crate::engine::Engine;
use crate::faults::{Mount, Rules};
use crate::server::Gatekeeper;
use crate::stats::Stats;

use gate::Operation;
use problem::Problem;

/// Everything that the handlers share.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) engine: Mutex<Engine>,
    pub(crate) clock: Clock,
    pub(crate) tokens: token::Tokens,
    pub(crate) rules: Rules,
    pub(crate) stats: Stats,
    pub(crate) gatekeeper: Gatekeeper,
    /// Where the service is reached, for links.
    pub(crate) base_url: String,
    /// Host and port of a real engine that requests go on to, instead of to ours.
    pub(crate) upstream: Option<String>,
    /// Names of all operations, as [`router`] lists them.
    pub(crate) operations: OnceLock<Vec<&'static str>>,
}

impl Service {
    /// The engine, brought up to the present.
    pub(crate) fn engine(&self) -> (MutexGuard<'_, Engine>, Timestamp) {
        let mut engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        engine.advance(now);
        (engine, now)
    }

    /// Skips this much time.
    pub(crate) fn skip(&self, time: Duration) {
        self.clock.skip(time);
        // Whoever sends requests sleeps by the machine's clock.
        self.engine().0.bell().notify_one();
    }

    /// Names that fault rules may use.
    pub(crate) fn operations(&self) -> &[&'static str] {
        self.operations.get().map_or(&[], Vec::as_slice)
    }
}

pub(crate) use token::Tokens;

const GET: MethodFilter = MethodFilter::GET;
const POST: MethodFilter = MethodFilter::POST;
const PUT: MethodFilter = MethodFilter::PUT;
const DELETE: MethodFilter = MethodFilter::DELETE;

/// The whole interface; the list is the catalogue of operations that faults and statistics name.
pub(crate) fn router(service: &Arc<Service>, tenant: &str) -> Router {
    if service.upstream.is_some() {
        return upstream::router(service);
    }
    let mut routes = Routes { router: Router::new(), names: Vec::new(), service: service.clone() };
    let r = &mut routes;

    r.add("token", Mount::Token, POST, &format!("/tenants/{tenant}/oauth2/token"), token::issue);

    r.add("start", Mount::Runtime, POST, "/process-instances", instances::start);
    r.add("list-instances", Mount::Runtime, GET, "/process-instances", instances::list);
    r.add("get-instance", Mount::Runtime, GET, "/process-instances/{id}", instances::get);
    r.add("suspend", Mount::Runtime, PUT, "/process-instances/{id}", instances::suspend);
    r.add("terminate", Mount::Runtime, DELETE, "/process-instances/{id}", instances::terminate);
    r.add("list-variables", Mount::Runtime, GET, "/process-instances/{id}/variables", instances::variables);
    r.add("create-variables", Mount::Runtime, POST, "/process-instances/{id}/variables", instances::create_variables);
    r.add("set-variable", Mount::Runtime, PUT, "/process-instances/{id}/variables/{name}", instances::set_variable);
    r.add("list-comments", Mount::Runtime, GET, "/process-instances/{id}/comments", instances::comments);
    r.add("add-comment", Mount::Runtime, POST, "/process-instances/{id}/comments", instances::add_comment);
    r.add(
        "delete-comment",
        Mount::Runtime,
        DELETE,
        "/process-instances/{id}/comments/{comment}",
        instances::delete_comment,
    );

    r.add("list-executions", Mount::Runtime, GET, "/process-instances/executions", executions::list);
    r.add("deliver", Mount::Runtime, PUT, "/process-instances/executions/{id}", executions::act);

    r.add("list-tasks", Mount::Runtime, GET, "/tasks", tasks::list);
    r.add("act-on-task", Mount::Runtime, POST, "/tasks/{id}", tasks::act);
    r.add("edit-task", Mount::Runtime, PUT, "/tasks/{id}", tasks::edit);
    r.add("list-assignments", Mount::Runtime, GET, "/tasks/{id}/assignments", tasks::assignments);
    r.add("list-task-comments", Mount::Runtime, GET, "/tasks/{id}/comments", tasks::comments);
    r.add("add-task-comment", Mount::Runtime, POST, "/tasks/{id}/comments", tasks::add_comment);

    r.add("deploy", Mount::Runtime, POST, "/runtime/models", models::deploy);
    r.add("list-models", Mount::Runtime, GET, "/runtime/models", models::list);
    r.add("get-model", Mount::Runtime, GET, "/runtime/models/{id}", models::get);

    r.add("list-history", Mount::History, GET, "/historic-process-instances", history::list);
    r.add("get-history", Mount::History, GET, "/historic-process-instances/{id}", history::get);
    r.add("list-task-history", Mount::History, GET, "/historic-task-instances", history::tasks);

    r.add("acquire", Mount::Jobs, POST, "/external-jobs", jobs::acquire);
    r.add("list-jobs", Mount::Jobs, GET, "/external-jobs", jobs::list);
    r.add("complete-job", Mount::Jobs, POST, "/external-jobs/{id}/complete", jobs::complete);
    r.add("fail-job", Mount::Jobs, POST, "/external-jobs/{id}/fail", jobs::fail);
    r.add("throw-bpmn-error", Mount::Jobs, POST, "/external-jobs/{id}/bpmnError", jobs::bpmn_error);
    r.add("unacquire-job", Mount::Jobs, POST, "/external-jobs/{id}/unacquire", jobs::unacquire);

    // A second router of the same service would list the same names, so the first list may stay.
    let _ = service.operations.set(routes.names);
    routes
        .router
        .merge(control_routes())
        .fallback(no_endpoint)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::disable())
        .with_state(service.clone())
}

/// The test controls alone, for the listener that stays up when the service is down.
pub(crate) fn control_router(service: &Arc<Service>) -> Router {
    control_routes().layer(DefaultBodyLimit::disable()).with_state(service.clone())
}

fn control_routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/_faults", get(control::faults).post(control::set_faults))
        .route("/_stats", get(control::stats))
        .route("/_reset", post(control::reset))
}

struct Routes {
    router: Router<Arc<Service>>,
    names: Vec<&'static str>,
    service: Arc<Service>,
}

impl Routes {
    fn add<H, T>(&mut self, name: &'static str, mount: Mount, method: MethodFilter, path: &str, handler: H)
    where
        H: Handler<T, Arc<Service>>,
        T: 'static,
    {
        let prefix = match mount {
            Mount::Runtime => "/workflow/v1",
            Mount::History => "/workflow-history/v1",
            Mount::Jobs => "/workflow-job/v1",
            Mount::Token | Mount::System => "",
        };
        let operation = Operation { name, mount, service: self.service.clone() };
        self.names.push(name);
        let route = on(method, handler).layer(from_fn_with_state(operation, gate::pass));
        self.router = std::mem::take(&mut self.router).route(&format!("{prefix}{path}"), route);
    }
}

/// Inside the mount points the engine answers, outside them the gateway.
async fn no_endpoint(method: Method, uri: Uri) -> Response {
    let path = uri.path();
    if ["/workflow/v1/", "/workflow-history/v1/", "/workflow-job/v1/"].iter().any(|mount| path.starts_with(mount)) {
        return Problem::internal(format!("No endpoint {method} {path}.")).into_response();
    }
    problem::gateway(404, "Unable to identify proxy for host", "messaging.adaptors.http.flow.ApplicationNotFound")
}

async fn wrong_method(method: Method) -> Response {
    Problem::internal(format!("Request method '{method}' is not supported")).into_response()
}
