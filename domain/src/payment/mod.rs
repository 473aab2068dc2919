//! Taking money, once.
//!
//! An attempt is opened at the gateway (created, not charged), its reference is stored, and only then is it confirmed
//! (charged). Whatever is interrupted can therefore be looked up. It is cancelled at the gateway *before* the stock it
//! held is released, so that a late confirmation cannot charge for goods that went to someone else.
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
//! A refusal is what the gateway or the bank said. A payment that was cancelled before it was charged was not attempted:
//! its idempotency key is free, its stock is free, and the same request may be made again.

mod capture;
mod model;
mod pass;
mod ports;
mod reconcile;
mod record;
mod refund;

pub use capture::{CAPTURE_BATCH, PaymentCapture, capture_due};
pub use model::{
    Attempt, AttemptId, AttemptState, Credential, Decline, GatewayState, HandlerId, Instrument, InstrumentDisplay,
    PaymentChoice, PaymentOutcome, PaymentReference,
};
pub use pass::LONGEST_PASS;
pub use ports::{AttemptStore, GatewayEvent, Held, PaymentGateway, PaymentHandler, RefundStore, RefundWanted};
pub use reconcile::{LONGEST_WAIT_UNSETTLED, PaymentReconciler, RECONCILE_BATCH};
pub(crate) use record::until_recorded;
pub use refund::{
    LONGEST_WAIT_REFUND, PaymentRefunder, REFUND_BATCH, Refund, RefundId, RefundRefusal, RefundState, may_refund,
};
