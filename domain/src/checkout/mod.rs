//! From a basket to an order.
//!
//! ```text
//!   incomplete <----> ready_for_complete -----> complete_in_progress -----> completed
//!       ^                    ^    ^                     |
//!       |                    |    '---------------------'  declined, or cancelled at the gateway
//!       '-> requires_escalation <-------------------'  the bank wants to hear from the buyer
//!
//!   incomplete, ready_for_complete, requires_escalation -----> canceled    by the platform, or when time is over
//! ```
//!
//! A checkout is priced whenever its content changes and keeps that price until it changes again or expires: what the
//! buyer saw is what is charged. It belongs to the platform that created it and answers no one else.
//!
//! Completion is the flow everything else is measured by; read [`complete`](CompleteCheckout) with
//! `docs/WALKTHROUGH.md` beside it.

mod cancel;
mod complete;
mod create;
mod decide;
mod expire;
mod message;
mod model;
mod ports;
mod totals;
mod transitions;
mod update;

pub use cancel::{CancelCheckout, CancelCommand};
pub use complete::{COMPLETE, CompleteCheckout, CompleteCommand, CompletionLimits, OnBegun};
pub use create::{CreateCheckout, CreateCommand};
pub use decide::{Facts, NothingToSell, demand_of, price, shortages};
pub use expire::CheckoutExpiry;
pub use message::{Message, MessageCode, Severity, Subject};
pub use model::{
    BuyerContext, Checkout, CheckoutId, CheckoutRequest, Details, Line, LineId, OrderLink, RequestedLine, Status,
};
pub use ports::{Answer, Begin, Begun, CheckoutRefusal, CheckoutStore, NewCheckout, Outcome, Settlement};
pub use totals::{Total, TotalKind, Totals};
pub use update::{UpdateCheckout, UpdateCommand};
