//! `tuckshop deliveries`: lists the messages of the outbox and their endpoints, retries them, or gives them up.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use domain::clock::Timestamp;
use domain::context::RequestContext;
use domain::fault::Fault;
use domain::outbox::{
    Channel, Endpoint, EndpointSummary, MessageFilter, MessageState, MessageSummary, Next, OutboxMessageId, Selection,
};

use super::output::say;
use super::tools::Session;
use super::{DONE, Outcome, failed};
use crate::instant::rfc3339 as text;

#[derive(Subcommand)]
pub(super) enum Command {
    /// List webhooks and email messages, the newest first.
    List {
        /// Only messages in this state.
        #[arg(long)]
        state: Option<State>,
        /// Only messages to this destination, as the list shows it.
        #[arg(long)]
        destination: Option<String>,
        /// At most this many.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// List the destinations: how many messages wait, and whether the destination fails, backs off or is disabled.
    Destinations {
        /// At most this many.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Retry dead letters now, with all attempts. With a message or a destination, also retry its waiting messages at once.
    /// Enables the destination and ends its backoff. An older message of the same order goes first. A running server
    /// begins at its next poll.
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

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum State {
    Pending,
    Delivered,
    Unwanted,
    Dead,
}

/// The most destinations that are counted.
const MOST_DESTINATIONS: u32 = 10_000;
/// The most rows that one transaction changes.
const BATCH: u32 = 500;

pub(super) fn run(session: &Session<'_>, command: Command) -> Outcome {
    let done = match command {
        Command::List { state, destination, limit } => list(session, state, destination, limit),
        Command::Destinations { limit } => destinations(session, limit),
        Command::Retry(Which { id, destination, .. }) => {
            selected(session, id, destination).and_then(|which| retry(session, &which))
        }
        Command::Drop(Named { id, destination }) => {
            selected(session, id, destination).and_then(|which| give_up(session, &which))
        }
    };
    done.map_or_else(|why| failed(&why), |()| DONE)
}

/// The named message, or the messages of the named destination, or all.
fn selected(session: &Session<'_>, id: Option<String>, destination: Option<String>) -> Result<Selection, String> {
    match (id, destination) {
        (Some(id), _) => {
            OutboxMessageId::parse(&id).map(Selection::One).ok_or_else(|| format!("{id:?} is not the id of a message"))
        }
        (None, Some(to)) => known(session, to).map(Selection::Of),
        (None, None) => Ok(Selection::All),
    }
}

/// The destination of this name, whole or shortened as in the list. An unknown name is an error.
fn known(session: &Session<'_>, name: String) -> Result<Endpoint, String> {
    let to = Endpoint(name);
    let ask = |one, most| {
        let found = session.wait(session.tools.outbox.endpoints(&session.ctx, one, most));
        found.map_err(|fault| fault.chain())
    };
    if !ask(Some(to.clone()), 1)?.is_empty() {
        return Ok(to);
    }
    let shown = ask(None, MOST_DESTINATIONS)?.into_iter().find(|known| known.id.to_string() == to.0);
    shown
        .map(|known| known.id)
        .ok_or_else(|| format!("\"{to}\" is not a known destination: see tuckshop deliveries destinations"))
}

fn list(session: &Session<'_>, state: Option<State>, to: Option<String>, limit: u32) -> Result<(), String> {
    let destination = to.map(|to| known(session, to)).transpose()?;
    let filter = MessageFilter { state: state.map(State::of), endpoint: destination };
    let found = session.wait(session.tools.outbox.list(&session.ctx, filter, limit + 1));
    let found = found.map_err(|fault| fault.chain())?;
    let now = session.tools.clock.now();
    let shown = found.get(..limit as usize).unwrap_or(&found);
    shown.iter().for_each(|delivery| print(delivery, now));
    say!("{}", summary(shown.len(), found.len()));
    Ok(())
}

fn print(delivery: &MessageSummary, now: Timestamp) {
    let next = match delivery.next {
        Some(Next::At(due)) if due <= now => "  due now".to_owned(),
        Some(Next::At(due)) => format!("  next at {}", text(due)),
        Some(Next::Leased(until)) => format!("  in delivery until {}", text(until)),
        Some(Next::GivenUp) => "  to be given up".to_owned(),
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
    let found = session.wait(session.tools.outbox.endpoints(&session.ctx, None, limit + 1));
    let found = found.map_err(|fault| fault.chain())?;
    let now = session.tools.clock.now();
    let shown = found.get(..limit as usize).unwrap_or(&found);
    shown.iter().for_each(|destination| print_destination(destination, now, session.tools.has_mail_relay));
    say!("{}", summary(shown.len(), found.len()));
    Ok(())
}

fn summary(shown: usize, found: usize) -> String {
    match found > shown {
        true => format!("{shown} shown; there are more, see --limit."),
        false => format!("{shown} shown."),
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

fn retry(session: &Session<'_>, which: &Selection) -> Result<(), String> {
    let (outbox, now) = (&session.tools.outbox, session.tools.clock.now());
    let most = counted(session, which)?;
    let due = in_batches(&session.ctx, most, || session.wait(outbox.retry(&session.ctx, which.clone(), now, BATCH)))?;
    if due == 0 && matches!(which, Selection::One(_)) {
        return Err("there is no such message, or it has ended, or it is being delivered".to_owned());
    }
    say!("{due} to be retried, at the next poll of a running server.");
    Ok(())
}

fn give_up(session: &Session<'_>, which: &Selection) -> Result<(), String> {
    let (outbox, now) = (&session.tools.outbox, session.tools.clock.now());
    let most = counted(session, which)?;
    let given_up =
        in_batches(&session.ctx, most, || session.wait(outbox.give_up(&session.ctx, which.clone(), now, BATCH)))?;
    if given_up == 0 && matches!(which, Selection::One(_)) {
        return Err("there is no such message, or it has ended, or it is being delivered".to_owned());
    }
    say!("{given_up} given up.");
    Ok(())
}

/// The number of selected messages: dead letters and pending ones.
fn counted(session: &Session<'_>, which: &Selection) -> Result<u32, String> {
    let one = match which {
        Selection::One(_) => return Ok(1),
        Selection::Of(to) => Some(to.clone()),
        Selection::All => None,
    };
    let found = session.wait(session.tools.outbox.endpoints(&session.ctx, one, MOST_DESTINATIONS + 1));
    let found = found.map_err(|fault| fault.chain())?;
    if found.len() > MOST_DESTINATIONS as usize {
        return Err(format!("there are more than {MOST_DESTINATIONS} destinations: name one"));
    }
    Ok(found.iter().map(|it| it.dead.saturating_add(it.pending)).fold(0, u32::saturating_add))
}

/// Repeats `batch` until it changes nothing, or until `most` rows are changed. A batch that is not full is no sign of the
/// end: a running server may have claimed some of its rows.
fn in_batches(ctx: &RequestContext, most: u32, mut batch: impl FnMut() -> Result<u32, Fault>) -> Result<u32, String> {
    let mut done = 0;
    loop {
        ctx.check("deliveries.batch").map_err(|fault| format!("after {done}: {}", fault.chain()))?;
        let more = batch().map_err(|fault| format!("after {done}: {}", fault.chain()))?;
        done += more;
        if more == 0 || done >= most {
            return Ok(done);
        }
    }
}

impl State {
    fn of(self) -> MessageState {
        match self {
            Self::Pending => MessageState::Pending,
            Self::Delivered => MessageState::Delivered,
            Self::Unwanted => MessageState::Unwanted,
            Self::Dead => MessageState::Dead,
        }
    }
}

#[cfg(test)]
#[path = "deliveries_tests.rs"]
mod tests;
