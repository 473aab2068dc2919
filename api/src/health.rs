//! What an operator asks: does it live, may it be sent work, what is it doing.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use actix_web::{HttpResponse, web};
use domain::PortFuture;
use domain::context::RequestContext;
use domain::fault::Fault;
use serde_json::json;

use crate::http::connection::Connections;
use crate::http::{Routes, Scope};
use crate::log::LostLines;
use crate::runtime::{Commands, Supervisor};

/// Whether the database answers and has the schema of this program.
pub type ReadinessCheck = Arc<dyn Fn(&RequestContext) -> PortFuture<(), Fault> + Send + Sync>;
/// What cannot be done although the shop is ready.
pub type Degradation = Arc<dyn Fn() -> Option<&'static str> + Send + Sync>;
/// Transactions that nobody waits for any more but that still hold a connection.
pub type AbandonedCount = Arc<dyn Fn() -> u64 + Send + Sync>;
/// The age of the oldest commit that is under way.
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
    /// Those of the shop's own address.
    pub connections: Arc<Connections>,
}

/// A load balancer does not wait longer for an answer.
const READY_WITHIN: Duration = Duration::from_secs(1);

/// What a load balancer asks. Served wherever the shop is.
pub fn probes(routes: &mut Routes) {
    routes.on(Method::GET, "/livez", livez);
    routes.on(Method::GET, "/readyz", readyz);
}

/// What an operator asks, and what says more of the shop than a stranger should know.
pub fn status(routes: &mut Routes) {
    routes.on(Method::GET, "/statusz", statusz);
}

/// The process runs. Nothing else is asked, so that a database that is down restarts nothing.
async fn livez() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "ok"}))
}

/// 200 when requests may be sent here: the database answers, its schema is current, and the process is not stopping.
/// A shop without room on its disk is still sent requests, since it can be read; it says what it lacks.
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
        (Err(fault), _) => not_ready(fault.kind().as_str()),
    }
}

/// What is under way, and how the background tasks fare.
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
