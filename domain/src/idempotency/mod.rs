//! Doing a thing once, however often it is asked for.
//!
//! A key is claimed in the transaction of its effect. It belongs to a principal and an operation, and is bound to one
//! resource. Its fingerprint is a hash of the request, so that a reused key is distinguished from a repeated request.
//! Every definite outcome is stored and replayed for [`RETENTION`]; faults and malformed requests are not, so that they can be tried again.

mod model;
mod ports;
mod purge;

pub use model::{Answer, Fingerprint, Key, KeyClaim, KeyRefusal, RETENTION, Write};
pub use ports::IdempotencyStore;
pub use purge::IdempotencyPurge;
