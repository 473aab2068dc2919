//! Records the outcomes of attempts.

use std::collections::BTreeMap;

use diesel::QueryResult;
use domain::clock::Timestamp;
use domain::outbox::{
    FailureStreak, Finality, MessageState, NextStep, OutboxMessage, Receipt, Recorded, SendOutcome, StaleClaim,
    endpoint_backoff, next_step,
};

use super::rows::DestinationRow;
use super::{DISABLED, queries};
use crate::database::{Tx, TxError};
use crate::stored::{malformed, millis};

/// The most pending messages that become dead letters in the transaction that disables their endpoint. A longer
/// transaction would delay purchases. The purge makes the other pending messages dead letters.
const ENDED_AT_ONCE: u32 = 500;

/// Records attempts in their order, and returns what was recorded for each.
pub(super) fn record<E>(
    tx: &mut Tx<'_>,
    attempts: &[(OutboxMessage, SendOutcome)],
    now: Timestamp,
) -> Result<Vec<Recorded>, TxError<E>> {
    let ids: Vec<&str> = attempts.iter().map(|(message, _)| message.id.as_str()).collect();
    let (endpoints, mut states): (Vec<_>, Vec<_>) = queries::lock_claimed(tx, &ids)?.into_iter().unzip();
    let mut endpoints: BTreeMap<String, DestinationRow> =
        endpoints.into_iter().map(|endpoint| (endpoint.id.clone(), endpoint)).collect();
    let mut records = Vec::with_capacity(attempts.len());
    let mut received = Received::default();
    for (message, outcome) in attempts {
        let state = states.iter().find(|state| state.id == message.id.as_str());
        let stale = state.map_or(Ok(Some(StaleClaim::Forgotten)), |state| state.stale(message))?;
        if let Some(stale) = stale {
            records.push(Recorded::Stale(stale));
            continue;
        }
        let to = message.content.endpoint().0;
        let endpoint = endpoints.get_mut(&to).ok_or_else(|| malformed(format!("{to} is no destination")))?;
        match next_step(message, outcome, endpoint.streak()?, now) {
            NextStep::End(MessageState::Delivered) => {
                received.delivered.push(message);
                records.push(Recorded::Ended(MessageState::Delivered));
            }
            NextStep::End(MessageState::Unwanted) => {
                received.unwanted.push(message);
                records.push(Recorded::Ended(MessageState::Unwanted));
            }
            NextStep::Disable => {
                // Received messages are ended first, because the others of the endpoint become dead letters.
                std::mem::take(&mut received).end(tx, now)?;
                records.push(disable(tx, message, error_of(outcome), now)?);
                states = queries::lock_claimed(tx, &ids)?.into_iter().map(|(_, state)| state).collect();
            }
            NextStep::End(state) => {
                end(tx, &[message], state, error_of(outcome), now)?;
                records.push(Recorded::Ended(state));
            }
            NextStep::Again(at) => records.push(retry(tx, message, outcome, at, message.attempts)?),
            // The attempt is not counted: otherwise a few restarts would use up attempts that are meant to last for days.
            NextStep::Uncounted(at) => {
                records.push(retry(tx, message, outcome, at, message.attempts.saturating_sub(1))?);
            }
        }
        record_health(tx, endpoint, message, outcome, now)?;
    }
    received.end(tx, now)?;
    Ok(records)
}

/// The messages that their receivers took. The messages of each state end in one statement.
#[derive(Default)]
struct Received<'m> {
    delivered: Vec<&'m OutboxMessage>,
    unwanted: Vec<&'m OutboxMessage>,
}

impl Received<'_> {
    fn end(self, tx: &mut Tx<'_>, now: Timestamp) -> QueryResult<()> {
        end(tx, &self.delivered, MessageState::Delivered, None, now)?;
        end(tx, &self.unwanted, MessageState::Unwanted, None, now)
    }
}

/// Ends messages, and makes the newer messages of their orders due.
fn end(
    tx: &mut Tx<'_>,
    messages: &[&OutboxMessage],
    state: MessageState,
    error: Option<&str>,
    now: Timestamp,
) -> QueryResult<()> {
    if messages.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = messages.iter().map(|message| message.id.as_str()).collect();
    queries::end(tx, &ids, state, error, now)?;
    // Only an earlier attempt can have postponed the newer messages.
    for message in messages.iter().filter(|message| message.claims > 1) {
        let to = message.content.endpoint();
        queries::release_newer(tx, message.id.as_str(), message.order.as_str(), &to.0, now)?;
    }
    Ok(())
}

/// The error of a failed attempt.
fn error_of(outcome: &SendOutcome) -> Option<&str> {
    match outcome {
        SendOutcome::Failed(failure) => Some(failure.reason.as_str()),
        SendOutcome::Received(_) | SendOutcome::Interrupted => None,
    }
}

/// Makes the message due again at `at`, with this number of attempts.
fn retry(
    tx: &mut Tx<'_>,
    message: &OutboxMessage,
    outcome: &SendOutcome,
    at: Timestamp,
    attempts: u32,
) -> QueryResult<Recorded> {
    queries::retry_at(tx, message, at, attempts, error_of(outcome))?;
    queries::hold_newer(tx, message, at)?;
    Ok(Recorded::Again(at))
}

fn disable(tx: &mut Tx<'_>, message: &OutboxMessage, error: Option<&str>, now: Timestamp) -> QueryResult<Recorded> {
    let to = message.content.endpoint().0;
    queries::disable(tx, &to, now)?;
    // This message is ended first, because it may not be among the messages that `end_pending` selects.
    queries::end(tx, &[message.id.as_str()], MessageState::Dead, error, now)?;
    let reason = format!("{DISABLED}: {}", error.unwrap_or("no reason"));
    let others = queries::end_pending(tx, &to, &reason, millis(now), ENDED_AT_ONCE)?;
    Ok(Recorded::Disabled { others })
}

/// Records what the outcome shows about the health of the endpoint, in its row and in `endpoint`.
fn record_health(
    tx: &mut Tx<'_>,
    endpoint: &mut DestinationRow,
    message: &OutboxMessage,
    outcome: &SendOutcome,
    now: Timestamp,
) -> QueryResult<()> {
    match outcome {
        SendOutcome::Received(Receipt::Accepted) if endpoint.failures > 0 || endpoint.answered_at.is_none() => {
            queries::set_healthy(tx, &endpoint.id, now)?;
            endpoint.succeeded(now);
        }
        SendOutcome::Failed(failure) => {
            if let Finality::Again { after } = failure.finality {
                let streak = FailureStreak::with_failure(endpoint.streak()?, message.failures_before, now);
                let rest = endpoint_backoff(streak.failures, after);
                let asked = endpoint_backoff(0, after);
                queries::set_failing(tx, &endpoint.id, streak, (rest, asked))?;
                endpoint.failed(streak);
            }
        }
        SendOutcome::Received(_) | SendOutcome::Interrupted => {}
    }
    Ok(())
}
