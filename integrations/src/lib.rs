//! Outbound adapters: the ports that the shop's domain has on the world outside, each filled with one technology.
//!
//! Today there is one: [`mock_payment_handler`], a payment provider that runs inside the process. It lets the whole path
//! of a purchase be developed and tested, lost answers included, without an account anywhere. A real provider becomes a
//! sibling module that implements the same port.
//!
//! **Architecture Invariant:** this crate knows the domain and nothing of the database or of the HTTP surface. Only the
//! composition root names it.

pub mod mock_payment_handler;
