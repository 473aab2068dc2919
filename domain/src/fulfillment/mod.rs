//! How a purchase reaches the buyer: methods, their destinations, groups of lines, and options with a price.
//!
//! The shop ships, in one group to one destination. A checkout therefore has at most one method with exactly one
//! group; both keep their shape on the wire so that a second one can be added without a new protocol.

mod decide;
mod model;

pub use decide::{Basket, FulfillmentFacts, FulfillmentProblem, arrange, options_for};
pub use model::{
    FreeShipping, Fulfillment, FulfillmentRequest, Group, MethodKind, OptionId, ServiceLevel, ShippingOption,
    ShippingRate,
};
