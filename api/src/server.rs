//! Serves an [`App`] over HTTP, from the first connection to the last response.

use std::convert::Infallible;
use std::future::Future;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_server::Server;
use actix_web::http::StatusCode;
use actix_web::middleware::from_fn;
use actix_web::{App as Actix, HttpResponse, web};
use domain::context::Deadline;
use slog::{Logger, error, info};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::config::Config;
use crate::health::Operations;
use crate::http::connection::{self, Connections, Limits};
use crate::http::{Problem, Routes, Scope, request_scope};
use crate::runtime::{Shutdown, refuse_connections, wait_for_accepted_connections};
use crate::{buyer_pages, gateway_events, health, shopping, simulation, storefront};

/// How the server ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ending {
    /// All work in progress finished.
    Drained,
    /// The shutdown was forced, or the drain timed out. The value is the names of the unfinished work.
    Left(Vec<String>),
}

/// The time limit of each phase of a connection at the operator's listener.
const OPERATIONS_TIMEOUT: Duration = Duration::from_secs(5);
/// The limits of the operator's listener, which has few clients.
const OPERATIONS_LIMITS: Limits = Limits {
    head_time: OPERATIONS_TIMEOUT,
    keep_alive: OPERATIONS_TIMEOUT,
    body_time: OPERATIONS_TIMEOUT,
    write_time: OPERATIONS_TIMEOUT,
    body_bytes: 8 * 1024,
    held_bytes: 1024 * 1024,
    connections: 64,
};
/// How often cut connections are logged.
const REPORT_PERIOD: Duration = Duration::from_secs(1);

/// The listening sockets: the shop's, and the operator's if one is configured.
pub struct Listeners {
    pub shop: TcpListener,
    pub operations: Option<TcpListener>,
}

/// Serves until `stop` completes, then shuts down gracefully. `force` ends the shutdown at any moment. A listener that
/// ends by itself begins the same shutdown, and its error is returned at the end.
///
/// 1. Readiness fails, and responses ask clients to close their connections. The server accepts connections for the
///    configured time.
/// 2. New connections get a 503. Requests in progress finish.
/// 3. Commands and background tasks are drained. Work that outlasts the drain time is named.
pub async fn serve(
    app: App,
    config: &Config,
    log: &Logger,
    listeners: Listeners,
    stop: impl Future<Output = &'static str>,
    force: impl Future<Output = ()>,
) -> std::io::Result<Ending> {
    let late_connections = listeners.shop.try_clone()?;
    let (operations_scope, operations) = (app.scope.clone(), app.operations.clone());
    let connections =
        [Arc::clone(&operations.connections), Arc::new(Connections::new("operations", OPERATIONS_LIMITS))];
    let guarded = Arc::clone(&connections[1]);
    let operations =
        listeners.operations.map(|listener| start_operations(operations_scope, operations, listener, guarded));
    let operations = serve_operations(operations.transpose()?);
    let (commands, supervisor, shutdown, scope) =
        (app.commands.clone(), app.supervisor.clone(), app.shutdown.clone(), app.scope.clone());
    let server = start(app, config, listeners.shop)?;
    let handle = server.handle();
    let listener_ended = CancellationToken::new();
    let drain = Duration::from_millis(config.shutdown.drain_ms);

    let shutdown_steps = async {
        let cause = tokio::select! {
            signal = stop => signal,
            () = listener_ended.cancelled() => "listener",
        };
        info!(log, "shutdown begins"; "op" => "shutdown.begin", "signal" => cause,
            "requests_in_flight" => scope.in_flight(), "commands_in_flight" => commands.in_flight());
        shutdown.begin();
        tokio::time::sleep(config.listen_after_stop()).await;

        let until = Deadline::after(drain);
        handle.pause().await;
        let closed = CancellationToken::new();
        let finish = async {
            wait_for_accepted_connections().await;
            let finished = tokio::time::timeout(drain, handle.stop(true)).await;
            closed.cancel();
            finished
        };
        let (finished, refused) = tokio::join!(finish, refuse_connections(late_connections, closed.clone()));
        if let Err(error) = &refused {
            error!(log, "late connections could not be refused"; "op" => "shutdown.refuse", "error" => %error);
        }
        let mut left = commands.drain(until.remaining()).await;
        left.extend(supervisor.drain(until.remaining()).await);
        if finished.is_err() {
            left.extend(unanswered(&scope));
        }
        info!(log, "shutdown drained"; "op" => "shutdown.drained", "refused" => refused.unwrap_or(0),
            "left" => left.join(", "));
        left
    };
    let left = tokio::select! {
        biased;
        () = force => {
            let mut left = commands.names();
            left.extend(supervisor.running());
            left.extend(unanswered(&scope));
            error!(log, "shutdown forced"; "op" => "shutdown.forced", "error_code" => "forced", "left" => left.join(", "));
            left
        }
        left = oversee(server, operations, shutdown_steps, &shutdown, &listener_ended, log) => left?,
        never = report_cuts(&connections, log) => match never {},
    };
    commands.end();
    connections.iter().for_each(|connections| connections.report(log));
    Ok(if left.is_empty() { Ending::Drained } else { Ending::Left(left) })
}

/// Logs cut connections periodically. Never returns.
async fn report_cuts(connections: &[Arc<Connections>], log: &Logger) -> Infallible {
    let mut period = tokio::time::interval(REPORT_PERIOD);
    loop {
        period.tick().await;
        connections.iter().for_each(|connections| connections.report(log));
    }
}

