//! Idempotency keys: a request that is repeated takes effect only once.
//!
//! A key is claimed in the transaction of its effect. It belongs to a caller and an operation, and is bound to one
//! resource. Its fingerprint is a hash of the request, which distinguishes a repeated request from a different request
//! with the same key. Each outcome is stored and replayed for [`RETENTION`]. Refusals, faults and malformed requests
//! are not stored, so the caller can repeat such a request with the same key.
//!
//! The port [`IdempotencyStore`] only cleans up. Claim and replay happen inside the storage adapter, in each keyed
//! write.

mod model;
mod ports;
mod purge;

pub use model::{Answer, Fingerprint, Key, KeyClaim, KeyRefusal, RETENTION, Write};
pub use ports::IdempotencyStore;
pub use purge::IdempotencyPurge;
