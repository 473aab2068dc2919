//! Outbound adapters: they implement the ports of the domain for systems outside the shop.
//!
//! - [`outbound`] sends every HTTP call.
//! - [`stripe`] is the payment gateway, with Stripe's API.
//! - [`mock_gateway`] is a payment gateway inside the process, for development and tests without an account.
//! - [`webhooks`] sends webhooks about orders to platforms. [`platform_profile`] finds the addresses, and
//!   [`signatures`] signs the webhooks.
//! - [`email`] sends email messages to a relay, over SMTP.
//!
//! **Invariant:** this crate depends on the domain, and not on the database or the HTTP server. Only the composition
//! root uses this crate.

pub mod email;
pub mod mock_gateway;
pub mod outbound;
pub mod platform_profile;
pub mod signatures;
pub mod stripe;
pub mod webhooks;
