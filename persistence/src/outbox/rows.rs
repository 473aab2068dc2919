//! Message and endpoint rows. The body of a message is the exact document of a webhook, or an email message as a
//! document.

use diesel::prelude::*;
use domain::clock::Timestamp;
use domain::context::{PlatformId, TraceContext};
use domain::order::Order;
use domain::outbox::{
    Channel, Content, Endpoint, EndpointHealth, FailureStreak, MessageState, MessageSummary, Notification,
    OutboxMessage, OutboxMessageId,
};

use crate::database::{EngineTime, NO_LEASE};
use crate::schema::{delivery, destination};
use crate::stored::{exact_millis, from_text, id, instant, malformed, millis, nearest_instant, to_text, word};

#[derive(Clone, Default, Queryable, Selectable, Insertable)]
#[diesel(table_name = delivery, treat_none_as_default_value = false)]
pub(super) struct DeliveryRow {
    pub id: String,
    pub channel: String,
    pub destination: String,
    pub order_id: String,
    pub sequence: i32,
    pub event: String,
    pub body: String,
    pub state: String,
    pub occurred_at: i64,
    pub due_at: i64,
    pub attempts: i32,
    pub leased_until: Option<EngineTime>,
    pub ended_at: Option<i64>,
    pub last_error: Option<String>,
    pub claims: i32,
    pub caused_by: Option<String>,
}

/// The columns that are set when a message ends.
#[derive(AsChangeset)]
#[diesel(table_name = delivery, treat_none_as_null = true)]
pub(super) struct Ended<'e> {
    state: &'static str,
    ended_at: i64,
    leased_until: Option<EngineTime>,
    last_error: Option<&'e str>,
}

impl<'e> Ended<'e> {
    pub(super) fn new(state: MessageState, last_error: Option<&'e str>, ended_at: i64) -> Self {
        Self { state: state.into_str(), ended_at, leased_until: NO_LEASE, last_error }
    }
}

#[derive(Default, Queryable, Selectable, Insertable)]
#[diesel(table_name = destination, treat_none_as_default_value = false)]
pub(super) struct DestinationRow {
    pub id: String,
    pub channel: String,
    pub served_at: i64,
    pub rest_until: i64,
    pub failures: i32,
    pub failing_since: Option<i64>,
    pub disabled_at: Option<i64>,
    pub failed_at: Option<i64>,
    pub answered_at: Option<i64>,
    pub asked_until: i64,
}

/// The failures of an endpoint since the last success, and its backoff. The default is an endpoint without failures.
#[derive(AsChangeset, Default)]
#[diesel(table_name = destination, treat_none_as_null = true)]
pub(super) struct Failures {
    pub failures: i32,
    pub failing_since: Option<i64>,
    pub failed_at: Option<i64>,
    pub rest_until: i64,
    pub asked_until: i64,
}

impl DestinationRow {
    /// An endpoint without any attempt.
    pub(super) fn new(to: &Endpoint, channel: Channel) -> Self {
        Self { id: to.0.clone(), channel: channel.into_str().to_owned(), ..Self::default() }
    }

    /// Changes the streak as a success at `now` does.
    pub(super) fn succeeded(&mut self, now: Timestamp) {
        (self.failures, self.failing_since, self.failed_at) = (0, None, None);
        self.answered_at = Some(millis(now));
    }

    /// Changes the streak to the one after a failure.
    pub(super) fn failed(&mut self, streak: FailureStreak) {
        self.failures = i32::try_from(streak.failures).unwrap_or(i32::MAX);
        (self.failing_since, self.failed_at) = (Some(millis(streak.first)), Some(millis(streak.last)));
    }

    /// The failures since the last success.
    pub(super) fn streak(&self) -> QueryResult<Option<FailureStreak>> {
        let Some((first, last)) = self.failing_since.zip(self.failed_at) else { return Ok(None) };
        let failures = u32::try_from(self.failures).unwrap_or(0);
        Ok(Some(FailureStreak { failures, first: instant(first)?, last: instant(last)? }))
    }
}

/// A pending message about the order's event number `sequence`.
pub(super) fn new(
    order: &Order,
    sequence: usize,
    notification: &Notification,
    caused_by: TraceContext,
    due_at: i64,
) -> QueryResult<DeliveryRow> {
    let occurred_at = order.events[sequence].occurred_at;
    Ok(DeliveryRow {
        id: OutboxMessageId::generate(occurred_at).to_string(),
        channel: notification.content.channel().into_str().to_owned(),
        destination: notification.content.endpoint().0,
        order_id: order.id.to_string(),
        sequence: i32::try_from(sequence).map_err(|_| malformed("too many events"))?,
        event: notification.event.to_owned(),
        body: match &notification.content {
            Content::Webhook { document, .. } => document.clone(),
            Content::Mail(email) => to_text(email)?,
        },
        state: MessageState::Pending.into_str().to_owned(),
        occurred_at: exact_millis(occurred_at)?,
        due_at,
        caused_by: Some(caused_by.to_string()),
        ..DeliveryRow::default()
    })
}

impl DeliveryRow {
    /// The message as a dead letter, which an operator can retry later.
    pub(super) fn dead(self, error: &str, now: Timestamp) -> Self {
        let state = MessageState::Dead.into_str().to_owned();
        Self { state, ended_at: Some(millis(now)), last_error: Some(error.to_owned()), ..self }
    }

    pub(super) fn attempts(&self) -> u32 {
        u32::try_from(self.attempts).unwrap_or(0)
    }

    /// Returns the message as it is after this claim, with the attempt that the claim is for. `health` and `failures` are
    /// those of its endpoint. Fails if this program cannot read the row.
    pub(super) fn claimed(self, health: EndpointHealth, failures: u32) -> QueryResult<OutboxMessage> {
        Ok(OutboxMessage {
            id: id(&self.id)?,
            order: id(&self.order_id)?,
            attempts: self.attempts() + 1,
            health,
            failures_before: failures,
            claims: u32::try_from(self.claims).unwrap_or(0) + 1,
            caused_by: self.caused_by.as_deref().and_then(TraceContext::parse),
            occurred_at: instant(self.occurred_at)?,
            content: match self.destination.strip_prefix("webhook:") {
                Some(platform) => Content::Webhook { platform: PlatformId(platform.to_owned()), document: self.body },
                None => Content::Mail(from_text(&self.body)?),
            },
            event: self.event,
        })
    }

    /// Returns the summary of the message without its next step, which depends on other rows. An unreadable time is
    /// shown as the nearest readable time, and the error says so. `None` for a row with unreadable ids, which cannot be
    /// shown.
    pub(super) fn summary(self) -> QueryResult<Option<MessageSummary>> {
        let state = word(&self.state)?;
        let (Ok(id), Ok(order)) = (id(&self.id), id(&self.order_id)) else { return Ok(None) };
        let unreadable = [self.occurred_at, self.due_at].into_iter().find_map(|millis| instant(millis).err());
        Ok(Some(MessageSummary {
            id,
            order,
            attempts: self.attempts(),
            state,
            endpoint: Endpoint(self.destination),
            event: self.event,
            occurred_at: nearest_instant(self.occurred_at),
            due_at: nearest_instant(self.due_at),
            next: None,
            last_error: self.last_error.or_else(|| unreadable.as_ref().map(unreadable_row)),
        }))
    }
}

/// The error of a message that this program cannot read.
pub(super) fn unreadable_row(error: &diesel::result::Error) -> String {
    format!("the stored message cannot be read: {error}")
}
