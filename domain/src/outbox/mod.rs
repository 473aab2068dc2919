//! Telling others what became of an order: its platform by a webhook, its buyer by mail.
//!
//! What is to be told is written down in the transaction of the change itself, body and all, so that nothing that was
//! committed goes untold and nothing else is told. A delivery is then claimed, handed over, and recorded, each step on
//! its own; whoever dies in between leaves a lease that lapses, and the next one tells it again. So every message
//! arrives at least once, always under the same id.
//!
//! ```text
//!   pending --accepted--> delivered
//!     |  '---not wanted-> unwanted
//!     |--failed: again by the schedule--> pending
//!     '--no more tries, refused, or its destination is disabled--> dead --retried by hand--> pending
//! ```
//!
//! Within an order a newer message to a destination waits for the older one. Dead ones hold up nobody.

mod decide;
mod dispatch;
mod model;
mod permits;
mod ports;
mod purge;

pub use decide::{FailureStreak, MAX_ATTEMPTS, MAX_ENDPOINT_BACKOFF, PROBE_PAUSE, Step, endpoint_backoff, step};
pub use dispatch::{DispatchLimits, OutboxDispatcher};
pub use model::{
    Channel, ComposeError, Content, EmailMessage, Endpoint, EndpointHealth, EndpointSummary, MessageState,
    MessageSummary, Next, Notification, NotificationComposer, OutboxMessage, OutboxMessageId, shown,
};
pub use ports::{
    ClaimTerms, Claimed, Finality, MessageFilter, OutboxStore, Purged, Receipt, Recorded, Selection, SendError,
    SendOutcome, Sender, StaleClaim,
};
pub use purge::OutboxPurge;