/// Runs both listeners until the shutdown steps end, and returns the names of the unfinished work. A listener that ends
/// by itself cancels `listener_ended`, which begins the shutdown; its error is returned after the steps. The end of the
/// shop's listener is no error once the shutdown has begun.
async fn oversee(
    shop: impl Future<Output = std::io::Result<()>>,
    operations: impl Future<Output = std::io::Result<()>>,
    shutdown_steps: impl Future<Output = Vec<String>>,
    shutdown: &Shutdown,
    listener_ended: &CancellationToken,
    log: &Logger,
) -> std::io::Result<Vec<String>> {
    tokio::pin!(shop, operations, shutdown_steps);
    let (mut shop_runs, mut operations_run, mut failure) = (true, true, None);
    loop {
        // Both listeners are polled until the end, because a listener that is not polled neither answers nor stops.
        let (listener, ended) = tokio::select! {
            left = &mut shutdown_steps => return failure.map_or(Ok(left), Err),
            ended = &mut shop, if shop_runs => {
                shop_runs = false;
                ("shop", ended)
            }
            ended = &mut operations, if operations_run => {
                operations_run = false;
                ("operations", ended)
            }
        };
        let is_expected = listener == "shop" && shutdown.has_begun();
        let error = match ended {
            Ok(()) if is_expected => continue,
            Ok(()) => std::io::Error::other(format!("the listener `{listener}` ended by itself")),
            Err(error) => error,
        };
        error!(log, "a listener ended by itself"; "op" => "http.serve", "listener" => listener,
            "error_code" => "internal", "error" => %error);
        failure.get_or_insert(error);
        listener_ended.cancel();
    }
}

/// The number of requests whose clients still wait, as a name of unfinished work. `None` if no client waits.
fn unanswered(scope: &Scope) -> Option<String> {
    let waiting = scope.in_flight();
    (waiting > 0).then(|| format!("{waiting} requests"))
}

fn start(app: App, config: &Config, listener: TcpListener) -> std::io::Result<Server> {
    let connections = Arc::clone(&app.operations.connections);
    let (scope, limits) = (web::Data::new(app.scope), web::Data::new(app.body_limits));
    let (shop, storefront) = (web::Data::new(app.shopping), web::Data::new(app.storefront));
    let (pages, operations) = (web::Data::new(app.pages), web::Data::new(app.operations));
    let gateway_events = app.gateway_events.map(web::Data::new);
    let simulation = app.simulation.map(web::Data::new);
    let serves_status = config.serves_status();
    let application = move || {
        let mut routes = Routes::default();
        // The router tries the patterns in this order, so the most frequent routes come first.
        shopping::v2026_04_08::routes(&mut routes);
        storefront::routes(&mut routes);
        buyer_pages::routes(&mut routes);
        health::probes(&mut routes);
        if serves_status {
            health::status(&mut routes);
        }
        let mut actix = Actix::new()
            .wrap(from_fn(request_scope))
            .app_data(scope.clone())
            .app_data(limits.clone())
            .app_data(shop.clone())
            .app_data(storefront.clone())
            .app_data(pages.clone())
            .app_data(operations.clone())
            .app_data(web::PathConfig::default().error_handler(|_, _| no_such_address().into()));
        if let Some(events) = &gateway_events {
            actix = actix.app_data(events.clone());
            gateway_events::routes(&mut routes);
        }
        if let Some(simulation) = &simulation {
            actix = actix.app_data(simulation.clone());
            simulation::routes(&mut routes);
        }
        actix.configure(|config| routes.install(config)).default_service(web::to(no_such_route))
    };
    let server = Server::build()
        .workers(config.workers())
        .max_concurrent_connections(config.http.max_connections)
        // One second longer than the drain, so that the drain ends first and names the unfinished requests. actix cuts
        // them at its own timeout and reports no failure.
        .shutdown_timeout(config.shutdown.drain_ms.div_ceil(1_000) + 1)
        .disable_signals();
    connection::listen(server, listener, connections, application)
}

/// Starts the operator's listener, which serves the probes and the status.
fn start_operations(
    scope: Scope,
    operations: Operations,
    listener: TcpListener,
    connections: Arc<Connections>,
) -> std::io::Result<Server> {
    let (scope, operations) = (web::Data::new(scope), web::Data::new(operations));
    let application = move || {
        let mut routes = Routes::default();
        health::probes(&mut routes);
        health::status(&mut routes);
        let actix = Actix::new().wrap(from_fn(request_scope)).app_data(scope.clone()).app_data(operations.clone());
        actix.configure(|config| routes.install(config)).default_service(web::to(no_such_route))
    };
    let server = Server::build().workers(1).max_concurrent_connections(OPERATIONS_LIMITS.connections).disable_signals();
    connection::listen(server, listener, connections, application)
}

/// Runs the operator's listener until it ends. If there is no such listener, never returns.
async fn serve_operations(server: Option<Server>) -> std::io::Result<()> {
    match server {
        Some(server) => server.await,
        None => std::future::pending().await,
    }
}

async fn no_such_route() -> Result<HttpResponse, Problem> {
    Err(no_such_address())
}

fn no_such_address() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no_such_route", "There is nothing at this address")
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
