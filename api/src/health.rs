//! Health and status: `/livez`, `/readyz` and `/statusz`.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use domain::PortFuture;
use domain::context::RequestContext;
use domain::fault::Fault;
use serde_json::json;

use crate::http::connection::Connections;
use crate::http::{Routes, Scope};
use crate::log::LostLines;
use crate::runtime::{Commands, Supervisor};

/// A check that succeeds if the database answers and has the current schema.
pub type ReadinessCheck = Arc<dyn Fn(&RequestContext) -> PortFuture<(), Fault> + Send + Sync>;
/// Returns what a ready shop cannot do at present, such as storing. `None` if it can do everything.
pub type Degradation = Arc<dyn Fn() -> Option<&'static str> + Send + Sync>;
/// Returns the number of transactions that still hold a connection although their caller has stopped waiting.
pub type AbandonedCount = Arc<dyn Fn() -> u64 + Send + Sync>;
/// Returns the age of the oldest commit in progress. `None` if there is none.
pub type OldestCommit = Arc<dyn Fn() -> Option<Duration> + Send + Sync>;

#[derive(Clone)]
pub struct Operations {
    pub commands: Commands,
    pub supervisor: Supervisor,
    pub ready: ReadinessCheck,
    pub degraded: Degradation,
    pub abandoned: AbandonedCount,
    pub oldest_commit: OldestCommit,
    pub lost_log_lines: LostLines,
    /// The connections at the shop's address.
    pub connections: Arc<Connections>,
}

/// The longest a readiness check may take, so that a load balancer gets its response in time.
const READY_WITHIN: Duration = Duration::from_secs(1);

/// Adds the probes of a load balancer. Every listener serves them.
pub fn probes(routes: &mut Routes) {
    routes.get("/livez", livez);
    routes.get("/readyz", readyz);
}

/// Adds the status for an operator. Strangers must not reach it.
pub fn status(routes: &mut Routes) {
    routes.get("/statusz", statusz);
}

/// Answers 200 while the process runs. Checks nothing else, because a failure of this probe causes a restart, and a
/// restart does not repair a database that is down.
async fn livez() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "ok"}))
}

/// Answers 200 if the process can take requests: the database answers, its schema is current, and no shutdown has
/// begun. Otherwise answers 503. A full disk is `degraded` with status 200, because reads still work.
async fn readyz(
    scope: web::Data<Scope>,
    operations: web::Data<Operations>,
    ctx: web::ReqData<RequestContext>,
) -> HttpResponse {
    let not_ready = |why: &str| {
        HttpResponse::build(StatusCode::SERVICE_UNAVAILABLE).json(json!({"status": "unavailable", "reason": why}))
    };
    if scope.shutdown.has_begun() {
        return not_ready("stopping");
    }
    match ((operations.ready)(&ctx.at_most(READY_WITHIN)).await, (operations.degraded)()) {
        (Ok(()), None) => HttpResponse::Ok().json(json!({"status": "ok"})),
        (Ok(()), Some(lack)) => HttpResponse::Ok().json(json!({"status": "degraded", "reason": lack})),
        (Err(fault), _) => not_ready(fault.kind().into_str()),
    }
}

/// Answers with the work in progress and the state of the background tasks.
async fn statusz(scope: web::Data<Scope>, operations: web::Data<Operations>) -> HttpResponse {
    HttpResponse::Ok().json(json!({
        "stopping": scope.shutdown.has_begun(),
        "requests_in_flight": scope.in_flight(),
        "commands_in_flight": operations.commands.in_flight(),
        "transactions_abandoned": (operations.abandoned)(),
        "oldest_commit_ms": (operations.oldest_commit)().map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        "connections": operations.connections.status(),
        "log_lines_lost": operations.lost_log_lines.count(),
        "tasks": operations.supervisor.status(),
    }))
}
