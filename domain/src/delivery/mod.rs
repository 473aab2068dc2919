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
mod deliver;
mod model;
mod places;
mod ports;
mod purge;

pub use decide::{MAX_ATTEMPTS, NO_REST_IS_LONGER, PROBE_PAUSE, Step, Streak, rest_of_destination, step};
pub use deliver::{Deliver, DeliveryLimits};
pub use model::{
    Announcement, Announcer, Channel, Content, Delivery, DeliveryId, DeliveryState, DeliverySummary, Destination,
    DestinationSummary, Letter, Next, NotWritten, Standing, shown,
};
pub use ports::{
    Claim, Claimed, Cleared, Courier, DeliveryBook, DeliveryFilter, DeliveryOutcome, Failure, Finality, Meanwhile,
    Receipt, Recorded, Selection,
};
pub use purge::DeliveryPurge;
