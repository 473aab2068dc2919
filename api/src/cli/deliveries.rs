//! `tuckshop deliveries`: what was told of orders, what was not, and another try for what was given up.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use domain::delivery::{DeliveryFilter, DeliveryId, DeliveryState, DeliverySummary, Destination, Retried};
use time::format_description::well_known::Rfc3339;

use super::tools::Session;
use super::{DONE, failed};

#[derive(Subcommand)]
pub(super) enum Command {
    /// List webhooks and letters, the newest first.
    List {
        /// Only those in this state.
        #[arg(long)]
        state: Option<State>,
        /// Only those to this destination, as the list shows it.
        #[arg(long)]
        destination: Option<String>,
        /// At most this many.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Try again what was given up, with all its tries; enables a disabled destination.
    Retry(Which),
}

#[derive(Args)]
#[group(required = true, multiple = false)]
pub(super) struct Which {
    /// The id of one.
    id: Option<String>,
    /// All of a destination.
    #[arg(long)]
    destination: Option<String>,
    /// All there are.
    #[arg(long)]
    all: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum State {
    Pending,
    Delivered,
    Unwanted,
    Dead,
}

/// Rows revived in one transaction.
const BATCH: u32 = 500;

pub(super) fn run(session: &Session<'_>, command: Command) -> ExitCode {
    match command {
        Command::List { state, destination, limit } => {
            let filter = DeliveryFilter { state: state.map(State::of), destination: destination.map(Destination) };
            list(session, filter, limit)
        }
        Command::Retry(Which { id: Some(id), .. }) => match DeliveryId::parse(&id) {
            Some(id) => retry(session, &Retried::One(id)),
            None => failed(&format!("{id:?} is no id of a delivery")),
        },
        Command::Retry(Which { destination: Some(to), .. }) => retry(session, &Retried::Of(Destination(to))),
        Command::Retry(_) => retry(session, &Retried::All),
    }
}

fn list(session: &Session<'_>, filter: DeliveryFilter, limit: u32) -> ExitCode {
    match session.wait(session.tools.deliveries.list(&session.ctx, filter, limit)) {
        Ok(found) => {
            found.iter().for_each(print);
            println!("{} shown.", found.len());
            DONE
        }
        Err(fault) => failed(&fault.chain()),
    }
}

fn print(delivery: &DeliverySummary) {
    let at = |instant: domain::clock::Timestamp| instant.format(&Rfc3339).unwrap_or_default();
    let next = match delivery.state {
        DeliveryState::Pending => format!("  next at {}", at(delivery.due_at)),
        DeliveryState::Delivered | DeliveryState::Unwanted | DeliveryState::Dead => String::new(),
    };
    let error = delivery.last_error.as_ref().map(|error| format!("  ({error})")).unwrap_or_default();
    println!(
        "{}  {:<9}  {}  {}  {}  {}  tries {}{next}{error}",
        delivery.id,
        delivery.state.as_str(),
        at(delivery.occurred_at),
        delivery.event,
        delivery.order,
        delivery.destination,
        delivery.attempts,
    );
}

fn retry(session: &Session<'_>, which: &Retried) -> ExitCode {
    let mut revived = 0;
    loop {
        let now = session.tools.clock.now();
        match session.wait(session.tools.deliveries.retry(&session.ctx, which.clone(), now, BATCH)) {
            Ok(BATCH) => revived += BATCH,
            Ok(0) if revived == 0 && matches!(which, Retried::One(_)) => {
                return failed("there is no such delivery, or it was not given up");
            }
            Ok(last) => {
                println!("{} to be tried again.", revived + last);
                return DONE;
            }
            Err(fault) => return failed(&format!("after {revived}: {}", fault.chain())),
        }
    }
}

impl State {
    fn of(self) -> DeliveryState {
        match self {
            Self::Pending => DeliveryState::Pending,
            Self::Delivered => DeliveryState::Delivered,
            Self::Unwanted => DeliveryState::Unwanted,
            Self::Dead => DeliveryState::Dead,
        }
    }
}
