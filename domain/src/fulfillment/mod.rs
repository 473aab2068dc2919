//! Fulfillment: how goods reach the buyer. Methods, their destinations, groups of lines, and priced options.
//!
//! The shop ships all goods in one group to one destination. A checkout therefore has at most one method with exactly
//! one group. On the wire, methods and groups are still lists, so that the protocol already allows several of them.
//!
//! The rules are [`arrange`] and [`options_for`] in `decide.rs`. This module has no port: pricing in
//! [`crate::checkout`] calls the rules with stored facts.

mod decide;
mod model;

pub use decide::{Basket, FulfillmentFacts, arrange, options_for};
pub use model::{
    FreeShipping, Fulfillment, FulfillmentRequest, Group, MethodKind, OptionId, ServiceLevel, ShippingOption,
    ShippingRate,
};
