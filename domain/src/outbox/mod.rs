//! The outbox: sends webhooks to platforms and email messages to buyers about changes of orders.
//!
//! A change of an order stores its messages, with their complete content, in the transaction of the change. So exactly
//! the committed changes are announced. The dispatcher then claims a message under a lease, sends it, and records the
//! result, each in a separate step. If a process stops between two steps, its lease expires, and another process sends
//! the message again. So each message arrives at least once, always with the same id.
//!
//! ```text
//!   pending --accepted--> delivered
//!     |  '---not wanted-> unwanted
//!     |--failed: retried by the schedule--> pending
//!     '--no attempts left, refused, or the endpoint is disabled--> dead --retried by an operator--> pending
//! ```
//!
//! Within an order, a newer message to an endpoint waits while an older message to the endpoint is pending.
//!
//! The retry rules are in `decide.rs`. The ports are [`OutboxStore`], [`Sender`] and [`NotificationComposer`]. The
//! background tasks are [`OutboxDispatcher`] and [`OutboxPurge`]. Read `model.rs` next, then `dispatch.rs`.

mod decide;
mod dispatch;
mod model;
mod permits;
mod ports;
mod purge;

pub use crate::id::OutboxMessageId;
pub use decide::{
    FailureStreak, MAX_ATTEMPTS, MAX_ENDPOINT_BACKOFF, NextStep, PROBE_PAUSE, endpoint_backoff, next_step,
};
pub use dispatch::{DispatchLimits, OutboxDispatcher};
pub use model::{
    Channel, ComposeError, Content, EmailMessage, Endpoint, EndpointHealth, EndpointSummary, MessageState,
    MessageSummary, NextAttempt, Notification, NotificationComposer, OutboxMessage, without_secrets,
};
pub use ports::{
    ClaimTerms, Claimed, Finality, MessageFilter, OutboxStore, Purged, Receipt, Recorded, Selection, SendError,
    SendOutcome, Sender, StaleClaim,
};
pub use purge::OutboxPurge;
