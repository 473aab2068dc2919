//! Messages, and where they go.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::context::{PlatformId, TraceContext};
use crate::customer::Buyer;
use crate::id::{Id, Named};
use crate::order::{Order, OrderEvent, OrderId};

pub type OutboxMessageId = Id<OutboxMessage>;

impl Named for OutboxMessage {
    const PREFIX: &'static str = "msg";
}

/// One message on its way to one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxMessage {
    /// The same on every try, so that a receiver can tell a repetition.
    pub id: OutboxMessageId,
    pub order: OrderId,
    /// What happened, such as `order_placed`.
    pub event: String,
    /// When it happened. The same on every try.
    pub occurred_at: Timestamp,
    pub content: Content,
    /// Tries so far, the present one included: it is counted before it is made, so that one that kills the process
    /// counts too. A try may be given back, and an operator gives all of them back.
    pub attempts: u32,
    /// How its destination did up to this try.
    pub standing: EndpointHealth,
    /// How often it was claimed, the present claim included. It only grows, whatever is given back, and so fences a late
    /// record off: see [`OutboxStore::record`](super::OutboxStore::record).
    pub claims: u32,
    /// Where what it tells of happened: the trace of a request, or of a pass of a task.
    pub caused_by: Option<TraceContext>,
}

/// How a destination did when messages were last sent to it. It decides how much of the concurrency the destination
/// may use: see [`OutboxDispatcher`](super::OutboxDispatcher). The order is that of trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EndpointHealth {
    /// It took a message before, and has not failed twice in a row since.
    Proven,
    /// Nothing came to an end there yet.
    New,
    /// It fails: twice in a row, or without ever having taken a message.
    Failing,
}

impl EndpointHealth {
    /// From whether it ever took a message, and its failures since then.
    #[must_use]
    pub fn of(has_answered: bool, failures: u32) -> Self {
        match (has_answered, failures) {
            (true, 0 | 1) => Self::Proven,
            (false, 0) => Self::New,
            (true, _) | (false, _) => Self::Failing,
        }
    }
}

/// What is told, and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The whole order, as its platform reads it.
    Webhook {
        platform: PlatformId,
        document: String,
    },
    Mail(EmailMessage),
}

/// A message to a buyer, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmailMessage {
    pub to: String,
    pub subject: String,
    /// The same words twice: plain, and for readers that show markup.
    pub text: String,
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
            // Every letter goes through the one relay of the shop.
            Self::Mail(_) => Endpoint("mail".to_owned()),
        }
    }
}

/// By which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Channel {
    Webhook,
    Mail,
}

impl Channel {
    /// The background task that hands its messages over.
    pub const fn task(self) -> &'static str {
        match self {
            Self::Webhook => "webhook_delivery",
            Self::Mail => "mail_delivery",
        }
    }
}

/// Whoever receives: what fails together, rests together and shares a bound on concurrency.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint(pub String);

/// As logs and lists show it: see [`shown`].
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.0))
    }
}

/// An address as logs and lists show it: without a user name, and with a mark in place of the query, which may hold a
/// secret. The mark tells addresses apart that differ in the query only.
#[must_use]
pub fn shown(address: &str) -> String {
    let (head, rest) = address.split_once("://").unwrap_or(("", address));
    let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let scheme = if head.is_empty() { String::new() } else { format!("{head}://") };
    let mark = query.map(|query| format!("?~{:08x}", fnv(query.bytes()) >> 32)).unwrap_or_default();
    format!("{scheme}{host}{path}{mark}")
}

/// FNV-1a, 64 bit: any even mix would do.
pub(super) fn fnv(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum MessageState {
    Pending,
    Delivered,
    /// The destination takes no such messages.
    Unwanted,
    /// Given up. An operator can see it and have it tried again.
    Dead,
}

impl MessageState {
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;
}

/// A delivery as operators see it: without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageSummary {
    pub id: OutboxMessageId,
    pub endpoint: Endpoint,
    pub order: OrderId,
    pub event: String,
    pub state: MessageState,
    pub attempts: u32,
    pub occurred_at: Timestamp,
    /// Its own due time, whatever its destination does. Means nothing once it is over.
    pub due_at: Timestamp,
    /// `None` once it is over.
    pub next: Option<Next>,
    pub last_error: Option<String>,
}

/// What happens to a pending delivery next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is tried then, or soon after: when it is due, and its destination rests no more.
    At(Timestamp),
    /// Someone has it in hand, and has it to itself until then.
    UnderWay(Timestamp),
    /// It is given up, since its destination is disabled.
    GivenUp,
}

/// A destination as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSummary {
    pub id: Endpoint,
    pub channel: Channel,
    pub pending: u32,
    pub dead: u32,
    /// When what the oldest pending message tells of happened.
    pub oldest_pending: Option<Timestamp>,
    /// Tries under way, over all instances.
    pub under_way: u32,
    pub failing_since: Option<Timestamp>,
    /// May have passed.
    pub rests_until: Timestamp,
    pub disabled_at: Option<Timestamp>,
}

/// Something to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    pub event: &'static str,
    pub content: Content,
}

/// Decides who is told what of a change, and in which words. Pure: it is asked inside the transaction of the change, and
/// what it answers is stored there.
pub trait NotificationComposer: Send + Sync {
    /// `order` as it is after `event`. The buyer is known when the order is placed, and only then.
    fn compose(
        &self,
        order: &Order,
        event: &OrderEvent,
        buyer: Option<&Buyer>,
    ) -> Result<Vec<Notification>, ComposeError>;
}

/// A message could not be written. A bug: the change that it tells of is not made either.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_shown_without_user_and_query() {
        for (address, expected) in [
            ("mail", "mail"),
            ("webhook:https://p.example/profile.json", "webhook:https://p.example/profile.json"),
            ("https://p.example", "https://p.example"),
            ("https://ann:word@p.example:8443/a@b", "https://p.example:8443/a@b"),
            ("https://ann@p.example", "https://p.example"),
            ("https://p.example?token=abc", "https://p.example?~"),
            ("webhook:https://p.example/x?token=abc/def@ghi", "webhook:https://p.example/x?~"),
        ] {
            let shown = Endpoint(address.to_owned()).to_string();
            let (plain, mark) =
                shown.split_once('~').map_or((shown.clone(), None), |(plain, mark)| (format!("{plain}~"), Some(mark)));
            assert_eq!(plain, expected, "{address}");
            assert!(
                mark.is_none_or(|mark| mark.len() == 8 && mark.bytes().all(|it| it.is_ascii_hexdigit())),
                "{shown}"
            );
        }
        assert_ne!(shown("https://p.example/?a"), shown("https://p.example/?b"));
    }
}
