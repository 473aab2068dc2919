//! Discount codes: what they take off the goods. Free shipping is part of [`crate::fulfillment`], with the rates that
//! it changes.
//!
//! **Rules.** Codes are compared without regard to case and apply in the order given, line-level codes before
//! order-level codes. A percentage is taken of the amount that earlier discounts leave, rounded half up to a whole
//! minor unit. A discount never exceeds what is left of the goods it applies to, so no total is negative. Codes never
//! discount the delivery. The rules are in `decide.rs`; this module has no port.

mod decide;
mod model;

pub(crate) use decide::split_proportionally;
pub use decide::{Discounted, Rejection, discount};
pub use model::{Allocation, AppliedDiscount, Code, Discount, DiscountScope, DiscountValue};
