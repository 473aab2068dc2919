//! `tuckshop deliveries`: lists the messages of the outbox and their endpoints, retries them, or gives them up.

use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use domain::clock::Timestamp;
use domain::context::RequestContext;
use domain::outbox::{
    Channel, Endpoint, EndpointSummary, MessageFilter, MessageState, MessageSummary, NextAttempt, OutboxMessageId,
    Selection,
};
use domain::page::{Limit, Page};

use super::output::say;
use super::tools::Session;
use crate::instant::rfc3339 as text;

#[derive(Subcommand)]
pub(super) enum Command {
    /// List webhooks and email messages, the newest first.
    List {
        /// Only messages in this state.
        #[arg(long, value_parser = state_parser())]
        state: Option<MessageState>,
        /// Only messages to this destination, as the list shows it.
        #[arg(long)]
        destination: Option<String>,
        /// List at most this many messages.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// List the destinations: how many messages wait, and whether the destination fails, backs off or is disabled.
    Destinations {
        /// List at most this many destinations.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Retry dead letters now. Their attempts are counted from zero again. With a message or a destination, also retry
    /// its waiting messages at once. Enables the destination and ends its backoff. An older message of the same order
    /// goes first. A running server begins at its next poll.
    Retry(Which),
    /// Give up waiting messages: one, or all of a destination. A message that is being delivered stays.
    Drop(Named),
}

#[derive(Args)]
#[group(required = true, multiple = false)]
pub(super) struct Which {
    /// The id of one message.
    id: Option<String>,
    /// All messages of a destination.
    #[arg(long)]
    destination: Option<String>,
    /// All dead letters.
    #[arg(long)]
    all: bool,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
pub(super) struct Named {
    /// The id of one message.
    id: Option<String>,
    /// All messages of a destination.
    #[arg(long)]
    destination: Option<String>,
}

fn state_parser() -> impl TypedValueParser<Value = MessageState> {
    let states = MessageState::ALL.iter().map(|state| state.into_str());
    PossibleValuesParser::new(states).try_map(|word| word.parse::<MessageState>())
}

/// The most rows that one transaction reads or changes.
const BATCH: u32 = 500;

pub(super) fn run(session: &Session<'_>, command: Command) -> Result<(), String> {
    match command {
        Command::List { state, destination, limit } => list(session, state, destination, limit),
        Command::Destinations { limit } => destinations(session, limit),
        Command::Retry(Which { id, destination, .. }) => {
            let (outbox, now) = (&session.tools.outbox, session.tools.clock.now());
            let retry = |which| session.wait(outbox.retry(&session.ctx, which, now, BATCH));
            let due = in_all_batches(session, selected(session, id, destination)?, retry)?;
            say!("{due} to be retried, at the next poll of a running server.");
            Ok(())
        }
        Command::Drop(Named { id, destination }) => {
            let (outbox, now) = (&session.tools.outbox, session.tools.clock.now());
            let give_up = |which| session.wait(outbox.give_up(&session.ctx, which, now, BATCH));
            let given_up = in_all_batches(session, selected(session, id, destination)?, give_up)?;
            say!("{given_up} given up.");
            Ok(())
        }
    }
}

/// Returns what the arguments select: one message, the messages of one destination, or all messages.
fn selected(session: &Session<'_>, id: Option<String>, destination: Option<String>) -> Result<Selection, String> {
    match (id, destination) {
        (Some(id), _) => {
            OutboxMessageId::parse(&id).map(Selection::One).ok_or_else(|| format!("{id:?} is not the id of a message"))
        }
        (None, Some(to)) => known(session, to).map(Selection::Of),
        (None, None) => Ok(Selection::All),
    }
}

/// The destination with this name. The name may be complete, or shortened as the list shows it. An unknown name is an
/// error.
fn known(session: &Session<'_>, name: String) -> Result<Endpoint, String> {
    let to = Endpoint(name);
    if endpoint(session, &to)?.is_some() {
        return Ok(to);
    }
    let mut known = None;
    each_endpoint(session, |endpoint| {
        if endpoint.id.to_string() == to.0 {
            known = Some(endpoint.id);
        }
    })?;
    known.ok_or_else(|| format!("\"{to}\" is not a known destination: see tuckshop deliveries destinations"))
}

fn endpoint(session: &Session<'_>, name: &Endpoint) -> Result<Option<EndpointSummary>, String> {
    session.wait(session.tools.outbox.endpoint(&session.ctx, name.clone()))
}

/// Visits all endpoints, page by page.
fn each_endpoint(session: &Session<'_>, mut visit: impl FnMut(EndpointSummary)) -> Result<(), String> {
    let mut after = None;
    loop {
        let page = session.wait(session.tools.outbox.endpoints(&session.ctx, after, Limit::new(BATCH)))?;
        page.items.into_iter().for_each(&mut visit);
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

fn list(session: &Session<'_>, state: Option<MessageState>, to: Option<String>, limit: u32) -> Result<(), String> {
    let destination = to.map(|to| known(session, to)).transpose()?;
    let filter = MessageFilter { state, endpoint: destination };
    let page = session.wait(session.tools.outbox.list(&session.ctx, filter, None, Limit::new(limit)))?;
    let now = session.tools.clock.now();
    page.items.iter().for_each(|delivery| print(delivery, now));
    say!("{}", summary(&page));
    Ok(())
}

fn print(delivery: &MessageSummary, now: Timestamp) {
    let next = match delivery.next {
        Some(NextAttempt::At(due)) if due <= now => "  due now".to_owned(),
        Some(NextAttempt::At(due)) => format!("  next at {}", text(due)),
        Some(NextAttempt::Leased(until)) => format!("  in delivery until {}", text(until)),
        Some(NextAttempt::GivenUp) => "  to be given up".to_owned(),
        None => String::new(),
    };
    let error = delivery.last_error.as_ref().map(|error| format!("  ({error})")).unwrap_or_default();
    say!(
        "{}  {:<9}  {}  {}  {}  {}  attempts {}{next}{error}",
        delivery.id,
        delivery.state.into_str(),
        text(delivery.occurred_at),
        delivery.event,
        delivery.order,
        delivery.endpoint,
        delivery.attempts,
    );
}

fn destinations(session: &Session<'_>, limit: u32) -> Result<(), String> {
    let page = session.wait(session.tools.outbox.endpoints(&session.ctx, None, Limit::new(limit)))?;
    let now = session.tools.clock.now();
    page.items.iter().for_each(|destination| print_destination(destination, now, session.tools.has_mail_relay));
    say!("{}", summary(&page));
    Ok(())
}

fn summary<T>(page: &Page<T>) -> String {
    let shown = page.items.len();
    match page.next {
        Some(_) => format!("{shown} shown; there are more, see --limit."),
        None => format!("{shown} shown."),
    }
}

fn print_destination(it: &EndpointSummary, now: Timestamp, has_mail_relay: bool) {
    let mut line = format!("{}  {}  pending {}", it.id, it.channel.into_str(), it.pending);
    let since = |word: &str, instant: Option<Timestamp>| {
        instant.map(|instant| format!("  {word} {}", text(instant))).unwrap_or_default()
    };
    if let Some(oldest) = it.oldest_pending {
        line.push_str(&format!(" (oldest {})", age((now - oldest).try_into().unwrap_or_default())));
    }
    line.push_str(&format!("  dead {}  in delivery {}", it.dead, it.leased));
    line.push_str(&since("failing since", it.failing_since));
    line.push_str(&since("backs off until", Some(it.backoff_until).filter(|until| *until > now)));
    line.push_str(&since("disabled at", it.disabled_at));
    if it.channel == Channel::Mail && !has_mail_relay {
        line.push_str("  no mail relay, unless the server has one: TUCKSHOP_MAIL_HOST is not set here");
    }
    say!("{line}");
}

/// The age in its two largest units.
fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, ..) => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

/// Calls `batch` until it has changed every selected message. Returns the number of changed messages.
fn in_all_batches(
    session: &Session<'_>,
    which: Selection,
    batch: impl Fn(Selection) -> Result<u32, String>,
) -> Result<u32, String> {
    let changed = in_batches(&session.ctx, counted(session, &which)?, || batch(which.clone()))?;
    if changed == 0 && matches!(which, Selection::One(_)) {
        return Err("there is no such message, or it has ended, or it is being delivered".to_owned());
    }
    Ok(changed)
}

/// The number of selected messages: dead letters and pending ones.
fn counted(session: &Session<'_>, which: &Selection) -> Result<u32, String> {
    let of_one = |endpoint: &EndpointSummary| endpoint.dead.saturating_add(endpoint.pending);
    match which {
        Selection::One(_) => Ok(1),
        Selection::Of(to) => Ok(endpoint(session, to)?.as_ref().map_or(0, of_one)),
        Selection::All => {
            let mut all = 0_u32;
            each_endpoint(session, |endpoint| all = all.saturating_add(of_one(&endpoint)))?;
            Ok(all)
        }
    }
}

/// Repeats `batch` until it changes nothing, or until `most` rows are changed. Returns the number of changed rows. A
/// batch that changes few rows may not be the last one, because a running server may have claimed some of its rows.
fn in_batches(ctx: &RequestContext, most: u32, mut batch: impl FnMut() -> Result<u32, String>) -> Result<u32, String> {
    let mut done = 0;
    loop {
        ctx.check("deliveries.batch").map_err(|fault| format!("after {done}: {}", fault.chain()))?;
        let more = batch().map_err(|why| format!("after {done}: {why}"))?;
        done += more;
        if more == 0 || done >= most {
            return Ok(done);
        }
    }
}

#[cfg(test)]
#[path = "deliveries_tests.rs"]
mod tests;
