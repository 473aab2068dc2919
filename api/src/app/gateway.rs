//! The payment gateway of the configuration, and the reader of its events.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::sync::Arc;

use domain::clock::Clock;
use domain::payment::PaymentGateway;
use integrations::mock_gateway::{MockConfig, MockPaymentHandler, OnFile};
use integrations::outbound::Outbound;
use integrations::stripe::{self, HttpPaymentGateway};
use persistence::{Database, SqlStoredInstruments};
use slog::Logger;

use super::{StartError, settings};
use crate::config::Config;
use crate::gateway_events::{EventRefused, ReadEvent};

/// The payment gateway: the configured one, or else the simulator if payments are simulated. `None` without both: then
/// only a checkout that costs nothing can be completed, and the process logs a warning at start.
pub(super) fn gateway(
    config: &Config,
    outbound: &Outbound,
    database: &Database,
    clock: &Arc<dyn Clock>,
    log: &Logger,
) -> Result<Option<Arc<dyn PaymentGateway>>, StartError> {
    match (&config.payment.gateway_url, &config.payment.gateway_key) {
        (Some(url), Some(key)) => {
            let stripe = settings::stripe(config, url.clone(), key.clone());
            let gateway = HttpPaymentGateway::new(outbound.clone(), stripe)
                .map_err(|error| StartError::caused("the payment gateway cannot be used as configured", &error))?;
            Ok(Some(Arc::new(gateway)))
        }
        _ if config.simulation() => Ok(Some(Arc::new(mock_handler(config, database, clock, log)?))),
        _ => Ok(None),
    }
}

fn mock_handler(
    config: &Config,
    database: &Database,
    clock: &Arc<dyn Clock>,
    log: &Logger,
) -> Result<MockPaymentHandler, StartError> {
    let ledger_path = settings::ledger_path(config);
    let unusable = |error| StartError::caused("TUCKSHOP_SIMULATION_LEDGER_PATH", &error);
    if let Some(folder) = ledger_path.parent() {
        let created = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        let what = |error| format!("cannot create {}: {error}", folder.display());
        created.map_err(|error| unusable(io::Error::new(error.kind(), what(error))))?;
    }
    let slow = config.simulated_slowness();
    let instruments = SqlStoredInstruments(database.clone());
    let on_file: OnFile = Arc::new(move |ctx, choice| instruments.credential(ctx, choice));
    let mock = MockConfig { ledger_path, slow };
    MockPaymentHandler::open(mock, on_file, clock.clone(), log).map_err(unusable)
}

/// Returns the function that verifies and reads the gateway's events. `None` if no gateway or no secret for events is
/// configured.
pub(super) fn events(config: &Config) -> Option<ReadEvent> {
    let secrets = config.payment.event_secrets();
    (config.payment.gateway_url.is_some() && !secrets.is_empty()).then(|| {
        let read: ReadEvent = Arc::new(move |payload, header, now| {
            stripe::verify_signature(payload, header, &secrets, now, stripe::SIGNATURE_TOLERANCE)
                .map_err(|error| EventRefused::Signature(error.to_string()))?;
            stripe::parse_event(payload).ok_or(EventRefused::Malformed)
        });
        read
    })
}
