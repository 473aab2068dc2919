//! Checkouts: from a basket to an order. This module is an exception and not the pattern to copy: a completion is a
//! saga, two transactions around a charge. The pattern of an ordinary module is in [`crate::review`].
//!
//! ```text
//!   incomplete <----> ready_for_complete -----> complete_in_progress -----> completed
//!       ^                    ^    ^                     |
//!       |                    |    '---------------------'  declined, or cancelled at the gateway
//!       '-> requires_escalation <-------------------'  the bank requires authentication by the buyer
//!
//!   incomplete, ready_for_complete, requires_escalation -----> canceled    by the platform, or on expiry
//! ```
//!
//! A checkout is priced when its content changes and keeps this price until the content changes again or the checkout
//! expires. So the buyer pays the amount that the buyer saw. A checkout belongs to the platform that created it; other
//! platforms cannot read it.
//!
//! The rules are in `decide.rs` (pricing), `totals.rs` and `transitions.rs` (status changes). The port is
//! [`CheckoutStore`]. The only use case is [`CompleteCheckout`], in `complete.rs`. The background task
//! [`CheckoutExpiry`] is in `expire.rs`. Read [`CompleteCheckout`] next, with `docs/WALKTHROUGH.md`.

mod complete;
mod decide;
mod expire;
mod message;
mod model;
mod ports;
mod totals;
mod transitions;

pub use crate::id::CheckoutId;
pub use complete::{COMPLETE, CompleteCheckout, CompleteCommand, CompletionLimits, OnPointOfNoReturn};
pub use decide::{NothingToSell, PricingFacts, demand_of, price, shortages};
pub use expire::CheckoutExpiry;
pub use message::{Message, MessageCode, Severity, Subject};
pub use model::{BuyerContext, Checkout, CheckoutRequest, Details, Line, LineId, OrderLink, RequestedLine, Status};
pub use ports::{
    Answer, BeginCompletion, CheckoutRefusal, CheckoutStore, CompletionState, Expired, NewCheckout, Outcome, Settlement,
};
pub use totals::{Total, TotalKind, Totals};
