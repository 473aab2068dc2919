//! Discount codes: what they take off the goods. Free shipping is a promotion too; it lives with the rates it changes,
//! in [`crate::fulfillment`].
//!
//! **Rules.** Codes are matched without regard to case and apply in the order given, line-level codes before
//! order-level ones. A percentage is taken of what earlier discounts left and rounded half up to a whole minor unit. A
//! discount never takes more than is left of the goods it applies to, so no total falls below zero. Delivery is never
//! discounted here.

mod decide;
mod model;

pub(crate) use decide::spread;
pub use decide::{Discounted, Rejection, discount};
pub use model::{Allocation, AppliedDiscount, Code, Discount, DiscountScope, DiscountValue};
