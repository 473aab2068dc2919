//! `tuckshop serve`: starts the shop and serves it until a signal stops it.

use std::convert::Infallible;
use std::error::Error;
use std::net::TcpListener;
use std::time::Duration;

use domain::context::{Deadline, RequestContext, TraceContext};
use domain::fault::{Failure, Fault, FaultKind};
use domain::outbox::{Endpoint, OutboxStore};
use slog::{Logger, info, warn};
use tokio::runtime::{Handle, Runtime};
use tokio_util::sync::CancellationToken;

use super::{DONE, FAILED, Outcome, banner, cannot_open};
use crate::app::{self, App, StartError};
use crate::config::{Config, LogFormat, Mode};
use crate::csv;
use crate::log::LostLines;
use crate::runtime::{Signals, limits, start_on_thread};
use crate::server::{self, Ending, Listeners};

/// The longest the import of the demo catalogue may take.
const DEMO_IMPORT: Duration = Duration::from_secs(30);
/// The longest the check for waiting email messages may take. The check delays the start.
const MAIL_CHECK: Duration = Duration::from_secs(2);

pub(super) fn run(config: &Config, log: &Logger, lost: LostLines, runtime: &Runtime) -> Outcome {
    match runtime.block_on(serve(config, log, lost, runtime)) {
        Ok(Ending::Drained) => DONE,
        Ok(Ending::Left(_)) => FAILED,
        Err(error) => cannot_open(&error),
    }
}

async fn serve(config: &Config, log: &Logger, lost: LostLines, runtime: &Runtime) -> Result<Ending, StartError> {
    // The signals are registered first, so that no signal is missed. Process 1 of a container has no other way to notice
    // them.
    let (mut first, mut second) = (Signals::to_stop()?, Signals::to_stop()?);
    let ignored = Signals::to_ignore()?;
    limits::raise_open_files(config, log);
    // The addresses are bound before the database is opened, so that a start that fails here has changed nothing.
    let listener = app::bind("TUCKSHOP_HTTP_ADDRESS", config.http.socket_address()?)?;
    let operations = config.operations.socket_address()?;
    let operations = operations.map(|address| app::bind("TUCKSHOP_OPERATIONS_ADDRESS", address)).transpose()?;
    let handle = runtime.handle().clone();
    let start = start(config.clone(), log.clone(), lost, handle.clone(), listener);
    let (app, listener) = tokio::select! {
        biased;
        // Opening the database blocks, for example while another instance migrates.
        started = start_on_thread(move || handle.block_on(start)) => started??,
        signal = first.next() => {
            info!(log, "stopped during the start"; "op" => "app.build", "signal" => signal);
            return Ok(Ending::Drained);
        }
    };
    let address = listener.local_addr()?;
    if let Some(operations) = &operations {
        info!(log, "listening for operations"; "op" => "http.listen", "operations_address" => operations.local_addr()?);
    }
    if app.shopping.settings.handlers.is_empty() {
        warn!(log, "no payment handler is configured: only checkouts that cost nothing can be completed";
            "op" => "app.build");
    }
    if config.mail.host.is_none() {
        info!(log, "no mail relay is configured: orders are not confirmed by email"; "op" => "app.build");
        warn_of_waiting_mail(&*app.outbox, log).await;
    }
    if config.payment.gateway_url.is_some() && app.gateway_events.is_none() {
        info!(log, "gateway events are off: only the reconciler resolves unknown outcomes"; "op" => "app.build");
    }
    info!(log, "listening"; "op" => "http.listen", "address" => %address, "public_url" => config.public_url(address),
        "mode" => ?config.mode, "pid" => std::process::id());
    // The banner is not JSON, so it stays out of a JSON log.
    if config.mode == Mode::Development && config.log_format() == LogFormat::Terminal {
        let printed = banner::print(config, address, app.simulation_secret());
        if let Err(error) = printed {
            warn!(log, "the banner could not be printed"; "op" => "app.build", "error" => %error);
        }
    }
    let force = async {
        second.next().await;
        second.next().await;
    };
    let listeners = Listeners { shop: listener, operations };
    let ending = tokio::select! {
        ending = server::serve(app, config, log, listeners, first.next(), force) => ending?,
        never = log_ignored(ignored, log) => match never {},
    };
    info!(log, "shutdown done"; "op" => "shutdown.done", "drained" => ending == Ending::Drained);
    Ok(ending)
}

/// Imports the demo catalogue in development mode, and builds the shop. Blocks.
async fn start(
    config: Config,
    log: Logger,
    lost: LostLines,
    runtime: Handle,
    listener: TcpListener,
) -> Result<(App, TcpListener), StartError> {
    if config.mode == Mode::Development {
        import_demo_catalogue(&config, &log, &runtime).await?;
    }
    let app = App::build(&config, &log, lost, &runtime, &listener)?;
    Ok((app, listener))
}

/// Logs each ignored signal. Never returns.
async fn log_ignored(mut signals: Signals, log: &Logger) -> Infallible {
    loop {
        let signal = signals.next().await;
        info!(log, "signal ignored: settings are read at start only"; "op" => "signal.ignore", "signal" => signal);
    }
}

/// Warns of email messages in the outbox that wait until a relay is configured.
async fn warn_of_waiting_mail(outbox: &dyn OutboxStore, log: &Logger) {
    let (deadline, mail) = (Deadline::after(MAIL_CHECK), Endpoint::mail_relay());
    let ctx = RequestContext::for_task(log, "app.build", TraceContext::start(), deadline, CancellationToken::new());
    match outbox.endpoint(&ctx, mail).await {
        Ok(known) => {
            if let Some(waiting) = known.filter(|mail| mail.pending > 0) {
                warn!(log, "email messages wait, and no mail relay is configured"; "op" => "app.build",
                    "pending" => waiting.pending);
            }
        }
        Err(fault) => warn!(log, "the check for waiting email messages failed"; "op" => "app.build",
            "error_code" => fault.kind().into_str(), "error" => fault.chain()),
    }
}

/// Imports the demo catalogue into an empty database.
async fn import_demo_catalogue(config: &Config, log: &Logger, runtime: &Handle) -> Result<(), StartError> {
    let failed = |cause: &(dyn Error + 'static)| StartError::caused("the demo catalogue could not be imported", cause);
    let importer = app::importer(config, log, runtime)?;
    let deadline = Deadline::after(DEMO_IMPORT);
    let ctx = RequestContext::for_task(log, "import.demo", TraceContext::start(), deadline, CancellationToken::new());
    while importer.is_empty(&ctx).await.map_err(|fault| failed(&fault))? {
        let batch = csv::demo(config.shop.currency).map_err(|error| failed(&error))?;
        let rows = batch.rows();
        match importer.import(&ctx, batch, std::sync::Arc::new(|_| {})).await {
            Ok(_) => {
                info!(log, "demo catalogue imported"; "op" => "import.demo", "rows" => rows);
                break;
            }
            // Another instance imports at this moment, so the loop looks again. The deadline of the context ends the
            // loop.
            Err(Failure::Fault(fault)) if fault.kind() == FaultKind::Contention => {}
            Err(Failure::Fault(fault)) => return Err(failed(&fault)),
            Err(Failure::Refused(refusal)) => {
                return Err(failed(&Fault::internal("import.demo", format!("{refusal:?}"))));
            }
        }
    }
    Ok(())
}
