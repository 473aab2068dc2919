//! Payments: charges, captures and refunds, each at most once. This module is an exception and not the pattern to copy:
//! it coordinates storage with an external gateway whose answers can be lost. The pattern of an ordinary module is in
//! [`crate::review`].
//!
//! An attempt is opened at the gateway (created, not charged), then its reference is stored, and only then is it
//! confirmed (charged). So an interrupted attempt can be looked up. An attempt that ends without a charge is cancelled
//! at the gateway *before* its stock is released, so that a late confirmation cannot charge for goods that another
//! buyer got.
//!
//! ```text
//!   opened --confirm--> confirmed
//!     |  |------------> authorized --capture--> confirmed
//!     |  |                  '------cancel-----> released
//!     |  '------------> declined
//!     |---------------> unknown --look up--> confirmed | authorized | declined | cancelled
//!     '--cancel-------> cancelled
//! ```
//!
//! A payment is refused only by an answer of the gateway or the bank. A payment that was cancelled before it was
//! charged is not refused. It counts as not attempted: its idempotency key and its stock are released, and the same
//! request may be repeated.
//!
//! The ports are [`PaymentGateway`], [`AttemptStore`] and [`RefundStore`]. The background tasks are
//! [`PaymentReconciler`], [`PaymentCapture`] and [`PaymentRefunder`]. Read `model.rs` next, then `reconcile.rs`.

mod capture;
mod decide;
mod model;
mod pass;
mod ports;
mod reconcile;
mod record;
mod refund;

pub use crate::id::{AttemptId, RefundId};
pub use capture::{CAPTURE_BATCH, PaymentCapture};
pub use decide::{RefundRefusal, capture_due, may_refund};
pub use model::{
    Attempt, AttemptState, Credential, Decline, GatewayState, HandlerId, Instrument, InstrumentDisplay, PaymentChoice,
    PaymentOutcome, PaymentReference, Refund, RefundState,
};
pub use pass::LONGEST_PASS;
pub use ports::{
    AttemptStore, AuthorizationEnd, AuthorizedAttempt, GatewayEvent, PaymentGateway, PaymentHandler, RefundStore,
    RefundWanted,
};
pub use reconcile::{LONGEST_WAIT_UNSETTLED, PaymentReconciler, RECONCILE_BATCH};
pub(crate) use record::until_recorded;
pub use refund::{LONGEST_WAIT_REFUND, PaymentRefunder, REFUND_BATCH};
