//! Outbound adapters: the ports that the shop's domain has on the world outside, each filled with one technology.
//!
//! - [`outbound`] is the one way to the network: every other module calls through it.
//! - [`mock_payment_handler`] is a payment provider that runs inside the process. It lets the whole path of a purchase be
//!   developed and tested, lost answers included, without an account anywhere.
//! - [`stripe`] is a payment provider over HTTP, and the check of what it sends on its own.
//!
//! **Architecture Invariant:** this crate knows the domain and nothing of the database or of the HTTP surface. Only the
//! composition root names it.

pub mod mock_payment_handler;
pub mod outbound;
pub mod stripe;
