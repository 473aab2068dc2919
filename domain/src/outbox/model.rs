//! Outbox messages, their content and their endpoints.

use derive_more::Display;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::context::{PlatformId, TraceContext};
use crate::customer::Buyer;
use crate::id::{OrderId, OutboxMessageId};
use crate::order::{Order, OrderEvent};

/// A message to one endpoint, claimed for an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxMessage {
    /// The message id. It is the same in each attempt, so that a receiver can recognize a repetition.
    pub id: OutboxMessageId,
    pub order: OrderId,
    /// The event that the message announces, such as `order_placed`.
    pub event: String,
    /// The time of the event. It is the same in each attempt.
    pub occurred_at: Timestamp,
    pub content: Content,
    /// The number of counted attempts, including the current attempt. The claim counts an attempt before it is made, so
    /// that an attempt that crashes the process is counted too. If an attempt must not count, the record of its outcome
    /// subtracts it. A retry by an operator sets the number to zero.
    pub attempts: u32,
    /// The health of the endpoint before this attempt.
    pub health: EndpointHealth,
    /// The consecutive failures of the endpoint when this attempt was claimed.
    pub failures_before: u32,
    /// The fencing counter: the number of claims, including the current one. It never decreases, so a late record of an
    /// older claim is rejected: see [`OutboxStore::record`](super::OutboxStore::record).
    pub claims: u32,
    /// The trace of the request or of the background task that caused the event.
    pub caused_by: Option<TraceContext>,
}

/// The health of an endpoint, derived from its last attempts. It limits the concurrency that the endpoint may use: see
/// [`OutboxDispatcher`](super::OutboxDispatcher). The variants are ordered from the most trusted to the least trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EndpointHealth {
    /// The endpoint has accepted a message, and has not failed twice in a row since.
    Proven,
    /// The endpoint has neither accepted a message nor failed.
    New,
    /// The endpoint failed twice in a row, or failed and has never accepted a message.
    Failing,
}

impl EndpointHealth {
    /// The health of an endpoint. `has_answered` says whether it has accepted a message. `failures` is the number of
    /// its consecutive failures.
    #[must_use]
    pub fn of(has_answered: bool, failures: u32) -> Self {
        match (has_answered, failures) {
            (true, 0 | 1) => Self::Proven,
            (false, 0) => Self::New,
            (true, _) | (false, _) => Self::Failing,
        }
    }
}

/// The content of a message, and its receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A webhook. Its document is the complete order, as its platform reads it.
    Webhook {
        platform: PlatformId,
        document: String,
    },
    Mail(EmailMessage),
}

/// An email message to a buyer, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmailMessage {
    pub to: String,
    pub subject: String,
    /// The body as plain text.
    pub text: String,
    /// The same body as HTML.
    pub html: String,
}

impl Content {
    pub fn channel(&self) -> Channel {
        match self {
            Self::Webhook { .. } => Channel::Webhook,
            Self::Mail(_) => Channel::Mail,
        }
    }

    pub fn endpoint(&self) -> Endpoint {
        match self {
            Self::Webhook { platform, .. } => Endpoint(format!("webhook:{}", platform.0)),
            // All email messages go through the one relay of the shop.
            Self::Mail(_) => Endpoint::mail_relay(),
        }
    }
}

/// The kind of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Channel {
    Webhook,
    Mail,
}

impl Channel {
    /// The name of the background task that sends the messages of this channel.
    pub const fn task(self) -> &'static str {
        match self {
            Self::Webhook => "webhook_delivery",
            Self::Mail => "mail_delivery",
        }
    }
}

/// A destination of messages. Backoff, disabling and the concurrency limit apply per endpoint. Logs and lists show the
/// endpoint [`without_secrets`].
#[derive(Clone, Debug, Display, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[display("{}", without_secrets(_0))]
pub struct Endpoint(pub String);

impl Endpoint {
    /// The endpoint of every email message.
    pub fn mail_relay() -> Self {
        Self("mail".to_owned())
    }
}

/// Removes secrets from an address, for logs and lists: removes the user name and the password, and replaces the query
/// by a hash, because the query may contain a secret. The hash distinguishes addresses that differ only in the query.
#[must_use]
pub fn without_secrets(address: &str) -> String {
    let (head, rest) = address.split_once("://").unwrap_or(("", address));
    let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let scheme = if head.is_empty() { String::new() } else { format!("{head}://") };
    let mark = query.map(|query| format!("?~{:08x}", fnv1a(query.bytes()) >> 32)).unwrap_or_default();
    format!("{scheme}{host}{path}{mark}")
}

/// The 64-bit FNV-1a hash. Any other hash with an even distribution would do.
pub(super) fn fnv1a(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// The state of a message. The diagram in the module documentation shows the transitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum MessageState {
    Pending,
    Delivered,
    /// The receiver does not want such messages.
    Unwanted,
    /// A dead letter: it is retried only if an operator requests it.
    Dead,
}

impl MessageState {
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;
}

/// A message as operators see it, without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageSummary {
    pub id: OutboxMessageId,
    pub endpoint: Endpoint,
    pub order: OrderId,
    pub event: String,
    pub state: MessageState,
    pub attempts: u32,
    pub occurred_at: Timestamp,
    /// The time at which the message is due, without the backoff of its endpoint. Meaningless after the message has
    /// ended.
    pub due_at: Timestamp,
    /// What happens next to the message. `None` after the message has ended.
    pub next: Option<NextAttempt>,
    pub last_error: Option<String>,
}

/// What happens next to a pending message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextAttempt {
    /// The next attempt is at this time or soon after. At this time the message is due and the backoff of its endpoint
    /// has ended.
    At(Timestamp),
    /// The message is leased until this time, because an attempt is in progress.
    Leased(Timestamp),
    /// The message becomes a dead letter, because its endpoint is disabled.
    GivenUp,
}

/// An endpoint as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSummary {
    pub id: Endpoint,
    pub channel: Channel,
    pub pending: u32,
    pub dead: u32,
    /// The time of the event of the oldest pending message.
    pub oldest_pending: Option<Timestamp>,
    /// The number of attempts in progress, over all instances.
    pub leased: u32,
    pub failing_since: Option<Timestamp>,
    /// The time at which the backoff of the endpoint ends. May be in the past.
    pub backoff_until: Timestamp,
    pub disabled_at: Option<Timestamp>,
}

/// A notification: an event and the message that announces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    pub event: &'static str,
    pub content: Content,
}

/// The port that composes the messages about a change. It does no I/O: it is called inside the transaction of the
/// change, and its result is stored in that transaction.
pub trait NotificationComposer: Send + Sync {
    /// Returns the messages that announce `event`. `order` is the order after the event. `buyer` is given only for the
    /// event that places the order.
    fn compose(
        &self,
        order: &Order,
        event: &OrderEvent,
        buyer: Option<&Buyer>,
    ) -> Result<Vec<Notification>, ComposeError>;
}

/// The error for a message that cannot be composed. It is a bug, so the change that the message announces is not
/// committed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message of {event} cannot be written: {reason}")]
pub struct ComposeError {
    pub event: &'static str,
    pub reason: String,
}

impl ComposeError {
    pub fn of(event: &'static str, reason: &dyn std::error::Error) -> Self {
        Self { event, reason: reason.to_string() }
    }
}
