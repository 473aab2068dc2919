//! Outbound adapters: the ports that the shop's domain has on the world outside, each filled with one technology.
//!
//! - [`outbound`] is the one way to the network: every HTTP call goes through it.
//! - [`stripe`] is the payment gateway, in Stripe's shapes.
//! - [`mock_payment_handler`] is a payment provider that runs inside the process. It lets the whole path of a purchase be
//!   developed and tested, lost answers included, without an account anywhere.
//! - [`webhook`] tells platforms about their orders, at the address that [`platform_profile`] finds and signed by
//!   [`signatures`].
//! - [`mail`] hands letters to a relay, over SMTP.
//!
//! **Architecture Invariant:** this crate knows the domain and nothing of the database or of the HTTP surface. Only the
//! composition root names it.

pub mod email;
pub mod mock_gateway;
pub mod outbound;
pub mod platform_profile;
pub mod signatures;
pub mod stripe;
pub mod webhooks;
