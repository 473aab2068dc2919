//! Claims messages: chooses endpoints and messages, and leases the messages.

use domain::outbox::{Channel, ClaimTerms, Claimed, MAX_ATTEMPTS, MessageState, MessageSummary, OutboxMessage};

use super::queries::{self, NextEndpoint};
use super::rows::{self, DeliveryRow};
use crate::database::{Tx, TxError};

/// The most times that a claim chooses endpoints and messages. A choice yields no message if another instance took the
/// endpoints first, or if the messages have no attempts left and become dead letters. The next pass continues.
const MOST_CHOICES: usize = 10;

/// Claims at most `calls` messages, and returns the result of each call. The endpoints take turns, as if the calls were
/// made one after the other.
pub(super) fn claim<E>(
    tx: &mut Tx<'_>,
    channel: Channel,
    terms: ClaimTerms,
    calls: usize,
) -> Result<Vec<Claimed>, TxError<E>> {
    let mut claims: Vec<Claimed> = Vec::with_capacity(calls);
    let mut given_up = Vec::new();
    for _ in 0..MOST_CHOICES {
        let chosen = queries::next_endpoints(tx, channel, &terms, calls)?;
        if chosen.is_empty() {
            break;
        }
        let mut messages = Vec::new();
        for (endpoint, row) in next_messages(tx, &chosen, &terms, calls)? {
            match readable(&row, endpoint) {
                Ok(message) => messages.push(message),
                // Only this message ends. Later messages of the endpoint are sent.
                Err(error) => given_up.extend(end(tx, row, error, &terms)?),
            }
        }
        if !messages.is_empty() {
            queries::grant(tx, messages.iter().map(|message| message.id.to_string()).collect(), terms.lease)?;
            let served: Vec<&str> = chosen.iter().map(|endpoint| endpoint.id.as_str()).collect();
            queries::set_served(tx, &served, terms.now)?;
            let claimed = |message| Claimed { message: Some(message), given_up: Vec::new() };
            claims.extend(messages.into_iter().map(claimed));
            break;
        }
    }
    claims.resize_with(calls, Claimed::default);
    if let Some(first) = claims.first_mut() {
        first.given_up = given_up;
    }
    Ok(claims)
}

/// Returns at most `limit` messages of the endpoints, with their endpoints: first the first message of each endpoint,
/// then the second of each, and so on.
fn next_messages<'e>(
    tx: &mut Tx<'_>,
    endpoints: &'e [NextEndpoint],
    terms: &ClaimTerms,
    limit: usize,
) -> diesel::QueryResult<Vec<(&'e NextEndpoint, DeliveryRow)>> {
    let mut found = Vec::new();
    for endpoint in endpoints {
        let rows = queries::next_messages(tx, endpoint, terms, limit)?;
        found.extend(rows.into_iter().enumerate().map(|(turn, row)| (turn, endpoint, row)));
    }
    // Stable, so that the endpoints keep their order in each turn.
    found.sort_by_key(|(turn, ..)| *turn);
    Ok(found.into_iter().map(|(_, endpoint, row)| (endpoint, row)).take(limit).collect())
}

/// Returns the message as claimed. The error is the reason why it is not sent.
fn readable(row: &DeliveryRow, endpoint: &NextEndpoint) -> Result<OutboxMessage, String> {
    if row.attempts() >= MAX_ATTEMPTS {
        return Err(row.last_error.clone().unwrap_or_else(|| "no attempt ended".to_owned()));
    }
    row.clone().claimed(endpoint.health(), endpoint.failures()).map_err(|error| rows::unreadable_row(&error))
}

/// Makes the message a dead letter, and returns its summary. `None` if it cannot be shown.
fn end(
    tx: &mut Tx<'_>,
    row: DeliveryRow,
    error: String,
    terms: &ClaimTerms,
) -> diesel::QueryResult<Option<MessageSummary>> {
    queries::end(tx, &[&row.id], MessageState::Dead, Some(&error), terms.now)?;
    let summary = row.summary()?;
    Ok(summary.map(|summary| MessageSummary { state: MessageState::Dead, last_error: Some(error), ..summary }))
}
